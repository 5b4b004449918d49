//! Floor 3, audit: everything about the record of what happened.
#![allow(dead_code)]

pub(crate) mod bell;
pub(crate) mod gate;
pub(crate) mod queue;

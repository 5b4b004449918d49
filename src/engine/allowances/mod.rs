//! Limits at work: what calls draw on allowances, and when it is given back.

pub(in crate::engine) mod ask;
pub(in crate::engine) mod define;
pub(in crate::engine) mod look;
pub(in crate::engine) mod plan;
pub(in crate::engine) mod settle;
pub(in crate::engine) mod window;

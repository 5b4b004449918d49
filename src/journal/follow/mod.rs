//! Readers that follow a journal while it is written: the auditor, and subscriptions.

pub(crate) mod auditor;
pub(crate) mod feed;
pub(crate) mod follower;
pub(crate) mod headers;
mod hurry;
pub(crate) mod outcome_upkeep;
pub(crate) mod resume;
pub(crate) mod subscribe;
pub(crate) mod thread;

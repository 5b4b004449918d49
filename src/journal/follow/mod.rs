//! Readers that follow a journal while it is written: the auditor, and subscriptions.

pub(crate) mod auditor;
pub(crate) mod follower;
pub(crate) mod subscribe;

//! Maintenance of a journal's files, besides writing it: checkpoints, retention, redaction,
//! backups.

pub(crate) mod backup;
pub(crate) mod checkpoints;
pub(crate) mod redact;
pub(crate) mod retention;

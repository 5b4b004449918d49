//! What is done to the files of a journal beside writing it: checkpoints, retention, redaction, backups.

pub(crate) mod backup;
pub(crate) mod checkpoints;
pub(crate) mod redact;
pub(crate) mod retention;

//! Work on a running engine's records and files: redaction of notes, and backups.

#[cfg(feature = "journal")]
mod backup;
mod redact;
#[cfg(feature = "journal")]
mod redact_journal;

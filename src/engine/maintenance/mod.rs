//! Work on a running engine's records and files: redaction of notes, and backups.

#[cfg(feature = "journal")]
mod backup;
#[cfg(feature = "journal")]
pub(super) mod consumers;
mod redact;
#[cfg(feature = "journal")]
mod redact_journal;

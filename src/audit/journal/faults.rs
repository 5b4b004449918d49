//! What the journal's readers and writers have to tell, as errors.

use std::io;

use crate::error::JournalError;

/// The storage refused.
pub(crate) fn failed(action: &'static str, file: &str, error: &io::Error) -> JournalError {
    let file = if file.is_empty() { "the journal's directory" } else { file };
    JournalError::Storage { action, file: file.to_owned(), reason: error.to_string() }
}

/// The bytes are wrong.
pub(crate) fn damaged(file: &str, offset: u64, what: String) -> JournalError {
    JournalError::Damaged { file: file.to_owned(), offset, what }
}

//! Work on the journal's files that only one call at a time may do: copying them, and rewriting old
//! ones.
//!
//! Such a call runs foreign code: the predicate of a redaction, the storage of a backup. If that
//! began the same work, it would wait for itself.

use std::sync::PoisonError;
use std::thread::{self, ThreadId};

use crate::base::error::JournalError;
use crate::base::sync::{Mutex, MutexGuard, lock};

/// The right to such work.
#[derive(Debug, Default)]
pub(super) struct FileWork {
    alone: Mutex<()>,
    /// The thread that works, if one does. Nobody holds this lock for longer than a look.
    worker: Mutex<Option<ThreadId>>,
}

/// The work under way. Its drop ends it.
#[must_use = "dropped at once, it protects nothing"]
pub(super) struct FilesInHand<'a> {
    work: &'a FileWork,
    _alone: MutexGuard<'a, ()>,
}

impl FileWork {
    /// Waits until no other thread works on the files.
    ///
    /// # Errors
    /// [`JournalError::InHand`] if the calling thread itself does.
    pub(super) fn begin(&self) -> Result<FilesInHand<'_>, JournalError> {
        let own = thread::current().id();
        if *lock(&self.worker) == Some(own) {
            return Err(JournalError::InHand);
        }
        let alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        *lock(&self.worker) = Some(own);
        Ok(FilesInHand { work: self, _alone: alone })
    }
}

impl Drop for FilesInHand<'_> {
    fn drop(&mut self) {
        // Before the lock, which the next worker waits for.
        *lock(&self.work.worker) = None;
    }
}

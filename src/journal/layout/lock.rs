//! The journal's lock, taken by those who may have to wait for it.

use std::any::Any;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::journal::layout::failed;
use crate::journal::storage::Storage;

/// How long those who need the journal's lock wait for it, if nobody says otherwise. An engine that
/// has ended may give it back a moment later: its disk is slow, or a checkpoint is being written.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Takes the journal's lock. If another engine has it, tries again for up to `wait`.
///
/// # Errors
/// [`JournalError::Locked`] if the other engine still has it then; otherwise the storage's error.
pub(crate) fn take_lock(
    storage: &dyn Storage,
    wait: Duration,
) -> Result<Box<dyn Any + Send + Sync>, JournalError> {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let began = Instant::now();
    loop {
        match storage.lock() {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(failed("lock", "", &error));
            }
            Err(_) if began.elapsed() >= wait => return Err(JournalError::Locked),
            Err(_) => thread::sleep(LOOK_AGAIN),
        }
    }
}

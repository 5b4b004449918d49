//! The sync thread: syncs when somebody waits, or when the interval is over.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::SyncState;
use crate::base::foreign::{self, put_aside};
use crate::base::threads;

impl SyncState {
    /// Starts the sync thread.
    pub(crate) fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let progress = Arc::clone(self);
        threads::spawn("stockade-sync", move || progress.run()).map(drop)
    }

    fn run(&self) {
        // The storage may be user code, and may panic. Even then, everyone who waits for this
        // thread gets an answer.
        while foreign::call(|| self.work()).is_err() {
            let _aside = put_aside();
            self.fail(self.lock(), "the journal's storage panicked");
        }
    }

    fn work(&self) {
        while self.wait_for_work() {
            // `sync_now` reports the failure, and the writer starts a new segment.
            let _ = self.sync_now();
        }
    }

    /// Waits until there is something to sync. Returns `false` once the journal ends.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock();
        let mut since: Option<Instant> = None;
        loop {
            if state.ending {
                return false;
            }
            let dirty = state.written.batch > state.durable.batch && state.failed.is_none();
            if dirty && state.sync_requested {
                return true;
            }
            if !dirty {
                since = None;
                state.thread_sleeps = true;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.thread_sleeps = false;
                continue;
            }
            let left =
                self.interval.saturating_sub(since.get_or_insert_with(Instant::now).elapsed());
            if left.is_zero() {
                return true;
            }
            let waited = self.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

//! Waiting until a batch is written or durable: threads, and futures.

use std::sync::PoisonError;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::{SyncFields, SyncState};

/// The two stages of a batch that a caller may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It is appended to a segment, but may be lost in a crash.
    File,
    /// It is durable: a sync after the append has succeeded.
    Disk,
}

impl SyncFields {
    fn reached(&self, reached: Reached) -> u64 {
        match reached {
            Reached::File => self.written.batch,
            Reached::Disk => self.durable.batch,
        }
    }
}

impl SyncState {
    /// The newest batch that has reached this stage.
    pub(crate) fn reached(&self, reached: Reached) -> u64 {
        self.lock().reached(reached)
    }

    /// Waits until a batch after `batch` has reached this stage. Returns `false` if the journal
    /// ends first, or if none has by the `deadline`.
    pub(crate) fn wait_past(
        &self,
        reached: Reached,
        batch: u64,
        deadline: Option<Instant>,
    ) -> bool {
        let mut state = self.lock();
        while state.reached(reached) <= batch {
            if state.ending {
                return false;
            }
            state.write_waiters += usize::from(reached == Reached::File);
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// As [`wait_past`](Self::wait_past), for futures: registers `waker` if it must wait.
    pub(crate) fn poll_past(&self, reached: Reached, batch: u64, waker: &Waker) -> Poll<bool> {
        self.wakers.prepare();
        // A waker is another's code, so it is cloned under no lock.
        let waker = waker.clone();
        let mut state = self.lock();
        if state.reached(reached) > batch {
            return Poll::Ready(true);
        }
        if state.ending {
            return Poll::Ready(false);
        }
        state.write_waiters += usize::from(reached == Reached::File);
        if !state.wakers.iter().any(|known| known.will_wake(&waker)) {
            state.wakers.push(waker);
        }
        Poll::Pending
    }

    /// Waits until batch `batch` is durable, a sync has failed, or the journal ends. Asks for syncs
    /// meanwhile.
    pub(crate) fn wait_for(&self, batch: u64) {
        let mut state = self.lock();
        while state.durable.batch < batch && state.failed.is_none() && !state.ending {
            state.sync_requested = true;
            self.work.notify_one();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

//! The follower thread: one for each engine. It reads the journal's files for the futures of all
//! subscriptions, so that none of their polls does.
//!
//! It starts when a future first needs it, and ends with the engine. A future that is polled after
//! that starts it once more, for as long as there is something to read.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::base::sync::{Condvar, Mutex, lock};
use crate::base::threads;

/// How often the end of an engine polls whether the thread has ended.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// How a thread is started.
type Spawn = fn(Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>;

/// What the thread reads for.
pub(crate) trait Served: Send + Sync {
    /// Reads for a future, and wakes it.
    fn serve(&self);
}

/// The follower thread of an engine, whether it runs or not.
pub(crate) struct FollowerThread {
    spawn: Spawn,
    state: Mutex<ThreadState>,
    changed: Condvar,
}

#[derive(Default)]
struct ThreadState {
    /// The feeds that are to be read for, each at most once. A feed that is gone is passed over.
    asked: VecDeque<Weak<dyn Served>>,
    runs: bool,
    /// The engine has ended: the thread ends once it has nothing to do.
    ending: bool,
}

impl FollowerThread {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(|work| threads::spawn("stockade-follower", work))
    }

    /// A thread that is started by `spawn`.
    pub(crate) fn with(spawn: Spawn) -> Arc<Self> {
        Arc::new(Self { spawn, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Asks the thread to read for `feed`, and starts it if it does not run.
    ///
    /// # Errors
    /// [`JournalError::NoFollower`] if the operating system gives no thread.
    pub(crate) fn ask(self: &Arc<Self>, feed: Weak<dyn Served>) -> Result<(), JournalError> {
        let mut state = lock(&self.state);
        if !state.runs {
            let this = Arc::clone(self);
            let spawned = (self.spawn)(Box::new(move || this.run()));
            spawned.map_err(|error| JournalError::NoFollower { reason: error.to_string() })?;
            state.runs = true;
        }
        state.asked.push_back(feed);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The engine has ended: so does the thread. Waits for what it reads at the moment, until
    /// `deadline` at most.
    pub(crate) fn end(&self, deadline: Instant) {
        lock(&self.state).ending = true;
        self.changed.notify_one();
        while lock(&self.state).runs && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn run(&self) {
        while let Some(feed) = self.next() {
            // The feed may be dropped here, and with it a storage of the user's.
            let _ =
                catch_unwind(AssertUnwindSafe(|| feed.upgrade().iter().for_each(|it| it.serve())));
        }
    }

    /// The next feed to read for; `None` once the engine has ended and none is left.
    fn next(&self) -> Option<Weak<dyn Served>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(feed) = state.asked.pop_front() {
                return Some(feed);
            }
            if state.ending {
                state.runs = false;
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

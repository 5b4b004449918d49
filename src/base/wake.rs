//! Waking futures.
//!
//! A waker is another's code: it may panic, it may block, and it may call the engine. So wakers are
//! called by a thread of their own, which starts with the first future that waits. A thread of the
//! engine only hands them over: whatever a waker does, it delays only other futures.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::base::foreign;
use crate::base::on_demand::OnDemandThread;
use crate::base::sync::{AtomicBool, Ordering};
use crate::base::threads;

/// From this time on, a waker that has not returned shows in the engine's health.
const STUCK: Duration = Duration::from_secs(1);

/// Wakes the futures of one engine.
pub(crate) struct Wakers {
    /// `None` in an engine without threads. There a waker is called by the thread that wakes, once
    /// that holds no lock.
    thread: Option<Arc<OnDemandThread<Waker>>>,
    /// The thread was started once. So a poll takes no lock for it.
    started: AtomicBool,
}

impl Wakers {
    /// Wakers that are called by a thread, or, if the engine has no `threads`, by whoever wakes.
    pub(crate) fn new(threads: bool) -> Arc<Self> {
        let thread = || {
            OnDemandThread::new(
                |work| threads::spawn("stockade-waker", work),
                |it: Waker| it.wake(),
            )
        };
        Arc::new(Self { thread: threads.then(thread), started: AtomicBool::new(false) })
    }

    /// To be called before a future waits, in its own thread: starts the thread. If the system
    /// grants none, its wakers are called in place.
    pub(crate) fn prepare(&self) {
        // Relaxed: a late look starts a thread that runs already, which does nothing. One that has
        // ended is started anew by the wake that needs it.
        if let Some(thread) = &self.thread
            && !self.started.load(Ordering::Relaxed)
            && thread.start().is_ok()
        {
            self.started.store(true, Ordering::Relaxed);
        }
    }

    /// Wakes a future. Does not wait, and calls nobody under a lock.
    pub(crate) fn wake(&self, waker: Waker) {
        let refused = match &self.thread {
            Some(thread) => thread.ask(waker).err().map(|(waker, _)| waker),
            None => Some(waker),
        };
        if let Some(waker) = refused {
            foreign::later(|| waker.wake());
        }
    }

    /// What is wrong, for `health`.
    pub(crate) fn problem(&self) -> Option<String> {
        let taken = self.thread.as_ref()?.stuck_for(STUCK)?;
        Some(format!("a future's waker has not returned for {taken:?}: other futures wait for it"))
    }

    /// The engine has ended: so does the thread, once it has called the wakers that it has. Waits
    /// for them until `deadline` at most.
    pub(crate) fn end(&self, deadline: Instant) {
        if let Some(thread) = &self.thread {
            thread.end(deadline);
        }
    }
}

impl std::fmt::Debug for Wakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wakers").finish_non_exhaustive()
    }
}

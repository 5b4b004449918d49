//! The follower thread: one for each engine. It reads the journal's files for the futures of all
//! subscriptions, so that none of their polls does.
//!
//! It starts when a future first needs it, and ends with the engine. A future that is polled after
//! that starts it once more, for as long as there is something to read.

use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::base::error::JournalError;
use crate::base::on_demand::{OnDemandThread, Spawn};
use crate::base::threads;

/// What the thread reads for.
pub(crate) trait Served: Send + Sync {
    /// Reads for a future, and wakes it.
    fn serve(&self);
}

/// The follower thread of an engine, whether it runs or not. Its jobs are the feeds that are to be
/// read for, each at most once. A feed that is gone is passed over.
pub(crate) struct FollowerThread(Arc<OnDemandThread<Weak<dyn Served>>>);

impl FollowerThread {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(|work| threads::spawn("stockade-follower", work))
    }

    /// A thread that is started by `spawn`.
    pub(crate) fn with(spawn: Spawn) -> Arc<Self> {
        // The feed may be dropped there, and with it a storage of the user's.
        let serve = |feed: Weak<dyn Served>| feed.upgrade().iter().for_each(|it| it.serve());
        Arc::new(Self(OnDemandThread::new(spawn, serve)))
    }

    /// Asks the thread to read for `feed`, and starts it if it does not run.
    ///
    /// # Errors
    /// [`JournalError::NoFollower`] if the operating system gives no thread.
    pub(crate) fn ask(&self, feed: Weak<dyn Served>) -> Result<(), JournalError> {
        let refused = |(_, error): (_, std::io::Error)| error.to_string();
        self.0.ask(feed).map_err(refused).map_err(|reason| JournalError::NoFollower { reason })
    }

    /// The engine has ended: so does the thread. Waits for what it reads at the moment, until
    /// `deadline` at most.
    pub(crate) fn end(&self, deadline: Instant) {
        self.0.end(deadline);
    }
}

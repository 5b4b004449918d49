//! Sinks that keep the entries that they receive.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stockade::{AuditBatch, AuditEntry, AuditSink, SinkError};

/// Keeps every entry; refuses batches while it is told to.
#[derive(Default)]
pub(crate) struct Keeper {
    shared: Arc<Kept>,
}

/// The test's handle on a [`Keeper`].
#[derive(Default)]
pub(crate) struct Kept {
    entries: Mutex<Vec<AuditEntry>>,
    failing: Mutex<Option<String>>,
}

impl Keeper {
    /// A healthy sink, and its handle.
    #[allow(clippy::new_ret_no_self, reason = "the sink is useless without what it keeps")]
    pub(crate) fn new() -> (Self, Arc<Kept>) {
        let shared = Arc::new(Kept::default());
        (Self { shared: Arc::clone(&shared) }, shared)
    }
}

impl Kept {
    /// The entries that the sink has accepted, in order.
    pub(crate) fn entries(&self) -> Vec<AuditEntry> {
        lock(&self.entries).clone()
    }

    /// Makes the sink refuse every batch from now on.
    pub(crate) fn fail(&self, reason: &str) {
        *lock(&self.failing) = Some(reason.to_owned());
    }

    /// Makes the sink accept batches again.
    pub(crate) fn recover(&self) {
        *lock(&self.failing) = None;
    }
}

impl AuditSink for Keeper {
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
        if let Some(reason) = lock(&self.shared.failing).as_deref() {
            return Err(SinkError::new(reason));
        }
        lock(&self.shared.entries).extend(batch.entries());
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

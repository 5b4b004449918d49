//! A sink that fails on command, for the tests of services that embed the engine.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::audit::sink::{AuditBatch, AuditSink, SinkError};

/// A sink that takes every batch and stores nothing, until its [`FaultControl`] makes it fail.
///
/// ```
/// use stockade::testing::FaultySink;
/// let (sink, control) = FaultySink::new();
/// control.fail("disk full");
/// // ... the engine refuses mutations ...
/// control.recover();
/// assert_eq!(control.counts().accepted_entries, 0);
/// # drop(sink);
/// ```
#[derive(Debug)]
pub struct FaultySink {
    shared: Arc<FaultShared>,
}

/// The handle that makes a [`FaultySink`] fail, stall, panic or recover. Dropping it lets the sink
/// recover.
#[derive(Debug)]
pub struct FaultControl {
    shared: Arc<FaultShared>,
}

/// What a [`FaultySink`] was given so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Entries taken.
    pub accepted_entries: u64,
    /// Batches taken.
    pub accepted_batches: u64,
    /// Batches refused.
    pub refused_batches: u64,
    /// Entries taken whose sequence number was not one above the last. Must stay 0.
    pub out_of_order: u64,
}

#[derive(Debug, Default)]
struct FaultShared {
    state: Mutex<FaultState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct FaultState {
    fault: Option<Fault>,
    stalled: bool,
    last_sequence: u64,
    counts: FaultCounts,
}

#[derive(Debug)]
enum Fault {
    Fail(String),
    Stall,
    Panic(String),
}

impl FaultShared {
    fn lock(&self) -> MutexGuard<'_, FaultState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
        self.changed.notify_all();
    }
}

impl FaultySink {
    /// A healthy sink, and its handle.
    #[allow(clippy::new_ret_no_self, reason = "the sink is useless without its control")]
    pub fn new() -> (Self, FaultControl) {
        let shared = Arc::new(FaultShared::default());
        (Self { shared: Arc::clone(&shared) }, FaultControl { shared })
    }
}

impl FaultControl {
    /// From now on, the sink refuses every batch with this text.
    pub fn fail(&self, reason: impl Into<String>) {
        self.shared.set(Some(Fault::Fail(reason.into())));
    }

    /// From now on, the sink blocks in `append`, as a disk that hangs does.
    pub fn stall(&self) {
        self.shared.set(Some(Fault::Stall));
    }

    /// The sink panics with this message at the next batch.
    pub fn panic(&self, message: impl Into<String>) {
        self.shared.set(Some(Fault::Panic(message.into())));
    }

    /// Makes the sink healthy again. It then takes a batch that it stalls on.
    pub fn recover(&self) {
        self.shared.set(None);
    }

    /// What the sink was given so far.
    pub fn counts(&self) -> FaultCounts {
        self.shared.lock().counts
    }

    /// Blocks until the sink stalls on a batch. It blocks for ever if [`stall`](Self::stall) was
    /// not called or no batch comes.
    pub fn wait_until_stalled(&self) {
        let mut state = self.shared.lock();
        while !state.stalled {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for FaultControl {
    fn drop(&mut self) {
        self.recover();
    }
}

impl AuditSink for FaultySink {
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        while let Some(Fault::Stall) = state.fault {
            state.stalled = true;
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.stalled = false;
        match &state.fault {
            Some(Fault::Fail(reason)) => {
                let error = SinkError::new(reason.clone());
                state.counts.refused_batches += 1;
                return Err(error);
            }
            Some(Fault::Panic(message)) => {
                let message = message.clone();
                drop(state);
                std::panic::panic_any(message);
            }
            Some(Fault::Stall) | None => {}
        }
        for entry in batch.entries() {
            let expected = state.last_sequence + 1;
            state.counts.out_of_order += u64::from(entry.sequence != expected);
            state.last_sequence = entry.sequence;
            state.counts.accepted_entries += 1;
        }
        state.counts.accepted_batches += 1;
        Ok(())
    }
}

//! Flushes: a caller waits until all that was queued before is written.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::audit::gate::Shut;
use crate::base::error::FlushError;
use crate::base::sync::{Condvar, Mutex, MutexGuard, lock};
use crate::base::wake::Wakers;

impl From<Shut> for FlushError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Closed => Self::Closed,
            Shut::Stopped { reason } => Self::Stopped { reason },
            Shut::Poisoned { reason } => Self::Poisoned { reason },
        }
    }
}

/// A flush in progress. It is done once the audit writer has written everything that was queued
/// before the flush was requested. With a journal, it is done only when all that is on the disk.
///
/// Block on it by [`wait`](Flush::wait), or `.await` it in any async runtime. Dropping it undoes
/// nothing. Wakers are called by a thread of the engine's own, after all threads that wait were
/// told. One that blocks delays other futures only.
#[derive(Debug)]
#[must_use = "a flush says nothing until it is waited for"]
pub struct Flush {
    pub(super) ticket: Arc<FlushTicket>,
}

impl Flush {
    /// Blocks until everything is written. It may block as long as the sink or the disk takes. If
    /// the sink or the disk fails, or the engine ends, it returns an error.
    ///
    /// # Errors
    /// See [`FlushError`]; never `TimedOut`.
    pub fn wait(self) -> Result<(), FlushError> {
        self.ticket.wait()
    }

    /// As [`wait`](Flush::wait), but blocks until `deadline` at most.
    ///
    /// # Errors
    /// See [`FlushError`].
    pub fn wait_deadline(self, deadline: Instant) -> Result<(), FlushError> {
        let mut state = self.ticket.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(FlushError::TimedOut);
            }
            let waited = self.ticket.done.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Future for Flush {
    type Output = Result<(), FlushError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = &self.ticket.lock().outcome {
            return Poll::Ready(outcome.clone());
        }
        if let Some(wakers) = &self.ticket.wakers {
            wakers.prepare();
        }
        // A waker is another's code. It is cloned and dropped under no lock.
        let waker = context.waker().clone();
        let (polled, unused) = {
            let mut state = self.ticket.lock();
            match &state.outcome {
                Some(outcome) => (Poll::Ready(outcome.clone()), Some(waker)),
                None => (Poll::Pending, state.waker.replace(waker)),
            }
        };
        drop(unused);
        polled
    }
}

/// The state that a flush and the writer share.
#[derive(Debug, Default)]
pub(crate) struct FlushTicket {
    state: Mutex<TicketState>,
    done: Condvar,
    /// Who wakes a future; `None` if the ticket is done from its beginning.
    wakers: Option<Arc<Wakers>>,
}

#[derive(Debug, Default)]
struct TicketState {
    outcome: Option<Result<(), FlushError>>,
    /// The caller that waits is to lead the group that has gathered.
    leads: bool,
    waker: Option<Waker>,
}

/// What a caller of a group hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its ticket is done.
    Done(Result<(), FlushError>),
    /// It leads the group from now on.
    Lead,
}

impl FlushTicket {
    fn lock(&self) -> MutexGuard<'_, TicketState> {
        lock(&self.state)
    }

    pub(super) fn new(wakers: &Arc<Wakers>) -> Arc<Self> {
        Arc::new(Self { wakers: Some(Arc::clone(wakers)), ..Self::default() })
    }

    /// Blocks until it is done.
    pub(super) fn wait(&self) -> Result<(), FlushError> {
        loop {
            if let Told::Done(outcome) = self.wait_for_turn() {
                return outcome;
            }
        }
    }

    /// Blocks until it is done, or until the caller is to lead its group, which it hears once.
    pub(super) fn wait_for_turn(&self) -> Told {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return Told::Done(outcome.clone());
            }
            if mem::take(&mut state.leads) {
                return Told::Lead;
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes the caller that waits the leader of its group.
    pub(super) fn lead(&self) {
        self.lock().leads = true;
        self.done.notify_all();
    }

    /// Sets the outcome and wakes the waiter. Only the first outcome counts.
    pub(crate) fn complete(&self, outcome: Result<(), FlushError>) {
        let mut state = self.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let (Some(waker), Some(wakers)) = (waker, &self.wakers) {
            wakers.wake(waker);
        }
    }
}

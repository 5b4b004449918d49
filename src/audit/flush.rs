//! Waiting until what was done has been written.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::audit::gate::Shut;
use crate::base::error::FlushError;
use crate::base::sync::{Condvar, Mutex, MutexGuard, lock};

impl From<Shut> for FlushError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Closed => Self::Closed,
            Shut::Stopped { reason } => Self::Stopped { reason },
            Shut::Poisoned { reason } => Self::Poisoned { reason },
        }
    }
}

/// A flush under way: done once the sink has taken everything that was queued before it was asked for.
///
/// Wait for it in a blocking way, or `.await` it in any async runtime. Dropping it undoes nothing.
#[derive(Debug)]
#[must_use = "a flush says nothing until it is waited for"]
pub struct Flush {
    ticket: Arc<FlushTicket>,
}

impl Flush {
    /// Blocks until everything is written. May wait as long as the sink takes; a sink that fails or
    /// an engine that ends makes it return an error.
    ///
    /// # Errors
    /// See [`FlushError`]; never `TimedOut`.
    pub fn wait(self) -> Result<(), FlushError> {
        let mut state = self.ticket.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            state = self.ticket.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`wait`](Flush::wait), but at most until `deadline`.
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
        let mut state = self.ticket.lock();
        match &state.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// What a flush and the writer share.
#[derive(Debug, Default)]
pub(crate) struct FlushTicket {
    state: Mutex<TicketState>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct TicketState {
    outcome: Option<Result<(), FlushError>>,
    waker: Option<Waker>,
}

impl FlushTicket {
    fn lock(&self) -> MutexGuard<'_, TicketState> {
        lock(&self.state)
    }

    /// Tells the waiter. Only the first outcome counts.
    pub(crate) fn complete(&self, outcome: Result<(), FlushError>) {
        let mut state = self.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The flushes that wait for the writer.
///
/// They stand beside the queue, not in it, so that asking for one never waits for room. The writer
/// takes them *before* it drains, and drains all that lay in the queue by then: what a caller queued
/// before it asked is in that batch or an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    tickets: Vec<Arc<FlushTicket>>,
    /// Why no more come in: the writer has ended.
    over: Option<FlushError>,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// A new flush. The writer must be woken after.
    pub(crate) fn issue(&self) -> Flush {
        let ticket = Arc::new(FlushTicket::default());
        let mut waiting = self.lock();
        match &waiting.over {
            Some(reason) => ticket.complete(Err(reason.clone())),
            None => waiting.tickets.push(Arc::clone(&ticket)),
        }
        Flush { ticket }
    }

    /// A flush that has failed already.
    pub(crate) fn refuse(reason: FlushError) -> Flush {
        let ticket = Arc::new(FlushTicket::default());
        ticket.complete(Err(reason));
        Flush { ticket }
    }

    /// All that wait. For the writer, before it drains.
    pub(crate) fn take(&self) -> Vec<Arc<FlushTicket>> {
        mem::take(&mut self.lock().tickets)
    }

    /// Whether any flush waits.
    pub(crate) fn any(&self) -> bool {
        !self.lock().tickets.is_empty()
    }

    /// The writer has ended: fails all that wait and all that will come.
    pub(crate) fn end(&self, reason: FlushError) {
        let mut waiting = self.lock();
        let last = mem::take(&mut waiting.tickets);
        waiting.over.get_or_insert_with(|| reason.clone());
        drop(waiting);
        last.iter().for_each(|ticket| ticket.complete(Err(reason.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_flush_wakes_its_future_once_it_is_done() {
        let tickets = Tickets::default();
        let mut flush = tickets.issue();
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        let mut context = Context::from_waker(&waker);
        assert_eq!(Pin::new(&mut flush).poll(&mut context), Poll::Pending);
        tickets.take().iter().for_each(|ticket| ticket.complete(Ok(())));
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut flush).poll(&mut context), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_dropped_flush_harms_nobody() {
        let tickets = Tickets::default();
        drop(tickets.issue());
        tickets.take().iter().for_each(|ticket| ticket.complete(Ok(())));
    }

    #[test]
    fn a_flush_with_a_deadline_gives_up_in_time() {
        let tickets = Tickets::default();
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(tickets.issue().wait_deadline(deadline), Err(FlushError::TimedOut));
    }

    #[test]
    fn no_flush_hangs_once_the_writer_has_ended() {
        let tickets = Tickets::default();
        let before = tickets.issue();
        tickets.end(FlushError::Closed);
        assert_eq!(before.wait(), Err(FlushError::Closed));
        assert_eq!(tickets.issue().wait(), Err(FlushError::Closed));
    }
}

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
    ticket: Arc<FlushTicket>,
}

impl Flush {
    /// Blocks until everything is written. It may block as long as the sink or the disk takes. If
    /// the sink or the disk fails, or the engine ends, it returns an error.
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
    waker: Option<Waker>,
}

impl FlushTicket {
    fn lock(&self) -> MutexGuard<'_, TicketState> {
        lock(&self.state)
    }

    fn new(wakers: &Arc<Wakers>) -> Arc<Self> {
        Arc::new(Self { wakers: Some(Arc::clone(wakers)), ..Self::default() })
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

/// The flushes that wait for the writer.
///
/// They are beside the queue, not in it, so a request for a flush never waits for room. The writer
/// takes the tickets *before* it drains the queue, and then drains all items that were in it. So
/// everything that a caller queued before its request is in that batch or in an earlier one.
#[derive(Debug)]
pub(crate) struct Tickets {
    waiting: Mutex<Waiting>,
    wakers: Arc<Wakers>,
}

#[derive(Debug, Default)]
struct Waiting {
    tickets: Vec<Arc<FlushTicket>>,
    /// Set when the writer has ended: why all later flushes fail.
    ended: Option<FlushError>,
}

impl Tickets {
    /// No flush waits yet. `wakers` wake those that are futures.
    pub(crate) fn new(wakers: &Arc<Wakers>) -> Self {
        Self { waiting: Mutex::default(), wakers: Arc::clone(wakers) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// Registers a new flush. The caller must wake the writer afterwards.
    pub(crate) fn issue(&self) -> Flush {
        let ticket = FlushTicket::new(&self.wakers);
        let mut waiting = self.lock();
        match &waiting.ended {
            Some(reason) => ticket.complete(Err(reason.clone())),
            None => waiting.tickets.push(Arc::clone(&ticket)),
        }
        Flush { ticket }
    }

    /// A flush that has already failed for `reason`.
    pub(crate) fn refuse(reason: FlushError) -> Flush {
        let ticket = Arc::new(FlushTicket::default());
        ticket.complete(Err(reason));
        Flush { ticket }
    }

    /// Takes all waiting tickets. Only the writer calls this, before it drains the queue.
    pub(crate) fn take(&self) -> Vec<Arc<FlushTicket>> {
        mem::take(&mut self.lock().tickets)
    }

    /// Whether any flush waits.
    pub(crate) fn any(&self) -> bool {
        !self.lock().tickets.is_empty()
    }

    /// The writer has ended: fails all waiting flushes, and all later ones.
    pub(crate) fn end(&self, reason: FlushError) {
        let mut waiting = self.lock();
        let last = mem::take(&mut waiting.tickets);
        waiting.ended.get_or_insert_with(|| reason.clone());
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
        let tickets = Tickets::new(&Wakers::new(false));
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
        let tickets = Tickets::new(&Wakers::new(false));
        drop(tickets.issue());
        tickets.take().iter().for_each(|ticket| ticket.complete(Ok(())));
    }

    #[test]
    fn a_flush_with_a_deadline_gives_up_in_time() {
        let tickets = Tickets::new(&Wakers::new(false));
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(tickets.issue().wait_deadline(deadline), Err(FlushError::TimedOut));
    }

    #[test]
    fn no_flush_hangs_once_the_writer_has_ended() {
        let tickets = Tickets::new(&Wakers::new(false));
        let before = tickets.issue();
        tickets.end(FlushError::Closed);
        assert_eq!(before.wait(), Err(FlushError::Closed));
        assert_eq!(tickets.issue().wait(), Err(FlushError::Closed));
    }
}

//! Prefetch: what the outcome files know of a call's key, and of the reservation that it names, is
//! read before the call, by a thread of the engine's. So the call reads no file.
//!
//! Most keys are new, and the filters in memory say so: then nothing is read, and the first poll is
//! the last.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use crate::audit::flush::Flush;
use crate::base::error::{KeyError, NoReservation};
use crate::base::foreign;
use crate::base::sync::{Mutex, lock};
use crate::base::trace;
use crate::engine::Engine;
use crate::engine::journal::JournalLink;
use crate::engine::kept::KeptOutcomes;
use crate::engine::prefetched::Prefetched;
use crate::engine::request_options::{KeyLookup, RequestOptions};
use crate::idempotency::KeyName;
use crate::journal::follow::thread::Served;
use crate::journal::outcomes::run::DiskUse;
use crate::reservation::id::ReservationId;

/// A prefetch under way; see [`Request::prefetch`](crate::Request::prefetch).
#[must_use = "a future does nothing until it is awaited"]
pub struct Prefetch<'r> {
    engine: &'r Engine,
    options: &'r mut RequestOptions,
    reservation: Option<ReservationId>,
    stage: Stage,
}

enum Stage {
    Begun,
    Reading(Arc<PrefetchReading>),
    /// What was read does not have the reservation: the newest entries may.
    Flushing(Arc<PrefetchReading>, Flush),
}

impl<'r> Prefetch<'r> {
    pub(super) fn new(
        engine: &'r Engine,
        options: &'r mut RequestOptions,
        reservation: Option<ReservationId>,
    ) -> Self {
        Self { engine, options, reservation, stage: Stage::Begun }
    }

    /// Begins to read what memory does not know. `None`: it knows all.
    fn begin(&self) -> Result<Option<Arc<PrefetchReading>>, KeyError> {
        let journal = self.engine.journal.as_ref();
        let Some(kept) = journal.and_then(|journal| journal.kept.as_ref()) else { return Ok(None) };
        let now = self.engine.now();
        let of_key = self.options.key.map(KeyName::Caller);
        let mut names = Vec::new();
        for name in of_key.into_iter().chain(self.reservation.map(KeyName::Retake)) {
            if self.engine.keys.get(&name, now).is_some() {
                continue;
            }
            match kept.find_answer(&name, 0, DiskUse::MemoryOnly) {
                Err(KeyError::Undecided) => names.push(name),
                known => drop(known?),
            }
        }
        let is_gone = |id: &ReservationId| {
            matches!(self.engine.snapshot_of(*id), Err(NoReservation::Forgotten))
        };
        let reservation = self.reservation.filter(is_gone);
        if names.is_empty() && reservation.is_none() {
            return Ok(None);
        }
        let (kept, state) = (Arc::clone(kept), Mutex::default());
        Ok(Some(Arc::new(PrefetchReading { kept, names, reservation, state })))
    }
}

impl Future for Prefetch<'_> {
    type Output = Result<(), KeyError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(journal) = &this.engine.journal else { return Poll::Ready(Ok(())) };
        loop {
            match &mut this.stage {
                Stage::Begun => {
                    let Some(reading) = this.begin()? else {
                        this.options.lookup = KeyLookup::MemoryOnly;
                        return Poll::Ready(Ok(()));
                    };
                    reading.ask(journal)?;
                    this.stage = Stage::Reading(reading);
                }
                Stage::Reading(reading) => match ready!(reading.poll(context))? {
                    Some(prefetched) => {
                        this.options.prefetched = Some(Arc::new(prefetched));
                        this.options.lookup = KeyLookup::MemoryOnly;
                        this.stage = Stage::Begun;
                        return Poll::Ready(Ok(()));
                    }
                    None => {
                        let reading = Arc::clone(reading);
                        this.stage = Stage::Flushing(reading, this.engine.flush());
                    }
                },
                Stage::Flushing(reading, flush) => {
                    if ready!(Pin::new(flush).poll(context)).is_err() {
                        // Its end may be among what could not be written.
                        this.stage = Stage::Begun;
                        return Poll::Ready(Err(KeyError::Gathering));
                    }
                    let reading = Arc::clone(reading);
                    lock(&reading.state).is_flushed = true;
                    reading.ask(journal)?;
                    this.stage = Stage::Reading(reading);
                }
            }
        }
    }
}

impl fmt::Debug for Prefetch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").field("reservation", &self.reservation).finish_non_exhaustive()
    }
}

/// What a prefetch has the follower thread read. Dropped with the future, it is passed over.
struct PrefetchReading {
    kept: Arc<KeptOutcomes>,
    names: Vec<KeyName>,
    reservation: Option<ReservationId>,
    state: Mutex<ReadingState>,
}

#[derive(Default)]
struct ReadingState {
    /// All that was recorded before the prefetch is on the disk.
    is_flushed: bool,
    /// What was read: `None` if the reservation is not in it.
    done: Option<Result<Option<Prefetched>, KeyError>>,
    waker: Option<Waker>,
}

impl PrefetchReading {
    /// Has the follower thread read. In an engine without threads it reads here.
    fn ask(self: &Arc<Self>, journal: &JournalLink) -> Result<(), KeyError> {
        let Some(thread) = &journal.thread else {
            self.serve();
            return Ok(());
        };
        self.kept.progress.wakers().prepare();
        let this: Arc<dyn Served> = Arc::clone(self) as _;
        thread.ask(Arc::downgrade(&this)).map_err(|error| {
            trace::warn(format_args!("nothing can be prefetched: {error}"));
            KeyError::Undecided
        })
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<Option<Prefetched>, KeyError>> {
        // A waker is another's code. It is cloned and dropped under no lock.
        let waker = context.waker().clone();
        let _former = {
            let mut state = lock(&self.state);
            match state.done.take() {
                Some(done) => return Poll::Ready(done),
                None => state.waker.replace(waker),
            }
        };
        Poll::Pending
    }

    fn read(&self, is_flushed: bool) -> Result<Option<Prefetched>, KeyError> {
        let mut prefetched = Prefetched::default();
        for name in &self.names {
            prefetched.answers.push((*name, self.kept.read_answer(name)?));
        }
        if let Some(id) = self.reservation {
            let outcome = match is_flushed {
                true => self.kept.read_outcome(id, || true)?,
                false => self.kept.find_outcome(id)?,
            };
            if outcome.is_none() && !is_flushed {
                return Ok(None);
            }
            prefetched.outcome = Some((id, outcome));
        }
        Ok(Some(prefetched))
    }
}

impl Served for PrefetchReading {
    fn serve(&self) {
        let is_flushed = lock(&self.state).is_flushed;
        // A storage that panics hurts this prefetch alone.
        let read = foreign::call(|| self.read(is_flushed));
        let waker = {
            let mut state = lock(&self.state);
            state.done = Some(read.unwrap_or(Err(KeyError::Gathering)));
            state.waker.take()
        };
        waker.into_iter().for_each(|waker| self.kept.progress.wakers().wake(waker));
    }
}

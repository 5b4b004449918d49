//! The audit queue: bounded, lock-free, first in first out, from all threads to one writer.
//!
//! ```text
//!  0            1/2           3/4            1
//!  +-------------+-------------+-------------+
//!  |   sweeper   |             |  operations |
//!  |   and all   |  buyers     |  under way  |
//!  +-------------+-------------+-------------+
//!                ^ wakes the   ^ new ones wait or
//!                  writer        are refused (Law 5)
//! ```
//!
//! An operation asks [`admit`](AuditQueue::admit) before it moves anything and queues exactly one
//! item with [`push`](AuditQueue::push) once it has begun; the push never fails for lack of room.
//!
//! How full the queue is stands in a line that the writer writes at every item it takes, so that
//! each look costs a miss while it works. A thread that found the queue at most half full
//! therefore admits its next few calls without a look ([`Admissions`]): so few that all of them,
//! from hundreds of threads, find room below the three quarters.

use std::time::Instant;

use crate::audit::gate::{Gate, Shut};
use crate::audit::patience::Patience;
use crate::audit::wake_signal::{WakeSignal, WriterGone};
use crate::base::shard::{parallelism, shards_for, thread_ordinal};
use crate::base::sync::{
    ArrayQueue, AtomicBool, AtomicU32, AtomicU64, CachePadded, Fenced, MODELLED, Ordering,
};

/// How many items the queue holds unless the caller says otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 65_536;

/// What happens to a new operation while the audit queue is at least three quarters full.
///
/// Either way it is decided before anything moves, and nothing is dropped: operations that have
/// begun always find room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backpressure {
    /// The call waits until the writer has caught up, the engine is shut down or the sink fails.
    #[default]
    Wait,
    /// The call is refused with a `Busy` error, worth a retry: for async callers, who must not
    /// block. One call may wait all the same: `confirm_or_retake`, where the hold's slot has been
    /// used since and the audit log has to be read.
    Refuse,
}

/// Why an operation may not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// The queue is at least three quarters full, and the policy is to refuse.
    Busy,
    /// The engine takes no mutations.
    Shut(Shut),
}

impl From<Shut> for NotAdmitted {
    fn from(shut: Shut) -> Self {
        Self::Shut(shut)
    }
}

/// The queue, with the gate before it and the writer's wake signal behind it.
#[derive(Debug)]
pub(crate) struct AuditQueue<T> {
    items: ArrayQueue<T>,
    half: usize,
    three_quarters: usize,
    backpressure: Backpressure,
    admissions: Admissions,
    gate: Gate,
    wake_signal: WakeSignal,
    /// Set once: the writer shall end when everything is written.
    ending: AtomicBool,
    /// Set once: the writer is stuck, and nobody waits for it any more.
    abandoned: AtomicBool,
    /// Calls that waited before they began, and that were refused as busy.
    waited: AtomicU64,
    refused: AtomicU64,
    /// Pushes of operations under way that found no place at once.
    pressed: AtomicU64,
}

impl<T> AuditQueue<T> {
    /// An empty queue of at least four places.
    pub(crate) fn new(capacity: usize, backpressure: Backpressure) -> Self {
        let capacity = capacity.max(4);
        Self {
            items: ArrayQueue::new(capacity),
            half: capacity / 2,
            three_quarters: capacity - capacity / 4,
            backpressure,
            admissions: Admissions::new(capacity),
            gate: Gate::new(),
            wake_signal: WakeSignal::new(),
            ending: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            pressed: AtomicU64::new(0),
        }
    }

    /// Whether an operation may begin (Law 5: decided before anything moves). May wait for the
    /// writer, if the policy says so.
    #[inline(always)]
    pub(crate) fn admit(&self) -> Result<(), NotAdmitted> {
        if self.gate.is_open() && self.admissions.take() { Ok(()) } else { self.look_and_admit() }
    }

    #[inline(never)]
    fn look_and_admit(&self) -> Result<(), NotAdmitted> {
        self.gate.check()?;
        let depth = self.items.len();
        if depth > self.half {
            return self.admit_to_a_crowd(depth);
        }
        self.admissions.grant();
        Ok(())
    }

    #[cold]
    fn admit_to_a_crowd(&self, mut depth: usize) -> Result<(), NotAdmitted> {
        if self.wake_signal.is_napping() {
            self.wake_signal.wake();
        }
        let mut patience = Patience::new();
        while depth >= self.three_quarters {
            // A sink that waited for room would wait for itself.
            if self.backpressure == Backpressure::Refuse || self.wake_signal.is_in_own_sink() {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(NotAdmitted::Busy);
            }
            if patience.is_fresh() {
                self.waited.fetch_add(1, Ordering::Relaxed);
            }
            self.wake_signal.wake();
            patience.wait();
            self.gate.check()?;
            depth = self.items.len();
        }
        Ok(())
    }

    /// Queues the one item of an operation that was admitted. Waits for a place if even the last
    /// quarter is full. An error says that the writer has ended: what was done stays done.
    #[inline(always)]
    pub(crate) fn push(&self, item: T) -> Result<(), WriterGone> {
        self.push_by(item, None)
    }

    /// As [`push`](Self::push), but waits for a place until `deadline` at most: for what nobody
    /// takes units from. An error says that the item was not queued.
    #[inline(always)]
    pub(crate) fn push_by(&self, item: T, deadline: Option<Instant>) -> Result<(), WriterGone> {
        self.push_no_wake(item, deadline)?;
        self.wake_signal.ring()
    }

    /// As [`push_by`](Self::push_by), but leaves it to the caller to make a fence and then to call
    /// [`wake_after`](Self::wake_after): for a caller who has other things to do that want a fence
    /// behind them.
    #[inline(always)]
    pub(crate) fn push_no_wake(
        &self,
        item: T,
        deadline: Option<Instant>,
    ) -> Result<(), WriterGone> {
        // Who takes units that came from one who skipped the queue must skip it too, or the journal
        // would hold the taking without the giving (Law 2).
        if self.is_lost() {
            return Err(WriterGone);
        }
        match self.items.push(item) {
            Ok(()) => Ok(()),
            Err(item) => self.press(item, deadline),
        }
    }

    /// Wakes a parked writer for what was pushed before the fence; an error says that it has ended.
    #[inline]
    pub(crate) fn wake_after(&self, fence: &Fenced) -> Result<(), WriterGone> {
        self.wake_signal.wake_after(fence)
    }

    /// Whether nothing that is queued from now on has to be written.
    #[inline]
    fn is_lost(&self) -> bool {
        // Relaxed: as in `WakeSignal::is_gone`, which stands on coherence alone.
        self.wake_signal.is_gone() || self.abandoned.load(Ordering::Relaxed)
    }

    #[cold]
    fn press(&self, mut item: T, deadline: Option<Instant>) -> Result<(), WriterGone> {
        self.pressed.fetch_add(1, Ordering::Relaxed);
        let mut patience = Patience::new();
        loop {
            self.wake_signal.wake();
            patience.wait();
            if self.is_lost() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(WriterGone);
            }
            match self.items.push(item) {
                Ok(()) => return Ok(()),
                Err(back) => item = back,
            }
        }
    }

    /// The oldest item. For the writer alone.
    pub(crate) fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    /// Items that wait for the writer.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits for the writer.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Whether the sweeper must hold back, so that a million expiries don't stall buyers.
    pub(crate) fn half_full(&self) -> bool {
        self.items.len() >= self.half
    }

    /// Whether the engine takes new mutations.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The signal that wakes the writer.
    pub(crate) fn wake_signal(&self) -> &WakeSignal {
        &self.wake_signal
    }

    /// Tells the writer to end once everything is written.
    pub(crate) fn end(&self) {
        // Release pairs with the Acquire in `is_ending`.
        self.ending.store(true, Ordering::Release);
        self.wake_signal.wake();
    }

    /// The writer is stuck in its sink beyond its deadline: whoever waits for a place is told that
    /// its item will not be written. What lies in the queue is, should the writer come back.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether the writer shall end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Calls that waited, calls refused as busy, and pushes that found the queue full, so far.
    pub(crate) fn waits(&self) -> Waits {
        Waits {
            waited: self.waited.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            pressed: self.pressed.load(Ordering::Relaxed),
        }
    }
}

/// Calls that may begin without a look at the queue, since one found it at most half full.
///
/// Threads of one shard may each spend the same one, so up to [`MOST`](Self::MOST) for each
/// *thread* begin unlooked. A quarter of the queue lies between the half and the three quarters:
/// room for those of 512 threads, whatever the capacity. With more of them, all in that state at
/// once, some pushes wait.
#[derive(Debug)]
struct Admissions {
    shards: Box<[CachePadded<AtomicU32>]>,
    /// How many a look is good for; none where the queue is small.
    granted: u32,
}

impl Admissions {
    const MOST: u32 = 32;
    const THREADS: usize = 512;

    fn new(capacity: usize) -> Self {
        let fitting = u32::try_from(capacity / 4 / Self::THREADS).unwrap_or(Self::MOST);
        let shards = if MODELLED { 1 } else { shards_for(parallelism()) };
        Self {
            shards: (0..shards).map(|_| CachePadded::new(AtomicU32::new(0))).collect(),
            granted: fitting.min(Self::MOST),
        }
    }

    #[inline]
    fn own(&self) -> &AtomicU32 {
        &self.shards[thread_ordinal() & (self.shards.len() - 1)]
    }

    /// Spends one, if there is any.
    #[inline]
    fn take(&self) -> bool {
        // Relaxed, and no read-modify-write: a count that orders nothing, and may be spent twice.
        let own = self.own();
        let left = own.load(Ordering::Relaxed);
        if left > 0 {
            own.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// The caller has looked, and there is room.
    fn grant(&self) {
        if self.granted > 0 {
            self.own().store(self.granted, Ordering::Relaxed);
        }
    }
}

/// How often callers felt the queue's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Calls that waited before they began.
    pub(crate) waited: u64,
    /// Calls refused as busy before they began.
    pub(crate) refused: u64,
    /// Pushes of operations under way that found no place at once.
    pub(crate) pressed: u64,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::sync::yield_now;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    fn filled(capacity: usize, items: u32, policy: Backpressure) -> AuditQueue<u32> {
        let queue = AuditQueue::new(capacity, policy);
        (0..items).for_each(|item| queue.push(item).expect("the writer lives"));
        queue
    }

    #[test]
    fn one_look_admits_as_many_calls_as_it_grants_and_none_in_a_small_queue() {
        let (large, small) = (Admissions::new(1 << 16), Admissions::new(1 << 10));
        assert!(!large.take());
        for _ in 0..2 {
            large.grant();
            assert!((0..Admissions::MOST).all(|_| large.take()));
            assert!(!large.take(), "all are spent");
        }
        small.grant();
        assert!(!small.take());
    }

    #[test]
    fn new_operations_are_refused_above_three_quarters_and_those_under_way_are_not() {
        let queue = filled(16, 11, Backpressure::Refuse);
        assert_eq!(queue.admit(), Ok(()));
        queue.push(11).expect("the writer lives");
        assert_eq!(queue.admit(), Err(NotAdmitted::Busy));
        (12..16).for_each(|item| queue.push(item).expect("the last quarter takes them"));
        assert_eq!(queue.waits(), Waits { waited: 0, refused: 1, pressed: 0 });
        assert_eq!(
            (0..16).map(|_| queue.pop()).collect::<Option<Vec<_>>>().map(|v| v[15]),
            Some(15)
        );
        assert_eq!(queue.admit(), Ok(()));
    }

    #[test]
    fn a_waiting_caller_goes_on_once_there_is_room() {
        let queue = Arc::new(filled(8, 6, Backpressure::Wait));
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.admit()
        });
        while queue.waits().waited == 0 {
            yield_now();
        }
        assert!(!waiting.is_finished());
        queue.pop();
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
        assert_eq!(queue.waits(), Waits { waited: 1, refused: 0, pressed: 0 });
    }

    #[test]
    fn a_waiting_caller_is_refused_when_the_engine_stops_meanwhile() {
        let queue = Arc::new(filled(8, 6, Backpressure::Wait));
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.admit()
        });
        while queue.waits().waited == 0 {
            yield_now();
        }
        queue.gate().close();
        assert_eq!(waiting.join().expect("no panic"), Err(NotAdmitted::Shut(Shut::Closed)));
    }

    #[test]
    fn a_push_into_a_full_queue_waits_for_a_place() {
        let queue = Arc::new(filled(4, 4, Backpressure::Wait));
        let pushing = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(4)
        });
        while queue.waits().pressed == 0 {
            yield_now();
        }
        assert!(!pushing.is_finished());
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(pushing.join().expect("no panic"), Ok(()));
        assert_eq!(queue.len(), 4);
        assert_eq!(queue.waits(), Waits { waited: 0, refused: 0, pressed: 1 });
    }

    #[test]
    fn nobody_waits_for_a_place_once_the_writer_is_given_up() {
        let queue = Arc::new(filled(4, 4, Backpressure::Wait));
        let pushing = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(4)
        });
        while queue.waits().pressed == 0 {
            yield_now();
        }
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(queue.push_by(5, Some(soon)), Err(WriterGone));
        assert!(!pushing.is_finished());
        queue.abandon();
        assert_eq!(pushing.join().expect("no panic"), Err(WriterGone));
        queue.pop();
        assert_eq!(queue.push(6), Err(WriterGone), "who comes later may spend what the first gave");
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn a_push_after_the_writer_left_says_so_and_queues_nothing() {
        let queue = filled(4, 3, Backpressure::Wait);
        queue.wake_signal().leave();
        assert_eq!(queue.push(4), Err(WriterGone));
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn a_parked_writer_is_woken_by_every_push() {
        const ITEMS: u32 = 20_000;
        let queue = Arc::new(AuditQueue::new(8, Backpressure::Wait));
        let writer = thread::spawn({
            let queue: Arc<AuditQueue<u32>> = Arc::clone(&queue);
            move || {
                queue.wake_signal().answer();
                let mut next = 0;
                while next < ITEMS {
                    while let Some(item) = queue.pop() {
                        assert_eq!(item, next, "first in, first out");
                        next += 1;
                    }
                    if next < ITEMS {
                        queue.wake_signal().park(|| !queue.is_empty());
                    }
                }
            }
        });
        (0..ITEMS).for_each(|item| queue.push(item).expect("the writer lives"));
        writer.join().expect("no panic");
    }
}

//! The audit queue: bounded, first in first out, from all threads to one writer. The [`Ring`] with
//! what makes it a part of the engine: who may begin, who waits, and who wakes whom.
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
//! A look at how full the queue is costs two misses while others push and the writer works. A
//! thread that found the queue at most half full therefore admits its next few calls without a look
//! ([`Admissions`]): so few that all of them, from hundreds of threads, find room below the three
//! quarters.

use std::time::Instant;

use crate::audit::admissions::Admissions;
use crate::audit::gate::{Gate, Shut};
use crate::audit::patience::Patience;
use crate::audit::ring::{Beside, FoundBeside, Ring, Ticket, Wants};
use crate::audit::wake_signal::{WakeSignal, WriterGone};
use crate::base::sync::{AtomicBool, AtomicU64, MODELLED, Ordering};

/// How many items the queue holds unless the caller says otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 65_536;
/// The smallest queue has a half and three quarters. Models want theirs full sooner.
const LEAST_CAPACITY: usize = if MODELLED { 1 } else { 4 };

/// What happens to a new operation while the audit queue is at least three quarters full.
///
/// It is decided before anything moves. Nothing is dropped: what has begun always finds room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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

/// The queue, with the gate before it and the writer's wake signal behind it. An item is `N` words,
/// and `R` more or an `L` if they are not all of it.
#[derive(Debug)]
pub(crate) struct AuditQueue<L, const N: usize, const R: usize> {
    items: Ring<L, N, R>,
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

impl<L, const N: usize, const R: usize> AuditQueue<L, N, R> {
    /// An empty queue of at least four places.
    pub(crate) fn new(capacity: usize, backpressure: Backpressure) -> Self {
        let capacity = capacity.max(LEAST_CAPACITY);
        Self {
            items: Ring::new(capacity),
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

    /// Whether an operation may begin at once: one of those that need no look at the queue. It has
    /// found the gate open.
    #[inline(always)]
    pub(crate) fn is_admitted(&self) -> bool {
        self.admissions.take()
    }

    /// Whether an operation may begin (Law 5: decided before anything moves). May wait for the
    /// writer, if the policy says so.
    #[inline(never)]
    pub(crate) fn admit(&self) -> Result<(), NotAdmitted> {
        self.gate.check()?;
        let depth = self.len();
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
            depth = self.len();
        }
        Ok(())
    }

    /// Makes room for words beside items; see [`Ring::make_rows`]. An operation that pushes some
    /// calls it before it begins.
    #[inline]
    pub(crate) fn make_rows(&self) -> bool {
        self.items.make_rows()
    }

    /// Queues the one item of an operation that was admitted. Waits for a place if even the last
    /// quarter is full. An error says that the writer has ended: what was done stays done.
    #[inline(always)]
    pub(crate) fn push(&self, words: [u64; N], beside: Beside<'_, L>) -> Result<(), WriterGone> {
        // Who takes units that came from one who skipped the queue must skip it too, or the journal
        // would hold the taking without the giving (Law 2).
        if self.is_lost() {
            return Err(WriterGone);
        }
        let mut ticket = self.items.ticket();
        if !self.items.has_room(&ticket) {
            ticket = self.wait_for_room(ticket)?;
        }
        let queued = self.items.publish(ticket, words, beside);
        self.wake_signal.ring(&queued)
    }

    /// As [`push`](Self::push), but waits for a place until `deadline` at most: for what nobody
    /// takes units from. An error says that the item was not queued.
    pub(crate) fn push_by(
        &self,
        words: [u64; N],
        beside: Beside<'_, L>,
        deadline: Instant,
    ) -> Result<(), WriterGone> {
        let mut patience = Patience::new();
        // Without a ticket nobody waits for it, and it may turn back.
        let ticket = loop {
            if self.is_lost() {
                return Err(WriterGone);
            }
            if let Some(ticket) = self.items.ticket_if_room() {
                break ticket;
            }
            self.press(&mut patience);
            if Instant::now() >= deadline {
                return Err(WriterGone);
            }
        };
        let queued = self.items.publish(ticket, words, beside);
        self.wake_signal.ring(&queued)
    }

    /// Whether nothing that is queued from now on has to be written.
    #[inline]
    fn is_lost(&self) -> bool {
        // Relaxed: as in `WakeSignal::is_gone`, which stands on coherence alone.
        self.wake_signal.is_gone() || self.abandoned.load(Ordering::Relaxed)
    }

    /// Waits until the ticket has room. An error says that nobody will write its item, and that
    /// the ticket is given up: the writer may come back, or take its last look, and would wait.
    #[cold]
    #[inline(never)]
    fn wait_for_room(&self, ticket: Ticket) -> Result<Ticket, WriterGone> {
        let mut patience = Patience::brief();
        while !self.items.has_room(&ticket) {
            self.press(&mut patience);
            if self.is_lost() {
                self.items.give_up(ticket);
                return Err(WriterGone);
            }
        }
        Ok(ticket)
    }

    /// Waits a little for the writer to make room.
    fn press(&self, patience: &mut Patience) {
        if patience.is_fresh() {
            self.pressed.fetch_add(1, Ordering::Relaxed);
        }
        self.wake_signal.wake();
        patience.wait();
    }

    /// Takes what was pushed before this call, but at most so many; see [`Ring::drain`]. Waits for
    /// pushes under way. For the writer alone.
    pub(crate) fn drain(
        &self,
        most: u64,
        take: impl FnMut([u64; N], FoundBeside<'_, L, R>) -> Wants,
    ) -> u64 {
        self.items.drain(most, take)
    }

    /// The writer ends: takes all of what was pushed by calls that were told that it will be
    /// written. Nothing that comes later will ever be taken.
    pub(crate) fn leave(&self, mut take: impl FnMut([u64; N], FoundBeside<'_, L, R>)) {
        // A push that was told so has its ticket before the tail that the last look sees: the
        // fence in `leave` pairs with that ticket and the push's look at the posture after it.
        self.wake_signal.leave();
        self.items.drain(u64::MAX, |words, found| {
            take(words, found);
            Wants::More
        });
    }

    /// Items in the queue. A little too many while the writer works; see [`Ring::len`].
    pub(crate) fn len(&self) -> usize {
        self.untaken().min(self.items.capacity() as u64) as usize
    }

    /// Items that the writer has not taken, with those that wait for a place.
    pub(crate) fn untaken(&self) -> u64 {
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
        self.len() >= self.half
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

    type Queue = AuditQueue<(), 1, 1>;

    fn filled(capacity: usize, items: u64, policy: Backpressure) -> Queue {
        let queue = Queue::new(capacity, policy);
        (0..items).for_each(|item| push(&queue, item).expect("the writer lives"));
        queue
    }

    fn push(queue: &Queue, item: u64) -> Result<(), WriterGone> {
        queue.push([item], Beside::Nothing)
    }

    fn drain(queue: &Queue) -> Vec<u64> {
        let mut items = Vec::new();
        queue.drain(u64::MAX, |[item], _| {
            items.push(item);
            Wants::More
        });
        items
    }

    #[test]
    fn new_operations_are_refused_above_three_quarters_and_those_under_way_are_not() {
        let queue = filled(16, 11, Backpressure::Refuse);
        assert_eq!(queue.admit(), Ok(()));
        push(&queue, 11).expect("the writer lives");
        assert_eq!(queue.admit(), Err(NotAdmitted::Busy));
        (12..16).for_each(|item| push(&queue, item).expect("the last quarter takes them"));
        assert_eq!(queue.waits(), Waits { waited: 0, refused: 1, pressed: 0 });
        assert_eq!(drain(&queue), (0..16).collect::<Vec<_>>());
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
        assert_eq!(drain(&queue).len(), 6);
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
            move || push(&queue, 4)
        });
        while queue.waits().pressed == 0 {
            yield_now();
        }
        assert!(!pushing.is_finished());
        assert_eq!((queue.len(), queue.untaken()), (4, 5), "one waits for its place");
        // One turn takes what there is room for; the waiting one may have come in by then.
        let mut items = drain(&queue);
        assert_eq!(pushing.join().expect("no panic"), Ok(()));
        items.extend(drain(&queue));
        assert_eq!(items, [0, 1, 2, 3, 4]);
        assert_eq!(queue.waits(), Waits { waited: 0, refused: 0, pressed: 1 });
    }

    #[test]
    fn nobody_waits_for_a_place_once_the_writer_is_given_up() {
        let queue = Arc::new(filled(4, 4, Backpressure::Wait));
        let pushing = thread::spawn({
            let queue = Arc::clone(&queue);
            move || push(&queue, 4)
        });
        while queue.waits().pressed == 0 {
            yield_now();
        }
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(queue.push_by([5], Beside::Nothing, soon), Err(WriterGone));
        assert!(!pushing.is_finished());
        queue.abandon();
        assert_eq!(pushing.join().expect("no panic"), Err(WriterGone));
        assert_eq!(drain(&queue), [0, 1, 2, 3], "should it come back");
        assert_eq!(
            push(&queue, 6),
            Err(WriterGone),
            "who comes later may spend what the first gave"
        );
        assert_eq!(drain(&queue), []);
        assert!(queue.is_empty(), "nobody waits for the ticket that was given up");
    }

    #[test]
    fn a_push_after_the_writer_left_says_so_and_queues_nothing() {
        let queue = filled(4, 3, Backpressure::Wait);
        let mut last = Vec::new();
        queue.leave(|[item], _| last.push(item));
        assert_eq!(last, [0, 1, 2]);
        assert_eq!(push(&queue, 4), Err(WriterGone));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_parked_writer_is_woken_by_every_push() {
        const ITEMS: u64 = 20_000;
        let queue = Arc::new(Queue::new(8, Backpressure::Wait));
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                queue.wake_signal().answer();
                let mut next = 0;
                while next < ITEMS {
                    for item in drain(&queue) {
                        assert_eq!(item, next, "first in, first out");
                        next += 1;
                    }
                    if next < ITEMS {
                        queue.wake_signal().park(|| !queue.is_empty());
                    }
                }
            }
        });
        (0..ITEMS).for_each(|item| push(&queue, item).expect("the writer lives"));
        writer.join().expect("no panic");
    }

    #[test]
    fn a_writer_that_leaves_waits_for_nobody_who_waits_for_room() {
        let queue = Arc::new(filled(4, 4, Backpressure::Wait));
        let pushing: Vec<_> = (4..8)
            .map(|item| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || (item, push(&queue, item)))
            })
            .collect();
        while queue.waits().pressed < 4 {
            yield_now();
        }
        let mut last = Vec::new();
        queue.leave(|[item], _| last.push(item));
        for (item, pushed) in pushing.into_iter().map(|pushing| pushing.join().expect("no panic")) {
            assert!(pushed.is_err() || last.contains(&item), "who was told so is written");
        }
        assert!(last.starts_with(&[0, 1, 2, 3]));
    }
}

//! The ring under the audit queue: bounded, from all threads to one reader, in the order of
//! tickets.
//!
//! ```text
//!          head                    tail
//!           |  written    a hole    |
//!   . . . . [ t ][ t+1 ][ ... ][ t+3 ] . . . . .
//!           ^ the reader            ^ the next ticket
//! ```
//!
//! A thread takes a ticket by one `fetch_add` on the tail. The ticket is its place in the order,
//! and the order of tickets is the order of the log. It then stores its words into the place, and
//! publishes them with the place's stamp. The reader follows ticket by ticket. It swaps nothing,
//! and writes nothing but its head, and that rarely.
//!
//! - **A hole** is a ticket that is taken and not yet published. Between the two a thread does
//!   nothing but store words, so the reader waits for it. It must not pass: who saw a unit given
//!   back has the later ticket, and what gave it has the earlier one (Law 2).
//! - **Full** is seen after the ticket was taken. Its thread waits for the head to come near, and
//!   may [give it up](Ring::give_up): the reader then skips it. Who may have to turn back without
//!   that takes its ticket [only where there is room](Ring::ticket_if_room).
//! - **What does not fit into words** lies in a table beside the places, each behind a lock of its
//!   own. A place belongs to one thread at a time, so nobody ever waits for such a lock.

use std::fmt;

use crate::audit::patience::Patience;
use crate::base::sync::{AtomicU64, CachePadded, Fenced, Mutex, Ordering, lock, sequenced};

/// The reader publishes its head at least each so many entries: producers read that line at each
/// push, and lose it each time it is written.
const PUBLISHED_EACH: u64 = 2_048;

/// A ring of places of `N` words, each with an `L` that may lie beside them.
pub(crate) struct Ring<L, const N: usize> {
    /// As many as the capacity, rounded up to a power of two.
    places: Box<[RingPlace<N>]>,
    beside: Box<[Mutex<Option<L>>]>,
    capacity: u64,
    /// The next ticket.
    tail: CachePadded<AtomicU64>,
    /// The reader is through with all tickets below. It may be further than this says.
    head: CachePadded<AtomicU64>,
    /// The ticket that the reader takes next. Nobody but the reader locks it.
    next: CachePadded<Mutex<u64>>,
    /// Tickets that nobody will publish.
    given_up: Mutex<Vec<u64>>,
}

/// A place of the ring. With seven words it is one cache line.
#[repr(align(64))]
struct RingPlace<const N: usize> {
    words: [AtomicU64; N],
    /// Which ticket's words these are; see [`stamp_of`].
    stamp: AtomicU64,
}

/// The stamp of a ticket's words. Never zero, which is the stamp of a place that nobody has used.
const fn stamp_of(ticket: u64, has_beside: bool) -> u64 {
    (ticket + 1) << 1 | has_beside as u64
}

/// A place in the order, that its thread has to [publish](Ring::publish) or to [give
/// up](Ring::give_up). The reader waits for it until then.
#[derive(Debug)]
#[must_use = "the reader waits for each ticket"]
pub(crate) struct Ticket {
    number: u64,
    /// Who takes a last look at the tail sees this ticket, or is seen.
    taken: Fenced,
}

impl<L, const N: usize> Ring<L, N> {
    /// An empty ring with room for `capacity` entries, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let places = capacity.next_power_of_two();
        let place = |_| RingPlace {
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            stamp: AtomicU64::new(0),
        };
        Self {
            places: (0..places).map(place).collect(),
            beside: (0..places).map(|_| Mutex::new(None)).collect(),
            capacity: capacity as u64,
            tail: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(AtomicU64::new(0)),
            next: CachePadded::new(Mutex::new(0)),
            given_up: Mutex::new(Vec::new()),
        }
    }

    #[inline(always)]
    fn index(&self, ticket: u64) -> usize {
        // Truncation keeps the low bits, which are all that count.
        ticket as usize & (self.places.len() - 1)
    }

    /// The next place in the order. Never waits, and asks nobody whether there is
    /// [room](Self::has_room).
    #[inline(always)]
    pub(crate) fn ticket(&self) -> Ticket {
        // The tail hands nothing over. Of two tickets of which one was taken before the other in
        // any way that a thread can know, the first has the lower number, because a
        // read-modify-write comes after all that happened before it in the tail's one order.
        // SeqCst for the proof: it pairs with the fences before the reader's last looks.
        Ticket { number: self.tail.fetch_add(1, Ordering::SeqCst), taken: sequenced() }
    }

    /// The next place in the order, if there is room for it now.
    pub(crate) fn ticket_if_room(&self) -> Option<Ticket> {
        let mut tail = self.tail.load(Ordering::Relaxed);
        while self.is_free(tail) {
            // SeqCst as in `ticket`.
            let (taken, missed) = (Ordering::SeqCst, Ordering::Relaxed);
            match self.tail.compare_exchange_weak(tail, tail + 1, taken, missed) {
                Ok(number) => return Some(Ticket { number, taken: sequenced() }),
                Err(newer) => tail = newer,
            }
        }
        None
    }

    #[inline(always)]
    fn is_free(&self, ticket: u64) -> bool {
        // Acquire pairs with the Release in `publish_head`: the reader has read the words of the
        // lap before, and they may be overwritten.
        ticket < self.head.load(Ordering::Acquire) + self.capacity
    }

    /// Whether the ticket's place is free. Once it is, it stays so.
    #[inline(always)]
    pub(crate) fn has_room(&self, ticket: &Ticket) -> bool {
        self.is_free(ticket.number)
    }

    /// Fills the ticket's place, and lets the reader have it. Only where there [is
    /// room](Self::has_room). Returns the proof that a reader which missed the ticket at its last
    /// look is seen at its rest.
    #[inline(always)]
    pub(crate) fn publish(&self, ticket: Ticket, words: [u64; N], beside: Option<L>) -> Fenced {
        let Ticket { number: ticket, taken } = ticket;
        let index = self.index(ticket);
        let has_beside = beside.is_some();
        if has_beside {
            *lock(&self.beside[index]) = beside;
        }
        let place = &self.places[index];
        for (own, word) in place.words.iter().zip(words) {
            own.store(word, Ordering::Relaxed);
        }
        // Release pairs with the Acquire in `drain`: who reads this stamp reads these words.
        place.stamp.store(stamp_of(ticket, has_beside), Ordering::Release);
        taken
    }

    /// Leaves a ticket that has no room: the reader skips it.
    #[cold]
    pub(crate) fn give_up(&self, ticket: Ticket) {
        lock(&self.given_up).push(ticket.number);
    }

    /// Whether the ticket was given up; asked once more, it was not.
    fn take_given_up(&self, ticket: u64) -> bool {
        let mut given_up = lock(&self.given_up);
        let found = given_up.iter().position(|own| *own == ticket);
        found.map(|index| given_up.swap_remove(index)).is_some()
    }

    /// Takes the entries of all tickets that were taken before this call, but at most `limit`, in
    /// their order. Waits for those that are not yet published. Says how many it took.
    ///
    /// For the one reader. Two that call it at once take turns.
    pub(crate) fn drain(&self, limit: u64, mut take: impl FnMut([u64; N], Option<L>)) -> u64 {
        let mut next = lock(&self.next);
        // Relaxed: whoever can know that an entry was pushed before this call has a ticket whose
        // `fetch_add` happened before this load, which then sees it.
        let end = self.tail.load(Ordering::Relaxed).min(next.saturating_add(limit));
        let each = (self.capacity / 16).clamp(1, PUBLISHED_EACH);
        let (mut published_head, mut taken) = (*next, 0);
        while *next < end {
            let ticket = *next;
            let index = self.index(ticket);
            let place = &self.places[index];
            let Some(has_beside) = Self::published(place, ticket).or_else(|| {
                // Published before the wait: the one who shall fill the hole may wait for room.
                self.publish_head(ticket);
                published_head = ticket;
                self.wait_at_hole(place, ticket)
            }) else {
                *next += 1;
                continue;
            };
            let words = std::array::from_fn(|word| place.words[word].load(Ordering::Relaxed));
            let beside = if has_beside { lock(&self.beside[index]).take() } else { None };
            *next += 1;
            taken += 1;
            take(words, beside);
            if *next - published_head >= each {
                published_head = *next;
                self.publish_head(published_head);
            }
        }
        if published_head < *next {
            self.publish_head(*next);
        }
        taken
    }

    /// Whether something lies beside the words of this ticket; `None` if they are not published.
    #[inline(always)]
    fn published(place: &RingPlace<N>, ticket: u64) -> Option<bool> {
        // Acquire pairs with the Release in `publish`.
        let stamp = place.stamp.load(Ordering::Acquire);
        (stamp | 1 == stamp_of(ticket, true)).then_some(stamp & 1 != 0)
    }

    /// Lets producers use all places below `next` again.
    #[inline]
    fn publish_head(&self, next: u64) {
        // Release pairs with the Acquire in `is_free`.
        self.head.store(next, Ordering::Release);
    }

    /// Waits until the ticket is published or given up; `None` means given up.
    #[cold]
    #[inline(never)]
    fn wait_at_hole(&self, place: &RingPlace<N>, ticket: u64) -> Option<bool> {
        let mut patience = Patience::brief();
        loop {
            if let published @ Some(_) = Self::published(place, ticket) {
                return published;
            }
            if self.take_given_up(ticket) {
                return None;
            }
            patience.wait();
        }
    }

    /// Tickets that were taken, and that the reader has not said to be through with. While the
    /// reader works this is too high by what it has not said, and it may exceed the capacity by
    /// those who wait for room.
    pub(crate) fn len(&self) -> u64 {
        // Acquire pairs with the Release in `publish_head`, so that the tail is not older than the
        // head.
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Relaxed).saturating_sub(head)
    }

    /// Whether the reader is through with all tickets that were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }
}

impl<L, const N: usize> fmt::Debug for Ring<L, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    type Small = Ring<String, 2>;

    fn push(ring: &Small, word: u64, beside: Option<&str>) {
        let ticket = ring.ticket();
        assert!(ring.has_room(&ticket));
        let _ = ring.publish(ticket, [word, !word], beside.map(str::to_owned));
    }

    fn drain(ring: &Small, limit: u64) -> Vec<(u64, Option<String>)> {
        let mut taken = Vec::new();
        ring.drain(limit, |[word, inverse], beside| {
            assert_eq!(word, !inverse, "words of one push");
            taken.push((word, beside));
        });
        taken
    }

    #[test]
    fn entries_come_out_in_order_lap_after_lap_with_what_lies_beside_them() {
        let ring = Small::new(3);
        for lap in 0..5 {
            push(&ring, lap, None);
            push(&ring, 10 + lap, Some("beside"));
            push(&ring, 20 + lap, None);
            assert_eq!((ring.len(), ring.capacity()), (3, 3));
            let beside = Some("beside".to_owned());
            assert_eq!(drain(&ring, 2), [(lap, None), (10 + lap, beside)]);
            assert_eq!(ring.len(), 1);
            assert_eq!(drain(&ring, u64::MAX), [(20 + lap, None)]);
            assert!(ring.is_empty());
        }
    }

    #[test]
    fn the_capacity_is_the_callers_and_not_the_number_of_places() {
        let ring = Small::new(3);
        (0..3).for_each(|word| push(&ring, word, None));
        assert!(ring.ticket_if_room().is_none());
        let fourth = ring.ticket();
        assert!(!ring.has_room(&fourth));
        assert_eq!(drain(&ring, 1), [(0, None)]);
        assert!(ring.has_room(&fourth));
        let _ = ring.publish(fourth, [3, !3], None);
        assert!(ring.ticket_if_room().is_none());
        assert_eq!(drain(&ring, u64::MAX).len(), 3);
        let fifth = ring.ticket_if_room().expect("there is room");
        let _ = ring.publish(fifth, [4, !4], None);
        assert_eq!(drain(&ring, u64::MAX), [(4, None)]);
    }

    #[test]
    fn a_ticket_that_was_given_up_is_skipped() {
        let ring = Small::new(1);
        push(&ring, 0, None);
        let (second, third) = (ring.ticket(), ring.ticket());
        assert!(!ring.has_room(&second));
        ring.give_up(second);
        ring.give_up(third);
        assert_eq!(ring.len(), 3);
        assert_eq!(drain(&ring, u64::MAX), [(0, None)]);
        assert!(ring.is_empty());
        push(&ring, 3, None);
        assert_eq!(drain(&ring, u64::MAX), [(3, None)]);
    }

    #[test]
    fn the_reader_waits_at_a_hole_and_passes_nobody() {
        let ring = Arc::new(Small::new(4));
        let hole = ring.ticket();
        push(&ring, 1, None);
        let reading = thread::spawn({
            let ring = Arc::clone(&ring);
            move || drain(&ring, u64::MAX)
        });
        thread::sleep(Duration::from_millis(5));
        assert!(!reading.is_finished());
        let _ = ring.publish(hole, [0, !0], None);
        assert_eq!(reading.join().expect("no panic"), [(0, None), (1, None)]);
    }

    #[test]
    fn who_waits_for_room_behind_a_hole_gets_it_although_the_reader_waits_too() {
        // The head is published each 8 entries only; what was taken before the hole makes room.
        let ring = Arc::new(Small::new(128));
        push(&ring, 0, None);
        let hole = ring.ticket();
        (2..128).for_each(|word| push(&ring, word, None));
        let waiting = ring.ticket();
        assert!(!ring.has_room(&waiting));
        let reading = thread::spawn({
            let ring = Arc::clone(&ring);
            move || drain(&ring, u64::MAX).len()
        });
        let until = Instant::now() + Duration::from_secs(10);
        while !ring.has_room(&waiting) {
            assert!(Instant::now() < until, "both wait for ever");
            thread::yield_now();
        }
        let _ = ring.publish(waiting, [128, !128], None);
        let _ = ring.publish(hole, [1, !1], None);
        assert_eq!(reading.join().expect("no panic"), 129);
    }

    #[test]
    fn what_nobody_took_is_dropped_with_the_ring() {
        let beside = Arc::new(());
        let ring: Ring<Arc<()>, 1> = Ring::new(4);
        let _ = ring.publish(ring.ticket(), [0], Some(Arc::clone(&beside)));
        drop(ring);
        assert_eq!(Arc::strong_count(&beside), 1);
    }
}

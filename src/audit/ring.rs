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
//! - **What does not fit into the place's words** lies beside it: in a *row* of more words, which
//!   belongs to the place and is filled and read as its own words are; or, if it is no words,
//!   behind a lock of its own. A place belongs to one thread at a time, so nobody ever waits for
//!   such a lock. The rows are [made](Ring::make_rows) once somebody needs them.

#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::sync::OnceLock;

use crate::audit::patience::Patience;
use crate::base::sync::{AtomicU64, CachePadded, Fenced, Mutex, Ordering, lock, sequenced};

/// The reader publishes its head at least each so many entries: producers read that line at each
/// push, and lose it each time it is written.
const PUBLISHED_EACH: u64 = 2_048;

/// A longer ring has no rows: they would take more memory than all the rest of an engine.
const MOST_ROWS: usize = 1 << 18;

/// A ring of places of `N` words, each with a row of `R` words, or an `L`, that may lie beside
/// them.
pub(crate) struct Ring<L, const N: usize, const R: usize> {
    /// As many as the capacity, rounded up to a power of two.
    places: Box<[RingPlace<N>]>,
    beside: Box<[Mutex<Option<L>>]>,
    /// One for each place, once there are any.
    rows: OnceLock<Box<[Row<R>]>>,
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

/// More words of a place.
#[repr(align(64))]
pub(crate) struct Row<const R: usize>([AtomicU64; R]);

impl<const R: usize> Row<R> {
    /// One of its words. For the reader, while it has the place.
    #[inline]
    pub(crate) fn word(&self, word: usize) -> u64 {
        // Relaxed: as the place's own words, published by its stamp.
        self.0[word].load(Ordering::Relaxed)
    }

    /// Leaves nothing of what was in it: a key, or a note, might lie here for hours.
    fn wipe(&self) {
        // Relaxed: before the head is published, as all that the reader does with a place.
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// What lies beside the words of a place, as it is pushed.
#[derive(Debug)]
pub(crate) enum Beside<'a, L> {
    Nothing,
    /// At most as many words as a row has.
    Words(&'a [u64]),
    Other(L),
}

/// What lies beside the words of a place, as the reader finds it. A row may have fewer words of
/// this place than it has room for.
pub(crate) enum FoundBeside<'a, L, const R: usize> {
    Nothing,
    Words(&'a Row<R>),
    Other(L),
}

/// Whether the reader wants more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    More,
    NoMore,
}

/// Bits of a stamp that say what lies beside the words.
const BESIDE: u64 = 3;
const NOTHING: u64 = 0;
const WORDS: u64 = 1;
const OTHER: u64 = 2;

/// The stamp of a ticket's words. Never zero, which is the stamp of a place that nobody has used.
const fn stamp_of(ticket: u64, beside: u64) -> u64 {
    (ticket + 1) << BESIDE.count_ones() | beside
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

impl<L, const N: usize, const R: usize> Ring<L, N, R> {
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
            rows: OnceLock::new(),
            capacity: capacity as u64,
            tail: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(AtomicU64::new(0)),
            next: CachePadded::new(Mutex::new(0)),
            given_up: Mutex::new(Vec::new()),
        }
    }

    /// Makes the rows, if there are none. Who pushes words beside a place calls it before it takes
    /// its ticket: it may allocate. `false`: so long a ring has no rows.
    #[inline]
    pub(crate) fn make_rows(&self) -> bool {
        self.places.len() <= MOST_ROWS && !self.rows().is_empty()
    }

    #[inline]
    fn rows(&self) -> &[Row<R>] {
        let row = |_: &RingPlace<N>| Row(std::array::from_fn(|_| AtomicU64::new(0)));
        self.rows.get_or_init(|| self.places.iter().map(row).collect())
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
    pub(crate) fn publish(&self, ticket: Ticket, words: [u64; N], beside: Beside<'_, L>) -> Fenced {
        let Ticket { number: ticket, taken } = ticket;
        let index = self.index(ticket);
        let what = match beside {
            Beside::Nothing => NOTHING,
            Beside::Words(words) => {
                for (own, word) in self.rows()[index].0.iter().zip(words) {
                    own.store(*word, Ordering::Relaxed);
                }
                WORDS
            }
            Beside::Other(other) => {
                *lock(&self.beside[index]) = Some(other);
                OTHER
            }
        };
        let place = &self.places[index];
        for (own, word) in place.words.iter().zip(words) {
            own.store(word, Ordering::Relaxed);
        }
        // Release pairs with the Acquire in `published`: who reads this stamp reads these words,
        // and those of the row.
        place.stamp.store(stamp_of(ticket, what), Ordering::Release);
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
    /// their order, as long as `take` wants more. Waits for those that are not yet published. Says
    /// with how many tickets it is through: those that were given up count.
    ///
    /// For the one reader. Two that call it at once take turns.
    pub(crate) fn drain(
        &self,
        limit: u64,
        mut take: impl FnMut([u64; N], FoundBeside<'_, L, R>) -> Wants,
    ) -> u64 {
        let mut next = lock(&self.next);
        // Relaxed: whoever can know that an entry was pushed before this call has a ticket whose
        // `fetch_add` happened before this load, which then sees it.
        let end = self.tail.load(Ordering::Relaxed).min(next.saturating_add(limit));
        let each = (self.capacity / 16).clamp(1, PUBLISHED_EACH);
        let begin = *next;
        let mut published_head = begin;
        while *next < end {
            let ticket = *next;
            let index = self.index(ticket);
            let place = &self.places[index];
            let Some(what) = Self::published(place, ticket).or_else(|| {
                // Published before the wait: the one who shall fill the hole may wait for room.
                self.publish_head(ticket);
                published_head = ticket;
                self.wait_at_hole(place, ticket)
            }) else {
                *next += 1;
                continue;
            };
            let words = std::array::from_fn(|word| place.words[word].load(Ordering::Relaxed));
            let beside = match what {
                NOTHING => FoundBeside::Nothing,
                WORDS => FoundBeside::Words(&self.rows()[index]),
                _ => match lock(&self.beside[index]).take() {
                    Some(other) => FoundBeside::Other(other),
                    None => FoundBeside::Nothing,
                },
            };
            *next += 1;
            let wants = take(words, beside);
            if what == WORDS {
                self.rows()[index].wipe();
            }
            if *next - published_head >= each {
                published_head = *next;
                self.publish_head(published_head);
            }
            if wants == Wants::NoMore {
                break;
            }
        }
        if published_head < *next {
            self.publish_head(*next);
        }
        *next - begin
    }

    /// What lies beside the words of this ticket; `None` if they are not published.
    #[inline(always)]
    fn published(place: &RingPlace<N>, ticket: u64) -> Option<u64> {
        // Acquire pairs with the Release in `publish`.
        let stamp = place.stamp.load(Ordering::Acquire);
        (stamp | BESIDE == stamp_of(ticket, BESIDE)).then_some(stamp & BESIDE)
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
    fn wait_at_hole(&self, place: &RingPlace<N>, ticket: u64) -> Option<u64> {
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

impl<L, const N: usize, const R: usize> fmt::Debug for Ring<L, N, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

//! The parts of the idempotency map, each under a lock of its own: the answers whose names fall
//! into it, in the order in which they were published, and the calls under way.

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU64, AtomicUsize, CachePadded, Mutex, MutexGuard, Ordering, lock};
use crate::idempotency::digest::NameDigest;
use crate::idempotency::map::table::KeyTable;
use crate::idempotency::map::tally::Ahead;

/// An answer that was published.
pub(super) struct KeyEntry<A> {
    // Bytes, all of them: so there is no gap between them.
    fingerprint: [u8; 16],
    at: [u8; 6],
    pub(super) answer: A,
    /// It may be dropped: somebody else has it, or nobody needs it.
    pub(super) settled: bool,
}

impl<A> KeyEntry<A> {
    pub(super) fn new(fingerprint: u128, answer: A, at: Timestamp, settled: bool) -> Self {
        const { assert!(Timestamp::MAX.as_millis() < 1 << 48) };
        let [a, b, c, d, e, f, ..] = at.as_millis().to_le_bytes();
        let at = [a, b, c, d, e, f];
        Self { fingerprint: fingerprint.to_ne_bytes(), at, answer, settled }
    }

    pub(super) fn fingerprint(&self) -> u128 {
        u128::from_ne_bytes(self.fingerprint)
    }

    /// When it was published.
    pub(super) fn at(&self) -> Timestamp {
        let [a, b, c, d, e, f] = self.at;
        Timestamp::from_millis(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }
}

// What an answer of an engine takes in the table is this, and 16 bytes for its name.
const _: () = assert!(size_of::<KeyEntry<[u8; 17]>>() == 40);

/// A call that has claimed its key, and is not done.
struct CallUnderWay {
    name: NameDigest,
    fingerprint: u128,
}

/// What the lock of a part guards.
pub(super) struct Known<A> {
    answers: KeyTable<KeyEntry<A>>,
    /// In no order. There are no more than threads that have a key of this part, so a search sees
    /// hardly ever any.
    under_way: Vec<CallUnderWay>,
}

/// A part of the map.
pub(super) struct Part<A> {
    known: Mutex<Known<A>>,
    /// The publish time of the oldest answer, plus one; 0 if there is none that is settled. Changed
    /// under the lock.
    oldest: AtomicU64,
    /// How many calls are under way. Changed under the lock.
    under_way: AtomicUsize,
    /// Of the map's places.
    pub(super) places: Ahead,
    /// Of the answers that wait to be settled.
    pub(super) unsettled: Ahead,
}

impl<A> Part<A> {
    pub(super) fn lock(&self) -> LockedPart<'_, A> {
        // Nothing that runs under this lock can panic half-way.
        LockedPart { part: self, known: lock(&self.known) }
    }

    /// When the oldest answer was published, if it is settled: as far as one can tell without the
    /// lock.
    fn oldest(&self) -> Option<Timestamp> {
        let oldest = self.oldest.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Timestamp::from_millis(oldest))
    }

    /// How many calls are under way.
    pub(super) fn under_way(&self) -> usize {
        // Relaxed: a figure.
        self.under_way.load(Ordering::Relaxed)
    }
}

/// A part of the map, locked. Nobody may hold two.
pub(super) struct LockedPart<'a, A> {
    pub(super) part: &'a Part<A>,
    known: MutexGuard<'a, Known<A>>,
}

impl<A> LockedPart<'_, A> {
    pub(super) fn answer(&self, name: NameDigest) -> Option<&KeyEntry<A>> {
        self.known.answers.get(name)
    }

    /// Adds the newest answer. There is none of this name.
    pub(super) fn publish(&mut self, name: NameDigest, answer: KeyEntry<A>) {
        let first = self.known.answers.len() == 0;
        self.known.answers.push(name, answer);
        if first {
            self.note_oldest();
        }
    }

    /// Settles an answer that `is_meant`, and says when it was published; `None` if there is none.
    pub(super) fn settle(
        &mut self,
        name: NameDigest,
        is_meant: impl FnOnce(&KeyEntry<A>) -> bool,
    ) -> Option<Timestamp> {
        let answer = self.known.answers.get_mut(name)?;
        if answer.settled || !is_meant(answer) {
            return None;
        }
        answer.settled = true;
        let at = answer.at();
        self.note_oldest();
        Some(at)
    }

    /// When the oldest answer was published, if it is settled.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        // The answer itself is likely to be far from the cache.
        self.part.oldest()
    }

    /// Drops the oldest answer.
    pub(super) fn drop_oldest(&mut self) {
        self.known.answers.pop_oldest();
        self.note_oldest();
    }

    /// Drops the answer of this name.
    pub(super) fn drop_answer(&mut self, name: NameDigest) {
        self.known.answers.remove(name);
        self.note_oldest();
    }

    fn note_oldest(&self) {
        let oldest = self.known.answers.oldest().filter(|it| it.settled);
        // Relaxed: who acts on it looks again under the lock.
        self.part.oldest.store(oldest.map_or(0, |it| it.at().as_millis() + 1), Ordering::Relaxed);
    }

    /// The fingerprint of the call under way of this name.
    pub(super) fn under_way(&self, name: NameDigest) -> Option<u128> {
        self.known.under_way.iter().find(|it| it.name == name).map(|it| it.fingerprint)
    }

    pub(super) fn begin(&mut self, name: NameDigest, fingerprint: u128) {
        self.known.under_way.push(CallUnderWay { name, fingerprint });
        self.note_under_way();
    }

    fn note_under_way(&self) {
        self.part.under_way.store(self.known.under_way.len(), Ordering::Relaxed);
    }

    /// Ends the call under way of this name.
    pub(super) fn end(&mut self, name: NameDigest) {
        let place = self.known.under_way.iter().position(|it| it.name == name);
        debug_assert!(place.is_some(), "only its claim may take a marker away");
        if let Some(place) = place {
            self.known.under_way.swap_remove(place);
            self.note_under_way();
        }
    }
}

/// All parts.
pub(super) struct Parts<A>(Box<[CachePadded<Part<A>>]>);

impl<A> Parts<A> {
    /// The most memory that an answer takes.
    pub(super) const BYTES_AN_ANSWER: usize = KeyTable::<KeyEntry<A>>::BYTES_AN_ENTRY;

    /// So many empty parts, a power of two.
    pub(super) fn new(parts: usize) -> Self {
        debug_assert!(parts.is_power_of_two());
        let known = || Known { answers: KeyTable::default(), under_way: Vec::new() };
        let part = |_| Part {
            known: Mutex::new(known()),
            oldest: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            places: Ahead::new(),
            unsettled: Ahead::new(),
        };
        Self((0..parts).map(|it| CachePadded::new(part(it))).collect())
    }

    /// The part of this name, locked.
    pub(super) fn of(&self, name: NameDigest) -> LockedPart<'_, A> {
        self.0[name.part() & (self.0.len() - 1)].lock()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Part<A>> {
        self.0.iter().map(|part| &**part)
    }

    /// The part with the oldest settled answer, and when that was published: as far as one can tell
    /// without a lock.
    pub(super) fn oldest(&self) -> Option<(&Part<A>, Timestamp)> {
        let of_parts = self.iter().filter_map(|part| Some((part, part.oldest()?)));
        of_parts.min_by_key(|(_, at)| *at)
    }

    /// How many answers there are, and calls under way.
    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.iter()
            .map(|part| lock(&part.known))
            .map(|it| it.answers.len() + it.under_way.len())
            .sum()
    }

    /// How many answers the memory has room for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn capacity(&self) -> usize {
        self.iter().map(|part| lock(&part.known).answers.capacity()).sum()
    }
}

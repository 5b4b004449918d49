//! How answers leave the map: once their time is up, or the oldest first, where there is no more
//! room.
//!
//! Each part has its own in the order of their publication. An answer whose time is up leaves when
//! later ones come into its part, or with a purge. Which one is the oldest of all is asked at the
//! bound, and by a purge: those of all parts are compared.

use crate::base::clock::Timestamp;
use crate::base::sync::Ordering;
use crate::idempotency::key::KeyName;
use crate::idempotency::map::IdempotencyMap;
use crate::idempotency::map::parts::LockedPart;

/// So many answers leave at most when one comes: more than come, so that expired ones get fewer.
const LEAVE_FOR_ONE: usize = 2;

impl<A> IdempotencyMap<A> {
    /// The latest publish time among all keys that were ever dropped, by age or to make room.
    ///
    /// A low-water mark: look a key up first, then ask. If it was not found, it was not published
    /// after this moment.
    pub(crate) fn evicted_before(&self) -> Option<Timestamp> {
        // Acquire pairs with the Release in `note_dropped`. A look-up that missed a dropped key has
        // also seen this mark, because the mark is raised under the lock that the look-up took.
        let mark = self.dropped_until.load(Ordering::Acquire);
        mark.checked_sub(1).map(Timestamp::from_millis)
    }

    /// Drops expired keys, the oldest first and at most `budget`, and returns how many. If that is
    /// less than the budget, nothing is left to do.
    pub(crate) fn purge(&self, now: Timestamp, budget: usize) -> usize {
        let expired = |at| self.is_expired(at, now);
        // One at a time, so publishers never wait for a long purge.
        (0..budget).take_while(|_| self.drop_oldest_if(expired).is_some()).count()
    }

    /// Says that the answer that was published under this name, at `at` or before, can be found
    /// elsewhere from now on. So it may be dropped.
    ///
    /// What is dropped is dropped under the lock of its part, after this. So a claim that does not
    /// find the answer here finds it there.
    pub(crate) fn settle(&self, name: &KeyName, at: Timestamp) {
        let name = self.digester.digest(name);
        let mut part = self.parts.of(name);
        // Else it was settled before, or another answer has taken its place.
        if let Some(at) = part.settle(name, |known| known.at() <= at) {
            self.unsettled.count_down(&part.part.unsettled);
            self.let_some_go(part, at);
        }
    }

    /// Drops answers when one has come into its part, at `now`, that may be dropped: the oldest of
    /// the part whose time is up, and the oldest of all where there are more than there may be.
    pub(super) fn let_some_go(&self, mut part: LockedPart<'_, A>, now: Timestamp) {
        for gone in 0..LEAVE_FOR_ONE {
            let Some(at) = part.oldest().filter(|at| self.is_expired(*at, now)) else {
                drop(part);
                // What parts have ahead counts here. So this says no only where it is so.
                if self.may_drop_any() && self.places.taken() > self.limits.count {
                    self.make_room(now, LEAVE_FOR_ONE - gone);
                }
                return;
            };
            self.drop_oldest_of(&mut part, at);
        }
    }

    /// Whether an answer may leave before its time, where others need its place.
    fn may_drop_any(&self) -> bool {
        self.limits.drop_oldest || self.limits.unsettled.is_some()
    }

    #[inline(never)]
    fn make_room(&self, now: Timestamp, most: usize) {
        for _ in 0..most {
            // Where answers are found elsewhere, those of calls under way take up room, too.
            let under_way = if self.settles() { self.under_way() } else { 0 };
            let above = self.len() > self.limits.count.saturating_add(under_way);
            let Some(at) = self.drop_oldest_if(|_| above) else { return };
            if self.settles() && !self.is_expired(at, now) {
                self.dropped_early.note(1, at);
            }
        }
    }

    /// Drops the oldest settled answer of all if `leaves` says so, and says when it was published.
    fn drop_oldest_if(&self, leaves: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
        loop {
            let (part, at) = self.parts.oldest().filter(|(_, at)| leaves(*at))?;
            let mut part = part.lock();
            // Where another thread was quicker, look again.
            if part.oldest() == Some(at) {
                self.drop_oldest_of(&mut part, at);
                return Some(at);
            }
        }
    }

    /// Drops the oldest answer of a part, which is settled, and was published at `at`.
    fn drop_oldest_of(&self, part: &mut LockedPart<'_, A>, at: Timestamp) {
        // Raise the mark before any look-up can miss the key.
        self.note_dropped(at);
        part.drop_oldest();
        self.count_less(part, true);
    }

    /// Raises the mark of what was dropped, under the lock of its part.
    pub(super) fn note_dropped(&self, at: Timestamp) {
        let mark = at.as_millis() + 1;
        // Relaxed: who comes later to this lock sees no older mark than this look did.
        if self.dropped_until.load(Ordering::Relaxed) < mark {
            // Release pairs with the Acquire in `evicted_before`.
            self.dropped_until.fetch_max(mark, Ordering::Release);
        }
    }
}

//! The free list: slots circulate oldest first, through magazines near each thread and a depot
//! behind.
//!
//! A magazine allocator, after Bonwick and Adams, "Magazines and Vmem" (USENIX ATC 2001). It
//! differs in one point: slots come back in the order in which their holds ended, not last in,
//! first out.
//!
//! ```text
//!            take                                   retire
//!             |                                       |
//!   shard:  active  <--- refill ---  depot  <--- full ---  ended
//!                     (oldest first, once the records in it are old enough)
//! ```
//!
//! A slot whose hold is over is not reused at once: its record stays readable until the slot comes
//! round. The depot moves slots a magazine at a time, so that threads meet there once in
//! [`MAGAZINE`] operations only; a shard hands out of its [active magazine](ActiveMagazine). All
//! queues are bounded and made at the start: nothing here allocates afterwards, except the
//! magazines that come with a new segment of slots.

mod active;
mod ended;
pub(crate) mod magazine;
pub(crate) mod refills;

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::early::LeftEarly;
use crate::base::shard::{own, own_place, shards_for};
use crate::base::sync::{ArrayQueue, AtomicU32, AtomicU64, Backoff, Ordering, SegQueue};
use crate::base::table::Table;
use crate::reservation::chain::SlotNumber;
use crate::reservation::free_list::active::{ActiveMagazine, MOST_MAGAZINES, TakenSlot};
use crate::reservation::free_list::ended::{EndedSlots, PLACES};
use crate::reservation::free_list::magazine::{MAGAZINE, Magazine};
use crate::reservation::free_list::refills::InFlightRefills;

/// No magazine.
const NONE: u32 = u32::MAX;

/// How long, and how many, finished records stay readable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) time: Duration,
    pub(crate) records: usize,
    /// With more records, or at the maximum of slots, the oldest one leaves before its time.
    /// Otherwise none does: records may take all slots, and then there is none for a new hold.
    pub(crate) drop_oldest: bool,
}

/// Where no record leaves before its time, and all slots are in use, slots move from the shards to
/// the depot so often in that time. More often would fill the magazines with a slot or two each.
const GATHERINGS: u32 = 8;

/// Slots on their way from the end of one hold to the start of the next.
#[derive(Debug)]
pub(crate) struct FreeList {
    shards: Box<[Shard]>,
    /// Filled magazines, oldest first.
    full: ArrayQueue<u32>,
    /// The oldest magazine, taken off `full` to look at its age and not ripe yet; or none.
    front: AtomicU32,
    /// Magazines with nothing in them.
    empty: ArrayQueue<u32>,
    magazines: Table<Magazine>,
    /// Magazines made so far.
    made: AtomicU32,
    /// The first slot that was never used.
    fresh: AtomicU64,
    /// How many slots there may be.
    max_slots: u32,
    /// Counts whatever takes slots out of one queue here to put them into another.
    refills: InFlightRefills,
    retention: Retention,
    /// Slots that were given to new holds before the time of the record in them was up.
    taken_early: LeftEarly,
    /// Slots that were taken and not used, where they must not pass for records.
    unused: SegQueue<SlotNumber>,
}

/// What one thread, or a few, use.
#[derive(Debug)]
#[cfg_attr(not(all(loom, feature = "loom")), repr(align(128)))]
struct Shard {
    /// The magazine that a reserve may take slots of.
    active: ActiveMagazine,
    /// Slots whose hold is over.
    ended: EndedSlots,
    /// When its ended slots were last moved to the depot because no other was free.
    gathered_at: AtomicU64,
}

impl FreeList {
    /// For up to `max_slots` slots, used by about `threads` threads at once.
    pub(crate) fn new(max_slots: u32, threads: usize, retention: Retention) -> Self {
        let shards = shards_for(threads);
        // Every slot may be in a full magazine, and each shard may be filling one and have one
        // active. Those that go back to the depot because another became active first lack a slot
        // each.
        let full = (max_slots as usize).div_ceil(MAGAZINE);
        let partial = if retention.drop_oldest { 4 } else { 4 + 2 * GATHERINGS as usize };
        let count = (full + full / 8 + partial * shards + 2).min(MOST_MAGAZINES);
        Self {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            full: ArrayQueue::new(count),
            front: AtomicU32::new(NONE),
            empty: ArrayQueue::new(count),
            magazines: Table::new(count, Magazine::new),
            made: AtomicU32::new(0),
            fresh: AtomicU64::new(0),
            max_slots,
            refills: InFlightRefills::new(),
            retention,
            taken_early: LeftEarly::new(),
            unused: SegQueue::new(),
        }
    }

    /// A slot for a new hold: one whose record has been readable long enough, else a fresh one,
    /// else, at the maximum of slots, the oldest finished one, if it may leave. `None`: it looked
    /// through all queues, while no slot was carried from one to another, and found none. (One that
    /// was retired during the look, to where it had looked, may be missed.) `load` reads some word
    /// of what a hold in a slot touches; see [`Magazine::fetch`].
    #[inline(always)]
    pub(crate) fn take(
        &self,
        now: Timestamp,
        load: impl Fn(SlotNumber) -> u64,
    ) -> Option<SlotNumber> {
        let shard = self.own_shard();
        match self.take_active(shard) {
            None => self.refill(shard, now, load),
            some => some,
        }
    }

    #[inline(always)]
    fn take_active(&self, shard: &Shard) -> Option<SlotNumber> {
        let TakenSlot { slot, emptied } = shard.active.take(|number| self.magazines.get(number))?;
        if let Some(number) = emptied {
            self.give_back(number);
        }
        Some(slot)
    }

    /// Gives a magazine back that has nothing in it.
    #[cold]
    fn give_back(&self, magazine: u32) {
        let _ = self.empty.push(magazine);
    }

    /// Gives a slot back whose hold is over, its end queued and its units given (Law 2).
    #[inline(always)]
    pub(crate) fn retire(&self, slot: SlotNumber, now: Timestamp) {
        if !self.gives(slot) {
            return;
        }
        let shard = self.own_shard();
        while !shard.ended.push(slot) {
            self.store_ended(shard, now);
        }
    }

    /// Gives a slot back that was taken and not used. It has no record.
    pub(crate) fn put_back(&self, slot: SlotNumber, now: Timestamp) {
        match self.retention.drop_oldest {
            true => self.retire(slot, now),
            false if self.gives(slot) => self.unused.push(slot),
            false => {}
        }
    }

    /// Whether new holds may get this slot. One of an earlier run, which was allowed more of them,
    /// goes to none.
    #[inline]
    pub(crate) fn gives(&self, slot: SlotNumber) -> bool {
        slot < self.max_slots
    }

    /// The first `used` slots are in use, or will be retired one by one: what an earlier run of the
    /// engine left. Before the first `take`.
    pub(crate) fn begin_after(&self, used: u32) {
        self.fresh.store(u64::from(used), Ordering::Relaxed);
    }

    /// How many slots new holds may take.
    pub(crate) fn max_slots(&self) -> u32 {
        self.max_slots
    }

    /// Slots ever used, and so readable by number.
    pub(crate) fn used(&self) -> u32 {
        // Relaxed: a count for reports; a slot's content is published by its own state word.
        self.fresh.load(Ordering::Relaxed) as u32
    }

    /// Finished records kept readable, and slots in active magazines: exact while nothing moves.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let ready: usize = self.shards.iter().map(|shard| shard.active.left()).sum();
        (self.retained(), ready + self.unused.len())
    }

    /// How many slots were given to new holds before their record's time was up: a figure for
    /// reports. Near the maximum of slots, one that was taken and put back unused may be among
    /// them.
    pub(crate) fn taken_early(&self) -> u64 {
        self.taken_early.count()
    }

    /// Until when one of those records would have been readable.
    pub(crate) fn missing_until(&self) -> Option<Timestamp> {
        self.taken_early.newest().map(|at| at.saturating_add(self.retention.time))
    }

    /// Whether no record leaves before its time.
    pub(crate) fn keeps_all(&self) -> bool {
        !self.retention.drop_oldest
    }

    /// Since when the records in the oldest magazine have been over; `None` if all lie in the
    /// shards: a few hundred at most for each.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        if self.depot_is_empty() {
            return None;
        }
        let filled_at = self.front_filled_at().or_else(|| {
            let _refill = self.refills.begin();
            let number = self.pop_oldest()?;
            let filled_at = self.magazines.get(number as usize).map(Magazine::filled_at);
            self.put_to_front(number);
            filled_at
        });
        filled_at.filter(|at| *at > Timestamp::default())
    }

    /// When the magazine at the front was filled; `None` if none is there. Another thread may take
    /// it and fill it anew at this moment: then its refill is counted.
    fn front_filled_at(&self) -> Option<Timestamp> {
        let front = self.front.load(Ordering::Relaxed);
        Some(self.magazines.get(front as usize)?.filled_at())
    }

    /// Whether the oldest magazine is at the front, and has to stay. Where no record leaves early,
    /// threads that find no slot ask this first: if each took the magazine off to look at it, all
    /// others would look again.
    fn must_front_stay(&self, now: Timestamp) -> bool {
        let is_young = |at| now.saturating_since(at) < self.retention.time;
        self.keeps_all() && self.front_filled_at().is_some_and(is_young)
    }

    /// Notes that a slot from elsewhere is given to a new hold, and the record in it leaves early.
    pub(crate) fn note_early(&self, now: Timestamp) {
        self.taken_early.note(u64::from(!self.retention.time.is_zero()), now);
    }

    /// Notes that a magazine is about to be handed out, if the time of its records is not up.
    fn note_if_early(&self, magazine: &Magazine, now: Timestamp) {
        let age = now.saturating_since(magazine.filled_at());
        if age < self.retention.time && magazine.filled_at() > Timestamp::default() {
            let slots = MAGAZINE - magazine.first();
            self.taken_early.note(slots as u64, magazine.filled_at());
        }
    }

    fn retained(&self) -> usize {
        let in_shards: usize = self.shards.iter().map(|shard| shard.ended.len()).sum();
        let at_front = usize::from(self.front.load(Ordering::Relaxed) != NONE);
        in_shards + (self.full.len() + at_front) * MAGAZINE
    }

    #[cold]
    fn refill(
        &self,
        shard: &Shard,
        now: Timestamp,
        load: impl Fn(SlotNumber) -> u64,
    ) -> Option<SlotNumber> {
        if self.keeps_all()
            && let Some(slot) = self.unused.pop()
        {
            return Some(slot);
        }
        if !self.depot_is_empty() && !self.must_front_stay(now) {
            let _refill = self.refills.begin();
            if let Some(number) = self.pop_ripe(now) {
                self.magazines.get(number as usize)?.fetch(load);
                return self.unload(shard, number);
            }
        }
        self.take_fresh(shard).or_else(|| self.take_any(shard, now))
    }

    fn depot_is_empty(&self) -> bool {
        // Relaxed: a thread that has the front in hand has begun its refill before.
        self.front.load(Ordering::Relaxed) == NONE && self.full.is_empty()
    }

    /// The oldest magazine, if its records have been readable long enough, or too many are kept and
    /// the oldest may leave.
    fn pop_ripe(&self, now: Timestamp) -> Option<u32> {
        let oldest = self.pop_oldest()?;
        // Relaxed: the magazine came off a queue, whose push and pop order its contents.
        let magazine = self.magazines.get(oldest as usize)?;
        let age = now.saturating_since(magazine.filled_at());
        let is_one_too_many =
            || self.retention.drop_oldest && self.retained() + MAGAZINE > self.retention.records;
        if age >= self.retention.time || is_one_too_many() {
            self.note_if_early(magazine, now);
            return Some(oldest);
        }
        self.put_to_front(oldest);
        None
    }

    fn pop_oldest(&self) -> Option<u32> {
        // Acquire pairs with the Release in `put_to_front`: hands over the magazine's contents.
        let front = self.front.swap(NONE, Ordering::Acquire);
        if front == NONE { self.full.pop() } else { Some(front) }
    }

    fn put_to_front(&self, number: u32) {
        let put = self.front.compare_exchange(NONE, number, Ordering::Release, Ordering::Relaxed);
        if put.is_err() {
            // Another thread put its own there meanwhile: this one waits at the end of the line.
            // There is a place for every magazine.
            let _ = self.full.push(number);
        }
    }

    /// Takes a magazine's first slot, and makes the shard hand out of the rest.
    fn unload(&self, shard: &Shard, number: u32) -> Option<SlotNumber> {
        let magazine = self.magazines.get(number as usize)?;
        let first = magazine.first();
        // Relaxed: whoever has the number has the magazine to itself, and queue or `front` handed
        // over its contents with it.
        let slot = magazine.slot(first)?;
        self.install(shard, number, magazine, first + 1);
        Some(slot)
    }

    /// Makes the shard hand out of a magazine from place `next` on.
    fn install(&self, shard: &Shard, number: u32, magazine: &Magazine, next: usize) {
        if next == MAGAZINE {
            let _ = self.empty.push(number);
        } else if !shard.active.install(number, next) {
            // Another thread of this shard was first: the rest waits in the depot.
            magazine.keep_from(next);
            self.put_to_front(number);
        }
    }

    /// Moves the oldest ended slots of a shard into a magazine of the depot.
    #[cold]
    fn store_ended(&self, shard: &Shard, now: Timestamp) {
        let Some((number, magazine)) = self.empty_magazine() else {
            // Every magazine is in other threads' hands at this moment; they return them.
            crate::base::sync::spin_loop();
            return;
        };
        let _refill = self.refills.begin();
        let mut slots = [0; MAGAZINE];
        let count = shard.ended.pop(&mut slots);
        magazine.fill(&slots[..count], now);
        let destination = if magazine.first() == MAGAZINE { &self.empty } else { &self.full };
        let _ = destination.push(number);
    }

    /// A magazine with nothing in it: a used one, or a new one while there are fewer than needed.
    fn empty_magazine(&self) -> Option<(u32, &Magazine)> {
        let number = self.empty.pop().unwrap_or_else(|| self.made.fetch_add(1, Ordering::Relaxed));
        let magazine = self.magazines.ensure(number as usize);
        if magazine.is_none() {
            self.made.fetch_sub(1, Ordering::Relaxed);
        }
        magazine.map(|magazine| (number, magazine))
    }

    /// Slots that were never used, a magazine of them at a time.
    fn take_fresh(&self, shard: &Shard) -> Option<SlotNumber> {
        let mut first = self.fresh.load(Ordering::Relaxed);
        if first >= u64::from(self.max_slots) {
            return None;
        }
        // Without a magazine for the others, one slot. That happens only while other threads have
        // every magazine in hand.
        let empty = self.empty_magazine();
        let most = if empty.is_some() { MAGAZINE as u64 } else { 1 };
        loop {
            let end = (first + most).min(u64::from(self.max_slots));
            if first >= end {
                empty.map(|(number, _)| self.empty.push(number));
                return None;
            }
            let _refill = self.refills.begin();
            // The numbers themselves are all that is handed out; a fresh slot's content comes with
            // its segment. SeqCst, because a scan of what is due reads `used` after its fence, and
            // either sees this slot or is seen by who notes its deadline.
            match self.fresh.compare_exchange(first, end, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    if let Some((number, magazine)) = empty {
                        // No record was in them: ripe at any time.
                        let mut slots = [0; MAGAZINE];
                        let rest = slots.iter_mut().zip(first + 1..end);
                        let count = rest.map(|(slot, fresh)| *slot = fresh as SlotNumber).count();
                        magazine.fill(&slots[..count], Timestamp::default());
                        self.install(shard, number, magazine, magazine.first());
                    }
                    return Some(first as SlotNumber);
                }
                Err(now) => first = now,
            }
        }
    }

    /// At the maximum of slots retention yields, if it may: the oldest finished one, wherever it
    /// is. Waits for threads that carry slots from one queue to another.
    #[cold]
    fn take_any(&self, own: &Shard, now: Timestamp) -> Option<SlotNumber> {
        let backoff = Backoff::new();
        loop {
            let before = self.refills.before();
            if let Some(slot) = self.look_everywhere(own, now) {
                return Some(slot);
            }
            if !self.refills.came_since(before) {
                return None;
            }
            backoff.snooze();
        }
    }

    fn look_everywhere(&self, own: &Shard, now: Timestamp) -> Option<SlotNumber> {
        if self.keeps_all() {
            return self.look_for_ripe(own, now);
        }
        if !self.depot_is_empty() {
            let _refill = self.refills.begin();
            if let Some(number) = self.pop_oldest() {
                let magazine = self.magazines.get(number as usize);
                magazine.into_iter().for_each(|it| self.note_if_early(it, now));
                return self.unload(own, number);
            }
        }
        // This thread's own shard last, where it puts a slot that it can't use yet: so it does not
        // meet that one again before all others.
        let (before, own_and_after) = self.shards.split_at(own_place(self.shards.len()));
        let (own, after) = own_and_after.split_at(1);
        let mut all = after.iter().chain(before).chain(own);
        let ended = |shard: &Shard| {
            let slot = shard.ended.pop_one()?;
            self.note_early(now);
            Some(slot)
        };
        all.find_map(|shard| ended(shard).or_else(|| self.take_active(shard)))
    }

    /// A slot without a record, or one whose record's time is up. When the records in a shard were
    /// over is not known. So they go to the depot, where their time counts from then on.
    fn look_for_ripe(&self, own: &Shard, now: Timestamp) -> Option<SlotNumber> {
        let apart = self.retention.time / GATHERINGS;
        for shard in &self.shards {
            // Relaxed: if two threads move slots at the same time, there are a few more magazines.
            let before = Timestamp::from_millis(shard.gathered_at.load(Ordering::Relaxed));
            if now.saturating_since(before) >= apart && !shard.ended.is_empty() {
                shard.gathered_at.store(now.as_millis(), Ordering::Relaxed);
                for _ in 0..PLACES.div_ceil(MAGAZINE) {
                    self.store_ended(shard, now);
                }
            }
        }
        if !self.depot_is_empty() && !self.must_front_stay(now) {
            let _refill = self.refills.begin();
            if let Some(number) = self.pop_ripe(now) {
                return self.unload(own, number);
            }
        }
        self.shards.iter().find_map(|shard| self.take_active(shard))
    }

    #[inline(always)]
    fn own_shard(&self) -> &Shard {
        own(&self.shards)
    }
}

impl Shard {
    fn new() -> Self {
        let (active, ended) = (ActiveMagazine::new(), EndedSlots::new());
        Self { active, ended, gathered_at: AtomicU64::new(0) }
    }
}

//! The deadline index: finds overdue holds without a list of them.
//!
//! A slot's state word decides whether its hold is overdue. To *find* such slots among millions, a
//! tree of three floors holds lower bounds of their expiry times:
//!
//! ```text
//!   engine   one bound           "nothing falls due before ..."
//!   segment  one for 4,096 slots
//!   group    one for 64 slots
//!   slot     the state word itself
//! ```
//!
//! The promise: **a bound is never later than the expiry of a live hold beneath it.** A reserve
//! publishes its slot and then lowers the bounds above it. If all holds have similar lengths, this
//! is three loads and no write, because younger holds fall due later. The end of a hold and
//! `extend` never touch the tree, so a bound may be too early. Only a scan that looked and found
//! nothing *raises* a bound. Lowering and raising meet as follows:
//!
//! - the reserve: take the slot, by a swap of its state; publish it; read the group's bound, and if
//!   it is later, or *tagged*, write it lower and untagged; fence; the same for the segment; the
//!   engine;
//! - the scan: tag the bound (its time stays valid for readers); fence; read what is beneath; swap
//!   the tagged word for what was found. If a reserve came in between, it has cleared the tag, and
//!   the swap fails. A slot that is taken and not published yet may fall due at any time, so where
//!   the scan finds one, the bound stays.
//!
//! It cannot happen that the scan misses that the slot is taken *and* the reserve misses the tag.
//! The reserve's swap and its reads of the bounds are `SeqCst`, so they are in one order with the
//! scan's fence. A fence between publishing and the reads would do without the third rule, and
//! costs the reserve as much as a swap.

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicBool, AtomicU64, Fenced, MODELLED, Ordering, fence};
use crate::base::table::Table;

/// Slots under one group bound.
pub(crate) const GROUP: usize = if MODELLED { 2 } else { 64 };

/// Groups under one segment bound.
const GROUPS: usize = GROUP;

/// A lower bound of expiry times, with a tag that a scan sets while it looks beneath.
///
/// ```text
///    63    62 ................... 0
/// +-----+--------------------------+
/// | tag |   expires at, ms (63)    |
/// +-----+--------------------------+
/// ```
///
/// A tagged word is larger than any time. So one comparison tells a hold that the bound is later,
/// or tagged.
#[derive(Debug)]
struct Bound(AtomicU64);

const TAG: u64 = 1 << 63;

/// The bound if there is no hold beneath it.
const NEVER: u64 = !TAG;

impl Bound {
    fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    /// The bound's time in milliseconds, tagged or not.
    fn time(&self) -> u64 {
        // Relaxed: a bound is a hint where to look, and what lies there is read with Acquire. The
        // callers' fences order this load where that matters.
        self.0.load(Ordering::Relaxed) & !TAG
    }

    /// Whether a published hold that falls due at `time` finds the bound later, or tagged.
    #[inline]
    fn is_in_the_way(&self, time: u64, taken: &Fenced) -> bool {
        // Behind what `taken` proves, this pairs with the fence in `raise`.
        self.0.load(taken.load_order()) > time
    }

    /// A published hold falls due at `time`: clears any tag, and lowers a later bound.
    #[cold]
    #[inline(never)]
    fn lower(&self, time: u64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen > time {
            // The tag is cleared, and an earlier time stays. A scan may have raised the bound since
            // it was read: then this fails, and goes on from what the scan wrote.
            let lower = (seen & !TAG).min(time);
            let relaxed = Ordering::Relaxed;
            match self.0.compare_exchange_weak(seen, lower, relaxed, relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        look_now();
    }

    /// Replaces the bound by what `look` finds beneath, unless a reserve came in between, or `look`
    /// gave up.
    fn raise(&self, look: impl FnOnce() -> Option<u64>) {
        let before = self.0.load(Ordering::Relaxed);
        let tagged = before | TAG;
        if self.0.compare_exchange(before, tagged, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        // Pairs with the reserve's swap of the slot's state, with the fence in `look_now`, and
        // with the SeqCst loads of bounds behind each of them.
        fence(Ordering::SeqCst);
        let Some(found) = look() else { return };
        let _ =
            self.0.compare_exchange(tagged, found.min(NEVER), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// What a scan finds in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScannedSlot {
    /// No live hold.
    Nothing,
    /// A live hold (one that is being ended counts) that falls due at this moment.
    Live(Timestamp),
    /// A reserve has taken the slot. What it will publish may fall due at any moment.
    Taken,
}

/// How a scan of what is due ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// It visited everything that was due.
    Complete,
    /// The visitor stopped it.
    Stopped,
}

/// The bounds over all slots.
#[derive(Debug)]
pub(crate) struct Deadlines {
    engine: Bound,
    segments: Table<Bound>,
    groups: Table<Bound>,
    /// Held by the one scan that may raise bounds. Other scans visit, but raise nothing.
    raising: AtomicBool,
}

/// The fence between a bound that was lowered and the read of the next floor. Pairs with the fence
/// in `raise`: either that read sees the scan's tag, or the scan sees the lower bound. A floor on
/// which nothing was written needs no fence of its own: when it was read, its bound was no later
/// than the hold, and whoever raises it afterwards sees the hold.
fn look_now() {
    fence(Ordering::SeqCst);
}

impl Deadlines {
    /// Bounds for up to `max_slots` slots, none of them live.
    pub(crate) fn new(max_slots: usize) -> Self {
        let groups = max_slots.div_ceil(GROUP);
        Self {
            engine: Bound::never(),
            segments: Table::new(groups.div_ceil(GROUPS), Bound::never),
            groups: Table::new(groups, Bound::never),
            raising: AtomicBool::new(false),
        }
    }

    /// Notes that the hold just published in `slot` falls due at `expires_at`. The caller has
    /// published the slot's state before. `taken` proves that a scan sees the slot taken, or is
    /// seen.
    #[inline(always)]
    pub(crate) fn note(&self, slot: u32, expires_at: Timestamp, taken: &Fenced) {
        let time = expires_at.as_millis();
        let group = slot as usize / GROUP;
        let (group, segment) = (self.groups.ensure(group), self.segments.ensure(group / GROUPS));
        // Slots beyond the tables do not exist.
        let (Some(group), Some(segment)) = (group, segment) else { return };
        for bound in [group, segment, &self.engine] {
            if bound.is_in_the_way(time, taken) {
                bound.lower(time);
            }
        }
    }

    /// Loads the bound next above `slot`. Those above that one are few, and in a cache.
    #[inline(always)]
    pub(crate) fn load(&self, slot: u32) -> u64 {
        self.groups.get(slot as usize / GROUP).map_or(0, Bound::time)
    }

    /// No live hold falls due before this moment. One load of a line that is rarely written.
    pub(crate) fn next_due(&self) -> Timestamp {
        Timestamp::from_millis(self.engine.time())
    }

    /// Whether some hold may be overdue at `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.as_millis() > self.engine.time()
    }

    /// Visits every slot in a group that may hold something overdue at `now`, and then raises the
    /// bounds to what the visits found. `visit` ends the hold in its slot if it is overdue, returns
    /// what is live there afterwards, and returns true to stop the scan. `used` returns how many
    /// slots have been used so far.
    pub(crate) fn scan(
        &self,
        now: Timestamp,
        used: impl Fn() -> u32,
        mut visit: impl FnMut(u32) -> (ScannedSlot, bool),
    ) -> Scan {
        // Acquire pairs with the Release in the guard's drop: one raiser's swaps come after those
        // of the one before. If another scan holds the flag, this one visits without raising, and
        // waits for nobody.
        let raiser = self
            .raising
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| Raiser(&self.raising));
        let groups = (used() as usize).div_ceil(GROUP);
        let due = |bound: Option<&Bound>| bound.is_some_and(|bound| now.as_millis() > bound.time());
        for segment in 0..groups.div_ceil(GROUPS) {
            if !due(self.segments.get(segment)) {
                continue;
            }
            let first = segment * GROUPS;
            for group in first..(first + GROUPS).min(groups) {
                if !due(self.groups.get(group)) {
                    continue;
                }
                if self.scan_group(group, raiser.is_some(), &mut visit) == Scan::Stopped {
                    return Scan::Stopped;
                }
            }
            if raiser.is_some() {
                self.raise_segment(segment, first);
            }
        }
        if raiser.is_some() {
            self.raise_engine(used);
        }
        Scan::Complete
    }

    fn scan_group(
        &self,
        group: usize,
        raise: bool,
        visit: &mut impl FnMut(u32) -> (ScannedSlot, bool),
    ) -> Scan {
        let mut scan = Scan::Complete;
        let mut look = || {
            let first = (group * GROUP) as u32;
            let (mut earliest, mut any_taken) = (u64::MAX, false);
            for slot in first..first + GROUP as u32 {
                let (found, enough) = visit(slot);
                match found {
                    ScannedSlot::Nothing => {}
                    ScannedSlot::Live(at) => earliest = earliest.min(at.as_millis()),
                    ScannedSlot::Taken => any_taken = true,
                }
                if enough {
                    scan = Scan::Stopped;
                    // Nothing is known of the slots behind, so no later bound can be promised.
                    return None;
                }
            }
            (!any_taken).then_some(earliest)
        };
        match self.groups.get(group) {
            Some(bound) if raise => bound.raise(look),
            _ => {
                look();
            }
        }
        scan
    }

    fn raise_segment(&self, segment: usize, first_group: usize) {
        if let Some(bound) = self.segments.get(segment) {
            bound.raise(|| {
                earliest(
                    (first_group..first_group + GROUPS).map_while(|group| self.groups.get(group)),
                )
            });
        }
    }

    fn raise_engine(&self, used: impl Fn() -> u32) {
        self.engine.raise(|| {
            // Asked after the fence, like all that `look` reads. So a reserve that took a fresh
            // slot before its own fence is counted.
            let groups = (used() as usize).div_ceil(GROUP);
            earliest((0..groups.div_ceil(GROUPS)).filter_map(|segment| self.segments.get(segment)))
        });
    }
}

fn earliest<'a>(bounds: impl Iterator<Item = &'a Bound>) -> Option<u64> {
    Some(bounds.map(Bound::time).min().unwrap_or(NEVER))
}

/// The right to raise bounds, given back on every way out.
struct Raiser<'a>(&'a AtomicBool);

impl Drop for Raiser<'_> {
    fn drop(&mut self) {
        // Release pairs with the Acquire in `scan`.
        self.0.store(false, Ordering::Release);
    }
}

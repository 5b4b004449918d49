//! The reservation table: slots that the id names by number.
//!
//! An id holds its slot's number. So a look-up is one index and one comparison of the whole id: no
//! hash, no probing. With ten million live holds it costs one cache miss instead of several. The
//! table grows by a segment at a time as live holds become more, up to a configured maximum.

mod draws;
mod holders;
mod quarantine;
pub(crate) mod restore;
mod scan;
mod take;
pub(crate) mod vacant_chain;

use crate::base::clock::Timestamp;
use crate::base::lines::Lines;
use crate::base::sync::{Fenced, fenced};
use crate::reservation::chain::{Chain, NO_SLOT, SlotNumber};
use crate::reservation::deadlines::Deadlines;
use crate::reservation::free_list::{FreeList, Retention};
use crate::reservation::holders::HolderIndex;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{ChainName, LinkContent, Read, ReadLink, ReservationRecord, Slot};
use crate::reservation::slots::quarantine::Quarantine;
use crate::reservation::state::{Phase, SlotState};

/// All reservations of an engine: live holds, and finished records that are still readable.
#[derive(Debug)]
pub(crate) struct Slots {
    lines: Lines,
    free_list: FreeList,
    /// Slots that are kept away from new holds until the clock has reached their former
    /// reservation.
    quarantine: Quarantine,
    deadlines: Deadlines,
    /// Who has which live holds, if the builder asked for it.
    holders: Option<HolderIndex>,
}

/// A slot that one thread has taken, and no other thread can reach.
#[derive(Debug)]
#[must_use = "a taken slot is published or put back"]
pub(crate) struct VacantSlot<'s> {
    number: SlotNumber,
    slot: Slot<'s>,
    state: SlotState,
    /// A scan of what is due sees that it is taken, or is seen.
    taken: Fenced,
    taken_at: Timestamp,
    id_time: Timestamp,
}

impl<'s> VacantSlot<'s> {
    pub(crate) fn number(&self) -> SlotNumber {
        self.number
    }

    /// The same slot. Taken apart, so that what a call returned as a whole keeps no other slot in
    /// memory.
    #[inline(always)]
    pub(crate) fn in_registers(self) -> Self {
        let Self { number, slot, state, taken, taken_at, id_time } = self;
        Self { number, slot, state, taken, taken_at, id_time }
    }

    /// When it was taken: the clock's reading that dates all that the call does. It is the call's
    /// own, or a newer one if the slot's former reservation began after that.
    #[inline]
    pub(crate) fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// The time in the new reservation's id: the clock's. Only where every slot is in use, and this
    /// one's former reservation lies ahead of the clock, it is that one's: otherwise the older id
    /// would look newer than this one.
    #[inline]
    pub(crate) fn id_time(&self) -> Timestamp {
        self.id_time
    }
}

/// The head of a reservation as a call found it. Whoever swaps `state` for another one has the
/// reservation as it was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldSlot<'a> {
    pub(crate) number: SlotNumber,
    pub(crate) slot: Slot<'a>,
    pub(crate) state: SlotState,
}

impl HeldSlot<'_> {
    /// Moves the reservation into `phase`, if it is still in the state that it was found in (Law
    /// 3).
    #[inline]
    pub(crate) fn swap_to(self, phase: Phase) -> Result<(), SlotState> {
        self.slot.swap(self.state, self.state.in_phase(phase))
    }
}

/// What an id names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup<'a> {
    /// A live hold or a finished record.
    Found(HeldSlot<'a>),
    /// The slot has been reused since, so the record is gone.
    Forgotten,
    /// This engine never made such an id.
    Unknown,
}

impl Slots {
    /// Room for `max_slots` lines of live holds and kept records.
    #[cfg_attr(not(loom), allow(dead_code, reason = "engines say how much room; models don't"))]
    pub(crate) fn new(max_slots: u32, threads: usize, retention: Retention) -> Self {
        Self::with_room(max_slots as usize, max_slots, threads, retention)
    }

    /// As `new`, with room for holds of an earlier run that was allowed more slots. `room` is at
    /// least `max_slots`.
    pub(crate) fn with_room(
        room: usize,
        max_slots: u32,
        threads: usize,
        retention: Retention,
    ) -> Self {
        Self {
            lines: Lines::new(room),
            free_list: FreeList::new(max_slots, threads, retention),
            quarantine: Quarantine::new(),
            deadlines: Deadlines::new(room),
            holders: None,
        }
    }

    /// Makes a hold of one slot live, or of a head whose chain leads to the rest. Its id is visible
    /// from here on.
    #[inline(always)]
    pub(crate) fn publish(
        &self,
        slot: VacantSlot<'_>,
        record: ReservationRecord,
        expires_at: Timestamp,
    ) {
        // In this order: of a plain hold the compiler knows that it has neither.
        if (record.owner.is_some() || record.chain.draws()) && self.holders.is_some() {
            self.enter_holders(record.id, record.owner, record.chain);
        }
        slot.slot.admit(slot.state, &record, Phase::Pending, expires_at);
        self.deadlines.note(slot.number, expires_at, &slot.taken);
    }

    /// The same for a hold that begins and ends in one step: a sale. Its slots may retire then,
    /// unless its draws count until `counted`.
    pub(crate) fn publish_sold(
        &self,
        slot: VacantSlot<'_>,
        record: ReservationRecord,
        counted: Option<Timestamp>,
    ) {
        slot.slot.admit(slot.state, &record, Phase::Confirmed, slot.taken_at);
        if let Some(until) = counted {
            self.deadlines.note(slot.number, until, &slot.taken);
        }
    }

    /// Ends a hold of this chain that this thread has in `Ending`. Its final phase shows from here
    /// on. Then its slots are its own no more: whoever ships what a kept hold has sold may retire
    /// them at once.
    #[inline(always)]
    pub(crate) fn finish(&self, head: HeldSlot<'_>, phase: Phase, chain: Chain) {
        if self.holders.is_some() {
            self.leave_holders(head, chain);
        }
        head.slot.finish(head.state.in_phase(phase));
    }

    /// Notes that draws of the sale at `number`, which shows as such, count `until` then. That may
    /// be before the hold would have fallen due.
    pub(crate) fn note_counted(&self, number: SlotNumber, until: Timestamp) {
        // Pairs with a scan's fence: of the two, the scan sees the sale, or is seen.
        self.deadlines.note(number, until, &fenced());
    }

    /// Links slots with their contents into the chain `name`. Returns its first slot. Linked from
    /// the back, so the chain is complete before its head shows.
    pub(super) fn link(links: &[(VacantSlot<'_>, LinkContent)], name: ChainName) -> SlotNumber {
        let mut next = NO_SLOT;
        for (vacated, content) in links.iter().rev() {
            vacated.slot.join(vacated.state, name, *content, next);
            next = vacated.number;
        }
        next
    }

    /// The pending hold that `id` names, if that is certain at the first look: for a step that will
    /// swap the whole state word.
    #[inline(always)]
    pub(crate) fn find_pending(&self, id: ReservationId) -> Option<HeldSlot<'_>> {
        let slot = self.at(id.slot())?;
        let state = slot.pending_state_of(id)?;
        Some(HeldSlot { number: id.slot(), slot, state })
    }

    /// Finds what `id` names, for a step that will swap the whole state word.
    #[inline]
    pub(crate) fn find(&self, id: ReservationId) -> Lookup<'_> {
        let Some(slot) = self.at(id.slot()) else { return Lookup::Unknown };
        match slot.state_of(id) {
            Some(state) => Lookup::Found(HeldSlot { number: id.slot(), slot, state }),
            None => self.missing(slot, id),
        }
    }

    #[cold]
    fn missing<'a>(&'a self, slot: Slot<'a>, id: ReservationId) -> Lookup<'a> {
        loop {
            match slot.read(id) {
                Read::Record(_, state) => {
                    return Lookup::Found(HeldSlot { number: id.slot(), slot, state });
                }
                Read::Changed => crate::base::sync::spin_loop(),
                Read::OtherReservation(_, state) if state == SlotState::UNUSED => {
                    return Lookup::Unknown;
                }
                // The record is older than the id. The slot has not been used since the time that
                // the id claims.
                Read::OtherReservation(record, state)
                    if state.phase() != Phase::Vacant
                        && state.phase() != Phase::Line
                        && record.created_at() < id.created_at() =>
                {
                    return Lookup::Unknown;
                }
                Read::OtherReservation(..) => return Lookup::Forgotten,
            }
        }
    }

    /// Reads a whole reservation, validated: its head, its state, and every line in order.
    pub(crate) fn read(
        &self,
        id: ReservationId,
        mut each: impl FnMut(SlotLine),
    ) -> ReadReservation {
        let Some(slot) = self.at(id.slot()) else {
            return ReadReservation::Unknown;
        };
        match slot.read(id) {
            Read::Record(record, state) => {
                let walk = self.walk(id.slot(), state, &record, &mut each);
                if slot.state() != state {
                    return ReadReservation::Changed;
                }
                match walk {
                    ChainWalk::Whole { retaken_from } => {
                        ReadReservation::Found { record, state, retaken_from }
                    }
                    // A finished record changes only when its slots are reused, and a later slot
                    // may be reused before the head is.
                    ChainWalk::Gone if !state.phase().is_live() => ReadReservation::Forgotten,
                    ChainWalk::Gone | ChainWalk::Changed => ReadReservation::Changed,
                }
            }
            Read::Changed => ReadReservation::Changed,
            Read::OtherReservation(..) => match self.missing(slot, id) {
                Lookup::Found(..) => ReadReservation::Changed,
                Lookup::Forgotten => ReadReservation::Forgotten,
                Lookup::Unknown => ReadReservation::Unknown,
            },
        }
    }

    /// The lines of a hold that this thread is ending (it won the swap to `Ending`).
    pub(crate) fn lines_of(
        &self,
        head: HeldSlot<'_>,
        record: &ReservationRecord,
        mut each: impl FnMut(SlotLine),
    ) {
        // The chain of a hold in `Ending` cannot change under the winner, so this walk always ends
        // well.
        let walked = self.walk(head.number, head.state, record, &mut each);
        debug_assert!(
            matches!(walked, ChainWalk::Whole { .. }),
            "the chain of a hold belongs to it until its end"
        );
    }

    /// Passes each line of a head, found in `state`, to `each`.
    fn walk(
        &self,
        head: SlotNumber,
        state: SlotState,
        record: &ReservationRecord,
        each: &mut impl FnMut(SlotLine),
    ) -> ChainWalk {
        if !record.chain.is_whole() {
            each(record.line);
        }
        self.walk_links(head, state, record.chain, |content| {
            if let LinkContent::Line(line) = content {
                each(line);
            }
        })
    }

    /// Passes what each later slot of a head, found in `state`, holds to `each`.
    fn walk_links(
        &self,
        head: SlotNumber,
        state: SlotState,
        chain: Chain,
        mut each: impl FnMut(LinkContent),
    ) -> ChainWalk {
        let name = ChainName { head, generation: chain.generation() };
        let mut next = chain.first();
        while next != NO_SLOT {
            let Some(slot) = self.at(next) else { return ChainWalk::Gone };
            match slot.read_link(name, state) {
                ReadLink::Found { content: LinkContent::RetakenFrom(of), .. } => {
                    return ChainWalk::Whole { retaken_from: Some(of) };
                }
                ReadLink::Found { content, next: following } => {
                    each(content);
                    next = following;
                }
                ReadLink::Gone => return ChainWalk::Gone,
                ReadLink::Changed => return ChainWalk::Changed,
            }
        }
        ChainWalk::Whole { retaken_from: None }
    }

    /// Passes each slot of a chain to `each`, until it returns false: for the thread that has the
    /// chain to itself.
    pub(super) fn each_link(
        &self,
        chain: Chain,
        mut each: impl FnMut(SlotNumber, Slot<'_>) -> bool,
    ) {
        let mut next = chain.first();
        while next != NO_SLOT {
            let Some(slot) = self.at(next) else { return };
            // Read the next number first: once `each` has retired this slot, it may belong to
            // another chain.
            let following = slot.following();
            let go_on = each(next, slot);
            if !go_on {
                return;
            }
            next = following;
        }
    }

    /// Gives back the slots of a hold that is over. Its end is queued and its units are given (Law
    /// 2). If the hold keeps its slots and has sold units that are `unsettled`, they stay until
    /// those are shipped or cancelled; and if its draws still count, until that is over.
    #[inline(always)]
    pub(crate) fn retire(&self, number: SlotNumber, chain: Chain, unsettled: bool, now: Timestamp) {
        if !chain.stays(unsettled) {
            self.retire_all(number, chain, now);
        }
    }

    #[inline(always)]
    pub(super) fn retire_all(&self, number: SlotNumber, chain: Chain, now: Timestamp) {
        self.free_list.retire(number, now);
        if !chain.is_empty() {
            self.retire_links(chain, now);
        }
    }

    /// Gives back the later slots of a chain: of a hold that is over, or of a chain that was
    /// replaced. Nobody will read it.
    #[inline(never)]
    pub(super) fn retire_links(&self, chain: Chain, now: Timestamp) {
        self.each_link(chain, |number, _| {
            self.free_list.retire(number, now);
            true
        });
    }

    /// The slot of this number, for a caller that goes through all of them.
    #[inline(always)]
    pub(crate) fn at(&self, number: SlotNumber) -> Option<Slot<'_>> {
        self.lines.get(number as usize).map(Slot::new)
    }

    /// No live hold falls due before this moment.
    pub(crate) fn next_due(&self) -> Timestamp {
        self.deadlines.next_due()
    }

    /// Whether some hold may be overdue.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.deadlines.is_due(now)
    }

    /// How many slots were ever used. Those beyond hold no reservation.
    pub(crate) fn used(&self) -> u32 {
        self.free_list.used()
    }

    /// Whether no finished record leaves before its time.
    pub(crate) fn keeps_all(&self) -> bool {
        self.free_list.keeps_all()
    }

    /// How many slots are live, kept as finished records, and free. Exact while nothing moves.
    pub(crate) fn counts(&self) -> SlotCounts {
        let used = self.free_list.used() as usize;
        let (retained, ready) = self.free_list.counts();
        let retained = retained + self.quarantine.len();
        SlotCounts {
            live: used.saturating_sub(retained + ready),
            retained,
            free: ready,
            taken_early: self.free_list.taken_early(),
            missing_until: self.free_list.missing_until(),
            oldest: self.free_list.oldest(),
        }
    }
}

/// How a walk along a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainWalk {
    Whole {
        retaken_from: Option<ReservationId>,
    },
    /// A slot of the chain was reused, or the chain was replaced.
    Gone,
    /// A slot changed during the read.
    Changed,
}

/// A reservation as [`Slots::read`] found it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadReservation {
    Found {
        record: ReservationRecord,
        state: SlotState,
        retaken_from: Option<ReservationId>,
    },
    /// It changed during the read: read again.
    Changed,
    Forgotten,
    Unknown,
}

/// What slots are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotCounts {
    pub(crate) live: usize,
    pub(crate) retained: usize,
    pub(crate) free: usize,
    /// Slots that were given to new holds before their record's time was up.
    pub(crate) taken_early: u64,
    /// Until when one of those records would have been readable.
    pub(crate) missing_until: Option<Timestamp>,
    /// Since when the oldest finished records have been over, as far as it is known.
    pub(crate) oldest: Option<Timestamp>,
}

//! The reservation map: sharded slots, named by the id.
//!
//! An id carries its slot's number, so a look-up is one index and a comparison of the whole id: no
//! hash, no probing, and, with ten million live holds, one cache miss rather than several. Slots are
//! added a segment at a time as the number of live holds grows, up to a configured maximum.

mod restore;

use crate::clock::Timestamp;
use crate::reservation::chain::{Chain, NO_SLOT, SlotNumber};
use crate::reservation::deadlines::{Deadlines, Scan, ScannedSlot};
use crate::reservation::free_list::{FreeList, Retention};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{LinkContent, Read, ReadLink, ReservationRecord, Slot};
use crate::reservation::state::{Phase, SlotState};
use crate::sync::Fenced;
use crate::table::Table;

#[cfg(not(loom))]
pub(crate) use restore::{Restored, RestoredEnd};

/// All reservations of an engine: live holds, and finished records that are still readable.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Table<Slot>,
    free_list: FreeList,
    deadlines: Deadlines,
}

/// A slot that one thread has taken, and nobody else can reach.
#[derive(Debug)]
#[must_use = "a taken slot is published or put back"]
pub(crate) struct VacantSlot<'s> {
    number: SlotNumber,
    slot: &'s Slot,
    state: SlotState,
    created_at_floor: Timestamp,
}

impl<'s> VacantSlot<'s> {
    /// Takes a slot that came off the free ones; `Err` where its former tenant's record is just being
    /// changed.
    #[inline]
    fn of(number: SlotNumber, slot: &'s Slot) -> Result<Self, SlotState> {
        let (state, created_at_floor) = slot.vacate()?;
        Ok(Self { number, slot, state, created_at_floor })
    }

    pub(crate) fn number(&self) -> SlotNumber {
        self.number
    }

    /// The birth of a hold that was to be born `now`, a moment read before the slot was taken: not
    /// before that of any tenant that the slot has had, so that a younger id is never taken for one
    /// that was yet to come.
    #[inline]
    pub(crate) fn created_at(
        &self,
        now: Timestamp,
        clock: impl FnOnce() -> Timestamp,
    ) -> Timestamp {
        match self.created_at_floor {
            former if former <= now => now,
            // Not known; but it was read from the clock before.
            Timestamp::MAX => clock(),
            former => clock().max(former),
        }
    }
}

/// What an id names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup<'a> {
    /// A live hold or a finished record, in this slot, in this state.
    Found(&'a Slot, SlotState),
    /// The record's slot has been used since.
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

    /// As `new`, with room for holds of an earlier run that was allowed more slots: `room` is at least
    /// `max_slots`.
    pub(crate) fn with_room(
        room: usize,
        max_slots: u32,
        threads: usize,
        retention: Retention,
    ) -> Self {
        Self {
            slots: Table::new(room, Slot::new),
            free_list: FreeList::new(max_slots, threads, retention),
            deadlines: Deadlines::new(room),
        }
    }

    /// A slot for a new line; `None` if all are in use.
    #[inline(always)]
    pub(crate) fn take(&self, now: Timestamp) -> Option<VacantSlot<'_>> {
        let number = self.free_list.take(now)?;
        match VacantSlot::of(number, self.slots.ensure(number as usize)?) {
            Ok(slot) => Some(slot),
            Err(_) => self.take_another(number, now),
        }
    }

    /// A slot whose former tenant's record is being changed at this moment goes to the back of the line.
    #[cold]
    #[inline(never)]
    fn take_another(&self, mut busy: SlotNumber, now: Timestamp) -> Option<VacantSlot<'_>> {
        // More of them in a row than there are threads means that there is nothing else.
        const ATTEMPTS: usize = 64;
        for _ in 1..ATTEMPTS {
            self.free_list.retire(busy, now);
            let number = self.free_list.take(now)?;
            match VacantSlot::of(number, self.slots.ensure(number as usize)?) {
                Ok(slot) => return Some(slot),
                Err(_) => busy = number,
            }
        }
        self.free_list.retire(busy, now);
        None
    }

    /// Gives back a slot that was taken and not used.
    pub(crate) fn put_back(&self, slot: VacantSlot<'_>, now: Timestamp) {
        self.free_list.retire(slot.number, now);
    }

    /// Makes a hold of `head` and the lines of `rest` live; its id is visible from here on. Shows the
    /// fence that it has made behind that.
    #[inline]
    pub(crate) fn publish(
        &self,
        head: VacantSlot<'_>,
        rest: &[(VacantSlot<'_>, SlotLine)],
        record: ReservationRecord,
        expires_at: Timestamp,
    ) -> Fenced {
        let number = head.number;
        self.admit(head, rest, None, record, Phase::Pending, expires_at);
        self.deadlines.note(number, expires_at)
    }

    /// Enters the record of a hold that begins and ends in one step: a sale. Its slots may retire
    /// then; this returns what leads to those after the head.
    pub(crate) fn publish_sold(
        &self,
        head: VacantSlot<'_>,
        rest: &[(VacantSlot<'_>, SlotLine)],
        retaken_from: Option<(VacantSlot<'_>, ReservationId)>,
        record: ReservationRecord,
        expires_at: Timestamp,
    ) -> Chain {
        self.admit(head, rest, retaken_from, record, Phase::Confirmed, expires_at)
    }

    #[inline]
    fn admit(
        &self,
        head: VacantSlot<'_>,
        rest: &[(VacantSlot<'_>, SlotLine)],
        note: Option<(VacantSlot<'_>, ReservationId)>,
        mut record: ReservationRecord,
        phase: Phase,
        expires_at: Timestamp,
    ) -> Chain {
        if !rest.is_empty() || note.is_some() {
            record.chain = Self::chain(&head, rest, note, record.chain);
        }
        head.slot.admit(head.state, &record, phase, expires_at);
        record.chain
    }

    /// Makes the chain that leads from `head`, which was to bear `chain`, to its other lines.
    #[cold]
    #[inline(never)]
    fn chain(
        head: &VacantSlot<'_>,
        rest: &[(VacantSlot<'_>, SlotLine)],
        note: Option<(VacantSlot<'_>, ReservationId)>,
        chain: Chain,
    ) -> Chain {
        let generation = head.state.generation();
        let mut end = NO_SLOT;
        if let Some((vacated, of)) = note {
            vacated.slot.join_as_note(vacated.state, head.number, generation, of);
            end = vacated.number;
        }
        let first = Self::link(rest, head.number, generation, end);
        chain.of_later_lines(first, generation)
    }

    /// Makes `lines` a chain of the slot `head` in `generation`, with `end` behind it; returns the
    /// first of it. Linked from the back, so that a chain is whole before its head shows.
    pub(super) fn link(
        lines: &[(VacantSlot<'_>, SlotLine)],
        head: SlotNumber,
        generation: u32,
        end: SlotNumber,
    ) -> SlotNumber {
        let mut next = end;
        for (vacated, line) in lines.iter().rev() {
            vacated.slot.join(vacated.state, head, generation, *line, next);
            next = vacated.number;
        }
        next
    }

    /// Finds what `id` names, for a step that will swap the whole state word.
    #[inline]
    pub(crate) fn find(&self, id: ReservationId) -> Lookup<'_> {
        let Some(slot) = self.slots.get(id.slot() as usize) else { return Lookup::Unknown };
        match slot.state_of(id) {
            Some(state) => Lookup::Found(slot, state),
            None => self.missing(slot, id),
        }
    }

    #[cold]
    fn missing<'a>(&'a self, slot: &'a Slot, id: ReservationId) -> Lookup<'a> {
        loop {
            match slot.read(id) {
                Read::Record(_, state) => return Lookup::Found(slot, state),
                Read::Changed => crate::sync::spin_loop(),
                Read::OtherReservation(_, state) if state == SlotState::UNUSED => {
                    return Lookup::Unknown;
                }
                // A record older than the id: nobody has lived here since the id claims to.
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
        let Some(slot) = self.slots.get(id.slot() as usize) else {
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
                    // Nobody changes a record but by using its slots again, and a later one of them
                    // may come round before the head does.
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
        number: SlotNumber,
        state: SlotState,
        record: &ReservationRecord,
        mut each: impl FnMut(SlotLine),
    ) {
        // The chain of a hold in `Ending` can't change under its winner, so the walk always ends well.
        let walked = self.walk(number, state, record, &mut each);
        debug_assert!(
            matches!(walked, ChainWalk::Whole { .. }),
            "the chain of a hold belongs to it until its end"
        );
    }

    /// Hands out each line of a head that was found in `state`.
    fn walk(
        &self,
        head: SlotNumber,
        state: SlotState,
        record: &ReservationRecord,
        each: &mut impl FnMut(SlotLine),
    ) -> ChainWalk {
        let chain = record.chain;
        if !chain.is_whole() {
            each(record.line);
        }
        let mut next = chain.first();
        while next != NO_SLOT {
            let Some(slot) = self.slots.get(next as usize) else { return ChainWalk::Gone };
            match slot.read_link(head, chain.generation(), state) {
                ReadLink::Found { content: LinkContent::Line(line), next: following } => {
                    each(line);
                    next = following;
                }
                ReadLink::Found { content: LinkContent::RetakenFrom(of), .. } => {
                    return ChainWalk::Whole { retaken_from: Some(of) };
                }
                ReadLink::Gone => return ChainWalk::Gone,
                ReadLink::Changed => return ChainWalk::Changed,
            }
        }
        ChainWalk::Whole { retaken_from: None }
    }

    /// The slots of a chain, each after the one before has been passed on: for whoever has the chain
    /// to itself.
    pub(super) fn each_link(&self, chain: Chain, mut each: impl FnMut(SlotNumber, &Slot) -> bool) {
        let mut next = chain.first();
        while next != NO_SLOT {
            let Some(slot) = self.slots.get(next as usize) else { return };
            #[cfg(planted = "link_read_after_return")]
            let go_on = each(next, slot);
            // Read before it is passed on: afterwards the link may be another's.
            let following = slot.following();
            #[cfg(not(planted = "link_read_after_return"))]
            let go_on = each(next, slot);
            if !go_on {
                return;
            }
            next = following;
        }
    }

    /// Gives back the slots of a hold that is over, its end queued and its units given (Law 2); unless
    /// it has sold units that are `unsettled`, and keeps them until they are shipped or cancelled.
    #[inline]
    pub(crate) fn retire(&self, number: SlotNumber, chain: Chain, unsettled: bool, now: Timestamp) {
        if !(chain.keeps() && unsettled) {
            self.retire_all(number, chain, now);
        }
    }

    #[inline]
    pub(super) fn retire_all(&self, number: SlotNumber, chain: Chain, now: Timestamp) {
        self.free_list.retire(number, now);
        if !chain.is_empty() {
            self.retire_links(chain, now);
        }
    }

    /// Gives back the later slots of a chain: that of a hold that is over, or one that another has
    /// replaced, which nobody will read.
    pub(super) fn retire_links(&self, chain: Chain, now: Timestamp) {
        self.each_link(chain, |number, _| {
            self.free_list.retire(number, now);
            true
        });
    }

    /// A live hold of this slot, by number: for those who look through all of them.
    pub(crate) fn at(&self, number: SlotNumber) -> Option<&Slot> {
        self.slots.get(number as usize)
    }

    /// No live hold falls due before this moment.
    pub(crate) fn next_due(&self) -> Timestamp {
        self.deadlines.next_due()
    }

    /// Whether some hold may be overdue.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.deadlines.is_due(now)
    }

    /// Shows `end` every hold that is overdue at `now`, with the slot and state it was found in;
    /// `end` ends it, and says whether it has had enough.
    pub(crate) fn scan_due(
        &self,
        now: Timestamp,
        mut end: impl FnMut(SlotNumber, &Slot, SlotState) -> bool,
    ) -> Scan {
        self.deadlines.scan(
            now,
            || self.free_list.used(),
            |number| {
                let Some(slot) = self.slots.get(number as usize) else {
                    return (ScannedSlot::Nothing, false);
                };
                let state = slot.state();
                let enough = state.is_overdue(now) && end(number, slot, state);
                let after = slot.state();
                let live = match after.phase() {
                    Phase::Ending if cfg!(planted = "ending_counts_as_over") => false,
                    phase => phase.is_live(),
                };
                let found =
                    if live { ScannedSlot::Live(after.expires_at()) } else { ScannedSlot::Nothing };
                (found, enough)
            },
        )
    }

    /// Slots ever used: those beyond have no tenant.
    pub(crate) fn used(&self) -> u32 {
        self.free_list.used()
    }

    /// How many slots are live, kept as finished records, and free: exact while nothing moves.
    pub(crate) fn counts(&self) -> SlotCounts {
        let used = self.free_list.used() as usize;
        let (retained, ready) = self.free_list.counts();
        SlotCounts { live: used.saturating_sub(retained + ready), retained, free: ready }
    }
}

/// How a walk along a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainWalk {
    Whole {
        retaken_from: Option<ReservationId>,
    },
    /// A slot of the chain is another's.
    Gone,
    /// A slot changed under the look.
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
    /// It changed under the look: look again.
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
}

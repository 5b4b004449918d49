//! The reservation map: sharded slots, named by the id.
//!
//! An id carries its slot's number, so a look-up is one index and a comparison of the whole id: no
//! hash, no probing, and, with ten million live holds, one cache miss rather than several. Slots are
//! added a segment at a time as the number of live holds grows, up to a configured maximum.

mod restore;

use crate::clock::Timestamp;
use crate::reservation::chain::{Chain, NO_SLOT, SlotNumber};
use crate::reservation::expiry::{Expiry, Found, Scan};
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::magazines::{Magazines, Retention};
use crate::reservation::slot::{ChainName, LinkContent, Read, ReadLink, Slot, Tenant};
use crate::reservation::state::{Phase, State};
use crate::sync::Fenced;
use crate::table::Table;

#[cfg(not(loom))]
pub(crate) use restore::{Restored, RestoredEnd};

/// All reservations of an engine: live holds, and finished records that are still readable.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Table<Slot>,
    magazines: Magazines,
    expiry: Expiry,
}

/// A slot that one thread has taken, and nobody else can reach.
#[derive(Debug)]
#[must_use = "a taken slot is published or put back"]
pub(crate) struct Vacated<'s> {
    number: SlotNumber,
    slot: &'s Slot,
    state: State,
    former_birth: Timestamp,
}

impl<'s> Vacated<'s> {
    /// Takes a slot that came off the free ones; `Err` where its former tenant's record is just being
    /// changed.
    #[inline]
    fn of(number: SlotNumber, slot: &'s Slot) -> Result<Self, State> {
        let (state, former_birth) = slot.vacate()?;
        Ok(Self { number, slot, state, former_birth })
    }

    pub(crate) fn number(&self) -> SlotNumber {
        self.number
    }

    /// The birth of a hold that was to be born `now`, a moment read before the slot was taken: not
    /// before that of any tenant that the slot has had, so that a younger id is never taken for one
    /// that was yet to come.
    #[inline]
    pub(crate) fn birth(&self, now: Timestamp, clock: impl FnOnce() -> Timestamp) -> Timestamp {
        match self.former_birth {
            former if former <= now => now,
            // Not known; but it was read from the clock before.
            Timestamp::MAX => clock(),
            former => clock().max(former),
        }
    }
}

/// The head of a reservation as a call found it. Whoever swaps `state` for another one has the
/// reservation as it was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldSlot<'a> {
    pub(crate) number: SlotNumber,
    pub(crate) slot: &'a Slot,
    pub(crate) state: State,
}

impl HeldSlot<'_> {
    /// Moves the reservation into `phase`, if it is still in the state that it was found in (Law 3).
    #[inline]
    pub(crate) fn swap_to(self, phase: Phase) -> Result<(), State> {
        self.slot.swap(self.state, self.state.in_phase(phase))
    }
}

/// What an id names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup<'a> {
    /// A live hold or a finished record.
    Found(HeldSlot<'a>),
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
            magazines: Magazines::new(max_slots, threads, retention),
            expiry: Expiry::new(room),
        }
    }

    /// A slot for a new line; `None` if all are in use.
    #[inline(always)]
    pub(crate) fn take(&self, now: Timestamp) -> Option<Vacated<'_>> {
        let number = self.magazines.take(now)?;
        match Vacated::of(number, self.slots.ensure(number as usize)?) {
            Ok(slot) => Some(slot),
            Err(_) => self.take_another(number, now),
        }
    }

    /// A slot whose former tenant's record is being changed at this moment goes to the back of the line.
    #[cold]
    #[inline(never)]
    fn take_another(&self, mut busy: SlotNumber, now: Timestamp) -> Option<Vacated<'_>> {
        // More of them in a row than there are threads means that there is nothing else.
        const ATTEMPTS: usize = 64;
        for _ in 1..ATTEMPTS {
            self.magazines.retire(busy, now);
            let number = self.magazines.take(now)?;
            match Vacated::of(number, self.slots.ensure(number as usize)?) {
                Ok(slot) => return Some(slot),
                Err(_) => busy = number,
            }
        }
        self.magazines.retire(busy, now);
        None
    }

    /// Gives back a slot that was taken and not used.
    pub(crate) fn put_back(&self, slot: Vacated<'_>, now: Timestamp) {
        self.magazines.retire(slot.number, now);
    }

    /// Makes a hold of `head` and the lines of `rest` live; its id is visible from here on. Shows the
    /// fence that it has made behind that.
    #[inline]
    pub(crate) fn publish(
        &self,
        head: Vacated<'_>,
        rest: &[(Vacated<'_>, Line)],
        tenant: Tenant,
        expires_at: Timestamp,
    ) -> Fenced {
        let tenant = Self::with_chain(&head, rest, None, tenant);
        head.slot.admit(head.state, &tenant, Phase::Pending, expires_at);
        self.expiry.note(head.number, expires_at)
    }

    /// Enters the record of a hold that ends at the instant of its creation: a sale. Its slots may retire
    /// then; this returns what leads to those after the head.
    pub(crate) fn publish_sold(
        &self,
        head: Vacated<'_>,
        rest: &[(Vacated<'_>, Line)],
        retaken_from: Option<(Vacated<'_>, ReservationId)>,
        tenant: Tenant,
    ) -> Chain {
        let tenant = Self::with_chain(&head, rest, retaken_from, tenant);
        head.slot.admit(head.state, &tenant, Phase::Confirmed, tenant.id.created_at());
        tenant.chain
    }

    /// The tenant of `head`, whose chain leads to the lines of `rest` and to the note.
    #[inline]
    fn with_chain(
        head: &Vacated<'_>,
        rest: &[(Vacated<'_>, Line)],
        note: Option<(Vacated<'_>, ReservationId)>,
        mut tenant: Tenant,
    ) -> Tenant {
        if !rest.is_empty() || note.is_some() {
            tenant.chain = Self::chain(head, rest, note, tenant.chain);
        }
        tenant
    }

    /// Makes the chain that leads from `head`, which was to bear `chain`, to its other lines.
    #[cold]
    #[inline(never)]
    fn chain(
        head: &Vacated<'_>,
        rest: &[(Vacated<'_>, Line)],
        note: Option<(Vacated<'_>, ReservationId)>,
        chain: Chain,
    ) -> Chain {
        let name = ChainName { head: head.number, generation: head.state.generation() };
        let mut end = NO_SLOT;
        if let Some((vacated, of)) = note {
            vacated.slot.join_as_note(vacated.state, name, of);
            end = vacated.number;
        }
        chain.of_later_lines(Self::link(rest, name, end), name.generation)
    }

    /// Makes `lines` the chain `name`, with `end` behind it; returns the first of it. Linked from the
    /// back, so that a chain is whole before its head shows.
    pub(super) fn link(
        lines: &[(Vacated<'_>, Line)],
        name: ChainName,
        end: SlotNumber,
    ) -> SlotNumber {
        let mut next = end;
        for (vacated, line) in lines.iter().rev() {
            vacated.slot.join(vacated.state, name, *line, next);
            next = vacated.number;
        }
        next
    }

    /// Finds what `id` names, for a step that will swap the whole state word.
    #[inline]
    pub(crate) fn find(&self, id: ReservationId) -> Lookup<'_> {
        let Some(slot) = self.slots.get(id.slot() as usize) else { return Lookup::Unknown };
        match slot.state_of(id) {
            Some(state) => Lookup::Found(HeldSlot { number: id.slot(), slot, state }),
            None => self.missing(slot, id),
        }
    }

    #[cold]
    fn missing<'a>(&'a self, slot: &'a Slot, id: ReservationId) -> Lookup<'a> {
        loop {
            match slot.read(id) {
                Read::Tenant(_, state) => {
                    return Lookup::Found(HeldSlot { number: id.slot(), slot, state });
                }
                Read::Changed => crate::sync::spin_loop(),
                Read::Stranger(_, state) if state == State::UNUSED => return Lookup::Unknown,
                // A record older than the id: nobody has lived here since the id claims to.
                Read::Stranger(tenant, state)
                    if state.phase() != Phase::Vacant
                        && state.phase() != Phase::Line
                        && tenant.created_at() < id.created_at() =>
                {
                    return Lookup::Unknown;
                }
                Read::Stranger(..) => return Lookup::Forgotten,
            }
        }
    }

    /// Reads a whole reservation, validated: its head, its state, and every line in order.
    pub(crate) fn read(&self, id: ReservationId, mut each: impl FnMut(Line)) -> ReadReservation {
        let Some(slot) = self.slots.get(id.slot() as usize) else {
            return ReadReservation::Unknown;
        };
        match slot.read(id) {
            Read::Tenant(tenant, state) => {
                let walk = self.walk(id.slot(), state, &tenant, &mut each);
                if slot.state() != state {
                    return ReadReservation::Changed;
                }
                match walk {
                    Walk::Whole { retaken_from } => {
                        ReadReservation::Found { tenant, state, retaken_from }
                    }
                    // Nobody changes a record but by using its slots again, and a later one of them
                    // may come round before the head does.
                    Walk::Gone if !state.phase().is_live() => ReadReservation::Forgotten,
                    Walk::Gone | Walk::Changed => ReadReservation::Changed,
                }
            }
            Read::Changed => ReadReservation::Changed,
            Read::Stranger(..) => match self.missing(slot, id) {
                Lookup::Found(..) => ReadReservation::Changed,
                Lookup::Forgotten => ReadReservation::Forgotten,
                Lookup::Unknown => ReadReservation::Unknown,
            },
        }
    }

    /// The lines of a hold that this thread is ending (it won the swap to `Ending`).
    pub(crate) fn lines_of(&self, head: HeldSlot<'_>, tenant: &Tenant, mut each: impl FnMut(Line)) {
        // The chain of a hold in `Ending` can't change under its winner, so the walk always ends well.
        let walked = self.walk(head.number, head.state, tenant, &mut each);
        debug_assert!(
            matches!(walked, Walk::Whole { .. }),
            "the chain of a hold belongs to it until its end"
        );
    }

    /// Hands out each line of a head that was found in `state`.
    fn walk(
        &self,
        head: SlotNumber,
        state: State,
        tenant: &Tenant,
        each: &mut impl FnMut(Line),
    ) -> Walk {
        let chain = tenant.chain;
        let name = ChainName { head, generation: chain.generation() };
        if !chain.is_whole() {
            each(tenant.line);
        }
        let mut next = chain.first();
        while next != NO_SLOT {
            let Some(slot) = self.slots.get(next as usize) else { return Walk::Gone };
            match slot.read_link(name, state) {
                ReadLink::Found { content: LinkContent::Line(line), next: following } => {
                    each(line);
                    next = following;
                }
                ReadLink::Found { content: LinkContent::RetakenFrom(of), .. } => {
                    return Walk::Whole { retaken_from: Some(of) };
                }
                ReadLink::Gone => return Walk::Gone,
                ReadLink::Changed => return Walk::Changed,
            }
        }
        Walk::Whole { retaken_from: None }
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
        self.magazines.retire(number, now);
        if !chain.is_empty() {
            self.retire_links(chain, now);
        }
    }

    /// Gives back the later slots of a chain: that of a hold that is over, or one that another has
    /// replaced, which nobody will read.
    pub(super) fn retire_links(&self, chain: Chain, now: Timestamp) {
        self.each_link(chain, |number, _| {
            self.magazines.retire(number, now);
            true
        });
    }

    /// A live hold of this slot, by number: for those who look through all of them.
    pub(crate) fn at(&self, number: SlotNumber) -> Option<&Slot> {
        self.slots.get(number as usize)
    }

    /// No live hold falls due before this moment.
    pub(crate) fn next_due(&self) -> Timestamp {
        self.expiry.next_due()
    }

    /// Whether some hold may be overdue.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.expiry.is_due(now)
    }

    /// Shows `end` every hold that is overdue at `now`; `end` ends it, and says whether it has had enough.
    pub(crate) fn scan_due(
        &self,
        now: Timestamp,
        mut end: impl FnMut(HeldSlot<'_>) -> bool,
    ) -> Scan {
        self.expiry.scan(
            now,
            || self.magazines.used(),
            |number| {
                let Some(slot) = self.slots.get(number as usize) else {
                    return (Found::Nothing, false);
                };
                let state = slot.state();
                let enough = state.is_overdue(now) && end(HeldSlot { number, slot, state });
                let after = slot.state();
                let live = match after.phase() {
                    Phase::Ending if cfg!(planted = "ending_counts_as_over") => false,
                    phase => phase.is_live(),
                };
                let found = if live { Found::Live(after.expires_at()) } else { Found::Nothing };
                (found, enough)
            },
        )
    }

    /// Slots ever used: those beyond have no tenant.
    pub(crate) fn used(&self) -> u32 {
        self.magazines.used()
    }

    /// How many slots are live, kept as finished records, and free: exact while nothing moves.
    pub(crate) fn counts(&self) -> SlotCounts {
        let used = self.magazines.used() as usize;
        let (retained, ready) = self.magazines.counts();
        SlotCounts { live: used.saturating_sub(retained + ready), retained, free: ready }
    }
}

/// How a walk along a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
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
        tenant: Tenant,
        state: State,
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

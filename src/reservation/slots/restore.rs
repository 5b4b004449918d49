//! Restores the reservations of an earlier run. Each head returns to the slot that its id names,
//! because the id must go on naming it. All other lines go where there is room.

use crate::base::clock::Timestamp;
use crate::reservation::chain::{Chain, NO_SLOT, SlotNumber};
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{ChainName, ReservationRecord};
use crate::reservation::slots::{Slots, VacantSlot};
use crate::reservation::state::Phase;
use crate::stock::handle::LevelIndex;

/// A reservation of an earlier run, to be restored.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Timestamp,
    /// Sorted by level. If the reservation is over, nothing is held.
    pub(crate) lines: Vec<SlotLine>,
    pub(crate) retaken_from: Option<ReservationId>,
    /// Its slots are kept until all that it sold is shipped or cancelled.
    pub(crate) keep: bool,
    /// How and when it ended, if it did.
    pub(crate) end: Option<RestoredEnd>,
}

/// How and when a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestoredEnd {
    /// Its last step. A reservation that sold something before may end as expired.
    pub(crate) phase: Phase,
    pub(crate) at: Timestamp,
}

impl Restored {
    /// Whether it has sold anything.
    fn has_sold(&self) -> bool {
        self.lines.iter().any(|line| line.sold > 0)
    }

    /// The level of its first line.
    pub(crate) fn first_level(&self) -> Option<LevelIndex> {
        self.lines.first().map(|line| line.level)
    }

    fn phase(&self) -> Phase {
        match self.end {
            None => Phase::Pending,
            Some(_) if self.has_sold() => Phase::Confirmed,
            Some(end) => end.phase,
        }
    }

    /// Its lines as an end in one step leaves them, if it ended so: then `held` says what it held.
    fn ended_at_once(&self) -> Option<Vec<SlotLine>> {
        let sold = self.end?.phase == Phase::Confirmed;
        let at_once = |line: &SlotLine| {
            let other = if sold { line.given_back } else { line.sold };
            (other == 0 && line.held == 0).then(|| SlotLine {
                held: line.quantity(),
                sold: 0,
                given_back: 0,
                ..*line
            })
        };
        self.lines.iter().map(at_once).collect()
    }

    /// The lines to write, and whether all of them need later slots: the head has no room for what
    /// earlier steps did.
    fn layout(&self) -> (Vec<SlotLine>, bool) {
        if let Some(lines) = self.ended_at_once() {
            return (lines, false);
        }
        let stepped = self.lines.iter().any(|line| line.sold > 0 || line.given_back > 0);
        (self.lines.clone(), stepped)
    }
}

impl Slots {
    /// How many slots there can be, including those of an earlier run.
    pub(crate) fn room(&self) -> u32 {
        u32::try_from(self.slots.capacity()).unwrap_or(u32::MAX)
    }

    /// Restores all of `reservations`, each in another slot. Call it before any other use of the
    /// slots. A finished one whose id lies ahead of the clock stays readable in quarantine. `None`
    /// if they need more slots than there can be.
    pub(crate) fn restore(&self, mut reservations: Vec<Restored>, now: Timestamp) -> Option<()> {
        // Live holds first: if room is short, finished records are dropped.
        reservations.sort_by_key(|it| (it.end.map(|end| end.at), it.id));
        let highest = reservations.iter().map(|it| it.id.slot()).max();
        let mut taken = OccupiedSlots::new(&reservations, highest.map_or(0, |slot| slot + 1));
        let mut ended = Vec::new();
        for reservation in &reservations {
            let number = reservation.id.slot();
            let (lines, all_apart) = reservation.layout();
            let later = lines.len() - usize::from(!all_apart);
            let count = later + usize::from(reservation.retaken_from.is_some());
            let slots = std::iter::once(number).chain(taken.spare(count));
            let vacated: Option<Vec<VacantSlot<'_>>> =
                slots.map(|slot| self.vacated(slot)).collect();
            let Some(vacated) = vacated else {
                match reservation.end {
                    // Its record is forgotten.
                    Some(_) => continue,
                    None => return None,
                }
            };
            let chain = self.place(reservation, &lines, all_apart, vacated)?;
            if let Some(end) = reservation.end {
                let unsettled = lines.iter().any(|line| line.sold_in(end.phase) > line.settled);
                ended.push((reservation.id, chain, unsettled, end.at));
            }
        }
        self.free_list.begin_after(taken.used);
        // Oldest first: slots without a record, then records in the order in which they ended.
        taken.free().for_each(|slot| self.free_list.retire(slot, Timestamp::default()));
        for (id, chain, unsettled, at) in ended {
            let since = id.created_at();
            if since > now && !(chain.keeps() && unsettled) {
                self.put_in_quarantine(id.slot(), chain, since);
            } else {
                self.retire(id.slot(), chain, unsettled, at);
            }
        }
        Some(())
    }

    /// Keeps all slots of a finished reservation until the clock has reached `since`.
    fn put_in_quarantine(&self, head: SlotNumber, chain: Chain, since: Timestamp) {
        let put = |slot| {
            if self.free_list.gives(slot) {
                self.quarantine.put(slot, since);
            }
        };
        put(head);
        self.each_link(chain, |slot, _| {
            put(slot);
            true
        });
    }

    fn vacated(&self, number: SlotNumber) -> Option<VacantSlot<'_>> {
        let slot = self.slots.ensure(number as usize)?;
        let (former, since) = slot.former().ok()?;
        let state = slot.vacate(former).ok()?;
        Some(VacantSlot { number, slot, state, taken_at: since, ahead: since })
    }

    /// Writes one reservation into its slots. Returns the chain to those after the head.
    fn place(
        &self,
        reservation: &Restored,
        lines: &[SlotLine],
        all_apart: bool,
        vacated: Vec<VacantSlot<'_>>,
    ) -> Option<Chain> {
        let mut vacated = vacated.into_iter();
        let head = vacated.next()?;
        let name = ChainName { head: head.number(), generation: head.state.generation() };
        let later = if all_apart { lines } else { lines.get(1..)? };
        let rest: Vec<(VacantSlot<'_>, SlotLine)> =
            vacated.by_ref().zip(later.iter().copied()).collect();
        let mut end = NO_SLOT;
        if let (Some(slot), Some(of)) = (vacated.next(), reservation.retaken_from) {
            end = slot.number;
            self.slots.get(end as usize)?.join_as_note(slot.state, name, of);
        }
        let first = Self::link(&rest, name, end);
        let chain = match reservation.end {
            Some(end) if reservation.has_sold() => Chain::NONE.ending_as(end.phase),
            _ => Chain::NONE,
        };
        let chain = chain.keeping(reservation.keep);
        let chain = match all_apart {
            true => chain.of_all_lines(first, name.generation),
            false => chain.of_later_lines(first, name.generation),
        };
        let line = *lines.first()?;
        let record =
            ReservationRecord { id: reservation.id, owner: reservation.owner, line, chain };
        let phase = reservation.phase();
        head.slot.admit(head.state, &record, phase, reservation.expires_at);
        if phase == Phase::Pending {
            self.deadlines.note(name.head, reservation.expires_at);
        }
        Some(chain)
    }
}

/// Which slots hold a reservation.
struct OccupiedSlots {
    is_taken: Vec<bool>,
    /// Where to look for the next free one.
    at: usize,
    /// Slots below this number are in use or free. All above are fresh.
    used: u32,
}

impl OccupiedSlots {
    fn new(reservations: &[Restored], used: u32) -> Self {
        let mut is_taken = vec![false; used as usize];
        for reservation in reservations {
            is_taken[reservation.id.slot() as usize] = true;
        }
        Self { is_taken, at: 0, used }
    }

    /// So many slots without a reservation.
    fn spare(&mut self, count: usize) -> Vec<SlotNumber> {
        let mut slots = Vec::with_capacity(count);
        while slots.len() < count && self.at < self.is_taken.len() {
            if !std::mem::replace(&mut self.is_taken[self.at], true) {
                slots.push(self.at as SlotNumber);
            }
            self.at += 1;
        }
        while slots.len() < count {
            slots.push(self.used);
            self.used += 1;
        }
        slots
    }

    /// Slots below the fresh ones that hold no reservation.
    fn free(&self) -> impl Iterator<Item = SlotNumber> {
        let slots = self.is_taken.iter().enumerate();
        slots.filter(|(_, taken)| !**taken).map(|(slot, _)| slot as SlotNumber)
    }
}

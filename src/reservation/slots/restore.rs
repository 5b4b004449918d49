//! Putting reservations of an earlier run back: each head at the slot that its id names, for its id
//! must go on naming it; all else where there is room.

use crate::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::slot::{Line, NO_SLOT, SlotNumber, Tenant};
use crate::reservation::slots::{Slots, Vacated};
use crate::reservation::state::Phase;
use crate::stock::handle::LevelHandle;

/// A reservation as it is to be again.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Timestamp,
    pub(crate) first: Line,
    pub(crate) rest: Vec<Line>,
    pub(crate) retaken_from: Option<ReservationId>,
    /// How and when it ended, if it did.
    pub(crate) end: Option<RestoredEnd>,
}

/// How and when a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestoredEnd {
    pub(crate) phase: Phase,
    pub(crate) at: Timestamp,
}

impl Slots {
    /// How many slots there can be, those of an earlier run included.
    pub(crate) fn room(&self) -> u32 {
        u32::try_from(self.slots.capacity()).unwrap_or(u32::MAX)
    }

    /// The level of the first line of a reservation that is there.
    pub(crate) fn first_level_of(&self, id: ReservationId) -> Option<LevelHandle> {
        let slot = self.slots.get(id.slot() as usize)?;
        slot.state_of(id).map(|_| slot.read_tenant().line.level)
    }

    /// Restores all of `reservations`, each of another slot, before anybody else uses the slots.
    /// `None` if they need more slots than there can be.
    pub(crate) fn restore(&self, mut reservations: Vec<Restored>) -> Option<()> {
        // Live ones first: if room is short, records of what is over yield.
        reservations.sort_by_key(|it| (it.end.map(|end| end.at), it.id));
        let highest = reservations.iter().map(|it| it.id.slot()).max();
        let mut taken = Taken::new(&reservations, highest.map_or(0, |slot| slot + 1));
        let mut ended = Vec::new();
        for reservation in &reservations {
            let number = reservation.id.slot();
            let count = reservation.rest.len() + usize::from(reservation.retaken_from.is_some());
            let slots = std::iter::once(number).chain(taken.spare(count));
            let vacated: Option<Vec<Vacated>> = slots.map(|slot| self.vacated(slot)).collect();
            let Some(vacated) = vacated else {
                match reservation.end {
                    // Its record is forgotten.
                    Some(_) => continue,
                    None => return None,
                }
            };
            let next = self.place(reservation, vacated)?;
            if let Some(end) = reservation.end {
                ended.push((number, next, end.at));
            }
        }
        self.magazines.begin_after(taken.used);
        // Oldest first: slots that nobody remembers, then records in the order in which they ended.
        taken.free().for_each(|slot| self.magazines.retire(slot, Timestamp::default()));
        for (number, next, at) in ended {
            self.retire(number, next, at);
        }
        Some(())
    }

    fn vacated(&self, number: SlotNumber) -> Option<Vacated> {
        let (state, former_birth) = self.slots.ensure(number as usize)?.vacate().ok()?;
        Some(Vacated { number, state, former_birth })
    }

    /// Returns the slot after the head.
    fn place(&self, reservation: &Restored, vacated: Vec<Vacated>) -> Option<SlotNumber> {
        let mut vacated = vacated.into_iter();
        let head = vacated.next()?;
        let number = head.number();
        let lines = reservation.rest.iter();
        let rest: Vec<(Vacated, Line)> = vacated
            .by_ref()
            .take(reservation.rest.len())
            .zip(lines)
            .map(|(slot, line)| (slot, *line))
            .collect();
        let note = vacated.next().zip(reservation.retaken_from);
        let tenant = Tenant {
            id: reservation.id,
            owner: reservation.owner,
            line: reservation.first,
            next: NO_SLOT,
        };
        let phase = reservation.end.map_or(Phase::Pending, |end| end.phase);
        let next = self.admit(head, &rest, note, tenant, phase, reservation.expires_at);
        if phase == Phase::Pending {
            self.expiry.note(number, reservation.expires_at);
        }
        Some(next)
    }
}

/// Which slots have a tenant.
struct Taken {
    is_taken: Vec<bool>,
    /// Where to look for the next free one.
    at: usize,
    /// Slots below this number are in use or free; all above are fresh.
    used: u32,
}

impl Taken {
    fn new(reservations: &[Restored], used: u32) -> Self {
        let mut is_taken = vec![false; used as usize];
        for reservation in reservations {
            is_taken[reservation.id.slot() as usize] = true;
        }
        Self { is_taken, at: 0, used }
    }

    /// So many slots without a tenant.
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

    /// Slots below the fresh ones that have no tenant.
    fn free(&self) -> impl Iterator<Item = SlotNumber> {
        let slots = self.is_taken.iter().enumerate();
        slots.filter(|(_, taken)| !**taken).map(|(slot, _)| slot as SlotNumber)
    }
}

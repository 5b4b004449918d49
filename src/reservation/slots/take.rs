//! Takes a slot for a new line: off the free list, or at the maximum of slots out of the
//! quarantine.

use crate::base::clock::Timestamp;
use crate::reservation::chain::SlotNumber;
use crate::reservation::slot::Slot;
use crate::reservation::slots::{Slots, VacantSlot};

/// What became of a slot off the free list.
enum SlotClaim<'s> {
    Vacant(VacantSlot<'s>),
    /// Another thread is changing the record of its former reservation.
    Busy,
    /// Its former reservation's id lies ahead of the clock: it began under a clock that was wrong.
    Ahead(Timestamp),
}

impl Slots {
    /// A slot for a new line; `None` if all are in use. `now` is the call's reading of the clock.
    /// If the slot's former reservation is younger, the clock is read again.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        now: Timestamp,
        clock: impl Fn() -> Timestamp,
    ) -> Option<VacantSlot<'_>> {
        let Some(number) = self.free_list.take(now, |slot| self.load(slot)) else {
            return self.take_quarantined(clock());
        };
        if let Some(slot) = self.claim_at_once(number, now) {
            return Some(slot);
        }
        self.claim_or_take_another(number, now, clock).map(VacantSlot::in_registers)
    }

    /// Loads some word of each line that a new hold in this slot will touch and no other hold does,
    /// or few others.
    #[inline(always)]
    fn load(&self, number: SlotNumber) -> u64 {
        self.at(number).map_or(0, Slot::load) ^ self.deadlines.load(number)
    }

    /// Claims a slot off the free list whose former reservation is over and lies behind, as nearly
    /// all do.
    #[inline(always)]
    fn claim_at_once(&self, number: SlotNumber, now: Timestamp) -> Option<VacantSlot<'_>> {
        let slot = self.at(number)?;
        let former = slot.former_hold(now)?;
        let (state, taken) = slot.vacate(former).ok()?;
        Some(VacantSlot { number, slot, state, taken, taken_at: now, id_time: now })
    }

    /// Claims the slot, or else another one. One that is refused goes to the back of the queue if a
    /// thread is changing its record, and into the quarantine if it lies ahead of the clock.
    #[inline(never)]
    fn claim_or_take_another(
        &self,
        mut number: SlotNumber,
        now: Timestamp,
        clock: impl Fn() -> Timestamp,
    ) -> Option<VacantSlot<'_>> {
        // If more slots in a row are busy than there are threads, there are no others.
        let mut attempts = 64;
        loop {
            match self.claim(number, now, &clock)? {
                SlotClaim::Vacant(slot) => return Some(slot),
                SlotClaim::Ahead(since) => self.quarantine.put(number, since),
                SlotClaim::Busy => {
                    self.free_list.retire(number, now);
                    attempts -= 1;
                }
            }
            if attempts == 0 {
                return None;
            }
            match self.free_list.take(now, |slot| self.load(slot)) {
                Some(next) => number = next,
                None => return self.take_quarantined(clock()),
            }
        }
    }

    /// Claims a slot off the free list, unless its former reservation lies ahead of the clock.
    fn claim(
        &self,
        number: SlotNumber,
        now: Timestamp,
        clock: &impl Fn() -> Timestamp,
    ) -> Option<SlotClaim<'_>> {
        let slot = Slot::new(self.lines.ensure(number as usize)?);
        let Ok((former, since)) = slot.former() else { return Some(SlotClaim::Busy) };
        let mut taken_at = now;
        if since > now {
            // Another call took the slot and gave it back after this one had read the clock. Or it
            // is unknown who was first (`MAX`); that was read from this clock, too, earlier.
            taken_at = clock();
            if since != Timestamp::MAX && since > taken_at {
                return Some(SlotClaim::Ahead(since));
            }
        }
        let Ok((state, taken)) = slot.vacate(former) else { return Some(SlotClaim::Busy) };
        let id_time = taken_at;
        Some(SlotClaim::Vacant(VacantSlot { number, slot, state, taken, taken_at, id_time }))
    }

    /// At the maximum of slots the quarantine yields: the slot that the clock reaches first.
    #[cold]
    #[inline(never)]
    fn take_quarantined(&self, now: Timestamp) -> Option<VacantSlot<'_>> {
        while let Some(number) = self.quarantine.take(Timestamp::MAX) {
            let slot = self.at(number)?;
            let claimed = slot.former().and_then(|(former, since)| {
                let id_time = if since == Timestamp::MAX { now } else { now.max(since) };
                let (state, taken) = slot.vacate(former)?;
                Ok(VacantSlot { number, slot, state, taken, taken_at: now, id_time })
            });
            match claimed {
                Ok(slot) => {
                    self.free_list.note_early(now);
                    return Some(slot);
                }
                // A thread is changing its record: it goes to the back of the queue.
                Err(_) => self.free_list.retire(number, now),
            }
        }
        None
    }

    /// Gives slots back to new holds that the clock has reached.
    pub(crate) fn end_quarantine(&self, now: Timestamp) {
        while let Some(number) = self.quarantine.take(now) {
            self.free_list.retire(number, now);
        }
    }

    /// Gives back a slot that was taken and not used.
    #[inline(always)]
    pub(crate) fn put_back(&self, slot: VacantSlot<'_>, now: Timestamp) {
        slot.slot.abandon(slot.state);
        self.free_list.put_back(slot.number, now);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::reservation::chain::Chain;
    use crate::reservation::free_list::Retention;
    use crate::reservation::id::ReservationId;
    use crate::reservation::line::SlotLine;
    use crate::reservation::slot::ReservationRecord;
    use crate::reservation::state::Phase;
    use crate::stock::handle::LevelIndex;
    use std::time::Duration;

    #[test]
    fn a_slot_that_was_put_back_unused_keeps_no_bound_down() {
        let at = Timestamp::from_millis;
        let retention = Retention { time: Duration::ZERO, records: 0, drop_oldest: true };
        let slots = Slots::new(64, 1, retention);
        let take = || slots.take(at(1), || at(1)).expect("a free slot");
        let (hold, unused) = (take(), take());
        let id = ReservationId::new(at(1), hold.number(), 7);
        let line = SlotLine::new(LevelIndex(0), 1);
        slots.publish(
            hold,
            ReservationRecord { id, owner: None, line, chain: Chain::NONE },
            at(10),
        );
        slots.scan_due(at(20), |hold| {
            hold.swap_to(Phase::Expired).expect("nobody else ends it");
            false
        });
        assert_eq!(slots.next_due(), at(10), "what is taken may fall due at any time");
        slots.put_back(unused, at(20));
        slots.scan_due(at(20), |_| unreachable!("nothing is live"));
        assert!(slots.next_due() > at(20), "nothing will fall due");
    }
}

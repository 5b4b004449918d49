//! Restores the reservations of an earlier run. Each head returns to the slot that its id names,
//! because the id must go on naming it. All other lines go where there is room.
//!
//! The promise: what an engine of so many slots held, an engine of as many slots can restore. So a
//! reservation that must stay takes no more slots here than it did in the engine that made it, and
//! finished records make room for it, the oldest first, as they do in a running engine.

use std::cmp::Reverse;

use crate::base::clock::Timestamp;
use crate::reservation::chain::{Chain, SlotNumber};
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::SlotLine;
use crate::reservation::slot::draw::SlotDraw;
use crate::reservation::slot::{ChainName, LinkContent, ReservationRecord, Slot};
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
    /// What the lines have drawn, by their order.
    pub(crate) draws: Vec<SlotDraw>,
    pub(crate) retaken_from: Option<ReservationId>,
    /// Its slots are kept until all that it sold is shipped or cancelled.
    pub(crate) keep: bool,
    /// It still needs its slots: a live hold, or a record that is kept. Others may be forgotten.
    pub(crate) must_stay: bool,
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

    /// The lines to write, and whether all of them need later slots.
    fn layout(&self) -> (Vec<SlotLine>, bool) {
        let end = self.end.map(|end| end.phase);
        let lines = self.lines.iter();
        if ended_at_once(end, lines.clone().copied()) {
            // After an end in one step, `held` says what the line held.
            let all = |line: &SlotLine| SlotLine {
                held: line.quantity(),
                sold: 0,
                given_back: 0,
                ..*line
            };
            return (lines.map(all).collect(), false);
        }
        (self.lines.clone(), lies_apart(end, lines.copied()))
    }

    /// How many slots it takes.
    fn slots(&self) -> usize {
        let end = self.end.map(|end| end.phase);
        let lines = slots_of(end, self.lines.iter().copied(), self.retaken_from.is_some());
        lines + self.draws.len()
    }

    /// When the next of its draws counts no more, if it is over and they count for a time.
    fn counted_until(&self) -> Option<Timestamp> {
        self.end?;
        self.draws.iter().filter_map(SlotDraw::ends).min()
    }
}

/// Whether the reservation ended in one step, which sold all that it held or gave all of it back.
fn ended_at_once(end: Option<Phase>, mut lines: impl Iterator<Item = SlotLine>) -> bool {
    end.is_some_and(|end| {
        lines.all(|line| {
            let other = if end == Phase::Confirmed { line.given_back } else { line.sold };
            (other, line.held) == (0, 0)
        })
    })
}

/// Whether all lines lie in later slots: the head has no room for what earlier steps did.
fn lies_apart(end: Option<Phase>, lines: impl Iterator<Item = SlotLine> + Clone) -> bool {
    !ended_at_once(end, lines.clone()) && { lines }.any(|it| it.sold > 0 || it.given_back > 0)
}

/// How many slots a reservation of these lines takes when it is restored; `end`: its last step, if
/// it is over. No more than the running engine gives it.
pub(crate) fn slots_of(
    end: Option<Phase>,
    lines: impl Iterator<Item = SlotLine> + Clone,
    is_retake: bool,
) -> usize {
    let apart = lies_apart(end, lines.clone());
    lines.count() + usize::from(apart) + usize::from(is_retake)
}

impl Slots {
    /// How many slots there can be, including those of an earlier run.
    pub(crate) fn room(&self) -> u32 {
        u32::try_from(self.lines.capacity()).unwrap_or(u32::MAX)
    }

    /// Restores `reservations`, each in another slot: all that must stay, and of the finished
    /// records as many as fit, the newest first. A finished one whose id lies ahead of the clock
    /// stays readable in quarantine. Call it before any other use of the slots. `None` if those
    /// that must stay need more slots than there can be.
    pub(crate) fn restore(&self, mut reservations: Vec<Restored>, now: Timestamp) -> Option<()> {
        reservations.sort_by_key(|it| (!it.must_stay, Reverse(it.end.map(|end| end.at)), it.id));
        self.forget_what_does_not_fit(&mut reservations);
        let mut taken = OccupiedSlots::by_heads_of(&reservations);
        let mut ended = Vec::new();
        for reservation in &reservations {
            let number = reservation.id.slot();
            let (lines, all_apart) = reservation.layout();
            let slots = std::iter::once(number).chain(taken.spare(reservation.slots() - 1));
            let vacated: Option<Vec<VacantSlot<'_>>> =
                slots.map(|slot| self.vacated(slot)).collect();
            let chain = self.place(reservation, &lines, all_apart, vacated?)?;
            if let Some(end) = reservation.end {
                let unsettled = lines.iter().any(|line| line.sold_in(end.phase) > line.settled);
                ended.push((end.at, reservation.id, chain, unsettled));
            }
        }
        self.free_list.begin_after(taken.used());
        // Oldest first: slots without a record, then records in the order in which they ended.
        taken.free().for_each(|slot| self.free_list.retire(slot, Timestamp::default()));
        ended.sort_unstable_by_key(|(at, id, ..)| (*at, *id));
        for (at, id, chain, unsettled) in ended {
            let since = id.created_at();
            if since > now && !chain.stays(unsettled) {
                self.put_in_quarantine(id.slot(), chain, since);
            } else {
                self.retire(id.slot(), chain, unsettled, at);
            }
        }
        Some(())
    }

    /// Drops the finished records that would take slots that others need: the engine that wrote
    /// them may have reused those slots for later lines, which no entry tells.
    fn forget_what_does_not_fit(&self, reservations: &mut Vec<Restored>) {
        let max_slots = self.free_list.max_slots();
        let mut left = max_slots as usize;
        reservations.retain(|it| {
            let beyond = it.id.slot() >= max_slots;
            let slots = it.slots() - usize::from(beyond);
            let stays = it.must_stay || (!beyond && slots <= left);
            if stays {
                left = left.saturating_sub(slots);
            }
            stays
        });
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
        let slot = Slot::new(self.lines.ensure(number as usize)?);
        let (former, since) = slot.former().ok()?;
        let (state, taken) = slot.vacate(former).ok()?;
        Some(VacantSlot { number, slot, state, taken, taken_at: since, id_time: since })
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
        let contents = later.iter().copied().map(LinkContent::Line);
        let contents = contents
            .chain(reservation.draws.iter().copied().map(LinkContent::Draw))
            .chain(reservation.retaken_from.map(LinkContent::RetakenFrom));
        let rest: Vec<(VacantSlot<'_>, LinkContent)> = vacated.by_ref().zip(contents).collect();
        let first = Self::link(&rest, name);
        let counted = reservation.counted_until();
        let chain = match reservation.end {
            Some(end) if reservation.has_sold() => Chain::NONE.ending_as(end.phase),
            _ => Chain::NONE,
        };
        let chain = chain.keeping(reservation.keep).drawing(!reservation.draws.is_empty());
        let chain = chain.counting(counted.is_some());
        let chain = match all_apart {
            true => chain.of_all_lines(first, name.generation),
            false => chain.of_later_lines(first, name.generation),
        };
        let line = *lines.first()?;
        let record =
            ReservationRecord { id: reservation.id, owner: reservation.owner, line, chain };
        let phase = reservation.phase();
        if phase == Phase::Pending {
            self.enter_holders(record.id, record.owner, chain);
        }
        head.slot.admit(head.state, &record, phase, reservation.expires_at);
        let due = if phase == Phase::Pending { Some(reservation.expires_at) } else { counted };
        if let Some(due) = due {
            self.deadlines.note(name.head, due, &head.taken);
        }
        Some(chain)
    }
}

/// Which slots hold a reservation.
struct OccupiedSlots {
    /// All slots from this length on are fresh.
    is_taken: Vec<bool>,
    /// Where to look for the next free one.
    at: usize,
}

impl OccupiedSlots {
    fn by_heads_of(reservations: &[Restored]) -> Self {
        let highest = reservations.iter().map(|it| it.id.slot() as usize + 1).max();
        let mut is_taken = vec![false; highest.unwrap_or(0)];
        for reservation in reservations {
            is_taken[reservation.id.slot() as usize] = true;
        }
        Self { is_taken, at: 0 }
    }

    /// So many slots without a reservation, the lowest ones.
    fn spare(&mut self, count: usize) -> Vec<SlotNumber> {
        let mut slots = Vec::with_capacity(count);
        while slots.len() < count {
            match self.is_taken.get_mut(self.at) {
                None => self.is_taken.push(true),
                Some(true) => {
                    self.at += 1;
                    continue;
                }
                Some(free) => *free = true,
            }
            slots.push(self.at as SlotNumber);
            self.at += 1;
        }
        slots
    }

    /// Slots below this number are in use or free. All above are fresh.
    fn used(&self) -> u32 {
        u32::try_from(self.is_taken.len()).unwrap_or(u32::MAX)
    }

    /// Slots below the fresh ones that hold no reservation.
    fn free(&self) -> impl Iterator<Item = SlotNumber> {
        let slots = self.is_taken.iter().enumerate();
        slots.filter(|(_, taken)| !**taken).map(|(slot, _)| slot as SlotNumber)
    }
}

//! Reservations that the entries add up to, each at the slot that its id names.
//!
//! Law 2 holds for slots as it does for units: the entry that takes a slot comes after the entry
//! that ended the slot's previous reservation. So the ledger keeps only the newest reservation of
//! each slot, and finds it by index, without a hash.

use std::collections::{BTreeMap, HashMap};

use crate::base::clock::Timestamp;
use crate::base::quantity::MAX_UNITS;
use crate::journal::ledger::clock::ClockStep;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::handle::LevelIndex;

/// The state of a reservation. Once it has ended, this says how its last units went. A reservation
/// that sold units in an earlier partial step may still end as released or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Live,
    Confirmed,
    Released,
    Expired,
}

/// One line of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldLine {
    pub(crate) level: LevelIndex,
    /// Units that are still held.
    pub(crate) held: u32,
    /// Units sold so far.
    pub(crate) sold: u32,
    /// Units given back so far.
    pub(crate) given_back: u32,
    /// Once the hold is over: units given back by steps before its end. Before, 0.
    pub(crate) taken_out: u32,
    /// Sold units that were shipped since, or whose sale was cancelled, by a call that names the
    /// reservation.
    pub(crate) settled: u32,
}

impl HoldLine {
    /// The units that the end gave back, once the hold is over.
    pub(crate) fn left(&self) -> u32 {
        self.given_back.saturating_sub(self.taken_out)
    }
}

/// What a line of a reservation has drawn on an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldDraw {
    pub(crate) key: AllowanceKey,
    pub(crate) level: LevelIndex,
    /// In units, also under a rule that counts reservations.
    pub(crate) drawn: u32,
    /// It was taken at a sale of units that were held without it. So it counts sold units alone,
    /// and what comes back of the hold later was never in it.
    pub(crate) of_sale: bool,
    /// Its rule counts what was sold for a time.
    pub(crate) for_a_time: bool,
}

impl HoldDraw {
    pub(super) fn place(&self) -> (LevelIndex, AllowanceKey) {
        (self.level, self.key)
    }
}

/// The newest reservation of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Timestamp,
    pub(crate) standing: Standing,
    /// The slot keeps the reservation until all that it sold is shipped or cancelled.
    pub(crate) keep: bool,
    /// When the hold ended; the default while it is live.
    pub(crate) ended_at: Timestamp,
    first: HoldLine,
    /// The further lines, the retaken reservation, the draws and those that were given back. Boxed,
    /// because most holds have none.
    extras: Option<Box<HoldExtras>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
/// What few holds have.
struct HoldExtras {
    lines: Vec<HoldLine>,
    retaken_from: Option<ReservationId>,
    /// In the order of their levels and keys. Between two records, each has drawn something.
    draws: Vec<HoldDraw>,
    /// Names of allowances, in their order, each once; none of a limit by level.
    draws_given_back: Vec<AllowanceKey>,
}

impl Hold {
    pub(crate) fn new(
        id: ReservationId,
        owner: Option<Owner>,
        expires_at: Timestamp,
        level: LevelIndex,
        units: u32,
    ) -> Self {
        let first = line(level, units);
        let ended_at = Timestamp::default();
        let standing = Standing::Live;
        Self { id, owner, expires_at, standing, keep: false, ended_at, first, extras: None }
    }

    /// A hold from a checkpoint, with its first line.
    pub(super) fn from_checkpoint(
        id: ReservationId,
        owner: Option<Owner>,
        expires_at: Timestamp,
        first: HoldLine,
    ) -> Self {
        Self { first, ..Self::new(id, owner, expires_at, first.level, first.held) }
    }

    /// Adds a line from a checkpoint.
    pub(super) fn push_line(&mut self, line: HoldLine) {
        self.extras.get_or_insert_default().lines.push(line);
    }

    pub(crate) fn add_line(&mut self, level: LevelIndex, units: u32) {
        self.push_line(line(level, units));
    }

    pub(crate) fn set_retaken_from(&mut self, id: ReservationId) {
        self.extras.get_or_insert_default().retaken_from = Some(id);
    }

    pub(crate) fn retaken_from(&self) -> Option<ReservationId> {
        self.extras.as_ref()?.retaken_from
    }

    pub(crate) fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// Whether the reservation still needs its slot: the hold is live, or its sold units have not
    /// all left and its record is kept for them, or they count under a limit for a time.
    pub(crate) fn occupies(&self) -> bool {
        self.is_live()
            || (self.keep && self.lines().any(|line| line.sold > line.settled))
            || self.counts_for_a_time()
    }

    /// Whether what was sold counts under a limit until some time after the end of the hold. Until
    /// then its slot remembers what is to be given back.
    pub(crate) fn counts_for_a_time(&self) -> bool {
        // What a hold gave back of its draws is gone from them: those left are of sold units.
        !self.is_live() && self.draws().iter().any(|draw| draw.for_a_time)
    }

    /// What the lines have drawn on allowances, in the order of levels and keys.
    pub(crate) fn draws(&self) -> &[HoldDraw] {
        self.extras.as_ref().map_or(&[], |extras| &extras.draws)
    }

    #[inline]
    pub(super) fn has_draws(&self) -> bool {
        !self.draws().is_empty()
    }

    /// The allowances on which the hold has drawn and draws no more: one who takes its lines again
    /// draws for the same subjects. None of a limit by level, and none once the hold is over and
    /// has sold something.
    pub(crate) fn draws_given_back(&self) -> &[AllowanceKey] {
        self.extras.as_ref().map_or(&[], |extras| &extras.draws_given_back)
    }

    /// Whether it draws on an allowance, or has given back what it drew.
    pub(super) fn has_drawn(&self) -> bool {
        self.has_draws() || !self.draws_given_back().is_empty()
    }

    pub(super) fn set_draws_given_back(&mut self, keys: Vec<AllowanceKey>) {
        if !keys.is_empty() {
            self.extras.get_or_insert_default().draws_given_back = keys;
        }
    }

    /// Notes that all was given back of what it has drawn on these, each once and sorted.
    pub(super) fn note_given_back(&mut self, keys: Vec<AllowanceKey>) {
        if !self.may_be_retaken() {
            if let Some(extras) = &mut self.extras {
                extras.draws_given_back = Vec::new();
            }
            self.drop_empty_extras();
        } else if !keys.is_empty() {
            let known = &mut self.extras.get_or_insert_default().draws_given_back;
            known.extend(keys);
            known.sort_unstable();
            known.dedup();
        }
    }

    /// Whether its lines may be taken again, now or once it is over: it is live, or has sold
    /// nothing.
    pub(super) fn may_be_retaken(&self) -> bool {
        self.is_live() || self.lines().all(|line| line.sold == 0)
    }

    /// Equal holds are to be equal, whatever they once had.
    fn drop_empty_extras(&mut self) {
        if self.extras.as_deref() == Some(&HoldExtras::default()) {
            self.extras = None;
        }
    }

    /// Whether any line draws on this allowance.
    pub(super) fn draws_on(&self, key: AllowanceKey) -> bool {
        self.draws().iter().any(|draw| draw.key == key)
    }

    /// Adds a draw, to one of the same level and key if there is one. `None` if that has drawn more
    /// than can be.
    pub(super) fn add_draw(&mut self, draw: HoldDraw) -> Option<()> {
        let draws = &mut self.extras.get_or_insert_default().draws;
        match draws.binary_search_by_key(&draw.place(), HoldDraw::place) {
            Ok(at) => {
                let own = draws.get_mut(at)?;
                let drawn = own.drawn.checked_add(draw.drawn);
                own.drawn = drawn.filter(|units| *units <= MAX_UNITS)?;
                own.of_sale &= draw.of_sale;
            }
            Err(at) => draws.insert(at, draw),
        }
        Some(())
    }

    pub(super) fn draws_mut(&mut self) -> &mut [HoldDraw] {
        self.extras.as_mut().map_or(&mut [], |extras| &mut extras.draws)
    }

    /// The draws of this level.
    pub(super) fn draws_of(&mut self, level: LevelIndex) -> &mut [HoldDraw] {
        let draws = self.draws_mut();
        let begin = draws.partition_point(|draw| draw.level < level);
        let end = draws.partition_point(|draw| draw.level <= level);
        &mut draws[begin..end]
    }

    /// Removes the draws that are used up, and returns the keys of those removed.
    pub(super) fn remove_used_up(&mut self) -> Vec<AllowanceKey> {
        let Some(extras) = &mut self.extras else { return Vec::new() };
        let used_up = extras.draws.extract_if(.., |draw| draw.drawn == 0);
        let keys = used_up.map(|draw| draw.key).collect();
        self.drop_empty_extras();
        keys
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &HoldLine> + Clone {
        let extras = self.extras.iter().flat_map(|extras| &extras.lines);
        std::iter::once(&self.first).chain(extras)
    }

    /// The line of this level. A hold's lines are sorted by level, and no level is there twice.
    pub(crate) fn line_of(&mut self, level: LevelIndex) -> Option<&mut HoldLine> {
        if self.first.level == level {
            return Some(&mut self.first);
        }
        let lines = &mut self.extras.as_mut()?.lines;
        match lines.binary_search_by_key(&level, |line| line.level) {
            Ok(at) => lines.get_mut(at),
            // No law demands sorted lines, so a journal with unsorted ones is not damaged.
            Err(_) => lines.iter_mut().find(|line| line.level == level),
        }
    }

    /// Moves its times by a step back of the clock.
    pub(crate) fn shift(&mut self, step: ClockStep) {
        if self.is_live() {
            self.expires_at = step.due(self.expires_at);
        } else {
            self.ended_at = step.past(self.ended_at);
        }
    }

    fn lines_mut(&mut self) -> impl Iterator<Item = &mut HoldLine> {
        let extras = self.extras.iter_mut().flat_map(|extras| &mut extras.lines);
        std::iter::once(&mut self.first).chain(extras)
    }

    /// Ends the hold as `end` if no line holds units any more. `returned`: what the last step gave
    /// back, each level once.
    pub(crate) fn end_if_empty(
        &mut self,
        at: Timestamp,
        end: Standing,
        returned: impl Iterator<Item = (LevelIndex, u32)>,
    ) {
        if self.lines().all(|line| line.held == 0) {
            (self.ended_at, self.standing) = (at, end);
            self.lines_mut().for_each(|line| line.taken_out = line.given_back);
            for (level, units) in returned {
                if let Some(line) = self.line_of(level) {
                    line.taken_out = line.taken_out.saturating_sub(units);
                }
            }
        }
    }

    /// Whether a step before its end gave something back, and whether its end did, too.
    pub(crate) fn was_left_in_part(&self) -> bool {
        self.lines().any(|line| line.taken_out > 0) && self.lines().any(|line| line.left() > 0)
    }

    /// Of a hold that is over, from a checkpoint: takes what its end gave back out of the place of
    /// what it holds.
    pub(super) fn read_steps(&mut self) {
        let tells = self.lines().any(|line| line.held > 0);
        for line in self.lines_mut().filter(|_| tells) {
            line.taken_out = line.given_back.saturating_sub(std::mem::take(&mut line.held));
        }
    }

    /// Forgets which step gave what back.
    fn take_steps(&mut self, steps: &mut StepsBefore) {
        let id = self.id;
        for line in self.lines_mut().filter(|line| line.taken_out > 0) {
            steps.insert((id, line.level), std::mem::take(&mut line.taken_out));
        }
    }
}

fn line(level: LevelIndex, units: u32) -> HoldLine {
    HoldLine { level, held: units, sold: 0, given_back: 0, taken_out: 0, settled: 0 }
}

/// The units that steps before the end of holds gave back, by line.
pub(crate) type StepsBefore = BTreeMap<(ReservationId, LevelIndex), u32>;

/// The newest reservation of each slot.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    dense: Vec<Option<Hold>>,
    /// Reservations of slots far beyond all others. A damaged or hostile journal may name such a
    /// slot, and must not make `dense` grow up to it.
    sparse: HashMap<u32, Hold>,
    entered: usize,
}

/// Slots below this number may always be in `dense`. Above it, `dense` may grow with the number of
/// reservations seen. The engine takes new slots in order, some hundreds at a time for each thread,
/// so an honest journal stays within that.
const DENSE_MIN: usize = 1 << 16;

impl Holds {
    /// The slot number below which a slot may be in `dense`.
    fn dense_limit(&self) -> usize {
        DENSE_MIN + 4 * self.entered
    }

    /// The newest reservation of the slot that `id` names. It may have another id.
    #[inline]
    pub(crate) fn at(&self, id: ReservationId) -> Option<&Hold> {
        match self.dense.get(id.slot() as usize) {
            Some(hold) => hold.as_ref(),
            None => self.sparse.get(&id.slot()),
        }
    }

    /// The reservation of this id, if it is still the newest of its slot.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: ReservationId) -> Option<&mut Hold> {
        let hold = match self.dense.get_mut(id.slot() as usize) {
            Some(hold) => hold.as_mut(),
            None => self.sparse.get_mut(&id.slot()),
        };
        hold.filter(|hold| hold.id == id)
    }

    /// Stores a reservation in place of its slot's previous one.
    #[inline]
    pub(crate) fn enter(&mut self, hold: Hold) -> Option<&mut Hold> {
        self.entered += 1;
        let slot = hold.id.slot();
        let index = slot as usize;
        if index >= self.dense.len() && index < self.dense_limit() {
            self.grow(index + 1);
        }
        match self.dense.get_mut(index) {
            Some(place) => Some(place.insert(hold)),
            None => {
                self.sparse.insert(slot, hold);
                self.sparse.get_mut(&slot)
            }
        }
    }

    #[cold]
    /// Grows `dense` to at least `least` slots, and moves the holds that fit into it out of
    /// `sparse`.
    fn grow(&mut self, least: usize) {
        self.dense.resize_with(least.next_power_of_two(), || None);
        let reached = self.dense.len();
        for (slot, hold) in self.sparse.extract_if(|slot, _| (*slot as usize) < reached) {
            self.dense[slot as usize] = Some(hold);
        }
    }

    /// Moves the times of all by a step back of the clock.
    pub(super) fn shift(&mut self, step: ClockStep) {
        let all = self.dense.iter_mut().flatten().chain(self.sparse.values_mut());
        all.for_each(|hold| hold.shift(step));
    }

    /// Removes, and returns, what steps before the end of holds gave back.
    pub(crate) fn take_steps(&mut self) -> StepsBefore {
        let mut steps = StepsBefore::new();
        let all = self.dense.iter_mut().flatten().chain(self.sparse.values_mut());
        all.for_each(|hold| hold.take_steps(&mut steps));
        steps
    }

    /// The newest reservation of every slot.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Hold> {
        self.dense.iter().flatten().chain(self.sparse.values())
    }

    /// The reservations that hold units.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Hold> {
        self.all().filter(|hold| hold.is_live())
    }
}

//! What reservations draw on allowances, as the entries tell it: how draws are taken, how they
//! fall, and the laws about them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::audit::draw::DrawMark;
use crate::audit::entry::{AdjustmentType as Move, EntryType};
use crate::audit::record::{EntryLine, RecordBuf, Subject};
use crate::base::quantity::MAX_UNITS;
use crate::journal::ledger::holds::{Hold, HoldDraw};
use crate::journal::ledger::limits::{AllowanceState, LimitsState, UNKNOWN};
use crate::journal::ledger::transfers::LawResult;
use crate::journal::ledger::{Broken, Ledger};
use crate::reservation::id::ReservationId;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber};
use crate::stock::allowance::rule::{LimitCounts, LimitUnit};
use crate::stock::handle::LevelIndex;

impl AllowanceState {
    /// Whether so much may be used.
    ///
    /// Law 2 holds for draws as it does for units: one is recorded after it was taken, and given
    /// back after that was recorded. So after any record, take the draws in the journal that are
    /// not given back there. When the last of them was taken, in the order in which they happened,
    /// all the others had been taken and none had been given back. So that draw found no less in
    /// use than all of them together, and went by its own maximum, or had the right to pass it.
    /// Which one was the last, the journal does not say. So the greatest maximum counts, and the
    /// draw with the greatest one may have been given back since.
    pub(super) fn is_legal(&self) -> bool {
        self.passed || self.used <= self.ceiling
    }

    fn take(&mut self, units: u32, mark: &DrawMark) -> LawResult {
        let used = self.used.checked_add(units).filter(|used| *used <= MAX_UNITS);
        self.used = used.ok_or(TOO_MUCH)?;
        self.ceiling = self.ceiling.max(mark.maximum);
        self.passed |= mark.passed;
        Ok(())
    }
}

/// A movement that may lower draws of its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrawStep {
    Sold,
    Returned,
    SaleCancelled,
}

const TOO_MUCH: &str = "more is drawn on an allowance than can be";

impl LimitsState {
    /// Checks what a record says of its draws, before it is applied: the record of this hold, if it
    /// is there already. The error bears the index of a line.
    pub(super) fn check_marks(
        &self,
        record: &RecordBuf,
        hold: Option<&Hold>,
    ) -> Result<(), (usize, &'static str)> {
        for mark in &record.draws {
            let at = mark.line as usize;
            self.check_mark(mark, record, hold).map_err(|what| match at < record.lines.len() {
                true => (at, what),
                false => (0, what),
            })?;
        }
        Ok(())
    }

    /// A rule may have been dropped, or have a newer version: a call under way goes by what it
    /// read.
    fn check_mark(&self, mark: &DrawMark, record: &RecordBuf, hold: Option<&Hold>) -> LawResult {
        let takes = |line: &EntryLine| {
            matches!(line.subject, Subject::Level(_))
                && matches!(line.entry_type, EntryType::Movement(Move::Reserved | Move::Sold))
        };
        if !record.lines.get(mark.line as usize).is_some_and(takes) {
            return Err("a draw of a line that takes nothing");
        }
        if record.header.reservation.is_none() {
            return Err("a draw without a reservation");
        }
        let rule = self.rules.get(&mark.key.rule).ok_or(UNKNOWN)?;
        if mark.version > rule.definition.version {
            return Err("a draw by a version of a limit that was never defined");
        }
        // A reservation counts once. Where it draws for one more line, it takes nothing: by then
        // the limit may be lower than what is used, or have been passed.
        let takes_nothing = rule.definition.unit == LimitUnit::Reservations
            && hold.is_some_and(|hold| hold.draws_on(mark.key));
        if mark.used_after > mark.maximum && !mark.passed && !takes_nothing {
            return Err("a draw goes beyond its limit");
        }
        Ok(())
    }

    /// Checks, after a record, the allowances that it has drawn on.
    pub(super) fn check_drawn(&self, draws: &[DrawMark]) -> Result<(), (usize, &'static str)> {
        let is_broken = |mark: &&DrawMark| {
            self.allowances.get(&mark.key).is_some_and(|allowance| !allowance.is_legal())
        };
        match draws.iter().find(is_broken) {
            Some(mark) => Err((mark.line as usize, "more is drawn than any of the draws allowed")),
            None => Ok(()),
        }
    }

    /// Applies a draw of `units` of this level.
    fn take(&mut self, hold: &mut Hold, drawn: (LevelIndex, u32), at: Drawn<'_>) -> LawResult {
        let Drawn { mark, of_sale } = at;
        let (key, (level, units)) = (mark.key, drawn);
        let rule = &self.rules.get(&key.rule).ok_or(UNKNOWN)?.definition;
        let taken = match rule.unit {
            LimitUnit::Units => units,
            LimitUnit::Reservations => u32::from(!hold.draws_on(key)),
        };
        let for_a_time = rule.counts.window().is_some();
        let draw = HoldDraw { key, level, drawn: units, of_sale, for_a_time };
        hold.add_draw(draw).ok_or(TOO_MUCH)?;
        self.allowances.entry(key).or_default().take(taken, mark)
    }

    /// Lowers the draws of a level by a movement of it. Those that are used up stay until the end
    /// of the record, when [`settle`](Self::settle) removes them.
    #[cold]
    pub(super) fn fall(&mut self, hold: &mut Hold, level: LevelIndex, units: u32, step: DrawStep) {
        let mut cancelled = (None, 0);
        for draw in hold.draws_of(level) {
            let Some((unit, counts)) = self.kind_of(draw.key.rule) else { continue };
            let falls = match step {
                DrawStep::Sold => !counts.counts_sales(),
                DrawStep::Returned => !draw.of_sale,
                DrawStep::SaleCancelled => counts.gives_back_on_cancel(),
            };
            if falls {
                let mut gone = units.min(draw.drawn);
                if step == DrawStep::SaleCancelled {
                    // Subjects that drew for units of one line, each at its sale, give back one
                    // after the other.
                    if cancelled.0 != Some(draw.key.rule) {
                        cancelled = (Some(draw.key.rule), units);
                    }
                    gone = gone.min(cancelled.1);
                    cancelled.1 -= gone;
                }
                draw.drawn -= gone;
                if unit == LimitUnit::Units {
                    give(&mut self.allowances, draw.key, gone);
                }
            }
        }
    }

    /// Gives back all that a reservation still draws under a rule.
    pub(super) fn give_all(&mut self, hold: &mut Hold, rule: RuleNumber) {
        let Some((unit, _)) = self.kind_of(rule) else { return };
        for draw in hold.draws_mut().iter_mut().filter(|draw| draw.key.rule == rule) {
            let gone = std::mem::take(&mut draw.drawn);
            if unit == LimitUnit::Units {
                give(&mut self.allowances, draw.key, gone);
            }
        }
        self.settle(hold);
    }

    /// Removes the draws of a hold that are used up. Under a rule that counts reservations, the
    /// last one of a key gives back the 1 of all. The hold remembers for which subjects it had
    /// drawn, as long as somebody may take its lines again.
    #[cold]
    pub(super) fn settle(&mut self, hold: &mut Hold) {
        let mut gone = hold.remove_used_up();
        gone.sort_unstable();
        gone.dedup();
        for key in &gone {
            if matches!(self.kind_of(key.rule), Some((LimitUnit::Reservations, _)))
                && !hold.draws_on(*key)
            {
                give(&mut self.allowances, *key, 1);
            }
        }
        gone.retain(|key| self.is_by_subject(key.rule));
        hold.note_given_back(gone);
    }

    /// What a hold still draws stays used for good: its slot goes to the next reservation.
    #[cold]
    pub(super) fn keep_for_good(&mut self, hold: &Hold) {
        for (at, draw) in hold.draws().iter().enumerate() {
            let units = self.units_of(hold, at);
            if let Some(allowance) = self.allowances.get_mut(&draw.key) {
                // A part of what is used, so there is no overflow.
                allowance.permanent += units;
            }
        }
    }

    /// The unit of a rule, and which draws it counts.
    fn kind_of(&self, rule: RuleNumber) -> Option<(LimitUnit, LimitCounts)> {
        self.rules.get(&rule).map(|rule| (rule.definition.unit, rule.definition.counts))
    }

    /// Whether a rule counts by a subject that calls name.
    pub(super) fn is_by_subject(&self, rule: RuleNumber) -> bool {
        self.rules.get(&rule).is_some_and(|rule| !rule.definition.is_by_level())
    }

    /// What the draw at this place counts in `used`.
    fn units_of(&self, hold: &Hold, at: usize) -> u32 {
        let draws = hold.draws();
        let Some(draw) = draws.get(at) else { return 0 };
        match self.kind_of(draw.key.rule) {
            Some((LimitUnit::Units, _)) => draw.drawn,
            // The first draw of its key counts for all of them.
            Some((LimitUnit::Reservations, _)) => {
                u32::from(draws.iter().take(at).all(|other| other.key != draw.key))
            }
            None => 0,
        }
    }
}

/// A draw, and whether it is taken at the sale of units that were held without it.
struct Drawn<'a> {
    mark: &'a DrawMark,
    of_sale: bool,
}

/// Takes units off an allowance. One of which nothing is used is forgotten: its next draw begins
/// anew.
fn give(allowances: &mut HashMap<AllowanceKey, AllowanceState>, key: AllowanceKey, units: u32) {
    if let Entry::Occupied(mut allowance) = allowances.entry(key) {
        let used = &mut allowance.get_mut().used;
        // It is the sum of its draws, so it never falls below 0.
        *used = used.saturating_sub(units);
        if *used == 0 {
            allowance.remove();
        }
    }
}

impl Ledger {
    /// Applies the draws of a line, after the line itself.
    #[cold]
    pub(super) fn take_draws(
        &mut self,
        marks: &[DrawMark],
        line: &EntryLine,
        id: Option<ReservationId>,
    ) -> LawResult {
        let Subject::Level(level) = line.subject else { return Ok(()) };
        let hold = id.and_then(|id| self.holds.get_mut(id));
        let hold = hold.ok_or("a draw of a reservation that is not there")?;
        hold.line_of(level).ok_or("a reservation without a line of this level")?;
        let of_sale = line.entry_type == Move::Sold.into();
        marks.iter().try_for_each(|mark| {
            self.limits.take(hold, (level, line.quantity), Drawn { mark, of_sale })
        })
    }

    /// Checks that of each allowance as much is used as the reservations draw, and those of which
    /// nothing else is left.
    pub(super) fn check_allowances(&self) -> Result<(), Broken> {
        let limits = &self.limits;
        if limits.rules.is_empty() {
            return Ok(());
        }
        let mut drawn: HashMap<AllowanceKey, u64> = HashMap::new();
        for hold in self.holds.all() {
            for (at, draw) in hold.draws().iter().enumerate() {
                *drawn.entry(draw.key).or_default() += u64::from(limits.units_of(hold, at));
            }
        }
        let broken = |key: &AllowanceKey, used, drawn| {
            let AllowanceKey { rule: RuleNumber(rule), subject } = key;
            let what = format!("{used} used of {subject} under limit {rule}, but {drawn} drawn");
            Broken { sequence: self.next_sequence - 1, what }
        };
        for (key, allowance) in &limits.allowances {
            let drawn = drawn.remove(key).unwrap_or(0) + u64::from(allowance.permanent);
            if u64::from(allowance.used) != drawn {
                return Err(broken(key, allowance.used, drawn));
            }
        }
        match drawn.iter().next() {
            Some((key, drawn)) => Err(broken(key, 0, *drawn)),
            None => Ok(()),
        }
    }
}

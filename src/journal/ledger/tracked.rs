//! Tracked units: what reservations that are kept until they are shipped have sold, and have
//! neither shipped nor cancelled since.
//!
//! The law: a ship or a cancel by level takes none of them. Engines from before this law did take
//! some. So it holds from an opening whose record says so (`tracked`) up to one whose record does
//! not. What such an engine took is settled with the reservations at the next opening that says so:
//! the units are gone.

use std::collections::HashMap;

use crate::journal::ledger::Ledger;
use crate::journal::ledger::holds::HoldLine;
use crate::journal::ledger::transfers::LawResult;
use crate::reservation::id::ReservationId;
use crate::stock::handle::LevelIndex;

/// Units of a line that are tracked, if its reservation is kept.
fn unsettled(line: &HoldLine) -> u32 {
    line.sold.saturating_sub(line.settled)
}

impl Ledger {
    /// From here on the law holds.
    pub(super) fn begin_tracking(&mut self) {
        if !self.tracks {
            self.settle_what_left_by_level();
            self.tracks = true;
        }
    }

    /// An engine from before the law goes on: from here on the law does not hold.
    pub(super) fn end_tracking(&mut self) {
        self.tracks = false;
    }

    /// Settles, with the oldest reservations first, the tracked units that calls by level have
    /// taken. Does nothing where the law has held.
    pub(crate) fn settle_what_left_by_level(&mut self) {
        let levels = self.levels.iter().enumerate();
        let mut missing: HashMap<LevelIndex, u32> = levels
            .filter(|(_, level)| level.tracked > level.sold)
            .map(|(index, level)| (LevelIndex(index as u32), level.tracked - level.sold))
            .collect();
        if missing.is_empty() {
            return;
        }
        let kept = self.holds.all().filter(|hold| hold.keep).map(|hold| hold.id);
        let mut kept: Vec<ReservationId> = kept.collect();
        kept.sort_unstable_by_key(|id| id.to_halves());
        for id in kept {
            let Some(hold) = self.holds.get_mut(id) else { continue };
            let levels: Vec<LevelIndex> = hold.lines().map(|line| line.level).collect();
            for level in levels {
                let (Some(line), Some(left)) = (hold.line_of(level), missing.get_mut(&level))
                else {
                    continue;
                };
                let gone = unsettled(line).min(*left);
                line.settled += gone;
                *left -= gone;
                if let Some(level) = self.levels.get_mut(level.index()) {
                    level.tracked -= gone;
                }
            }
        }
    }

    /// Keeps the reservation until all that it sells is shipped or cancelled. What it has sold so
    /// far is tracked from here on, with what it sold before it was kept.
    pub(super) fn keep(&mut self, id: ReservationId) -> LawResult {
        let Some(hold) = self.holds.get_mut(id).filter(|hold| !hold.keep) else { return Ok(()) };
        hold.keep = true;
        for line in hold.lines() {
            let Some(level) = self.levels.get_mut(line.level.index()) else { continue };
            level.tracked = level.tracked.saturating_add(unsettled(line));
            if self.tracks && level.tracked > level.sold {
                return Err("it keeps a reservation whose sold units have left by level");
            }
        }
        Ok(())
    }

    /// Counts the tracked units of all levels, from their reservations.
    pub(super) fn count_tracked(&mut self) {
        for line in self.holds.all().filter(|hold| hold.keep).flat_map(|hold| hold.lines()) {
            if let Some(level) = self.levels.get_mut(line.level.index()) {
                level.tracked = level.tracked.saturating_add(unsettled(line));
            }
        }
    }

    /// Counts units of a reservation as shipped, or their sale as cancelled. A ship or a cancel by
    /// level names no reservation, so it changes none.
    pub(super) fn count_settled(
        &mut self,
        level: LevelIndex,
        units: u32,
        id: Option<ReservationId>,
    ) -> LawResult {
        let counts = self.levels.get_mut(level.index()).ok_or("a level that was never opened")?;
        if let Some(hold) = id.and_then(|id| self.holds.get_mut(id)) {
            let keep = hold.keep;
            if let Some(line) = hold.line_of(level) {
                line.settled = line.settled.saturating_add(units);
                if line.settled > line.sold {
                    return Err("more of a reservation is shipped or cancelled than it sold");
                }
                if keep {
                    counts.tracked = counts.tracked.saturating_sub(units);
                }
            }
        }
        if self.tracks && counts.tracked > counts.sold {
            return Err("it takes sold units of a reservation that is kept until it is shipped");
        }
        Ok(())
    }
}

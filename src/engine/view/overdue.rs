//! What is available once the overdue holds of a level are counted as over.

use crate::base::clock::Timestamp;
use crate::base::error::PlaceError;
use crate::base::sync::yield_now;
use crate::engine::place::LevelRef;
use crate::engine::{Engine, InventoryManager};
use crate::reservation::chain::SlotNumber;
use crate::reservation::slots::HeldSlot;
use crate::reservation::state::{Phase, SlotState};
use crate::stock::handle::LevelIndex;
use crate::stock::level::StockLevel;

/// # What overdue holds still have
impl InventoryManager {
    /// Units that a reserve could get: those [available](Self::available), and those that overdue
    /// holds still have. Both at one instant within this call.
    ///
    /// An overdue hold keeps its units until the sweeper or a call that needs them takes them back,
    /// some milliseconds later as a rule. This call takes nothing back and writes nothing. If no
    /// hold is overdue, it costs two loads; otherwise it looks twice at each overdue hold of the
    /// engine. It looks again if another thread ends one of this level's meanwhile, and so waits
    /// for a thread that is in the middle of doing so, but for no queue and no disk.
    ///
    /// # Errors
    /// As [`available`](Self::available).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// use stockade::{InventoryManager, ManualClock, Timestamp};
    /// let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    /// # let builder = InventoryManager::builder().sweeper(false);
    /// let manager = builder.clock(Arc::clone(&clock)).warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.reserve(("SF", "LAPTOP"), 4, Duration::from_secs(60))?;
    /// clock.advance(Duration::from_secs(61));
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 6);
    /// assert_eq!(manager.available_with_overdue(("SF", "LAPTOP"))?, 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn available_with_overdue<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
    ) -> Result<u32, PlaceError> {
        let level = self.level_if_stocked(level.into())?;
        Ok(level.map_or(0, |level| self.engine.available_with_overdue(level)))
    }
}

/// An overdue hold's slot, the state in which it was found, and the units that it has of a level.
type OverdueUnits = (SlotNumber, SlotState, u32);

impl Engine {
    fn available_with_overdue(&self, level: &StockLevel) -> u32 {
        let now = self.now();
        loop {
            if !self.slots.is_due(now) {
                return level.available();
            }
            // A hold that is overdue at `now` leaves the list once and never comes back. So if the
            // list is the same before and after the look at the level, it was the same then: a
            // double collect (Afek and others, "Atomic Snapshots of Shared Memory", JACM 1993).
            let before = self.overdue_on(level.index(), now);
            let available = level.available();
            if let Some(overdue) = before
                && self.overdue_on(level.index(), now).as_ref() == Some(&overdue)
            {
                let units = overdue.iter().map(|(.., units)| units).sum::<u32>();
                return available + units;
            }
            yield_now();
        }
    }

    /// The overdue holds of a level. `None` if another thread is ending one of them, or has ended
    /// one during the look: where its units are can't be told.
    fn overdue_on(&self, level: LevelIndex, now: Timestamp) -> Option<Vec<OverdueUnits>> {
        let (mut found, mut changed) = (Vec::new(), false);
        let _ = self.slots.scan_past(now, |hold| {
            match self.overdue_units(hold, level) {
                Some(0) => {}
                Some(units) => found.push((hold.number, hold.state, units)),
                None => changed = true,
            }
            changed
        });
        (!changed).then_some(found)
    }

    /// The units of a level that an overdue hold has; `None` if the hold changes.
    fn overdue_units(&self, hold: HeldSlot<'_>, level: LevelIndex) -> Option<u32> {
        let id = hold.slot.read_record(hold.state).id;
        let found = self.snapshot_of(id).ok().filter(|it| it.head.state == hold.state)?;
        let units = found.lines.iter().filter(|line| line.level == level).map(|line| line.held);
        match (hold.state.phase(), units.sum()) {
            (Phase::Ending, 1..) => None,
            (_, units) => Some(units),
        }
    }
}

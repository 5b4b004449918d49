//! A line of a call that takes units.

use crate::base::quantity::Quantity;
use crate::engine::Engine;
use crate::engine::request_options::SafetyStock;
use crate::engine::sweeper::StockShortfall;
use crate::stock::cell::{CellId, Change};
use crate::stock::handle::LevelIndex;
use crate::stock::level::StockLevel;
use crate::stock::mcas::CellDelta;
use crate::stock::word::Delta;

/// A line of a call, with its level looked up.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct ResolvedLine<'a> {
    pub(in crate::engine) handle: LevelIndex,
    pub(in crate::engine) level: &'a StockLevel,
    pub(in crate::engine) qty: Quantity,
    /// How many units it has to leave available. The setting is read once, so that all steps of the
    /// call decide alike.
    pub(in crate::engine) floor: u32,
    /// A limit per subject covers the product.
    pub(in crate::engine) limited: bool,
}

impl<'a> ResolvedLine<'a> {
    #[inline(always)]
    pub(in crate::engine) fn new(
        handle: LevelIndex,
        level: &'a StockLevel,
        qty: Quantity,
        safety_stock: SafetyStock,
    ) -> Self {
        let bounds = level.bounds();
        let floor = safety_stock.floor_in(bounds);
        Self { handle, level, qty, floor, limited: bounds.limited }
    }

    /// What is available at this moment, if that is less than the line takes and leaves. Writes
    /// nothing.
    #[inline(always)]
    pub(in crate::engine) fn too_few(self) -> Option<u32> {
        let available = self.level.available();
        // Both are at most `MAX_UNITS`, so their sum fits.
        (available < self.qty.get() + self.floor).then_some(available)
    }

    /// The line of a commit that takes the units.
    #[inline(always)]
    pub(in crate::engine) fn cell_delta(self) -> CellDelta {
        let cell = CellId::level(self.handle);
        CellDelta { cell, delta: Delta::hold(self.qty).above(self.floor) }
    }

    /// Takes the units, if so many are there. `Err` holds what is available.
    #[inline(always)]
    pub(in crate::engine) fn take(self, engine: &Engine) -> Result<Change, u32> {
        self.level.hold(self.qty, self.floor, engine)
    }

    /// How short it is.
    pub(in crate::engine) fn short_by(self, available: u32, overdue_left: bool) -> StockShortfall {
        StockShortfall { available, safety_stock: self.floor, overdue_left }
    }
}

//! The engine as the site of multi-word CAS (Law 4): it finds the cells, queues the records, and
//! raises low-stock alerts.

use std::borrow::Borrow;

use crate::base::error::NotStarted;
use crate::engine::Engine;
use crate::stock::cell::{Cell, CellId, CellKind};
use crate::stock::mcas::recorder::{CommitRecorder, CommitView, LogOrder};
use crate::stock::mcas::{
    CellDelta, Cells, DescriptorPool, MAX_LINES, Operation, PoolExhausted, Site,
};

impl Cells for Engine {
    #[inline]
    fn cell(&self, id: CellId) -> &Cell {
        match self.catalog.cell(id) {
            Some(cell) => cell,
            // No caller can cause this: lines are made from resolved levels.
            None => unreachable!("a commit names only cells that exist"),
        }
    }
}

impl Site for Engine {
    #[inline]
    fn pool(&self) -> &DescriptorPool {
        self.catalog.commits()
    }
}

impl CommitRecorder for Engine {
    fn record(&self, moved: &dyn CommitView) {
        // If the writer has ended, the commit goes on. Its owner finds out by `check_writer`.
        let _ = self.recorder.committed(moved.name());
    }

    // Inlined, so that the view's methods are: they cost more by pointer than what they do.
    #[inline(always)]
    fn on_visible(&self, moved: &dyn CommitView) {
        for at in 0..moved.lines() {
            let (cell, delta) = moved.line(at);
            let arrived = delta.available() > 0 && delta.reserved() == 0;
            // Units that are only given back cross no threshold downwards.
            if delta.available() >= 0 && !arrived {
                continue;
            }
            let CellKind::Level(handle) = cell.kind() else { continue };
            let Some(level) = self.catalog.level(handle) else { continue };
            let change = moved.change(at);
            if level.crosses(change) || (arrived && level.is_low_after(change)) {
                self.raise_alert(handle, level);
            }
        }
    }
}

impl Engine {
    /// Begins a commit that only takes, only gives, or only reads. Its owner queues the record:
    /// after the end if it takes, before the start if it gives (Law 2). `Busy` if the pool has no
    /// free descriptor (131,000 are in use), or no descriptor has so many lines: only the longest
    /// basket, shipped with the rooms of its warehouses, needs more.
    #[inline(always)]
    pub(super) fn commit<L: Borrow<CellDelta>>(
        &self,
        lines: impl IntoIterator<Item = L, IntoIter: ExactSizeIterator>,
    ) -> Result<Operation<'_, Self>, NotStarted> {
        let lines = lines.into_iter();
        if lines.len() > MAX_LINES {
            return Err(NotStarted::Busy);
        }
        Operation::begin(self, lines, LogOrder::ByOwner).map_err(|PoolExhausted| NotStarted::Busy)
    }

    /// Begins a commit that both gives and takes. Its record is sent ahead, and queued between the
    /// decision and the instant at which the commit shows (Law 2).
    pub(super) fn commit_with_record(
        &self,
        lines: &[CellDelta],
    ) -> Result<Operation<'_, Self>, NotStarted> {
        Operation::begin(self, lines, LogOrder::BeforeVisible)
            .map_err(|PoolExhausted| NotStarted::Busy)
    }
}

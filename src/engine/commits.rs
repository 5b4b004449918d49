//! The engine as the site of commits over several cells: where its cells are, where its records go,
//! and who hears of low stock (Law 4).

use crate::base::error::NotStarted;
use crate::engine::Engine;
use crate::stock::cell::{Cell, CellId, CellKind};
use crate::stock::mcas::recorder::{CommitRecorder, CommitView, LogOrder};
use crate::stock::mcas::{CellDelta, Cells, DescriptorPool, Operation, PoolExhausted, Site};

impl Cells for Engine {
    fn cell(&self, id: CellId) -> &Cell {
        match self.catalog.cell(id) {
            Some(cell) => cell,
            // Not a caller's doing: lines are made from levels that were resolved.
            None => unreachable!("a commit names only cells that exist"),
        }
    }
}

impl Site for Engine {
    fn pool(&self) -> &DescriptorPool {
        self.catalog.commits()
    }
}

impl CommitRecorder for Engine {
    fn record(&self, moved: &dyn CommitView) {
        // An ended writer is no error here: the commit goes on, and its caller asks `check_writer`.
        let _ = self.recorder.committed(moved.name());
    }

    fn on_visible(&self, moved: &dyn CommitView) {
        for at in 0..moved.lines() {
            let (cell, delta) = moved.line(at);
            let CellKind::Level(handle) = cell.kind() else { continue };
            let Some(level) = self.catalog.level(handle) else { continue };
            let change = moved.change(at);
            let arrived = delta.available() > 0 && delta.reserved() == 0;
            if level.crosses(change) || (arrived && level.is_low_after(change)) {
                self.raise_alert(handle, level);
            }
        }
    }
}

impl Engine {
    /// A commit that only takes, or only gives, or only looks: its owner queues the record after its
    /// end, or before its start (Law 2).
    pub(super) fn commit(&self, lines: &[CellDelta]) -> Result<Operation<'_, Self>, NotStarted> {
        Operation::begin(self, lines, LogOrder::ByOwner).map_err(|PoolExhausted| NotStarted::Busy)
    }

    /// A commit that gives and takes: its record is sent ahead, and written between its decision and
    /// the instant at which it shows (Law 2).
    pub(super) fn commit_with_record(
        &self,
        lines: &[CellDelta],
    ) -> Result<Operation<'_, Self>, NotStarted> {
        Operation::begin(self, lines, LogOrder::BeforeVisible)
            .map_err(|PoolExhausted| NotStarted::Busy)
    }
}

//! The multi-cell commit (Law 4).

mod control;
mod drive;
mod fill;
mod line;
mod mark;
mod meaning;
mod owner;
mod pool;
mod record;
mod shelves;
mod slot;
#[cfg(any(test, all(loom, feature = "loom")))]
pub(crate) mod testbed;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use fill::{Stop, plan_stops};
pub(crate) use line::{Line, TooMuch, merge_lines};
pub(crate) use owner::{Committed, Notice, Operation, Refused};
pub(crate) use pool::{Pool, PoolExhausted};
pub(crate) use slot::MAX_LINES;

use crate::stock::announce::Announce;
use crate::stock::cell::{Cell, CellId};

/// Where cells are found by their number.
pub(crate) trait Cells {
    /// The cell of this id. Only ids that were used in a line or a single-cell call are asked for.
    fn cell(&self, id: CellId) -> &Cell;
}

/// All that a thread needs to help an unfinished operation that it meets: its slots, its cells, and
/// what to do about its record. In an engine, the manager.
pub(crate) trait Site: Cells + Announce {
    /// The slots of this manager's operations.
    fn pool(&self) -> &Pool;
}

//! The same words and the same arithmetic twice: under multi-word CAS, and under ordered locks.

use parking_lot::{Mutex, MutexGuard};

use crate::base::quantity::Quantity;
use crate::stock::cell::{Cell, CellId, CellKind};
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::recorder::{CommitRecorder, CommitView, LogOrder};
use crate::stock::mcas::{Cells, DescriptorPool, Operation, Site};
use crate::stock::word::{Delta, Word};

pub(crate) use crate::stock::mcas::CellDelta;

/// Enough for every turn.
const PLENTY: u32 = 1 << 20;

/// A row of stock words.
pub(crate) trait Store: Sync {
    /// Applies all lines at one instant, or none. They are sorted by cell, and each cell occurs
    /// once. Returns whether they fitted.
    fn commit(&self, lines: &[CellDelta]) -> bool;
    /// Applies one line.
    fn apply(&self, line: CellDelta) -> bool;
}

/// A cache line each, as the engine's levels.
#[repr(align(64))]
struct Padded<T>(T);

pub(crate) struct Commits {
    cells: Box<[Padded<Cell>]>,
    pool: DescriptorPool,
}

impl Commits {
    pub(crate) fn of(cells: usize) -> Self {
        let cell = |_| Padded(Cell::new(Word::new(PLENTY, 0)));
        Self { cells: (0..cells).map(cell).collect(), pool: DescriptorPool::new() }
    }
}

impl Cells for Commits {
    #[inline]
    fn cell(&self, id: CellId) -> &Cell {
        &self.cells[number_of(id)].0
    }
}

impl CommitRecorder for Commits {
    fn record(&self, _: &dyn CommitView) {}
}

impl Site for Commits {
    fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

impl Store for Commits {
    fn commit(&self, lines: &[CellDelta]) -> bool {
        let operation = Operation::begin(self, lines, LogOrder::Never).expect("there is a slot");
        operation.run().is_ok()
    }

    fn apply(&self, line: CellDelta) -> bool {
        self.cell(line.cell).apply(line.cell, line.delta, self).is_ok()
    }
}

pub(crate) struct Locks {
    cells: Box<[Padded<Mutex<Word>>]>,
}

impl Locks {
    pub(crate) fn of(cells: usize) -> Self {
        let cell = |_| Padded(Mutex::new(Word::new(PLENTY, 0)));
        Self { cells: (0..cells).map(cell).collect() }
    }

    fn lock(&self, cell: CellId) -> MutexGuard<'_, Word> {
        self.cells[number_of(cell)].0.lock()
    }

    /// With room on the stack for the guards.
    fn commit_few<const MOST: usize>(&self, lines: &[CellDelta]) -> bool {
        let mut guards: [Option<(MutexGuard<'_, Word>, Word)>; MOST] = [const { None }; MOST];
        for (line, guard) in lines.iter().zip(&mut guards) {
            let word = self.lock(line.cell);
            let Some(after) = word.apply(line.delta) else { return false };
            *guard = Some((word, after));
        }
        guards.iter_mut().flatten().for_each(|(word, after)| **word = *after);
        true
    }

    fn commit_many(&self, lines: &[CellDelta]) -> bool {
        let mut guards = Vec::with_capacity(lines.len());
        for line in lines {
            let word = self.lock(line.cell);
            let Some(after) = word.apply(line.delta) else { return false };
            guards.push((word, after));
        }
        guards.iter_mut().for_each(|(word, after)| **word = *after);
        true
    }
}

impl Store for Locks {
    fn commit(&self, lines: &[CellDelta]) -> bool {
        match lines.len() {
            0..=4 => self.commit_few::<4>(lines),
            5..=24 => self.commit_few::<24>(lines),
            _ => self.commit_many(lines),
        }
    }

    fn apply(&self, line: CellDelta) -> bool {
        let mut word = self.lock(line.cell);
        let after = word.apply(line.delta);
        *word = after.unwrap_or(*word);
        after.is_some()
    }
}

/// The cell with this number.
pub(crate) fn cell(number: usize) -> CellId {
    CellId::level(LevelIndex(number as u32))
}

/// The number of which [`cell`] has made it: these stores have levels and nothing else.
#[inline]
fn number_of(cell: CellId) -> usize {
    match cell.kind() {
        CellKind::Level(level) => level.0 as usize,
        CellKind::Room(_) | CellKind::Allowance(_) => unreachable!("all cells are levels"),
    }
}

fn one() -> Quantity {
    Quantity::new(1).expect("a legal quantity")
}

/// A basket with one unit on each line.
pub(crate) fn hold(cells: impl IntoIterator<Item = usize>) -> Vec<CellDelta> {
    cells.into_iter().map(|at| CellDelta { cell: cell(at), delta: Delta::hold(one()) }).collect()
}

/// Moves a unit from the first cell to the second, and the other way between their rooms.
pub(crate) fn transfer(cells: &[usize]) -> Vec<CellDelta> {
    let delta = |at: usize| match at {
        0 | 3 => Delta::withdraw(one()),
        _ => Delta::receive(one()),
    };
    cells.iter().map(|at| CellDelta { cell: cell(*at), delta: delta(*at) }).collect()
}

/// The lines that undo these lines.
pub(crate) fn undo(lines: &[CellDelta]) -> Vec<CellDelta> {
    let turned = |delta: Delta| {
        let (available, reserved) = (delta.available().cast_unsigned(), delta.reserved());
        let negative = |half: u32| u64::from(half.wrapping_neg());
        Delta::from_bits(negative(available) << 32 | negative(reserved.cast_unsigned()))
    };
    lines.iter().map(|line| CellDelta { cell: line.cell, delta: turned(line.delta) }).collect()
}

//! A few cells, a pool and a log, for tests and models: the smallest site that commits can run on.

#![allow(dead_code, reason = "tests and models each use a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "only models and tests see it")]
#![allow(clippy::expect_used, reason = "a test that fails should say where")]

use super::{
    CellDelta, Cells, Committed, DescriptorPool, FillStop, Operation, Refused, Site, TooMuch,
    merge_lines, plan_stops,
};
use crate::base::quantity::Quantity;
use crate::base::sync::ArrayQueue;
use crate::stock::cell::{Cell, CellId, CellKind};
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::recorder::{CommitName, CommitRecorder, CommitView, LogOrder};
use crate::stock::word::{self, Delta, Word};
use std::sync::Mutex;

/// How an operation moves the available and the reserved units of a cell; or, beside [`ROOM`], the
/// balance of a room.
pub type Move = (i32, i32);

/// The second half of a room's move.
pub const ROOM: i32 = word::ROOM;

/// When an operation queues its record; see `LogOrder`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Never,
    BeforeStart,
    BeforeShown,
    AfterDone,
}

/// What the queue holds: a commit by its name, or a single-cell operation without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub name: Option<(u32, u64)>,
    pub moves: Vec<(usize, Move)>,
}

/// Why a commit was refused: the cell (none for a sum) and what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortCell {
    pub cell: Option<usize>,
    pub available: u64,
}

#[derive(Debug)]
pub struct Testbed {
    start: Vec<(u32, u32)>,
    cells: Vec<Cell>,
    /// How many units must stay available in each. Fixed, as what a call has read of a setting.
    floors: Vec<u32>,
    pool: DescriptorPool,
    queue: ArrayQueue<Logged>,
    /// Std's mutex, not the one of `sync`: it orders nothing, and models need not interleave it.
    shown: Mutex<u32>,
}

/// A commit whose owner has marked some of its cells and then stopped.
#[derive(Debug)]
pub struct Half<'t>(Operation<'t, Testbed>);

impl Testbed {
    pub fn new(start: &[(u32, u32)]) -> Self {
        let cells =
            start.iter().map(|&(available, reserved)| Cell::new(Word::new(available, reserved)));
        Self {
            start: start.to_vec(),
            cells: cells.collect(),
            floors: vec![0; start.len()],
            pool: DescriptorPool::new(),
            queue: ArrayQueue::new(64),
            shown: Mutex::new(0),
        }
    }

    /// The same, where operations leave so many units available.
    pub fn with_floors(self, floors: &[u32]) -> Self {
        assert_eq!(floors.len(), self.cells.len());
        Self { floors: floors.to_vec(), ..self }
    }

    pub fn read(&self, cell: usize) -> (u32, u32) {
        counts(self.cells[cell].read(id(cell), &self.pool))
    }

    /// A single-cell operation, without a record.
    pub fn apply(&self, cell: usize, by: Move) -> bool {
        let delta = delta(by).above(self.floors[cell]);
        self.cells[cell].apply(id(cell), delta, self).is_ok()
    }

    /// A single-cell operation that takes: queued after the swap (Law 2).
    pub fn take(&self, cell: usize, units: i32) -> bool {
        let took = self.apply(cell, (-units, 0));
        if took {
            self.log(None, vec![(cell, (-units, 0))]);
        }
        took
    }

    /// Takes room that may not be left, as a lowered capacity does, without a record.
    pub fn take_room_by_force(&self, cell: usize, units: u32) {
        let quantity = Quantity::new(units).expect("a legal quantity");
        let taken = self.cells[cell].take_room_by_force(id(cell), quantity, self);
        assert!(taken.is_ok(), "no word is so far over");
    }

    /// A single-cell operation that gives: queued before the swap (Law 2).
    pub fn give(&self, cell: usize, units: i32) {
        self.log(None, vec![(cell, (units, 0))]);
        assert!(self.apply(cell, (units, 0)), "a gift always fits");
    }

    /// Commits `moves`, and returns what each line replaced, by cell in ascending order.
    pub fn commit(
        &self,
        moves: &[(usize, Move)],
        when: When,
    ) -> Result<Vec<(u32, u32)>, ShortCell> {
        if when == When::BeforeStart {
            self.log(None, moves.to_vec());
        }
        let result = self.report(self.begin(moves, when).run());
        if when == When::AfterDone && result.is_ok() {
            self.log(None, moves.to_vec());
        }
        result
    }

    /// The counts of these cells at one instant, in ascending order.
    pub fn snapshot(&self, cells: &[usize]) -> Vec<(u32, u32)> {
        let moves: Vec<_> = cells.iter().map(|&cell| (cell, (0, 0))).collect();
        self.commit(&moves, When::Never).expect("a look is never refused")
    }

    /// A split fulfillment of `units` over `cells`, in this order.
    pub fn fill(
        &self,
        cells: &[usize],
        units: u32,
        when: When,
    ) -> Result<Vec<(u32, u32)>, ShortCell> {
        let done = self.begin_fill(cells, units, when).run();
        if when == When::AfterDone
            && let Ok(done) = &done
        {
            let taken = (0..done.lines()).map(|at| {
                let change = done.change(at);
                let units = (change.before.available() - change.after.available()).cast_signed();
                (number(done.cell(at)), (-units, units))
            });
            self.log(None, taken.collect());
        }
        self.report(done)
    }

    fn begin_fill(&self, cells: &[usize], units: u32, when: When) -> Operation<'_, Self> {
        let stop = |(turn, &cell): (u32, &usize)| FillStop {
            cell: id(cell),
            floor: self.floors[cell],
            turn,
        };
        let mut stops: Vec<_> = (0..).zip(cells).map(stop).collect();
        let quantity = Quantity::new(units).expect("a legal quantity");
        Operation::begin_fill(self, &[], plan_stops(&mut stops), quantity, log_order(when))
            .expect("there is a slot")
    }

    /// Begins a commit, marks its first `lines` cells, and stops there.
    pub fn stop_half_way(&self, moves: &[(usize, Move)], when: When, lines: usize) -> Half<'_> {
        let operation = self.begin(moves, when);
        operation.mark_first(lines);
        Half(operation)
    }

    /// All that was queued, as the writer keeps it: the first of each name.
    pub fn written(&self) -> Vec<Logged> {
        let mut written: Vec<Logged> = Vec::new();
        while let Some(logged) = self.queue.pop() {
            if logged.name.is_none() || written.iter().all(|kept| kept.name != logged.name) {
                written.push(logged);
            }
        }
        written
    }

    /// Law 2: replays what was written. Every prefix must be legal, and the end must equal the
    /// cells.
    pub fn check_journal(&self) -> Vec<Logged> {
        let written = self.written();
        let mut counts = self.start.clone();
        for logged in &written {
            for &(cell, (available, reserved)) in &logged.moves {
                let (a, r) = counts[cell];
                let after = (a.checked_add_signed(available), r.checked_add_signed(reserved));
                let (Some(a), Some(r)) = after else {
                    panic!("an illegal history: {written:?} from {:?}", self.start);
                };
                counts[cell] = (a, r);
            }
        }
        let end: Vec<_> = (0..self.cells.len()).map(|cell| self.read(cell)).collect();
        assert_eq!(counts, end, "the journal tells another story than the cells: {written:?}");
        written
    }

    /// How many commits have reported that they are visible.
    pub fn shown(&self) -> u32 {
        *self.shown.lock().expect("no test panics here")
    }

    /// Whether no cell bears a mark.
    pub fn is_clean(&self) -> bool {
        self.cells.iter().all(|cell| Word::from_bits(cell.look()).is_some())
    }

    fn begin(&self, moves: &[(usize, Move)], when: When) -> Operation<'_, Self> {
        let mut lines: Vec<_> = moves
            .iter()
            .map(|&(cell, by)| CellDelta {
                cell: id(cell),
                delta: delta(by).above(self.floors[cell]),
            })
            .collect();
        let lines = merge_lines(&mut lines).unwrap_or_else(|TooMuch { cell }| panic!("{cell:?}"));
        Operation::begin(self, lines, log_order(when)).expect("there is a slot")
    }

    fn report(
        &self,
        result: Result<Committed<'_, Self>, Refused>,
    ) -> Result<Vec<(u32, u32)>, ShortCell> {
        match result {
            Ok(done) => Ok((0..done.lines()).map(|at| counts(done.change(at).before)).collect()),
            Err(Refused::Line { cell, available, .. }) => {
                let cell = Some(number(cell));
                Err(ShortCell { cell, available: u64::from(available) })
            }
            Err(Refused::Sum { available }) => Err(ShortCell { cell: None, available }),
        }
    }

    fn log(&self, name: Option<CommitName>, moves: Vec<(usize, Move)>) {
        let name = name.map(|CommitName { slot, sequence }| (slot, sequence));
        self.queue.push(Logged { name, moves }).expect("the queue is long enough");
    }
}

/// A helper that fell asleep between its read of the status and its swap.
#[derive(Debug)]
pub struct SleepingHelper<'t>(super::drive::Sleeper<'t, Testbed>);

impl SleepingHelper<'_> {
    /// It puts its mark in now, if the word is still, or again, what it read.
    pub fn mark(&self) -> bool {
        self.0.mark()
    }

    /// It goes on from there, to its end.
    pub fn finish(self) {
        self.0.finish();
    }
}

impl<'t> Half<'t> {
    /// A helper joins, and falls asleep before it marks line `line`.
    pub fn helper_asleep_before(&self, line: usize) -> SleepingHelper<'t> {
        SleepingHelper(self.0.helper_asleep_before(line))
    }
    /// The owner wakes up.
    pub fn wake(self) -> Result<Vec<(u32, u32)>, ShortCell> {
        let bed = self.0.site();
        bed.report(self.0.wake())
    }

    /// The owner never wakes up.
    pub fn sleep_for_ever(self) {
        std::mem::forget(self);
    }
}

impl Cells for Testbed {
    fn cell(&self, id: CellId) -> &Cell {
        &self.cells[number(id)]
    }
}

impl CommitRecorder for Testbed {
    fn record(&self, moved: &dyn CommitView) {
        let moves = (0..moved.lines()).map(|at| {
            let (cell, delta) = moved.line(at);
            (number(cell), (delta.available(), delta.reserved()))
        });
        self.log(Some(moved.name()), moves.collect());
    }

    fn on_visible(&self, _: &dyn CommitView) {
        *self.shown.lock().expect("no test panics here") += 1;
    }
}

impl Site for Testbed {
    fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

/// The id of the testbed's cell of this number.
pub(super) fn id(cell: usize) -> CellId {
    CellId::level(LevelIndex(cell as u32))
}

/// The number of the testbed's cell of this id.
fn number(id: CellId) -> usize {
    match id.kind() {
        CellKind::Level(level) => level.index(),
        other => panic!("the testbed has levels alone, and no {other:?}"),
    }
}

/// Any delta, legal for some word or not.
pub(super) fn delta((available, reserved): Move) -> Delta {
    let halves = [available, reserved].map(|half| u64::from(half.cast_unsigned()));
    Delta::from_bits(halves[0] << 32 | halves[1])
}

fn counts(word: Word) -> (u32, u32) {
    (word.available(), word.reserved())
}

/// Who queues the record, and when.
fn log_order(when: When) -> LogOrder {
    match when {
        When::Never => LogOrder::Never,
        When::BeforeStart | When::AfterDone => LogOrder::ByOwner,
        When::BeforeShown => LogOrder::BeforeVisible,
    }
}

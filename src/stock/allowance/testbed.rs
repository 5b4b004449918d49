//! A table of allowances, a few levels and a pool, for tests and models: the smallest site on which
//! limited commits can run.

#![allow(dead_code, reason = "tests and models each use a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "only models and tests see it")]
#![allow(clippy::expect_used, reason = "a test that fails should say where")]

use std::sync::Arc;

use super::key::{AllowanceKey, RuleNumber, SubjectHash};
use super::shard::shard_of;
use super::table::Allowances;
use super::word::{draw, give};
use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::stock::cell::{Cell, CellId, CellKind};
use crate::stock::handle::{AllowanceIndex, LevelIndex};
use crate::stock::mcas::recorder::{CommitRecorder, CommitView, LogOrder};
use crate::stock::mcas::{
    CellDelta, Cells, DescriptorPool, Operation, Refused, Site, Sleeper, merge_lines,
};
use crate::stock::word::{Delta, Word};

/// One unit, of which all draws are made here.
fn one() -> Quantity {
    Quantity::new(1).expect("a legal quantity")
}

/// The allowance of a subject under a rule. All lie in one shard.
pub fn key_of(rule: u32, subject: u64) -> AllowanceKey {
    let key = |number: u64| {
        let subject = SubjectHash::from_halves([(subject << 32) + number, 0]);
        AllowanceKey { rule: RuleNumber(rule), subject }
    };
    (0..).map(key).find(|key| shard_of(*key) == 0).expect("each shard has keys")
}

/// A draw of one unit, under a maximum.
pub type Draw = (AllowanceKey, u32);

#[derive(Debug)]
pub struct LimitedBed {
    pub table: Allowances,
    levels: Vec<Cell>,
    pool: Arc<DescriptorPool>,
}

/// A commit that draws or gives, of which some cells are marked, and whose owner has stopped there.
#[derive(Debug)]
pub struct HalfDrawn<'b> {
    operation: Operation<'b, LimitedBed>,
    keeps: Keeps,
}

/// The allowances of a commit, and what keeps them until it is final.
#[derive(Debug)]
enum Keeps {
    Pins(Vec<AllowanceIndex>),
    Draws(Vec<AllowanceIndex>),
}

/// Why a draw was refused: a level was short (none), or this allowance had so much used.
pub type Refusal = Option<(AllowanceKey, u32)>;

impl LimitedBed {
    /// So many allowances at most, and levels of so many available units.
    pub fn new(most: u32, levels: &[u32]) -> Self {
        let pool = Arc::new(DescriptorPool::new());
        let levels = levels.iter().map(|units| Cell::new(Word::new(*units, 0))).collect();
        Self { table: Allowances::new(most, &pool), levels, pool }
    }

    /// The same, where these allowances have so much used.
    pub fn with_used(self, used: &[(AllowanceKey, u32)]) -> Self {
        for &(key, used) in used {
            let used = Quantity::new(used).expect("a legal quantity");
            self.table.restore(key, used, &self).expect("there is room");
        }
        self
    }

    /// As a reserve: draws of each allowance, and holds a unit of each level. `Err` if a maximum or
    /// a level does not allow it.
    pub fn take(&self, draws: &[Draw], levels: &[u32]) -> Result<(), Refusal> {
        let HalfDrawn { operation, keeps } = self.begin(draws, levels);
        let done = operation.run_and_forget();
        self.end(keeps, done)
    }

    /// The same of one allowance alone, by one swap.
    pub fn draw(&self, (key, maximum): Draw) -> bool {
        let index = self.table.pin(key).expect("there is room");
        let drawn = self.swap(index, draw(one(), maximum));
        self.table.unpin(index);
        drawn
    }

    /// As a release: gives back a unit of each.
    pub fn give(&self, keys: &[AllowanceKey], levels: &[u32]) {
        let HalfDrawn { operation, keeps } = self.begin_giving(keys, levels);
        let given = operation.run_and_forget();
        assert_eq!(self.end(keeps, given), Ok(()), "a gift always fits");
    }

    /// The same of one allowance alone, by one swap.
    pub fn give_one(&self, key: AllowanceKey) {
        let index = self.table.find(key).expect("a draw keeps it");
        assert!(self.swap(index, give(one())), "a gift always fits");
        self.table.retire_if_idle(index);
    }

    /// A plain reserve of one unit.
    pub fn hold(&self, level: u32) -> bool {
        let cell = &self.levels[level as usize];
        cell.apply(level_id(level), Delta::hold(one()), self).is_ok()
    }

    /// The available and reserved units of a level.
    pub fn level(&self, level: u32) -> (u32, u32) {
        let word = self.levels[level as usize].read(level_id(level), &*self.pool);
        (word.available(), word.reserved())
    }

    /// What is used of each.
    pub fn used<const N: usize>(&self, keys: [AllowanceKey; N]) -> [u32; N] {
        keys.map(|key| self.table.used(key))
    }

    /// Whether no cell bears a mark.
    pub fn is_clean(&self) -> bool {
        let numbers = (0..).map_while(|number| self.table.cell(AllowanceIndex(number)));
        numbers.chain(&self.levels).all(|cell| Word::from_bits(cell.look()).is_some())
    }

    /// Begins a [`take`](Self::take), marks its first `lines` cells, and stops there.
    pub fn stop_half_way(&self, draws: &[Draw], levels: &[u32], lines: usize) -> HalfDrawn<'_> {
        let half = self.begin(draws, levels);
        half.operation.mark_first(lines);
        half
    }

    /// Begins a [`give`](Self::give), marks its first `lines` cells, and stops there.
    pub fn stop_half_way_giving(&self, keys: &[AllowanceKey], lines: usize) -> HalfDrawn<'_> {
        let half = self.begin_giving(keys, &[]);
        half.operation.mark_first(lines);
        half
    }

    fn begin_giving(&self, keys: &[AllowanceKey], levels: &[u32]) -> HalfDrawn<'_> {
        let find = |key: &AllowanceKey| self.table.find(*key).expect("a draw keeps it");
        let found: Vec<_> = keys.iter().map(find).collect();
        let given = found.iter().map(|index| (CellId::allowance(*index), give(one())));
        let held = levels.iter().map(|level| (level_id(*level), Delta::give_back(one())));
        HalfDrawn { operation: self.prepare(given.chain(held)), keeps: Keeps::Draws(found) }
    }

    fn begin(&self, draws: &[Draw], levels: &[u32]) -> HalfDrawn<'_> {
        let pin = |(key, _): &Draw| self.table.pin(*key).expect("there is room");
        let pins: Vec<_> = draws.iter().map(pin).collect();
        let drawn = pins.iter().zip(draws);
        let drawn = drawn.map(|(index, (_, most))| (CellId::allowance(*index), draw(one(), *most)));
        let held = levels.iter().map(|level| (level_id(*level), Delta::hold(one())));
        HalfDrawn { operation: self.prepare(drawn.chain(held)), keeps: Keeps::Pins(pins) }
    }

    fn end(&self, keeps: Keeps, done: Result<(), Refused>) -> Result<(), Refusal> {
        // While it is pinned, the key is the one that was refused.
        let why = |refused| match refused {
            Refused::Line { cell, available, .. } => match cell.kind() {
                CellKind::Allowance(index) => {
                    self.table.key(index).map(|key| (key, MAX_UNITS - available))
                }
                _ => None,
            },
            Refused::Sum { .. } => None,
        };
        let answer = done.map_err(why);
        match keeps {
            Keeps::Pins(all) => all.into_iter().for_each(|index| self.table.unpin(index)),
            Keeps::Draws(all) => all.into_iter().for_each(|index| self.table.retire_if_idle(index)),
        }
        answer
    }

    fn prepare(&self, lines: impl Iterator<Item = (CellId, Delta)>) -> Operation<'_, Self> {
        let mut lines: Vec<_> = lines.map(|(cell, delta)| CellDelta { cell, delta }).collect();
        let lines = merge_lines(&mut lines).expect("few units");
        Operation::begin(self, lines, LogOrder::Never).expect("there is a slot")
    }

    fn swap(&self, index: AllowanceIndex, delta: Delta) -> bool {
        let id = CellId::allowance(index);
        self.cell(id).apply(id, delta, self).is_ok()
    }
}

impl<'b> HalfDrawn<'b> {
    /// A helper joins, and falls asleep before it marks line `line`.
    pub fn helper_asleep_before(&self, line: usize) -> Sleeper<'b, LimitedBed> {
        self.operation.helper_asleep_before(line)
    }

    /// The owner wakes up.
    pub fn wake(self) -> Result<(), Refusal> {
        let bed = self.operation.site();
        bed.end(self.keeps, self.operation.wake().map(drop))
    }

    /// The owner never wakes up.
    pub fn sleep_for_ever(self) {
        std::mem::forget(self);
    }
}

impl Cells for LimitedBed {
    fn cell(&self, id: CellId) -> &Cell {
        match id.kind() {
            CellKind::Allowance(index) => self.table.cell(index).expect("a commit names its own"),
            CellKind::Level(level) => &self.levels[level.index()],
            CellKind::Room(_) => panic!("the bed has no rooms"),
        }
    }
}

impl CommitRecorder for LimitedBed {
    fn record(&self, _: &dyn CommitView) {}

    fn on_visible(&self, _: &dyn CommitView) {}
}

impl Site for LimitedBed {
    fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

fn level_id(level: u32) -> CellId {
    CellId::level(LevelIndex(level))
}

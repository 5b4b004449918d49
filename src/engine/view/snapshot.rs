//! Reads several levels at one instant.

use crate::base::error::{PlaceError, SnapshotError};
use crate::base::sync::yield_now;
use crate::engine::place::{LevelRef, ProductRef};
use crate::engine::{Engine, InventoryManager};
use crate::stock::cell::CellId;
use crate::stock::handle::{LevelHandle, LevelIndex, ProductIndex};
use crate::stock::mcas::recorder::LogOrder;
use crate::stock::mcas::{CellDelta, MAX_LINES, Operation, merge_lines};
use crate::stock::word::{Delta, Word};

/// A level's units at the instant of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LevelSnapshot {
    /// The level.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub level: LevelHandle,
    /// Units that anyone may reserve.
    pub available: u32,
    /// Units that are spoken for: held, or sold and still in the building.
    pub reserved: u32,
}

/// A product's units, summed over all warehouses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Totals {
    /// Units that anyone may reserve.
    pub available: u64,
    /// Units that are spoken for: held, or sold and still in the building.
    pub reserved: u64,
}

impl Totals {
    /// Units in the buildings: `available + reserved`.
    pub fn on_hand(&self) -> u64 {
        self.available + self.reserved
    }

    fn plus(self, word: Word) -> Self {
        Self {
            available: self.available + u64::from(word.available()),
            reserved: self.reserved + u64::from(word.reserved()),
        }
    }
}

/// # Several levels at one instant
impl InventoryManager {
    /// The units of these levels at one instant within this call, in the given order. It never
    /// shows half of a transfer or half of a basket.
    ///
    /// It is a multi-word CAS that changes nothing: two swaps for each level, and lock-free. It
    /// delays other calls no longer than a basket of as many lines. If its thread is descheduled,
    /// others help it and go on. For product pages, use
    /// [`totals_approximate`](Self::totals_approximate), which delays nobody.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    ///
    /// ```
    /// use stockade::{InventoryManager, LevelRef};
    /// let manager = InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.transfer("SF", "NYC", "LAPTOP", 4)?;
    /// let both = manager.snapshot(&[("NYC", "LAPTOP").into(), ("SF", "LAPTOP").into()])?;
    /// assert_eq!((both[0].available, both[1].available), (4, 6));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn snapshot(&self, levels: &[LevelRef<'_>]) -> Result<Vec<LevelSnapshot>, SnapshotError> {
        let handles =
            levels.iter().map(|level| self.engine.resolve(self.engine.own_level(*level)?));
        let handles = handles.collect::<Result<Vec<_>, PlaceError>>()?;
        if handles.len() > MAX_LINES {
            return Err(SnapshotError::TooManyLevels { levels: handles.len(), most: MAX_LINES });
        }
        let words = self.engine.at_one_instant(&handles);
        let show = |(level, word): (LevelIndex, Word)| LevelSnapshot {
            level: self.engine.handle(level),
            available: word.available(),
            reserved: word.reserved(),
        };
        Ok(handles.into_iter().zip(words).map(show).collect())
    }

    /// A product's units, summed over its warehouses, at one instant; see
    /// [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// [`PlaceError::NeverStocked`] if this engine has never stocked the product; see
    /// [`PlaceError`] for the rest.
    pub fn totals<'p>(&self, product: impl Into<ProductRef<'p>>) -> Result<Totals, PlaceError> {
        let product = self.engine.product(self.engine.own_product(product.into())?)?;
        let mut levels = self.engine.levels_of(product);
        loop {
            let words = self.engine.at_one_instant(&levels);
            let levels_now = self.engine.levels_of(product);
            // A level that was opened after the first list may have had units before the instant of
            // the read. So repeat with the new list. Levels are never removed: equal lengths mean
            // equal lists.
            if levels_now.len() == levels.len() {
                return Ok(words.into_iter().fold(Totals::default(), Totals::plus));
            }
            levels = levels_now;
        }
    }

    /// As [`totals`](Self::totals), but reads one level after another, not all at one instant. So
    /// units in the middle of a transfer may be missed or counted twice. It writes nothing, and
    /// delays nobody.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    pub fn totals_approximate<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
    ) -> Result<Totals, PlaceError> {
        let product = self.engine.product(self.engine.own_product(product.into())?)?;
        let catalog = &self.engine.catalog;
        let levels = catalog.levels_of(product).filter_map(|level| catalog.level(level));
        Ok(levels.fold(Totals::default(), |sum, level| sum.plus(level.word())))
    }
}

impl Engine {
    /// The open levels of a product.
    fn levels_of(&self, product: ProductIndex) -> Vec<LevelIndex> {
        self.catalog.levels_of(product).collect()
    }

    /// The words of these levels at one instant, in their order.
    fn at_one_instant(&self, levels: &[LevelIndex]) -> Vec<Word> {
        if let [only] = levels {
            return self.catalog.level(*only).map(|level| level.word()).into_iter().collect();
        }
        let look =
            |level: &LevelIndex| CellDelta { cell: CellId::level(*level), delta: Delta::NOTHING };
        let mut lines: Vec<CellDelta> = levels.iter().map(look).collect();
        let Ok(lines) = merge_lines(&mut lines) else {
            unreachable!("nothing added to nothing is nothing")
        };
        loop {
            let begun = Operation::begin(self, lines, LogOrder::Never);
            if let Some(Ok(done)) = begun.ok().map(Operation::run) {
                let word = |level: &LevelIndex| {
                    let at = lines.binary_search_by_key(&CellId::level(*level), |line| line.cell);
                    at.map(|at| done.change(at).before).unwrap_or_default()
                };
                return levels.iter().map(word).collect();
            }
            // All descriptors are in use, by about 131,000 operations. Let some of them finish.
            yield_now();
        }
    }
}

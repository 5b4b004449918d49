//! The stock that a journal adds up to, now or at an earlier time.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::journal::format::decode::Decoded;
use crate::journal::ledger::Ledger;
use crate::journal::ledger::levels::LevelState;
use crate::journal::offline::JournalReader;
use crate::journal::recovery::replay::Visitor;

/// The stock that a journal adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStock {
    /// The sequence number of the newest entry that was applied; 0 if there is none.
    pub sequence: u64,
    /// The latest time of any of these entries.
    pub newest_at: Timestamp,
    /// Every stock level, in the order in which they were opened.
    pub rows: Vec<StockRow>,
}

/// The counts of one stock level.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StockRow {
    /// The warehouse's name.
    pub warehouse: Arc<str>,
    /// The product's name.
    pub product: Arc<str>,
    /// Units that anyone may reserve.
    pub available: u32,
    /// Units that are held, or sold and still in the building.
    pub reserved: u32,
    /// Units that are sold and still in the building.
    pub sold: u32,
}

impl JournalReader {
    /// The stock that the journal adds up to: all of it, or its longest prefix without an entry
    /// later than `until`. Reads the journal only that far. The entries of racing calls may be a
    /// moment out of order, so an entry may be older than the one before it; every prefix is still
    /// a state that could have been.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-at-{}", std::process::id()));
    /// use std::time::Duration;
    /// use stockade::{InventoryManager, JournalReader, ManualClock, Timestamp};
    /// let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    /// let builder = InventoryManager::builder().warehouse("SF").journal(&directory);
    /// let manager = builder.clock(clock.clone()).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// clock.advance(Duration::from_secs(5));
    /// manager.remove_stock(("SF", "LAPTOP"), 4, "dropped")?;
    /// manager.flush().wait()?;
    ///
    /// let then = Timestamp::from_millis(5_999);
    /// assert_eq!(JournalReader::new(&directory).stock(Some(then))?.rows[0].available, 10);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`verify`](Self::verify), for what is read; [`JournalError::Trimmed`] if the
    /// oldest segments are gone and the oldest checkpoint has an entry later than `until`.
    pub fn stock(&mut self, until: Option<Timestamp>) -> Result<JournalStock, JournalError> {
        let until = until.unwrap_or(Timestamp::MAX);
        self.retry_if_changed(|reader| {
            let mut source = reader.take_snapshot(0)?;
            if let Some((header, ledger)) = &source.beginning
                && ledger.newest_at > until
            {
                return Err(JournalError::Trimmed { oldest: header.sequence + 1 });
            }
            let (ledger, _) = reader.replay(&mut source, 0, &mut UntilVisitor(until))?;
            Ok(stock_of(&ledger))
        })
    }
}

fn stock_of(ledger: &Ledger) -> JournalStock {
    let row = |level: &LevelState| {
        let warehouse = Arc::clone(&ledger.warehouses.get(level.warehouse.index())?.name);
        let product = Arc::clone(ledger.products.get(level.product.index())?);
        let (available, reserved, sold) = (level.available, level.reserved, level.sold);
        Some(StockRow { warehouse, product, available, reserved, sold })
    };
    JournalStock {
        sequence: ledger.next_sequence - 1,
        newest_at: ledger.newest_at,
        rows: ledger.levels.iter().filter_map(row).collect(),
    }
}

/// Ends the replay before the first record later than this.
struct UntilVisitor(Timestamp);

impl Visitor for UntilVisitor {
    fn ends_before(&mut self, decoded: &Decoded<'_>) -> bool {
        decoded.at() > self.0
    }

    fn record(&mut self, _: &Ledger, _: u64, _: &Decoded<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

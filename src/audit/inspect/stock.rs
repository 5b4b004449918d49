//! The stock that a journal adds up to, now or at an earlier moment.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::inspect::JournalReader;
use crate::audit::ledger::Ledger;
use crate::audit::scan;
use crate::clock::Timestamp;
use crate::error::JournalError;
use crate::stock::level::Counts;

/// What the first entries of a journal add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStock {
    /// How many entries, and so the sequence number of the last one; 0 for none.
    pub entries: u64,
    /// The latest time that any of them bears.
    pub newest_at: Timestamp,
    /// Every level that was open by then, in the order in which they were opened.
    pub levels: Vec<JournalLevel>,
}

/// A level, as the journal's entries add it up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalLevel {
    /// Where.
    pub warehouse: Arc<str>,
    /// Of what.
    pub product: Arc<str>,
    /// Its units.
    pub counts: Counts,
}

impl JournalReader {
    /// The stock that all entries add up to.
    ///
    /// # Errors
    /// [`JournalError`]; damage and broken laws too, for what they leave can't be trusted.
    pub fn stock(&self) -> Result<JournalStock, JournalError> {
        self.stock_at(Timestamp::MAX)
    }

    /// The stock as of `moment`: that of the longest prefix of the journal without an entry later than
    /// that. Reads no further than that prefix goes.
    ///
    /// The order of a journal is that of its entries; the times of racing operations can differ from it
    /// by the length of a call, and every prefix is a state that could have been.
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
    /// let then = JournalReader::new(&directory).stock_at(Timestamp::from_millis(5_999))?;
    /// assert_eq!(then.levels[0].counts.available, 10);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As of [`stock`](Self::stock), for the entries of that prefix.
    pub fn stock_at(&self, moment: Timestamp) -> Result<JournalStock, JournalError> {
        let mut ledger = Ledger::new(0);
        self.read(&self.freeze()?, |segment| {
            for found in &segment.batches {
                let decoded = scan::decode_batch(segment, found, |decoded| {
                    if decoded.at() > moment {
                        return Ok(ControlFlow::Break(()));
                    }
                    ledger.apply(&decoded).map_err(scan::broken)?;
                    Ok(ControlFlow::Continue(()))
                });
                if decoded?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(ledger.next_sequence - 1))
        })?;
        ledger.check_totals().map_err(scan::broken)?;
        Ok(JournalStock::of(&ledger))
    }
}

impl JournalStock {
    fn of(ledger: &Ledger) -> Self {
        let level = |level: &crate::audit::ledger::levels::LevelState| {
            let mut counts = Counts::default();
            (counts.available, counts.reserved, counts.sold) =
                (level.available, level.reserved, level.sold);
            Some(JournalLevel {
                warehouse: Arc::clone(&ledger.warehouses.get(level.warehouse.index())?.name),
                product: Arc::clone(ledger.products.get(level.product.index())?),
                counts,
            })
        };
        Self {
            entries: ledger.next_sequence - 1,
            newest_at: ledger.newest_at,
            levels: ledger.levels.iter().filter_map(level).collect(),
        }
    }
}

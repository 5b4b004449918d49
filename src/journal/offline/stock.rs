//! The stock that a journal adds up to, now or at an earlier time.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::entry::EventType;
use crate::audit::record::EntryLine;
use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::journal::format::decode::Decoded;
use crate::journal::format::segment::SegmentHeader;
use crate::journal::layout::Layout;
use crate::journal::ledger::Ledger;
use crate::journal::ledger::levels::LevelState;
use crate::journal::offline::JournalReader;
use crate::journal::reader::Segment;
use crate::journal::recovery::replay::Visitor;

/// The stock that a journal adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStock {
    /// The sequence number of the newest entry that was applied; 0 if there is none.
    pub sequence: u64,
    /// The latest time of any of these entries, but never later than what was asked for.
    pub newest_at: Timestamp,
    /// The entries that were applied although they bear a later time than what was asked for.
    pub ahead: Option<EntriesAhead>,
    /// Every stock level, in the order in which they were opened.
    pub rows: Vec<StockRow>,
}

/// Entries that a clock dated which was ahead: a later opening found the time earlier again. They
/// were made before it, so they count as of its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntriesAhead {
    /// How many.
    pub entries: u64,
    /// The latest time that any of them bears.
    pub latest: Timestamp,
    /// The moment of that opening.
    pub opened_at: Timestamp,
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
    /// An engine whose clock was ahead gave its entries times from the future. Where a later
    /// opening found the time earlier again, all entries before it count as of its moment at the
    /// latest, and [`JournalStock::ahead`] tells of them.
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
            let mut visitor = UntilVisitor::new(&source.layout, until);
            if let Some((header, ledger)) = &source.beginning
                && ledger.newest_at > until
                && !visitor.begins_behind(header.sequence)
            {
                return Err(JournalError::Trimmed { oldest: header.sequence + 1 });
            }
            let (ledger, _) = reader.replay(&mut source, 0, &mut visitor)?;
            Ok(visitor.stock_of(&ledger))
        })
    }
}

fn rows_of(ledger: &Ledger) -> Vec<StockRow> {
    let row = |level: &LevelState| {
        let warehouse = Arc::clone(&ledger.warehouses.get(level.warehouse.index())?.name);
        let product = Arc::clone(ledger.products.get(level.product.index())?);
        let (available, reserved, sold) = (level.available, level.reserved, level.sold);
        Some(StockRow { warehouse, product, available, reserved, sold })
    };
    ledger.levels.iter().filter_map(row).collect()
}

/// Ends the replay before the first record later than `until`. Whatever lies before an opening at
/// or before `until` was made by then, whatever time it bears.
struct UntilVisitor {
    until: Timestamp,
    /// The last opening at or before `until`; none if its number is 0.
    opening: Opening,
    /// It has come to the first record of that opening's own.
    opened: bool,
    ahead: Option<EntriesAhead>,
}

/// An opening, as the header of its first segment tells it.
#[derive(Clone, Copy, Default)]
struct Opening {
    number: u64,
    at: Timestamp,
    /// The last entry before it. Batches of an earlier opening may follow, written again.
    after: u64,
}

impl UntilVisitor {
    fn new(layout: &Layout, until: Timestamp) -> Self {
        let mut opening = Opening::default();
        for it in &layout.path {
            let SegmentHeader { opening: number, created_at: at, base, .. } = it.header;
            if at <= until && number > opening.number {
                opening = Opening { number, at, after: base.sequence };
            }
        }
        Self { until, opening, opened: false, ahead: None }
    }

    /// Whether the opening begins behind entry `sequence`.
    fn begins_behind(&self, sequence: u64) -> bool {
        self.opening.number > 0 && self.opening.after >= sequence
    }

    /// Whether the record was made before that opening.
    fn is_before_opening(&mut self, segment: &Segment, decoded: &Decoded<'_>) -> bool {
        let number = segment.header.opening;
        if number == self.opening.number && !self.opened {
            self.opened = is_first_of_opening(decoded);
        }
        number < self.opening.number || (number == self.opening.number && !self.opened)
    }

    fn stock_of(&self, ledger: &Ledger) -> JournalStock {
        JournalStock {
            sequence: ledger.next_sequence - 1,
            newest_at: ledger.newest_at.min(self.until),
            ahead: self.ahead,
            rows: rows_of(ledger),
        }
    }
}

/// Whether an opening begins with this record.
fn is_first_of_opening(decoded: &Decoded<'_>) -> bool {
    let begins = |line: &EntryLine| {
        [EventType::ClockStepped, EventType::Opened]
            .into_iter()
            .any(|event| line.entry_type == event.into())
    };
    matches!(decoded, Decoded::Record(record) if record.steps.lines.iter().any(begins))
}

impl Visitor for UntilVisitor {
    fn ends_before(&mut self, segment: &Segment, decoded: &Decoded<'_>) -> bool {
        let is_later = decoded.at() > self.until;
        if !self.is_before_opening(segment, decoded) {
            return is_later;
        }
        if is_later {
            let ahead = self.ahead.get_or_insert(EntriesAhead {
                entries: 0,
                latest: decoded.at(),
                opened_at: self.opening.at,
            });
            ahead.entries += decoded.entries();
            ahead.latest = ahead.latest.max(decoded.at());
        }
        false
    }

    fn record(&mut self, _: &Ledger, _: u64, _: &Decoded<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

//! How many entries the audit writer has written, by type.

use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::record::Record;
use crate::base::sync::{AtomicU64, Ordering};

/// More than any code of an entry type.
const CODES: usize = 64;

/// How many entries were written since the engine was opened, and how many units they moved, by
/// type. An entry counts once the journal, the sink and the log in memory have it. What an opening
/// reads back from a journal does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryCounts {
    entries: [u64; CODES],
    units: [u64; CODES],
}

impl EntryCounts {
    /// How many entries of this type were written.
    ///
    /// ```
    /// use stockade::{AdjustmentType, InventoryManager};
    /// let manager = InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let written = manager.stats().written;
    /// assert_eq!(written.entries(AdjustmentType::Received), 1);
    /// assert_eq!(written.units(AdjustmentType::Received), 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn entries(&self, entry_type: impl Into<EntryType>) -> u64 {
        self.entries[usize::from(entry_type.into().code())]
    }

    /// How many units these entries moved, or were about.
    pub fn units(&self, entry_type: impl Into<EntryType>) -> u64 {
        self.units[usize::from(entry_type.into().code())]
    }

    /// How many entries were written, of all types.
    pub fn total(&self) -> u64 {
        self.entries.iter().sum()
    }

    /// All types, movements first.
    pub(crate) fn types() -> impl Iterator<Item = EntryType> {
        let movements = AdjustmentType::ALL.iter().copied().map(EntryType::Movement);
        movements.chain(EventType::ALL.iter().copied().map(EntryType::Event))
    }
}

/// A map of the types that were written to their entries.
#[cfg(feature = "serde")]
impl serde::Serialize for EntryCounts {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let written = Self::types().filter(|it| self.entries(*it) > 0);
        to.collect_map(written.map(|it| (it.name(), self.entries(it))))
    }
}

/// The writer's counters. It alone writes them, so a load and a store add up. Relaxed: figures.
#[derive(Debug)]
pub(crate) struct EntryTally {
    entries: [AtomicU64; CODES],
    units: [AtomicU64; CODES],
}

impl EntryTally {
    pub(crate) fn new() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { entries: zeros(), units: zeros() }
    }

    /// Counts the entries of a batch. For the writer alone.
    pub(crate) fn count(&self, batch: &[Record]) {
        for record in batch {
            match record {
                Record::Plain(entry) => self.add(entry.code(), entry.quantity()),
                Record::Buffered(buffer) => {
                    buffer.lines.iter().for_each(|it| self.add(it.entry_type.code(), it.quantity));
                }
            }
        }
    }

    fn add(&self, code: u8, quantity: u32) {
        let code = usize::from(code) % CODES;
        for (counter, by) in [(&self.entries[code], 1), (&self.units[code], u64::from(quantity))] {
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> EntryCounts {
        let read =
            |of: &[AtomicU64; CODES]| std::array::from_fn(|code| of[code].load(Ordering::Relaxed));
        EntryCounts { entries: read(&self.entries), units: read(&self.units) }
    }
}

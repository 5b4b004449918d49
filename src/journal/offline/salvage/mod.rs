//! Salvage: makes a new journal of what is sound in a damaged one.

mod copy;
mod plan;
mod seen;
mod sound;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::format::head::JournalHead;
use crate::journal::offline::JournalReader;
use crate::journal::offline::snapshot_storage::SnapshotStorage;
use crate::journal::storage::Storage;
use crate::journal::storage::files::FileStorage;

use plan::Found;

pub use seen::SeenBatch;

/// What a salvage saved, and what it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The newest entry that was saved. The new journal has one more, which says where it comes
    /// from.
    pub entries: u64,
    /// The oldest entry that was saved: 1, unless the new journal begins with a checkpoint.
    pub oldest: u64,
    /// The last entry of the checkpoint that the new journal begins with; `None` if it begins with
    /// the first entry.
    pub begun_after: Option<u64>,
    /// The number of segments that were copied, the last one perhaps in part.
    pub segments: usize,
    /// The bytes that were copied.
    pub bytes: u64,
    /// The end of the new journal.
    pub head: JournalHead,
    /// The first thing that is wrong behind what was saved; `None` if all was saved.
    pub first_bad: Option<JournalError>,
    /// The number of segments of which something was not saved.
    pub lost_segments: usize,
    /// The bytes in those segments that were not saved.
    pub lost_bytes: u64,
    /// The number of batches that were seen behind what was saved, and whose bytes are sound.
    pub seen_batches: u64,
    /// The number of entries in those batches.
    pub seen_entries: u64,
    /// The newest entry in those batches; `None` if none was seen. So at least the entries from
    /// `entries` to this one once were in the journal.
    pub newest_seen: Option<u64>,
}

impl JournalReader {
    /// Makes a new journal in `directory`, of the longest part of this journal that is sound and
    /// obeys every law. Then an engine can be built on the new one.
    ///
    /// That part begins with the first entry. If a checkpoint leads further, it begins with that:
    /// then older entries are lost, and the state they added up to is not. It ends before the first
    /// batch that is damaged or missing, or before the first record that breaks a law. Whole
    /// batches behind that can't be saved, because what they say rests on what is lost. Each of
    /// them is passed to `seen`, so that a person can decide what to book by hand.
    ///
    /// The new journal is another journal, with an identity of its own, but the hash chain is the
    /// same: a head that was noted before the damage is still found in it. Its last entry is an
    /// `Opened` with the facts `salvagedFrom` and `salvagedUpTo`. Notes, holds, keys and settings
    /// are there. Erased notes stay erased.
    ///
    /// The damaged journal is only read. No lock of it is taken, so make sure that no engine has it
    /// open: its newest entries would be missing. Reads the journal up to three times, and writes
    /// and verifies what it saves. In memory are the state and a window of 8 MiB, however long the
    /// segments are, or one batch that is longer.
    ///
    /// ```
    /// # let name = format!("stockade-save-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// use stockade::{InventoryManager, JournalReader};
    /// let (old, new) = (directory.join("old"), directory.join("new"));
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&old).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// drop(manager);
    /// # let segment = old.join("0000000001.journal");
    /// # let mut bytes = std::fs::read(&segment)?;
    /// # let last = bytes.len() - 1;
    /// bytes[last] ^= 1; // a bit goes bad
    /// # std::fs::write(&segment, bytes)?;
    /// assert!(InventoryManager::builder().warehouse("SF").journal(&old).build().is_err());
    ///
    /// let saved = JournalReader::new(&old).salvage(&new, |lost| println!("{lost:?}"))?;
    /// println!("{} entries; then: {}", saved.entries, saved.first_bad.expect("damage"));
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&new).build()?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 10);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`JournalError::Storage`] if `directory` holds anything but a lock file, or a storage fails;
    /// [`JournalError::NoJournal`] if there is no journal to read; what is wrong with it
    /// ([`JournalError::Damaged`], [`JournalError::BrokenLaw`]) if not even its first entry can be
    /// saved; [`JournalError::Version`] if a later library wrote it; [`JournalError::Locked`] if
    /// somebody uses `directory`. After an error, remove what lies in `directory`.
    pub fn salvage(
        &self,
        directory: impl Into<PathBuf>,
        seen: impl FnMut(&SeenBatch),
    ) -> Result<SalvageReport, JournalError> {
        self.salvage_on(FileStorage::new(directory), seen)
    }

    /// Like [`salvage`](Self::salvage), to another storage than a directory.
    ///
    /// # Errors
    /// As [`salvage`](Self::salvage).
    pub fn salvage_on(
        &self,
        to: impl Storage,
        mut seen: impl FnMut(&SeenBatch),
    ) -> Result<SalvageReport, JournalError> {
        let to: Arc<dyn Storage> = Arc::new(to);
        let source = SnapshotStorage::new(self.whole());
        let source = source?;
        if source.is_empty() {
            return Err(JournalError::NoJournal);
        }
        let found = Found::in_storage(&source)?;
        let plan = found.best_plan()?;
        let head = copy::write(&source, &to, &plan)?;
        let totals = seen::look(&found, &plan, &mut seen)?;
        let begun_after = plan.checkpoint.as_ref().map(|(_, it)| it.sequence);
        let first = plan.segments.first();
        Ok(SalvageReport {
            entries: plan.end.sequence,
            oldest: first.map_or(0, |it| it.header.base.sequence) + 1,
            begun_after,
            segments: plan.segments.len(),
            bytes: plan.bytes(),
            head,
            first_bad: plan.fault.clone(),
            lost_segments: totals.segments,
            lost_bytes: totals.bytes,
            seen_batches: totals.batches,
            seen_entries: totals.entries,
            newest_seen: totals.newest,
        })
    }
}

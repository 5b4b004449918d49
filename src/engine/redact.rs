//! Erasing what callers noted, by the engine that runs.

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::error::RedactError;
use crate::engine::InventoryManager;

/// # Personal data
impl InventoryManager {
    /// Erases the notes of all records of which `wanted` picks an entry and that were made before the call:
    /// personal data, say, that somebody asked to be deleted. When it returns, no query and no file shows
    /// them any more: they are gone from the log in memory, from the journal and the archive of its old
    /// segments, from checkpoints, from what failing disks made the engine give up, and from what
    /// subscriptions have read ahead. Movements, reservations, owners and keys stay, and
    /// so does the chain of hashes: the head is what it was, and
    /// `JournalReader::verify` says how many records were erased.
    ///
    /// Notes are all that a caller added to a request, and the texts that calls bear: sources and reasons;
    /// who decided on a transfer, and why. The latter are gone from [transfer
    /// requests](Self::transfer_request), too. Of a decision whose record is gone (in segments that were
    /// removed, or from the memory of an engine without a journal),
    /// nobody can ask `wanted` any more: its texts go with every call. A sink's own copies, backups, entries
    /// that were given out and readings that are under way are not touched.
    ///
    /// Without a journal it erases in memory, which is all there is.
    ///
    /// # What it costs, and who waits
    /// It reads the whole journal, like a verification, and writes those segments anew that bear such
    /// notes; one of them is in memory, and has to fit on the disk a second time. Calls that move stock
    /// never wait for it: the writer goes on in a fresh segment. It waits for the disk, for a
    /// backup or another call of it under way, which wait for it likewise, and for what the
    /// auditor has in hand. While it runs, nothing is archived or removed. An engine that ends meanwhile
    /// lets it finish the file in hand.
    ///
    /// Like all that waits for the disk, it is not for an async runtime's own threads.
    ///
    /// # Errors
    /// [`RedactError::Unwritten`] if the engine has stopped, ended or died;
    /// [`RedactError::Journal`] with [`Trimmed`](crate::JournalError::Trimmed) if segments were archived, and
    /// `JournalOptions::retention` does not name the archive (or lacks some of
    /// it); with [`Locked`](crate::JournalError::Locked) if the archive is in use; with [`Damaged`](crate::JournalError::Damaged) if the
    /// journal is not sound; or with what the disk says. The journal is sound after each of them, as after
    /// a crash at any moment; make the call again.
    ///
    /// ```
    /// use stockade::{AuditFilter, InventoryManager};
    /// let manager = InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.request().note("customer", "M. Curie").sell(("SF", "LAPTOP"), 1)?;
    ///
    /// let redacted = manager.redact(|entry| entry.note("customer") == Some("M. Curie"))?;
    /// assert_eq!(redacted.records, 1);
    /// let log = manager.audit_log().query(&AuditFilter::new());
    /// assert!(log.entries.iter().all(|entry| entry.note("customer").is_none()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redact(
        &self,
        mut wanted: impl FnMut(&AuditEntry) -> bool,
    ) -> Result<Redacted, RedactError> {
        match &self.engine.journal {
            Some(journal) => journal.redact(self, &mut wanted),
            None => self.redact_memory(&mut wanted),
        }
    }

    fn redact_memory(
        &self,
        wanted: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Result<Redacted, RedactError> {
        let decided = self.engine.approvals.decided();
        // By then the records of those are written, too.
        self.flush().wait()?;
        let log = self.audit_log();
        let noted = log.pick(wanted);
        log.erase_notes(&noted.picked);
        let mut decisions = noted.decisions;
        decisions.extend(decided.difference(&noted.told));
        self.engine.approvals.erase_texts(&decisions);
        Ok(Redacted { records: noted.picked.len() as u64, segments: 0 })
    }
}

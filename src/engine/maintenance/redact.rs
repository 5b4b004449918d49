//! Redaction: a running engine erases notes.

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::error::RedactError;
use crate::engine::InventoryManager;

/// # Personal data
impl InventoryManager {
    /// Erases personal data, for example when a customer asks for it. It takes every record that
    /// was made before the call and has an entry for which `wanted` returns true, and erases the
    /// notes of that record. When the call returns, no query and no file of the engine shows them:
    /// they are gone from the log in memory, from the journal and the archive of its old segments,
    /// from checkpoints, from files that the engine gave up because of disk failures, and from what
    /// subscriptions have read ahead. Movements, reservations, owners and keys stay. The hash chain
    /// stays too: the head is the same, and `JournalReader::verify` reports how many records were
    /// erased.
    ///
    /// Notes are the pairs that a caller added to a request, and the texts that calls take:
    /// sources, reasons, and who decided on a transfer and why. The last two also disappear from
    /// [transfer requests](Self::transfer_request). The record of a decision may itself be gone:
    /// its segment was removed, or an engine without a journal evicted it. Then `wanted` cannot be
    /// asked about it, and every call of `redact` erases its texts. The call does not reach copies
    /// that a sink made, backups, entries that were already returned, and reads in progress.
    ///
    /// Without a journal, it erases in memory, where all the notes are.
    ///
    /// # What it costs, and who waits
    /// The call reads the whole journal, like a verification. It rewrites each segment that has
    /// such notes, one at a time: the segment is in memory, and needs space on the disk a second
    /// time. Calls that move stock never wait, because the writer goes on in a new segment. The
    /// call waits for the disk, for a backup or another `redact` in progress (and they wait for
    /// it), and for the auditor's work in hand. While it runs, no segment is archived or removed. A
    /// shutdown lets it finish the file in hand.
    ///
    /// It blocks on the disk, so do not call it on the threads of an async runtime.
    ///
    /// `wanted` runs in the calling thread. If it panics, nothing is erased. It may call the
    /// engine, except for `redact` and `backup`, where there is a journal.
    ///
    /// # Errors
    /// [`RedactError::Unwritten`] if the engine has stopped, closed or died.
    /// [`RedactError::Journal`] with [`Trimmed`](crate::JournalError::Trimmed) if segments were
    /// archived and `JournalOptions::retention` does not name the archive, or the archive is
    /// incomplete; with [`Locked`](crate::JournalError::Locked) if the archive is in use; with
    /// [`Damaged`](crate::JournalError::Damaged) if the journal is not sound; with
    /// [`InHand`](crate::JournalError::InHand) if `wanted` made the call; or with an error of
    /// the disk. After any of them the journal is as sound as after a crash. Call again.
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
        // After this flush, the records of those decisions are written too.
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

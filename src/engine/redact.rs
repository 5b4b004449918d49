//! Erasing what callers noted, by the engine that runs.

use crate::audit::entry::AuditEntry;
use crate::audit::journal::layout::Layout;
use crate::audit::journal::segment::SegmentHeader;
use crate::audit::journal::storage::Storage;
use crate::audit::redact::{self, Erased, Places, Redacted};
use crate::engine::InventoryManager;
use crate::engine::journal::JournalLink;
use crate::error::{FlushError, JournalError, RedactError};
use crate::sync::lock;

/// # Personal data
impl InventoryManager {
    /// Erases the notes of all records of which `wanted` picks an entry and that were made before the call:
    /// personal data, say, that somebody asked to be deleted. When it returns, no query and no file shows
    /// them any more: they are gone from the log in memory, from the journal and the archive of its old
    /// segments, from checkpoints, from what failing disks made the engine give up, and from what
    /// [subscriptions](Self::subscribe) have read ahead. Movements, reservations, owners and keys stay, and
    /// so does the chain of hashes: the [head](Self::head) is what it was, and
    /// [`JournalReader::verify`](crate::JournalReader::verify) says how many records were erased.
    ///
    /// Notes are all that a caller added to a request, and the texts that calls bear: sources and reasons;
    /// who decided on a transfer, and why. The latter are gone from [transfer
    /// requests](Self::transfer_request), too. Of a decision whose record is gone (in segments that were
    /// [removed](crate::JournalRetention::remove), or from the memory of an engine without a journal),
    /// nobody can ask `wanted` any more: its texts go with every call. A sink's own copies, backups, entries
    /// that were given out and readings that are under way are not touched.
    ///
    /// Without a journal it erases in memory, which is all there is.
    ///
    /// # What it costs, and who waits
    /// It reads the whole journal, like a verification, and writes those segments anew that bear such
    /// notes; one of them is in memory, and has to fit on the disk a second time. Calls that move stock
    /// never wait for it: the writer goes on in a fresh segment. It waits for the disk, for a
    /// [backup](Self::backup) or another call of it under way, which wait for it likewise, and for what the
    /// auditor has in hand. While it runs, nothing is archived or removed. An engine that ends meanwhile
    /// lets it finish the file in hand.
    ///
    /// Like all that waits for the disk, it is not for an async runtime's own threads.
    ///
    /// # Errors
    /// [`RedactError::Unwritten`] if the engine has stopped, ended or died;
    /// [`RedactError::Journal`] with [`JournalError::Trimmed`] if segments were archived, and
    /// [`journal_retention`](crate::Builder::journal_retention) does not name the archive (or lacks some of
    /// it); with [`JournalError::Locked`] if the archive is in use; with [`JournalError::Damaged`] if the
    /// journal is not sound; or with what the disk says. The journal is sound after each of them, as after
    /// a crash at any moment; make the call again.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-forget-{}", std::process::id()));
    /// use stockade::{AuditFilter, InventoryManager, JournalReader};
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.request().note("customer", "M. Curie").sell(("SF", "LAPTOP"), 1)?;
    ///
    /// let redacted = manager.redact(|entry| entry.note("customer") == Some("M. Curie"))?;
    /// assert_eq!(redacted.records, 1);
    /// let log = manager.audit_log().query(&AuditFilter::new());
    /// assert!(log.entries.iter().all(|entry| entry.note("customer").is_none()));
    /// assert_eq!(JournalReader::new(&directory).verify(None)?.erased, 1);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redact(
        &self,
        mut wanted: impl FnMut(&AuditEntry) -> bool,
    ) -> Result<Redacted, RedactError> {
        match &self.engine.journal {
            Some(journal) => self.redact_journal(journal, &mut wanted),
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

    fn redact_journal(
        &self,
        journal: &JournalLink,
        wanted: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Result<Redacted, RedactError> {
        let _alone = lock(&journal.files);
        // Nobody else may have the journal before this is done.
        let _lock = journal.hold().ok_or(FlushError::Closed)?;
        let _still = journal.auditing.as_ref().map(|auditing| auditing.hold_still());
        let whole = journal.whole();
        let archive = journal.retention.archive_storage();
        let archive = archive.as_deref();
        let _archive = archive.map(redact::lock).transpose()?;

        let (layout, head) = self.finish_segments(journal, &*whole)?;
        let log = self.audit_log();
        let places = Places {
            journal: &*journal.storage,
            whole: &*whole,
            archive,
            opening: journal.recovered.openings + 1,
        };
        let request = redact::Request {
            wanted,
            // What the log in memory lacks yet would come to it with its notes.
            last: head.base.sequence.min(log.newest_sequence()),
            remembered: log.evicted(),
            newest: head.number - 1,
            stop: &|| journal.progress.is_ending(),
        };
        let erased = places.erase(layout, request)?.ok_or(FlushError::Closed)?;
        // The files first: what is read again is read without the notes.
        journal.progress.erased();
        let Erased { redacted, records, decisions } = erased;
        let rewrite = || places.erase_texts(&decisions);
        match &journal.auditing {
            Some(auditing) => auditing.erase_texts(&decisions, rewrite)?,
            None => rewrite()?,
        }
        #[cfg(not(planted = "log_keeps_notes"))]
        log.erase_notes(&records);
        self.engine.approvals.erase_texts(&decisions);
        Ok(redacted)
    }

    /// Has the writer go on in a fresh segment. Gives the journal up to there, of which no file is written
    /// any more and all is on the disk, and the header of the segment that follows.
    fn finish_segments(
        &self,
        journal: &JournalLink,
        whole: &dyn Storage,
    ) -> Result<(Layout, SegmentHeader), RedactError> {
        // All that was done before is written by then, and so lies before a segment begun later: at a
        // turn of the writer that was under way it might not.
        self.flush().wait()?;
        journal.progress.ask_for_fresh();
        self.flush().wait()?;
        loop {
            let mut layout = Layout::find(whole)?;
            let head = layout.path.pop().ok_or(JournalError::NoJournal)?.header;
            // The writer may be beginning one just now.
            layout.unreadable.clear();
            let finished = journal.progress.finish_before(head.number, head.base.batch);
            finished.map_err(|error| {
                let reason = error.to_string();
                JournalError::Storage { action: "sync", file: "the journal".to_owned(), reason }
            })?;
            // Where the disk failed meanwhile, the writer has begun afresh, further back perhaps.
            let now = Layout::find_back_to(whole, |it| it.number <= head.number)?;
            if now.path.iter().any(|it| it.header.number == head.number) {
                return Ok((layout, head));
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::audit::journal::simulated::SimulatedDisk;

    #[test]
    fn a_checkpoint_that_was_due_before_texts_were_erased_is_not_written_after() {
        let disk = SimulatedDisk::new();
        let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
        let builder = builder.journal_storage(disk.clone()).audit_retained(4);
        let builder =
            builder.segment_bytes(400).checkpoint_every(1).sync_interval(Duration::from_secs(1));
        let manager = builder.build().expect("a new journal");
        manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
        let journal = manager.journal_link().expect("a journal");
        let auditing = journal.auditing.as_ref().expect("an auditor");
        let due = loop {
            let id = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("pending");
            manager.reject_transfer(id, "M. Curie", "no room").expect("pending");
            manager.flush().wait().expect("written");
            if let Some(due) = auditing.catch_up_only(journal.progress.durable()) {
                break due;
            }
        };
        manager.redact(|_| true).expect("sound");
        auditing.keep_late(Some(due));
        let is_hers = |bytes: &[u8]| bytes.windows(8).any(|part| part == b"M. Curie");
        let found = disk.files().into_iter().find(|(_, bytes)| is_hers(bytes));
        assert_eq!(found.map(|(name, _)| name), None);
    }
}

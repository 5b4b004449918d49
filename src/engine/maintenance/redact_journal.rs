//! Redaction in a journal: the engine that writes it erases notes from its files.

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::error::{FlushError, JournalError, RedactError};
use crate::engine::InventoryManager;
use crate::engine::journal::JournalLink;
use crate::journal::format::segment::SegmentHeader;
use crate::journal::layout::{JournalDir, Layout};
use crate::journal::maintenance::redact::{self, Erased, Places};
use crate::journal::storage::Storage;

impl JournalLink {
    /// Erases notes in files and in memory; see [`InventoryManager::redact`].
    pub(in crate::engine) fn redact(
        &self,
        manager: &InventoryManager,
        wanted: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Result<Redacted, RedactError> {
        let _alone = self.files.begin()?;
        // Keep the journal locked until this is done, even if the engine shuts down meanwhile.
        let _lock = self.hold().ok_or(FlushError::Closed)?;
        let _still = self.auditing.as_ref().map(|auditing| auditing.pause_trimming());
        let whole = self.whole();
        let archive = self.retention.archive_storage();
        let archive = archive.as_deref();
        let _archive = archive.map(redact::lock).transpose()?;

        let (dir, head) = self.finish_segments(manager, &*whole)?;
        let log = manager.audit_log();
        let places = Places { journal: &*self.storage, archive, opening: self.opening };
        let request = redact::EraseRequest {
            wanted,
            // Records that the log in memory does not have yet would enter it later, with their
            // notes. So leave them out.
            last: head.base.sequence.min(log.newest_sequence()),
            remembered: log.evicted(),
            newest: head.number - 1,
            stop: &|| self.progress.is_ending(),
        };
        let erased = places.erase(dir, request)?.ok_or(FlushError::Closed)?;
        // Erase from the files first: whoever reads them again from here on finds no notes.
        self.progress.erased();
        let Erased { redacted, records, decisions } = erased;
        let rewrite = || places.erase_texts(&decisions);
        match &self.auditing {
            Some(auditing) => auditing.erase_texts(&decisions, rewrite)?,
            None => rewrite()?,
        }
        log.erase_notes(&records);
        manager.engine.approvals.erase_texts(&decisions);
        Ok(redacted)
    }

    /// Has the writer begin a new segment. Returns the journal before it, and the header of the new
    /// segment. No file of that earlier part is written any more, and all of it is on the disk.
    fn finish_segments<'a>(
        &self,
        manager: &InventoryManager,
        whole: &'a dyn Storage,
    ) -> Result<(JournalDir<'a>, SegmentHeader), RedactError> {
        // Flush first: this writes all earlier records, so they lie before the new segment. Without
        // it, the writer might be in the middle of a turn, and write some of them behind the new
        // header.
        manager.flush().wait()?;
        self.progress.request_rotation();
        manager.flush().wait()?;
        loop {
            let mut dir = JournalDir::find(whole)?;
            let head = dir.layout.path.pop().ok_or(JournalError::NoJournal)?.header;
            // An unreadable file may be the segment that the writer is creating right now.
            dir.layout.unreadable.clear();
            let finished = self.progress.finish_before(head.number, head.base.batch);
            finished.map_err(|error| {
                let reason = error.to_string();
                JournalError::Storage { action: "sync", file: "the journal".to_owned(), reason }
            })?;
            // If the disk failed meanwhile, the writer has begun another segment, perhaps further
            // back. Then this one is no longer part of the journal: look again.
            let now = Layout::find_back_to(whole, |it| it.number <= head.number)?;
            if now.path.iter().any(|it| it.header.number == head.number) {
                return Ok((dir, head));
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::engine::opening::limits::Limits;
    use crate::journal::options::JournalOptions;
    use crate::journal::storage::simulated::SimulatedDisk;

    #[test]
    fn a_checkpoint_that_was_due_before_texts_were_erased_is_not_written_after() {
        let disk = SimulatedDisk::new();
        let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
        let journal = JournalOptions::storage(disk.clone()).segment_bytes(400).checkpoint_every(1);
        let builder = builder.journal(journal.sync_interval(Duration::from_secs(1)));
        let builder = builder.limits(Limits::new().audit_retained(4));
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
        auditing.maintain_late(Some(due));
        let is_hers = |bytes: &[u8]| bytes.windows(8).any(|part| part == b"M. Curie");
        let found = disk.files().into_iter().find(|(_, bytes)| is_hers(bytes));
        assert_eq!(found.map(|(name, _)| name), None);
    }
}

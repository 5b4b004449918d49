//! The journal's writing end, in the hands of the audit writer's thread.
//!
//! What was written and is not known to be on the disk stays in memory too. When the disk fails, in
//! an append or in a sync, the segment is given up, and all of that is written again into a fresh
//! one, which names the last batch that can be trusted. The same happens at each opening, with what
//! was found beyond the last point that was known to be durable.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

use crate::audit::durable_sink::{DurableSink, WriteOutcome};
use crate::audit::flush::FlushTicket;
use crate::audit::record::Record;
use crate::audit::view::Names;
use crate::base::clock::Timestamp;
use crate::journal::format::batch::{self, BatchHeader, body_sum};
use crate::journal::format::encode::Encoder;
use crate::journal::format::segment::{
    self, Point, SegmentHeader, UNFINISHED, close_mark, padding_before_mark,
};
use crate::journal::group_commit::SyncState;
use crate::journal::layout::orphans;
use crate::journal::storage::{Storage, StorageFile};

/// A batch is sealed at the first record that brings its body to this length: a reader holds one
/// batch at a time in its caches, and a torn one loses no more than this.
const FULL_BATCH: usize = 1 << 20;
/// With more than this not on the disk, the writer asks for a sync; with four times as much, it waits.
const MUCH_UNSYNCED: usize = 16 << 20;
/// Bodies whose room is kept for later ones.
const SPARE: usize = 8;

/// Where a journal goes on, and in which segments.
pub(crate) struct ResumePoint {
    /// Kept until the journal is closed.
    pub(crate) lock: Arc<dyn Any + Send + Sync>,
    pub(crate) journal: u128,
    pub(crate) opening: u64,
    /// The highest number that any segment has.
    pub(crate) newest_segment: u64,
    /// The last point that is known to be on the disk.
    pub(crate) trusted: Point,
    /// What was found beyond it: to be written again.
    pub(crate) found: Vec<(BatchHeader, Vec<u8>)>,
    pub(crate) opened_at: Timestamp,
}

/// A batch that may not be on the disk yet.
struct UnsyncedBatch {
    header: BatchHeader,
    /// As it was written: header and body.
    bytes: Vec<u8>,
    /// Where it lies; meaningless before it was written.
    point: Point,
}

/// The journal's writing end.
pub(crate) struct JournalWriter {
    storage: Arc<dyn Storage>,
    progress: Arc<SyncState>,
    /// `None`: the last one can't be trusted.
    file: Option<Arc<dyn StorageFile>>,
    lock: Option<Arc<dyn Any + Send + Sync>>,
    segment: SegmentHeader,
    newest_segment: u64,
    segment_bytes: u64,
    /// The end of what was sealed, and of what was written into the present segment.
    sealed: Point,
    written: Point,
    /// The end of what is known to be on the disk.
    trusted: Point,
    unsynced: VecDeque<UnsyncedBatch>,
    /// How many of `unsynced` are in the present segment.
    unsynced_written: usize,
    unsynced_bytes: usize,
    spare: Vec<Vec<u8>>,
    encoder: Encoder,
    closed: bool,
}

impl JournalWriter {
    /// Begins a fresh segment, and returns once it, what was found, and its name are on the disk.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        progress: Arc<SyncState>,
        segment_bytes: u64,
        from: ResumePoint,
    ) -> io::Result<Self> {
        let salts = StdRng::try_from_rng(&mut SysRng).map_err(io::Error::other)?;
        let segment = SegmentHeader {
            opening: from.opening,
            journal: from.journal,
            created_at: from.opened_at,
            ..SegmentHeader::default()
        };
        let mut journal = Self {
            storage,
            progress,
            file: None,
            lock: Some(from.lock),
            segment,
            newest_segment: from.newest_segment,
            segment_bytes,
            sealed: from.trusted,
            written: from.trusted,
            trusted: from.trusted,
            unsynced: VecDeque::new(),
            unsynced_written: 0,
            unsynced_bytes: 0,
            spare: Vec::new(),
            encoder: Encoder::new(salts),
            closed: false,
        };
        for (header, body) in from.found {
            journal.enqueue_found(header, &body);
        }
        for name in journal.storage.list()? {
            // What an attempt left that came to nothing.
            if name.strip_suffix(UNFINISHED).and_then(segment::number_of).is_some() {
                journal.storage.remove(&name)?;
            }
        }
        journal.start_afresh()?;
        journal.clear_given_up();
        Ok(journal)
    }

    /// Makes a batch of what was encoded.
    fn seal(&mut self, closed: bool) {
        let encoder = &self.encoder;
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.resize(batch::HEADER, 0);
        bytes.extend_from_slice(&encoder.records);
        bytes.extend_from_slice(&encoder.notes);
        let mut header = BatchHeader {
            records_length: encoder.records.len() as u32,
            notes_length: encoder.notes.len() as u32,
            entries: encoder.entry_count,
            records: encoder.record_count,
            closed,
            number: self.sealed.batch + 1,
            first_sequence: self.sealed.sequence + 1,
            durable: self.progress.durable(),
            base: encoder.base,
            body_sum: body_sum(&bytes[batch::HEADER..]),
            hash: self.sealed.hash,
        };
        header.hash = header.chain(&self.sealed.hash, &encoder.records);
        self.encoder.clear();
        self.enqueue(header, bytes);
    }

    fn enqueue_found(&mut self, header: BatchHeader, body: &[u8]) {
        let mut bytes = vec![0; batch::HEADER];
        bytes.extend_from_slice(body);
        self.enqueue(header, bytes);
    }

    fn enqueue(&mut self, header: BatchHeader, bytes: Vec<u8>) {
        self.sealed = Point {
            batch: header.number,
            sequence: header.end() - 1,
            hash: header.hash,
            ..Point::START
        };
        self.unsynced_bytes += bytes.len();
        self.unsynced.push_back(UnsyncedBatch { header, bytes, point: self.sealed });
    }

    fn write_unsynced(&mut self) -> io::Result<()> {
        while self.unsynced_written < self.unsynced.len() {
            if self.written.length >= self.segment_bytes {
                self.rotate()?;
            }
            let (Some(file), Some(batch)) =
                (&self.file, self.unsynced.get_mut(self.unsynced_written))
            else {
                return Err(io::Error::other("no segment is open"));
            };
            batch.place(self.segment.number, self.written.length);
            file.append(&batch.bytes)?;
            self.written = batch.point;
            self.unsynced_written += 1;
        }
        self.progress.wrote(self.written);
        Ok(())
    }

    /// Goes on in the next segment, without waiting for the disk.
    fn rotate(&mut self) -> io::Result<()> {
        let header = SegmentHeader {
            number: self.newest_segment + 1,
            base: self.written,
            durable: self.progress.durable(),
            ..self.segment
        };
        let file = self.storage.create(&segment::name_of(header.number))?;
        self.newest_segment = header.number;
        file.append(&header.to_bytes())?;
        self.progress.add(header.number, Arc::clone(&file));
        (self.segment, self.file) = (header, Some(file));
        (self.written.segment, self.written.length) = (header.number, segment::HEADER as u64);
        Ok(())
    }

    /// Gives up what is not trusted, and writes it again into a fresh segment. That gets its name once
    /// all of it is on the disk, so that a crash here leaves either the old state or the new one.
    fn start_afresh(&mut self) -> io::Result<()> {
        self.check_what_is_continued()?;
        // Even one that failed early may have left a file.
        self.newest_segment += 1;
        let header = SegmentHeader {
            number: self.newest_segment,
            base: self.trusted,
            durable: self.sealed.batch,
            ..self.segment
        };
        let name = segment::name_of(header.number);
        let unfinished = format!("{name}{UNFINISHED}");
        let (file, length) = match self.write_afresh(&unfinished, header) {
            Ok(written) => written,
            Err(error) => {
                // A full disk must not fill up further with each attempt. What can't be removed now is
                // removed at the next opening.
                let _ = self.storage.remove(&unfinished);
                return Err(error);
            }
        };
        self.storage.rename(&unfinished, &name)?;
        self.storage.sync_directory()?;
        self.written = Point { segment: header.number, length, ..self.sealed };
        self.progress.begin(Arc::clone(&file), self.written);
        (self.segment, self.file) = (header, Some(file));
        self.trusted = self.written;
        self.unsynced_written = self.unsynced.len();
        self.let_go_of_durable();
        Ok(())
    }

    /// Whether the segment that a fresh one will name is still there: where somebody has taken the
    /// directory away and put an empty one in its place, a journal that goes on there could never be
    /// read.
    fn check_what_is_continued(&self) -> io::Result<()> {
        let segment = self.trusted.segment;
        if segment > 0 && self.storage.read(&segment::name_of(segment), 0, 1)?.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Writes a fresh segment and syncs it; returns the file and its length.
    fn write_afresh(
        &mut self,
        name: &str,
        header: SegmentHeader,
    ) -> io::Result<(Arc<dyn StorageFile>, u64)> {
        let file = self.storage.create(name)?;
        file.append(&header.to_bytes())?;
        let mut length = segment::HEADER as u64;
        for batch in &mut self.unsynced {
            batch.place(header.number, length);
            file.append(&batch.bytes)?;
            length = batch.point.length;
        }
        file.sync()?;
        Ok((file, length))
    }

    /// Forgets what has reached the disk.
    fn let_go_of_durable(&mut self) {
        let durable = self.progress.durable();
        while self.unsynced_written > 0
            && self.unsynced.front().is_some_and(|batch| batch.header.number <= durable)
            && let Some(batch) = self.unsynced.pop_front()
        {
            self.unsynced_written -= 1;
            self.unsynced_bytes -= batch.bytes.len();
            self.trusted = batch.point;
            if self.spare.len() < SPARE {
                let mut bytes = batch.bytes;
                bytes.clear();
                self.spare.push(bytes);
            }
        }
    }

    /// Once all is on the disk, a closing batch; once that is, the mark.
    fn try_close(&mut self) -> io::Result<()> {
        self.write()?;
        // Who finds the closing batch may take it that all before is on the disk.
        #[cfg(not(planted = "closed_before_synced"))]
        self.sync_now()?;
        self.encoder.base = self.segment.created_at;
        self.seal(true);
        self.write()?;
        self.sync_now()?;
        let Some(file) = &self.file else { return Err(io::Error::other("no segment is open")) };
        let padding = padding_before_mark(self.written.length);
        let mut mark = vec![0; padding];
        mark.extend_from_slice(&close_mark(&self.written.hash, self.segment.number));
        file.append(&mark)?;
        file.sync()?;
        self.clear_given_up();
        Ok(())
    }

    /// Takes away what crashes and failing disks have left, so that every byte that there is counts. Not
    /// while the disk fails: subscribers and copies may be reading there.
    fn clear_given_up(&self) {
        // What can't be taken away now, the next opening takes.
        let _ = orphans::clear(&*self.storage);
    }
}

impl DurableSink for JournalWriter {
    fn next_sequence(&self) -> u64 {
        self.sealed.sequence + 1
    }

    fn spawn(&self) -> io::Result<()> {
        self.progress.spawn()
    }

    fn take(&mut self, records: &[Record], names: &dyn Names) {
        for record in records {
            self.encoder.put(record, names);
            if self.encoder.len() >= FULL_BATCH {
                self.seal(false);
            }
        }
        if !self.encoder.is_empty() {
            self.seal(false);
        }
    }

    fn write(&mut self) -> io::Result<WriteOutcome> {
        if self.closed {
            return Ok(WriteOutcome::Appended);
        }
        if self.progress.failure().is_some() {
            self.file = None;
        }
        self.let_go_of_durable();
        if self.file.is_none() {
            return self.start_afresh().map(|()| WriteOutcome::StartedOver);
        }
        let written = self.write_unsynced();
        if written.is_err() {
            // Nobody knows how much of it is there.
            self.file = None;
        } else if self.unsynced_bytes > 4 * MUCH_UNSYNCED {
            self.progress.wait_for(self.written.batch);
        } else if self.unsynced_bytes > MUCH_UNSYNCED {
            self.progress.hurry();
        }
        written.map(|()| WriteOutcome::Appended)
    }

    fn has_failed(&self) -> bool {
        !self.closed && (self.file.is_none() || self.progress.failure().is_some())
    }

    // Whoever asks wants all that was written to lie in segments that nobody writes any more.
    fn rotate_if_asked(&mut self) -> io::Result<()> {
        let has_batches = self.written.length > segment::HEADER as u64;
        if self.closed || self.file.is_none() || !self.progress.take_wish() || !has_batches {
            return Ok(());
        }
        if cfg!(planted = "erased_without_rotation") {
            return Ok(());
        }
        let rotated = self.rotate();
        if rotated.is_err() {
            // What it left behind is in the way.
            self.file = None;
        }
        rotated
    }

    fn when_durable(&self, tickets: &[Arc<FlushTicket>]) {
        self.progress.when_durable(tickets);
    }

    fn sync_now(&self) -> io::Result<()> {
        self.progress.sync_now()
    }

    fn close(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let closed = self.try_close();
        self.closed = true;
        self.progress.end();
        self.lock = None;
        closed
    }
}

impl UnsyncedBatch {
    /// Readies the batch for its place: at `offset` of a segment.
    fn place(&mut self, segment: u64, offset: u64) {
        self.bytes[..batch::HEADER].copy_from_slice(&self.header.to_bytes(segment));
        self.point.segment = segment;
        self.point.length = offset + self.bytes.len() as u64;
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        // Without a `close` this is as good as a crash.
        self.progress.end();
    }
}

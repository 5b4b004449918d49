//! The journal's writer: appends to the write-ahead log. The audit writer's thread owns it.
//!
//! Batches that are not known to be on the disk stay in memory, too. If an append or a sync fails,
//! the writer abandons the segment, because nobody knows which of its bytes are on the disk. It
//! writes all those batches again into a new segment, which names the last durable batch as its
//! base. Each opening does the same with the batches that it found behind the last point known to
//! be durable.
//!
//! A failed sync is never tried again on the same file. The operating system may have dropped the
//! dirty pages and report success the next time; see Rebello et al., "Can Applications Recover from
//! fsync Failures?" (USENIX ATC 2020).

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

use crate::audit::durable_sink::{DurableSink, SharedSync, WriteOutcome};
use crate::audit::flush::FlushTicket;
use crate::audit::record::Record;
use crate::audit::view::Names;
use crate::base::clock::Timestamp;
use crate::journal::format::batch::{self, BatchHeader, body_sum};
use crate::journal::format::encode::Encoder;
use crate::journal::format::segment::{
    self, Point, SegmentHeader, Start, UNFINISHED, padded_close_mark,
};
use crate::journal::group_commit::SyncState;
use crate::journal::layout::trusted_end::TrustedEnd;
use crate::journal::layout::{failed, orphans, sync_mark};
use crate::journal::storage::{Storage, StorageFile, place};

/// A batch is sealed at the first record that brings its body to this many bytes. A reader keeps
/// one batch at a time in its caches, and a torn batch loses no more than this.
const BATCH_BYTES_TARGET: usize = 1 << 20;
/// With more unsynced bytes than this, the writer asks for a sync. With four times as many, it
/// waits for the disk: that is the back-pressure of the journal.
const UNSYNCED_BYTES_SOFT_MAX: usize = 16 << 20;
/// How many buffers of synced batches are kept for reuse.
const FREE_BUFFERS_MAX: usize = 8;

/// Where an opened journal is continued.
pub(crate) struct ResumePoint {
    /// The storage's lock, held until the journal is closed.
    pub(crate) lock: Arc<dyn Any + Send + Sync>,
    pub(crate) journal: u128,
    pub(crate) opening: u64,
    /// The highest number of any segment, readable or not.
    pub(crate) newest_segment: u64,
    /// The last point known to be durable. The new segment continues from here.
    pub(crate) trusted: Point,
    /// The valid batches behind `trusted`: header and body. They are written again.
    pub(crate) found: Vec<(BatchHeader, Vec<u8>)>,
    pub(crate) opened_at: Timestamp,
}

/// A sealed batch that is not known to be durable.
struct UnsyncedBatch {
    header: BatchHeader,
    /// Header and body, as they are written.
    bytes: Vec<u8>,
    /// The end of the batch. Segment and length mean nothing until it is written.
    point: Point,
}

/// The journal's writer.
pub(crate) struct JournalWriter {
    storage: Arc<dyn Storage>,
    progress: Arc<SyncState>,
    /// The current segment. `None` after a failure: the last one must be abandoned.
    file: Option<Arc<dyn StorageFile>>,
    lock: Option<Arc<dyn Any + Send + Sync>>,
    segment: SegmentHeader,
    newest_segment: u64,
    /// The highest number of any segment that the opening found, of whatever journal.
    found_newest: u64,
    segment_bytes: u64,
    /// The ends of the last sealed batch, and of the last batch in the current segment.
    sealed: Point,
    written: Point,
    /// The last point known to be durable.
    trusted: Point,
    trusted_end: TrustedEnd,
    unsynced: VecDeque<UnsyncedBatch>,
    /// How many batches of `unsynced` are already in the current segment.
    unsynced_written: usize,
    unsynced_bytes: usize,
    free_buffers: Vec<Vec<u8>>,
    encoder: Encoder,
    closed: bool,
}

impl JournalWriter {
    /// Starts a new segment. Waits for the disk: returns once the segment, the batches of
    /// `from.found` in it, and its name are durable.
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
        progress.announce(from.newest_segment);
        let mut journal = Self {
            storage,
            progress,
            file: None,
            lock: Some(from.lock),
            segment,
            newest_segment: from.newest_segment,
            found_newest: from.newest_segment,
            segment_bytes,
            sealed: from.trusted,
            written: from.trusted,
            trusted: from.trusted,
            trusted_end: TrustedEnd::found(from.trusted.segment, from.trusted.length),
            unsynced: VecDeque::new(),
            unsynced_written: 0,
            unsynced_bytes: 0,
            free_buffers: Vec::new(),
            encoder: Encoder::new(salts),
            closed: false,
        };
        for (header, body) in from.found {
            journal.enqueue_recovered(header, &body);
        }
        for name in journal.storage.list()? {
            // An earlier attempt failed before it could give the segment, or the marks, their name.
            let finished = name.strip_suffix(UNFINISHED).unwrap_or_default();
            if segment::number_of(finished).is_some() || finished == sync_mark::NAME {
                journal.storage.remove(&name).map_err(|it| naming("remove", &name, &it))?;
            }
        }
        journal.progress.begin_marks(from.journal, from.opening);
        journal.start_new_segment()?;
        journal.remove_orphans();
        Ok(journal)
    }

    /// Seals the encoded records as a batch.
    fn seal(&mut self, closed: bool) {
        let encoder = &self.encoder;
        let mut bytes = self.free_buffers.pop().unwrap_or_default();
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

    fn enqueue_recovered(&mut self, header: BatchHeader, body: &[u8]) {
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
            batch.set_place(self.segment.number, self.written.length);
            file.append(&batch.bytes)?;
            self.progress.note_appended(batch.bytes.len());
            self.written = batch.point;
            self.unsynced_written += 1;
        }
        self.progress.note_written(self.written);
        Ok(())
    }

    /// Starts the next segment, without waiting for the disk.
    fn rotate(&mut self) -> io::Result<()> {
        let header = SegmentHeader {
            number: self.newest_segment + 1,
            base: self.written,
            durable: self.progress.durable(),
            ..self.segment
        };
        self.progress.compare_place_now().map_err(io::Error::other)?;
        self.progress.announce(header.number);
        let name = segment::name_of(header.number);
        let file = self.storage.create(&name).map_err(|error| naming("create", &name, &error))?;
        self.newest_segment = header.number;
        file.append(&header.to_bytes())?;
        self.progress.note_appended(segment::HEADER);
        self.progress.add_file(header.number, Arc::clone(&file));
        (self.segment, self.file) = (header, Some(file));
        (self.written.segment, self.written.length) = (header.number, segment::HEADER as u64);
        Ok(())
    }

    /// Abandons all that is not durable in the current segment, and writes it again into a new one.
    /// The new segment gets its name once all its bytes are on the disk, so a crash in here leaves
    /// either the old state or the new one.
    fn start_new_segment(&mut self) -> io::Result<()> {
        self.check_place()?;
        self.trusted_end.check(&*self.storage, self.segment.number)?;
        // A failed attempt may have left a file, so no number is used twice.
        self.newest_segment += 1;
        self.progress.announce(self.newest_segment);
        let header = SegmentHeader {
            number: self.newest_segment,
            base: self.trusted,
            durable: self.sealed.batch,
            ..self.segment
        };
        let name = segment::name_of(header.number);
        let unfinished = format!("{name}{UNFINISHED}");
        let (file, length) = match self.write_new_segment(&unfinished, header) {
            Ok(written) => written,
            Err(error) => {
                // Repeated attempts must not fill up a full disk. If the file can't be removed now,
                // the next opening removes it.
                let _ = self.storage.remove(&unfinished);
                return Err(error);
            }
        };
        let renamed = self.storage.rename(&unfinished, &name);
        renamed.map_err(|error| naming("rename", &unfinished, &error))?;
        self.storage.sync_directory()?;
        // From here on, the batches count as durable, and those who wait for them are told.
        let begun = [(header.number, Arc::clone(&file))];
        self.progress.compare_place(&begun).map_err(io::Error::other)?;
        self.written = Point { segment: header.number, length, ..self.sealed };
        // Before the old segment's tail is cut: its batches are only in the new one then.
        self.progress.mark_synced(self.written);
        self.progress.restart_with(Arc::clone(&file), self.written);
        (self.segment, self.file) = (header, Some(file));
        self.trusted = self.written;
        let (start, of_start) = (header.to_bytes(), segment::HEADER as u64);
        self.trusted_end.wrote(header.number, of_start, &start);
        self.unsynced_written = self.unsynced.len();
        self.drop_durable();
        Ok(())
    }

    /// Checks that the place is the journal's own, and that no other engine has opened the journal
    /// since: it would have begun a segment, and what this one wrote would lie beside it.
    fn check_place(&self) -> io::Result<()> {
        self.progress.compare_place_now().map_err(io::Error::other)?;
        let known = self.trusted.segment.max(self.found_newest);
        for name in self.storage.list()? {
            let Some(number) = segment::number_of(&name).filter(|it| *it > known) else {
                continue;
            };
            let bytes = self.storage.read(&name, 0, segment::HEADER as u64)?;
            if let Start::Header(header) = SegmentHeader::read(&bytes)
                && (header.journal != self.segment.journal || header.opening > self.segment.opening)
            {
                let error = place::foreign_segment(&*self.storage, number);
                return Err(io::Error::other(error));
            }
        }
        Ok(())
    }

    /// Writes a new segment and syncs it. Returns the file and its length.
    fn write_new_segment(
        &mut self,
        name: &str,
        header: SegmentHeader,
    ) -> io::Result<(Arc<dyn StorageFile>, u64)> {
        let file = self.storage.create(name).map_err(|error| naming("create", name, &error))?;
        file.append(&header.to_bytes())?;
        let mut length = segment::HEADER as u64;
        for batch in &mut self.unsynced {
            batch.set_place(header.number, length);
            file.append(&batch.bytes)?;
            length = batch.point.length;
        }
        self.progress.note_appended(length as usize);
        file.sync()?;
        // Before the segment gets its name: somebody else's journal must not get it.
        self.progress.compare_place_now().map_err(io::Error::other)?;
        Ok((file, length))
    }

    /// Drops the batches that are now durable, and keeps some of their buffers for reuse.
    fn drop_durable(&mut self) {
        let durable = self.progress.durable();
        while self.unsynced_written > 0
            && self.unsynced.front().is_some_and(|batch| batch.header.number <= durable)
            && let Some(batch) = self.unsynced.pop_front()
        {
            self.unsynced_written -= 1;
            self.unsynced_bytes -= batch.bytes.len();
            let UnsyncedBatch { bytes, point, .. } = &batch;
            self.trusted = *point;
            self.trusted_end.wrote(point.segment, point.length, bytes);
            if self.free_buffers.len() < FREE_BUFFERS_MAX {
                let mut bytes = batch.bytes;
                bytes.clear();
                self.free_buffers.push(bytes);
            }
        }
    }

    /// Syncs everything, then writes and syncs a closing batch, then the close mark.
    fn try_close(&mut self) -> io::Result<()> {
        self.write()?;
        // The closing batch says that all batches before it are durable. So sync them first.
        self.sync_now()?;
        self.encoder.base = self.segment.created_at;
        self.seal(true);
        self.write()?;
        self.sync_now()?;
        // Before the close mark, after which no byte of the journal may be in doubt.
        self.progress.seal_marks();
        let Some(file) = &self.file else { return Err(io::Error::other("no segment is open")) };
        let end = self.written.length;
        file.append(&padded_close_mark(end, &self.written.hash, self.segment.number))?;
        file.sync()?;
        self.remove_orphans();
        Ok(())
    }

    /// Removes torn tails and abandoned segments that crashes and disk failures left, so that every
    /// byte in the directory is part of the journal. Not called while the disk fails: subscribers
    /// and backups may still read those files.
    fn remove_orphans(&self) {
        // On failure they stay. They do not count, and the next opening tries again.
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
            if self.encoder.len() >= BATCH_BYTES_TARGET {
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
        self.drop_durable();
        if self.file.is_none() {
            return self.start_new_segment().map(|()| WriteOutcome::StartedOver);
        }
        let written = self.write_unsynced();
        if written.is_err() {
            // The append may have written any part of the batch.
            self.file = None;
        } else if self.unsynced_bytes > 4 * UNSYNCED_BYTES_SOFT_MAX {
            self.progress.wait_for(self.written.batch);
        } else if self.unsynced_bytes > UNSYNCED_BYTES_SOFT_MAX {
            self.progress.request_sync();
        }
        written.map(|()| WriteOutcome::Appended)
    }

    fn has_failed(&self) -> bool {
        !self.closed && (self.file.is_none() || self.progress.failure().is_some())
    }

    // A redaction asks for a rotation before it replaces files of segments. After it, all written
    // batches are in segments that nobody appends to any more.
    fn rotate_if_asked(&mut self) -> io::Result<()> {
        let has_batches = self.written.length > segment::HEADER as u64;
        if self.closed
            || self.file.is_none()
            || !self.progress.take_rotation_request()
            || !has_batches
        {
            return Ok(());
        }
        let rotated = self.rotate();
        if rotated.is_err() {
            // The failed attempt may have left a file of that name.
            self.file = None;
        }
        rotated
    }

    fn when_durable(&self, tickets: &[Arc<FlushTicket>]) {
        self.progress.when_durable(tickets);
    }

    fn when_synced(&self, tickets: &[Arc<FlushTicket>]) {
        self.progress.when_synced(tickets);
    }

    fn shared_sync(&self) -> Arc<dyn SharedSync> {
        Arc::clone(&self.progress) as _
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

/// The error of a storage, with the name of the file.
fn naming(action: &'static str, name: &str, error: &io::Error) -> io::Error {
    io::Error::other(failed(action, name, error))
}

impl UnsyncedBatch {
    /// Sets the place of the batch, at `offset` of a segment, and the header bytes for it.
    fn set_place(&mut self, segment: u64, offset: u64) {
        self.bytes[..batch::HEADER].copy_from_slice(&self.header.to_bytes(segment));
        self.point.segment = segment;
        self.point.length = offset + self.bytes.len() as u64;
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        // Without a `close` before, the journal ends as after a crash.
        self.progress.end();
    }
}

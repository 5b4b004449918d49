//! Retention: how long a journal keeps its old segments, and where they go then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::base::foreign::Watch;
use crate::journal::format::batch::{self, BatchHeader};
use crate::journal::format::segment::{self, SegmentHeader, Start, UNFINISHED};
use crate::journal::layout::begin_mark::{self, BeginMark};
use crate::journal::layout::checkpoint_file;
use crate::journal::layout::consumer_file;
use crate::journal::layout::{JournalDir, PathSegment, failed, remove_file};
use crate::journal::ledger::clock::JournalClock;
use crate::journal::recovery::start;
use crate::journal::storage::Storage;
use crate::journal::storage::files::FileStorage;
use crate::journal::storage::guarded::GuardedStorage;

/// How many checkpoints a journal keeps: the newest, and one more in case the newest gets damaged.
pub(crate) const KEPT: usize = 2;

/// What happens to a journal's old segments; see
/// [`JournalOptions::retention`](crate::JournalOptions::retention).
///
/// Only segments that no recovery needs can go: those that both kept checkpoints cover. Of these,
/// all go by default. [`older_than`](Self::older_than) and [`over_bytes`](Self::over_bytes)
/// restrict that; then the oldest go first. If both are set, a segment goes as soon as one of them
/// allows it.
///
/// The auditor trims after each checkpoint. No movement of units waits for that.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-trim-{}", std::process::id()));
/// use std::time::Duration;
/// use stockade::{InventoryManager, JournalOptions, JournalReader, JournalRetention};
/// let (here, archive) = (directory.join("journal"), directory.join("archive"));
/// let keep = JournalRetention::archive(&archive)
///     .older_than(Duration::from_secs(7 * 24 * 60 * 60))
///     .over_bytes(20 << 30);
/// let journal = JournalOptions::directory(&here).retention(keep);
/// let manager = InventoryManager::builder().warehouse("SF").journal(journal).build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// drop(manager);
/// // With the archive, the reader sees all entries, from the first on.
/// assert_eq!(JournalReader::new(&here).archive(&archive).verify(None)?.oldest, 1);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "it says nothing until a builder has it"]
pub struct JournalRetention {
    old_segments: OldSegments,
    age: Option<Duration>,
    bytes: Option<u64>,
    consumer_lag: ConsumerLag,
}

/// How far a consumer may be behind before its segments are removed all the same.
#[derive(Clone, Copy)]
struct ConsumerLag {
    bytes: u64,
    age: Duration,
}

impl Default for ConsumerLag {
    fn default() -> Self {
        Self { bytes: 8 << 30, age: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

#[derive(Clone, Default)]
/// What happens to segments that no recovery needs.
enum OldSegments {
    #[default]
    Keep,
    Remove,
    /// Also the archive's directory, if it was given as one.
    Archive(Arc<dyn Storage>, Option<FileStorage>),
}

impl JournalRetention {
    /// Keeps all segments in the journal's directory. The default.
    pub fn keep_all() -> Self {
        Self::default()
    }

    /// Moves old segments to `directory`, which is created if it does not exist. Each segment is
    /// copied, synced, and only then removed from the journal. Each journal needs an archive
    /// directory of its own.
    pub fn archive(directory: impl Into<PathBuf>) -> Self {
        let files = FileStorage::new(directory);
        let archive = OldSegments::Archive(Arc::new(files.clone()), Some(files));
        Self { old_segments: archive, ..Self::default() }
    }

    /// Like [`archive`](Self::archive), on another storage than a directory.
    pub fn archive_on(storage: impl Storage) -> Self {
        let archive = OldSegments::Archive(Arc::new(storage), None);
        Self { old_segments: archive, ..Self::default() }
    }

    /// Removes old segments. Their entries are lost. The stock, holds and keys that they add up to
    /// stay, in the checkpoints.
    pub fn remove() -> Self {
        Self { old_segments: OldSegments::Remove, ..Self::default() }
    }

    /// Lets a segment go when all its entries are older than the newest entry, by `age` or more.
    ///
    /// Age is counted in *journal time*: the time that engines have run, and the time between two
    /// openings, of that 24 hours at most. So a session whose clock was wrong adds a day at most,
    /// and a journal that nobody opens for a month grows a day older. Entries from before the
    /// library counted so are as old as the first one that it has counted.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Lets segments go while the journal's segments have more than `bytes` bytes together.
    /// Archived segments do not count.
    pub fn over_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// How long retention waits for named [consumers](crate::InventoryManager::consumer) before it
    /// removes segments that one of them has not acknowledged: until the segments from there on
    /// have more than `bytes` bytes together, or until all entries of the segment are older than
    /// the newest entry by `age` or more. So a dead consumer does not fill the disk.
    /// [`health`](crate::InventoryManager::health) names a consumer that was left behind.
    ///
    /// Default: 8 GiB and 7 days. An archive waits for nobody, because subscriptions reach back
    /// into it.
    pub fn max_consumer_lag(mut self, bytes: u64, age: Duration) -> Self {
        self.consumer_lag = ConsumerLag { bytes, age };
        self
    }

    /// The bytes and the age of [`max_consumer_lag`](Self::max_consumer_lag).
    #[cfg(feature = "serde")]
    pub(crate) fn consumer_lag(&self) -> (u64, Duration) {
        (self.consumer_lag.bytes, self.consumer_lag.age)
    }

    /// Whether segments are removed for good.
    pub(crate) fn removes(&self) -> bool {
        matches!(self.old_segments, OldSegments::Remove)
    }

    /// Whether any segment can ever go.
    pub(crate) fn trims(&self) -> bool {
        !matches!(self.old_segments, OldSegments::Keep)
    }

    /// The archive, if segments are archived.
    pub(crate) fn archive_storage(&self) -> Option<Arc<dyn Storage>> {
        match &self.old_segments {
            OldSegments::Archive(archive, _) => Some(Arc::clone(archive)),
            OldSegments::Keep | OldSegments::Remove => None,
        }
    }

    /// Sets the mode of the files in an archive that was given as a directory.
    pub(crate) fn set_file_mode(&mut self, mode: u32) {
        if let OldSegments::Archive(archive, Some(files)) = &mut self.old_segments {
            *archive = Arc::new(files.clone().file_mode(mode));
        }
    }

    /// Catches what an archive of another's code may do to the thread that calls it, and watches
    /// how long it takes.
    pub(crate) fn guard_archive(&mut self, watch: &Arc<Watch>) {
        if let OldSegments::Archive(archive, _) = &mut self.old_segments {
            *archive = Arc::new(GuardedStorage::new(Arc::clone(archive), Arc::clone(watch)));
        }
    }

    /// Archives or removes the segments that are to go. `clock` tells how old they are. A crash at
    /// any point leaves a readable journal, and the next call finishes the work.
    ///
    /// # Errors
    /// The storages' errors; [`JournalError::OtherJournal`] if the archive belongs to another
    /// journal.
    pub(crate) fn apply(
        &self,
        storage: &dyn Storage,
        clock: &JournalClock,
    ) -> Result<(), JournalError> {
        if !self.trims() {
            return Ok(());
        }
        let dir = JournalDir::find(storage)?;
        let path = &dir.layout.path;
        let Some(covered) = covered(&dir)? else { return Ok(()) };
        let goes = self.how_many_go(storage, path, covered, clock)?;
        let goes = self.spare_consumers(storage, path, goes, clock)?;
        let Some(first) = path.get(goes).filter(|_| goes > 0) else { return Ok(()) };
        if let OldSegments::Archive(archive, _) = &self.old_segments {
            copy_all(storage, &**archive, &path[..goes])?;
        }
        let before = begin_mark::read(storage)?.is_some_and(|mark| mark.archived);
        let base = first.header.base;
        let mark = BeginMark {
            journal: first.header.journal,
            segment: first.header.number,
            batch: base.batch,
            sequence: base.sequence,
            hash: base.hash,
            archived: before || matches!(self.old_segments, OldSegments::Archive(..)),
        };
        begin_mark::write(storage, mark)?;
        remove_below(storage, mark.segment)
    }

    /// How many of the first `covered` segments are to go.
    fn how_many_go(
        &self,
        storage: &dyn Storage,
        path: &[PathSegment],
        covered: usize,
        clock: &JournalClock,
    ) -> Result<usize, JournalError> {
        if self.age.is_none() && self.bytes.is_none() {
            return Ok(covered);
        }
        let length = |it: &PathSegment| {
            storage.length(&it.name).map_err(|error| failed("read", &it.name, &error))
        };
        let mut bytes = path.iter().map(length).sum::<Result<u64, _>>()?;
        for (index, segment) in path[..covered].iter().enumerate() {
            let is_over = self.bytes.is_some_and(|most| bytes > most);
            let is_old = match self.age {
                Some(age) => first_behind(storage, &path[index + 1..])?
                    .is_some_and(|(next, at)| clock.since_entry_before(next, at) >= age),
                None => false,
            };
            if !is_over && !is_old {
                return Ok(index);
            }
            bytes -= length(segment)?;
        }
        Ok(covered)
    }
}

impl JournalRetention {
    /// How many of the first `goes` segments may go, if those stay that consumers wait for and
    /// that are within the bounds of their lag.
    fn spare_consumers(
        &self,
        storage: &dyn Storage,
        path: &[PathSegment],
        goes: usize,
        clock: &JournalClock,
    ) -> Result<usize, JournalError> {
        let begin = path.first().map_or(0, |it| it.header.base.sequence);
        let consumers = if self.removes() { consumer_file::list(storage)? } else { Vec::new() };
        // Nothing can be done for a consumer that has missed entries before.
        let waiting = consumers.iter().map(|it| it.position.sequence).filter(|it| *it >= begin);
        let Some(oldest) = waiting.min() else { return Ok(goes) };
        // The segment that holds the entry stays, too: it tells whether the position is still one
        // of this history.
        let holds = |next: &PathSegment| next.header.base.sequence >= oldest;
        let needed = path.iter().skip(1).position(holds).unwrap_or(path.len());
        for index in needed..goes {
            let mut bytes = 0;
            for it in &path[index..] {
                let length = storage.length(&it.name);
                bytes += length.map_err(|error| failed("read", &it.name, &error))?;
            }
            let is_old = first_behind(storage, &path[index + 1..])?.is_some_and(|(next, at)| {
                clock.since_entry_before(next, at) >= self.consumer_lag.age
            });
            if bytes <= self.consumer_lag.bytes && !is_old {
                return Ok(index);
            }
        }
        Ok(goes)
    }
}

impl std::fmt::Debug for JournalRetention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let old_segments = match self.old_segments {
            OldSegments::Keep => "stay",
            OldSegments::Remove => "go",
            OldSegments::Archive(..) => "archive",
        };
        let Self { age, bytes, .. } = self;
        let mut shown = f.debug_struct("JournalRetention");
        shown
            .field("old_segments", &old_segments)
            .field("older_than", age)
            .field("over_bytes", bytes);
        shown.finish()
    }
}

/// How many of the oldest segments no recovery needs, even if it finds the newest checkpoint
/// damaged; `None` if there are fewer than [`KEPT`] checkpoints. Reads the whole older checkpoint,
/// and so checks it: it may be the last one left.
fn covered(dir: &JournalDir<'_>) -> Result<Option<usize>, JournalError> {
    let names = checkpoint_file::list(dir.storage)?;
    if names.len() < KEPT {
        return Ok(None);
    }
    let oldest = names.last();
    let Some(oldest) = oldest else { return Ok(None) };
    let (header, _) = checkpoint_file::read(dir.storage, oldest)?;
    start::segment_of(dir, oldest, &header).map(Some)
}

/// The first entry behind the previous segment, and the time of its batch. `None` if no batch
/// follows yet.
fn first_behind(
    storage: &dyn Storage,
    after: &[PathSegment],
) -> Result<Option<(u64, Timestamp)>, JournalError> {
    for next in after {
        let (from, length) = (segment::HEADER as u64, batch::HEADER as u64);
        let bytes = storage.read(&next.name, from, length);
        let bytes = bytes.map_err(|error| failed("read", &next.name, &error))?;
        if let Some(first) = BatchHeader::from_bytes(&bytes, next.header.number) {
            return Ok(Some((first.first_sequence, first.base)));
        }
    }
    Ok(None)
}

/// Copies segments to the archive. A segment that is there already is replaced atomically.
fn copy_all(
    storage: &dyn Storage,
    archive: &dyn Storage,
    segments: &[PathSegment],
) -> Result<(), JournalError> {
    let _lock = archive.lock().map_err(|error| failed("lock", "the archive", &error))?;
    for it in segments {
        let to_error = |error| failed("archive", &it.name, &error);
        match archive.read(&it.name, 0, segment::HEADER as u64) {
            Ok(bytes) => check_owner(&bytes, it)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(to_error(error)),
        }
        let unfinished = format!("{}{UNFINISHED}", it.name);
        remove_file(archive, &unfinished)?;
        copy(storage, archive, &it.name, &unfinished, it.limit).map_err(to_error)?;
        archive.rename(&unfinished, &it.name).map_err(to_error)?;
    }
    archive.sync_directory().map_err(|error| failed("sync", "the archive", &error))
}

/// Refuses to replace a segment of another journal. A file that can't be read as a segment may be
/// replaced.
fn check_owner(there: &[u8], own: &PathSegment) -> Result<(), JournalError> {
    match SegmentHeader::read(there) {
        Start::Header(header) if header.journal != own.header.journal => {
            Err(JournalError::OtherJournal { file: own.name.clone() })
        }
        _ => Ok(()),
    }
}

/// Copies the first `length` bytes of a file. Returns once they are on the disk.
pub(crate) fn copy(
    from: &dyn Storage,
    to: &dyn Storage,
    name: &str,
    as_name: &str,
    length: u64,
) -> std::io::Result<()> {
    const CHUNK: u64 = 4 << 20;
    let file = to.create(as_name)?;
    let mut offset = 0;
    while offset < length {
        let bytes = from.read(name, offset, CHUNK.min(length - offset))?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.append(&bytes)?;
        offset += bytes.len() as u64;
    }
    file.sync()
}

/// Removes all segments below number `first`, oldest first, also those that are not on the
/// journal's path.
fn remove_below(storage: &dyn Storage, first: u64) -> Result<(), JournalError> {
    let names = storage.list().map_err(|error| failed("list", "", &error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.retain(|number| *number < first);
    numbers.sort_unstable();
    for number in numbers {
        remove_file(storage, &segment::name_of(number))?;
    }
    storage.sync_directory().map_err(|error| failed("sync", "", &error))
}

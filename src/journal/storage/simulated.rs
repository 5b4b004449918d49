//! A simulated disk in memory. It keeps written bytes apart from synced bytes, fails on command,
//! and shows what a power cut at any step would leave.
//!
//! A crash may do what POSIX allows:
//!
//! - Of the unsynced bytes, any subset of the sectors survives, in any order, with zeros between.
//! - Of the files created, renamed or removed since the last sync of the directory, any first part
//!   of the changes survives.
//! - A file that was cut may have its old length again.
//!
//! Synced bytes survive, unless the disk was told to lie.

mod crash;

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::storage::{PlacePart, Storage, StorageFile, StorageIdentity};

use crash::{Content, apply_change};

/// A simulated disk, for crash tests. Clones share the same disk. No method waits for anything but
/// a short lock.
///
/// ```
/// use stockade::testing::SimulatedDisk;
/// use stockade::InventoryManager;
///
/// let disk = SimulatedDisk::new();
/// let manager = InventoryManager::builder().warehouse("SF").journal(disk.clone()).build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// manager.flush().wait()?;
///
/// // The power goes, and nothing that was not synced is left.
/// let after = disk.crash(disk.steps(), |_| false);
/// let again = InventoryManager::builder().warehouse("SF").journal(after).build()?;
/// assert_eq!(again.available(("SF", "LAPTOP"))?, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<DiskState>>,
}

#[derive(Default)]
struct DiskState {
    /// The device in the identities of files.
    device: u64,
    /// The number of each of `contents` in its identity.
    numbers: Vec<u64>,
    /// All changes ever made, in order.
    steps: Vec<DiskStep>,
    /// The files as the running process sees them: the index of each name in `contents`.
    files: BTreeMap<String, usize>,
    contents: Vec<Vec<u8>>,
    locked: bool,
    fail_syncs: bool,
    fail_appends: bool,
    lies: bool,
    /// How many bytes still fit; `None`: any number.
    room: Option<usize>,
    /// Which part of the place is another one, at which numbers of steps.
    replaced: Option<(PlacePart<'static>, Range<usize>)>,
}

impl DiskState {
    /// Adds the content of a new file. Its identity is one that no file of this disk has had.
    fn push(&mut self, bytes: Vec<u8>) -> usize {
        let number = self.numbers.iter().max().map_or(0, |newest| newest + 1);
        self.numbers.push(number);
        self.contents.push(bytes);
        self.contents.len() - 1
    }
}

#[derive(Clone)]
enum DiskStep {
    Create(String, usize),
    Append(usize, Vec<u8>),
    Sync(usize),
    /// Bytes unsynced at this step may be lost, even if a later sync succeeds.
    SyncFailed(usize),
    Truncate(usize, usize),
    Rename(String, String),
    Remove(String),
    SyncDirectory,
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedDisk {
    /// An empty disk that works without failures.
    pub fn new() -> Self {
        static DEVICES: Mutex<u64> = Mutex::new(0);
        let mut device = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        *device += 1;
        let state = DiskState { device: *device, ..DiskState::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes every sync fail from now on, or succeed again. Bytes that were unsynced at a failure
    /// may be lost in a crash, even if later syncs succeed.
    pub fn fail_fsync(&self, fail: bool) {
        self.state().fail_syncs = fail;
    }

    /// Makes every append fail half-way from now on, or succeed again.
    pub fn fail_appends(&self, fail: bool) {
        self.state().fail_appends = fail;
    }

    /// Limits the free space to `room` bytes; `None` lifts the limit.
    pub fn fill(&self, room: Option<usize>) {
        self.state().room = room;
    }

    /// Makes every sync report success without syncing, from now on, or sync again.
    pub fn lie(&self, lie: bool) {
        self.state().lies = lie;
    }

    /// Lets another directory, lock or file stand in the place of the disk's, from the moment that
    /// there are `steps.start` [`steps`](Self::steps) until there are `steps.end`. The engine's
    /// files go on working, as open files of a removed directory do.
    ///
    /// ```
    /// use stockade::testing::SimulatedDisk;
    /// use stockade::{InventoryManager, PlacePart};
    /// let disk = SimulatedDisk::new();
    /// let manager = InventoryManager::builder().warehouse("SF").journal(disk.clone()).build()?;
    /// disk.replace(PlacePart::Directory, disk.steps()..usize::MAX);
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// assert!(manager.flush().wait().is_err(), "it is not in the journal that stays");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace(&self, part: PlacePart<'static>, steps: Range<usize>) {
        self.state().replaced = Some((part, steps));
    }

    /// How many changes were made so far: creations, appends, syncs, cuts, renames and removals. A
    /// power cut may come after each of them.
    pub fn steps(&self) -> usize {
        self.state().steps.len()
    }

    /// The names and contents of all files, as the running process sees them.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state();
        let content =
            |(name, file): (&String, &usize)| (name.clone(), state.contents[*file].clone());
        state.files.iter().map(content).collect()
    }

    /// A new disk with these files, all of them durable. They are copies: none has the identity of
    /// any other disk's file.
    pub fn with_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.state();
            for (name, bytes) in files {
                let file = state.push(bytes.clone());
                state.files.insert(name.clone(), file);
                let steps = [
                    DiskStep::Create(name, file),
                    DiskStep::Append(file, bytes),
                    DiskStep::Sync(file),
                ];
                state.steps.extend(steps);
            }
            state.steps.push(DiskStep::SyncDirectory);
        }
        disk
    }

    /// A new disk as this one is once somebody has changed the content of its files: those whose
    /// names it has keep their identity.
    ///
    /// ```
    /// use stockade::testing::SimulatedDisk;
    /// use stockade::{InventoryManager, JournalError, JournalReader, VerifyError};
    /// let disk = SimulatedDisk::new();
    /// let manager = InventoryManager::builder().warehouse("SF").journal(disk.clone()).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let mut files = disk.killed().files();
    /// let segment = files.iter_mut().find(|(name, _)| name == "0000000001.journal");
    /// segment.expect("a segment").1.pop();
    /// // In a copy, a missing end may never have been copied.
    /// JournalReader::on(SimulatedDisk::with_files(files.clone())).verify(None)?;
    /// let cut = JournalReader::on(disk.with_changed(files)).verify(None);
    /// assert!(matches!(cut, Err(VerifyError { error: JournalError::Damaged { .. }, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_changed(&self, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let changed = Self::with_files(files);
        {
            let (mut now, before) = (changed.state(), self.state());
            // A file that is new gets a number that none had before.
            let newest = before.numbers.iter().max().map_or(0, |newest| newest + 1);
            let numbers: Vec<_> = now
                .files
                .iter()
                .map(|(name, file)| {
                    let own = before.files.get(name).map(|it| before.numbers[*it]);
                    (*file, own.unwrap_or(newest + *file as u64))
                })
                .collect();
            now.device = before.device;
            numbers.into_iter().for_each(|(file, number)| now.numbers[file] = number);
        }
        changed
    }

    /// A new disk as a killed process leaves it: all written bytes are there, and each file keeps
    /// its identity.
    pub fn killed(&self) -> Self {
        self.with_changed(self.files())
    }

    /// A new disk as a power cut after the first `steps` steps leaves it.
    ///
    /// For each unsynced piece (a sector, or a change of the directory), `survives` decides whether
    /// it is there. Its argument is the number of pieces that it was asked about before. Once it
    /// refuses a change of the directory, all later changes are lost, too.
    pub fn crash(&self, steps: usize, mut survives: impl FnMut(usize) -> bool) -> Self {
        let state = self.state();
        let mut contents: Vec<Content> = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut pending: Vec<DiskStep> = Vec::new();
        for step in &state.steps[..steps.min(state.steps.len())] {
            match step {
                DiskStep::Append(file, bytes) => contents[*file].bytes.extend_from_slice(bytes),
                DiskStep::Truncate(file, length) => contents[*file].cut = Some(*length),
                DiskStep::Sync(file) => {
                    let content = &mut contents[*file];
                    let range = content.trusted_from..content.bytes.len();
                    content.synced.push(range);
                }
                DiskStep::SyncFailed(file) => {
                    let content = &mut contents[*file];
                    content.trusted_from = content.bytes.len();
                }
                DiskStep::SyncDirectory => {
                    pending.drain(..).for_each(|change| apply_change(&mut names, &change));
                }
                change => {
                    if let DiskStep::Create(_, file) = change {
                        contents.resize_with(contents.len().max(*file + 1), Content::default);
                    }
                    pending.push(change.clone());
                }
            }
        }
        let numbers = state.numbers.clone();
        let device = state.device;
        drop(state);
        let mut asked = 0..;
        let mut survives = || survives(asked.next().unwrap_or_default());
        for change in pending {
            if !survives() {
                break;
            }
            apply_change(&mut names, &change);
        }
        let kept: Vec<u64> = names.values().map(|file| numbers[*file]).collect();
        let content = |(name, file): (String, usize)| {
            let content = contents.get(file);
            (name, content.map_or_else(Vec::new, |content| content.after_crash(&mut survives)))
        };
        let after = Self::with_files(names.into_iter().map(content).collect::<Vec<_>>());
        {
            // The files that are left are those that were there.
            let mut state = after.state();
            (state.device, state.numbers) = (device, kept);
        }
        after
    }

    /// A new disk as a power cut at this moment leaves it, to build an engine on. Synced bytes are
    /// there. For each unsynced sector, and each unsynced change of the directory, `seed` decides.
    ///
    /// ```
    /// use stockade::testing::SimulatedDisk;
    /// use stockade::{Durability, InventoryManager};
    /// let disk = SimulatedDisk::new();
    /// let manager = InventoryManager::builder().warehouse("SF").journal(disk.clone()).build()?;
    /// let synced = manager.request().durability(Durability::Synced);
    /// synced.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// for seed in 0..10 {
    ///     let after = disk.crash_and_reopen(seed);
    ///     let again = InventoryManager::builder().warehouse("SF").journal(after).build()?;
    ///     assert_eq!(again.available(("SF", "LAPTOP"))?, 10);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn crash_and_reopen(&self, seed: u64) -> Self {
        self.crash(self.steps(), |piece| {
            // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
            let mut mixed = (seed ^ piece as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31) & 1 == 0
        })
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

/// The lock of a disk. Dropping it releases the lock.
struct SimulatedLock(Arc<Mutex<DiskState>>);

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).locked = false;
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl StorageFile for SimulatedFile {
    fn identity(&self) -> Option<StorageIdentity> {
        let state = self.disk.state();
        Some(StorageIdentity::new(state.device, state.numbers[self.file]))
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let written_length = state.room.unwrap_or(usize::MAX).min(bytes.len());
        let written_length = if state.fail_appends { written_length / 2 } else { written_length };
        let written = &bytes[..written_length];
        state.contents[self.file].extend_from_slice(written);
        state.steps.push(DiskStep::Append(self.file, written.to_vec()));
        state.room = state.room.map(|room| room - written_length);
        match () {
            () if state.fail_appends => Err(io::Error::other("the disk fails")),
            () if written_length < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            () => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.fail_syncs {
            state.steps.push(DiskStep::SyncFailed(self.file));
            return Err(io::Error::other("the disk fails to sync"));
        }
        if !state.lies {
            state.steps.push(DiskStep::Sync(self.file));
        }
        Ok(())
    }
}

impl Storage for SimulatedDisk {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = self.state();
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        Ok(Box::new(SimulatedLock(Arc::clone(&self.state))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let state = self.state();
        let file = *state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let bytes = &state.contents[file];
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len() - start);
        Ok(bytes[start..start + length].to_vec())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.push(Vec::new());
        state.files.insert(name.to_owned(), file);
        state.steps.push(DiskStep::Create(name.to_owned(), file));
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        state.steps.push(DiskStep::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.steps.push(DiskStep::Remove(name.to_owned()));
        Ok(())
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.state();
        let file = *state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        state.contents[file].truncate(length);
        state.steps.push(DiskStep::Truncate(file, length));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.fail_syncs {
            return Err(io::Error::other("the disk fails to sync"));
        }
        if !state.lies {
            state.steps.push(DiskStep::SyncDirectory);
        }
        Ok(())
    }

    fn free_space(&self) -> Option<u64> {
        self.state().room.map(|room| room as u64)
    }

    fn identity(&self, part: PlacePart<'_>) -> io::Result<Option<StorageIdentity>> {
        const DIRECTORY: u64 = u64::MAX;
        const LOCK: u64 = u64::MAX - 1;
        const ANOTHER: u64 = u64::MAX - 2;
        let state = self.state();
        let own = match part {
            PlacePart::Directory => DIRECTORY,
            PlacePart::Lock => LOCK,
            PlacePart::File(name) => {
                let file = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
                state.numbers[*file]
            }
        };
        let is_replaced = state.replaced.as_ref().is_some_and(|(replaced, steps)| {
            *replaced == part && steps.contains(&state.steps.len())
        });
        let number = if is_replaced { ANOTHER } else { own };
        Ok(Some(StorageIdentity::new(state.device, number)))
    }
}

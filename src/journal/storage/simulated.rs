//! A disk in memory that keeps what is written apart from what is synced, fails on command, and can
//! be looked at as a power cut at any moment would leave it.
//!
//! What a crash may do is what POSIX allows: of the bytes that were not synced, any subset of the
//! sectors may be there, in any order, with zeros between; of the files that were created, renamed
//! or removed since the directory was synced, any first part; a file that was cut may be as long as it
//! was. What was synced is there, unless the disk lies.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::storage::{Storage, StorageFile};

/// What the disk writes whole or not at all.
const SECTOR: usize = 512;

/// A simulated disk; clones are the same disk. For tests.
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
#[derive(Clone, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<DiskState>>,
}

#[derive(Default)]
struct DiskState {
    /// Everything that was ever done.
    steps: Vec<DiskStep>,
    /// The files as a running process sees them.
    files: BTreeMap<String, usize>,
    contents: Vec<Vec<u8>>,
    locked: bool,
    fail_syncs: bool,
    fail_appends: bool,
    lies: bool,
    /// Bytes that still fit.
    room: Option<usize>,
}

#[derive(Clone)]
enum DiskStep {
    Create(String, usize),
    Append(usize, Vec<u8>),
    Sync(usize),
    /// What was not synced before may never be, whatever a later sync says.
    SyncFailed(usize),
    Truncate(usize, usize),
    Rename(String, String),
    Remove(String),
    SyncDirectory,
}

/// A file as a crash finds it.
#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// Ranges that are on the disk.
    synced: Vec<std::ops::Range<usize>>,
    /// From here on a sync that says that all is well is to be believed.
    trusted_from: usize,
    /// A length that it was cut to, which may not be on the disk.
    cut: Option<usize>,
}

impl SimulatedDisk {
    /// An empty disk that does what it is told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every sync fails from now on, or succeeds again. What was not synced when one failed may be
    /// lost whatever later ones say.
    pub fn fail_fsync(&self, fail: bool) {
        self.state().fail_syncs = fail;
    }

    /// Every append fails half-way from now on, or succeeds again.
    pub fn fail_appends(&self, fail: bool) {
        self.state().fail_appends = fail;
    }

    /// Only so many more bytes fit; `None` for no end of them.
    pub fn fill(&self, room: Option<usize>) {
        self.state().room = room;
    }

    /// From now on the disk says that it has synced, and has not.
    pub fn lie(&self, lie: bool) {
        self.state().lies = lie;
    }

    /// How many steps were done so far: the moments at which the power may go.
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

    /// A disk with these files, all of them on it.
    pub fn with_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.state();
            for (name, bytes) in files {
                let file = state.contents.len();
                state.contents.push(bytes.clone());
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

    /// The disk as a killed process leaves it: all that was written is there.
    pub fn killed(&self) -> Self {
        Self::with_files(self.files())
    }

    /// The disk as a power cut after the first `steps` steps leaves it. `survives` says of each piece
    /// that was not synced, a sector or a change of the directory, whether it is there; it is told how
    /// many were asked about before.
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
                    pending.drain(..).for_each(|change| change_names(&mut names, &change));
                }
                change => {
                    if let DiskStep::Create(_, file) = change {
                        contents.resize_with(contents.len().max(*file + 1), Content::default);
                    }
                    pending.push(change.clone());
                }
            }
        }
        drop(state);
        let mut asked = 0..;
        let mut survives = || survives(asked.next().unwrap_or_default());
        for change in pending {
            if !survives() {
                break;
            }
            change_names(&mut names, &change);
        }
        let content = |(name, file): (String, usize)| {
            let content = contents.get(file);
            (name, content.map_or_else(Vec::new, |content| content.after_crash(&mut survives)))
        };
        Self::with_files(names.into_iter().map(content).collect::<Vec<_>>())
    }

    /// The power goes now; a new disk, as that leaves it, for an engine to be built on. What was synced
    /// is there; each sector and each change of the directory that was not is there or not, as `seed`
    /// says.
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
            // splitmix64
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

impl Content {
    fn after_crash(&self, survives: &mut impl FnMut() -> bool) -> Vec<u8> {
        let synced_to = self.synced.iter().map(|range| range.end).max().unwrap_or(0);
        let mut bytes = vec![0; self.bytes.len()];
        let mut length = synced_to;
        for range in &self.synced {
            bytes[range.clone()].copy_from_slice(&self.bytes[range.clone()]);
        }
        for sector in (0..self.bytes.len()).step_by(SECTOR) {
            let end = (sector + SECTOR).min(self.bytes.len());
            let is_synced = |at: usize| self.synced.iter().any(|range| range.contains(&at));
            if (sector..end).all(is_synced) {
                continue;
            }
            if survives() {
                bytes[sector..end].copy_from_slice(&self.bytes[sector..end]);
                length = length.max(end);
            }
        }
        bytes.truncate(length);
        // No file is appended to or synced after it was cut.
        if let Some(cut) = self.cut.filter(|_| survives()) {
            bytes.truncate(cut);
        }
        bytes
    }
}

fn change_names(names: &mut BTreeMap<String, usize>, change: &DiskStep) {
    match change {
        DiskStep::Create(name, file) => drop(names.insert(name.clone(), *file)),
        DiskStep::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        DiskStep::Remove(name) => drop(names.remove(name)),
        _ => {}
    }
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

/// Frees the disk when it is dropped.
struct Locked(Arc<Mutex<DiskState>>);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).locked = false;
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl StorageFile for SimulatedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fits = state.room.unwrap_or(usize::MAX).min(bytes.len());
        let fits = if state.fail_appends { fits / 2 } else { fits };
        let written = &bytes[..fits];
        state.contents[self.file].extend_from_slice(written);
        state.steps.push(DiskStep::Append(self.file, written.to_vec()));
        state.room = state.room.map(|room| room - fits);
        match () {
            () if state.fail_appends => Err(io::Error::other("the disk fails")),
            () if fits < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
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
        Ok(Box::new(Locked(Arc::clone(&self.state))))
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
        let file = state.contents.len();
        state.contents.push(Vec::new());
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
}

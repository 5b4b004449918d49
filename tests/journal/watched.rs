//! A watched storage: records who changes it without holding its lock, and when, in moments of
//! other disks.

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{Storage, StorageFile};

use crate::pass_on::pass_on;

/// The position of each disk, after each change of one of them.
pub(crate) type Moments = Arc<Mutex<Vec<Vec<usize>>>>;

/// A watched disk.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) disk: SimulatedDisk,
    /// All disks whose positions are recorded, and the record.
    all: Vec<SimulatedDisk>,
    moments: Moments,
    locked: Arc<AtomicBool>,
    /// Whether anything was changed while nobody held the lock.
    pub(crate) trespassed: Arc<AtomicBool>,
    /// Files whose names contain this cannot be created.
    refused: Arc<Mutex<Option<&'static str>>>,
    /// How long the sync of a checkpoint takes.
    slow: Duration,
}

impl Watched {
    /// Watches each of `disks`.
    pub(crate) fn all(disks: &[SimulatedDisk]) -> (Vec<Self>, Moments) {
        let moments = Moments::default();
        let watched = disks.iter().map(|disk| Self {
            disk: disk.clone(),
            all: disks.to_vec(),
            moments: Arc::clone(&moments),
            locked: Arc::default(),
            trespassed: Arc::default(),
            refused: Arc::default(),
            slow: Duration::ZERO,
        });
        (watched.collect(), moments)
    }

    pub(crate) fn one(disk: &SimulatedDisk) -> Self {
        Self::all(std::slice::from_ref(disk)).0.remove(0)
    }

    pub(crate) fn with_slow_checkpoints(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// From now on, files whose names contain `part` cannot be created.
    pub(crate) fn refuse(&self, part: Option<&'static str>) {
        *self.refused.lock().expect("no panic") = part;
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked.load(Ordering::SeqCst)
    }

    fn changed<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if !self.is_locked() {
            self.trespassed.store(true, Ordering::SeqCst);
        }
        let now = self.all.iter().map(SimulatedDisk::steps).collect();
        self.moments.lock().expect("no panic").push(now);
        outcome
    }
}

struct Guard(Arc<AtomicBool>, Option<Box<dyn Any + Send + Sync>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
        drop(self.1.take());
    }
}

impl Storage for Watched {
    pass_on!(disk: list read);

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let guard = self.disk.lock()?;
        self.locked.store(true, Ordering::SeqCst);
        Ok(Box::new(Guard(Arc::clone(&self.locked), Some(guard))))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        if self.refused.lock().expect("no panic").is_some_and(|part| name.contains(part)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let slow = if name.contains("checkpoint") { self.slow } else { Duration::ZERO };
        let file = self.changed(self.disk.create(name))?;
        Ok(Arc::new(WatchedFile { file, storage: self.clone(), slow }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.changed(self.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.changed(self.disk.remove(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.changed(self.disk.sync_directory())
    }
}

struct WatchedFile {
    file: Arc<dyn StorageFile>,
    storage: Watched,
    slow: Duration,
}

impl StorageFile for WatchedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.storage.changed(self.file.append(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.slow);
        self.storage.changed(self.file.sync())
    }
}

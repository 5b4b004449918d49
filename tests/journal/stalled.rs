//! A disk whose syncs wait for permission, take long, or panic.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{Storage, StorageFile};

use crate::pass_on::pass_on;

/// A simulated disk behind a gate. Every sync passes the gate.
#[derive(Clone, Default)]
pub(crate) struct StalledDisk {
    pub(crate) disk: SimulatedDisk,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    /// How many syncs have arrived at the gate.
    came: AtomicUsize,
    takes: Mutex<Duration>,
    /// How long each read of the auditor's thread takes.
    audit_takes: Mutex<Duration>,
    /// The next sync panics.
    panics: AtomicBool,
    /// The next read of the thread of this name panics.
    read_panics: Mutex<Option<&'static str>>,
}

impl Gate {
    fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.swap(false, Ordering::SeqCst), "a storage with a bug");
        let takes = *self.takes.lock().expect("no panic");
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        let shut = self.shut.lock().expect("no panic");
        drop(self.opened.wait_while(shut, |shut| *shut).expect("no panic"));
    }
}

impl StalledDisk {
    /// Makes syncs wait from now on.
    pub(crate) fn shut(&self) {
        *self.gate.shut.lock().expect("no panic") = true;
    }

    pub(crate) fn open(&self) {
        *self.gate.shut.lock().expect("no panic") = false;
        self.gate.opened.notify_all();
    }

    /// Sets how long each sync takes.
    pub(crate) fn take(&self, span: Duration) {
        *self.gate.takes.lock().expect("no panic") = span;
    }

    /// Sets how long each read of the auditor's thread takes.
    pub(crate) fn slow_the_auditor(&self, span: Duration) {
        *self.gate.audit_takes.lock().expect("no panic") = span;
    }

    /// Makes the next sync panic, and no later one.
    pub(crate) fn panic_once(&self) {
        self.gate.panics.store(true, Ordering::SeqCst);
    }

    /// Makes the next read of the thread of this name panic, and no later one.
    pub(crate) fn panic_once_in_a_read_of(&self, thread: &'static str) {
        *self.gate.read_panics.lock().expect("no panic") = Some(thread);
    }

    /// Whether that read is still to come.
    pub(crate) fn panics_in_a_read(&self) -> bool {
        self.gate.read_panics.lock().expect("no panic").is_some()
    }

    pub(crate) fn syncs(&self) -> usize {
        self.gate.came.load(Ordering::SeqCst)
    }
}

impl Storage for StalledDisk {
    pass_on!(disk: lock list rename remove sync_directory);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let own = std::thread::current();
        let panics =
            self.gate.read_panics.lock().expect("no panic").take_if(|it| own.name() == Some(*it));
        assert!(panics.is_none(), "a storage with a bug");
        let takes = *self.gate.audit_takes.lock().expect("no panic");
        if std::thread::current().name() == Some("stockade-auditor") && !takes.is_zero() {
            std::thread::sleep(takes);
        }
        self.disk.read(name, offset, length)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.disk.create(name)?;
        Ok(Arc::new(StalledFile { file, gate: Arc::clone(&self.gate) }))
    }
}

struct StalledFile {
    file: Arc<dyn StorageFile>,
    gate: Arc<Gate>,
}

impl StorageFile for StalledFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync()
    }
}

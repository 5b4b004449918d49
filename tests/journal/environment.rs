//! The environment is not the journal: what the machine can't give at the moment is an error that
//! passes, and never a verdict about the journal's bytes.

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, JournalError, JournalOptions, JournalPosition, JournalReader, JournalRetention,
    Storage, StorageFile, redact,
};

use crate::state::{MINUTE, check_laws, engine_on};

/// A disk whose call number `at` fails with the system's error `errno`. Calls are counted from 0.
#[derive(Clone)]
struct OneFails {
    disk: SimulatedDisk,
    calls: Arc<AtomicUsize>,
    fails: Arc<Mutex<(usize, i32)>>,
}

const NEVER: usize = usize::MAX;

impl OneFails {
    fn new(disk: SimulatedDisk, at: usize, errno: i32) -> Self {
        Self { disk, calls: Arc::default(), fails: Arc::new(Mutex::new((at, errno))) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self) -> io::Result<&SimulatedDisk> {
        let (at, errno) = *self.fails.lock().expect("no panic");
        match self.calls.fetch_add(1, Ordering::SeqCst) == at {
            true => Err(io::Error::from_raw_os_error(errno)),
            false => Ok(&self.disk),
        }
    }
}

struct FileOf(OneFails, Arc<dyn StorageFile>);

impl StorageFile for FileOf {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.call()?;
        self.1.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.call()?;
        self.1.sync()
    }
}

impl Storage for OneFails {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.call()?.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call()?.list()
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.call()?.read(name, offset, length)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.call()?.length(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.call()?.create(name)?;
        Ok(Arc::new(FileOf(self.clone(), file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call()?.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call()?.remove(name)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.call()?.truncate(name, length)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.call()?.sync_directory()
    }
}

/// Options under which this journal has many segments, and a checkpoint after every second one.
pub(crate) fn options(storage: impl Storage) -> JournalOptions {
    JournalOptions::storage(storage).segment_bytes(700).checkpoint_every(2)
}

pub(crate) fn limits(builder: stockade::Builder) -> stockade::Builder {
    let limits = stockade::Limits::new().max_reservations(64).audit_retained(0);
    // Long notes make long batches.
    builder.limits(limits.notes(64, 16 << 20))
}

const NOTED: &str = "M. Curie";

/// A journal of several segments, checkpoints and openings: the first of these was closed, the last
/// one killed. With `retention`, its oldest segments are gone.
pub(crate) fn journal(retention: &JournalRetention) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for opening in 0..3 {
        let keep = retention.clone();
        let builder = limits(engine_on(options(disk.clone()).retention(keep)));
        let manager = builder.build().expect("a sound journal");
        for round in 0..12 {
            let place = ("SF", "LAPTOP");
            manager.add_stock(place, 3, "SUPPLIER").expect("room");
            let hold = manager.reserve(place, 2, 600 * MINUTE).expect("stock");
            manager.request().note("customer", NOTED).confirm(hold).expect("pending");
            if round % 4 == 0 {
                manager.flush().wait().expect("written");
                manager.verify().expect("sound");
            }
        }
        if opening == 2 {
            let killed = disk.killed();
            drop(manager);
            return killed;
        }
    }
    disk
}

/// What is asked of a journal, under the name that a failure shows.
type Call = (&'static str, fn(&OneFails) -> Result<(), JournalError>);

const CALLS: [Call; 8] = [
    ("build", |disk| build(disk, JournalRetention::keep_all())),
    ("build and trim", |disk| build(disk, JournalRetention::remove())),
    ("verify", |disk| Ok(JournalReader::on(disk.clone()).verify(None).map(drop)?)),
    ("checksums", |disk| Ok(JournalReader::on(disk.clone()).verify_checksums(None).map(drop)?)),
    ("entries", |disk| JournalReader::on(disk.clone()).entries(&AuditFilter::new(), drop)),
    ("stock", |disk| JournalReader::on(disk.clone()).stock(None).map(drop)),
    ("redact", |disk| redact(disk, |entry| entry.note("customer") == Some(NOTED)).map(drop)),
    ("follow", follow),
];

/// Opens an engine, works, verifies, copies the journal, and closes it.
fn build(disk: &OneFails, keep: JournalRetention) -> Result<(), JournalError> {
    let built = limits(engine_on(options(disk.clone()).retention(keep))).build();
    let manager = built.map_err(|error| match error {
        stockade::BuildError::Journal(error) => error,
        other => panic!("{other}"),
    })?;
    for _ in 0..5 {
        let _ = manager.request().note("customer", NOTED).add_stock(("SF", "DESK"), 1, "SUPPLIER");
        let _ = manager.flush().wait();
    }
    let verified = manager.verify().map(drop);
    let copied = manager.backup_to(&SimulatedDisk::new()).map(drop);
    check_laws(&manager);
    let noted = |entry: &stockade::AuditEntry| entry.note("customer") == Some(NOTED);
    let _ = manager.redact(noted);
    let _ = manager.shutdown(Duration::from_secs(5));
    for error in [format!("{verified:?}"), format!("{copied:?}")] {
        assert!(!error.contains("Damaged") && !error.contains("Broken"), "{error}");
    }
    Ok(())
}

/// Reads all entries of an engine from the beginning.
fn follow(disk: &OneFails) -> Result<(), JournalError> {
    let working = disk.disk.clone();
    let manager = limits(engine_on(options(working.clone()))).build().expect("a sound journal");
    drop(manager);
    let built = limits(engine_on(options(disk.clone()))).build();
    let manager = built.map_err(|error| match error {
        stockade::BuildError::Journal(error) => error,
        other => panic!("{other}"),
    })?;
    let subscribed = match manager.subscribe(JournalPosition::default()) {
        Err(JournalError::Trimmed { oldest }) => {
            let after = format!("{}@0", oldest - 1).parse().expect("a position");
            manager.subscribe(after)
        }
        subscribed => subscribed,
    };
    let mut subscription = subscribed?;
    while subscription.try_next()?.is_some() {}
    Ok(())
}

/// The errors of the system that say nothing about a journal: EPERM, EIO, ENOMEM, EACCES, ENFILE,
/// EMFILE.
const ERRORS: [i32; 6] = [1, 5, 12, 13, 23, 24];

fn is_verdict(error: &JournalError) -> bool {
    let is_of_bytes =
        matches!(error, JournalError::Damaged { .. } | JournalError::BrokenLaw { .. });
    is_of_bytes || !error.is_retryable()
}

fn each_call_fails_once(keep: &JournalRetention) {
    let sound = journal(keep);
    for (name, call) in CALLS {
        let asked = OneFails::new(sound.killed(), NEVER, 0);
        call(&asked).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(asked.calls() > 4, "{name} asks the storage {} times", asked.calls());
        let mut failed = 0;
        for at in 0..asked.calls() {
            let errno = ERRORS[at % ERRORS.len()];
            let disk = OneFails::new(sound.killed(), at, errno);
            if let Err(error) = call(&disk) {
                failed += 1;
                assert!(!is_verdict(&error), "{name}, call {at}, {errno}: {error:?}");
            }
            if ["verify", "checksums", "entries", "stock"].contains(&name) {
                continue;
            }
            let after = JournalReader::on(disk.disk.killed()).verify(None);
            assert!(after.is_ok(), "{name}, call {at}, {errno}: {after:?}");
            let again = limits(engine_on(options(disk.disk.killed()))).build();
            assert!(again.is_ok(), "{name}, call {at}, {errno}: {again:?}");
        }
        assert!(failed > 0, "{name}: no failed call is told");
    }
}

#[test]
fn no_call_of_the_storage_that_fails_makes_a_sound_journal_a_damaged_one() {
    each_call_fails_once(&JournalRetention::keep_all());
}

#[test]
fn no_call_of_the_storage_that_fails_makes_a_trimmed_journal_a_damaged_one() {
    each_call_fails_once(&JournalRetention::remove());
}

/// The newest file whose name ends so.
pub(crate) fn newest(disk: &SimulatedDisk, ending: &str) -> String {
    let names = disk.files().into_iter().map(|(name, _)| name);
    names.filter(|name| name.ends_with(ending)).max().expect("a file")
}

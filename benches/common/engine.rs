//! The engine as a ledger, used as its users do: default settings, by handle.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade::{
    Builder, InventoryManager, LevelHandle, OperationKind, ReservationId, ReserveError,
};

use super::ledger::{About, Durability, Ledger, Session, TTL, Writer};
use super::machine::threads_named;

/// The engine with one warehouse.
pub(crate) struct Engine {
    pub(crate) manager: InventoryManager,
    pub(crate) levels: Vec<LevelHandle>,
    durability: Durability,
    waiting: Waiting,
    journal: Option<Arc<Directory>>,
    /// The system's number of the audit writer's thread.
    writer: Option<u32>,
}

/// The name that the engine gives its audit writer's thread.
const WRITER: &str = "stockade-audit";

/// The remark for a synced engine that waits only at the end of a hold.
pub(crate) const ONCE_A_PAIR: &str = "waits once a pair";

/// Which calls of a synced engine wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Each reserve, confirm and release, like servers that sync at each of them.
    AtEachStep,
    /// The calls that end a hold. The durable part is always a prefix of the journal, so the hold
    /// is then durable too. A power cut may lose a hold that nobody has paid for.
    AtTheEnd,
}

/// A journal's directory on a real disk. It is removed with the last session.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("stockade-bench-{}-{number}", std::process::id());
        Self(PathBuf::from("/var/tmp").join(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that cannot be removed changes no figure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Engine {
    /// The durabilities that the engine can be opened with.
    pub(crate) const DURABILITIES: &[Durability] =
        &[Durability::InMemory, Durability::Buffered, Durability::Synced];
    /// Those with which no call waits for the disk.
    pub(crate) const UNWAITING: &[Durability] = &[Durability::InMemory, Durability::Buffered];

    /// Opens an engine with these units of each product. A synced one waits at each step.
    pub(crate) fn open(durability: Durability, units: &[u32]) -> Self {
        Self::open_waiting(durability, Waiting::AtEachStep, units)
    }

    /// The same with an index of holders, in memory.
    pub(crate) fn open_indexed(units: &[u32]) -> Self {
        let builder = InventoryManager::builder().index_holders(true);
        Self::open_built(builder, Durability::InMemory, Waiting::AtEachStep, units)
    }

    /// The same; these calls wait if the engine is synced.
    pub(crate) fn open_waiting(durability: Durability, waiting: Waiting, units: &[u32]) -> Self {
        Self::open_built(InventoryManager::builder(), durability, waiting, units)
    }

    fn open_built(
        builder: Builder,
        durability: Durability,
        waiting: Waiting,
        units: &[u32],
    ) -> Self {
        let mut builder = builder.warehouse("SF").subject_secret([7; 16]);
        let journal = (durability != Durability::InMemory).then(|| Arc::new(Directory::new()));
        if let Some(directory) = &journal {
            builder = builder.journal(&directory.0);
        }
        if durability == Durability::Synced {
            let waits = stockade::Durability::Synced;
            builder = builder.durability_of(OperationKind::Sell, waits);
            builder = builder.durability_of(OperationKind::Release, waits);
            if waiting == Waiting::AtEachStep {
                builder = builder.durability_of(OperationKind::Reserve, waits);
            }
        }
        // Other engines may be open: the new writer is the one that was not there before.
        let others = threads_named(WRITER);
        let manager = builder.build().expect("legal settings");
        let levels = units.iter().enumerate().map(|(index, units)| {
            let level = manager.open_level("SF", &name(index)).expect("a legal name");
            if *units > 0 {
                manager.add_stock(level, *units, "SUPPLIER").expect("room");
            }
            level
        });
        let levels = levels.collect();
        manager.flush().wait().expect("a healthy engine");
        // It has run, so it has its name.
        let writer = threads_named(WRITER).into_iter().find(|thread| !others.contains(thread));
        Self { manager, levels, durability, waiting, journal, writer }
    }

    /// Removes the journal's files before the process ends with the engine open.
    pub(crate) fn forget_journal(mut self) {
        drop(self.journal.take());
        std::mem::forget(self.manager);
    }
}

/// The name of a product.
pub(crate) fn name(index: usize) -> String {
    format!("SKU-{index:07}")
}

impl Ledger for Engine {
    type Session = EngineSession;

    fn about(&self) -> About {
        About {
            engine: "stockade",
            setup: match (self.durability, self.waiting) {
                (Durability::Synced, Waiting::AtEachStep) => "waits at each step".to_owned(),
                (Durability::Synced, Waiting::AtTheEnd) => ONCE_A_PAIR.to_owned(),
                _ => String::new(),
            },
            durability: self.durability,
            guarantees: match self.durability {
                Durability::InMemory => {
                    "never oversells; every movement audited in a legal order by a writer thread; ids \
                     can't be guessed; finished holds stay readable; holds expire by themselves"
                }
                Durability::Buffered => {
                    "as in memory; a killed process loses the newest milliseconds of its journal, a power \
                     cut the newest moment"
                }
                Durability::Synced => {
                    "as in memory; nothing that was answered after a wait is lost"
                }
            },
        }
    }

    fn product(&self, index: usize) -> LevelHandle {
        self.levels[index]
    }

    fn session(&self) -> EngineSession {
        EngineSession {
            manager: self.manager.clone(),
            durability: self.durability,
            _journal: self.journal.clone(),
        }
    }

    fn writer(&self) -> Option<Writer> {
        let session = self.session();
        let is_idle = Box::new(move || session.manager.stats().unwritten == 0);
        Some(Writer { thread: self.writer?, is_idle })
    }
}

/// A clone of the manager.
pub(crate) struct EngineSession {
    // Must be dropped before the directory.
    pub(crate) manager: InventoryManager,
    durability: Durability,
    _journal: Option<Arc<Directory>>,
}

impl Session for EngineSession {
    type Product = LevelHandle;
    type Hold = ReservationId;

    #[inline]
    fn reserve(&mut self, product: LevelHandle) -> Option<ReservationId> {
        match self.manager.reserve(product, 1, TTL) {
            Ok(hold) => Some(hold),
            Err(ReserveError::Insufficient { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[inline]
    fn confirm(&mut self, hold: ReservationId) {
        self.manager.confirm(hold).expect("a live hold");
    }

    #[inline]
    fn release(&mut self, hold: ReservationId) {
        let _ = self.manager.release(hold).expect("a live hold");
    }

    fn flush(&mut self) {
        self.manager.flush().wait().expect("a healthy engine");
    }

    fn is_slow(&self) -> bool {
        self.durability == Durability::Synced
    }
}

//! The engine itself, as its users drive it: default settings, by handle.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade::{InventoryManager, LevelHandle, ReservationId, ReserveError};

use super::ledger::{About, Durability, Ledger, Session, TTL};

/// The engine with one warehouse.
pub(crate) struct Engine {
    pub(crate) manager: InventoryManager,
    pub(crate) levels: Vec<LevelHandle>,
    durability: Durability,
    journal: Option<Arc<Directory>>,
}

/// A journal's directory on a real disk, gone with the last session.
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
        // A folder that stays behind harms no figure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Engine {
    /// What the engine can be opened with.
    pub(crate) const DURABILITIES: &[Durability] =
        &[Durability::InMemory, Durability::Buffered, Durability::Synced];

    /// Opens an engine with these units of each product.
    pub(crate) fn open(durability: Durability, units: &[u32]) -> Self {
        let builder = InventoryManager::builder().warehouse("SF");
        let journal = (durability != Durability::InMemory).then(|| Arc::new(Directory::new()));
        let manager = match &journal {
            Some(directory) => builder.journal(&directory.0).build(),
            None => builder.build(),
        };
        let manager = manager.expect("legal settings");
        let levels = units.iter().enumerate().map(|(index, units)| {
            let level = manager.open_level("SF", &name(index)).expect("a legal name");
            if *units > 0 {
                manager.add_stock(level, *units, "SUPPLIER").expect("room");
            }
            level
        });
        let levels = levels.collect();
        manager.flush().wait().expect("a healthy engine");
        Self { manager, levels, durability, journal }
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
            setup: String::new(),
            durability: self.durability,
            guarantees: "never oversells; every movement audited in a legal order by a writer thread; \
                         ids can't be guessed; finished holds stay readable; holds expire by themselves",
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
}

/// A clone of the manager's handle.
pub(crate) struct EngineSession {
    // Dropped before the directory.
    manager: InventoryManager,
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

    fn settle(&mut self) {
        if self.durability == Durability::Synced {
            self.manager.flush().wait().expect("a healthy engine");
        }
    }
}

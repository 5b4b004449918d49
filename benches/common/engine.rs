//! The engine itself, as its users drive it: default settings, by handle.

use stockade::{InventoryManager, LevelHandle, ReservationId, ReserveError};

use super::ledger::{About, Durability, Ledger, Session, TTL};

/// The engine with one warehouse.
pub(crate) struct Engine {
    pub(crate) manager: InventoryManager,
    pub(crate) levels: Vec<LevelHandle>,
    durability: Durability,
}

impl Engine {
    /// What the engine can be opened with. Journals join here.
    pub(crate) const DURABILITIES: &[Durability] = &[Durability::InMemory];

    /// Opens an engine with these units of each product.
    pub(crate) fn open(durability: Durability, units: &[u32]) -> Self {
        let manager = InventoryManager::builder().warehouse("SF").build().expect("legal settings");
        let levels = units.iter().enumerate().map(|(index, units)| {
            let level = manager.open_level("SF", &name(index)).expect("a legal name");
            if *units > 0 {
                manager.add_stock(level, *units, "SUPPLIER").expect("room");
            }
            level
        });
        let levels = levels.collect();
        manager.flush().wait().expect("a healthy engine");
        Self { manager, levels, durability }
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
        EngineSession { manager: self.manager.clone(), durability: self.durability }
    }
}

/// A clone of the manager's handle.
pub(crate) struct EngineSession {
    manager: InventoryManager,
    durability: Durability,
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

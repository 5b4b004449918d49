//! The trait that the engine and its peers implement: what a shop needs of its inventory.

use std::time::Duration;

/// How long a hold may live. Longer than any measurement, so that none expires meanwhile.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);

/// What a crash can take once a call has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Durability {
    /// Everything: there is no journal, or it is in memory.
    InMemory,
    /// The newest moment: a journal is written, and reaches the disk a little later.
    Buffered,
    /// Nothing: the journal is on the disk before the caller hears of it.
    Synced,
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InMemory => "in memory",
            Self::Buffered => "buffered",
            Self::Synced => "synced",
        }
    }
}

/// Who is measured, and what its figure is worth.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The engine or peer.
    pub(crate) engine: &'static str,
    /// How it is driven, where that is a choice: connections, pipelining, settings.
    pub(crate) setup: String,
    pub(crate) durability: Durability,
    /// What a caller can rely on: isolation, record, what survives.
    pub(crate) guarantees: &'static str,
}

impl About {
    /// Engine and setup.
    pub(crate) fn title(&self) -> String {
        if self.setup.is_empty() {
            self.engine.to_owned()
        } else {
            format!("{}, {}", self.engine, self.setup)
        }
    }
}

/// An inventory that is open, with products numbered from 0 and all of them in stock.
pub(crate) trait Ledger {
    type Session: Session;

    fn about(&self) -> About;

    /// The product's name on the hot path, resolved once.
    fn product(&self, index: usize) -> <Self::Session as Session>::Product;

    /// One caller's way in: a handle, or a connection. It keeps the ledger open.
    fn session(&self) -> Self::Session;
}

/// What one thread calls. All of it panics when the ledger fails: a figure from a ledger that fails
/// means nothing.
pub(crate) trait Session: Send + 'static {
    type Product: Copy + Send + 'static;
    type Hold: Copy + Send + 'static;

    /// Holds one unit; `None` if there is none left.
    fn reserve(&mut self, product: Self::Product) -> Option<Self::Hold>;

    /// Sells what a live hold holds.
    fn confirm(&mut self, hold: Self::Hold);

    /// Gives back what a live hold holds.
    fn release(&mut self, hold: Self::Hold);

    /// How many pairs this session sends at a time.
    fn depth(&self) -> usize {
        1
    }

    /// Holds one unit of each product, and then sells them all: at once, where the session has depth.
    fn pairs(&mut self, products: &[Self::Product]) {
        for product in products {
            let hold = self.reserve(*product).expect("in stock");
            self.confirm(hold);
        }
    }

    /// Waits until all that this session did is on the disk, where its ledger has one and its calls
    /// don't wait for it themselves.
    fn flush(&mut self) {}

    /// Whether single calls take long, because they wait for a server or for the disk.
    fn is_slow(&self) -> bool {
        false
    }
}

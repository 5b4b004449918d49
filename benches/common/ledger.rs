//! The trait that the engine and its peers implement: what a shop needs of its inventory.

use std::time::Duration;

use super::customers::Customers;

/// The time to live of a hold: longer than any measurement, so that none expires meanwhile.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);

/// What a crash can lose after a call has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Durability {
    /// Everything: there is no journal, or it is in memory.
    InMemory,
    /// The last moments: a journal is written, and reaches the disk a little later.
    Buffered,
    /// Nothing: the journal is on the disk before the call returns.
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

/// What is measured, and what its figure means.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The engine or the peer.
    pub(crate) engine: &'static str,
    /// The choices in its use, if there are any: connections, pipelining, settings.
    pub(crate) setup: String,
    pub(crate) durability: Durability,
    /// What a caller can rely on: isolation, record, durability.
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

/// The thread that writes a ledger's record.
pub(crate) struct Writer {
    /// As the system numbers threads.
    pub(crate) thread: u32,
    /// Whether it has written all that was handed to it.
    pub(crate) is_idle: Box<dyn Fn() -> bool + Send>,
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its unit is sold.
    Confirm,
    /// Its unit is given back.
    Release,
}

/// An open inventory. Its products are numbered from 0, and all are in stock.
pub(crate) trait Ledger {
    type Session: Session;

    fn about(&self) -> About;

    /// The product's name on the hot path, resolved once.
    fn product(&self, index: usize) -> <Self::Session as Session>::Product;

    /// A session for one caller: a handle, or a connection. It keeps the ledger open.
    fn session(&self) -> Self::Session;

    /// The thread that writes the record, if it is one of this process.
    fn writer(&self) -> Option<Writer> {
        None
    }
}

/// What is wrong if a call is not refused that has to be.
pub(crate) const REFUSED: &str = "nothing may be held, and yet there was a unit";

/// The calls of one thread. All of them panic if the ledger fails, because a figure of a failing
/// ledger means nothing.
pub(crate) trait Session: Send + 'static {
    type Product: Copy + Send + Sync + 'static;
    type Hold: Copy + Send + 'static;

    /// From now on, each hold is for the next one of these customers. Only for ledgers that were
    /// opened with a limit.
    fn serve(&mut self, _customers: Customers) {
        panic!("a ledger with a limit");
    }

    /// Holds one unit; `None` if none is left, or if a limit does not allow it.
    fn reserve(&mut self, product: Self::Product) -> Option<Self::Hold>;

    /// Sells the unit of a live hold.
    fn confirm(&mut self, hold: Self::Hold);

    /// Gives back the unit of a live hold.
    fn release(&mut self, hold: Self::Hold);

    /// Ends a live hold.
    #[inline]
    fn end(&mut self, hold: Self::Hold, end: End) {
        match end {
            End::Confirm => self.confirm(hold),
            End::Release => self.release(hold),
        }
    }

    /// How many pairs this session sends at once.
    fn depth(&self) -> usize {
        1
    }

    /// Holds one unit of each product, and then ends all these holds; at once, if the session has
    /// depth.
    fn pairs(&mut self, products: &[Self::Product], end: End) {
        for product in products {
            let hold = self.reserve(*product).expect("in stock");
            self.end(hold, end);
        }
    }

    /// Asks for one unit of each product, and must get none; at once, if the session has depth.
    fn refusals(&mut self, products: &[Self::Product]) {
        for product in products {
            assert!(self.reserve(*product).is_none(), "{REFUSED}");
        }
    }

    /// Waits until everything that this session did is on the disk. Does nothing if its ledger has
    /// no disk, or if its calls wait themselves.
    fn flush(&mut self) {}

    /// Whether single calls are slow, because they wait for a server or for the disk.
    fn is_slow(&self) -> bool {
        false
    }
}

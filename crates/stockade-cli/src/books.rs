//! Books on the side: what the audit log says of every product, summed up as it is written.
//!
//! The engine's log in memory keeps only the newest entries, so the program brings a sink of its own
//! that sees every one of them; where a journal is continued, the books begin with what that says. It knows nothing of the engine's counts: where both agree, neither
//! the counts nor the log have lost or made up a unit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stockade::{AdjustmentType, AuditBatch, AuditEntry, AuditSink, EntryType, SinkError};

/// Units of one product, by what the log says happened to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) received: u64,
    pub(crate) reserved: u64,
    pub(crate) sold: u64,
    /// Held units that became available again, expired ones among them.
    pub(crate) returned: u64,
    /// Those of `returned` whose hold had expired.
    pub(crate) expired: u64,
    pub(crate) written_off: u64,
    /// Units of movements that neither command ever asks for.
    pub(crate) foreign: u64,
}

impl Account {
    /// Units that are in the building: what came in, less what went.
    pub(crate) fn on_hand(&self) -> i128 {
        i128::from(self.received) - i128::from(self.written_off)
    }

    /// Units that are spoken for: reserved, and not given back since.
    pub(crate) fn spoken_for(&self) -> i128 {
        i128::from(self.reserved) - i128::from(self.returned)
    }

    /// Units that pending reservations hold.
    pub(crate) fn held(&self) -> i128 {
        self.spoken_for() - i128::from(self.sold)
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.reserved += other.reserved;
        self.sold += other.sold;
        self.returned += other.returned;
        self.expired += other.expired;
        self.written_off += other.written_off;
        self.foreign += other.foreign;
    }
}

/// The accounts of all products, and the length of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    accounts: HashMap<Arc<str>, Account, foldhash::fast::RandomState>,
    /// Entries of movements of units.
    pub(crate) movements: u64,
    /// All other entries.
    pub(crate) events: u64,
    /// Times that an entry did not follow the one before.
    pub(crate) gaps: u64,
    next_sequence: Option<u64>,
}

impl Books {
    /// What the log says of a product; nothing, if it never heard of it.
    pub(crate) fn account(&self, product: &str) -> Account {
        self.accounts.get(product).copied().unwrap_or_default()
    }

    /// What the log says of all products together.
    pub(crate) fn total(&self) -> Account {
        self.accounts.values().fold(Account::default(), |mut total, account| {
            total.add(account);
            total
        })
    }

    /// The products of which any units ever moved, in the order of their names.
    pub(crate) fn products(&self) -> Vec<&str> {
        let mut products: Vec<&str> = self.accounts.keys().map(|product| &**product).collect();
        products.sort_unstable();
        products
    }

    /// Notes the next entry of the log.
    pub(crate) fn take(&mut self, entry: &AuditEntry) {
        let gap = self.next_sequence.is_some_and(|expected| expected != entry.sequence);
        self.gaps += u64::from(gap);
        self.next_sequence = Some(entry.sequence + 1);
        let EntryType::Movement(movement) = entry.entry_type else {
            self.events += 1;
            return;
        };
        self.movements += 1;
        // A movement without a product is nobody's: it is kept under no name, and found missing.
        let product = entry.product.clone().unwrap_or_else(|| Arc::from(""));
        let account = self.accounts.entry(product).or_default();
        let units = u64::from(entry.quantity);
        match movement {
            AdjustmentType::Received => account.received += units,
            AdjustmentType::Reserved => account.reserved += units,
            AdjustmentType::Sold => account.sold += units,
            AdjustmentType::Returned => {
                account.returned += units;
                if entry.note("reason") == Some("expired") {
                    account.expired += units;
                }
            }
            AdjustmentType::Damaged => account.written_off += units,
            _ => account.foreign += units,
        }
    }
}

/// The sink that keeps the books. Clones keep the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Bookkeeper {
    books: Arc<Mutex<Books>>,
}

impl Bookkeeper {
    /// Goes on with books that say what happened before.
    pub(crate) fn new(history: Books) -> Self {
        Self { books: Arc::new(Mutex::new(history)) }
    }

    /// The books as they stand; complete only after a flush of the engine.
    pub(crate) fn books(&self) -> Books {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditSink for Bookkeeper {
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
        let mut books = self.lock();
        batch.entries().for_each(|entry| books.take(&entry));
        Ok(())
    }
}

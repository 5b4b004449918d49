//! Books: for every product, the sums of its entries in the audit log, kept while the log is
//! written.
//!
//! The engine's log in memory keeps only the newest entries, so the program adds its own sink,
//! which sees all of them. If a journal is resumed, the books begin with its history. They know
//! nothing of the engine's counts. If both agree, neither the counts nor the log have lost or
//! invented a unit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stockade::{AdjustmentType, AuditBatch, AuditEntry, AuditSink, EntryType, SinkError};

/// The units of one product, by kind of movement in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) received: u64,
    pub(crate) reserved: u64,
    pub(crate) sold: u64,
    /// Held units that became available again, expired ones included.
    pub(crate) returned: u64,
    /// The part of `returned` whose hold had expired.
    pub(crate) expired: u64,
    pub(crate) written_off: u64,
    /// Units of movements that neither command ever makes.
    pub(crate) foreign: u64,
}

impl Account {
    /// Units in the building: received minus left.
    pub(crate) fn on_hand(&self) -> i128 {
        i128::from(self.received) - i128::from(self.written_off)
    }

    /// Units that are spoken for: reserved, and not returned since.
    pub(crate) fn spoken_for(&self) -> i128 {
        i128::from(self.reserved) - i128::from(self.returned)
    }

    /// Units of pending reservations.
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
    /// Entries that move units.
    pub(crate) movements: u64,
    /// Entries that move none.
    pub(crate) events: u64,
    /// How many times a sequence number did not follow the one before.
    pub(crate) gaps: u64,
    next_sequence: Option<u64>,
}

impl Books {
    /// The account of a product; empty if the log has no entry of it.
    pub(crate) fn account(&self, product: &str) -> Account {
        self.accounts.get(product).copied().unwrap_or_default()
    }

    /// The sum of all accounts.
    pub(crate) fn total(&self) -> Account {
        self.accounts.values().fold(Account::default(), |mut total, account| {
            total.add(account);
            total
        })
    }

    /// The products with any movement, ordered by name.
    pub(crate) fn products(&self) -> Vec<&str> {
        let mut products: Vec<&str> = self.accounts.keys().map(|product| &**product).collect();
        products.sort_unstable();
        products
    }

    /// Adds the next entry of the log.
    pub(crate) fn take(&mut self, entry: &AuditEntry) {
        let gap = self.next_sequence.is_some_and(|expected| expected != entry.sequence);
        self.gaps += u64::from(gap);
        self.next_sequence = Some(entry.sequence + 1);
        let EntryType::Movement(movement) = entry.entry_type else {
            self.events += 1;
            return;
        };
        self.movements += 1;
        // A movement must name a product. One without goes to an account with an empty name, where
        // the comparison finds it.
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

/// The sink that keeps the books. Clones share the same books.
#[derive(Clone, Debug)]
pub(crate) struct Bookkeeper {
    books: Arc<Mutex<Books>>,
}

impl Bookkeeper {
    /// Continues the books of an earlier run.
    pub(crate) fn new(history: Books) -> Self {
        Self { books: Arc::new(Mutex::new(history)) }
    }

    /// A copy of the books so far. It is complete only after a flush of the engine.
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

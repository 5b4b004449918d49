//! Builds an engine from its warehouses, limits, clock and sink.

use std::collections::HashSet;
use std::sync::Arc;

use crate::audit::queue::Backpressure;
use crate::audit::sink::AuditSink;
use crate::base::clock::{Clock, SystemClock};
use crate::base::error::{BuildError, InvalidName, MAX_NAME_BYTES};
use crate::base::quantity::MAX_UNITS;
use crate::engine::Time;
use crate::engine::durability::Durabilities;
use crate::engine::journal::JournalOptions;
use crate::engine::opening::limits::{Limits, check};
use crate::engine::opening::spec::WarehouseSpec;
use crate::policy::alerts::StockAlertListener;
use crate::policy::approval::{ApprovalPolicy, ManualApproval};
use crate::reservation::id::Randomness;

/// The settings of a new engine; see
/// [`InventoryManager::builder`](crate::InventoryManager::builder). Only warehouses are required.
#[must_use = "nothing is built before `build` is called"]
pub struct Builder {
    pub(in crate::engine) warehouses: Vec<WarehouseSpec>,
    pub(in crate::engine) limits: Limits,
    pub(in crate::engine) clock: Time,
    pub(in crate::engine) randomness: Randomness,
    pub(in crate::engine) backpressure: Backpressure,
    pub(in crate::engine) sink: Option<Box<dyn AuditSink>>,
    pub(in crate::engine) approval_policy: Box<dyn ApprovalPolicy>,
    pub(in crate::engine) listeners: Vec<Arc<dyn StockAlertListener>>,
    pub(in crate::engine) durabilities: Durabilities,
    pub(in crate::engine) journal: Option<JournalOptions>,
    pub(in crate::engine) sweeper: bool,
    pub(in crate::engine) threads: bool,
    pub(in crate::engine) subject_secret: Option<[u8; 16]>,
    pub(in crate::engine) index_holders: bool,
}

impl Builder {
    pub(in crate::engine) fn new() -> Self {
        Self {
            warehouses: Vec::new(),
            limits: Limits::new(),
            clock: Time::System(SystemClock::new()),
            randomness: Randomness::Secure,
            backpressure: Backpressure::Wait,
            sink: None,
            approval_policy: Box::new(ManualApproval),
            listeners: Vec::new(),
            durabilities: Durabilities::default(),
            journal: None,
            sweeper: true,
            threads: true,
            subject_secret: None,
            index_holders: false,
        }
    }

    /// Adds a warehouse: a name, or a [`WarehouseSpec`] with capacity and threshold. An engine
    /// needs at least one, and can have 65,535.
    pub fn warehouse(mut self, warehouse: impl Into<WarehouseSpec>) -> Self {
        self.warehouses.push(warehouse.into());
        self
    }

    /// Limits how much the engine holds, and for how long.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the clock. It stamps records, and decides which holds are overdue. Default: the
    /// system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Time::Given(Box::new(clock));
        self
    }

    /// Sets what a call does while the audit queue is nearly full, or while another call with the
    /// same idempotency key is in progress. It waits (the default), or returns an error at once,
    /// which suits async callers.
    pub fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// Adds a sink that receives every audit entry, before the entry shows in the log.
    pub fn sink(mut self, sink: impl AuditSink) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// Sets which transfer requests are approved without a person. Default: [`ManualApproval`],
    /// none.
    ///
    /// ```
    /// use stockade::{ApproveBelow, InventoryManager};
    /// let manager = InventoryManager::builder()
    ///     .warehouse("SF")
    ///     .warehouse("NYC")
    ///     .approval_policy(ApproveBelow::new(100))
    ///     .build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 500, "SUPPLIER")?;
    /// manager.request_transfer("SF", "NYC", "LAPTOP", 99)?;
    /// manager.request_transfer("SF", "NYC", "LAPTOP", 100)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP"))?, 99);
    /// assert_eq!(manager.transfer_requests().len(), 1);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn approval_policy(mut self, policy: impl ApprovalPolicy) -> Self {
        self.approval_policy = Box::new(policy);
        self
    }

    /// Whether the sweeper runs: a thread that expires overdue holds in the background. Default:
    /// yes. Without it, a hold expires when a call meets it or needs its units.
    pub fn sweeper(mut self, on: bool) -> Self {
        self.sweeper = on;
        self
    }

    /// Sets the secret with which the engine hashes the subjects of
    /// [limits](crate::InventoryManager::define_limit): customers, households, cards. Records,
    /// journals and errors have only the hashes. So a subject's id can be told from nothing that
    /// the engine keeps, unless somebody has the secret and tries ids.
    ///
    /// Draw 16 random bytes once, and keep them as you keep a password. An opening of a journal
    /// with limits needs the secret that the journal was written with
    /// ([`JournalError::OtherSecret`](crate::JournalError::OtherSecret)): under another one, nobody
    /// would have drawn anything. Without a secret there is no limit by subject.
    pub fn subject_secret(mut self, secret: [u8; 16]) -> Self {
        self.subject_secret = Some(secret);
        self
    }

    /// Whether the engine keeps an index of who has which live holds: by owner, and by subject of
    /// limits. Then [`holds_of`](crate::InventoryManager::holds_of),
    /// [`holds_of_subject`](crate::InventoryManager::holds_of_subject) and
    /// [`release_holds_of`](crate::InventoryManager::release_holds_of) look into it, and don't go
    /// through all slots. Default: no.
    ///
    /// A hold without an owner that draws under no limit costs the same with the index. Any other
    /// takes a short lock at its begin and at its end for each owner and subject, and some 60 bytes
    /// while it is live.
    pub fn index_holders(mut self, on: bool) -> Self {
        self.index_holders = on;
        self
    }

    /// Adds a listener for the alerts of all warehouses. More can be registered at any time.
    pub fn listener(mut self, listener: impl StockAlertListener) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }

    /// Generates ids from a seed: the same calls give the same ids. For tests.
    #[cfg(feature = "testing")]
    pub fn seed(mut self, seed: u64) -> Self {
        self.randomness = Randomness::seeded(seed);
        self
    }

    /// Starts no threads. [`run_until_idle`](crate::InventoryManager::run_until_idle) does the
    /// background work, so a test decides when. A `flush` writes the log at once.
    #[cfg(feature = "testing")]
    pub fn without_threads(mut self) -> Self {
        self.threads = false;
        self
    }

    /// Validates the settings.
    pub(in crate::engine) fn check(&self) -> Result<(), BuildError> {
        let count = self.warehouses.len();
        if count == 0 || self.limits.ceilings.warehouses.admits(count).is_err() {
            return Err(BuildError::Warehouses { warehouses: count });
        }
        let mut names = HashSet::new();
        for WarehouseSpec { name, capacity, threshold, .. } in &self.warehouses {
            if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
                return Err(InvalidName { bytes: name.len() }.into());
            }
            if !names.insert(name) {
                return Err(BuildError::Twice { warehouse: name.clone() });
            }
            if !(1..=MAX_UNITS).contains(capacity) {
                return Err(BuildError::Capacity { warehouse: name.clone(), units: *capacity });
            }
            check(
                threshold.is_none_or(|units| units < MAX_UNITS),
                "threshold",
                "less than 2^31-1 units",
            )?;
        }
        self.limits.check()
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("warehouses", &self.warehouses).finish_non_exhaustive()
    }
}

//! Building an engine: its warehouses, its bounds, its clock and its sink.

use std::collections::HashSet;
use std::sync::Arc;

use crate::audit::queue::Backpressure;
use crate::audit::sink::AuditSink;
use crate::base::clock::{Clock, SystemClock};
use crate::base::error::{BuildError, InvalidName, MAX_NAME_BYTES};
use crate::base::quantity::MAX_UNITS;
use crate::engine::durability::Durabilities;
use crate::engine::journal::JournalOptions;
use crate::engine::limits::{Limits, check};
use crate::engine::spec::WarehouseSpec;
use crate::policy::alerts::StockAlertListener;
use crate::policy::approval::{ApprovalPolicy, ManualApproval};
use crate::reservation::id::Randomness;

/// Settings of an engine to be; see [`InventoryManager::builder`](crate::InventoryManager::builder). Only warehouses have to be given.
#[must_use = "nothing is built before `build` is called"]
pub struct Builder {
    pub(super) warehouses: Vec<WarehouseSpec>,
    pub(super) limits: Limits,
    pub(super) clock: Box<dyn Clock>,
    pub(super) randomness: Randomness,
    pub(super) backpressure: Backpressure,
    pub(super) sink: Option<Box<dyn AuditSink>>,
    pub(super) approval_policy: Box<dyn ApprovalPolicy>,
    pub(super) listeners: Vec<Arc<dyn StockAlertListener>>,
    pub(super) durabilities: Durabilities,
    pub(super) journal: Option<JournalOptions>,
    pub(super) sweeper: bool,
    pub(super) threads: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            warehouses: Vec::new(),
            limits: Limits::new(),
            clock: Box::new(SystemClock::new()),
            randomness: Randomness::Secure,
            backpressure: Backpressure::Wait,
            sink: None,
            approval_policy: Box::new(ManualApproval),
            listeners: Vec::new(),
            durabilities: Durabilities::default(),
            journal: None,
            sweeper: true,
            threads: true,
        }
    }

    /// Adds a warehouse: a name, or a [`WarehouseSpec`] with capacity and threshold. At least one is
    /// needed, and at most 65,535 are possible.
    pub fn warehouse(mut self, warehouse: impl Into<WarehouseSpec>) -> Self {
        self.warehouses.push(warehouse.into());
        self
    }

    /// How much the engine holds, and for how long.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The clock that stamps, and that decides what is overdue. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// What a call does while the audit queue is nearly full, or another call with the same key is
    /// under way: wait (the default), or be refused at once, for async callers.
    pub fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// Also hands every audit entry to this sink, before it shows in the log.
    pub fn sink(mut self, sink: impl AuditSink) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// Which requested transfers need nobody's approval. Default: [`ManualApproval`], none.
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

    /// Whether a thread ends overdue holds in the background. Default: yes. Without it, they end
    /// when a call meets them or needs their units.
    pub fn sweeper(mut self, on: bool) -> Self {
        self.sweeper = on;
        self
    }

    /// A listener for the alerts of all warehouses; more can be registered at any time.
    pub fn listener(mut self, listener: impl StockAlertListener) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }

    /// Makes ids from a seed: the same calls give the same ids. For tests.
    #[cfg(feature = "testing")]
    pub fn seed(mut self, seed: u64) -> Self {
        self.randomness = Randomness::seeded(seed);
        self
    }

    /// Starts no threads: background work is done by
    /// [`run_until_idle`](crate::InventoryManager::run_until_idle), so that a test decides when. A
    /// `flush` has the log written at once.
    #[cfg(feature = "testing")]
    pub fn without_threads(mut self) -> Self {
        self.threads = false;
        self
    }

    /// Refuses what can't be.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        let count = self.warehouses.len();
        if !(1..=usize::from(u16::MAX)).contains(&count) {
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

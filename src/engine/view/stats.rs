//! The engine seen from outside: figures, and how it is.

use std::time::Duration;

use crate::base::error::NotStarted;
use crate::engine::journal::JournalLink;
use crate::engine::{Engine, InventoryManager, Refusal};

/// Figures of the engine, each read by itself: not one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that wait in the audit queue.
    pub queue_depth: usize,
    /// How many it has room for.
    pub queue_capacity: usize,
    /// Calls that waited for room in the queue.
    pub queue_waits: u64,
    /// Calls that were refused because the queue was nearly full.
    pub queue_refusals: u64,
    /// Records that were queued and are not written yet, among them those that a failed sink keeps.
    pub unwritten: u64,
    /// Entries that the audit log keeps.
    pub audit_kept: u64,
    /// Entries that have left the audit log.
    pub audit_evicted: u64,
    /// Slots with a live line of a reservation, or on their way. Computed from the two below, so
    /// that a magazine of slots that is moved at this moment may be counted as neither, or twice:
    /// while holds come and go it is some dozens off, and 0 does not mean that none is held.
    pub slots_live: usize,
    /// Slots whose finished record is kept readable.
    pub slots_retained: usize,
    /// Slots that stand ready for new holds; more are added up to the configured maximum.
    pub slots_free: usize,
    /// The most slots there may be.
    pub slots_max: u32,
    /// Requests whose key is remembered.
    pub keys: usize,
    /// Reserves and baskets that were refused, by cause.
    pub refusals: Refusals,
    /// How long the most overdue hold has been waiting for the sweeper, at most.
    pub sweeper_lag: Duration,
    /// Levels with an alert that not all listeners have heard.
    pub alert_backlog: usize,
    /// Calls of listeners that panicked.
    pub alert_panics: u64,
    /// Products that have a name.
    pub products: usize,
    /// Stock levels that are open.
    pub levels: usize,
}

/// Why reserves and baskets were refused, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// A level was short.
    pub insufficient: u64,
    /// All slots were in use.
    pub full: u64,
    /// The warehouse was suspended.
    pub suspended: u64,
    /// The engine took no calls: busy, stopped or closed.
    pub unavailable: u64,
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// All is well.
    Ok,
    /// It works, but something is behind or missing.
    Degraded {
        /// What.
        reason: String,
    },
    /// It takes no calls that move stock; if a sink failed, it takes them again once that recovers.
    Stopped {
        /// Why.
        reason: String,
    },
    /// The audit writer has died, and the engine has to be built anew.
    Poisoned,
}

/// From here on the sweeper is behind.
const SWEEPER_BEHIND: Duration = Duration::from_secs(5);

impl InventoryManager {
    /// Figures of the engine. Takes no lock, and never waits.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// How the engine is. With a journal, asks the system how much space is left on its disk.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// assert_eq!(manager.health(), stockade::Health::Ok);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn health(&self) -> Health {
        self.engine.health()
    }
}

impl Engine {
    fn stats(&self) -> Stats {
        let (waits, slots, log) = (self.recorder.waits(), self.slots.counts(), self.recorder.log());
        let refused = |cause: Refusal| self.refusals.sum(cause as usize);
        Stats {
            queue_depth: self.recorder.queue.len(),
            queue_capacity: self.recorder.queue.capacity(),
            queue_waits: waits.waited + waits.pressed,
            queue_refusals: waits.refused,
            unwritten: self.recorder.unwritten(),
            audit_kept: log.len(),
            audit_evicted: log.evicted(),
            slots_live: slots.live,
            slots_retained: slots.retained,
            slots_free: slots.free,
            slots_max: self.max_slots,
            keys: self.keys.len(),
            refusals: Refusals {
                insufficient: refused(Refusal::Insufficient),
                full: refused(Refusal::Full),
                suspended: refused(Refusal::Suspended),
                unavailable: refused(Refusal::Unavailable),
            },
            sweeper_lag: self.sweeper_lag(),
            alert_backlog: self.dispatcher.backlog(),
            alert_panics: self.dispatcher.panics(),
            products: self.catalog.product_count(),
            levels: self.catalog.level_count(),
        }
    }

    fn sweeper_lag(&self) -> Duration {
        self.now().saturating_since(self.slots.next_due())
    }

    fn health(&self) -> Health {
        match self.check_gate() {
            Ok(()) => {}
            Err(NotStarted::Poisoned) => return Health::Poisoned,
            Err(shut) => return Health::Stopped { reason: shut.to_string() },
        }
        let lag = self.sweeper_lag();
        let depth = self.recorder.queue.len();
        let reason = if depth * 4 >= self.recorder.queue.capacity() * 3 {
            format!("the audit queue is nearly full: {depth} records wait")
        } else if self.sweeping.has_sweeper() && lag > SWEEPER_BEHIND {
            format!("the sweeper is {lag:?} behind")
        } else if self.dispatcher.has_ended() {
            "the thread that delivers alerts has ended".to_owned()
        } else if let Some(problem) = self.journal.as_ref().and_then(JournalLink::problem) {
            problem
        } else {
            return Health::Ok;
        };
        Health::Degraded { reason }
    }
}

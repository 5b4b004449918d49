//! Figures of an engine, and its health.

use std::time::Duration;

#[cfg(feature = "metrics")]
use crate::audit::tally::EntryCounts;
use crate::base::error::NotStarted;
#[cfg(feature = "serde")]
use crate::base::serialize::{millis, millis_if_any};
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::reservation::holders::HolderIndex;

/// Figures of an engine. Each one is read by itself, so together they do not show one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Records in the audit queue.
    pub queue_depth: usize,
    /// How many records the audit queue can hold.
    pub queue_capacity: usize,
    /// How many calls have waited for room in the queue.
    pub queue_waits: u64,
    /// How many calls were refused because the queue was nearly full.
    pub queue_refusals: u64,
    /// Records that were queued and are not written yet, including those that wait for a failed
    /// sink.
    pub unwritten: u64,
    /// How many entries were written since the engine was opened, by type.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub written: EntryCounts,
    /// Entries in the audit log in memory.
    pub audit_kept: u64,
    /// Entries that the audit log in memory has evicted.
    pub audit_evicted: u64,
    /// Slots with a line of a live reservation, or about to have one. It is computed from the two
    /// figures below. A magazine of free slots that moves at this moment may be missed or counted
    /// twice. So under load it is off by some dozens, and 0 does not prove that there is no hold.
    pub slots_live: usize,
    /// Slots that keep the record of a finished reservation.
    pub slots_retained: usize,
    /// How many slots were given to new holds before the finished record in them was as old as
    /// [`Limits::retention`](crate::Limits::retention) says, because there were too many of them,
    /// or no other slot ([`WhenFull::DropOldest`](crate::WhenFull::DropOldest)). Near the maximum
    /// of slots, some that were taken and put back unused count too.
    pub records_dropped_early: u64,
    /// For how long the oldest finished records have been over, in memory; `None` if few are
    /// retained, some hundreds a thread at most.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "oldest_record_ms", serialize_with = "millis_if_any::serialize")
    )]
    pub oldest_record: Option<Duration>,
    /// Free slots that are ready for new holds. More are allocated on demand, up to `slots_max`.
    pub slots_free: usize,
    /// The maximum number of slots.
    pub slots_max: u32,
    /// Entries in the index of holders: one for each owner and for each subject of a live hold. 0
    /// without the index ([`Builder::index_holders`](crate::Builder::index_holders)).
    pub holders_indexed: usize,
    /// Idempotency keys in memory, with those of calls under way, and retakes.
    pub keys: usize,
    /// The maximum number of keys in memory.
    pub keys_max: usize,
    /// For how long the oldest stored key has been stored; `None` if no key is.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "oldest_key_ms", serialize_with = "millis_if_any::serialize")
    )]
    pub oldest_key: Option<Duration>,
    /// How many keys have left before their time, because there was no room
    /// ([`WhenFull::DropOldest`](crate::WhenFull::DropOldest)). A retry of their calls runs again.
    pub keys_dropped_early: u64,
    /// The outcome files of the journal.
    pub outcomes: OutcomeFigures,
    /// How many reserves and baskets were refused, by cause.
    pub refusals: Refusals,
    /// How many holds were ended because they were overdue, by the sweeper or by a call that needed
    /// their units.
    pub expired: u64,
    /// The journal: what was written, synced and checked.
    pub journal: JournalFigures,
    /// How long the most overdue hold has waited for the sweeper. This is an upper bound.
    #[cfg_attr(feature = "serde", serde(rename = "sweeper_lag_ms", with = "millis"))]
    pub sweeper_lag: Duration,
    /// Levels with an alert that not all listeners have received.
    pub alert_backlog: usize,
    /// How many calls of listeners have panicked.
    pub alert_panics: u64,
    /// How many products the engine knows.
    pub products: usize,
    /// How many stock levels are open.
    pub levels: usize,
}

/// Figures of the outcome files: answers of idempotency keys and outcomes of reservations that
/// outlive memory. All are 0 without a journal, or without its auditor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OutcomeFigures {
    /// Files. They are merged, so there are few.
    pub files: usize,
    /// Answers and outcomes in them. What is too old, or was replaced, counts until the next merge.
    pub entries: u64,
    /// Bytes that they take on the disk.
    pub disk_bytes: u64,
    /// Bytes of memory that their filters and indexes take.
    pub memory: usize,
    /// How many of these are filters: what tells of a new key, without a read, that it is new.
    pub filter_memory: usize,
    /// Parts of files, of 65,536 entries at most, whose filter found no room in memory
    /// (`JournalOptions::outcome_memory`). A new key reads a page of each file that has such a part
    /// where the key would lie. 0: one new key in ten thousand does.
    pub unfiltered: usize,
    /// How old the oldest entry is, a key's answer or a reservation's outcome, in journal time.
    #[cfg_attr(feature = "serde", serde(rename = "oldest_ms", with = "millis"))]
    pub oldest: Duration,
    /// Answers that wait in memory until their file is written.
    pub waiting: usize,
}

/// Figures of the journal since the engine was opened. All are 0 without a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct JournalFigures {
    /// Bytes that were appended to segments.
    pub appended_bytes: u64,
    /// How many syncs have made something durable, in whatever thread. Those of an opening, of a
    /// new segment after a failure, and of the close mark are not among them.
    pub syncs: u64,
    /// How often the journal has failed, by a sync or because its place changed.
    pub sync_failures: u64,
    /// How many entries these syncs have made durable. Over `syncs`, it is the mean group.
    pub synced_entries: u64,
    /// How long these syncs took, all together.
    #[cfg_attr(feature = "serde", serde(rename = "sync_time_ms", with = "millis"))]
    pub sync_time: Duration,
    /// How long the newest of them took.
    #[cfg_attr(feature = "serde", serde(rename = "last_sync_ms", with = "millis"))]
    pub last_sync: Duration,
    /// Entries that are written and not durable yet. `Stats::unwritten` has those before them.
    pub unsynced_entries: u64,
    /// For how long the oldest of these has been written, at most; zero if there is none.
    #[cfg_attr(feature = "serde", serde(rename = "oldest_unsynced_ms", with = "millis"))]
    pub oldest_unsynced: Duration,
    /// Durable entries that the auditor has not checked yet; 0 without an auditor.
    pub unaudited: u64,
    /// Whether the auditor found a broken law or damage, or has died. `health` says which.
    pub audit_failed: bool,
}

/// How many reserves and baskets were refused, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Refusals {
    /// A level had too few available units.
    pub insufficient: u64,
    /// All slots were in use.
    pub full: u64,
    /// The warehouse was suspended.
    pub suspended: u64,
    /// The engine accepted no calls: its queue was nearly full, or it was stopped or closed.
    pub unavailable: u64,
    /// A [limit per subject](crate::InventoryManager::define_limit) refused it.
    pub limited: u64,
}

/// The health of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Health {
    /// All is well.
    Ok,
    /// The engine works, but a part of it is late or has failed.
    Degraded {
        /// Which part, in words.
        reason: String,
    },
    /// The engine refuses calls that move stock. If the cause is a failed sink, it accepts them
    /// again once the sink recovers.
    Stopped {
        /// The cause, in words.
        reason: String,
    },
    /// The audit writer has died. The engine must be built again.
    Poisoned,
}

/// From this lag on, the health is `Degraded`.
const SWEEPER_BEHIND: Duration = Duration::from_secs(5);
/// From this time on, a sink that has not returned shows in the health.
const SINK_STUCK: Duration = Duration::from_secs(1);

/// Whether so much of what there is room for is taken that the health is `Degraded`: 4 of 5.
fn is_short(taken: usize, most: usize) -> bool {
    taken as u128 * 5 >= most as u128 * 4
}

impl InventoryManager {
    /// Figures of the engine. Takes no lock, but for those of the outcome files and of the
    /// journal's syncs, which are held for a moment at a time. Never waits for the disk.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The health of the engine. With a journal, it asks the operating system for the free space on
    /// the journal's disk, and whether the journal's directory, lock and segment are those that the
    /// engine opened. If not, the engine stops, as it would at its next sync. If the retention
    /// removes segments, it reads the small files of named consumers.
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
        let (keys, now) = (self.keys.in_stock(), self.now());
        let refused = |cause: Refusal| self.refusals.sum(cause as usize);
        Stats {
            queue_depth: self.recorder.queue.len(),
            queue_capacity: self.recorder.queue.capacity(),
            queue_waits: waits.waited + waits.pressed,
            queue_refusals: waits.refused,
            unwritten: self.recorder.unwritten(),
            #[cfg(feature = "metrics")]
            written: self.recorder.tally.counts(),
            audit_kept: log.len(),
            audit_evicted: log.evicted(),
            slots_live: slots.live,
            slots_retained: slots.retained,
            records_dropped_early: slots.taken_early,
            oldest_record: slots.oldest.map(|at| now.saturating_since(at)),
            slots_free: slots.free,
            slots_max: self.max_slots,
            holders_indexed: self.slots.holders().map_or(0, HolderIndex::len),
            keys: self.keys.len(),
            keys_max: self.keys.most(),
            oldest_key: keys.oldest.map(|at| now.saturating_since(at)),
            keys_dropped_early: keys.dropped_early,
            outcomes: self.outcome_figures(),
            refusals: Refusals {
                insufficient: refused(Refusal::Insufficient),
                full: refused(Refusal::Full),
                suspended: refused(Refusal::Suspended),
                unavailable: refused(Refusal::Unavailable),
                limited: refused(Refusal::Limited),
            },
            expired: self.sweeping.expired(),
            journal: self.journal.as_ref().map(|it| it.figures()).unwrap_or_default(),
            sweeper_lag: self.sweeper_lag(),
            alert_backlog: self.dispatcher.backlog(),
            alert_panics: self.dispatcher.panics(),
            products: self.catalog.product_count(),
            levels: self.catalog.level_count(),
        }
    }

    fn outcome_figures(&self) -> OutcomeFigures {
        let kept = self.journal.as_ref().and_then(|journal| journal.outcome_figures(self.now()));
        kept.map_or_else(OutcomeFigures::default, |kept| OutcomeFigures {
            waiting: self.keys.unsettled(),
            ..kept
        })
    }

    fn sweeper_lag(&self) -> Duration {
        self.now().saturating_since(self.slots.next_due())
    }

    /// What `health` says of finished records: some are missing whose time is not up, or room is
    /// short. Where outcome files tell what records told, none is missed.
    fn problem_of_records(&self) -> Option<String> {
        if self.journal.as_ref().is_some_and(|journal| journal.keeps_answers()) {
            return None;
        }
        let slots = self.slots.counts();
        if slots.missing_until.is_some_and(|until| self.now() <= until) {
            let dropped = slots.taken_early;
            return Some(format!(
                "{dropped} records of reservations were dropped before their time"
            ));
        }
        let (taken, most) = (slots.live + slots.retained, self.max_slots as usize);
        (self.slots.keeps_all() && is_short(taken, most))
            .then(|| format!("{taken} of {most} slots for reservations and records are taken"))
    }

    /// What `health` says of the stored keys: answers are missing whose time is not up, or room is
    /// short.
    fn problem_of_keys(&self) -> Option<String> {
        let stock = self.keys.in_stock();
        if stock.missing_until.is_some_and(|until| self.now() <= until) {
            let dropped = stock.dropped_early;
            return Some(format!("{dropped} idempotency keys were dropped before their time"));
        }
        let (keys, most) = self.keys.taken();
        is_short(keys, most)
            .then(|| format!("{keys} of {most} places for idempotency keys are taken"))
    }

    /// What takes too long of what the engine calls and did not write.
    fn foreign_problem(&self) -> Option<String> {
        let sink = self.recorder.sink_watch.longer_than(SINK_STUCK);
        let sink = sink.map(|it| format!("the audit sink has not returned for {it:?}"));
        sink.or_else(|| self.recorder.wakers.problem()).or_else(|| self.dispatcher.problem())
    }

    fn health(&self) -> Health {
        if let Some(journal) = self.journal.as_ref().filter(|_| self.check_gate().is_ok()) {
            journal.look_at_place();
        }
        match self.check_gate() {
            Ok(()) => {}
            Err(NotStarted::Poisoned) => return Health::Poisoned,
            Err(shut) => return Health::Stopped { reason: shut.to_string() },
        }
        let apart = self.compare_clock();
        let lag = self.sweeper_lag();
        let depth = self.recorder.queue.len();
        let reason = if depth * 4 >= self.recorder.queue.capacity() * 3 {
            format!("the audit queue is nearly full: {depth} records wait")
        } else if self.sweeping.has_sweeper() && lag > SWEEPER_BEHIND {
            format!("the sweeper is {lag:?} behind")
        } else if let Some(problem) = self.problem_of_keys() {
            problem
        } else if let Some(problem) = self.problem_of_records() {
            problem
        } else if self.dispatcher.has_ended() {
            "the thread that delivers alerts has ended".to_owned()
        } else if let Some(problem) = self.foreign_problem() {
            problem
        } else if let Some(problem) = self.journal.as_ref().and_then(|it| it.problem(self.now())) {
            problem
        } else if let Some(apart) = apart {
            format!("the engine's clock is {apart}")
        } else {
            return Health::Ok;
        };
        Health::Degraded { reason }
    }
}

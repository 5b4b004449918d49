//! The figures of an engine for the recorder of the `metrics` crate.
//!
//! No call pays for it: it reads [`Stats`]. Only the audit writer counts something for it, entries
//! by type.

use std::time::Duration;

use metrics::{Label, SharedString, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::audit::entry::EntryType;
use crate::audit::tally::EntryCounts;
use crate::engine::InventoryManager;
use crate::engine::view::stats::{Health, JournalFigures, OutcomeFigures, Stats};

/// The names of the gauges, each with its unit and its meaning.
const GAUGES: &[(&str, Unit, &str)] = &[
    ("stockade_ready", Unit::Count, "1 if calls that move stock are taken"),
    ("stockade_degraded", Unit::Count, "1 if the engine works, but a part is late or has failed"),
    ("stockade_audit_queue_depth", Unit::Count, "records in the audit queue"),
    ("stockade_audit_queue_capacity", Unit::Count, "the most records in the audit queue"),
    ("stockade_unwritten_records", Unit::Count, "records that are queued and not written"),
    ("stockade_audit_kept_entries", Unit::Count, "entries in the audit log in memory"),
    ("stockade_slots", Unit::Count, "slots, by state: live holds, finished records, free"),
    ("stockade_slots_max", Unit::Count, "the most slots"),
    ("stockade_oldest_record_seconds", Unit::Seconds, "age of the oldest finished record"),
    ("stockade_holders_indexed", Unit::Count, "entries in the index of holders"),
    ("stockade_sweeper_lag_seconds", Unit::Seconds, "how long the most overdue hold waits"),
    ("stockade_keys", Unit::Count, "idempotency keys in memory"),
    ("stockade_keys_max", Unit::Count, "the most idempotency keys in memory"),
    ("stockade_oldest_key_seconds", Unit::Seconds, "age of the oldest key in memory"),
    ("stockade_alert_backlog", Unit::Count, "levels with an alert that is not delivered"),
    ("stockade_products", Unit::Count, "products that the engine knows"),
    ("stockade_levels", Unit::Count, "stock levels that are open"),
    ("stockade_journal_unsynced_entries", Unit::Count, "written entries that are not durable"),
    ("stockade_journal_unsynced_seconds", Unit::Seconds, "age of the oldest of them, at most"),
    ("stockade_journal_sync_time_seconds", Unit::Seconds, "time of all syncs; it only grows"),
    ("stockade_journal_last_sync_seconds", Unit::Seconds, "time of the newest sync"),
    ("stockade_journal_free_bytes", Unit::Bytes, "free space on the journal's disk"),
    ("stockade_auditor_lag_entries", Unit::Count, "durable entries that are not checked yet"),
    ("stockade_auditor_failed", Unit::Count, "1 if a law is broken, or the auditor has ended"),
    ("stockade_consumers", Unit::Count, "named consumers of the journal"),
    ("stockade_consumer_lag_entries", Unit::Count, "how far the last consumer is behind"),
    ("stockade_outcome_files", Unit::Count, "outcome files"),
    ("stockade_outcome_entries", Unit::Count, "answers and outcomes in the outcome files"),
    ("stockade_outcome_disk_bytes", Unit::Bytes, "what outcome files take on the disk"),
    ("stockade_outcome_memory_bytes", Unit::Bytes, "what outcome files take in memory"),
    ("stockade_outcome_unfiltered_parts", Unit::Count, "parts without a filter in memory"),
    ("stockade_oldest_outcome_seconds", Unit::Seconds, "age of the oldest answer or outcome"),
    ("stockade_outcome_waiting_answers", Unit::Count, "answers that wait for their file"),
];

/// The same of the counters.
const COUNTERS: &[(&str, Unit, &str)] = &[
    ("stockade_refusals_total", Unit::Count, "refused reserves and baskets, by cause"),
    ("stockade_entries_total", Unit::Count, "entries written, by type"),
    ("stockade_units_total", Unit::Count, "units of these entries, by type"),
    ("stockade_expired_holds_total", Unit::Count, "holds that ended because they were overdue"),
    ("stockade_audit_queue_waits_total", Unit::Count, "calls that waited for room in the queue"),
    ("stockade_audit_queue_refusals_total", Unit::Count, "calls refused for want of room"),
    ("stockade_audit_evicted_entries_total", Unit::Count, "entries that have left memory"),
    ("stockade_records_dropped_early_total", Unit::Count, "records dropped before their time"),
    ("stockade_keys_dropped_early_total", Unit::Count, "keys dropped before their time"),
    ("stockade_alert_panics_total", Unit::Count, "calls of listeners that panicked"),
    ("stockade_journal_appended_bytes_total", Unit::Bytes, "bytes appended to the journal"),
    ("stockade_journal_syncs_total", Unit::Count, "syncs that made something durable"),
    ("stockade_journal_sync_failures_total", Unit::Count, "failures of the journal's disk"),
    ("stockade_journal_synced_entries_total", Unit::Count, "entries that syncs made durable"),
];

/// Tells the recorder of the `metrics` crate the unit and the meaning of each metric. Call it once,
/// after the recorder is installed. What [`publish_metrics`](InventoryManager::publish_metrics)
/// publishes needs no description.
pub fn describe_metrics() {
    for (name, unit, meaning) in GAUGES {
        describe_gauge!(*name, *unit, *meaning);
    }
    for (name, unit, meaning) in COUNTERS {
        describe_counter!(*name, *unit, *meaning);
    }
}

/// # Metrics
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl InventoryManager {
    /// Hands the figures of the engine to the recorder of the `metrics` crate: those of
    /// [`stats`](Self::stats) and [`health`](Self::health), the free space, and how far consumers
    /// are behind. Call it before each scrape, or on a timer. The engine never calls it. The page
    /// `docs/metrics.md` lists the metrics, and says when to raise an alarm.
    ///
    /// Cost: a look-up in the recorder for each of some eighty series, and what `stats` and
    /// `health` cost. Other calls pay nothing. Without a recorder it publishes nothing.
    ///
    /// It takes no lock that a call which moves stock waits for. With a journal it asks the
    /// operating system as `health` does, and reads the small files of named consumers, so it may
    /// wait for the disk. In async code, call it where blocking is allowed.
    ///
    /// Gauges of one publish do not show one instant. Counters begin at 0 with each engine, as
    /// Prometheus expects of a restart, but for the entries that have left memory. Several engines
    /// of one process need names: see [`publish_metrics_as`](Self::publish_metrics_as).
    ///
    /// The recorder is called in this thread and under no lock; it may call the engine. If it
    /// panics, the panic goes on to the caller, and the engine is as before.
    ///
    /// ```
    /// # struct Nothing;
    /// # impl metrics::Recorder for Nothing {
    /// #     fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>,
    /// #         _: metrics::SharedString) {}
    /// #     fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>,
    /// #         _: metrics::SharedString) {}
    /// #     fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>,
    /// #         _: metrics::SharedString) {}
    /// #     fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>)
    /// #         -> metrics::Counter { metrics::Counter::noop() }
    /// #     fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>)
    /// #         -> metrics::Gauge { metrics::Gauge::noop() }
    /// #     fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>)
    /// #         -> metrics::Histogram { metrics::Histogram::noop() }
    /// # }
    /// use stockade::InventoryManager;
    ///
    /// // Once, at the start: your exporter's recorder, and the descriptions.
    /// # let recorder = Nothing;
    /// metrics::set_global_recorder(recorder)?;
    /// stockade::describe_metrics();
    /// let manager = InventoryManager::builder().warehouse("SF").build()?;
    ///
    /// // Before each scrape, or on a timer.
    /// manager.publish_metrics();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_metrics(&self) {
        self.publish(&Publisher { labels: Vec::new() });
    }

    /// As [`publish_metrics`](Self::publish_metrics), with a label `engine` on each metric. Use few
    /// names, that stay the same: each makes series of its own.
    pub fn publish_metrics_as(&self, engine: &str) {
        self.publish(&Publisher { labels: vec![Label::new("engine", engine.to_owned())] });
    }

    fn publish(&self, to: &Publisher) {
        // All is read before the recorder is called: it is foreign.
        let (health, stats) = (self.health(), self.stats());
        let ready = matches!(health, Health::Ok | Health::Degraded { .. });
        let beside = self.engine.journal.as_ref();
        let beside = beside.map(|it| (it.free_space(), it.consumers_behind()));
        to.gauge("stockade_ready", ready.into());
        to.gauge("stockade_degraded", matches!(health, Health::Degraded { .. }).into());
        to.stats(&stats);
        to.entries(&stats.written);
        if let Some((free, consumers)) = beside {
            to.journal(&stats.journal);
            to.outcomes(&stats.outcomes);
            to.gauge("stockade_journal_free_bytes", free.map_or(f64::NAN, |it| it as f64));
            let (count, behind) =
                consumers.map_or((f64::NAN, f64::NAN), |(count, it)| (count as f64, it as f64));
            to.gauge("stockade_consumers", count);
            to.gauge("stockade_consumer_lag_entries", behind);
        }
    }
}

/// Sets metrics with these labels.
struct Publisher {
    labels: Vec<Label>,
}

impl Publisher {
    fn gauge(&self, name: &'static str, value: f64) {
        gauge!(name, self.labels.clone()).set(value);
    }

    fn count(&self, name: &'static str, value: usize) {
        self.gauge(name, value as f64);
    }

    fn seconds(&self, name: &'static str, value: Duration) {
        self.gauge(name, value.as_secs_f64());
    }

    fn total(&self, name: &'static str, value: u64) {
        counter!(name, self.labels.clone()).absolute(value);
    }

    fn with(&self, label: &'static str, value: &'static str) -> Vec<Label> {
        let mut labels = self.labels.clone();
        labels.push(Label::new(label, SharedString::const_str(value)));
        labels
    }

    fn stats(&self, stats: &Stats) {
        self.count("stockade_audit_queue_depth", stats.queue_depth);
        self.count("stockade_audit_queue_capacity", stats.queue_capacity);
        self.total("stockade_audit_queue_waits_total", stats.queue_waits);
        self.total("stockade_audit_queue_refusals_total", stats.queue_refusals);
        self.gauge("stockade_unwritten_records", stats.unwritten as f64);
        self.gauge("stockade_audit_kept_entries", stats.audit_kept as f64);
        self.total("stockade_audit_evicted_entries_total", stats.audit_evicted);
        for (state, slots) in [
            ("live", stats.slots_live),
            ("retained", stats.slots_retained),
            ("free", stats.slots_free),
        ] {
            gauge!("stockade_slots", self.with("state", state)).set(slots as f64);
        }
        self.gauge("stockade_slots_max", f64::from(stats.slots_max));
        self.total("stockade_records_dropped_early_total", stats.records_dropped_early);
        let age = Option::unwrap_or_default;
        self.seconds("stockade_oldest_record_seconds", age(stats.oldest_record));
        self.count("stockade_holders_indexed", stats.holders_indexed);
        self.count("stockade_keys", stats.keys);
        self.count("stockade_keys_max", stats.keys_max);
        self.seconds("stockade_oldest_key_seconds", age(stats.oldest_key));
        self.total("stockade_keys_dropped_early_total", stats.keys_dropped_early);
        let refused = stats.refusals;
        for (cause, count) in [
            ("insufficient", refused.insufficient),
            ("full", refused.full),
            ("suspended", refused.suspended),
            ("unavailable", refused.unavailable),
            ("limited", refused.limited),
        ] {
            counter!("stockade_refusals_total", self.with("cause", cause)).absolute(count);
        }
        self.total("stockade_expired_holds_total", stats.expired);
        self.seconds("stockade_sweeper_lag_seconds", stats.sweeper_lag);
        self.count("stockade_alert_backlog", stats.alert_backlog);
        self.total("stockade_alert_panics_total", stats.alert_panics);
        self.count("stockade_products", stats.products);
        self.count("stockade_levels", stats.levels);
    }

    fn entries(&self, written: &EntryCounts) {
        for it in EntryCounts::types() {
            let labels = self.with("type", it.name());
            if let EntryType::Movement(_) = it {
                counter!("stockade_units_total", labels.clone()).absolute(written.units(it));
            }
            counter!("stockade_entries_total", labels).absolute(written.entries(it));
        }
    }

    fn journal(&self, journal: &JournalFigures) {
        self.total("stockade_journal_appended_bytes_total", journal.appended_bytes);
        self.total("stockade_journal_syncs_total", journal.syncs);
        self.total("stockade_journal_sync_failures_total", journal.sync_failures);
        self.total("stockade_journal_synced_entries_total", journal.synced_entries);
        self.gauge("stockade_journal_unsynced_entries", journal.unsynced_entries as f64);
        self.seconds("stockade_journal_unsynced_seconds", journal.oldest_unsynced);
        self.seconds("stockade_journal_sync_time_seconds", journal.sync_time);
        self.seconds("stockade_journal_last_sync_seconds", journal.last_sync);
        self.gauge("stockade_auditor_lag_entries", journal.unaudited as f64);
        self.gauge("stockade_auditor_failed", journal.audit_failed.into());
    }

    fn outcomes(&self, outcomes: &OutcomeFigures) {
        self.count("stockade_outcome_files", outcomes.files);
        self.gauge("stockade_outcome_entries", outcomes.entries as f64);
        self.gauge("stockade_outcome_disk_bytes", outcomes.disk_bytes as f64);
        self.count("stockade_outcome_memory_bytes", outcomes.memory);
        self.count("stockade_outcome_unfiltered_parts", outcomes.unfiltered);
        self.seconds("stockade_oldest_outcome_seconds", outcomes.oldest);
        self.count("stockade_outcome_waiting_answers", outcomes.waiting);
    }
}

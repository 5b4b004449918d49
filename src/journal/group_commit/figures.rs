//! Figures of the syncs: how many, how long they take, and what is not on the disk yet.

use std::time::{Duration, Instant};

use super::SyncState;
use crate::base::sync::{AtomicU64, Ordering};

/// Counted by the threads that write and sync. Relaxed: figures, which order nothing.
#[derive(Debug)]
pub(super) struct SyncCounters {
    appended: AtomicU64,
    syncs: AtomicU64,
    failures: AtomicU64,
    entries: AtomicU64,
    nanos: AtomicU64,
    last_nanos: AtomicU64,
}

impl SyncCounters {
    pub(super) fn new() -> Self {
        let [appended, syncs, failures, entries, nanos, last_nanos] =
            std::array::from_fn(|_| AtomicU64::new(0));
        Self { appended, syncs, failures, entries, nanos, last_nanos }
    }

    /// Notes a sync that began at this moment and has made so many entries durable.
    pub(super) fn synced(&self, began: Instant, entries: u64) {
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.last_nanos.store(nanos, Ordering::Relaxed);
    }

    /// Notes that the writer begins anew after a failure. Under the lock of the state.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the syncs come to so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SyncFigures {
    pub(crate) appended_bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) failures: u64,
    pub(crate) synced_entries: u64,
    pub(crate) sync_time: Duration,
    pub(crate) last_sync: Duration,
    pub(crate) unsynced_entries: u64,
    pub(crate) oldest_unsynced: Duration,
}

impl SyncState {
    /// Notes that the writer has appended so many bytes.
    pub(crate) fn note_appended(&self, bytes: usize) {
        self.counters.appended.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The figures of this moment. Takes the lock for a moment, and never waits for the disk.
    pub(crate) fn figures(&self) -> SyncFigures {
        let (unsynced, since, failures) = {
            let state = self.lock();
            let unsynced = state.written.sequence.saturating_sub(state.durable.sequence);
            let under_way = u64::from(state.failed.is_some());
            let failures = self.counters.failures.load(Ordering::Relaxed) + under_way;
            (unsynced, state.unsynced_since, failures)
        };
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SyncFigures {
            appended_bytes: of(&self.counters.appended),
            syncs: of(&self.counters.syncs),
            failures,
            synced_entries: of(&self.counters.entries),
            sync_time: Duration::from_nanos(of(&self.counters.nanos)),
            last_sync: Duration::from_nanos(of(&self.counters.last_nanos)),
            unsynced_entries: unsynced,
            oldest_unsynced: since.map_or(Duration::ZERO, |it| it.elapsed()),
        }
    }
}

//! An engine's threads and its shutdown.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audit::entry::EventType;
use crate::audit::flush::Flush;
use crate::audit::record::Subject;
use crate::audit::writer_thread::WriterThread;
use crate::base::foreign::{self, put_aside};
use crate::base::sync::{Mutex, lock};
use crate::engine::{Engine, InventoryManager};

/// The deadline of the shutdown that runs when the last manager is dropped.
const DROP_DEADLINE: Duration = Duration::from_millis(500);
/// Stands for "no deadline", where the caller's duration overflows the clock.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// How often a shutdown checks whether the sweeper has ended.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// What a shutdown left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what stayed unwritten is told here only"]
#[non_exhaustive]
pub struct Shutdown {
    /// How many records were not written by the deadline.
    pub unwritten: u64,
    /// How many levels have an alert that not all listeners have received.
    pub undelivered_alerts: usize,
}

impl Shutdown {
    /// Whether every record was written and every alert delivered.
    pub fn is_clean(&self) -> bool {
        self.unwritten == 0 && self.undelivered_alerts == 0
    }
}

/// Shared by all clones of a manager. Dropping the last clone shuts the engine down.
#[derive(Debug)]
pub(super) struct Life {
    engine: Arc<Engine>,
    threads: Mutex<Threads>,
}

/// The threads of an engine; empty if it was built without threads.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) writer: Option<WriterThread>,
    pub(super) sweeper: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("sweeper", &self.sweeper).finish_non_exhaustive()
    }
}

impl Life {
    pub(super) fn new(engine: Arc<Engine>, threads: Threads) -> Self {
        Self { engine, threads: Mutex::new(threads) }
    }

    fn end(&self, within: Duration) -> Shutdown {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or_else(|| now + NEVER);
        let _aside = put_aside();
        let engine = &self.engine;
        // The clock is the caller's. Without its time the end is not recorded, and yet it is one.
        let at = foreign::call(|| engine.now());
        // A second caller waits here for the first one, and then finds nothing left to do.
        let mut threads = lock(&self.threads);
        if engine.recorder.gate().close()
            && let Ok(at) = at
        {
            let closed = engine.recorder.event(EventType::Closed).about(Subject::None);
            closed.at(at).queue_by(deadline);
        }
        engine.sweeping.stop();
        if let Some(sweeper) = threads.sweeper.take() {
            wait_for(&sweeper, deadline);
        }
        engine.journal.iter().for_each(|journal| journal.end_by(deadline));
        let unwritten = match &mut threads.writer {
            Some(writer) => writer.end(deadline),
            None => {
                engine.end_driven_writer();
                engine.recorder.unwritten()
            }
        };
        // The auditor holds the journal's lock too, and so does a redaction under way. Wait for
        // both.
        engine.journal.iter().for_each(|journal| journal.wait_for_end(deadline));
        engine.recorder.wakers.end(deadline);
        let left = deadline.saturating_duration_since(Instant::now());
        Shutdown { unwritten, undelivered_alerts: engine.dispatcher.shutdown(left) }
    }
}

/// Waits until the sweeper ends. A stuck audit sink may block the sweeper beyond the deadline; then
/// its thread is left behind.
fn wait_for(sweeper: &JoinHandle<()>, deadline: Instant) {
    // This never runs on the sweeper's own thread, because the sweeper holds the engine and never a
    // manager. So it cannot wait for itself.
    sweeper.thread().unpark();
    while !sweeper.is_finished() && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.end(DROP_DEADLINE);
    }
}

impl InventoryManager {
    /// Shuts the engine down: refuses new calls that move stock, writes the queued records,
    /// delivers the alerts that are due, and ends the engine's threads. Returns what was left
    /// undone. Queries and the audit log keep working.
    ///
    /// May wait, but not longer than `within`. Dropping the last manager does the same with half a
    /// second. A second call finds the work done.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// assert!(manager.shutdown(Duration::from_secs(5)).is_clean());
    /// assert!(manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").is_err());
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn shutdown(&self, within: Duration) -> Shutdown {
        self.life.end(within)
    }

    /// Returns a future that resolves once everything that this thread did before is in the audit
    /// log and with the sink. You can block on it, or await it in any runtime. Dropping it undoes
    /// nothing.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// assert_eq!(manager.audit_log().newest_sequence(), manager.audit_log().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(&self) -> Flush {
        self.engine.flush()
    }
}

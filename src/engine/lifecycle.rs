//! An engine's threads, and its end.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audit::entry::EventType;
use crate::audit::flush::Flush;
use crate::audit::record::Subject;
use crate::audit::writer::WriterThread;
use crate::base::sync::{Mutex, lock};
use crate::engine::{Engine, InventoryManager};

/// How long a manager that is dropped without a shutdown gives what is under way.
const DROP_DEADLINE: Duration = Duration::from_millis(500);
/// A deadline that never comes, for those who want to wait for ever.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// How often an ending looks whether the sweeper has ended.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// What a shutdown left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what stayed unwritten is told here only"]
#[non_exhaustive]
pub struct Shutdown {
    /// Operations whose audit record was not written by the deadline.
    pub unwritten: u64,
    /// Levels with an alert that not all listeners have heard.
    pub undelivered_alerts: usize,
}

impl Shutdown {
    /// Whether everything was written and delivered.
    pub fn is_clean(&self) -> bool {
        self.unwritten == 0 && self.undelivered_alerts == 0
    }
}

/// The last clone of a manager ends its engine.
#[derive(Debug)]
pub(super) struct Life {
    engine: Arc<Engine>,
    threads: Mutex<Threads>,
}

/// The threads of an engine; none in users' own tests.
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
        // A second caller waits here for the first, and then has nothing left to do.
        let mut threads = lock(&self.threads);
        let engine = &self.engine;
        if engine.recorder.gate().close() {
            let closed = engine.recorder.event(EventType::Closed).about(Subject::None);
            closed.at(engine.now()).queue_by(deadline);
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
        // It has the journal's lock, too, and so has whoever erases notes.
        engine.journal.iter().for_each(|journal| journal.wait_for_end(deadline));
        let left = deadline.saturating_duration_since(Instant::now());
        Shutdown { unwritten, undelivered_alerts: engine.dispatcher.shutdown(left) }
    }
}

/// Waits for the sweeper to end what it has in hand. A stuck audit sink may keep it; it is left
/// behind then.
fn wait_for(sweeper: &JoinHandle<()>, deadline: Instant) {
    // The sweeper's own thread can't be here: it holds the engine, never a manager.
    sweeper.thread().unpark();
    while !sweeper.is_finished() && Instant::now() < deadline {
        thread::sleep(LOOK_AGAIN);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.end(DROP_DEADLINE);
    }
}

impl InventoryManager {
    /// Ends the engine: refuses new calls that would move stock, writes what is queued, delivers
    /// alerts that are due, and ends the engine's threads, all by the deadline. Says what stayed
    /// undone. Queries and the audit log go on working.
    ///
    /// May wait, until the deadline at most. Dropping the last manager does the same with half a
    /// second's time. A second call finds the work done.
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

    /// Asks to hear when everything that this thread did before is in the audit log and with the
    /// sink. The answer can be waited for, or awaited in any runtime; dropping it undoes nothing.
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

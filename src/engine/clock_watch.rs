//! Compares the engine's clock with the machine's wall clock, each minute by the sweeper and
//! whenever `health` is asked, and records how far they are apart. No operation compares: the clock
//! is another's code, and no such code runs between a take and a give.
//!
//! The engine goes on by its own clock. What the entries say of a wall clock that was set, or of a
//! machine that was asleep, is for whoever reads their times later.

use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::base::clock::{ClockApart, Timestamp};
use crate::base::foreign::put_aside;
use crate::base::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::base::trace;
use crate::engine::Engine;

/// How often an engine compares, in the time of its own clock.
const EACH: Duration = Duration::from_secs(60);

/// What is known of the two clocks.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    /// When to compare again, in milliseconds since 1970.
    due: AtomicU64,
    /// By how many milliseconds the engine's clock was ahead of the wall clock, as recorded last.
    recorded: Mutex<i64>,
}

impl Engine {
    /// Compares the clocks if the last time was a minute ago. For the sweeper.
    pub(super) fn watch_clock(&self) {
        let now = self.now();
        // Relaxed: two threads may compare at once, and the lock decides which of them records.
        if now.as_millis() >= self.clock_watch.due.load(Ordering::Relaxed) {
            self.clock_watch.due.store(now.saturating_add(EACH).as_millis(), Ordering::Relaxed);
            self.compare_clock();
        }
    }

    /// Compares the clocks, and records if they are five seconds more or less apart than was
    /// recorded last. Returns how far they are apart, if that is more than five seconds. Never
    /// waits: while the audit queue is half full, the record waits for the next time.
    pub(super) fn compare_clock(&self) -> Option<ClockApart> {
        // A clock and a subscriber of tracing are another's code: they are called under no lock.
        let (apart, now) = (self.clock.apart_from_wall_clock()?, self.now());
        let _aside = put_aside();
        let mut recorded = lock(&self.clock_watch.recorded);
        let ahead = apart.ahead_millis();
        let is_news = ClockApart::of_millis(ahead.saturating_sub(*recorded)).is_far();
        if is_news && !self.recorder.half_full() && self.check_gate().is_ok() {
            let wall = Timestamp::from_millis(now.as_millis().saturating_add_signed(-ahead));
            let record = self.recorder.event(EventType::ClockApart).about(Subject::None);
            if record.at(now).text("wall", &wall.as_millis().to_string()).queue().is_ok() {
                *recorded = ahead;
                match apart.is_far() {
                    true => trace::warn(format_args!("the engine's clock is {apart}")),
                    false => trace::info(format_args!("the engine's clock is right again")),
                }
            }
        }
        apart.is_far().then_some(apart)
    }
}

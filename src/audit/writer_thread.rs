//! The writer's thread: it makes a turn whenever there may be something to write.
//!
//! A turn drains all there is. Then the thread naps, so that it does not chase the producers
//! through the queue's cache lines; naps grow while nothing comes and end in a real sleep.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audit::recorder::Recorder;
use crate::audit::writer::Turn;
use crate::audit::writer_seat::WriterSeat;
use crate::base::threads;

const SHORTEST_NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(2);
/// After this long without work, the writer parks until it is woken.
const IDLE_BEFORE_PARK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(10);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// How long a dropped writer thread may take to write what is queued.
const DROP_DEADLINE: Duration = Duration::from_millis(500);

impl WriterSeat {
    /// Starts the writer's thread, and the journal's. If there is none, the writer ends at once, so
    /// that the journal is free again.
    ///
    /// # Errors
    /// The operating system refuses to start a thread.
    pub(crate) fn spawn(self: &Arc<Self>) -> io::Result<WriterThread> {
        let started = self.take().start().and_then(|()| {
            let seat = Arc::clone(self);
            threads::spawn("stockade-audit", move || seat.run())
        });
        match started {
            Ok(thread) => {
                Ok(WriterThread { recorder: Arc::clone(self.recorder()), thread: Some(thread) })
            }
            Err(error) => {
                self.take().end();
                Err(error)
            }
        }
    }

    fn run(&self) {
        let recorder = self.recorder();
        let queue = &recorder.queue;
        queue.wake_signal().answer();
        let mut rest = Rest::new();
        loop {
            let ending = queue.is_ending();
            let turn = self.take().turn(rest.may_retry());
            if turn == Turn::Over {
                return;
            }
            if ending && may_end(recorder, turn) {
                return self.take().end();
            }
            match rest.after(turn, recorder.deadline()) {
                Some(span) => queue.wake_signal().nap(span, || {
                    let told = queue.is_ending() && turn != Turn::Failing;
                    told || queue.half_full() || recorder.tickets.any()
                }),
                None => queue
                    .wake_signal()
                    .park(|| !queue.is_empty() || recorder.tickets.any() || queue.is_ending()),
            }
        }
    }
}

fn may_end(recorder: &Recorder, turn: Turn) -> bool {
    let late = recorder.deadline().is_none_or(|deadline| Instant::now() >= deadline);
    late || (turn != Turn::Failing && recorder.queue.is_empty())
}

/// How long to sleep.
struct Rest {
    nap: Duration,
    idle_since: Option<Instant>,
    retry_after: Duration,
    retry_at: Option<Instant>,
}

impl Rest {
    fn new() -> Self {
        Self { nap: SHORTEST_NAP, idle_since: None, retry_after: FIRST_RETRY, retry_at: None }
    }

    fn may_retry(&self) -> bool {
        self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    /// How long to nap after `turn`; `None` for a sleep without end.
    fn after(&mut self, turn: Turn, deadline: Option<Instant>) -> Option<Duration> {
        let now = Instant::now();
        match turn {
            Turn::Failing => {
                let at = match self.retry_at {
                    Some(at) if now < at => at,
                    Some(_) => {
                        self.retry_after = (self.retry_after * 2).min(LAST_RETRY);
                        now + self.retry_after
                    }
                    None => now + self.retry_after,
                };
                self.retry_at = Some(at);
                let until = deadline.map_or(at, |deadline| at.min(deadline));
                Some(until.saturating_duration_since(now).clamp(SHORTEST_NAP, LONGEST_NAP))
            }
            Turn::Idle => {
                let since = *self.idle_since.get_or_insert(now);
                self.nap = (self.nap * 2).min(LONGEST_NAP);
                (now.saturating_duration_since(since) < IDLE_BEFORE_PARK).then_some(self.nap)
            }
            Turn::Wrote | Turn::Over => {
                *self = Self::new();
                Some(self.nap)
            }
        }
    }
}

/// The handle to the writer's thread.
pub(crate) struct WriterThread {
    recorder: Arc<Recorder>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    /// Ends the writer once everything is written, or at `deadline`. Returns how many operations'
    /// records stayed unwritten. Shut the gate first. A writer that is stuck in the sink is left
    /// behind, so this never blocks much longer than until `deadline`.
    pub(crate) fn end(&mut self, deadline: Instant) -> u64 {
        if let Some(thread) = self.thread.take() {
            self.recorder.end_by(deadline);
            // If a sink drops the engine, this runs on the writer's own thread, which must not join
            // itself.
            let own = thread.thread().id() == thread::current().id();
            if !own {
                if self.recorder.wait_for_end(deadline) {
                    // The join could only report a panic, which the gate reports too.
                    let _ = thread.join();
                } else {
                    self.recorder.queue.abandon();
                }
            }
        }
        self.recorder.unwritten()
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.recorder.gate().close();
            self.end(Instant::now() + DROP_DEADLINE);
        }
    }
}

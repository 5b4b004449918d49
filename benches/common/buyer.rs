//! The work of one thread of a crew in one turn.

use std::time::{Duration, Instant};

use super::ledger::{REFUSED, Session};
use super::machine::thread_cpu_time;
use super::order::{Ask, Order, Report, Turn, histogram};
use super::workload::{Holds, Picks};

/// Steps between two looks at the flag that ends a turn; where a step takes long there is one each.
const STEPS_A_LOOK: u64 = 64;

/// A session with its demand and its live holds.
pub(crate) struct Buyer<S: Session> {
    session: S,
    picks: Picks<S::Product>,
    holds: Holds<S::Hold>,
    flush_every: u64,
    unflushed: u64,
    clock: quanta::Clock,
}

impl<S: Session> Buyer<S> {
    pub(crate) fn new(
        session: S,
        picks: Picks<S::Product>,
        holds: Holds<S::Hold>,
        flush_every: u64,
    ) -> Self {
        let clock = quanta::Clock::new();
        Self { session, picks, holds, flush_every, unflushed: 0, clock }
    }

    pub(crate) fn obey(&mut self, order: &Order) -> Report {
        let depth = self.session.depth();
        order.wait_for_start();
        let before = thread_cpu_time();
        let mut report = match order.turn {
            Turn::For(_) => self.run(order, u64::MAX, depth),
            Turn::Times(times) => self.run(order, times, depth),
            Turn::Timed(_) if depth > 1 => self.run_timed_batches(order, depth),
            Turn::Timed(_) => self.run_timed(order),
            Turn::Paced { span, every_ns } => self.run_paced(order.ask, span, every_ns),
        };
        report.cpu = thread_cpu_time().saturating_sub(before);
        report
    }

    fn run(&mut self, order: &Order, times: u64, depth: usize) -> Report {
        match order.ask {
            _ if depth > 1 => {
                let mut batch = Vec::with_capacity(depth);
                let batches = times.div_ceil(depth as u64);
                let mut report = repeat(order, batches, 1, || self.batch(order, &mut batch, depth));
                report.done *= depth as u64;
                report
            }
            Ask::Refused => repeat(order, times, self.steps_a_look(), || self.be_refused()),
            Ask::Released => repeat(order, times, self.steps_a_look(), || self.be_released()),
            Ask::Pair | Ask::Reserve => repeat(order, times, self.steps_a_look(), || self.pair()),
        }
    }

    fn steps_a_look(&self) -> u64 {
        if self.session.is_slow() { 1 } else { STEPS_A_LOOK }
    }

    /// One call after another, each timed.
    fn run_timed(&mut self, order: &Order) -> Report {
        let mut times = histogram();
        let mut report = repeat(order, u64::MAX, self.steps_a_look(), || {
            let began = self.clock.now();
            let ended = self.step(order.ask);
            times.saturating_record(nanos(ended.saturating_duration_since(began)));
        });
        report.times = Some(times);
        report
    }

    /// Batch after batch. The time of each pair is that of its whole batch.
    fn run_timed_batches(&mut self, order: &Order, depth: usize) -> Report {
        let mut times = histogram();
        let mut batch = Vec::with_capacity(depth);
        let mut report = repeat(order, u64::MAX, 1, || {
            let began = self.clock.now();
            self.batch(order, &mut batch, depth);
            let waited = self.clock.now().saturating_duration_since(began);
            times.saturating_record_n(nanos(waited), depth as u64);
        });
        report.done *= depth as u64;
        report.times = Some(times);
        report
    }

    /// Open loop: arrival n is due at n times the interval, even if the call before is not done.
    /// Its latency counts from then on, so a stall counts for every call that arrives during it.
    fn run_paced(&mut self, ask: Ask, span: Duration, every_ns: f64) -> Report {
        let mut times = histogram();
        let began = Instant::now();
        let start = self.clock.now();
        let span_ns = span.as_nanos() as f64;
        let mut now_ns = 0;
        let mut done = 0_u64;
        loop {
            let due = done as f64 * every_ns;
            if due > span_ns || now_ns as f64 > 2.0 * span_ns {
                break;
            }
            let due = due as u64;
            while now_ns < due {
                now_ns = nanos(self.clock.now().saturating_duration_since(start));
            }
            now_ns = nanos(self.step(ask).saturating_duration_since(start));
            times.saturating_record(now_ns.saturating_sub(due).max(1));
            done += 1;
        }
        let (ended, cpu) = (Instant::now(), Duration::ZERO);
        Report { done, began, ended, times: Some(times), cpu }
    }

    /// One step, and the time at which its measured part ended.
    #[inline]
    fn step(&mut self, ask: Ask) -> quanta::Instant {
        match ask {
            Ask::Pair => self.pair(),
            Ask::Released => self.be_released(),
            Ask::Refused => self.be_refused(),
            Ask::Reserve => {
                let new = self.session.reserve(self.picks.next()).expect("in stock");
                let over = self.clock.now();
                self.end_oldest(new);
                return over;
            }
        }
        self.clock.now()
    }

    #[inline]
    fn pair(&mut self) {
        let new = self.session.reserve(self.picks.next()).expect("in stock");
        self.end_oldest(new);
    }

    #[inline]
    fn end_oldest(&mut self, new: S::Hold) {
        let old = self.holds.exchange(new);
        self.session.confirm(old);
        if self.flush_every > 0 {
            self.unflushed += 1;
            if self.unflushed >= self.flush_every {
                self.unflushed = 0;
                self.session.flush();
            }
        }
    }

    // Apart, so that the compiler makes of the pair's loop what it makes of it without this one.
    #[inline(never)]
    fn be_released(&mut self) {
        let new = self.session.reserve(self.picks.next()).expect("in stock");
        let old = self.holds.exchange(new);
        self.session.release(old);
    }

    #[inline]
    fn be_refused(&mut self) {
        let refused = self.session.reserve(self.picks.next());
        assert!(refused.is_none(), "{REFUSED}");
    }

    fn batch(&mut self, order: &Order, batch: &mut Vec<S::Product>, depth: usize) {
        batch.clear();
        batch.extend((0..depth).map(|_| self.picks.next()));
        match order.ask {
            Ask::Refused => self.session.refusals(batch),
            ask => self.session.pairs(batch, ask.end()),
        }
    }
}

/// Repeats `step` until the turn is over, or for a number of times.
#[inline]
fn repeat(order: &Order, times: u64, steps_a_look: u64, mut step: impl FnMut()) -> Report {
    let began = Instant::now();
    let mut done = 0;
    while done < times && !order.is_over() {
        let until = times.min(done + steps_a_look);
        while done < until {
            step();
            done += 1;
        }
    }
    Report { done, began, ended: Instant::now(), times: None, cpu: Duration::ZERO }
}

fn nanos(span: Duration) -> u64 {
    span.as_nanos() as u64
}

//! Crews of buyers: threads with a session of one ledger each, which buy on command.
//!
//! A crew lives while its row is measured, so that several crews can take turns: engine, peer,
//! engine, peer. Between turns its threads are parked.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::buyer::Buyer;
use super::customers::Limit;
use super::ledger::{About, Ledger, Session, Writer};
use super::machine::cpu_time_of;
use super::order::{Ask, Order, Report, Turn, histogram};
use super::workload::{Access, Ending, Holds};

/// How long a turn waits for its writer, and how long between two looks.
const PATIENCE: Duration = Duration::from_secs(2);
const A_MOMENT: Duration = Duration::from_millis(1);

/// The task of a crew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) access: Access,
    pub(crate) threads: usize,
    /// Live holds of each thread.
    pub(crate) live: usize,
    pub(crate) ending: Ending,
    /// Each caller flushes after this many of its own pairs; 0 means never.
    pub(crate) flush_every: u64,
    /// The limit that each hold draws on, and for how many customers. The ledger must have been
    /// opened with it.
    pub(crate) limit: Option<Limit>,
}

impl Plan {
    pub(crate) fn new(access: Access, threads: usize, live: usize) -> Self {
        Self { access, threads, live, ending: Ending::InOrder, flush_every: 0, limit: None }
    }

    /// What each customer may have, if there is a limit.
    pub(crate) fn maximum(self) -> Option<u32> {
        Some(self.limit?.maximum)
    }
}

/// The result of a turn.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) done: u64,
    /// What the slowest buyer did.
    least: u64,
    buyers: usize,
    pub(crate) span: Duration,
    pub(crate) times: Histogram<u64>,
    /// Processor time of all buyers together. It stays meaningful if other processes use the
    /// machine.
    pub(crate) cpu: Duration,
    /// Processor time of the thread that writes the record, until it had written all.
    pub(crate) writer: Option<Duration>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.span.as_secs_f64()
    }

    /// The slowest buyer's work, as a fraction of an equal share.
    pub(crate) fn least_share(&self) -> f64 {
        self.least as f64 * self.buyers as f64 / self.done as f64
    }

    /// A buyer's processor time for each call, in nanoseconds.
    pub(crate) fn cpu_ns_each(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.done as f64
    }

    /// The writer's processor time for each call, in nanoseconds.
    pub(crate) fn writer_ns_each(&self) -> Option<f64> {
        Some(self.writer?.as_nanos() as f64 / self.done as f64)
    }
}

struct Worker {
    orders: Sender<Order>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

/// The buyers of one ledger.
pub(crate) struct Crew {
    pub(crate) about: About,
    pub(crate) plan: Plan,
    workers: Vec<Worker>,
    writer: Option<Writer>,
}

impl Crew {
    /// Starts the threads, and has them make the holds that stay alive throughout.
    pub(crate) fn hire<L: Ledger>(ledger: &L, plan: Plan) -> Self {
        let ready = Arc::new(Barrier::new(plan.threads + 1));
        let workers = (0..plan.threads).map(|number| {
            let seed = number as u64 + 1;
            let mut session = ledger.session();
            if let Some(limit) = plan.limit {
                session.serve(limit.customers_of(number, plan.threads));
            }
            let mut picks = plan.access.picks(|index| ledger.product(index), seed);
            let ready = Arc::clone(&ready);
            let (orders, to_do) = channel::<Order>();
            let (done, reports) = channel();
            let thread = thread::spawn(move || {
                let holds = Holds::fill(plan.live.saturating_sub(1), plan.ending, seed, |_| {
                    session.reserve(picks.next()).expect("in stock")
                });
                let mut buyer = Buyer::new(session, picks, holds, plan.flush_every);
                ready.wait();
                for order in to_do {
                    if done.send(buyer.obey(&order)).is_err() {
                        return;
                    }
                }
            });
            Worker { orders, reports, thread: Some(thread) }
        });
        let workers = workers.collect();
        ready.wait();
        let mut about = ledger.about();
        if plan.flush_every > 0 {
            about.setup = format!("a flush every {} pairs", plan.flush_every);
        }
        Self { about, plan, workers, writer: ledger.writer() }
    }

    /// Has all threads do the same at the same time.
    pub(crate) fn run(&mut self, ask: Ask, turn: Turn) -> Outcome {
        let writer_before = self.writer_cpu();
        let order = Order::new(ask, turn, self.workers.len());
        for worker in &self.workers {
            worker.orders.send(order.clone()).expect("a living buyer");
        }
        order.wait_for_start();
        if let Turn::For(span) | Turn::Timed(span) = turn {
            thread::sleep(span);
            order.end();
        }
        let reports = self.workers.iter().map(|worker| worker.reports.recv());
        let reports: Vec<Report> = reports.map(|report| report.expect("a living buyer")).collect();
        let began = reports.iter().map(|report| report.began).min().expect("a buyer");
        let ended = reports.iter().map(|report| report.ended).max().expect("a buyer");
        let writer_after = self.settle().then(|| self.writer_cpu()).flatten();
        let mut times = histogram();
        for report in &reports {
            if let Some(own) = &report.times {
                times.add(own).expect("equal bounds");
            }
        }
        Outcome {
            done: reports.iter().map(|report| report.done).sum(),
            least: reports.iter().map(|report| report.done).min().expect("a buyer"),
            buyers: reports.len(),
            span: ended.saturating_duration_since(began),
            times,
            cpu: reports.iter().map(|report| report.cpu).sum(),
            writer: writer_before.zip(writer_after).map(|(from, to)| to.saturating_sub(from)),
        }
    }

    fn writer_cpu(&self) -> Option<Duration> {
        cpu_time_of(self.writer.as_ref()?.thread)
    }

    /// Waits until the writer has written what this turn handed to it. Returns whether it has.
    fn settle(&self) -> bool {
        let Some(writer) = &self.writer else { return false };
        let began = Instant::now();
        while !(writer.is_idle)() {
            if began.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(A_MOMENT);
        }
        // The peers' writers still have their last batch in hand.
        thread::sleep(A_MOMENT);
        true
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // A thread ends when the sender of its orders is gone.
            worker.orders = channel().0;
        }
        for worker in &mut self.workers {
            if let Some(Err(panic)) = worker.thread.take().map(JoinHandle::join)
                && !thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

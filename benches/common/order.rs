//! The commands to a crew's threads, and their results.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::ledger::End;

/// The precision of a histogram: 1%, up to a minute.
const PRECISION: u8 = 2;
const LONGEST_NS: u64 = 60_000_000_000;

/// An empty histogram of nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, PRECISION).expect("legal bounds")
}

/// What the ledger is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Reserve a unit, and confirm the oldest hold.
    Pair,
    /// The same, but only the reserve is timed.
    Reserve,
    /// Reserve a unit, and release the oldest hold.
    Released,
    /// Reserve what may not be held: a product that is sold out, or a unit for a customer who has
    /// all that a limit allows.
    Refused,
}

impl Ask {
    /// How the holds of this demand end.
    pub(crate) fn end(self) -> End {
        match self {
            Self::Released => End::Release,
            Self::Pair | Self::Reserve | Self::Refused => End::Confirm,
        }
    }
}

/// The kind of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// As fast as possible, for this long.
    For(Duration),
    /// As fast as possible, this many times in each thread.
    Times(u64),
    /// As fast as possible, for this long, with every call timed.
    Timed(Duration),
    /// Arrivals by schedule, one per `every_ns` nanoseconds. The wait of a late call counts.
    Paced { span: Duration, every_ns: f64 },
}

/// A turn, as each thread of the crew gets it.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) ask: Ask,
    pub(crate) turn: Turn,
    start: Arc<Barrier>,
    over: Arc<AtomicBool>,
}

impl Order {
    /// For this many buyers, and the thread that gives the order and waits for their start.
    pub(crate) fn new(ask: Ask, turn: Turn, buyers: usize) -> Self {
        Self { ask, turn, start: Arc::new(Barrier::new(buyers + 1)), over: Arc::default() }
    }

    /// Ends the turn.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Waits for the others.
    pub(crate) fn wait_for_start(&self) {
        self.start.wait();
    }

    /// Whether the turn is over.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// What one thread did in a turn.
pub(crate) struct Report {
    pub(crate) done: u64,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) times: Option<Histogram<u64>>,
    /// Processor time.
    pub(crate) cpu: Duration,
}

//! The open loop: calls arrive by a schedule that no stall delays, at a fraction of the capacity.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::crew::Crew;
use super::machine::hop;
use super::order::{Ask, Turn, histogram};

/// Fractions of the rate of one thread that is never idle.
pub(crate) const LOADS: &[f64] = &[0.1, 0.5, 0.9];

/// The latencies of one crew, over several turns.
pub(crate) struct Waits {
    pub(crate) times: Histogram<u64>,
    /// Arrivals per second, in each turn.
    pub(crate) rates: Vec<f64>,
    pub(crate) hops: Vec<f64>,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self { times: histogram(), rates: Vec::new(), hops: Vec::new() }
    }

    /// Measures the capacity at this moment, and then runs a fraction of it by schedule.
    pub(crate) fn turn(&mut self, crew: &mut Crew, ask: Ask, load: f64, span: Duration) {
        self.hops.extend(hop());
        // The same loop as with a schedule, but never idle, so that the loop's own work counts too.
        let flat_out = Turn::Paced { span: span / 4, every_ns: 0.0 };
        let capacity = crew.run(ask, flat_out).per_second();
        let outcome = crew.run(ask, Turn::Paced { span, every_ns: 1e9 / (capacity * load) });
        self.rates.push(outcome.per_second());
        self.times.add(outcome.times).expect("equal bounds");
    }
}

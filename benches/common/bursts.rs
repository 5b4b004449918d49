//! What two buyers of different products cost each other: short bursts of pairs by one thread
//! alone, and by two that run truly at the same time.
//!
//! On a machine that others use, two threads mostly don't: the system gives one of them the core a
//! moment later, or takes it away. Rates over longer times hide that. So only those bursts of two
//! count that began and ended together.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ledger::{Ledger, Session};
use super::machine::{cores, hop};
use super::median::median;
use super::workload::{Access, Picks};

/// Pairs of a burst: some ten microseconds, less than the system's time slice.
const PAIRS: usize = 64;
/// Of the longer of two bursts, they must have this part in common.
const TOGETHER: f64 = 0.85;
/// Fewer bursts than that say nothing.
const LEAST: usize = 20;
/// Bursts after which the caches are warm.
const WARM: usize = 200;

/// What bursts of one engine took.
#[derive(Clone, Debug)]
pub(crate) struct Bursts {
    /// Nanoseconds a pair, one thread alone: the median.
    pub(crate) alone: f64,
    /// Nanoseconds a pair and thread, two at once: the median.
    pub(crate) together: f64,
    /// Bursts of two that began and ended together, and those that were tried.
    pub(crate) valid: usize,
    pub(crate) tried: usize,
    /// From core to core, in nanoseconds, measured beside the bursts: the median.
    pub(crate) hop: f64,
}

/// Begin and end of a burst, in nanoseconds since a common start.
type Burst = (f64, f64);

/// Measures bursts, so many of each kind. `None` if two threads hardly ever ran at once.
pub(crate) fn bursts<L: Ledger>(ledger: &L, access: Access, times: usize) -> Option<Bursts> {
    if cores() < 2 {
        return None;
    }
    let began = Instant::now();
    // Of each two neighbours one buyer gets the first, and the other the second: they never meet
    // at a product.
    let buyer = |number: usize| {
        let own = |index: usize| ledger.product(index - index % 2 + number);
        (ledger.session(), access.picks(own, number as u64 + 1))
    };
    let (mut first, mut second) = (buyer(0), buyer(1));
    let mut hops: Vec<f64> = hop().into_iter().collect();
    let alone = (0..WARM + times).map(|_| burst(&mut first, began)).skip(WARM);
    let alone = median(&alone.map(length).collect::<Vec<_>>());
    hops.extend(hop());
    let meeting = Meeting::default();
    let meet = |buyer: &mut (L::Session, Picks<<L::Session as Session>::Product>)| -> Vec<Burst> {
        let met = |turn| {
            meeting.wait(turn);
            burst(buyer, began)
        };
        (0..WARM + times).map(met).skip(WARM).collect()
    };
    let (ours, theirs) = thread::scope(|scope| {
        let other = scope.spawn(|| meet(&mut second));
        (meet(&mut first), other.join().expect("no panic"))
    });
    hops.extend(hop());
    let valid: Vec<f64> = ours.into_iter().zip(theirs).filter_map(together).collect();
    let found = valid.len();
    if found < LEAST || hops.is_empty() {
        return None;
    }
    let (together, hop) = (median(&valid), median(&hops));
    Some(Bursts { alone, together, valid: found, tried: times, hop })
}

/// Makes some pairs, one right after the other.
fn burst<S: Session>((session, picks): &mut (S, Picks<S::Product>), began: Instant) -> Burst {
    let from = began.elapsed();
    for _ in 0..PAIRS {
        let hold = session.reserve(picks.next()).expect("in stock");
        session.confirm(hold);
    }
    (from.as_nanos() as f64, began.elapsed().as_nanos() as f64)
}

/// Nanoseconds a pair.
fn length((from, to): Burst) -> f64 {
    (to - from) / PAIRS as f64
}

/// Nanoseconds a pair and thread, if these two bursts were truly at the same time.
fn together((one, other): (Burst, Burst)) -> Option<f64> {
    let common = one.1.min(other.1) - one.0.max(other.0);
    let longer = (one.1 - one.0).max(other.1 - other.0);
    (common >= TOGETHER * longer).then(|| f64::midpoint(length(one), length(other)))
}

/// Where two threads wait for each other, without sleep: who sleeps comes too late.
#[derive(Default)]
struct Meeting {
    arrived: AtomicUsize,
}

impl Meeting {
    /// Waits until both are at this turn; turns are counted from 0.
    fn wait(&self, turn: usize) {
        // The writer catches up meanwhile, so that no burst waits for room in the queue.
        thread::sleep(Duration::from_micros(20));
        // `AcqRel`, `Acquire`: nothing hangs on it but the time.
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0_u32;
        while self.arrived.load(Ordering::Acquire) < 2 * (turn + 1) {
            looks += 1;
            if looks.is_multiple_of(5_000) {
                // The other one may have no core at this moment.
                thread::yield_now();
            }
            spin_loop();
        }
    }
}

/// Proves that bursts count only if they began and ended together.
pub(crate) fn prove() {
    assert_eq!(together(((0.0, 640.0), (0.0, 1_280.0))), None, "one took twice as long");
    assert_eq!(together(((0.0, 640.0), (320.0, 960.0))), None, "one began late");
    assert_eq!(together(((0.0, 640.0), (0.0, 640.0))), Some(10.0));
}

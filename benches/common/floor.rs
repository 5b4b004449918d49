//! The cost of an inventory's parts on this machine. The pair is compared with their sum.

use std::collections::HashMap;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_queue::ArrayQueue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use stockade::Clock;

/// A part: its name, and how long so many of it take.
pub(crate) type Part = (&'static str, fn(u64) -> Duration);

/// All parts.
pub(crate) const PARTS: &[Part] = &[
    ("compare-and-swap loop", cas_loop),
    ("uncontended mutex", mutex),
    ("clock read (processor's counter)", counter),
    ("clock read (engine's clock)", engine_clock),
    ("clock read (SystemTime)", system_time),
    ("64 random bits (ChaCha12)", random_bits),
    ("map insert and remove, few keys", few_keys),
    ("map insert and remove, 50,000 keys", many_keys),
    ("bounded queue, send and receive", queue),
    ("text of an id", text),
];

fn time(times: u64, mut step: impl FnMut(u64)) -> Duration {
    let began = Instant::now();
    (0..times).for_each(&mut step);
    began.elapsed()
}

fn cas_loop(times: u64) -> Duration {
    let word = AtomicU64::new(u64::MAX);
    time(times, |_| {
        let mut seen = word.load(Ordering::Relaxed);
        while let Err(now) =
            word.compare_exchange_weak(seen, seen - 1, Ordering::AcqRel, Ordering::Relaxed)
        {
            seen = now;
        }
    })
}

fn mutex(times: u64) -> Duration {
    let word = Mutex::new(0_u64);
    time(times, |_| *black_box(&word).lock().expect("no panic") += 1)
}

fn counter(times: u64) -> Duration {
    let clock = quanta::Clock::new();
    time(times, |_| {
        black_box(clock.raw());
    })
}

fn engine_clock(times: u64) -> Duration {
    let clock = stockade::SystemClock::new();
    time(times, |_| {
        black_box(clock.now());
    })
}

fn system_time(times: u64) -> Duration {
    time(times, |_| {
        black_box(SystemTime::now());
    })
}

fn random_bits(times: u64) -> Duration {
    let mut random = StdRng::seed_from_u64(7);
    time(times, |_| {
        black_box(random.next_u64());
    })
}

fn few_keys(times: u64) -> Duration {
    map(times, 1)
}

fn many_keys(times: u64) -> Duration {
    map(times, 50_000)
}

/// A map of random ids with a record each. For each new one, the oldest is removed.
fn map(times: u64, alive: usize) -> Duration {
    let mut random = StdRng::seed_from_u64(7);
    let mut key = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let mut keys: Vec<u128> = (0..alive).map(|_| key()).collect();
    let fresh: Vec<u128> = (0..4_096).map(|_| key()).collect();
    let mut map: HashMap<u128, [u64; 4], foldhash::fast::RandomState> =
        keys.iter().map(|key| (*key, [7; 4])).collect();
    let mut place = 0;
    time(times, |turn| {
        // A new key in each turn, for the price of an addition.
        let key = fresh[turn as usize % fresh.len()].wrapping_add(u128::from(turn) << 70);
        map.insert(key, [7; 4]);
        map.remove(&std::mem::replace(&mut keys[place], key));
        place = if place + 1 == keys.len() { 0 } else { place + 1 };
    })
}

fn queue(times: u64) -> Duration {
    let queue = ArrayQueue::new(65_536);
    time(times, |turn| {
        let _ = queue.push([turn; 7]);
        black_box(queue.pop());
    })
}

fn text(times: u64) -> Duration {
    let mut text = String::with_capacity(64);
    time(times, |turn| {
        text.clear();
        let _ = write!(text, "{turn:032x}");
        black_box(&text);
    })
}

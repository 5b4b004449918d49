//! Random numbers for threads. A failure prints the seed, and the environment can set it.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// The environment variable with the seed. It replays the threads' choices, not their schedule.
pub(crate) const SEED: &str = "STOCKADE_SEED";

/// The seed from the environment, or a new one. Print it in every assertion of a random test.
pub(crate) fn seed() -> u64 {
    match env::var(SEED) {
        Ok(text) => text.parse().expect("STOCKADE_SEED is a whole number"),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.as_nanos() as u64
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, and random enough for these choices.
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of one thread in a run.
    pub(crate) fn new(seed: u64, thread: usize) -> Self {
        Self(seed ^ (thread as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number of units, from 1 to `most`.
    pub(crate) fn units(&mut self, most: u32) -> u32 {
        1 + self.below(u64::from(most)) as u32
    }

    /// A random element, by reference.
    pub(crate) fn pick_ref<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// A random element, by value.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

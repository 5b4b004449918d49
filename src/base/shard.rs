//! Which shard a thread uses of what several threads share.

use crate::base::sync::{MODELLED, known_ordinal, thread_ordinal};

/// How many threads are likely to run at once. In a model always two, so that a seed replays on any
/// machine.
pub(crate) fn parallelism() -> usize {
    if MODELLED { 2 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Where this thread starts to search a table that all threads share. In a loom model all start at
/// the same place, so that they meet.
pub(crate) fn lane() -> usize {
    if cfg!(all(loom, feature = "loom")) { 0 } else { thread_ordinal() }
}

/// How many shards suit about `threads` threads: a power of two, at most 64.
pub(crate) fn shards_for(threads: usize) -> usize {
    threads.clamp(1, 64).next_power_of_two()
}

/// The place of this thread's own shard among so many, a power of two.
pub(crate) fn own_place(shards: usize) -> usize {
    thread_ordinal() & (shards - 1)
}

/// This thread's own shard. Some share one if there are more threads than shards, which are as many
/// as a power of two.
#[inline(always)]
pub(crate) fn own<T>(shards: &[T]) -> &T {
    // With few threads, each finds its own at the first look.
    match shards.get(known_ordinal()) {
        Some(own) => own,
        None => shared(shards),
    }
}

#[inline(never)]
fn shared<T>(shards: &[T]) -> &T {
    &shards[own_place(shards.len())]
}

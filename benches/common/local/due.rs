//! The peers' expiry: which holds fall due when, and the thread that expires them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use stockade::{Clock, SystemClock};

/// The sweeper's interval: the engine's longest one.
const NAP: Duration = Duration::from_millis(20);

/// Holds, each a `T`, by the time at which they fall due. Entries of ended holds stay until there
/// are too many, so that the end of a hold costs nothing here: the heap is cleaned when it has
/// `STALE` entries more than twice as many as were live at the last time.
#[derive(Default)]
pub(super) struct Due<T: Ord, const STALE: usize> {
    heap: BinaryHeap<Reverse<(u64, T)>>,
    /// How many entries were left when the heap was last cleaned.
    live: usize,
}

impl<T: Ord + Copy, const STALE: usize> Due<T, STALE> {
    #[inline]
    pub(super) fn add(&mut self, expires_at: u64, hold: T, is_live: impl Fn(T) -> bool) {
        self.heap.push(Reverse((expires_at, hold)));
        if self.heap.len() > 2 * self.live + STALE {
            self.forget_stale(is_live);
        }
    }

    #[cold]
    fn forget_stale(&mut self, is_live: impl Fn(T) -> bool) {
        self.heap.retain(|Reverse((_, hold))| is_live(*hold));
        self.live = self.heap.len();
    }

    /// When the next one falls due, if not earlier: the entry may be stale.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((expires_at, _))| *expires_at)
    }

    /// An overdue hold, if there is one.
    pub(super) fn overdue(&mut self, now: u64, is_live: impl Fn(T) -> bool) -> Option<T> {
        while let Some(Reverse((expires_at, hold))) = self.heap.peek()
            && now > *expires_at
        {
            if is_live(*hold) {
                return Some(*hold);
            }
            self.heap.pop();
        }
        None
    }
}

/// A peer whose holds fall due.
pub(super) trait Expires: Send + Sync + 'static {
    /// Expires all overdue holds.
    fn sweep(&self, now: u64);
}

/// Starts the sweeper thread. It runs until nobody else uses `peer`.
pub(super) fn spawn_sweeper<E: Expires>(peer: &Arc<E>) {
    let peer: Weak<E> = Arc::downgrade(peer);
    thread::spawn(move || {
        let clock = SystemClock::new();
        while let Some(peer) = peer.upgrade() {
            peer.sweep(clock.now().as_millis());
            drop(peer);
            thread::sleep(NAP);
        }
    });
}

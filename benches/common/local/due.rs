//! The peers' expiry: which holds fall due when, and the thread that expires them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use stockade::{Clock, SystemClock};

/// The sweeper's interval: the engine's longest one.
const NAP: Duration = Duration::from_millis(20);

/// How many stale entries a heap may have, beyond as many as it had live ones, before it is
/// cleaned.
const STALE: usize = 256;

/// Holds by the time at which they fall due. Entries of ended holds stay until there are too many,
/// so that the end of a hold costs nothing here.
#[derive(Default)]
pub(super) struct Due {
    heap: BinaryHeap<Reverse<(u64, u128)>>,
    /// How many entries were left when the heap was last cleaned.
    live: usize,
}

impl Due {
    #[inline]
    pub(super) fn add(&mut self, expires_at: u64, id: u128, is_live: impl Fn(u128) -> bool) {
        self.heap.push(Reverse((expires_at, id)));
        if self.heap.len() > 2 * self.live + STALE {
            self.forget_stale(is_live);
        }
    }

    #[cold]
    fn forget_stale(&mut self, is_live: impl Fn(u128) -> bool) {
        self.heap.retain(|Reverse((_, id))| is_live(*id));
        self.live = self.heap.len();
    }

    /// When the next one falls due, if not earlier: the entry may be stale.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((expires_at, _))| *expires_at)
    }

    /// An overdue hold, if there is one.
    pub(super) fn overdue(&mut self, now: u64, is_live: impl Fn(u128) -> bool) -> Option<u128> {
        while let Some(Reverse((expires_at, id))) = self.heap.peek()
            && now > *expires_at
        {
            if is_live(*id) {
                return Some(*id);
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

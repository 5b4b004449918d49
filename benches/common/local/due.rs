//! The peers' expiry: which holds fall due when, and the thread that expires them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use stockade::{Clock, SystemClock};

/// The sweeper's interval: the engine's longest one.
const NAP: Duration = Duration::from_millis(20);

/// Holds, ordered by the time at which they fall due.
#[derive(Default)]
pub(super) struct Due(BTreeSet<(u64, u128)>);

impl Due {
    #[inline]
    pub(super) fn add(&mut self, expires_at: u64, id: u128) {
        self.0.insert((expires_at, id));
    }

    #[inline]
    pub(super) fn remove(&mut self, expires_at: u64, id: u128) {
        self.0.remove(&(expires_at, id));
    }

    /// When the next one falls due.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        self.0.first().map(|(expires_at, _)| *expires_at)
    }

    /// An overdue hold, if there is one.
    #[inline]
    pub(super) fn overdue(&self, now: u64) -> Option<u128> {
        self.0.first().filter(|(expires_at, _)| now > *expires_at).map(|(_, id)| *id)
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

//! A claim of a key by the call that does its request first, and the waits of those that come
//! second.

use std::fmt;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::sync::{nap, spin_loop, yield_now};
use crate::idempotency::digest::NameDigest;
use crate::idempotency::map::IdempotencyMap;
use crate::idempotency::map::parts::KeyEntry;

/// The right to do a keyed request first. Dropped without an answer, it frees the key.
#[must_use = "a dropped claim withdraws the claim"]
pub(crate) struct ClaimedKey<'keys, A> {
    pub(super) keys: &'keys IdempotencyMap<A>,
    pub(super) name: NameDigest,
    pub(super) fingerprint: u128,
    pub(super) published: bool,
}

impl<A> ClaimedKey<'_, A> {
    /// Publishes the answer to all who wait or come later. Call it after the operation's entry is
    /// queued (Law 2: whoever learns the answer is logged after it).
    pub(crate) fn publish(mut self, answer: A, now: Timestamp) {
        self.published = true;
        let answer = KeyEntry::new(self.fingerprint, answer, now, self.keys.settles());
        let mut part = self.keys.parts.of(self.name);
        part.end(self.name);
        self.keys.remember(part, self.name, answer);
    }
}

impl<A> Drop for ClaimedKey<'_, A> {
    fn drop(&mut self) {
        if !self.published {
            let mut part = self.keys.parts.of(self.name);
            part.end(self.name);
            self.keys.places.count_down(&part.part.places);
        }
    }
}

impl<A> fmt::Debug for ClaimedKey<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedKey").finish_non_exhaustive()
    }
}

/// The waits of one caller: a few spins, a few yields, then sleeps of up to a millisecond.
#[derive(Debug, Default)]
pub(super) struct Pause {
    taken: u32,
}

impl Pause {
    const SPINS: u32 = 64;
    const YIELDS: u32 = 96;
    const SLEEP_MIN: Duration = Duration::from_micros(20);
    const SLEEP_MAX: Duration = Duration::from_millis(1);

    pub(super) fn take(&mut self) {
        match self.taken {
            0..Self::SPINS => spin_loop(),
            Self::SPINS..Self::YIELDS => yield_now(),
            taken => {
                let doublings = (taken - Self::YIELDS).min(10);
                nap((Self::SLEEP_MIN * (1 << doublings)).min(Self::SLEEP_MAX));
            }
        }
        self.taken = self.taken.saturating_add(1);
    }
}

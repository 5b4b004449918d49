//! Callers' own keys: a retry gives the first call's answer and moves nothing twice.
//!
//! A call that bears a key goes through three steps. It *claims* the key, and so leaves a marker
//! that says that it is under way; it does its work, with no lock held; it *publishes* its answer in
//! place of the marker. Whoever comes with the same key meanwhile waits for the answer, or is told
//! to come back. A call that is refused, or panics, publishes nothing: its marker is withdrawn, and
//! the key is free again.
//!
//! Only calls that bear a key come here. Finding one takes a lock of a part of the map for a moment
//! (64 parts), and publishing also takes the lock of the order in which keys leave.

mod fingerprint;
mod name;
mod order;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::sync::{
    AtomicU64, AtomicUsize, DashMap, Entry, Mutex, MutexGuard, Ordering, lock, nap, spin_loop,
    yield_now,
};

pub(crate) use fingerprint::Fingerprint;
pub(crate) use name::KeyName;
pub use name::RequestKey;
use order::{Order, Publication};

/// Parts of the map, each with a lock of its own; a part that grows makes only its own callers wait.
const SHARDS: usize = 64;

/// How long keys are remembered, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyLimits {
    /// A key counts as absent when more than this has passed since its answer was published.
    pub(crate) lifetime: Duration,
    /// When more answers than this are remembered, those published first are dropped.
    pub(crate) count: usize,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(60 * 60), count: 1_000_000 }
    }
}

/// What a caller does who finds that another call under the same key is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    /// Waits until that call has published its answer or failed.
    Wait,
    /// Is told [`Claim::Busy`] at once.
    Refuse,
}

/// What a claim of a key found.
#[derive(Debug)]
pub(crate) enum Claim<'keys, A> {
    /// The key was free: this call does the work, and publishes its answer.
    First(Ticket<'keys, A>),
    /// The same request was answered before; this is the answer.
    Repeat(A),
    /// Another request uses, or has used, this key.
    Conflict,
    /// The same request is under way, and the caller would not wait.
    Busy,
}

/// The keys that are remembered, each with the fingerprint of its request and its answer.
pub(crate) struct Keys<A> {
    known: DashMap<KeyName, Known<A>>,
    /// What is published, oldest first. Locked only for a push and a few pops, and never together
    /// with a part of the map.
    order: Mutex<Order>,
    limits: KeyLimits,
    /// How many keys of the map are published.
    published: AtomicUsize,
    /// The number of the next publication.
    next_number: AtomicU64,
    /// One more than the latest publish time, in milliseconds, of the keys dropped so far; 0 if none.
    dropped_until: AtomicU64,
}

/// What stands in the map under a name.
#[derive(Debug)]
struct Known<A> {
    fingerprint: u128,
    state: State<A>,
}

#[derive(Debug)]
enum State<A> {
    /// The first caller is at work, and holds the ticket.
    InProgress,
    /// The first caller's answer. `number` ties it to its place in the order.
    Published { answer: A, at: Timestamp, number: u64 },
}

impl<A: Clone> Keys<A> {
    pub(crate) fn new(limits: KeyLimits) -> Self {
        Self {
            known: DashMap::with_shard_amount(SHARDS),
            order: Mutex::new(Order::default()),
            limits,
            published: AtomicUsize::new(0),
            next_number: AtomicU64::new(0),
            dropped_until: AtomicU64::new(0),
        }
    }

    /// Claims `name` for the request with this fingerprint, or says what became of it.
    ///
    /// With [`OnDuplicate::Wait`] it may wait as long as the first caller's call takes; it first spins,
    /// then yields, then sleeps up to a millisecond at a time. It never waits for a request with
    /// another fingerprint: that is a conflict at once.
    pub(crate) fn claim(
        &self,
        name: KeyName,
        fingerprint: u128,
        now: Timestamp,
        patience: OnDuplicate,
    ) -> Claim<'_, A> {
        let mut pause = Pause::default();
        loop {
            match self.try_claim(name, fingerprint, now) {
                Claim::Busy if patience == OnDuplicate::Wait => pause.take(),
                claim => return claim,
            }
        }
    }

    /// The answer that is remembered under `name`, if any; `None` while the first call is under way.
    pub(crate) fn get(&self, name: &KeyName, now: Timestamp) -> Option<A> {
        let known = self.known.get(name)?;
        match &known.state {
            State::InProgress => None,
            State::Published { at, .. } if self.is_expired(*at, now) => {
                self.note_dropped(*at);
                None
            }
            State::Published { answer, .. } => Some(answer.clone()),
        }
    }

    /// Remembers an answer that an earlier run of the engine published, in place of any other under
    /// this name. Call it in the order in which they were published.
    pub(crate) fn restore(
        &self,
        name: KeyName,
        fingerprint: u128,
        answer: A,
        published_at: Timestamp,
    ) {
        self.remember(name, fingerprint, answer, published_at);
    }

    /// One claim, without waiting: [`Claim::Busy`] while the same request is under way.
    fn try_claim(&self, name: KeyName, fingerprint: u128, now: Timestamp) -> Claim<'_, A> {
        // Those who repeat or wait only read, so that they don't lock one another out.
        if let Some(known) = self.known.get(&name)
            && let Some(claim) = self.judge(&known, fingerprint, now)
        {
            return claim;
        }
        let marker = Known { fingerprint, state: State::InProgress };
        match self.known.entry(name) {
            Entry::Vacant(vacant) => drop(vacant.insert(marker)),
            Entry::Occupied(mut occupied) => {
                if let Some(claim) = self.judge(occupied.get(), fingerprint, now) {
                    return claim;
                }
                // Expired. Its place in the order stays behind, and means nothing any more.
                if let State::Published { at, .. } = &occupied.get().state {
                    self.note_dropped(*at);
                    self.count_less();
                }
                occupied.insert(marker);
            }
        }
        Claim::First(Ticket { keys: self, name, fingerprint, published: false })
    }

    /// What `known` means to a request with this fingerprint; `None` if it has expired.
    fn judge(&self, known: &Known<A>, fingerprint: u128, now: Timestamp) -> Option<Claim<'_, A>> {
        match &known.state {
            State::Published { at, .. } if self.is_expired(*at, now) => None,
            _ if known.fingerprint != fingerprint => Some(Claim::Conflict),
            State::Published { answer, .. } => Some(Claim::Repeat(answer.clone())),
            State::InProgress => Some(Claim::Busy),
        }
    }
}

impl<A> Keys<A> {
    /// How many answers are remembered, among them those that have expired but were not yet dropped.
    /// Never waits.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure for people; nothing is decided by it.
        self.published.load(Ordering::Relaxed)
    }

    /// The latest publish time among all keys that were ever dropped, by age or to make room.
    ///
    /// A low-water mark: look a key up first, then ask. If it was not found, it can't have been
    /// published after this moment.
    pub(crate) fn evicted_before(&self) -> Option<Timestamp> {
        // Acquire pairs with the Release in `note_dropped`. A look-up that missed a dropped key has
        // also seen this, because the mark is raised under the lock that the look-up took.
        let mark = self.dropped_until.load(Ordering::Acquire);
        mark.checked_sub(1).map(Timestamp::from_millis)
    }

    /// Drops keys that have expired, at most `budget` of them, and says how many places in the order
    /// it cleared. Less than the budget: nothing is left to do.
    pub(crate) fn purge(&self, now: Timestamp, budget: usize) -> usize {
        for cleared in 0..budget {
            // One at a time, so that publishers never wait for a long purge.
            let expired = self.order().pop_if(|_, oldest| self.is_expired(oldest.at, now));
            match expired {
                Some(publication) => self.forget(&publication),
                None => return cleared,
            }
        }
        budget
    }

    /// Enters an answer, and drops the oldest beyond the count.
    fn remember(&self, name: KeyName, fingerprint: u128, answer: A, at: Timestamp) {
        // Relaxed: only has to be a number that no other publication bears.
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        // Counted before it shows, so that whoever drops it can't count below zero.
        self.published.fetch_add(1, Ordering::Relaxed);
        let state = State::Published { answer, at, number };
        // Into the map before the order: what the order drops must be there to be dropped.
        let replaced = self.known.insert(name, Known { fingerprint, state });
        if matches!(replaced, Some(Known { state: State::Published { .. }, .. })) {
            self.count_less();
        }

        let leaving = {
            let mut order = self.order();
            order.push(Publication { name, number, at });
            let mut pop = || {
                order
                    .pop_if(|len, oldest| len > self.limits.count || self.is_expired(oldest.at, at))
            };
            // One keeps the count; the second lets those that expired leave faster than others come.
            [pop(), pop()]
        };
        leaving.iter().flatten().for_each(|publication| self.forget(publication));
    }

    /// Drops the answer that `publication` entered, unless another has taken its place.
    fn forget(&self, publication: &Publication) {
        let dropped = self.known.remove_if(&publication.name, |_, known| {
            let same = matches!(&known.state,
                State::Published { number, .. } if *number == publication.number);
            if same {
                // Before it is gone for anyone.
                self.note_dropped(publication.at);
            }
            same
        });
        if dropped.is_some() {
            self.count_less();
        }
    }

    fn note_dropped(&self, at: Timestamp) {
        // Release pairs with the Acquire in `evicted_before`.
        self.dropped_until.fetch_max(at.as_millis() + 1, Ordering::Release);
    }

    fn count_less(&self) {
        let before = self.published.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a key was dropped twice");
    }

    fn is_expired(&self, published_at: Timestamp, now: Timestamp) -> bool {
        now > published_at.saturating_add(self.limits.lifetime)
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        // Nothing that runs under this lock can panic half-way.
        lock(&self.order)
    }
}

impl<A> fmt::Debug for Keys<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The right to answer a request first. Dropped without an answer, it frees the key.
#[must_use = "a dropped ticket withdraws the claim"]
pub(crate) struct Ticket<'keys, A> {
    keys: &'keys Keys<A>,
    name: KeyName,
    fingerprint: u128,
    published: bool,
}

impl<A> Ticket<'_, A> {
    /// Publishes the answer to all who wait or come later. Call it after the operation's entry is
    /// queued (Law 2: whoever learns the answer is logged after it).
    pub(crate) fn publish(mut self, answer: A, now: Timestamp) {
        self.published = true;
        self.keys.remember(self.name, self.fingerprint, answer, now);
    }
}

impl<A> Drop for Ticket<'_, A> {
    fn drop(&mut self) {
        if !self.published {
            let marker = |_: &KeyName, known: &Known<A>| matches!(known.state, State::InProgress);
            let withdrawn = self.keys.known.remove_if(&self.name, marker);
            debug_assert!(withdrawn.is_some(), "only its ticket may take a marker away");
        }
    }
}

impl<A> fmt::Debug for Ticket<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.name).finish()
    }
}

/// The waits of one caller: a few spins, a few yields, then sleeps of up to a millisecond.
#[derive(Debug, Default)]
struct Pause {
    taken: u32,
}

impl Pause {
    const SPINS: u32 = 64;
    const YIELDS: u32 = 96;
    const SLEEP_MIN: Duration = Duration::from_micros(20);
    const SLEEP_MAX: Duration = Duration::from_millis(1);

    fn take(&mut self) {
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

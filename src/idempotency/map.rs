//! The idempotency map: keys, each with the fingerprint of its request and its answer.
//!
//! A call with a key takes three steps. It *claims* the key, and leaves a marker that says "in
//! progress". It does its work, with no lock held. It *publishes* its answer in place of the
//! marker. If another call brings the same key meanwhile, it waits for the answer or is told to
//! come back. If a call is refused, or panics, it publishes nothing: its marker is withdrawn, and
//! the key is free again.
//!
//! Only calls with a key come here. A look-up takes the lock of one part of the map for a moment
//! (64 parts). Publishing also takes the lock of the eviction queue. What is stored is 72 bytes a
//! key of whatever length, because a digest stands for its name.
//!
//! A claim takes a *place*, which its answer keeps until it leaves. There are so many places as the
//! limits say. At that bound a claim is refused, or the oldest answer leaves before its time, which
//! is counted ([`KeysInStock`]).

mod claim;
mod parts;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::early::LeftEarly;
use crate::base::sync::{AtomicU64, AtomicUsize, MODELLED, Mutex, MutexGuard, Ordering, lock};
use crate::idempotency::digest::{Digester, NameDigest};
use crate::idempotency::eviction::{EvictionQueue, Publication};
use crate::idempotency::key::KeyName;

use claim::Pause;
use parts::Parts;

pub(crate) use claim::ClaimedKey;

/// Parts of the map, each with a lock of its own.
const PARTS: usize = if MODELLED { 2 } else { 64 };

/// How long answers are stored, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyLimits {
    /// A key counts as absent when more than this has passed since its answer was published.
    pub(crate) lifetime: Duration,
    /// How many answers may be stored, with those of calls under way.
    pub(crate) count: usize,
    /// At that bound the oldest answer leaves before its time. Otherwise a claim is refused.
    pub(crate) drop_oldest: bool,
    /// How many answers may wait to be settled; `None`: answers are settled as they are published.
    /// An answer that is not settled is never dropped: nobody else has it. Those that are leave
    /// above the bound, and are found elsewhere; so the bound refuses nobody.
    pub(crate) unsettled: Option<usize>,
}

/// How many answers may wait to be settled, if an engine has a journal. At some 80 bytes each they
/// take 700 MB. A segment of 64 MiB has up to 1.8 million of them, so the auditor may be two
/// segments behind the one that it waits for anyway.
pub(crate) const MOST_UNSETTLED: usize = 1 << 23;

/// Figures of the stored answers. Each one is read by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeysInStock {
    /// When the answer was published that leaves next. `None` if there is none.
    pub(crate) oldest: Option<Timestamp>,
    /// How many answers have left before their time.
    pub(crate) dropped_early: u64,
    /// Until when an answer that left before its time would have been stored.
    pub(crate) missing_until: Option<Timestamp>,
}

/// What a caller does if another call under the same key is still in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    /// Waits until that call has published its answer or failed.
    Wait,
    /// Gets [`KeyClaim::Busy`] at once.
    Refuse,
}

/// What a claim of a key found.
#[derive(Debug)]
pub(crate) enum KeyClaim<'keys, A> {
    /// The key was free: this call does the work and publishes its answer.
    First(ClaimedKey<'keys, A>),
    /// The same request was answered before; this is the answer.
    Repeat(A),
    /// Another request uses, or has used, this key.
    Conflict,
    /// The same request is in progress, and the caller does not wait.
    Busy,
    /// The key is free, but as many answers wait to be settled as may.
    Behind,
    /// The key is free, but as many answers are stored as the limits allow.
    Full,
}

/// The stored keys, each with the fingerprint of its request and its answer.
pub(crate) struct IdempotencyMap<A> {
    known: Parts<KeyEntry<A>>,
    digester: Digester,
    /// What is published, oldest first. Locked only for a push and a few pops, and never together
    /// with a part of the map.
    eviction: Mutex<EvictionQueue>,
    limits: KeyLimits,
    /// How many places are taken: by published keys, and by claims.
    places: AtomicUsize,
    /// How many published keys are not settled yet.
    unsettled: AtomicUsize,
    /// The number of the next publication.
    next_number: AtomicU64,
    /// The latest publish time of the keys dropped so far, plus one, in milliseconds; 0 if none
    /// was.
    dropped_until: AtomicU64,
    /// The answers that have left before their time.
    dropped_early: LeftEarly,
    /// The publish time of the oldest answer in the eviction queue, plus one; 0 if there is none.
    oldest: AtomicU64,
}

/// What the map holds under a name.
#[derive(Debug)]
struct KeyEntry<A> {
    /// The fingerprint of the request. Bytes, which need no gap before them.
    fingerprint: [u8; 16],
    state: KeyState<A>,
}

impl<A> KeyEntry<A> {
    fn new(fingerprint: u128, state: KeyState<A>) -> Self {
        Self { fingerprint: fingerprint.to_ne_bytes(), state }
    }

    fn fingerprint(&self) -> u128 {
        u128::from_ne_bytes(self.fingerprint)
    }
}

#[derive(Debug)]
enum KeyState<A> {
    /// The first caller is at work, and has the [`ClaimedKey`].
    InProgress,
    /// The first caller's answer. `number` ties it to its place in the eviction queue.
    /// `settled`: it is in the queue, and may be dropped.
    Published { answer: A, at: Timestamp, number: u64, settled: bool },
}

impl<A: Clone> IdempotencyMap<A> {
    /// The most memory that one stored answer takes, with its place in the eviction queue.
    pub(crate) const BYTES_A_KEY: u64 =
        (Parts::<KeyEntry<A>>::BYTES_AN_ENTRY + size_of::<Publication>()) as u64;

    pub(crate) fn new(limits: KeyLimits) -> Self {
        Self {
            known: Parts::new(PARTS),
            digester: Digester::new(),
            eviction: Mutex::new(EvictionQueue::default()),
            limits,
            places: AtomicUsize::new(0),
            unsettled: AtomicUsize::new(0),
            next_number: AtomicU64::new(0),
            dropped_until: AtomicU64::new(0),
            dropped_early: LeftEarly::new(),
            oldest: AtomicU64::new(0),
        }
    }

    /// Claims `name` for the request with this fingerprint, or returns what became of it.
    ///
    /// With [`OnDuplicate::Wait`] it may wait as long as the first caller's call takes. It first
    /// spins, then yields, then sleeps up to a millisecond at a time. It never waits for a request
    /// with another fingerprint: that is a conflict at once.
    pub(crate) fn claim(
        &self,
        name: &KeyName,
        fingerprint: u128,
        now: Timestamp,
        on_duplicate: OnDuplicate,
    ) -> KeyClaim<'_, A> {
        let name = self.digester.digest(name);
        let mut pause = Pause::default();
        loop {
            match self.try_claim(name, fingerprint, now) {
                KeyClaim::Busy if on_duplicate == OnDuplicate::Wait => pause.take(),
                claim => return claim,
            }
        }
    }

    /// The answer stored under `name`, if any; `None` while the first call is in progress.
    pub(crate) fn get(&self, name: &KeyName, now: Timestamp) -> Option<A> {
        let name = self.digester.digest(name);
        let part = self.known.of(name);
        match &part.get(name)?.state {
            KeyState::InProgress => None,
            KeyState::Published { at, settled, .. } if self.is_over(*at, *settled, now) => {
                self.note_dropped(*at);
                None
            }
            KeyState::Published { answer, .. } => Some(answer.clone()),
        }
    }

    /// Whether the first call under `name` is in progress.
    pub(crate) fn is_under_way(&self, name: &KeyName) -> bool {
        let name = self.digester.digest(name);
        let part = self.known.of(name);
        part.get(name).is_some_and(|known| matches!(known.state, KeyState::InProgress))
    }

    /// Stores an answer that an earlier run of the engine published, in place of any other under
    /// this name. Call it in the order in which they were published. It refuses none: an answer
    /// that was promised is kept, and above the bound new calls are refused.
    pub(crate) fn restore(
        &self,
        name: KeyName,
        fingerprint: u128,
        answer: A,
        published_at: Timestamp,
    ) {
        // Count it before it shows, so that no thread drops it first and counts below zero.
        self.places.fetch_add(1, Ordering::Relaxed);
        self.remember(self.digester.digest(&name), fingerprint, answer, published_at);
    }

    /// One claim, without waiting: [`KeyClaim::Busy`] while the same request is in progress.
    fn try_claim(&self, name: NameDigest, fingerprint: u128, now: Timestamp) -> KeyClaim<'_, A> {
        // First: a repeat needs no place.
        if let Some(known) = self.known.of(name).get(name)
            && let Some(claim) = self.judge(known, fingerprint, now)
        {
            return claim;
        }
        // Relaxed: a bound on memory, which a few calls at the same time may pass.
        let waiting = self.unsettled.load(Ordering::Relaxed);
        if self.limits.unsettled.is_some_and(|most| waiting >= most) {
            return KeyClaim::Behind;
        }
        // Before the lock of the part: making room takes such locks too.
        if !self.take_place(now) {
            return KeyClaim::Full;
        }
        let marker = KeyEntry::new(fingerprint, KeyState::InProgress);
        let mut part = self.known.of(name);
        match part.get_mut(name) {
            None => drop(part.insert(name, marker)),
            Some(known) => {
                if let Some(claim) = self.judge(known, fingerprint, now) {
                    self.leave_place();
                    return claim;
                }
                // Expired. Its place in the eviction queue stays behind, and means nothing any
                // more.
                if let KeyState::Published { at, settled, .. } = &known.state {
                    self.note_dropped(*at);
                    self.count_less(*settled);
                }
                *known = marker;
            }
        }
        KeyClaim::First(ClaimedKey { keys: self, name, fingerprint, published: false })
    }

    /// What `known` means to a request with this fingerprint; `None` if it has expired.
    fn judge(
        &self,
        known: &KeyEntry<A>,
        fingerprint: u128,
        now: Timestamp,
    ) -> Option<KeyClaim<'_, A>> {
        match &known.state {
            KeyState::Published { at, settled, .. } if self.is_over(*at, *settled, now) => None,
            _ if known.fingerprint() != fingerprint => Some(KeyClaim::Conflict),
            KeyState::Published { answer, .. } => Some(KeyClaim::Repeat(answer.clone())),
            KeyState::InProgress => Some(KeyClaim::Busy),
        }
    }
}

impl<A> IdempotencyMap<A> {
    /// How many answers are stored, including those that have expired but are not yet dropped, and
    /// those of calls under way. Never waits.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a figure for reports; nothing depends on it.
        self.places.load(Ordering::Relaxed)
    }

    /// How many answers may be stored.
    pub(crate) fn most(&self) -> usize {
        self.limits.count
    }

    /// How much of what bounds new keys is taken: answers that wait to be settled, where they must
    /// be; else all answers. And the bound.
    pub(crate) fn taken(&self) -> (usize, usize) {
        match self.limits.unsettled {
            // Relaxed: a figure for reports.
            Some(most) => (self.unsettled.load(Ordering::Relaxed), most),
            None => (self.len(), self.most()),
        }
    }

    /// Figures for reports. Never waits.
    pub(crate) fn in_stock(&self) -> KeysInStock {
        // Relaxed: nothing depends on it.
        let oldest = self.oldest.load(Ordering::Relaxed).checked_sub(1);
        let missing = self.dropped_early.newest();
        KeysInStock {
            oldest: oldest.map(Timestamp::from_millis),
            dropped_early: self.dropped_early.count(),
            missing_until: missing.map(|at| at.saturating_add(self.limits.lifetime)),
        }
    }

    /// Takes a place for a claim. At the bound it drops what has expired. `false`: nothing has, and
    /// nothing may leave before its time. Where answers are settled, this bound refuses nobody.
    fn take_place(&self, now: Timestamp) -> bool {
        loop {
            // Relaxed: the count alone decides, and every place is taken by one such step.
            let taken = self.places.fetch_add(1, Ordering::Relaxed);
            if taken < self.limits.count
                || self.limits.drop_oldest
                || self.limits.unsettled.is_some()
            {
                return true;
            }
            self.leave_place();
            if self.purge(now, 2) == 0 {
                return false;
            }
        }
    }

    /// How many answers wait to be settled. Never waits.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// The latest publish time among all keys that were ever dropped, by age or to make room.
    ///
    /// A low-water mark: look a key up first, then ask. If it was not found, it was not published
    /// after this moment.
    pub(crate) fn evicted_before(&self) -> Option<Timestamp> {
        // Acquire pairs with the Release in `note_dropped`. A look-up that missed a dropped key has
        // also seen this mark, because the mark is raised under the lock that the look-up took.
        let mark = self.dropped_until.load(Ordering::Acquire);
        mark.checked_sub(1).map(Timestamp::from_millis)
    }

    /// Drops expired keys, at most `budget`, and returns how many places in the eviction queue it
    /// cleared. If that is less than the budget, nothing is left to do.
    pub(crate) fn purge(&self, now: Timestamp, budget: usize) -> usize {
        for cleared in 0..budget {
            // One at a time, so publishers never wait for a long purge.
            let expired = {
                let mut order = self.eviction();
                let expired = order.pop_if(|_, oldest| self.is_expired(oldest.at, now));
                self.note_oldest(&order);
                expired
            };
            match expired {
                Some(publication) => self.forget(&publication),
                None => return cleared,
            }
        }
        budget
    }

    /// Stores an answer in the place that its claim took, and drops the oldest above the limit.
    fn remember(&self, name: NameDigest, fingerprint: u128, answer: A, at: Timestamp) {
        // Relaxed: it only has to be a number that no other publication has.
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let settled = self.limits.unsettled.is_none();
        // Count it before it shows, so that no thread settles it first and counts below zero.
        self.unsettled.fetch_add(usize::from(!settled), Ordering::Relaxed);
        let state = KeyState::Published { answer, at, number, settled };
        // Into the map before the queue: what leaves by the queue must be in the map to be dropped.
        let replaced = self.known.of(name).insert(name, KeyEntry::new(fingerprint, state));
        if let Some(KeyEntry { state: KeyState::Published { settled, .. }, .. }) = replaced {
            self.count_less(settled);
        }
        if settled {
            self.line_up(Publication { name, number, at });
        }
    }

    /// Says that the answer that was published under this name, at `at` or before, can be found
    /// elsewhere from now on. So it may be dropped.
    ///
    /// What is dropped is dropped under the lock of its part, after this. So a claim that does not
    /// find the answer here finds it there.
    pub(crate) fn settle(&self, name: &KeyName, at: Timestamp) {
        let name = self.digester.digest(name);
        let mut part = self.known.of(name);
        let Some(known) = part.get_mut(name) else { return };
        let publication = match &mut known.state {
            KeyState::Published { at: own, number, settled, .. } if !*settled && *own <= at => {
                *settled = true;
                Publication { name, number: *number, at: *own }
            }
            // It was settled before, or another answer has taken its place.
            _ => return,
        };
        drop(part);
        self.unsettled.fetch_sub(1, Ordering::Relaxed);
        self.line_up(publication);
    }

    /// Puts a settled answer into the eviction queue, and drops the oldest above the limit.
    fn line_up(&self, publication: Publication) {
        let at = publication.at;
        let leaving = {
            let mut order = self.eviction();
            order.push(publication);
            let limits = &self.limits;
            let mut pop = || {
                order.pop_if(|len, oldest| {
                    let expired = self.is_expired(oldest.at, at);
                    let above = match limits.unsettled {
                        None => limits.drop_oldest && len > limits.count,
                        // Those that wait take up room, too.
                        Some(_) => self.len() > limits.count,
                    };
                    // The place in the queue may be one that stayed behind when its answer expired
                    // and the key was used anew; then the time of that place is over too.
                    if above && !expired && limits.unsettled.is_none() {
                        self.dropped_early.note(1, oldest.at);
                    }
                    above || expired
                })
            };
            // The first pop keeps the count. With the second, expired answers leave faster than new
            // ones come. Where nothing leaves, it would find the same one.
            let first = pop();
            let leaving = [first.as_ref().and_then(|_| pop()), first];
            self.note_oldest(&order);
            leaving
        };
        leaving.iter().flatten().for_each(|publication| self.forget(publication));
    }

    /// Drops the answer of `publication`, unless another has taken its place.
    fn forget(&self, publication: &Publication) {
        let dropped = self.known.of(publication.name).remove_if(publication.name, |known| {
            let same = matches!(&known.state,
                KeyState::Published { number, .. } if *number == publication.number);
            if same {
                // Raise the mark before any look-up can miss the key.
                self.note_dropped(publication.at);
            }
            same
        });
        if dropped.is_some() {
            self.count_less(true);
        }
    }

    fn note_dropped(&self, at: Timestamp) {
        // Release pairs with the Acquire in `evicted_before`.
        self.dropped_until.fetch_max(at.as_millis() + 1, Ordering::Release);
    }

    /// Notes which answer is the oldest now. Only under the lock of the queue.
    fn note_oldest(&self, order: &EvictionQueue) {
        let oldest = order.oldest().map_or(0, |at| at.as_millis() + 1);
        self.oldest.store(oldest, Ordering::Relaxed);
    }

    /// Gives back the place of an answer.
    fn count_less(&self, settled: bool) {
        self.unsettled.fetch_sub(usize::from(!settled), Ordering::Relaxed);
        self.leave_place();
    }

    fn leave_place(&self) {
        let before = self.places.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a key was dropped twice");
    }

    /// Whether an answer counts as absent. One that is not settled never does: nobody else has it,
    /// and who settles it may count its time by another clock.
    fn is_over(&self, published_at: Timestamp, settled: bool, now: Timestamp) -> bool {
        settled && self.is_expired(published_at, now)
    }

    fn is_expired(&self, published_at: Timestamp, now: Timestamp) -> bool {
        now > published_at.saturating_add(self.limits.lifetime)
    }

    fn eviction(&self) -> MutexGuard<'_, EvictionQueue> {
        // Nothing that runs under this lock can panic half-way.
        lock(&self.eviction)
    }
}

impl<A> fmt::Debug for IdempotencyMap<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyMap").field("len", &self.len()).finish_non_exhaustive()
    }
}

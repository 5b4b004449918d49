//! The idempotency map: keys, each with the fingerprint of its request and its answer.
//!
//! A call with a key takes three steps. It *claims* the key, and leaves a marker that says "under
//! way". It does its work, with no lock held. It *publishes* its answer, and takes the marker away.
//! If another call brings the same key meanwhile, it waits for the answer or is told to come back.
//! If a call is refused, or panics, it publishes nothing: its marker is withdrawn, and the key is
//! free again.
//!
//! Only calls with a key come here. A claim and a publication each take the lock of one part of the
//! map for a moment (up to 64 parts), and touch nothing that calls of other parts touch. What is
//! stored is 64 bytes a key of whatever length, because a digest stands for its name.
//!
//! A claim takes a *place*, which its answer keeps until it leaves. There are so many places as the
//! limits say. At that bound a claim is refused, or the oldest answer leaves before its time, which
//! is counted ([`KeysInStock`]). Which one leaves next is told by [`leaving`].

mod claim;
mod leaving;
mod parts;
mod table;
mod tally;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::base::clock::{Timestamp, whole_millis};
use crate::base::early::LeftEarly;
use crate::base::sync::{AtomicU64, MODELLED};
use crate::idempotency::digest::{Digester, NameDigest};
use crate::idempotency::key::KeyName;

use claim::Pause;
use parts::{KeyEntry, LockedPart, Part, Parts};
use tally::Tally;

pub(crate) use claim::ClaimedKey;

/// Parts of the map, each with a lock of its own.
const PARTS: usize = 64;
/// A map of few answers has fewer parts: each for so many. So of very few, the order in which they
/// leave is that of their publication, to the last one.
const ANSWERS_A_PART: usize = 1_024;

/// How many parts a map of so many answers has.
fn parts_for(count: usize) -> usize {
    if MODELLED { 2 } else { (count / ANSWERS_A_PART).clamp(1, PARTS).next_power_of_two() }
}

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

/// How many answers may wait to be settled, if an engine has a journal. At some 64 bytes each they
/// take 540 MB. A segment of 64 MiB has up to 1.8 million of them, so the auditor may be two
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
    parts: Parts<A>,
    digester: Digester,
    limits: KeyLimits,
    /// The lifetime, in milliseconds.
    lifetime: u64,
    /// How many places are taken: by published keys, and by claims.
    places: Tally,
    /// How many published keys are not settled yet.
    unsettled: Tally,
    /// The latest publish time of the keys dropped so far, plus one, in milliseconds; 0 if none
    /// was.
    dropped_until: AtomicU64,
    /// The answers that have left before their time.
    dropped_early: LeftEarly,
}

impl<A: Clone> IdempotencyMap<A> {
    /// The most memory that one stored answer takes.
    pub(crate) const BYTES_A_KEY: u64 = Parts::<A>::BYTES_AN_ANSWER as u64;

    pub(crate) fn new(limits: KeyLimits) -> Self {
        Self {
            parts: Parts::new(parts_for(limits.count)),
            digester: Digester::new(),
            limits,
            lifetime: whole_millis(limits.lifetime),
            places: Tally::new(limits.count),
            unsettled: Tally::new(limits.unsettled.unwrap_or(0)),
            dropped_until: AtomicU64::new(0),
            dropped_early: LeftEarly::new(),
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

    /// The answer stored under `name`, if any; `None` while the first call is under way.
    pub(crate) fn get(&self, name: &KeyName, now: Timestamp) -> Option<A> {
        let name = self.digester.digest(name);
        let part = self.parts.of(name);
        let known = part.answer(name)?;
        if self.is_over(known, now) {
            self.note_dropped(known.at());
            return None;
        }
        Some(known.answer.clone())
    }

    /// Whether the first call under `name` is under way.
    pub(crate) fn is_under_way(&self, name: &KeyName) -> bool {
        let name = self.digester.digest(name);
        self.parts.of(name).under_way(name).is_some()
    }

    /// One claim, without waiting: [`KeyClaim::Busy`] while the same request is under way.
    fn try_claim(&self, name: NameDigest, fingerprint: u128, now: Timestamp) -> KeyClaim<'_, A> {
        loop {
            let mut part = self.parts.of(name);
            // First: a repeat needs no place.
            let expired = match part.answer(name) {
                Some(known) if self.is_over(known, now) => Some(known.at()),
                Some(known) if known.fingerprint() == fingerprint => {
                    return KeyClaim::Repeat(known.answer.clone());
                }
                Some(_) => return KeyClaim::Conflict,
                None => None,
            };
            match part.under_way(name) {
                Some(own) if own == fingerprint => return KeyClaim::Busy,
                Some(_) => return KeyClaim::Conflict,
                None => {}
            }
            // A bound on memory, which a few calls at the same time may pass.
            if self.limits.unsettled.is_some_and(|most| self.unsettled.taken() >= most) {
                return KeyClaim::Behind;
            }
            if !self.take_place(&part) {
                // Making room takes the lock of a part, too.
                drop(part);
                if self.purge(now, 2) == 0 && self.collect_places() == 0 {
                    return KeyClaim::Full;
                }
                continue;
            }
            if let Some(at) = expired {
                self.note_dropped(at);
                part.drop_answer(name);
                self.places.count_down(&part.part.places);
            }
            part.begin(name, fingerprint);
            drop(part);
            return KeyClaim::First(ClaimedKey { keys: self, name, fingerprint, published: false });
        }
    }
}

impl<A> IdempotencyMap<A> {
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
        let name = self.digester.digest(&name);
        let mut part = self.parts.of(name);
        self.places.count_up(&part.part.places);
        if let Some(settled) = part.answer(name).map(|known| known.settled) {
            part.drop_answer(name);
            self.count_less(&part, settled);
        }
        self.remember(part, name, KeyEntry::new(fingerprint, answer, published_at, self.settles()));
    }

    /// Takes a place for a claim. `false`: none is free, and nothing may leave before its time.
    /// Where answers are settled, or the oldest leave, this bound refuses nobody.
    fn take_place(&self, part: &LockedPart<'_, A>) -> bool {
        if self.limits.drop_oldest || self.limits.unsettled.is_some() {
            self.places.count_up(&part.part.places);
            return true;
        }
        self.places.count_up_to(self.limits.count, &part.part.places)
    }

    /// Takes back the places that parts have taken ahead, and says how many.
    #[cold]
    fn collect_places(&self) -> usize {
        let some = self.parts.iter().filter(|part| part.places.get() > 0);
        some.map(|part| self.places.collect(&part.lock().part.places)).sum()
    }

    /// Whether answers are settled as they are published.
    fn settles(&self) -> bool {
        self.limits.unsettled.is_none()
    }

    /// Stores an answer in the place that its claim took.
    fn remember(&self, mut part: LockedPart<'_, A>, name: NameDigest, answer: KeyEntry<A>) {
        let (at, settled) = (answer.at(), answer.settled);
        if !settled {
            self.unsettled.count_up(&part.part.unsettled);
        }
        part.publish(name, answer);
        if settled {
            self.let_some_go(part, at);
        }
    }

    /// How many answers are stored, including those that have expired but are not yet dropped, and
    /// those of calls under way. Never waits.
    pub(crate) fn len(&self) -> usize {
        self.used(&self.places, |part| part.places.get())
    }

    /// How many answers wait to be settled. Never waits.
    pub(crate) fn unsettled(&self) -> usize {
        self.used(&self.unsettled, |part| part.unsettled.get())
    }

    fn used(&self, tally: &Tally, ahead: impl Fn(&Part<A>) -> usize) -> usize {
        // A figure: parts may take and give back while it is added up.
        tally.taken().saturating_sub(self.parts.iter().map(ahead).sum())
    }

    /// How many of those that [`len`](Self::len) counts are of calls under way.
    fn under_way(&self) -> usize {
        self.parts.iter().map(Part::under_way).sum()
    }

    /// How many answers may be stored.
    pub(crate) fn most(&self) -> usize {
        self.limits.count
    }

    /// How much of what bounds new keys is taken: answers that wait to be settled, where they must
    /// be; else all answers. And the bound.
    pub(crate) fn taken(&self) -> (usize, usize) {
        match self.limits.unsettled {
            Some(most) => (self.unsettled(), most),
            None => (self.len(), self.most()),
        }
    }

    /// Figures for reports. Never waits.
    pub(crate) fn in_stock(&self) -> KeysInStock {
        let missing = self.dropped_early.newest();
        KeysInStock {
            oldest: self.parts.oldest().map(|(_, at)| at),
            dropped_early: self.dropped_early.count(),
            missing_until: missing.map(|at| at.saturating_add(self.limits.lifetime)),
        }
    }

    /// Gives back the place of an answer that leaves.
    fn count_less(&self, part: &LockedPart<'_, A>, settled: bool) {
        if !settled {
            self.unsettled.count_down(&part.part.unsettled);
        }
        self.places.count_down(&part.part.places);
    }

    /// Whether an answer counts as absent. One that is not settled never does: nobody else has it,
    /// and who settles it may count its time by another clock.
    fn is_over(&self, known: &KeyEntry<A>, now: Timestamp) -> bool {
        known.settled && self.is_expired(known.at(), now)
    }

    fn is_expired(&self, published_at: Timestamp, now: Timestamp) -> bool {
        now > published_at.saturating_add_millis(self.lifetime)
    }
}

impl<A> fmt::Debug for IdempotencyMap<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyMap").field("len", &self.len()).finish_non_exhaustive()
    }
}

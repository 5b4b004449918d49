//! One call of an operation: what the caller added to it, and its retries made safe.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::error::{KeyError, MutationError};
use crate::base::quantity::Quantity;
use crate::engine::Engine;
use crate::engine::answer::StoredAnswer;
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::place::{OwnLevel, OwnProduct, OwnWarehouse};
use crate::idempotency::{Fingerprint, IdempotencyKey, KeyClaim, KeyName};
use crate::reservation::id::{Owner, ReservationId};

/// What a caller may add to an operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestOptions {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) notes: Vec<(String, String)>,
    /// `None`: as the engine does for this kind of operation.
    pub(crate) durability: Option<Durability>,
    /// Whom a new reservation is for.
    pub(crate) owner: Option<Owner>,
    /// A new reservation keeps its slots until all that it sold is shipped or cancelled.
    pub(crate) keep_until_shipped: bool,
}

/// What [`RequestOptions::DEFAULT`] refers to: a reference to a constant would be to a copy of it,
/// which each call would have to make and to drop.
static NO_OPTIONS: RequestOptions = RequestOptions {
    key: None,
    notes: Vec::new(),
    durability: None,
    owner: None,
    keep_until_shipped: false,
};

impl RequestOptions {
    /// What most callers add: nothing.
    pub(super) const DEFAULT: &'static Self = &NO_OPTIONS;
}

/// The idempotency key of a call under way, and the fingerprint of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyedCall {
    pub(super) key: IdempotencyKey,
    pub(super) fingerprint: u128,
}

/// One call of an operation: every operation that moves units or ends holds is a method of it.
///
/// Passed by value, so that on the hot path its fields stay in registers: a reference to it would
/// force it into memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) engine: &'a Engine,
    pub(super) options: &'a RequestOptions,
    /// Claimed by this call; `None` if the caller brought no key, or it is not claimed yet.
    pub(super) key: Option<&'a KeyedCall>,
    /// See [`now`](Self::now).
    now: Timestamp,
}

/// Until the clock is read. A clock at the end of time shows it too, so nothing may depend on it.
const NOT_READ: Timestamp = Timestamp::MAX;

impl<'a> Call<'a> {
    /// A call with these options.
    #[inline]
    pub(super) fn new(engine: &'a Engine, options: &'a RequestOptions) -> Self {
        Self { engine, options, key: None, now: NOT_READ }
    }

    /// A step that the engine takes by itself, at `now`: nobody has asked for it.
    #[inline]
    pub(super) fn of_engine(engine: &'a Engine, now: Timestamp) -> Self {
        Self::new(engine, RequestOptions::DEFAULT).at(now)
    }

    /// The same call, which takes effect at `now`.
    #[inline]
    pub(super) fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The same call, which takes effect now. The clock is read once it may go on: claiming a key
    /// and being admitted may have taken time.
    #[inline]
    pub(super) fn timed(self) -> Self {
        self.at(self.engine.now())
    }

    /// When the call takes effect: the one reading of the clock that its record and its holds bear.
    #[inline]
    pub(super) fn now(self) -> Timestamp {
        debug_assert!(
            self.now != NOT_READ || self.engine.now() == NOT_READ,
            "the clock is read before anything is dated"
        );
        self.now
    }

    /// Whether the record of a movement says more than its one plain entry does.
    #[inline]
    pub(super) fn needs_record_buffer(self) -> bool {
        !self.options.notes.is_empty() || self.key.is_some()
    }

    /// Whether the record of a new hold does.
    #[inline]
    pub(super) fn hold_needs_record_buffer(self) -> bool {
        self.needs_record_buffer() || self.options.keep_until_shipped
    }

    /// Runs an operation under the caller's key, if it brought one: the first call runs, every
    /// other one gets its answer. A refusal is not stored. Returns when the answer is as durable as
    /// it is to be.
    #[inline]
    pub(super) fn keyed<T: StoredAnswer, E: MutationError + From<KeyError>>(
        self,
        kind: OperationKind,
        shape: impl FnOnce() -> RequestShape,
        run: impl FnOnce(Call<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let answer = match &self.options.key {
            None => run(self),
            Some(key) => self.under_key(*key, shape, run),
        };
        self.engine.once_durable(kind, self.options, answer)
    }

    #[cold]
    #[inline(never)]
    fn under_key<T: StoredAnswer, E: From<KeyError>>(
        self,
        key: IdempotencyKey,
        shape: impl FnOnce() -> RequestShape,
        run: impl FnOnce(Call<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let fingerprint = shape().of_hold(self.options).finish();
        self.engine.claimed(KeyName::Caller(key), fingerprint, || {
            run(Call { key: Some(&KeyedCall { key, fingerprint }), ..self })
        })
    }
}

impl Engine {
    /// Runs an operation under a name that only one call may run under.
    pub(super) fn claimed<T: StoredAnswer, E: From<KeyError>>(
        &self,
        name: KeyName,
        fingerprint: u128,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.keys.claim(name, fingerprint, self.now(), self.on_duplicate) {
            // Another kind's answer would need another kind's fingerprint.
            KeyClaim::Repeat(answer) => T::again(answer).ok_or(KeyError::Conflict.into()),
            KeyClaim::Conflict => Err(KeyError::Conflict.into()),
            KeyClaim::Busy => Err(KeyError::InProgress.into()),
            KeyClaim::First(ticket) => {
                // Dropped unpublished, by a refusal or a panic, the ticket withdraws the claim.
                let answer = run()?;
                ticket.publish(answer.into(), self.now());
                Ok(answer)
            }
        }
    }
}

/// What tells one request from another: everything that the caller passed. Its bytes are stored in
/// journals, as fingerprints: neither the names of operations nor the order of parts may change.
pub(super) struct RequestShape(Fingerprint);

impl RequestShape {
    pub(super) fn new(operation: &str) -> Self {
        Self(Fingerprint::of(operation))
    }

    /// A level, as the caller named it: the same request names it the same way.
    pub(super) fn level(self, level: OwnLevel<'_>) -> Self {
        Self(match level {
            OwnLevel::Names(warehouse, product) => self.0.text(warehouse).text(product),
            OwnLevel::Index(index) => self.0.number(u64::from(index.0)),
        })
    }

    pub(super) fn warehouse(self, warehouse: OwnWarehouse<'_>) -> Self {
        Self(match warehouse {
            OwnWarehouse::Name(name) => self.0.text(name),
            OwnWarehouse::Index(index) => self.0.number(u64::from(index.0)),
        })
    }

    pub(super) fn product(self, product: OwnProduct<'_>) -> Self {
        Self(match product {
            OwnProduct::Name(name) => self.0.text(name),
            OwnProduct::Index(index) => self.0.number(u64::from(index.0)),
        })
    }

    pub(super) fn units(self, qty: Quantity) -> Self {
        Self(self.0.number(u64::from(qty.get())))
    }

    /// How many lines follow, or how many units a line asks for.
    pub(super) fn count(self, count: usize) -> Self {
        Self(self.0.number(count as u64))
    }

    pub(super) fn span(self, span: Duration) -> Self {
        Self(self.0.number(span.as_secs()).number(u64::from(span.subsec_nanos())))
    }

    pub(super) fn reservation(self, id: ReservationId) -> Self {
        Self(self.0.id(id))
    }

    pub(super) fn text(self, text: &str) -> Self {
        Self(self.0.text(text))
    }

    /// What the caller adds to a new hold. Part of every request's fingerprint, also of those that
    /// make no hold.
    fn of_hold(self, options: &RequestOptions) -> Self {
        let shape = Self(match options.owner {
            Some(owner) => self.0.bytes(&owner.0),
            None => self.0.absent(),
        });
        if options.keep_until_shipped { shape.text("keep-until-shipped") } else { shape }
    }

    fn finish(self) -> u128 {
        self.0.finish()
    }
}

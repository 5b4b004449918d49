//! Retries made safe: what a caller's key is remembered with, and the answer it gives again.

use std::time::Duration;

use crate::error::{KeyError, MutationError};
use crate::manager::answer::{KeyUse, Remembered};
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::Engine;
use crate::manager::place::{LevelRef, ProductRef, WarehouseRef};
use crate::quantity::Quantity;
use crate::reservation::id::ReservationId;
use crate::reservation::keys::{Claim, Fingerprint, KeyName, RequestKey};

/// What tells one request from another: everything that the caller passed.
pub(super) struct RequestShape(Fingerprint);

impl RequestShape {
    pub(super) fn new(operation: &str) -> Self {
        Self(Fingerprint::of(operation))
    }

    /// A level, as the caller named it: the same request names it the same way.
    pub(super) fn level(self, level: LevelRef<'_>) -> Self {
        Self(match level {
            LevelRef::Names(warehouse, product) => self.0.text(warehouse).text(product),
            LevelRef::Handle(handle) => self.0.number(u64::from(handle.0)),
        })
    }

    pub(super) fn warehouse(self, warehouse: WarehouseRef<'_>) -> Self {
        Self(match warehouse {
            WarehouseRef::Name(name) => self.0.text(name),
            WarehouseRef::Id(id) => self.0.number(u64::from(id.0)),
        })
    }

    pub(super) fn product(self, product: ProductRef<'_>) -> Self {
        Self(match product {
            ProductRef::Name(name) => self.0.text(name),
            ProductRef::Id(id) => self.0.number(u64::from(id.0)),
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

    fn finish(self) -> u128 {
        self.0.finish()
    }
}

impl Engine {
    /// Runs an operation under the caller's key, if it brought one: the first call runs, every
    /// other one gets its answer. A refusal is not remembered. Returns when the answer is as durable as
    /// it is to be.
    #[inline]
    pub(super) fn keyed<T: Remembered, E: MutationError + From<KeyError>>(
        &self,
        kind: OperationKind,
        details: &Details,
        shape: impl FnOnce() -> RequestShape,
        run: impl FnOnce(Option<KeyUse<'_>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let answer = match &details.key {
            None => run(None),
            Some(key) => self.under_key(key, details, shape, run),
        };
        self.once_durable(kind, details, answer)
    }

    #[cold]
    #[inline(never)]
    fn under_key<T: Remembered, E: From<KeyError>>(
        &self,
        key: &RequestKey,
        details: &Details,
        shape: impl FnOnce() -> RequestShape,
        run: impl FnOnce(Option<KeyUse<'_>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut shape = shape();
        shape = RequestShape(match details.owner {
            Some(owner) => shape.0.bytes(&owner.0),
            None => shape.0.absent(),
        });
        if details.keep_until_shipped {
            shape = shape.text("keep-until-shipped");
        }
        let fingerprint = shape.finish();
        self.claimed(KeyName::Caller(*key), fingerprint, || run(Some(KeyUse { key, fingerprint })))
    }

    /// Runs an operation under a name that only one call may run under.
    pub(super) fn claimed<T: Remembered, E: From<KeyError>>(
        &self,
        name: KeyName,
        fingerprint: u128,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.keys.claim(name, fingerprint, self.now(), self.patience) {
            // Another kind's answer would need another kind's fingerprint.
            Claim::Repeat(answer) => T::again(answer).ok_or(KeyError::Conflict.into()),
            Claim::Conflict => Err(KeyError::Conflict.into()),
            Claim::Busy => Err(KeyError::InProgress.into()),
            Claim::First(ticket) => {
                // Dropped unpublished, by a refusal or a panic, the ticket withdraws the claim.
                let answer = run()?;
                ticket.publish(answer.into(), self.now());
                Ok(answer)
            }
        }
    }
}

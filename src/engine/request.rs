//! What a caller may add to an operation.
//!
//! An option that only some operations heed turns the request into one that has only those, so that
//! no option is ever ignored.

use crate::engine::Engine;
use crate::engine::call::{Call, RequestOptions};
use crate::engine::durability::Durability;
use crate::idempotency::IdempotencyKey;
use crate::reservation::id::Owner;

/// An operation to come, with what the caller adds to it.
///
/// Made by [`InventoryManager::request`](crate::InventoryManager::request); every operation that
/// moves units or ends holds can be called on it. Options of new holds, as [`owner`](Self::owner),
/// make a [`HoldRequest`] of it.
///
/// ```
/// use std::time::Duration;
/// use stockade::{InventoryManager, Owner, IdempotencyKey};
///
/// let manager = InventoryManager::builder().warehouse("SF").build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
///
/// let key = IdempotencyKey::try_from("cart-17/attempt")?;
/// let reserve = || {
///     manager
///         .request()
///         .key(key)
///         .note("order", "A-1")
///         .owner(Owner([7; 16]))
///         .reserve(("SF", "LAPTOP"), 3, Duration::from_secs(60))
/// };
/// // The answer was lost, so the caller asks again: the same reservation, nothing taken twice.
/// assert_eq!(reserve()?, reserve()?);
/// assert_eq!(manager.available(("SF", "LAPTOP"))?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an operation is called on it"]
pub struct Request<'a> {
    engine: &'a Engine,
    options: RequestOptions,
}

/// A request for a new hold, or a sale: it has the operations that make a reservation, and no
/// others.
///
/// Made by [`Request::owner`] and [`Request::keep_until_shipped`], or from a [`Request`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an operation is called on it"]
pub struct HoldRequest<'a> {
    engine: &'a Engine,
    options: RequestOptions,
}

/// A request for a transfer that holds its units until it is decided.
///
/// Made by [`Request::hold_units`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an operation is called on it"]
pub struct TransferRequestBuilder<'a> {
    engine: &'a Engine,
    options: RequestOptions,
}

/// What can be added to every operation.
macro_rules! options_of_all_operations {
    ($($request:ident)+) => {$(
        impl<'a> $request<'a> {
            /// Sets the idempotency key, so that a retry after a lost answer is safe: the same key
            /// with the same request gives the first answer and moves nothing twice, however many
            /// threads race with it; with a different request it is refused. A refusal is not
            /// stored. So a key stands for one step of one order: `order-17/reserve`, then
            /// `order-17/confirm`.
            ///
            /// The same request is the same operation with the same place (named in the same way:
            /// names and a handle differ), quantity, time to live, owner, and lines in the same
            /// order; notes don't count.
            ///
            /// A keyed call takes a shard lock of the map of keys, for some tens of nanoseconds; if
            /// another call with the same key is under way, it waits for that one's answer.
            pub fn key(mut self, key: IdempotencyKey) -> Self {
                self.options.key = Some(key);
                self
            }

            /// Adds a pair to the metadata of the operation's audit entries.
            pub fn note(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.options.notes.push((name.into(), value.into()));
                self
            }

            /// What this call does about its audit entry before it returns, whatever the engine is
            /// set to.
            ///
            /// ```
            /// use stockade::Durability;
            /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
            /// let request = manager.request().durability(Durability::Synced);
            /// request.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
            /// # Ok::<(), stockade::Error>(())
            /// ```
            pub fn durability(mut self, durability: Durability) -> Self {
                self.options.durability = Some(durability);
                self
            }

            pub(super) fn call(&self) -> Call<'_> {
                Call::new(self.engine, &self.options)
            }
        }
    )+};
}

options_of_all_operations! { Request HoldRequest TransferRequestBuilder }

impl<'a> Request<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, options: RequestOptions::default() }
    }

    /// Says whom the new reservation is for. See [`HoldRequest::owner`].
    pub fn owner(self, owner: Owner) -> HoldRequest<'a> {
        HoldRequest::from(self).owner(owner)
    }

    /// Has the new reservation keep its record until all that it sold is shipped or cancelled. See
    /// [`HoldRequest::keep_until_shipped`].
    pub fn keep_until_shipped(self) -> HoldRequest<'a> {
        HoldRequest::from(self).keep_until_shipped()
    }

    /// Holds the units of a transfer request from now until the decision: they are reserved at the
    /// source, so that an approval fails only for want of room.
    pub fn hold_units(self) -> TransferRequestBuilder<'a> {
        TransferRequestBuilder { engine: self.engine, options: self.options }
    }
}

/// With options of holds still to come, or none.
impl<'a> From<Request<'a>> for HoldRequest<'a> {
    fn from(request: Request<'a>) -> Self {
        Self { engine: request.engine, options: request.options }
    }
}

impl HoldRequest<'_> {
    /// Says whom the new reservation is for.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.options.owner = Some(owner);
        self
    }

    /// Has the new reservation keep its record, as a live one keeps its slots, until all that it
    /// sold is shipped or cancelled by reservation
    /// ([`ship_lines`](crate::InventoryManager::ship_lines),
    /// [`cancel_sale_lines`](crate::InventoryManager::cancel_sale_lines)), so that those calls
    /// never find it forgotten. Units that leave by [`ship`](crate::InventoryManager::ship), which
    /// knows only the level, don't count.
    pub fn keep_until_shipped(mut self) -> Self {
        self.options.keep_until_shipped = true;
        self
    }
}

/// Gives operations that make a reservation to both kinds of request that can make one.
macro_rules! on_requests_for_holds {
    ($($operation:item)+) => {
        impl $crate::engine::request::Request<'_> {
            $($operation)+
        }

        impl $crate::engine::request::HoldRequest<'_> {
            $($operation)+
        }
    };
}

pub(super) use on_requests_for_holds;

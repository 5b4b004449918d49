//! What a caller may add to an operation: a key, an owner, notes for the auditor.

use crate::manager::details::Details;
use crate::manager::engine::Engine;
use crate::reservation::id::Owner;
use crate::reservation::keys::RequestKey;

/// An operation to come, with what the caller adds to it.
///
/// Made by [`InventoryManager::request`](crate::InventoryManager::request); every operation that moves units or ends holds can be called on it.
///
/// ```
/// use std::time::Duration;
/// use stockade::{InventoryManager, Owner, RequestKey};
///
/// let manager = InventoryManager::builder().warehouse("SF").build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
///
/// let key = RequestKey::try_from("cart-17/attempt")?;
/// let reserve = || {
///     manager
///         .request()
///         .key(key)
///         .owner(Owner([7; 16]))
///         .note("order", "A-1")
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
    pub(super) engine: &'a Engine,
    pub(super) details: Details,
}

impl<'a> Request<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, details: Details::default() }
    }

    /// Bears the caller's own key, so that a retry after a lost answer is safe: the same key with
    /// the same request gives the first answer and moves nothing twice, however many threads race
    /// with it; with a different request it is refused. A refusal is not remembered. So a key stands
    /// for one step of one order: `order-17/reserve`, then `order-17/confirm`.
    ///
    /// The same request is the same operation with the same place (named in the same way: names and a
    /// handle differ), quantity, time to live, owner, and lines in the same order; notes don't count.
    ///
    /// A keyed call takes a shard lock of the map of keys, for some tens of nanoseconds; if another
    /// call with the same key is under way, it waits for that one's answer.
    pub fn key(mut self, key: RequestKey) -> Self {
        self.details.key = Some(key);
        self
    }

    /// Notes whom a new reservation is for. Operations that make none ignore it.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.details.owner = Some(owner);
        self
    }

    /// A new reservation keeps its record, as a live one keeps its slots, until all that it sold is
    /// shipped or cancelled by reservation ([`ship_lines`](crate::InventoryManager::ship_lines),
    /// [`cancel_sale_lines`](crate::InventoryManager::cancel_sale_lines)), so that those calls never
    /// find it forgotten. Units that leave by [`ship`](crate::InventoryManager::ship), which knows
    /// only the level, don't count.
    pub fn keep_until_shipped(mut self) -> Self {
        self.details.keep_until_shipped = true;
        self
    }

    /// Adds a pair to the metadata of the operation's audit entries.
    pub fn note(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.notes.push((name.into(), value.into()));
        self
    }
}

//! Requests: operations with options.
//!
//! An option that only some operations use changes the type of the request. The new type has only
//! those operations, so no call ignores an option. (`confirm_or_retake` uses the owner only if it
//! makes a new hold.)

use crate::engine::Engine;
use crate::engine::call::Call;
use crate::engine::durability::Durability;
#[cfg(feature = "journal")]
use crate::engine::prefetch::Prefetch;
use crate::engine::request_options::{KeyLookup, RequestOptions, SafetyStock};
use crate::idempotency::IdempotencyKey;
use crate::reservation::id::Owner;
#[cfg(feature = "journal")]
use crate::reservation::id::ReservationId;

/// An operation to be called, with options.
///
/// [`InventoryManager::request`](crate::InventoryManager::request) makes it. Every operation that
/// moves units or ends holds can be called on it, as often as wanted. An option of new holds, such
/// as [`owner`](Self::owner), turns it into a [`HoldRequest`].
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

/// A request for a new hold or a sale. It has only the operations that make a reservation.
///
/// [`Request::owner`] makes it, and so does a conversion from a [`Request`] or a [`SaleRequest`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an operation is called on it"]
pub struct HoldRequest<'a> {
    engine: &'a Engine,
    options: RequestOptions,
}

/// A request for a reservation or its sale. It has the operations that make a reservation, and
/// those that confirm one.
///
/// [`Request::subject`] makes it, and so does [`Request::keep_until_shipped`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an operation is called on it"]
pub struct SaleRequest<'a> {
    engine: &'a Engine,
    options: RequestOptions,
}

/// A request for a transfer that holds its units until somebody decides on it.
///
/// [`Request::hold_units`] makes it.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an operation is called on it"]
pub struct TransferRequestBuilder<'a> {
    engine: &'a Engine,
    options: RequestOptions,
}

/// The options that every operation takes.
macro_rules! options_of_all_operations {
    ($($request:ident)+) => {$(
        impl<'a> $request<'a> {
            /// Sets the idempotency key, so that a retry after a lost answer is safe. The same key
            /// with the same request returns the first answer and moves nothing twice, even if many
            /// threads race with it. The same key with a different request is refused
            /// ([`KeyError::Conflict`](crate::KeyError::Conflict)). A refusal is not stored, so a
            /// retry after a refusal runs again.
            ///
            /// Use one key for one step of one order: `order-17/reserve`, then `order-17/confirm`.
            ///
            /// Two requests are the same if they are the same operation with the same arguments and
            /// options, and lines in the same order. A place named by names differs from the same
            /// place named by handle. Notes and durability do not count.
            ///
            /// A keyed call locks one part of the key table, which costs some tens of nanoseconds.
            /// With a journal, it may read the disk: one page of an outcome file, if the key was
            /// used and its answer has left memory, and for about one new key in ten thousand.
            /// [`key_lookup`](Self::key_lookup) forbids that; in async code, await a prefetch
            /// before.
            ///
            /// If another call with the same key and request is in progress, this call waits for
            /// that call's answer. On an engine with
            /// [`Backpressure::Refuse`](crate::Backpressure::Refuse) it gets
            /// [`KeyError::InProgress`](crate::KeyError::InProgress) instead.
            #[inline]
            pub fn key(mut self, key: IdempotencyKey) -> Self {
                self.options.key = Some(key);
                self
            }

            /// Sets whether look-ups may read the disk: of the key, and of the reservation that the
            /// call names, if its record is gone. Only an engine with a journal reads it: there the
            /// answers of older keys, and how older reservations ended, lie in files. Default: they
            /// may.
            ///
            /// A call that must not wait for the disk, for example in a future's `poll`, says
            /// [`KeyLookup::MemoryOnly`]. If it gets
            /// [`KeyError::Undecided`](crate::KeyError::Undecided), it awaits a prefetch, or calls
            /// again from a thread that may wait.
            #[inline]
            pub fn key_lookup(mut self, lookup: KeyLookup) -> Self {
                self.options.lookup = lookup;
                self
            }

            /// Reads what the key was answered before, as a future, for any runtime. The files are
            /// read by a thread of the engine's, and not by the poll. From then on the calls of
            /// this request read no file: their look-up is [`KeyLookup::MemoryOnly`].
            ///
            /// Await it before the call; before one that names a reservation,
            /// [`prefetch_of`](Self::prefetch_of). If the key is new, memory mostly knows that, and
            /// the first poll is ready. Dropping the future undoes nothing. An engine without
            /// threads reads in the poll.
            ///
            /// # Errors
            /// [`KeyError::Gathering`](crate::KeyError::Gathering) as the call itself;
            /// [`KeyError::Undecided`](crate::KeyError::Undecided) if the operating system gives no
            /// thread to read in. The request is as before.
            ///
            /// A call after it can still be refused as
            /// [`KeyError::Undecided`](crate::KeyError::Undecided): if a file came since that may
            /// have the key, which one call in ten thousand meets. Then prefetch again.
            ///
            /// ```
            /// # use std::time::Duration;
            /// use stockade::{Error, IdempotencyKey, InventoryManager, ReservationId};
            /// async fn reserve(
            ///     manager: &InventoryManager,
            ///     key: IdempotencyKey,
            /// ) -> Result<ReservationId, Error> {
            ///     let mut request = manager.request().key(key);
            ///     request.prefetch().await?;
            ///     Ok(request.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?)
            /// }
            /// # let manager = InventoryManager::builder().warehouse("SF").build()?;
            /// # let _ = reserve(&manager, IdempotencyKey::try_from("cart-17/reserve")?);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[cfg(feature = "journal")]
            #[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
            pub fn prefetch(&mut self) -> Prefetch<'_> {
                Prefetch::new(self.engine, &mut self.options, None)
            }

            /// As [`prefetch`](Self::prefetch), and reads how this reservation ended, too, if its
            /// record is gone: for a late payment, before the request confirms or retakes it. It
            /// may have to wait until the newest entries are on the disk, without blocking.
            ///
            /// ```
            /// # use std::time::Duration;
            /// use stockade::{ConfirmOrRetake, Error, IdempotencyKey};
            /// use stockade::{InventoryManager, ReservationId};
            /// async fn paid(
            ///     manager: &InventoryManager,
            ///     webhook: IdempotencyKey,
            ///     hold: ReservationId,
            /// ) -> Result<ConfirmOrRetake, Error> {
            ///     let mut request = manager.request().key(webhook);
            ///     request.prefetch_of(hold).await?;
            ///     Ok(request.confirm_or_retake(hold)?)
            /// }
            /// # let manager = InventoryManager::builder().warehouse("SF").build()?;
            /// # manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
            /// # let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
            /// # let _ = paid(&manager, IdempotencyKey::try_from("webhook-3")?, hold);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[cfg(feature = "journal")]
            #[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
            pub fn prefetch_of(&mut self, reservation: ReservationId) -> Prefetch<'_> {
                Prefetch::new(self.engine, &mut self.options, Some(reservation))
            }

            /// Adds a name and a value to the metadata of the operation's audit entries. Each name
            /// can be given once, and not if the call itself can write something under it: its
            /// `source` or `reason`, a fact of a transfer request, or `keep` in a call on a
            /// reservation. How many notes a call may have, and how long they may be together, is a
            /// setting: [`Limits::notes`](crate::Limits::notes). A call with more is refused.
            #[inline]
            pub fn note(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
                self.options.notes.push(name.as_ref(), value.as_ref());
                self
            }

            /// Sets how durable this call's audit entry is when the call returns. Overrides the
            /// engine's setting.
            ///
            /// With [`Durability::Synced`] the call waits for one sync of the disk.
            ///
            /// ```
            /// use stockade::Durability;
            /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
            /// let request = manager.request().durability(Durability::Synced);
            /// request.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
            /// # Ok::<(), stockade::Error>(())
            /// ```
            #[inline]
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

options_of_all_operations! { Request HoldRequest SaleRequest TransferRequestBuilder }

impl<'a> Request<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, options: RequestOptions::default() }
    }

    /// Sets the owner of the new reservation. See [`HoldRequest::owner`].
    #[inline]
    pub fn owner(self, owner: Owner) -> HoldRequest<'a> {
        HoldRequest::from(self).owner(owner)
    }

    /// Keeps the record of a reservation until all units that it sold are shipped, or their sale is
    /// cancelled, by reservation ([`ship_lines`](crate::InventoryManager::ship_lines),
    /// [`cancel_sale_lines`](crate::InventoryManager::cancel_sale_lines)). So those calls never
    /// find it forgotten. It can be asked for when the reservation is made, or when it is confirmed
    /// as a whole or in part; once asked for, it stays.
    ///
    /// Until then the reservation keeps its slots, as a live hold does. What it sells is *tracked*:
    /// [`ship`](crate::InventoryManager::ship) and
    /// [`cancel_sale`](crate::InventoryManager::cancel_sale) know only the level, and take none of
    /// these units ([`Counts::tracked`](crate::Counts::tracked)). What it sold before, in a partial
    /// confirm without this option, is tracked from then on as well. If those calls took some of it
    /// by then, the call is refused ([`ConfirmError::NotSold`](crate::ConfirmError::NotSold)).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.request().keep_until_shipped().confirm(hold)?;
    /// assert!(manager.reservation(hold)?.keep_until_shipped);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    #[inline]
    pub fn keep_until_shipped(self) -> SaleRequest<'a> {
        SaleRequest::from(self).keep_until_shipped()
    }

    /// Lets the call hold or sell units of the [safety
    /// stock](crate::InventoryManager::set_safety_stock). See [`HoldRequest::pass_safety_stock`].
    #[inline]
    pub fn pass_safety_stock(self, reason: impl AsRef<str>) -> HoldRequest<'a> {
        HoldRequest::from(self).pass_safety_stock(reason)
    }

    /// Says whom the call is for. See [`SaleRequest::subject`].
    #[inline]
    pub fn subject(self, kind: impl AsRef<str>, id: impl AsRef<[u8]>) -> SaleRequest<'a> {
        SaleRequest::from(self).subject(kind, id)
    }

    /// Lets the call pass a limit. See [`SaleRequest::pass_limit`].
    #[inline]
    pub fn pass_limit(self, limit: impl AsRef<str>, reason: impl AsRef<str>) -> SaleRequest<'a> {
        SaleRequest::from(self).pass_limit(limit, reason)
    }

    /// Holds the units of a transfer request from now until the decision: they are reserved at the
    /// source, so an approval can fail only for want of room at the destination.
    pub fn hold_units(self) -> TransferRequestBuilder<'a> {
        TransferRequestBuilder { engine: self.engine, options: self.options }
    }
}

/// A request for a hold with no options of holds set yet.
impl<'a> From<Request<'a>> for HoldRequest<'a> {
    #[inline]
    fn from(request: Request<'a>) -> Self {
        Self { engine: request.engine, options: request.options }
    }
}

/// A request for a sale with no options of sales set yet.
impl<'a> From<Request<'a>> for SaleRequest<'a> {
    #[inline]
    fn from(request: Request<'a>) -> Self {
        Self { engine: request.engine, options: request.options }
    }
}

/// A request for a hold with options that a sale heeds, too.
impl<'a> From<SaleRequest<'a>> for HoldRequest<'a> {
    #[inline]
    fn from(request: SaleRequest<'a>) -> Self {
        Self { engine: request.engine, options: request.options }
    }
}

impl<'a> SaleRequest<'a> {
    /// Sets the owner of the new reservation. See [`HoldRequest::owner`].
    #[inline]
    pub fn owner(self, owner: Owner) -> HoldRequest<'a> {
        HoldRequest::from(self).owner(owner)
    }

    /// Lets the call hold or sell units of the safety stock. See
    /// [`HoldRequest::pass_safety_stock`].
    #[inline]
    pub fn pass_safety_stock(self, reason: impl AsRef<str>) -> HoldRequest<'a> {
        HoldRequest::from(self).pass_safety_stock(reason)
    }
}

/// The options that limits heed.
macro_rules! options_of_limits {
    ($($request:ident)+) => {$(
        impl $request<'_> {
            /// Says whom the call is for, as [limits](crate::InventoryManager::define_limit) count
            /// it: a kind of subject, which is the caller's word, and an id. A call can name one of
            /// each kind. Whoever buys a product under a limit must say whose limit it is: a call
            /// that does not is refused.
            ///
            /// The id is hashed at once, with the [secret](crate::Builder::subject_secret) of the
            /// builder. Without one, this does nothing.
            ///
            /// ```
            /// # use std::time::Duration;
            /// # use stockade::LimitRule;
            /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
            /// # let manager = builder.subject_secret([7; 16]).build()?;
            /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
            /// manager.define_limit(LimitRule::new("two each", "customer", 2).products(["SHOE"]))?;
            /// let card = LimitRule::new("one a card", "card", 1).products(["SHOE"]);
            /// manager.define_limit(card.asked_at_sale())?;
            /// let ann = manager.request().subject("customer", "ann");
            /// let hold = ann.reserve(("SF", "SHOE"), 1, Duration::from_secs(60))?;
            /// // Her card is known only now.
            /// assert!(manager.confirm(hold).is_err());
            /// manager.request().subject("card", "tok_17").confirm(hold)?;
            /// # Ok::<(), stockade::Error>(())
            /// ```
            #[inline]
            pub fn subject(mut self, kind: impl AsRef<str>, id: impl AsRef<[u8]>) -> Self {
                if let Some(subject) = self.engine.subjects.subject(kind.as_ref(), id.as_ref()) {
                    self.options.limits.name(subject);
                }
                self
            }

            /// Lets the call draw more than this limit allows: a right that the service gives to
            /// its staff. It draws all the same, if it names the subject, so what is used may be
            /// above the maximum afterwards. The reason goes into the audit entry, as a note of the
            /// name `passedLimit.` with the limit's behind it. So a call that passes the same limit
            /// twice is refused, as one with two notes of a name is
            /// ([`InvalidText`](crate::InvalidText)).
            ///
            /// ```
            /// # use stockade::LimitRule;
            /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
            /// # let manager = builder.subject_secret([7; 16]).build()?;
            /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
            /// manager.define_limit(LimitRule::new("two each", "customer", 2).products(["SHOE"]))?;
            /// let ann = manager.request().subject("customer", "ann");
            /// ann.sell(("SF", "SHOE"), 2)?;
            /// ann.clone().pass_limit("two each", "one was broken").sell(("SF", "SHOE"), 2)?;
            /// assert_eq!(manager.usage("two each", "ann")?.used, 4);
            /// # Ok::<(), stockade::Error>(())
            /// ```
            #[inline]
            pub fn pass_limit(mut self, limit: impl AsRef<str>, reason: impl AsRef<str>) -> Self {
                let limit = limit.as_ref();
                self.options.notes.push(&format!("passedLimit.{limit}"), reason.as_ref());
                self.options.limits.pass(limit);
                self
            }

            /// Keeps the reservation's record until all units that it sold are shipped, or their
            /// sale is cancelled. See [`Request::keep_until_shipped`].
            #[inline]
            pub fn keep_until_shipped(mut self) -> Self {
                self.options.keep_until_shipped = true;
                self
            }
        }
    )+};
}

options_of_limits! { SaleRequest HoldRequest }

impl HoldRequest<'_> {
    /// Sets the owner of the new reservation. It is kept with the reservation and goes into its
    /// audit entries.
    #[inline]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.options.owner = Some(owner);
        self
    }

    /// Lets the call hold or sell units of the [safety
    /// stock](crate::InventoryManager::set_safety_stock), which others leave there: a right that
    /// the service gives to its staff, or to a buyer with a code. The reason goes into the audit
    /// entry, as a note of the name `passedSafetyStock`, whether such units were needed or not.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.set_safety_stock(("SF", "LAPTOP"), 4)?;
    /// manager.sell(("SF", "LAPTOP"), 6)?;
    /// assert!(manager.sell(("SF", "LAPTOP"), 1).is_err());
    /// manager.request().pass_safety_stock("replaces a broken one").sell(("SF", "LAPTOP"), 1)?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 3);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    #[inline]
    pub fn pass_safety_stock(mut self, reason: impl AsRef<str>) -> Self {
        self.options.safety_stock = SafetyStock::Pass;
        self.options.notes.push("passedSafetyStock", reason.as_ref());
        self
    }
}

/// Gives the operations that make a reservation to all kinds of request that make one.
macro_rules! on_requests_for_holds {
    ($($operation:item)+) => {
        impl $crate::engine::request::Request<'_> {
            $($operation)+
        }

        impl $crate::engine::request::HoldRequest<'_> {
            $($operation)+
        }

        impl $crate::engine::request::SaleRequest<'_> {
            $($operation)+
        }
    };
}

/// Gives the operations that sell what a reservation holds to the kinds of request whose options
/// they use.
macro_rules! on_requests_for_sales {
    ($($operation:item)+) => {
        impl $crate::engine::request::Request<'_> {
            $($operation)+
        }

        impl $crate::engine::request::SaleRequest<'_> {
            $($operation)+
        }
    };
}

pub(super) use {on_requests_for_holds, on_requests_for_sales};

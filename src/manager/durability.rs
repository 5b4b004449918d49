//! How long a call waits for its entry: not at all, or until that is on the disk.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::audit::flush::{Flush, FlushError};
use crate::error::{RestsOnRecord, Unavailable};
use crate::manager::InventoryManager;
use crate::manager::details::Details;
use crate::manager::engine::Engine;
use crate::manager::request::Request;

/// What a call has done about its audit entry when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The entry is queued: it is written within milliseconds, and on the disk within the journal's
    /// [`sync_interval`](crate::Builder::sync_interval). A killed process can lose the last
    /// milliseconds, a power cut the last interval; what is lost is always the newest.
    #[default]
    Buffered,
    /// The entry is on the disk; without a journal: with the sink. Calls that wait at the same time
    /// share one sync of the disk.
    Synced,
}

/// The kinds of operations, for each of which the durability may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationKind {
    /// `add_stock`.
    Add,
    /// `remove_stock`.
    Remove,
    /// `reserve`, baskets, fulfilment across warehouses.
    Reserve,
    /// `confirm`, `sell`, `confirm_lines`, `confirm_lines_and_release_rest`, `confirm_or_retake`.
    Sell,
    /// `release`, `release_lines`.
    Release,
    /// `extend`.
    Extend,
    /// `ship`, `ship_lines`.
    Ship,
    /// `cancel_sale`, `cancel_sale_lines`.
    CancelSale,
    /// `transfer`, and requests for transfers with their decisions.
    Transfer,
    /// Thresholds, times to live, suspending and resuming.
    Setting,
}

impl OperationKind {
    const COUNT: usize = Self::Setting as usize + 1;
}

/// The durability of each kind of operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Durabilities([Durability; OperationKind::COUNT]);

impl Durabilities {
    pub(super) fn all(durability: Durability) -> Self {
        Self([durability; OperationKind::COUNT])
    }

    pub(super) fn set(&mut self, kind: OperationKind, durability: Durability) {
        self.0[kind as usize] = durability;
    }

    #[inline]
    fn of(&self, kind: OperationKind) -> Durability {
        self.0[kind as usize]
    }
}

impl super::Builder {
    /// What all operations do about their audit entries before they return; those that
    /// [`durability_of`](Self::durability_of) was called for before, too. Default:
    /// [`Durability::Buffered`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durabilities = Durabilities::all(durability);
        self
    }

    /// What one kind of operation does. A single call can do otherwise: [`Request::durability`].
    ///
    /// ```
    /// use stockade::{Durability, InventoryManager, OperationKind};
    /// // Holds may be lost with the power, sales may not.
    /// let manager = InventoryManager::builder()
    ///     .warehouse("SF")
    ///     .durability_of(OperationKind::Sell, Durability::Synced)
    ///     .build()?;
    /// # Ok::<(), stockade::BuildError>(())
    /// ```
    pub fn durability_of(mut self, kind: OperationKind, durability: Durability) -> Self {
        self.durabilities.set(kind, durability);
        self
    }
}

impl Request<'_> {
    /// What this call does about its audit entry before it returns, whatever the engine is set to.
    ///
    /// ```
    /// use stockade::Durability;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.request().durability(Durability::Synced).add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.details.durability = Some(durability);
        self
    }
}

impl InventoryManager {
    /// Makes a call now, and gives what it answered once its entry is on the disk: for callers that
    /// have other things to do meanwhile, and for async ones. Dropping what is returned undoes
    /// nothing.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// let added = manager.durably(|request| request.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER"));
    /// // The units are there; whether they will survive a power cut is still being seen to.
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 10);
    /// added.wait()?; // or, in any async runtime: added.await?
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn durably<'m, T, E>(
        &'m self,
        operation: impl FnOnce(Request<'m>) -> Result<T, E>,
    ) -> Durably<T, E>
    where
        E: From<Unavailable> + RestsOnRecord,
    {
        let answer = operation(self.request().durability(Durability::Buffered));
        let flush = rests_on_record(&answer).then(|| self.engine.recorder.flush());
        Durably { answer: Some(answer), flush }
    }
}

/// An answer that is given once it will survive; see [`InventoryManager::durably`].
#[derive(Debug)]
#[must_use = "an answer says nothing until it is waited for"]
pub struct Durably<T, E> {
    answer: Option<Result<T, E>>,
    /// `None`: there is nothing to wait for.
    flush: Option<Flush>,
}

// Nothing in it is pinned.
impl<T, E> Unpin for Durably<T, E> {}

impl<T, E: From<Unavailable>> Durably<T, E> {
    /// Blocks until the answer will survive.
    ///
    /// # Errors
    /// What the call answered; [`Unavailable::NotDurable`] if it was applied in memory, and the disk
    /// fails.
    pub fn wait(self) -> Result<T, E> {
        let flushed = self.flush.map_or(Ok(()), Flush::wait);
        let Some(answer) = self.answer else { unreachable!("only `poll` takes the answer") };
        durable(answer, flushed)
    }
}

impl<T, E: From<Unavailable>> Future for Durably<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let flushed = match &mut self.flush {
            Some(flush) => ready!(Pin::new(flush).poll(context)),
            None => Ok(()),
        };
        match self.answer.take() {
            Some(answer) => Poll::Ready(durable(answer, flushed)),
            None => panic!("polled after it was done"),
        }
    }
}

impl Engine {
    /// Lets a call that is to be durable wait until it is.
    #[inline]
    pub(super) fn once_durable<T, E: From<Unavailable> + RestsOnRecord>(
        &self,
        kind: OperationKind,
        details: &Details,
        answer: Result<T, E>,
    ) -> Result<T, E> {
        match details.durability.unwrap_or_else(|| self.durabilities.of(kind)) {
            Durability::Buffered => answer,
            Durability::Synced => self.wait_until_durable(answer),
        }
    }

    #[cold]
    fn wait_until_durable<T, E: From<Unavailable> + RestsOnRecord>(
        &self,
        answer: Result<T, E>,
    ) -> Result<T, E> {
        if !rests_on_record(&answer) {
            return answer;
        }
        // All that the answer rests on was queued before it was given, by this call or an earlier one.
        durable(answer, self.recorder.flush().wait())
    }
}

/// Whether an answer tells of something that is recorded: who hears "already confirmed" relies on it
/// as much as the one who confirmed.
fn rests_on_record<T, E: RestsOnRecord>(answer: &Result<T, E>) -> bool {
    answer.as_ref().err().is_none_or(RestsOnRecord::rests_on_record)
}

fn durable<T, E: From<Unavailable>>(
    answer: Result<T, E>,
    flushed: Result<(), FlushError>,
) -> Result<T, E> {
    match flushed {
        Ok(()) => answer,
        Err(error) => Err(Unavailable::NotDurable { reason: error.to_string() }.into()),
    }
}

//! Waits for durability: a call returns once its record is queued, or once it is on the disk.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::audit::flush::Flush;
use crate::base::error::call::sealed::OnRecord;
use crate::base::error::{FlushError, MutationError, Reason, Uncertain};
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::request::Request;
use crate::engine::{Engine, InventoryManager};

impl InventoryManager {
    /// Makes a call now, and returns a future that resolves to its result once its record is
    /// durable. For callers that have other work meanwhile, and for async code. Dropping the future
    /// undoes nothing.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// let added = manager.durably(|request| request.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER"));
    /// // The units are there; whether they will survive a power cut is still being seen to.
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 10);
    /// added.wait()?; // or, in any async runtime: added.await?
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn durably<'m, T, E>(
        &'m self,
        operation: impl FnOnce(Request<'m>) -> Result<T, E>,
    ) -> WhenDurable<T, E>
    where
        E: MutationError,
    {
        let answer = operation(self.request().durability(Durability::Buffered));
        let flush = rests_on_record(&answer).then(|| self.engine.flush());
        WhenDurable { answer: Some(answer), flush }
    }
}

/// A result that resolves when its record is durable; see [`InventoryManager::durably`].
#[derive(Debug)]
#[must_use = "an answer says nothing until it is waited for"]
pub struct WhenDurable<T, E> {
    answer: Option<Result<T, E>>,
    /// `None` if there is nothing to wait for.
    flush: Option<Flush>,
}

// No field is pinned.
impl<T, E> Unpin for WhenDurable<T, E> {}

impl<T, E: From<Uncertain>> WhenDurable<T, E> {
    /// Blocks until the result is durable: as long as the sink or a sync of the disk takes. If the
    /// sink fails or the engine shuts down, it returns an error.
    ///
    /// # Errors
    /// The error of the call itself; or [`Uncertain::NotDurable`] if the call was applied in memory
    /// and its record could not be written.
    pub fn wait(self) -> Result<T, E> {
        let flushed = self.flush.map_or(Ok(()), Flush::wait);
        let Some(answer) = self.answer else { unreachable!("only `poll` takes the answer") };
        durable(answer, flushed)
    }
}

impl<T, E: From<Uncertain>> Future for WhenDurable<T, E> {
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
    /// Waits until a result is durable, if that is `asked` for, or the engine's settings say so.
    #[inline(always)]
    pub(super) fn once_durable<T, E: MutationError>(
        &self,
        kind: OperationKind,
        asked: Option<Durability>,
        answer: Result<T, E>,
    ) -> Result<T, E> {
        match asked.unwrap_or_else(|| self.durabilities.of(kind)) {
            Durability::Buffered => answer,
            Durability::Synced => self.wait_until_durable(answer),
        }
    }

    #[cold]
    fn wait_until_durable<T, E: MutationError>(&self, answer: Result<T, E>) -> Result<T, E> {
        if !rests_on_record(&answer) {
            return answer;
        }
        // Every record that the result rests on was queued before, by this call or an earlier one.
        // So one wait covers them all.
        durable(answer, self.wait_until_written())
    }
}

/// Whether a result rests on a record. This includes repeats: a caller that hears "already
/// confirmed" relies on the record as much as the caller that confirmed.
fn rests_on_record<T, E: OnRecord>(answer: &Result<T, E>) -> bool {
    answer.as_ref().err().is_none_or(OnRecord::rests_on_record)
}

fn durable<T, E: From<Uncertain>>(
    answer: Result<T, E>,
    flushed: Result<(), FlushError>,
) -> Result<T, E> {
    match flushed {
        Ok(()) => answer,
        Err(error) => {
            let reason = Reason::from(&*error.to_string());
            Err(Uncertain::NotDurable { reason }.into())
        }
    }
}

//! The release of all holds of an owner.

use crate::base::error::ReleaseError;
use crate::engine::InventoryManager;
use crate::engine::answer::Release;
use crate::engine::call::Call;
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::request_options::RequestOptions;
use crate::reservation::holders::Holder;
use crate::reservation::id::{Owner, ReservationId};

/// What became of the holds of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use = "says which holds could not be released"]
#[non_exhaustive]
pub struct ReleasedHolds {
    /// The holds whose units this call made available again, those made in earlier milliseconds
    /// first.
    pub released: Vec<ReservationId>,
    /// Those that may hold units still, and why.
    pub failed: Vec<(ReservationId, ReleaseError)>,
}

impl InventoryManager {
    /// Releases all live holds of an owner, for a `reason`, which goes into each one's audit entry:
    /// a bot was found, a customer has closed the account. Finds them as
    /// [`holds_of`](Self::holds_of) does, and waits as [`release`](Self::release) does.
    ///
    /// Each hold is released by itself, so a reader may see some of them gone and others not. A
    /// hold that ends meanwhile, by its time or by a sale, is left as it is; one that is made
    /// meanwhile may stay. A repeat of the call is safe: it releases what is left. Where releases
    /// are to be [`Synced`](Durability::Synced), the call waits for the disk once, at its end.
    ///
    /// # Errors
    /// If nothing was released: the reason is too long, or the engine has stopped. If the records
    /// may be lost, [`Uncertain`](crate::Uncertain). What one hold was refused for, such as
    /// [`ReleaseError::Changing`], is in [`ReleasedHolds::failed`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::Owner;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
    /// let bot = Owner([66; 16]);
    /// for _ in 0..3 {
    ///     manager.request().owner(bot).reserve(("SF", "SHOE"), 20, Duration::from_secs(60))?;
    /// }
    /// let done = manager.release_holds_of(bot, "a bot")?;
    /// assert_eq!((done.released.len(), done.failed.len()), (3, 0));
    /// assert_eq!(manager.available(("SF", "SHOE"))?, 100);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn release_holds_of(
        &self,
        owner: Owner,
        reason: &str,
    ) -> Result<ReleasedHolds, ReleaseError> {
        let engine = &*self.engine;
        let mut options = RequestOptions::default();
        options.notes.push("reason", reason);
        options.durability = Some(Durability::Buffered);
        let call = Call::new(engine, &options);
        call.check_text("")?;
        engine.admit()?;
        let mut done = ReleasedHolds::default();
        for hold in engine.hold_ids_of(Holder::Owner(owner)) {
            match call.release(hold) {
                Ok(Release::Released | Release::PartlySold { .. }) => done.released.push(hold),
                // It ended in another way meanwhile.
                Ok(_) | Err(ReleaseError::Sold { .. }) => {}
                Err(refusal) => done.failed.push((hold, refusal)),
            }
        }
        engine.once_durable(OperationKind::Release, None, Ok(done))
    }
}

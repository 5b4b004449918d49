//! The release of all holds of an owner.

use crate::base::error::{ReleaseError, Uncertain};
use crate::engine::InventoryManager;
use crate::engine::answer::Release;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::hold_end::{EndKind, EndOutcome};
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
    /// Those that this call could not release, and why. Of one that was released and whose record
    /// may be lost, the error says so: [`applied`](ReleaseError::applied).
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
    /// are to be [`Synced`](crate::Durability::Synced), the call waits for the disk once, at its
    /// end.
    ///
    /// # Errors
    /// Nothing was released: the reason is too long, or the engine has stopped. Or the holds were
    /// released, and the final wait for the disk has failed: [`Uncertain`](crate::Uncertain). What
    /// one hold was refused for, such as [`ReleaseError::Changing`], is in
    /// [`ReleasedHolds::failed`].
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
        Call::plain(engine).check_text(reason)?;
        let mut options = RequestOptions::default();
        options.notes.push("reason", reason);
        let call = Call::new(engine, &options);
        let mut done = ReleasedHolds::default();
        engine.admit()?;
        for hold in engine.hold_ids_of(Holder::Owner(owner)) {
            let released = engine.admit().map_err(ReleaseError::from).and_then(|()| {
                match call.end_hold(hold, EndKind::Release, Release::Released.into()) {
                    EndOutcome::Done(end) => {
                        Ok(end.recorded.map(|()| true).map_err(Uncertain::from)?)
                    }
                    // It ended in another way meanwhile, or its time was up.
                    EndOutcome::Ended(_) | EndOutcome::Missing(_) => Ok(false),
                    EndOutcome::NotStarted(cause) => Err(cause.into()),
                    // A release has no option to keep the hold, and draws nothing: so it is never
                    // refused for that.
                    EndOutcome::InProgress
                    | EndOutcome::NotSold(_)
                    | EndOutcome::Limited(_)
                    | EndOutcome::Full { .. } => Err(ReleaseError::Changing),
                }
            });
            match released {
                Ok(true) => done.released.push(hold),
                Ok(false) => {}
                Err(refusal) => done.failed.push((hold, refusal)),
            }
        }
        engine.once_durable(OperationKind::Release, None, Ok(done))
    }
}

//! How a reservation ended, as the journal's outcome files know it after its record is gone.

use crate::base::clock::Timestamp;
use crate::base::error::{Gone, KeyError, NoReservation, ReleaseError};
use crate::engine::Engine;
use crate::engine::answer::Release;
use crate::engine::call::Call;
use crate::engine::view::reservation::UnitsEnded;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::SlotLine;
use crate::reservation::state::Phase;
use crate::reservation::view::{Reservation, ReservationStatus};
use crate::stock::allowance::key::AllowanceKey;

/// How a reservation ended.
#[derive(Debug)]
pub(in crate::engine) struct FiledOutcome {
    /// How its last units went: `Confirmed`, `Released` or `Expired`.
    pub(in crate::engine) end: Phase,
    pub(in crate::engine) ended_at: Timestamp,
    /// Its days are up: it is still told, but what came of it later may be gone before it.
    pub(in crate::engine) is_over: bool,
    pub(in crate::engine) owner: Option<Owner>,
    pub(in crate::engine) retaken_from: Option<ReservationId>,
    /// Its record was to be kept until all that it sold is shipped.
    pub(in crate::engine) keep: bool,
    pub(in crate::engine) lines: Vec<SlotLine>,
    /// If it sold nothing: the allowances on which it had drawn.
    pub(in crate::engine) draws_given_back: Vec<AllowanceKey>,
}

impl FiledOutcome {
    /// Units sold and returned, over all lines.
    pub(in crate::engine) fn units(&self) -> UnitsEnded {
        let lines = self.lines.iter();
        lines.fold(UnitsEnded::default(), |sum, line| sum.plus(*line, self.end))
    }

    /// The same, for callers.
    pub(in crate::engine) fn gone(&self) -> Gone {
        self.units().gone(self.end, self.ended_at)
    }
}

impl Call<'_> {
    /// How a reservation ended whose record is gone; `None` if the outcome files do not have it.
    /// May read the disk. If they do not know at once, it waits until all that was recorded is on
    /// the disk and audited, and asks again.
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn filed_outcome(
        self,
        id: ReservationId,
    ) -> Result<Option<FiledOutcome>, KeyError> {
        let Some(journal) = &self.engine.journal else { return Ok(None) };
        let flush = || self.engine.flush().wait().is_ok();
        journal.kept_outcome(id, self.engine.now(), self.options(), flush)
    }

    /// How a reservation is gone that has no record, as `none` says: as it ended, if that is still
    /// known.
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn gone_without_record(
        self,
        id: ReservationId,
        none: NoReservation,
    ) -> Result<Gone, KeyError> {
        Ok(match none {
            NoReservation::Forgotten => {
                self.filed_outcome(id)?.map_or(Gone::Forgotten, |filed| filed.gone())
            }
            none => none.into(),
        })
    }

    /// How a reservation is gone of which only the head is left, which says whether it was sold.
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    pub(in crate::engine) fn gone_without_lines(
        self,
        id: ReservationId,
        none: NoReservation,
        is_sold: bool,
    ) -> Result<Gone, KeyError> {
        Ok(match self.gone_without_record(id, none)? {
            Gone::Forgotten if is_sold => Gone::Sold { units: 0 },
            gone => gone,
        })
    }

    /// What a release finds of a reservation whose record is gone.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn released_without_record(
        self,
        id: ReservationId,
        none: NoReservation,
    ) -> Result<Release, ReleaseError> {
        let filed = match none {
            NoReservation::Forgotten => self.filed_outcome(id)?,
            _ => None,
        };
        let Some(filed) = filed else { return Ok(Release::from(none)) };
        if let Some(sold) = Release::of_sold(filed.gone(), filed.end == Phase::Confirmed) {
            return sold;
        }
        Ok(match filed.end {
            Phase::Expired => Release::Expired,
            _ => Release::AlreadyReleased,
        })
    }
}

impl Engine {
    /// The public view of a reservation whose record is gone.
    pub(in crate::engine) fn filed_reservation(
        &self,
        id: ReservationId,
    ) -> Result<Reservation, NoReservation> {
        let call = Call::plain(self);
        let filed = call.filed_outcome(id).map_err(|_| NoReservation::Gathering)?;
        let filed = filed.ok_or(NoReservation::Forgotten)?;
        let status = match filed.units().sold {
            0 => ReservationStatus::of(filed.end).ok_or(NoReservation::Forgotten)?,
            _ => ReservationStatus::Confirmed,
        };
        Ok(Reservation {
            id,
            status,
            lines: filed.lines.iter().map(|line| self.line_view(line, filed.end)).collect(),
            owner: filed.owner,
            created_at: id.created_at(),
            expires_at: filed.ended_at,
            retaken_from: filed.retaken_from,
            keep_until_shipped: filed.keep,
        })
    }
}

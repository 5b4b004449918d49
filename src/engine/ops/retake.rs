//! Retake: a payment comes late, and the hold may have ended. Confirm it, or sell the same lines
//! again.

use std::collections::BTreeMap;

use crate::audit::entry::{AdjustmentType, EntryType};
use crate::base::clock::Timestamp;
use crate::base::error::{FlushError, NoReservation, NotStarted, Reason, RetakeError};
use crate::engine::answer::ConfirmOrRetake;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::basket::{Purpose, basket_shape};
use crate::engine::ops::end_hold::{EndKind, EndOutcome};
use crate::engine::place::{BasketLine, OwnLines};
use crate::engine::request::on_requests_for_holds;
use crate::engine::{Engine, InventoryManager};
use crate::idempotency::{Fingerprint, KeyName};
use crate::reservation::id::ReservationId;
use crate::reservation::view::{Reservation, ReservationStatus};

impl InventoryManager {
    /// For a payment that may come late. Confirms the hold if it is pending. If the hold has ended
    /// without a sale, takes the same lines again and sells them, under a new id, at one instant. A
    /// hold that is over never becomes live again.
    ///
    /// Calls for the same hold sell its lines once, even under different keys or without a key: a
    /// later one gets [`AlreadyRetaken`](ConfirmOrRetake::AlreadyRetaken). `lines` must be the
    /// lines of the hold. The call checks this while the hold's record is readable.
    ///
    /// Waits as [`reserve`](Self::reserve) does. It also reads the audit log if the hold's slot has
    /// been reused, or if an earlier retake may have been forgotten. Then it first waits until the
    /// audit writer has written everything queued so far, even on an engine that is set to refuse
    /// rather than wait.
    ///
    /// # Errors
    /// [`RetakeError::Insufficient`] names the lines that are short. [`NoReservation::Forgotten`]
    /// if the audit log does not reach back far enough. Unless the error is
    /// [`Uncertain`](crate::Uncertain), nothing has moved. See [`RetakeError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, ConfirmOrRetake};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.release(hold)?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 2)];
    /// let paid = manager.confirm_or_retake(hold, &lines)?;
    /// assert!(matches!(paid, ConfirmOrRetake::Retaken(_)));
    /// assert_eq!(manager.sold(("SF", "LAPTOP"))?, 2);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm_or_retake(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.call().confirm_or_retake(id, lines)
    }
}

on_requests_for_holds! {
    /// Same as [`InventoryManager::confirm_or_retake`], with this request's options.
    pub fn confirm_or_retake(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.call().confirm_or_retake(id, lines)
    }
}

impl Call<'_> {
    fn confirm_or_retake(
        self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let lines = self.engine.check_basket(lines)?;
        let shape = || basket_shape("confirm-or-retake", lines).reservation(id);
        self.keyed(OperationKind::Sell, shape, |call| call.confirm_or_retake_once(id, lines))
    }

    fn confirm_or_retake_once(
        self,
        id: ReservationId,
        lines: OwnLines<'_>,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let engine = self.engine;
        engine.admit()?;
        if let Ok(held) = engine.reservation(id)
            && held.status != ReservationStatus::Confirmed
            && !engine.are_lines_of(&held, lines)
        {
            return Err(RetakeError::OtherLines);
        }
        let done = ConfirmOrRetake::Confirmed;
        let known_unsold = match self.end_hold(id, EndKind::Sell, done.into()) {
            EndOutcome::Done(recorded) => return Ok(recorded.map(|()| done)?),
            EndOutcome::InProgress => return Err(RetakeError::Changing),
            EndOutcome::Unknown => return Err(NoReservation::Unknown.into()),
            EndOutcome::Ended(ended) if ended.sold => {
                let units = engine.units_sold(id)?;
                return self.answer_without_a_move(ConfirmOrRetake::AlreadySold { units });
            }
            EndOutcome::Ended(_) => true,
            EndOutcome::Forgotten => false,
        };
        self.retake(id, lines, known_unsold)
    }

    /// Takes the lines of a hold that ended without a sale, once. The hold's id serves as an
    /// idempotency key of its own, so that two callers with different keys sell once.
    fn retake(
        self,
        id: ReservationId,
        lines: OwnLines<'_>,
        known_unsold: bool,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let engine = self.engine;
        let mut first = false;
        let fingerprint = Fingerprint::of("retake").id(id).finish();
        let answer = engine.claimed(KeyName::Retake(id), fingerprint, self.options.lookup, |now| {
            // Read the low-water mark only after the claim. The claim found no stored answer:
            // nobody has retaken the hold, or the key was dropped. A drop after the hold's creation
            // shows in the mark.
            // The outcome files have all that was dropped, and the claim has asked them.
            let keeps = engine.journal.as_ref().is_some_and(|journal| journal.keeps_answers());
            let may_have_been_dropped = !keeps
                && engine.keys.evicted_before().is_some_and(|moment| moment >= engine.born(id));
            if !known_unsold || may_have_been_dropped {
                match engine.history(id)? {
                    LoggedEnd::Unsold => {}
                    LoggedEnd::Sold(units) => {
                        return Err(Declined::Answer(ConfirmOrRetake::AlreadySold { units }));
                    }
                    LoggedEnd::Retaken(by) => {
                        return Err(Declined::Answer(ConfirmOrRetake::AlreadyRetaken(by)));
                    }
                }
            }
            first = true;
            let wanted = engine.resolved_lines(lines)?;
            let new = self.at(now).take_basket(&wanted, Purpose::Retake(id))?;
            Ok(ConfirmOrRetake::Retaken(new))
        });
        match answer {
            Ok(ConfirmOrRetake::Retaken(by)) if !first => {
                self.answer_without_a_move(ConfirmOrRetake::AlreadyRetaken(by))
            }
            Ok(answer) => Ok(answer),
            Err(Declined::Answer(answer)) => self.answer_without_a_move(answer),
            Err(Declined::Error(error)) => Err(error),
        }
    }

    fn answer_without_a_move(
        self,
        answer: ConfirmOrRetake,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.record_key_use(answer)?;
        Ok(answer)
    }
}

impl Engine {
    /// Whether these are the lines of the hold, after merging. A suspended warehouse does not
    /// matter: the hold has its units already.
    fn are_lines_of(&self, held: &Reservation, lines: OwnLines<'_>) -> bool {
        let mut named = BTreeMap::new();
        for (level, quantity) in lines.iter() {
            let Ok(Some(level)) = self.opened(level) else { return false };
            *named.entry(self.handle(level)).or_insert(0) += u64::from(quantity);
        }
        let held = held.lines.iter().map(|line| (line.level, u64::from(line.quantity)));
        named.into_iter().eq(held)
    }

    /// A time before which nothing happened to this hold. An id's time is that, unless an earlier
    /// run may have made the id under a clock that was ahead.
    fn born(&self, id: ReservationId) -> Timestamp {
        let born = id.created_at();
        let is_between = |&(first, last): &(Timestamp, Timestamp)| first <= born && born <= last;
        if self.dated_ahead.iter().any(is_between) { Timestamp::default() } else { born }
    }

    /// The units that a confirmed reservation sold.
    fn units_sold(&self, id: ReservationId) -> Result<u64, RetakeError> {
        if let Ok(found) = self.reservation(id) {
            return Ok(found.units_sold());
        }
        // The slot was reused just now: ask the audit log.
        match self.history(id) {
            Ok(LoggedEnd::Sold(units)) => Ok(units),
            Ok(_) | Err(Declined::Answer(_)) => Err(NoReservation::Forgotten.into()),
            Err(Declined::Error(error)) => Err(error),
        }
    }

    /// Reads from the outcome files, else from the audit log, how a hold ended. Waits until
    /// everything queued so far is written.
    fn history(&self, id: ReservationId) -> Result<LoggedEnd, Declined> {
        if let Some(known) = self.known_outcome(id) {
            return Ok(match known.units().sold {
                0 => LoggedEnd::Unsold,
                sold => LoggedEnd::Sold(sold),
            });
        }
        self.flush().wait().map_err(|error| {
            RetakeError::from(match error {
                FlushError::Stopped { reason } => {
                    NotStarted::Stopped { reason: Reason::from(&*reason) }
                }
                FlushError::Poisoned { .. } => NotStarted::Poisoned,
                _ => NotStarted::Closed,
            })
        })?;
        let history = self.recorder.log().history_of(id, self.born(id));
        let retaken = history.entries.iter().find(|entry| entry.retaken_from == Some(id));
        if let Some(by) = retaken.and_then(|entry| entry.reservation) {
            return Ok(LoggedEnd::Retaken(by));
        }
        let own = history.entries.iter().filter(|entry| entry.reservation == Some(id));
        let sum = |movement: AdjustmentType| -> u64 {
            let wanted = EntryType::Movement(movement);
            let of_type = own.clone().filter(|entry| entry.entry_type == wanted);
            of_type.map(|entry| u64::from(entry.quantity)).sum()
        };
        match (sum(AdjustmentType::Sold), sum(AdjustmentType::Returned), history.complete) {
            (0, 0, true) => Err(NoReservation::Unknown.into()),
            (0, _, true) => Ok(LoggedEnd::Unsold),
            (0, _, false) => Err(NoReservation::Forgotten.into()),
            (units, ..) => Ok(LoggedEnd::Sold(units)),
        }
    }
}

/// How a hold that is over ended, as the audit log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoggedEnd {
    Unsold,
    Sold(u64),
    Retaken(ReservationId),
}

/// Why no lines were taken: an error, or an answer that must not be stored under the old id.
#[derive(Debug)]
enum Declined {
    Answer(ConfirmOrRetake),
    Error(RetakeError),
}

impl<E: Into<RetakeError>> From<E> for Declined {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

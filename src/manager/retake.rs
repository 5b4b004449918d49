//! Late payments: the money has come, but is the hold still there?

use std::collections::BTreeMap;

use crate::audit::entry::{AdjustmentType, EntryType};
use crate::error::{FlushError, NoReservation, NotStarted, Reason, RetakeError};
use crate::manager::answer::{ConfirmOrRetake, KeyUse};
use crate::manager::basket::{Purpose, basket_shape};
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::Engine;
use crate::manager::place::BasketLine;
use crate::manager::request::Request;
use crate::manager::settle::{End, Met};
use crate::reservation::id::ReservationId;
use crate::reservation::keys::{Fingerprint, KeyName};
use crate::reservation::view::{Reservation, ReservationStatus};

impl Request<'_> {
    /// As [`InventoryManager::confirm_or_retake`](crate::InventoryManager::confirm_or_retake), with
    /// this request's details.
    pub fn confirm_or_retake(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.engine.confirm_or_retake(&self.details, id, lines)
    }
}

impl Engine {
    fn confirm_or_retake(
        &self,
        details: &Details,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.check_basket(lines)?;
        let shape = || basket_shape("confirm-or-retake", lines).reservation(id);
        self.keyed(OperationKind::Sell, details, shape, |key| {
            self.settle_late(details, key, id, lines)
        })
    }

    fn settle_late(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.admit()?;
        if let Ok(held) = self.reservation(id)
            && held.status != ReservationStatus::Confirmed
            && !self.are_lines_of(&held, lines)
        {
            return Err(RetakeError::OtherLines);
        }
        let done = ConfirmOrRetake::Confirmed;
        let known_unsold =
            match self.end_hold(id, End::Sell, details, key.map(|key| (key, done.into()))) {
                Met::Done(recorded) => return Ok(recorded.map(|()| done)?),
                Met::InProgress => return Err(RetakeError::Changing),
                Met::Unknown => return Err(NoReservation::Unknown.into()),
                Met::Over(over) if over.sold => {
                    let units = self.units_sold(id)?;
                    return self.answer_without_a_move(key, ConfirmOrRetake::AlreadySold { units });
                }
                Met::Over(_) => true,
                Met::Forgotten => false,
            };
        self.retake(details, key, id, lines, known_unsold)
    }

    /// Whether these are the lines of a hold, equal ones merged. That a warehouse is suspended does
    /// not matter to a hold that has its units.
    fn are_lines_of(&self, held: &Reservation, lines: &[BasketLine<'_>]) -> bool {
        let mut named = BTreeMap::new();
        for line in lines {
            let Ok(Some(level)) = self.resolve_stocked(line.level) else { return false };
            *named.entry(level).or_insert(0) += u64::from(line.quantity);
        }
        let held = held.lines.iter().map(|line| (line.level, u64::from(line.quantity)));
        named.into_iter().eq(held)
    }

    /// Takes the lines of a hold that is over and sold nothing, once: the old id is a key of its own,
    /// so that two callers with different keys sell once.
    fn retake(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        known_unsold: bool,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let mut first = false;
        let fingerprint = Fingerprint::of("retake").id(id).finish();
        let answer = self.claimed(KeyName::Retake(id), fingerprint, || {
            // Having claimed the name before, this call sees every drop of it: a key that was never
            // dropped since the hold's birth would have been found.
            let may_have_been_dropped =
                self.keys.evicted_before().is_some_and(|moment| moment >= id.created_at());
            if !known_unsold || may_have_been_dropped {
                match self.history(id)? {
                    Past::Unsold => {}
                    Past::Sold(units) => {
                        return Err(Declined::Answer(ConfirmOrRetake::AlreadySold { units }));
                    }
                    Past::Retaken(by) => {
                        return Err(Declined::Answer(ConfirmOrRetake::AlreadyRetaken(by)));
                    }
                }
            }
            first = true;
            let wanted = self.wanted(lines)?;
            let new = self.take_basket(details, key, &wanted, Purpose::Retake(id))?;
            Ok(ConfirmOrRetake::Retaken(new))
        });
        match answer {
            Ok(ConfirmOrRetake::Retaken(by)) if !first => {
                self.answer_without_a_move(key, ConfirmOrRetake::AlreadyRetaken(by))
            }
            Ok(answer) => Ok(answer),
            Err(Declined::Answer(answer)) => self.answer_without_a_move(key, answer),
            Err(Declined::Error(error)) => Err(error),
        }
    }

    fn answer_without_a_move(
        &self,
        key: Option<KeyUse<'_>>,
        answer: ConfirmOrRetake,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.record_key_use(key, answer)?;
        Ok(answer)
    }

    /// The units that a confirmed reservation sold.
    fn units_sold(&self, id: ReservationId) -> Result<u64, RetakeError> {
        if let Ok(found) = self.reservation(id) {
            return Ok(found.units_sold());
        }
        // Its slot was used just now.
        match self.history(id) {
            Ok(Past::Sold(units)) => Ok(units),
            Ok(_) | Err(Declined::Answer(_)) => Err(NoReservation::Forgotten.into()),
            Err(Declined::Error(error)) => Err(error),
        }
    }

    /// What the audit log says of a hold that is over. Waits until what was queued is written.
    fn history(&self, id: ReservationId) -> Result<Past, Declined> {
        self.recorder.flush().wait().map_err(|error| {
            RetakeError::from(match error {
                FlushError::Stopped { reason } => {
                    NotStarted::Stopped { reason: Reason::from(&*reason) }
                }
                FlushError::Poisoned { .. } => NotStarted::Poisoned,
                _ => NotStarted::Closed,
            })
        })?;
        let history = self.recorder.log().history_of(id, id.created_at());
        let retaken = history.entries.iter().find(|entry| entry.retaken_from == Some(id));
        if let Some(by) = retaken.and_then(|entry| entry.reservation) {
            return Ok(Past::Retaken(by));
        }
        let own = history.entries.iter().filter(|entry| entry.reservation == Some(id));
        let sum = |movement: AdjustmentType| -> u64 {
            let wanted = EntryType::Movement(movement);
            let of_type = own.clone().filter(|entry| entry.entry_type == wanted);
            of_type.map(|entry| u64::from(entry.quantity)).sum()
        };
        match (sum(AdjustmentType::Sold), sum(AdjustmentType::Returned), history.complete) {
            (0, 0, true) => Err(NoReservation::Unknown.into()),
            (0, _, true) => Ok(Past::Unsold),
            (0, _, false) => Err(NoReservation::Forgotten.into()),
            (units, ..) => Ok(Past::Sold(units)),
        }
    }
}

/// How a hold that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Unsold,
    Sold(u64),
    Retaken(ReservationId),
}

/// Why nothing was taken anew: an answer that must not be remembered under the old id, or an error.
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

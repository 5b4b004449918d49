//! Retake: a payment comes late, and the hold may have ended. Confirm it, or sell the same lines
//! again.

use std::collections::BTreeMap;

use crate::base::error::{Gone, NoReservation, RetakeError, Uncertain};
use crate::engine::answer::ConfirmOrRetake;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::basket::basket_shape;
use crate::engine::ops::hold_end::{EndKind, EndOutcome};
use crate::engine::ops::taken_basket::Purpose;
use crate::engine::ops::taking::WantedLines;
use crate::engine::place::{BasketLine, OwnLines};
use crate::engine::request::on_requests_for_holds;
use crate::engine::request_options::RequestOptions;
use crate::engine::request_shape::RequestShape;
use crate::engine::view::outcome::{FormerHold, KnownEnd};
use crate::engine::view::reservation::UnitsEnded;
use crate::engine::{Engine, InventoryManager};
use crate::idempotency::KeyName;
use crate::reservation::id::ReservationId;
use crate::reservation::view::{Reservation, ReservationStatus};

impl InventoryManager {
    /// For a payment that may come late. Confirms the hold if it is pending. If the hold has ended
    /// without a sale, takes what it held at its end once more and sells that, under a new id, at
    /// one instant. A hold that is over never becomes live again.
    ///
    /// The lines come from the hold's record, or from the audit log if the record is gone. What the
    /// hold had given back in partial steps before its end is not taken. Calls for the same hold
    /// sell its lines once, even under different keys or without a key: a later one gets
    /// [`AlreadyRetaken`](ConfirmOrRetake::AlreadyRetaken).
    ///
    /// [Limits](Self::define_limit) are checked again: what the hold had drawn came back when it
    /// ended. The new reservation gets the owner of the old one, and draws for its subjects, unless
    /// the request names others, and
    /// [keeps its record](crate::HoldRequest::keep_until_shipped) if the old one would have. Notes
    /// stay with the old one: [`Reservation::retaken_from`] leads there.
    ///
    /// Waits as [`reserve`](Self::reserve) does. It also reads the audit log if the hold's slot has
    /// been reused, or if an earlier retake may have been forgotten. Then it first waits until the
    /// audit writer has written everything queued so far, even on an engine that is set to refuse
    /// rather than wait.
    ///
    /// # Errors
    /// [`RetakeError::Insufficient`] names the lines that are short. [`NoReservation::Forgotten`]
    /// if the audit log does not reach back far enough: whoever knows the lines can then call
    /// [`confirm_or_retake_lines`](Self::confirm_or_retake_lines), as long as the record is there.
    /// Unless the error is [`Uncertain`](crate::Uncertain), nothing has moved. See [`RetakeError`]
    /// for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{ConfirmOrRetake, Owner};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let buyer = manager.request().owner(Owner([7; 16]));
    /// let hold = buyer.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.release(hold)?;
    /// // The payment's webhook has the id and nothing else.
    /// let ConfirmOrRetake::Retaken(new) = manager.confirm_or_retake(hold)? else {
    ///     panic!("the hold was over");
    /// };
    /// assert_eq!(manager.sold(("SF", "LAPTOP"))?, 2);
    /// let order = manager.reservation(new)?;
    /// assert_eq!((order.owner, order.retaken_from), (Some(Owner([7; 16])), Some(hold)));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm_or_retake(&self, id: ReservationId) -> Result<ConfirmOrRetake, RetakeError> {
        self.call().confirm_or_retake(id)
    }

    /// Same as [`confirm_or_retake`](Self::confirm_or_retake), for a caller who names the lines:
    /// all that the hold had when it was made. The call checks them while the hold's record is
    /// readable, and takes exactly these.
    ///
    /// # Errors
    /// [`RetakeError::OtherLines`] if the hold had others. The rest is that of
    /// [`confirm_or_retake`](Self::confirm_or_retake).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, ConfirmOrRetake};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.release(hold)?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 2)];
    /// let paid = manager.confirm_or_retake_lines(hold, &lines)?;
    /// assert!(matches!(paid, ConfirmOrRetake::Retaken(_)));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm_or_retake_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.call().confirm_or_retake_lines(id, lines)
    }
}

on_requests_for_holds! {
    /// Same as [`InventoryManager::confirm_or_retake`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn confirm_or_retake(&self, id: ReservationId) -> Result<ConfirmOrRetake, RetakeError> {
        self.call().confirm_or_retake(id)
    }

    /// Same as [`InventoryManager::confirm_or_retake_lines`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn confirm_or_retake_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.call().confirm_or_retake_lines(id, lines)
    }
}

/// What is known of a hold before its lines are taken again.
struct EndedHold {
    /// Its record says that it sold nothing.
    known_unsold: bool,
    /// What its record told; `None` if it was gone.
    former: Option<FormerHold>,
}

impl Call<'_> {
    fn confirm_or_retake(self, id: ReservationId) -> Result<ConfirmOrRetake, RetakeError> {
        let shape =
            |it: &mut RequestShape| it.named("confirm-or-retake-whole").reservation(id).end();
        self.keyed(OperationKind::Sell, shape, |call| call.confirm_or_retake_once(id, None))
    }

    fn confirm_or_retake_lines(
        self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let lines = self.engine.check_basket(lines)?;
        let shape = |it: &mut RequestShape| {
            basket_shape(it, "confirm-or-retake", lines).reservation(id).end()
        };
        self.keyed(OperationKind::Sell, shape, |call| call.confirm_or_retake_once(id, Some(lines)))
    }

    fn confirm_or_retake_once(
        self,
        id: ReservationId,
        lines: Option<OwnLines<'_>>,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let engine = self.engine;
        engine.admit()?;
        if let Some(lines) = lines
            && let Ok(held) = engine.reservation(id)
            && held.status != ReservationStatus::Confirmed
            && !engine.are_lines_of(&held, lines)
        {
            return Err(RetakeError::OtherLines);
        }
        // The owner never changes. So it is read first: after the end, the slots may be reused.
        let former = || engine.snapshot_of(id).ok().map(|found| engine.former_hold(&found));
        let before = former();
        let done = ConfirmOrRetake::Confirmed;
        let known_unsold = match self.end_hold(id, EndKind::Sell, done.into()) {
            EndOutcome::Done(end) => {
                return Ok(end.recorded.map(|()| done).map_err(Uncertain::from)?);
            }
            EndOutcome::NotSold(missing) => return Err(missing.into()),
            EndOutcome::Limited(limit) => return Err(limit.into()),
            EndOutcome::Full { slots } => return Err(RetakeError::Full { slots }),
            EndOutcome::NotStarted(cause) => return Err(cause.into()),
            EndOutcome::InProgress => return Err(RetakeError::Changing),
            EndOutcome::Ended(ended) if ended.sold => {
                let sold = match self.gone(id, ended)? {
                    Gone::Sold { units } if units > 0 => UnitsEnded { sold: units, returned: 0 },
                    Gone::PartlySold { sold, returned } => UnitsEnded { sold, returned },
                    // A slot was reused just now: ask the audit log.
                    _ => self.logged_sale(id)?,
                };
                return self.answer_without_a_move(already(sold));
            }
            EndOutcome::Ended(_) => true,
            EndOutcome::Missing(NoReservation::Forgotten) => false,
            EndOutcome::Missing(none) => return Err(none.into()),
        };
        // The lines are read last: a partial step may have come between.
        let after = former();
        let before = before.map(|former| FormerHold { lines: Vec::new(), ..former });
        self.retake(id, lines, EndedHold { known_unsold, former: after.or(before) })
    }

    /// Takes the lines of a hold that ended without a sale, once. The hold's id serves as an
    /// idempotency key of its own, so that two callers with different keys sell once.
    fn retake(
        self,
        id: ReservationId,
        lines: Option<OwnLines<'_>>,
        ended: EndedHold,
    ) -> Result<ConfirmOrRetake, RetakeError> {
        let engine = self.engine;
        let mut first = false;
        let fingerprint = KeyName::retake_fingerprint(id);
        let answer = engine.claimed(KeyName::Retake(id), fingerprint, self.options(), |now| {
            // The claim found no stored answer: nobody has retaken the hold, or the answer is
            // forgotten. Outcome files keep all answers for their days, and the claim has asked
            // them. Without them, a drop after the hold's creation shows in memory's low-water
            // mark, which is read only after the claim.
            let born = engine.born(id);
            let keeps = engine.journal.as_ref().and_then(|it| it.keeps_answers_since(born, now));
            let may_have_been_dropped = match keeps {
                Some(keeps) => !keeps,
                None => engine.keys.evicted_before().is_some_and(|moment| moment >= born),
            };
            let mut former = ended.former.unwrap_or_default();
            let has_lines = lines.is_some() || !former.lines.is_empty();
            if !ended.known_unsold || may_have_been_dropped || !has_lines {
                let known = self.known_outcome(id)?;
                match known.end {
                    KnownEnd::Unsold => {}
                    KnownEnd::Sold(units) => return Err(Declined::Answer(already(units))),
                    KnownEnd::Retaken(by) => {
                        return Err(Declined::Answer(ConfirmOrRetake::AlreadyRetaken(by)));
                    }
                }
                if former.lines.is_empty() {
                    former = known.former;
                }
            }
            first = true;
            let mut wanted = WantedLines::new();
            match lines {
                Some(lines) => engine.resolve_lines(lines, self.safety_stock(), &mut wanted)?,
                None => engine.resolve_levels(&former.lines, self.safety_stock(), &mut wanted)?,
            }
            let options = RequestOptions {
                owner: self.owner().or(former.owner),
                keep_until_shipped: self.keeps_until_shipped() || former.keep,
                ..self.options().clone()
            };
            let options = engine.with_subjects(options, &former.draws);
            let call = self.with_options(&options).at(now);
            Ok(ConfirmOrRetake::Retaken(
                call.take_basket(&wanted, Purpose::Sale { retaken_from: Some(id) })?,
            ))
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

    /// What a confirmed reservation sold, from the outcome files or the audit log.
    fn logged_sale(self, id: ReservationId) -> Result<UnitsEnded, RetakeError> {
        match self.known_outcome(id)?.end {
            KnownEnd::Sold(units) => Ok(units),
            _ => Err(NoReservation::Forgotten.into()),
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

/// The answer for a reservation that sold so many units.
fn already(UnitsEnded { sold, returned }: UnitsEnded) -> ConfirmOrRetake {
    match returned {
        0 => ConfirmOrRetake::AlreadySold { units: sold },
        _ => ConfirmOrRetake::PartlySold { sold, returned },
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

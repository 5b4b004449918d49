//! Restores an engine's state from the ledger, which is what the journal adds up to.

use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::base::ceilings::AboveCeiling;
use crate::base::clock::Timestamp;
use crate::base::error::{JournalError, TransferFailure};
use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::engine::Engine;
use crate::engine::answer::{Answer, ConfirmOrRetake};
use crate::engine::journal::RecoveryReport;
use crate::engine::opening::limits::Limits;
use crate::engine::opening::restore_limits::needed_allowances;
use crate::engine::opening::spec::{StandingSettings, WarehouseSpec};
use crate::engine::transfer_request::{TransferDecision, TransferRequestStatus};
use crate::engine::transfers::book::RequestedMove;
use crate::idempotency::{IdempotencyKey, KeyName};
use crate::journal::ledger::Ledger;
use crate::journal::ledger::clock::ClockStep;
use crate::journal::ledger::holds::{Hold, HoldLine, Standing};
use crate::journal::ledger::transfers::{Decision, DecisionOutcome, TransferState};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slots::restore::{Restored, RestoredEnd, slots_of};
use crate::reservation::state::Phase;
use crate::stock::catalog::CatalogFull;
use crate::stock::handle::LevelIndex;

/// The warehouses in the order of their indexes: first those of the journal, then the builder's new
/// ones.
pub(in crate::engine) fn warehouses(
    ledger: &Ledger,
    mut given: Vec<WarehouseSpec>,
) -> Result<Vec<WarehouseSpec>, JournalError> {
    let mut ordered = Vec::with_capacity(given.len());
    for known in &ledger.warehouses {
        let warehouse = known.name.as_ref().to_owned();
        let Some(at) = given.iter().position(|spec| spec.name == warehouse) else {
            return Err(JournalError::MissingWarehouse { warehouse });
        };
        let mut spec = given.remove(at);
        spec.recorded = known.capacity.built == Some(spec.capacity)
            && known.threshold.built == Some(spec.threshold);
        spec.standing = Some(StandingSettings {
            capacity: known.capacity.under(spec.capacity),
            threshold: known.threshold.under(spec.threshold),
        });
        ordered.push(spec);
    }
    ordered.append(&mut given);
    Ok(ordered)
}

/// Refuses a ledger that is too large for an engine of these limits. Returns how many slots its
/// reservations need: those that must stay.
pub(in crate::engine) fn check_sizes(
    ledger: &Ledger,
    limits: &Limits,
) -> Result<usize, JournalError> {
    limits.ceilings.products.admits(ledger.products.len())?;
    limits.ceilings.levels.admits(ledger.levels.len())?;
    limits.ceilings.allowances.admits(needed_allowances(ledger).count())?;
    let (mut filled, mut highest, mut known) = (0, 0, 0);
    for hold in ledger.holds.all() {
        known += hold.lines().count();
        if hold.occupies() {
            let lines = lines_of(hold);
            filled += slots_of(end_of(hold), lines, hold.retaken_from().is_some());
            filled += hold.draws().len() + hold.draws_given_back().len();
            highest = highest.max(hold.id.slot() as usize + 1);
        }
    }
    let needed = filled.max(highest);
    limits.ceilings.slots(limits.max_reservations, known).admits(needed)?;
    Ok(needed)
}

/// The error for a state that no engine can be in. The checks at replay and [`check_sizes`] leave
/// none.
#[cold]
fn fits_nowhere(ledger: &Ledger) -> JournalError {
    let what = "the state that the entries add up to fits into no engine".to_owned();
    JournalError::BrokenLaw { sequence: ledger.next_sequence - 1, what }
}

impl From<AboveCeiling> for JournalError {
    fn from(above: AboveCeiling) -> Self {
        let (AboveCeiling { ceiling, needed }, setting) = (above, above.remedy());
        Self::TooMany { what: ceiling.what, needed, most: ceiling.most, setting }
    }
}

/// What is restored, and how.
pub(in crate::engine) struct Restoring<'a> {
    pub(in crate::engine) ledger: &'a Ledger,
    /// The step back of the clock that this opening found. The ledger gets it with its event.
    pub(in crate::engine) step: Option<ClockStep>,
    pub(in crate::engine) longest_ttl: Duration,
    pub(in crate::engine) grace: Duration,
}

impl Restoring<'_> {
    /// When something happened that the ledger dates so.
    fn past(&self, at: Timestamp) -> Timestamp {
        self.step.map_or(at, |step| step.past(at))
    }
}

impl Engine {
    /// Restores the ledger's state, before any other thread has the engine. Returns the holds that
    /// fell due while the engine was down, with the expiry that the grace period gives them.
    pub(in crate::engine) fn restore(
        &self,
        restoring: &Restoring<'_>,
        report: &mut RecoveryReport,
    ) -> Result<Vec<GraceExtension>, JournalError> {
        let &Restoring { ledger, step, longest_ttl, .. } = restoring;
        for name in &ledger.products {
            self.catalog.restore_product(name).map_err(|CatalogFull| fits_nowhere(ledger))?;
        }
        for (warehouse, state) in self.catalog.warehouses().iter().zip(&ledger.warehouses) {
            self.catalog.set_suspended(warehouse, state.suspended);
        }
        self.restore_levels(ledger).ok_or_else(|| fits_nowhere(ledger))?;
        self.restore_limits(ledger).ok_or_else(|| fits_nowhere(ledger))?;
        let built = crate::engine::ttl_limits::millis(longest_ttl);
        self.ttl_limits.set_longest_ttl(ledger.longest_ttl.under(built));
        let now = self.now();
        let given_grace = self.restore_holds(restoring, now, report)?;
        self.restore_keys(restoring);
        for request in ledger.transfers.all() {
            let mut request = request.clone();
            step.into_iter().for_each(|step| request.shift(step));
            self.restore_transfer(ledger, &request);
        }
        self.approvals.begin_after(ledger.transfers.newest);
        report.transfer_requests = ledger.transfers.open().count();
        report.keys = self.keys.len();
        Ok(given_grace)
    }

    fn restore_levels(&self, ledger: &Ledger) -> Option<()> {
        for (index, state) in ledger.levels.iter().enumerate() {
            let product = ledger.products.get(state.product.index())?;
            let handle = self.catalog.open_level(state.warehouse, product, |_| {}).ok()?;
            if handle != LevelIndex(index as u32) {
                return None;
            }
            let level = self.catalog.level(handle)?;
            let warehouse = self.catalog.warehouse(state.warehouse)?;
            let on_hand = state.available + state.reserved;
            // What lies in a warehouse may be more than its capacity. A count of 0 is no
            // `Quantity`, so it is skipped.
            if let Ok(units) = Quantity::new(on_hand) {
                warehouse.occupy(units, self)?;
                level.receive(units, self);
            }
            if let Ok(units) = Quantity::new(state.reserved) {
                level.hold(units, 0, self).ok()?;
            }
            let tracked = state.tracked.min(state.sold);
            for (kept, units) in [(true, tracked), (false, state.sold - tracked)] {
                if let Ok(units) = Quantity::new(units) {
                    level.sold_to(kept).add(units);
                }
            }
            if let Some(own) = state.threshold {
                level.set_own_threshold(own.filter(|units| *units <= MAX_UNITS));
            }
            level.set_safety_stock(state.safety_stock);
        }
        Some(())
    }

    /// Raises an alert for every level at or under its threshold, once after each restart.
    pub(in crate::engine) fn alert_what_is_low(&self, ledger: &Ledger) {
        for handle in (0..ledger.levels.len()).map(|index| LevelIndex(index as u32)) {
            if let Some(level) = self.catalog.level(handle)
                && level.threshold().is_some_and(|threshold| level.available() <= threshold)
            {
                self.raise_alert(handle, level);
            }
        }
    }

    fn restore_holds(
        &self,
        &Restoring { ledger, step, grace, .. }: &Restoring<'_>,
        now: Timestamp,
        report: &mut RecoveryReport,
    ) -> Result<Vec<GraceExtension>, JournalError> {
        let mut given_grace = Vec::new();
        let extended = now.saturating_add(grace);
        let room = self.slots.room();
        let mut restored = Vec::new();
        for hold in ledger.holds.all() {
            // Make no room for the record of a reservation that has ended.
            if !hold.occupies() && hold.id.slot() >= self.max_slots.min(room) {
                continue;
            }
            // With a step back, it was overdue at the newest entry or is not.
            let is_overdue = step.map_or(now, |step| step.from) > hold.expires_at;
            let mut hold = match step {
                None => self.restored_of(hold),
                Some(step) => {
                    let mut shifted = hold.clone();
                    shifted.shift(step);
                    self.restored_of(&shifted)
                }
            };
            if hold.end.is_some() {
                report.finished += 1;
            } else {
                report.pending += 1;
                if is_overdue
                    && !grace.is_zero()
                    && let Some(level) = hold.first_level()
                {
                    hold.expires_at = extended;
                    given_grace.push(GraceExtension { id: hold.id, level, expires_at: extended });
                }
            }
            restored.push(hold);
        }
        report.given_grace = given_grace.len();
        self.slots.restore(restored, now).ok_or_else(|| fits_nowhere(ledger))?;
        Ok(given_grace)
    }

    /// Restores the keys and the retakes, which share one bound, in the order of their times: those
    /// that came first are dropped first. A call that retakes under a key publishes the retake
    /// first.
    fn restore_keys(&self, restoring: &Restoring<'_>) {
        let ledger = restoring.ledger;
        let mut retakes = ledger.retakes.iter().enumerate().peekable();
        let settled = ledger.keys.len() - ledger.unsettled.keys;
        for (number, (mark, at)) in ledger.keys.iter().enumerate() {
            while let Some(retake) = retakes.next_if(|(_, (.., retaken))| retaken <= at) {
                self.restore_retake(retake, restoring);
            }
            let key = IdempotencyKey::from_bytes(mark.key.as_bytes());
            let answer = Answer::from_bytes(mark.answer.as_bytes());
            // Skip an answer that a later version wrote: this version cannot return it.
            if let (Ok(key), Some(answer)) = (key, answer) {
                let at = restoring.past(*at);
                let answer = answer.to_bytes();
                self.keys.restore(KeyName::Caller(key), mark.fingerprint, answer, at);
                if number < settled {
                    self.keys.settle(&KeyName::Caller(key), at);
                }
            }
        }
        retakes.for_each(|retake| self.restore_retake(retake, restoring));
    }

    fn restore_retake(
        &self,
        (number, (of, by, at)): (usize, &(ReservationId, ReservationId, Timestamp)),
        restoring: &Restoring<'_>,
    ) {
        let fingerprint = KeyName::retake_fingerprint(*of);
        let answer = Answer::Late(ConfirmOrRetake::Retaken(*by)).to_bytes();
        let at = restoring.past(*at);
        self.keys.restore(KeyName::Retake(*of), fingerprint, answer, at);
        if number < restoring.ledger.retakes.len() - restoring.ledger.unsettled.retakes {
            self.keys.settle(&KeyName::Retake(*of), at);
        }
    }

    fn restore_transfer(&self, ledger: &Ledger, request: &TransferState) {
        let &TransferState { number, from, target, units, held, at, .. } = request;
        // The ledger has checked the level and the quantity at replay, so both are valid here.
        let (Some(level), Ok(qty)) = (ledger.levels.get(from.index()), Quantity::new(units)) else {
            return;
        };
        let asked = RequestedMove { from, source: level.warehouse, target, qty, held, at };
        let decision = request.decision.as_ref().map(|decision| decision_of(decision, units));
        self.approvals.restore(number.into(), asked, decision);
    }

    /// Records that the clock stepped back since the journal's newest entry. No other thread has
    /// the engine yet, so this is the opening's first record.
    pub(in crate::engine) fn record_step(&self, step: ClockStep) {
        let record = self.recorder.event(EventType::ClockStepped).about(Subject::None);
        // Nothing is queued before it, so there is room.
        let _ = record.at(step.to).text("from", &step.from.as_millis().to_string()).queue();
    }

    /// Records the extensions that overdue holds got as a grace period.
    pub(in crate::engine) fn record_grace(&self, given: &[GraceExtension]) {
        for GraceExtension { id, level, expires_at } in given {
            // If the engine has stopped already, the holds still keep their grace in memory, until
            // the next opening.
            if self.admit().is_err() {
                return;
            }
            let draft = self.recorder.event(EventType::Extended).line(*level, 0);
            let _ = draft.at(self.now()).reservation(*id, *expires_at).queue();
        }
    }
}

/// A hold that fell due while the engine was down, and got a later expiry.
pub(in crate::engine) struct GraceExtension {
    id: ReservationId,
    level: LevelIndex,
    expires_at: Timestamp,
}

/// The hold's last step, if it is over.
fn end_of(hold: &Hold) -> Option<Phase> {
    match hold.standing {
        Standing::Live => None,
        Standing::Confirmed => Some(Phase::Confirmed),
        Standing::Released => Some(Phase::Released),
        Standing::Expired => Some(Phase::Expired),
    }
}

impl Engine {
    fn restored_of(&self, hold: &Hold) -> Restored {
        let mut lines: Vec<SlotLine> = lines_of(hold).collect();
        lines.sort_unstable_by_key(|line| line.level);
        Restored {
            id: hold.id,
            owner: hold.owner,
            expires_at: hold.expires_at,
            draws: self.restored_draws(hold, &lines),
            lines,
            retaken_from: hold.retaken_from(),
            keep: hold.keep,
            must_stay: hold.occupies(),
            end: end_of(hold).map(|phase| RestoredEnd { phase, at: hold.ended_at }),
        }
    }
}

fn decision_of(decision: &Decision, needed: u32) -> (TransferRequestStatus, TransferDecision) {
    let failed = |failure| (TransferRequestStatus::Failed, Some(failure));
    let (status, failure) = match decision.outcome {
        DecisionOutcome::Approved => (TransferRequestStatus::Approved, None),
        DecisionOutcome::Rejected => (TransferRequestStatus::Rejected, None),
        DecisionOutcome::Short(available) => {
            failed(TransferFailure::Insufficient { needed, available })
        }
        DecisionOutcome::OverCapacity(room) => {
            failed(TransferFailure::OverCapacity { needed, room })
        }
    };
    let by = decision.by.as_str().into();
    let reason = decision.reason.as_deref().map(Into::into);
    (status, TransferDecision { by, at: decision.at, reason, failure })
}

/// The lines as a slot tells them. If a hold was given back in several steps, `held` says what its
/// end gave back, as in the engine that ran.
fn lines_of(hold: &Hold) -> impl Iterator<Item = SlotLine> + Clone {
    let in_part = hold.was_left_in_part() && hold.lines().all(|line| line.sold == 0);
    hold.lines().map(move |line| {
        let HoldLine { level, held, sold, given_back, settled, taken_out } = *line;
        let (held, given_back) =
            if in_part { (line.left(), taken_out) } else { (held, given_back) };
        SlotLine { level, held, sold, given_back, settled }
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A ledger of one live hold of one unit, in slot `slot`.
    fn ledger_of_slot(slot: u32) -> Ledger {
        let mut ledger = Ledger::new(0);
        let id = ReservationId::new(Timestamp::from_millis(1), slot, 7);
        ledger.holds.enter(Hold::new(id, None, Timestamp::MAX, LevelIndex(0), 1));
        ledger
    }

    #[test]
    fn one_entry_that_names_a_very_high_slot_is_refused_with_the_setting_that_admits_it() {
        let (slot, limits) = (1 << 30, Limits::new());
        let (needed, most) = (u64::from(slot) + 1, 1 << 24);
        let setting = Some("max_reservations");
        let refusal = check_sizes(&ledger_of_slot(slot), &limits).expect_err("a forged slot");
        let what = "slots of reservations";
        assert_eq!(refusal, JournalError::TooMany { what, needed, most, setting });
        let text = "the journal needs 1073741825 slots of reservations, and this engine takes \
                    16777216: build it with max_reservations of at least 1073741825";
        assert_eq!(refusal.to_string(), text);
        let obeyed = limits.max_reservations(slot + 1);
        assert_eq!(check_sizes(&ledger_of_slot(slot), &obeyed), Ok(slot as usize + 1));
    }

    #[test]
    fn no_setting_is_named_that_does_not_help() {
        let slot = u32::MAX - 1;
        let refusal = check_sizes(&ledger_of_slot(slot), &Limits::new()).expect_err("beyond all");
        let needed = u64::from(slot) + 1;
        let expected = JournalError::TooMany {
            what: "slots of reservations",
            needed,
            most: 1 << 24,
            setting: None,
        };
        assert_eq!(refusal, expected);
    }

    #[test]
    fn a_plain_hold_needs_its_own_slot_and_no_other() {
        assert_eq!(check_sizes(&ledger_of_slot(0), &Limits::new()), Ok(1));
        let mut ledger = ledger_of_slot(5);
        let basket = ReservationId::new(Timestamp::from_millis(1), 3, 7);
        let mut hold = Hold::new(basket, None, Timestamp::MAX, LevelIndex(0), 1);
        (1..9).for_each(|level| hold.add_line(LevelIndex(level), 1));
        ledger.holds.enter(hold);
        assert_eq!(check_sizes(&ledger, &Limits::new()), Ok(10), "nine lines and a plain hold");
    }
}

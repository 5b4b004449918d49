//! What an engine still knows of a reservation whose record is gone.

use crate::audit::draw::EntryDraw;
use crate::audit::entry::{AdjustmentType, EntryType};
use crate::audit::record::{KEEP_NOTE, KEPT_UNTIL_SHIPPED};
use crate::base::clock::Timestamp;
use crate::base::error::{FlushError, NoReservation, NotStarted, Reason, RetakeError};
use crate::engine::Engine;
use crate::engine::call::Call;
use crate::engine::request_options::RequestOptions;
use crate::engine::view::filed::FiledOutcome;
use crate::engine::view::reservation::{ReservationSnapshot, UnitsEnded};
use crate::policy::subject::NamedSubject;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::SlotLine;
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::handle::LevelIndex;

/// What is known of a reservation that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct KnownOutcome {
    pub(in crate::engine) end: KnownEnd,
    pub(in crate::engine) former: FormerHold,
}

impl KnownOutcome {
    /// What the outcome files tell.
    fn of(filed: FiledOutcome) -> Self {
        let units = filed.units();
        let end = if units.sold > 0 { KnownEnd::Sold(units) } else { KnownEnd::Unsold };
        let former = FormerHold::new(filed.owner, filed.keep, &filed.lines);
        Self { end, former: FormerHold { draws: filed.draws_given_back, ..former } }
    }
}

/// How a hold that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum KnownEnd {
    /// It sold nothing.
    Unsold,
    Sold(UnitsEnded),
    /// It sold nothing, and its lines were taken again under this id.
    Retaken(ReservationId),
}

/// What a hold had, for whoever takes it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct FormerHold {
    pub(in crate::engine) owner: Option<Owner>,
    /// Whether its record was to be kept until all that it sold is shipped.
    pub(in crate::engine) keep: bool,
    /// What its end gave back, sorted by level. Not what it had given back in partial steps before:
    /// the buyer had taken that out of the basket. Empty if that cannot be told apart any more.
    pub(in crate::engine) lines: Vec<(LevelIndex, u32)>,
    /// The allowances on which it had drawn: for which subjects it was.
    pub(in crate::engine) draws: Vec<AllowanceKey>,
}

impl FormerHold {
    fn new(owner: Option<Owner>, keep: bool, lines: &[SlotLine]) -> Self {
        let held = lines.iter().filter(|line| line.held > 0);
        let lines = held.map(|line| (line.level, line.held)).collect();
        Self { owner, keep, lines, draws: Vec::new() }
    }
}

impl Call<'_> {
    /// What the engine knows of a reservation that is over, beyond its record: what the outcome
    /// files tell, else the audit log in memory. Reads the disk, and waits until everything queued
    /// so far is written.
    ///
    /// # Errors
    /// [`NoReservation::Unknown`] if the log reaches back to it and does not have it,
    /// [`NoReservation::Forgotten`] if the log does not reach back far enough, [`KeyError`] if the
    /// outcome files can't tell now.
    pub(in crate::engine) fn known_outcome(
        self,
        id: ReservationId,
    ) -> Result<KnownOutcome, RetakeError> {
        // That it sold nothing is believed only within its days. After them, the files may have
        // let go of its retake already.
        if let Some(filed) = self.filed_outcome(id)?
            && (!filed.is_over || filed.units().sold > 0)
        {
            return Ok(KnownOutcome::of(filed));
        }
        let engine = self.engine;
        engine.flush().wait().map_err(|error| {
            RetakeError::from(match error {
                FlushError::Stopped { reason } => {
                    NotStarted::Stopped { reason: Reason::from(&*reason) }
                }
                FlushError::Poisoned { .. } => NotStarted::Poisoned,
                _ => NotStarted::Closed,
            })
        })?;
        let history = engine.recorder.log().history_of(id, engine.born(id));
        let own = history.entries.iter().filter(|entry| entry.reservation == Some(id));
        let kept = (KEEP_NOTE.to_owned(), KEPT_UNTIL_SHIPPED.to_owned());
        let former = FormerHold {
            owner: own.clone().find_map(|entry| entry.owner),
            keep: own.clone().any(|entry| entry.metadata.contains(&kept)),
            lines: history.given_back_last,
            draws: own.clone().flat_map(|entry| entry.limits.iter()).map(EntryDraw::key).collect(),
        };
        let known = |end| Ok(KnownOutcome { end, former });
        let retaken = history.entries.iter().find(|entry| entry.retaken_from == Some(id));
        if let Some(by) = retaken.and_then(|entry| entry.reservation) {
            return known(KnownEnd::Retaken(by));
        }
        let sum = |movement: AdjustmentType| -> u64 {
            let wanted = EntryType::Movement(movement);
            let of_type = own.clone().filter(|entry| entry.entry_type == wanted);
            of_type.map(|entry| u64::from(entry.quantity)).sum()
        };
        let (sold, returned) = (sum(AdjustmentType::Sold), sum(AdjustmentType::Returned));
        match (sold, returned, history.complete) {
            (0, 0, true) => Err(NoReservation::Unknown.into()),
            (0, _, true) => known(KnownEnd::Unsold),
            (0, _, false) => Err(NoReservation::Forgotten.into()),
            _ => known(KnownEnd::Sold(UnitsEnded { sold, returned })),
        }
    }
}

impl Engine {
    /// What a record tells. After a restart it tells no line of a hold that partial steps had
    /// changed, because the journal's state has only the sums.
    pub(in crate::engine) fn former_hold(&self, found: &ReservationSnapshot<'_>) -> FormerHold {
        let ReservationSnapshot { head, record, lines, .. } = found;
        let former = FormerHold::new(record.owner, record.chain.keeps(), lines);
        let draws = self.slots.allowances_of(*head, record.chain).unwrap_or_default();
        FormerHold { draws, ..former }
    }

    /// The options of a call, with the subjects that these allowances are of, where the call names
    /// none of their kind.
    pub(in crate::engine) fn with_subjects(
        &self,
        mut options: RequestOptions,
        draws: &[AllowanceKey],
    ) -> RequestOptions {
        for AllowanceKey { rule, subject } in draws {
            let known = self.rules.rule(*rule).filter(|rule| !rule.of_another_secret);
            if let Some(kind) = known.and_then(|rule| rule.tag)
                && options.limits.subject_of(kind).is_none()
            {
                options.limits.name(NamedSubject { kind, hash: *subject });
            }
        }
        options
    }

    /// A time before which nothing happened to this hold. An id's time is that, unless an earlier
    /// run may have made the id under a clock that was ahead.
    pub(in crate::engine) fn born(&self, id: ReservationId) -> Timestamp {
        let born = id.created_at();
        if self.is_dated_ahead(born) { Timestamp::default() } else { born }
    }

    /// Whether an earlier run had this time from a clock that was ahead.
    pub(in crate::engine) fn is_dated_ahead(&self, at: Timestamp) -> bool {
        self.dated_ahead.iter().any(|(first, last)| (*first..=*last).contains(&at))
    }
}

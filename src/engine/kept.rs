//! What the outcome files know: answers of idempotency keys, and how reservations ended, after
//! memory has let go of both.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::error::KeyError;
use crate::base::trace;
use crate::engine::Engine;
use crate::engine::answer::{Answer, ConfirmOrRetake};
use crate::engine::call::KeyLookup;
use crate::engine::view::filed::FiledOutcome;
use crate::engine::view::stats::OutcomeFigures;
use crate::idempotency::{Fingerprint, IdempotencyKey, KeyName};
use crate::journal::follow::auditor::Auditing;
use crate::journal::follow::outcome_upkeep::{OutcomeUpkeep, Settle};
use crate::journal::group_commit::SyncState;
use crate::journal::ledger::holds::Standing;
use crate::journal::outcomes::collector::SettledName;
use crate::journal::outcomes::record::{
    EndedLine, JournalTime, Kept, KeptAnswer, OutcomeRecord, ReservationOutcome, RetakenAs,
};
use crate::journal::outcomes::run::DiskUse;
use crate::journal::outcomes::store::OutcomeLookup;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::state::Phase;

/// The outcome files of an engine's journal, as its operations see them.
pub(super) struct KeptOutcomes {
    pub(super) upkeep: Arc<OutcomeUpkeep>,
    pub(super) auditing: Arc<Auditing>,
    pub(super) progress: Arc<SyncState>,
    /// When the engine was opened: by its clock, and in journal time.
    pub(super) opened: (Timestamp, JournalTime),
}

impl KeptOutcomes {
    /// The journal time at `now`.
    fn time(&self, now: Timestamp) -> JournalTime {
        let (at, time) = self.opened;
        let since = now.saturating_since(at).as_millis() as u64;
        JournalTime::from_millis(time.as_millis().saturating_add(since))
    }

    /// Figures for reports.
    pub(super) fn figures(&self, now: Timestamp) -> OutcomeFigures {
        let stats = self.upkeep.outcomes.stats();
        let age = |oldest: JournalTime| {
            let now = self.time(now).as_millis();
            Duration::from_millis(now.saturating_sub(oldest.as_millis()))
        };
        OutcomeFigures {
            files: stats.runs,
            entries: stats.records,
            memory: stats.filter_memory + stats.index_memory,
            unfiltered: stats.unfiltered_parts,
            oldest: stats.oldest.map(age).unwrap_or_default(),
            waiting: 0,
        }
    }

    /// A record, unless its time is up.
    fn in_time<T: OutcomeRecord>(
        &self,
        found: OutcomeLookup<T>,
        now: Timestamp,
    ) -> Result<Option<T>, KeyError> {
        match found {
            OutcomeLookup::Found(Kept { time, value }) => {
                let is_over = self.upkeep.outcomes.is_over(time, self.time(now));
                Ok((!is_over).then_some(value))
            }
            OutcomeLookup::Absent => Ok(None),
            OutcomeLookup::NeedsDisk => Err(KeyError::Undecided),
            OutcomeLookup::Incomplete => {
                self.upkeep.wake();
                Err(KeyError::Gathering)
            }
        }
    }

    /// The answer that the outcome files have under this name, and the fingerprint of its request.
    /// Call it only after a claim of the name: whatever leaves memory is in the files before.
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    pub(super) fn answer(
        &self,
        name: &KeyName,
        now: Timestamp,
        lookup: KeyLookup,
    ) -> Result<Option<(u128, Answer)>, KeyError> {
        let disk = match lookup {
            KeyLookup::ReadDisk => DiskUse::MayRead,
            KeyLookup::MemoryOnly => DiskUse::MemoryOnly,
        };
        let outcomes = &self.upkeep.outcomes;
        let unreadable = |error| {
            trace::warn(format_args!("the answer of a key can't be looked up: {error}"));
            KeyError::Gathering
        };
        match name {
            KeyName::Caller(key) => {
                let mark = outcomes.mark_of(key.as_bytes());
                let found = outcomes.answer_of(mark, disk).map_err(unreadable)?;
                let Some(kept) = self.in_time(found, now)? else { return Ok(None) };
                let KeptAnswer { fingerprint, answer, .. } = kept;
                // An answer that a later version of the library wrote. It was used, so it is not
                // free.
                let answer = Answer::from_bytes(answer.as_bytes()).ok_or(KeyError::Gathering)?;
                Ok(Some((fingerprint, answer)))
            }
            KeyName::Retake(of) => {
                let found = outcomes.retake_of(*of, disk).map_err(unreadable)?;
                let Some(RetakenAs { id, .. }) = self.in_time(found, now)? else {
                    return Ok(None);
                };
                let fingerprint = Fingerprint::of("retake").id(*of).finish();
                Ok(Some((fingerprint, Answer::Late(ConfirmOrRetake::Retaken(id)))))
            }
        }
    }

    /// How a reservation ended, if the outcome files know. `flush` waits until all that was
    /// recorded so far is on the disk, so that the auditor can read it.
    pub(super) fn outcome(
        &self,
        id: ReservationId,
        flush: impl FnOnce() -> bool,
    ) -> Option<FiledOutcome> {
        if let Some(known) = self.find_outcome(id) {
            return Some(known);
        }
        if !flush() {
            return None;
        }
        self.auditing.catch_up(self.progress.durable(), &mut |_| {}).ok()?;
        self.find_outcome(id)
    }

    fn find_outcome(&self, id: ReservationId) -> Option<FiledOutcome> {
        let outcomes = &self.upkeep.outcomes;
        let mark = outcomes.marker().reservation(id);
        // First what waits for its run. So a run that is installed meanwhile is seen after.
        if let Some(Kept { value, .. }) = self.auditing.find_waiting(mark) {
            return Some(filed(value));
        }
        match outcomes.outcome_of(id, DiskUse::MayRead) {
            Ok(OutcomeLookup::Found(Kept { value, .. })) => Some(filed(value)),
            Ok(OutcomeLookup::Incomplete) => {
                self.upkeep.wake();
                None
            }
            Ok(_) => None,
            Err(error) => {
                trace::warn(format_args!("an outcome can't be looked up: {error}"));
                None
            }
        }
    }
}

impl Engine {
    /// What settles the answers of keys once they are on the disk.
    pub(super) fn settle_keys(&self) -> Settle {
        let keys = Arc::clone(&self.keys);
        Box::new(move |names| {
            for (name, at) in names {
                let name = match name {
                    SettledName::Retake(of) => KeyName::Retake(*of),
                    SettledName::Key(mark) => {
                        match IdempotencyKey::from_bytes(mark.key.as_bytes()) {
                            Ok(key) => KeyName::Caller(key),
                            Err(_) => continue,
                        }
                    }
                };
                keys.settle(&name, *at);
            }
        })
    }
}

fn filed(outcome: ReservationOutcome) -> FiledOutcome {
    let end = match outcome.standing {
        Standing::Released => Phase::Released,
        Standing::Expired => Phase::Expired,
        // No outcome is of a live one.
        Standing::Confirmed | Standing::Live => Phase::Confirmed,
    };
    // Of a reservation whose last units were sold, `sold` has them all, and its end gave back none.
    let line = |&EndedLine { level, sold, taken_out, left, settled }: &EndedLine| match end {
        Phase::Confirmed => {
            SlotLine { level, held: 0, sold, given_back: taken_out + left, settled }
        }
        _ => SlotLine { level, held: left, sold, given_back: taken_out, settled },
    };
    let lines = outcome.lines.iter().map(line).collect();
    let ReservationOutcome { ended_at, owner, retaken_from, keep, .. } = outcome;
    FiledOutcome { end, ended_at, owner, retaken_from, keep, lines }
}

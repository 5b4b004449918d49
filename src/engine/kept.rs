//! What the outcome files know: answers of idempotency keys, and how reservations ended, after
//! memory has let go of both.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::error::{JournalError, KeyError};
use crate::base::trace;
use crate::engine::Engine;
use crate::engine::answer::{Answer, ConfirmOrRetake};
use crate::engine::prefetched::{KeptUnder, PrefetchedAnswer};
use crate::engine::request_options::{KeyLookup, RequestOptions};
use crate::engine::view::filed::FiledOutcome;
use crate::engine::view::stats::OutcomeFigures;
use crate::idempotency::{IdempotencyKey, KeyName};
use crate::journal::follow::auditor::Auditing;
use crate::journal::follow::outcome_upkeep::{OutcomeUpkeep, Settle};
use crate::journal::group_commit::SyncState;
use crate::journal::ledger::clock::JournalClock;
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
    /// What the journal told of its clock by then.
    pub(super) clock: JournalClock,
}

impl KeptOutcomes {
    /// The journal time at `now`.
    fn time(&self, now: Timestamp) -> JournalTime {
        let (at, time) = self.opened;
        let since = now.saturating_since(at).as_millis() as u64;
        JournalTime::from_millis(time.as_millis().saturating_add(since))
    }

    /// Whether everything is kept that was answered at `moment` or later.
    pub(super) fn reaches_back_to(&self, moment: Timestamp, now: Timestamp) -> bool {
        let then = match self.opened.0 <= moment {
            true => self.time(moment),
            false => JournalTime::from_millis(self.clock.earliest_time_of(moment)),
        };
        !self.upkeep.outcomes.is_over(then, self.time(now))
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
            disk_bytes: stats.disk_bytes,
            memory: stats.filter_memory + stats.index_memory,
            filter_memory: stats.filter_memory,
            unfiltered: stats.unfiltered_parts,
            oldest: stats.oldest.map(age).unwrap_or_default(),
            waiting: 0,
        }
    }

    /// An answer with its fingerprint, unless its time is up.
    fn in_time(&self, kept: KeptUnder, now: Timestamp) -> Option<(u128, Answer)> {
        let is_over = self.upkeep.outcomes.is_over(kept.time, self.time(now));
        (!is_over).then_some((kept.fingerprint, kept.answer))
    }

    /// A record that was found, if one was.
    fn found<T: OutcomeRecord>(
        &self,
        found: OutcomeLookup<T>,
    ) -> Result<Option<Kept<T>>, KeyError> {
        match found {
            OutcomeLookup::Found(kept) => Ok(Some(kept)),
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
        options: &RequestOptions,
    ) -> Result<Option<(u128, Answer)>, KeyError> {
        let prefetched = options.prefetched.as_ref().and_then(|known| known.answer(name));
        let in_time = |kept: KeptUnder| self.in_time(kept, now);
        if let Some(answer) = prefetched.and_then(|it| it.found).and_then(in_time) {
            return Ok(Some(answer));
        }
        let disk = match options.lookup {
            KeyLookup::ReadDisk => DiskUse::MayRead,
            KeyLookup::MemoryOnly => DiskUse::MemoryOnly,
        };
        let after = prefetched.map_or(0, |it| it.asked_to);
        Ok(self.find_answer(name, after, disk)?.and_then(in_time))
    }

    /// What the outcome files have under this name, for a prefetch. Reads the disk.
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    pub(super) fn read_answer(&self, name: &KeyName) -> Result<PrefetchedAnswer, KeyError> {
        // Read before: the look-up asks all runs up to here, and perhaps newer ones.
        let asked_to = self.upkeep.outcomes.covered_to().map_or(0, |end| end.batch);
        let found = self.find_answer(name, 0, DiskUse::MayRead)?;
        Ok(PrefetchedAnswer { found, asked_to })
    }

    /// What the runs that end after batch `after` have under this name.
    pub(super) fn find_answer(
        &self,
        name: &KeyName,
        after: u64,
        disk: DiskUse,
    ) -> Result<Option<KeptUnder>, KeyError> {
        let outcomes = &self.upkeep.outcomes;
        // Asked first: the mark of a name costs more than all the rest of such a look-up.
        if outcomes.has_nothing() {
            return Ok(None);
        }
        let unreadable = |error| gathering("the answer of a key can't be looked up", &error);
        match name {
            KeyName::Caller(key) => {
                let mark = outcomes.mark_of(key.as_bytes());
                let found = outcomes.answer_of(mark, after, disk).map_err(unreadable)?;
                let Some(Kept { time, value }) = self.found(found)? else { return Ok(None) };
                let KeptAnswer { fingerprint, answer, .. } = value;
                // An answer that a later version of the library wrote. It was used, so it is not
                // free.
                let answer = Answer::from_bytes(answer.as_bytes()).ok_or(KeyError::Gathering)?;
                Ok(Some(KeptUnder { time, fingerprint, answer }))
            }
            KeyName::Retake(of) => {
                let found = outcomes.retake_of(*of, after, disk).map_err(unreadable)?;
                let Some(Kept { time, value }) = self.found(found)? else { return Ok(None) };
                let RetakenAs { id, .. } = value;
                let fingerprint = KeyName::retake_fingerprint(*of);
                let answer = Answer::Late(ConfirmOrRetake::Retaken(id));
                Ok(Some(KeptUnder { time, fingerprint, answer }))
            }
        }
    }

    /// How a reservation ended; `None` if the outcome files do not have it. Reads the disk, unless
    /// it was prefetched. `flush` waits until all that was recorded so far is on the disk, so that
    /// the auditor can read it.
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    pub(super) fn outcome(
        &self,
        id: ReservationId,
        now: Timestamp,
        options: &RequestOptions,
        flush: impl FnOnce() -> bool,
    ) -> Result<Option<FiledOutcome>, KeyError> {
        let found = match options.prefetched.as_ref().and_then(|known| known.outcome(id)) {
            Some(found) => found,
            None if options.lookup == KeyLookup::MemoryOnly => return Err(KeyError::Undecided),
            None => self.read_outcome(id, flush)?,
        };
        Ok(found.map(|Kept { time, value }| {
            let is_over = self.upkeep.outcomes.is_over(time, self.time(now));
            FiledOutcome { is_over, ..filed(value) }
        }))
    }

    /// How a reservation ended, read from the disk. `flush` as in [`outcome`](Self::outcome).
    ///
    /// # Errors
    /// [`KeyError::Gathering`] if it can't be known now.
    pub(super) fn read_outcome(
        &self,
        id: ReservationId,
        flush: impl FnOnce() -> bool,
    ) -> Result<Option<Kept<ReservationOutcome>>, KeyError> {
        let found = self.find_outcome(id);
        if matches!(found, Ok(Some(_))) {
            return found;
        }
        if !flush() {
            // Its end may be among what could not be written.
            return found.and(Err(KeyError::Gathering));
        }
        let unreadable = |error| gathering("an outcome can't be audited", &error);
        self.auditing.catch_up(self.progress.durable(), &mut |_| {}).map_err(unreadable)?;
        self.find_outcome(id)
    }

    /// As [`read_outcome`](Self::read_outcome), of what the auditor has read so far.
    pub(super) fn find_outcome(
        &self,
        id: ReservationId,
    ) -> Result<Option<Kept<ReservationOutcome>>, KeyError> {
        let outcomes = &self.upkeep.outcomes;
        let mark = outcomes.marker().reservation(id);
        // First what waits for its run. So a run that is installed meanwhile is seen after.
        if let Some(kept) = self.auditing.find_waiting(mark) {
            return Ok(Some(kept));
        }
        let unreadable = |error| gathering("an outcome can't be looked up", &error);
        let found = outcomes.outcome_of(id, DiskUse::MayRead).map_err(unreadable)?;
        self.found(found)
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

/// What a caller hears of a file that can't be read: it may be readable later.
fn gathering(what: &str, error: &JournalError) -> KeyError {
    trace::warn(format_args!("{what}: {error}"));
    KeyError::Gathering
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
    let ReservationOutcome { ended_at, owner, retaken_from, keep, draws_given_back, .. } = outcome;
    let is_over = false;
    FiledOutcome { end, ended_at, is_over, owner, retaken_from, keep, lines, draws_given_back }
}

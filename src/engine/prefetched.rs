//! What was read for the calls of a request before they are made.

use crate::engine::answer::Answer;
use crate::idempotency::KeyName;
use crate::journal::outcomes::record::{JournalTime, Kept, ReservationOutcome};
use crate::reservation::id::ReservationId;

/// What the outcome files have under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptUnder {
    /// When the answer was given.
    pub(super) time: JournalTime,
    pub(super) fingerprint: u128,
    pub(super) answer: Answer,
}

/// What was read. It stays true: an answer is stored once, and a reservation ends once.
#[derive(Debug, Default)]
pub(crate) struct Prefetched {
    pub(super) answers: Vec<(KeyName, PrefetchedAnswer)>,
    pub(super) outcome: Option<(ReservationId, Option<Kept<ReservationOutcome>>)>,
}

/// What the outcome files had under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefetchedAnswer {
    pub(super) found: Option<KeptUnder>,
    /// The last batch of the newest run that was asked. Older ones need not be asked again.
    pub(super) asked_to: u64,
}

impl Prefetched {
    pub(super) fn answer(&self, name: &KeyName) -> Option<PrefetchedAnswer> {
        self.answers.iter().find(|(own, _)| own == name).map(|(_, answer)| *answer)
    }

    /// How this reservation ended. The outer `None`: it was not looked up.
    pub(super) fn outcome(&self, id: ReservationId) -> Option<Option<Kept<ReservationOutcome>>> {
        let (_, outcome) = self.outcome.as_ref().filter(|(own, _)| *own == id)?;
        Some(outcome.clone())
    }
}

//! Transfer requests and the decisions on them, as the entries tell them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use crate::audit::entry::{EntryType, EventType};
use crate::audit::record::{DECIDED_KEPT, EntryLine};
use crate::base::clock::Timestamp;
use crate::journal::format::decode::DecodedRecord;
use crate::journal::ledger::clock::ClockStep;
use crate::stock::handle::{LevelIndex, WarehouseIndex};

/// A request for a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransferState {
    pub(crate) number: u64,
    pub(crate) from: LevelIndex,
    pub(crate) target: WarehouseIndex,
    pub(crate) units: u32,
    /// Its units are held until the decision.
    pub(crate) held: bool,
    pub(crate) at: Timestamp,
    pub(crate) decision: Option<Decision>,
}

/// The decision on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) outcome: DecisionOutcome,
    /// Who decided; empty if a redaction erased it.
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) reason: Option<String>,
}

/// Who decided, and why: the texts of a decision that a redaction may erase.
pub(crate) type Texts = (String, Option<String>);

impl Decision {
    /// Erases who decided, and why. Returns `false` if both were erased before.
    fn erase_texts(&mut self) -> bool {
        let was_there = !self.by.is_empty() || self.reason.is_some();
        (self.by, self.reason) = (String::new(), None);
        was_there
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecisionOutcome {
    Approved,
    Rejected,
    /// Failed: only this many units were available.
    Short(u32),
    /// Failed: there was room for only this many units.
    OverCapacity(u32),
}

/// All open requests, and the newest decided ones.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    open: BTreeMap<u64, TransferState>,
    /// In the order of the decisions, oldest first; at most [`DECIDED_KEPT`].
    decided: VecDeque<TransferState>,
    /// The greatest number that any request has had.
    pub(crate) newest: u64,
}

/// The movements of a record that requests a transfer or decides on one. Their lines come before
/// the event's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TransferMoves {
    pub(super) held: Option<(LevelIndex, u32)>,
    pub(super) given_back: Option<(LevelIndex, u32)>,
    pub(super) moved_out: Option<(LevelIndex, u32)>,
}

/// `Ok` if every law holds, or else what is wrong.
pub(super) type LawResult = Result<(), &'static str>;

impl TransferState {
    /// Moves its times by a step back of the clock.
    pub(crate) fn shift(&mut self, step: ClockStep) {
        self.at = step.past(self.at);
        if let Some(decision) = &mut self.decision {
            decision.at = step.past(decision.at);
        }
    }
}

impl Transfers {
    /// Moves the times of all by a step back of the clock.
    pub(super) fn shift(&mut self, step: ClockStep) {
        let all = self.decided.iter_mut().chain(self.open.values_mut());
        all.for_each(|request| request.shift(step));
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &TransferState> {
        self.open.values()
    }

    /// The decided requests, oldest decision first, then the open ones.
    pub(crate) fn all(&self) -> impl Iterator<Item = &TransferState> {
        self.decided.iter().chain(self.open.values())
    }

    /// The numbers of the decided requests, oldest decision first.
    pub(crate) fn decided(&self) -> impl Iterator<Item = u64> {
        self.decided.iter().map(|request| request.number)
    }

    /// Erases who decided on these requests, and why. Returns `false` if there was no such text.
    pub(crate) fn erase_texts(&mut self, of: &BTreeSet<u64>) -> bool {
        let mut erased = false;
        for request in self.decided.iter_mut().filter(|request| of.contains(&request.number)) {
            erased |= request.decision.as_mut().is_some_and(Decision::erase_texts);
        }
        erased
    }

    /// Takes the texts out of all decisions, oldest decision first.
    pub(crate) fn take_texts(&mut self) -> Vec<Texts> {
        let decisions = self.decided.iter_mut().filter_map(|request| request.decision.as_mut());
        decisions.map(|it| (mem::take(&mut it.by), it.reason.take())).collect()
    }

    /// Adds a request from a checkpoint. Call it in the order of the decisions.
    pub(super) fn enter(&mut self, request: TransferState) {
        match request.decision {
            None => drop(self.open.insert(request.number, request)),
            Some(_) => self.decided.push_back(request),
        }
    }

    /// Applies the event that requests a transfer.
    pub(super) fn request(
        &mut self,
        record: &DecodedRecord,
        (from, units): (LevelIndex, u32),
        target: WarehouseIndex,
        moved: TransferMoves,
    ) -> LawResult {
        let number = number_in(record)?;
        // Requests that race may be in the journal in another order than their numbers.
        let known = |known: &TransferState| known.number == number;
        if number <= self.newest
            && (self.open.contains_key(&number) || self.decided.iter().any(known))
        {
            return Err("a transfer is requested a second time");
        }
        let held = match moved.held {
            None => false,
            Some(held) if held == (from, units) => true,
            Some(_) => return Err("a transfer's request holds other units than it asks for"),
        };
        let at = record.steps.header.at;
        let request = TransferState { number, from, target, units, held, at, decision: None };
        self.open.insert(number, request);
        self.newest = self.newest.max(number);
        Ok(())
    }

    /// Applies the event that decides on a request.
    pub(super) fn decide(&mut self, record: &DecodedRecord, moved: TransferMoves) -> LawResult {
        let number = number_in(record)?;
        let mut request = self
            .open
            .remove(&number)
            .ok_or("a decision on a transfer that does not wait for one")?;
        let own = Some((request.from, request.units));
        if moved.given_back != own.filter(|_| request.held) {
            return Err("a decision gives back other units than its request held");
        }
        let outcome = match fact(record, "outcome") {
            Some("approved") => DecisionOutcome::Approved,
            Some("rejected") => DecisionOutcome::Rejected,
            Some("failed") => failure_in(record)?,
            _ => return Err("a decision without an outcome"),
        };
        if moved.moved_out != own.filter(|_| outcome == DecisionOutcome::Approved) {
            return Err("a decision moves other units than its request asked for");
        }
        let at = fact(record, "decidedAt").and_then(|at| at.parse().ok());
        request.decision = Some(Decision {
            outcome,
            by: fact(record, "decidedBy").unwrap_or_default().to_owned(),
            at: at.map_or(record.steps.header.at, Timestamp::from_millis),
            reason: fact(record, "reason").map(str::to_owned),
        });
        self.decided.push_back(request);
        if self.decided.len() > DECIDED_KEPT {
            self.decided.pop_front();
        }
        Ok(())
    }
}

/// The value of the first pair of this name. The engine's own pairs come before the caller's, so
/// the engine's pair wins.
pub(super) fn fact<'a>(record: &'a DecodedRecord, wanted: &str) -> Option<&'a str> {
    let mut pairs = record.steps.metadata.iter();
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// The number of the request that this record decides on, if any.
pub(crate) fn decided_in(record: &DecodedRecord) -> Option<u64> {
    let decides = |line: &EntryLine| line.entry_type == EventType::TransferDecided.into();
    record.steps.lines.iter().any(decides).then(|| number_in(record).ok()).flatten()
}

fn number_in(record: &DecodedRecord) -> Result<u64, &'static str> {
    let number = fact(record, "transferRequestId").and_then(|number| number.parse().ok());
    // The bound leaves a next number to every accepted one, so counting up cannot overflow.
    let number = number.filter(|number| *number <= u64::MAX / 2);
    number.ok_or("a transfer's request without a number")
}

/// Why a decision failed: the first pair that gives the available units or the room.
fn failure_in(record: &DecodedRecord) -> Result<DecisionOutcome, &'static str> {
    let mut pairs = record.steps.metadata.iter();
    let failure = pairs.find_map(|(name, value)| match name {
        "available" => value.parse().ok().map(DecisionOutcome::Short),
        "room" => value.parse().ok().map(DecisionOutcome::OverCapacity),
        _ => None,
    });
    failure.ok_or("a decision that failed, and does not say why")
}

/// Whether the record requests a transfer or decides on one. The event that says so is the last
/// line of its record, after the lines that move units.
pub(super) fn is_about_a_transfer(record: &DecodedRecord) -> bool {
    record.steps.lines.last().is_some_and(|line| {
        matches!(
            line.entry_type,
            EntryType::Event(EventType::TransferRequested | EventType::TransferDecided)
        )
    })
}

//! Verification: whether the bytes are those that were written, and whether the entries obey the
//! laws.

use std::fmt;
use std::ops::ControlFlow;

use crate::base::error::{Facts, JournalError, error_answers};
use crate::journal::format::batch::{Hash, NO_HASH};
use crate::journal::format::decode::{DecodeResult, Decoded};
use crate::journal::format::head::{HeadHash, JournalHead};
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::sync_mark;
use crate::journal::layout::{PathSegment, damaged};
use crate::journal::ledger::Ledger;
use crate::journal::ledger::clock::JournalClock;
use crate::journal::ledger::holds::StepsBefore;
use crate::journal::ledger::transfers::Texts;
use crate::journal::offline::{JournalReader, Source};
use crate::journal::reader::{self, FoundBatch, ReadOutcome, Segment};
use crate::journal::recovery::TornTail;
use crate::journal::recovery::replay::{RecoveryProgress, Visitor};
use crate::journal::storage::Storage;

/// The result of a verification that found nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The end of the journal: its newest entry, and the chain hash up to there.
    pub head: JournalHead,
    /// The sequence number of the newest entry.
    pub entries: u64,
    /// The sequence number of the oldest entry that was read: 1, unless segments were archived or
    /// removed. With [`archive`](JournalReader::archive), the reader reads archived segments, too.
    pub oldest: u64,
    /// If the oldest segments are gone: the last entry of the checkpoint that stands for what came
    /// before. Only the entries after it were checked against the laws.
    pub begun_after: Option<u64>,
    /// The entry at which the chain had the expected hash, if one was expected.
    pub expected_at: Option<u64>,
    /// The number of batches, from the journal's first on.
    pub batches: u64,
    /// The number of segments that the journal consists of.
    pub segments: usize,
    /// The bytes of all batches that were read and count.
    pub bytes: u64,
    /// Bytes of segments that do not count, and are not checked. A crash or a failing disk left
    /// them and no opening has cut them yet, or somebody added them behind a segment.
    pub given_up: u64,
    /// How often the journal was opened.
    pub openings: u64,
    /// Whether the journal was closed in good order.
    pub closed: bool,
    /// The torn tail, if there is one: left by a crash, or by an engine that is writing at this
    /// moment. Nothing that was known to be on the disk is in it.
    pub torn: Option<TornTail>,
    /// The number of checkpoints. Only [`verify`](JournalReader::verify) compares them with the
    /// segments.
    pub checkpoints: usize,
    /// The number of records whose notes were erased. Only [`verify`](JournalReader::verify) counts
    /// them.
    pub erased: u64,
}

/// The journal is not sound, or could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyError {
    /// What is wrong, and where.
    pub error: JournalError,
    /// The newest entry before it that was found sound, and the chain hash up to there.
    pub sound: JournalHead,
}

impl VerifyError {
    pub(crate) fn facts(&self) -> Facts {
        self.error.facts()
    }
}

error_answers!(VerifyError);

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for VerifyError {}

impl From<VerifyError> for JournalError {
    fn from(unsound: VerifyError) -> Self {
        unsound.error
    }
}

impl JournalReader {
    /// Checks everything: checksums, the hash chain, sequence numbers, and every entry against the
    /// laws. It checks some millions of entries a second. A torn tail is not an error; the report
    /// names it.
    ///
    /// `expected` is a hash that [`journal_head`](crate::InventoryManager::journal_head) returned
    /// earlier. With it, the call also checks that this is still the same journal; it may have
    /// grown since. Without it, the journal alone cannot show two things: that its newest batches
    /// were removed together with all that refers to them, or that all of it was rewritten.
    ///
    /// ```no_run
    /// use stockade::JournalReader;
    /// let mut journal = JournalReader::new("/var/lib/shop/journal");
    /// match journal.verify(None) {
    ///     Ok(found) => println!("{} entries, head {}", found.entries, found.head),
    ///     Err(unsound) => println!("{unsound}; sound up to entry {}", unsound.sound.sequence),
    /// }
    /// ```
    ///
    /// # Errors
    /// [`VerifyError`], with the cause inside: [`JournalError::Damaged`] names file and byte;
    /// [`JournalError::BrokenLaw`] names the entry; [`JournalError::OtherHead`] says that the
    /// expected hash is not in the chain; [`JournalError::NoJournal`] says that there is no
    /// journal.
    pub fn verify(&mut self, expected: Option<HeadHash>) -> Result<VerifyReport, VerifyError> {
        self.check(expected, |reader, source, visitor| {
            reader.replay(source, visitor.keys(), visitor).map(|(_, outcome)| outcome)
        })
    }

    /// Like [`verify`](Self::verify), but without the laws: checks only that the bytes are those
    /// that were written. As fast as the bytes can be read and hashed.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), except for [`JournalError::BrokenLaw`].
    pub fn verify_checksums(
        &mut self,
        expected: Option<HeadHash>,
    ) -> Result<VerifyReport, VerifyError> {
        self.check(expected, |reader, source, visitor| {
            let mut progress =
                RecoveryProgress { of_segments: source.layout.path.len(), ..Default::default() };
            let mut tell = reader.listener();
            reader::read(&source.dir(), |segment, durable| {
                segment.batches.iter().for_each(|found| visitor.batch(&segment, found, durable));
                if segment.is_last {
                    progress.segments += 1;
                    progress.entries = visitor.sound.sequence;
                    if let Some(tell) = &mut tell {
                        tell(progress);
                    }
                }
                ControlFlow::Continue(())
            })
        })
    }

    fn check(
        &mut self,
        expected: Option<HeadHash>,
        read: impl Fn(&mut Self, &mut Source, &mut Verifier) -> Result<ReadOutcome, JournalError>,
    ) -> Result<VerifyReport, VerifyError> {
        self.retry_if_changed(|reader| reader.check_once(expected, &read))
    }

    fn check_once(
        &mut self,
        expected: Option<HeadHash>,
        read: impl Fn(&mut Self, &mut Source, &mut Verifier) -> Result<ReadOutcome, JournalError>,
    ) -> Result<VerifyReport, VerifyError> {
        let mut visitor = Verifier::of(expected);
        // Read the checkpoints before the segments, so that the segments hold every batch that a
        // checkpoint covers.
        let checkpoints = CheckedCheckpoint::find(&*self.storage);
        let checked = checkpoints.and_then(|found| {
            visitor.checkpoints = found;
            begin_mark::read(&*self.storage)?;
            let mut source = self.take_snapshot(visitor.keys())?;
            visitor.begin(&source);
            let outcome = read(self, &mut source, &mut visitor)?;
            visitor.verified(&source, outcome)
        });
        checked.map_err(|error| {
            if let JournalError::BrokenLaw { sequence, .. } = &error {
                // The entry may lie within a batch, behind entries of it that are sound.
                visitor.sound.sequence = visitor.sound.sequence.max(sequence.saturating_sub(1));
            }
            VerifyError { error, sound: visitor.sound }
        })
    }
}

/// A checkpoint to be compared with the segments.
struct CheckedCheckpoint {
    name: String,
    header: CheckpointHeader,
    state: Hash,
    /// The state without the parts in which two may differ.
    bare: BareState,
    /// The replay has come past its last batch.
    reached: bool,
}

impl CheckedCheckpoint {
    fn find(storage: &dyn Storage) -> Result<Vec<Self>, JournalError> {
        let mut found = Vec::new();
        for name in checkpoint_file::list(storage)? {
            match checkpoint_file::read(storage, &name) {
                Ok((header, state)) => found.push(Self::new(name, header, &state)?),
                // An engine has removed it since, because it has written newer ones.
                Err(JournalError::Storage { .. }) if !is_there(storage, &name)? => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn new(name: String, header: CheckpointHeader, state: &[u8]) -> Result<Self, JournalError> {
        let bare = BareState::of(state, &header)
            .map_err(|none| damaged(&name, 0, format!("a checkpoint with {}", none.what)))?;
        let state = *blake3::hash(state).as_bytes();
        Ok(Self { name, header, state, bare, reached: false })
    }

    /// Whether the checkpoint equals `ledger`, but for what [`BareState`] leaves out.
    fn agrees(&self, ledger: &Ledger) -> bool {
        let state = ledger.to_bytes(self.header.keys as usize);
        if *blake3::hash(&state).as_bytes() == self.state {
            return true;
        }
        BareState::of(&state, &self.header).is_ok_and(|bare| self.bare.agrees(&bare))
    }

    fn wrong(&self, what: &str) -> JournalError {
        damaged(&self.name, 0, what.to_owned())
    }
}

/// A state in parts, of which two may differ between a checkpoint and a replay.
struct BareState {
    /// The hash of the state without the two other parts.
    hash: Hash,
    /// The texts of decisions. One of the two may lack some: a redaction erases texts in one file
    /// after the other; it may be under way, or a crash may have ended it.
    texts: Vec<Texts>,
    /// One of the two may not know its beginning: it may have begun with a checkpoint of version 1.
    clock: JournalClock,
    /// One of the two may lack some: it may come from a checkpoint of an earlier library.
    steps: StepsBefore,
}

impl BareState {
    fn of(state: &[u8], header: &CheckpointHeader) -> DecodeResult<Self> {
        let keys = header.keys as usize;
        let mut ledger = Ledger::from_bytes(state, keys)?;
        let (texts, clock) = (ledger.transfers.take_texts(), ledger.take_clock());
        let steps = ledger.holds.take_steps();
        Ok(Self { hash: *blake3::hash(&ledger.to_bytes(keys)).as_bytes(), texts, clock, steps })
    }

    fn agrees(&self, other: &Self) -> bool {
        let is_erased = |texts: &Texts| texts.0.is_empty() && texts.1.is_none();
        let mut pairs = self.texts.iter().zip(&other.texts);
        let mut steps = self.steps.iter();
        self.hash == other.hash
            && steps.all(|(line, units)| other.steps.get(line).is_none_or(|own| own == units))
            && self.clock.agrees(&other.clock)
            && pairs.all(|(one, other)| one == other || is_erased(one) || is_erased(other))
    }
}

fn is_there(storage: &dyn Storage, name: &str) -> Result<bool, JournalError> {
    checkpoint_file::list(storage).map(|names| names.iter().any(|it| it == name))
}

/// The state of a verification under way.
struct Verifier {
    expected: Option<HeadHash>,
    expected_at: Option<u64>,
    sound: JournalHead,
    bytes: u64,
    erased: u64,
    checkpoints: Vec<CheckedCheckpoint>,
    /// The last entry of the checkpoint that the replay began with, and the number of keys that
    /// this checkpoint remembers at most.
    begun_after: Option<(u64, u64)>,
    /// What is wrong with one of the checkpoints.
    wrong: Option<JournalError>,
}

impl Verifier {
    fn of(expected: Option<HeadHash>) -> Self {
        Self {
            expected,
            expected_at: None,
            sound: JournalHead { sequence: 0, hash: NO_HASH },
            bytes: 0,
            erased: 0,
            checkpoints: Vec::new(),
            begun_after: None,
            wrong: None,
        }
    }

    /// The greatest number of keys that any checkpoint remembers.
    fn keys(&self) -> usize {
        self.checkpoints.iter().map(|it| it.header.keys as usize).max().unwrap_or(0)
    }

    /// Notes where the reading begins. If the oldest segments are gone, the rest of the chain
    /// begins in its middle.
    fn begin(&mut self, source: &Source) {
        let Some((header, _)) = &source.beginning else { return };
        self.begun_after = Some((header.sequence, header.keys));
        if let Some(first) = source.layout.path.first() {
            let base = first.header.base;
            self.sound = JournalHead { sequence: base.sequence, hash: base.hash };
            self.compare();
        }
    }

    /// Whether the ledger can be compared with a checkpoint of the entry `sequence` with up to
    /// `keys` keys. A ledger that began with a checkpoint of fewer keys lacks some.
    fn can_compare(&self, sequence: u64, keys: u64) -> bool {
        self.begun_after.is_none_or(|(after, known)| sequence > after && keys <= known)
    }

    /// Notes it if the chain has the expected hash here.
    fn compare(&mut self) {
        if self.expected.is_some_and(|HeadHash(expected)| expected == self.sound.hash) {
            self.expected_at = Some(self.sound.sequence);
        }
    }

    fn verified(
        &mut self,
        source: &Source,
        outcome: ReadOutcome,
    ) -> Result<VerifyReport, JournalError> {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        if let Some(unmet) = self.checkpoints.iter().find(|it| !it.reached) {
            return Err(unmet.wrong("a checkpoint of batches that are missing"));
        }
        let ReadOutcome { end, closed, torn, stray, .. } = outcome;
        if let Some(stray) = stray.first() {
            return Err(stray.to_error());
        }
        if closed && torn.is_none() {
            sync_mark::check_closed(&source.snapshot)?;
        }
        if end.batch == 0 {
            // An empty journal has no batch to compare at. In a journal with entries this
            // comparison would be worthless: every journal has been empty once.
            self.compare();
        }
        if let Some(expected) = self.expected.filter(|_| self.expected_at.is_none()) {
            let expected = expected.to_string();
            return Err(JournalError::OtherHead { expected, entries: end.sequence });
        }
        let Source { snapshot, layout, .. } = source;
        let counts = |it: &PathSegment| snapshot.length_of(&it.name).min(it.limit);
        let counting: u64 = layout.path.iter().map(counts).sum();
        Ok(VerifyReport {
            head: JournalHead { sequence: end.sequence, hash: end.hash },
            entries: end.sequence,
            oldest: layout.oldest(),
            begun_after: self.begun_after.map(|(after, _)| after),
            expected_at: self.expected_at,
            batches: end.batch,
            segments: layout.path.len(),
            bytes: self.bytes,
            given_up: snapshot.bytes() - counting,
            openings: layout.head().map_or(0, |head| head.header.opening),
            closed,
            torn: torn.as_ref().map(TornTail::of),
            checkpoints: self.checkpoints.len(),
            erased: self.erased,
        })
    }
}

impl Visitor for Verifier {
    fn looks_back(&self) -> bool {
        true
    }

    fn record(&mut self, ledger: &Ledger, _: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        if let Decoded::Record(record) = decoded {
            self.erased += u64::from(record.erased);
        }
        for it in &self.checkpoints {
            let CheckpointHeader { sequence, keys, .. } = it.header;
            if sequence + 1 == ledger.next_sequence
                && self.can_compare(sequence, keys)
                && !it.agrees(ledger)
            {
                self.wrong = Some(it.wrong("a checkpoint that is not what came before it"));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn batch(&mut self, _: &Segment, found: &FoundBatch, _: u64) {
        for it in &mut self.checkpoints {
            if it.header.batch == found.header.number {
                it.reached = true;
                if it.header.hash != found.header.hash {
                    self.wrong = Some(it.wrong("a checkpoint that does not lie on the chain"));
                }
            }
        }
        self.bytes += (found.end() - found.offset) as u64;
        self.sound = JournalHead { sequence: found.header.end() - 1, hash: found.header.hash };
        self.compare();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::journal::ledger::holds::{Hold, HoldLine, Standing};
    use crate::journal::ledger::levels::{LevelState, WarehouseState};
    use crate::reservation::id::ReservationId;
    use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

    const LEVEL: LevelIndex = LevelIndex(0);

    /// The state after a hold of three units, so many of which came back before its end.
    fn state(taken_out: u32) -> BareState {
        let mut ledger = Ledger::new(0);
        ledger.warehouses.push(WarehouseState::new("SF", 20, Some(None)));
        ledger.products.push("LAPTOP".into());
        ledger.levels.push(LevelState::new(WarehouseIndex(0), ProductIndex(0)));
        let (begin, end) = (Timestamp::from_millis(1), Timestamp::from_millis(9));
        let id = ReservationId::new(begin, 3, 7);
        let mut hold = Hold::new(id, None, end, LEVEL, 3);
        let line = hold.line_of(LEVEL).expect("its line");
        *line = HoldLine { held: 0, given_back: 3, ..*line };
        hold.end_if_empty(end, Standing::Released, [(LEVEL, 3 - taken_out)].into_iter());
        ledger.holds.enter(hold);
        let header = CheckpointHeader::default();
        BareState::of(&ledger.to_bytes(0), &header).expect("a ledger")
    }

    #[test]
    fn a_state_that_tells_no_steps_agrees_with_one_that_does() {
        // Nothing before its end, as an earlier library wrote of all.
        assert!(state(0).agrees(&state(1)) && state(1).agrees(&state(0)));
        assert!(state(1).agrees(&state(1)));
        assert!(!state(1).agrees(&state(2)) && !state(2).agrees(&state(1)));
    }
}

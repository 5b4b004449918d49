//! Whether a journal is what was written, and whether that can have happened.

use std::fmt;
use std::ops::ControlFlow;

use crate::base::error::{Facts, JournalError, error_answers};
use crate::journal::format::batch::{Hash, NO_HASH};
use crate::journal::format::decode::{DecodeResult, Decoded};
use crate::journal::format::head::{HeadHash, JournalHead};
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::{PathSegment, damaged};
use crate::journal::ledger::Ledger;
use crate::journal::ledger::transfers::Texts;
use crate::journal::offline::{JournalReader, Source};
use crate::journal::reader::{self, FoundBatch, ReadOutcome, Segment};
use crate::journal::recovery::TornTail;
use crate::journal::recovery::replay::{RecoveryProgress, Visitor};
use crate::journal::storage::Storage;

/// What a verification found: nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Where the journal ends.
    pub head: JournalHead,
    /// The sequence number of the newest entry.
    pub entries: u64,
    /// The oldest entry that was read: 1, unless segments were archived or removed. Give the reader the
    /// archive, and it reads those too.
    pub oldest: u64,
    /// Where the oldest are gone: the last entry of the checkpoint that was taken for what comes before
    /// it. The laws were checked on every entry after it.
    pub begun_after: Option<u64>,
    /// The entry that the expected head ends with, if one was expected.
    pub expected_at: Option<u64>,
    /// Batches that they were written in.
    pub batches: u64,
    /// Segments that make it up.
    pub segments: usize,
    /// Bytes of batches that count.
    pub bytes: u64,
    /// Bytes of segments that count for nothing, and are not checked: left by crashes and failing disks,
    /// and not yet cut off; or added by somebody behind a segment.
    pub given_up: u64,
    /// How often it was opened.
    pub openings: u64,
    /// Whether it ended in good order.
    pub closed: bool,
    /// What a crash left at its end, or an engine that is just writing: nothing that was known to be on
    /// the disk.
    pub torn: Option<TornTail>,
    /// Checkpoints. Only [`verify`](JournalReader::verify) looks whether they say what the segments do.
    pub checkpoints: usize,
    /// Records whose notes were erased. Only [`verify`](JournalReader::verify) looks.
    pub erased: u64,
}

/// A journal that is not sound, or could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyError {
    /// What is wrong, and where.
    pub error: JournalError,
    /// The newest entry that was found sound before it, and the hash of the batches up to there.
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
    /// Checks everything: checksums, the chain of hashes, sequence numbers, and every law on every
    /// entry; some millions of entries a second. A tail that a crash has torn is no error, but told.
    ///
    /// With `expected`, a hash that [`journal_head`](crate::InventoryManager::journal_head) gave earlier, also that the
    /// journal still is the one that had it; it may have grown since. Without, nobody can see from the
    /// journal alone that its newest batches were removed with all that knew of them, or that all of it
    /// was rewritten.
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
    /// [`VerifyError`]: [`JournalError::Damaged`] names file and byte, [`JournalError::BrokenLaw`] the
    /// entry, [`JournalError::OtherHead`] that the expected hash is not in the chain,
    /// [`JournalError::NoJournal`] that there is no journal.
    pub fn verify(&mut self, expected: Option<HeadHash>) -> Result<VerifyReport, VerifyError> {
        self.check(expected, |reader, source, seen| {
            reader.replay(source, seen.keys(), seen).map(|(_, outcome)| outcome)
        })
    }

    /// As [`verify`](Self::verify), but for the laws: the bytes are those that were written, whatever
    /// they say. As fast as they can be read and hashed.
    ///
    /// # Errors
    /// As of [`verify`](Self::verify).
    pub fn verify_checksums(
        &mut self,
        expected: Option<HeadHash>,
    ) -> Result<VerifyReport, VerifyError> {
        self.check(expected, |reader, source, seen| {
            let mut progress =
                RecoveryProgress { of_segments: source.layout.path.len(), ..Default::default() };
            let mut tell = reader.listener();
            reader::read(&source.dir(), |segment, durable| {
                segment.batches.iter().for_each(|found| seen.batch(&segment, found, durable));
                progress.segments += 1;
                progress.entries = seen.sound.sequence;
                if let Some(tell) = &mut tell {
                    tell(progress);
                }
                ControlFlow::Continue(())
            })
        })
    }

    fn check(
        &mut self,
        expected: Option<HeadHash>,
        read: impl Fn(&mut Self, &mut Source, &mut Seen) -> Result<ReadOutcome, JournalError>,
    ) -> Result<VerifyReport, VerifyError> {
        self.again_if_changed(|reader| reader.check_once(expected, &read))
    }

    fn check_once(
        &mut self,
        expected: Option<HeadHash>,
        read: impl Fn(&mut Self, &mut Source, &mut Seen) -> Result<ReadOutcome, JournalError>,
    ) -> Result<VerifyReport, VerifyError> {
        let mut seen = Seen::of(expected);
        // Before the segments, so that those hold all that was checkpointed.
        let checkpoints = Checked::find(&*self.storage);
        let checked = checkpoints.and_then(|found| {
            seen.checkpoints = found;
            begin_mark::read(&*self.storage)?;
            let mut source = self.freeze(seen.keys())?;
            seen.begin(&source);
            let outcome = read(self, &mut source, &mut seen)?;
            seen.verified(&source, outcome)
        });
        checked.map_err(|error| {
            if let JournalError::BrokenLaw { sequence, .. } = &error {
                // Within a batch that is not sound to its end.
                seen.sound.sequence = seen.sound.sequence.max(sequence.saturating_sub(1));
            }
            VerifyError { error, sound: seen.sound }
        })
    }
}

/// A checkpoint to be compared with the segments.
struct Checked {
    name: String,
    header: CheckpointHeader,
    state: Hash,
    /// The state without who decided on transfers, and why; and that.
    bare: Hash,
    texts: Vec<Texts>,
    /// Its batch was met.
    met: bool,
}

impl Checked {
    fn find(storage: &dyn Storage) -> Result<Vec<Self>, JournalError> {
        let mut found = Vec::new();
        for name in checkpoint_file::list(storage)? {
            match checkpoint_file::read(storage, &name) {
                Ok((header, state)) => found.push(Self::new(name, header, &state)?),
                // An engine that is just writing newer ones has removed it.
                Err(JournalError::Storage { .. }) if !is_there(storage, &name) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn new(name: String, header: CheckpointHeader, state: &[u8]) -> Result<Self, JournalError> {
        let (bare, texts) = split(state, &header)
            .map_err(|none| damaged(&name, 0, format!("a checkpoint with {}", none.what)))?;
        let state = *blake3::hash(state).as_bytes();
        Ok(Self { name, header, state, bare, texts, met: false })
    }

    /// Whether it says what `ledger` does, but for texts that one of the two lacks: whoever erases texts
    /// does so in one file after the other, at this moment perhaps, or until the power went.
    fn agrees(&self, ledger: &Ledger) -> bool {
        let state = ledger.to_bytes(self.header.keys as usize);
        if *blake3::hash(&state).as_bytes() == self.state {
            return true;
        }
        if cfg!(planted = "erased_texts_are_damage") {
            return false;
        }
        let Ok((bare, texts)) = split(&state, &self.header) else { return false };
        let is_erased = |texts: &Texts| texts.0.is_empty() && texts.1.is_none();
        let mut pairs = self.texts.iter().zip(&texts);
        bare == self.bare
            && pairs.all(|(one, other)| one == other || is_erased(one) || is_erased(other))
    }

    fn wrong(&self, what: &str) -> JournalError {
        damaged(&self.name, 0, what.to_owned())
    }
}

/// The hash of a state without who decided on transfers, and why; and that.
fn split(state: &[u8], header: &CheckpointHeader) -> DecodeResult<(Hash, Vec<Texts>)> {
    let keys = header.keys as usize;
    let mut ledger = Ledger::from_bytes(state, keys)?;
    let texts = ledger.transfers.take_texts();
    Ok((*blake3::hash(&ledger.to_bytes(keys)).as_bytes(), texts))
}

fn is_there(storage: &dyn Storage, name: &str) -> bool {
    checkpoint_file::list(storage).is_ok_and(|names| names.iter().any(|it| it == name))
}

/// What a verification counts.
struct Seen {
    expected: Option<HeadHash>,
    expected_at: Option<u64>,
    sound: JournalHead,
    bytes: u64,
    erased: u64,
    checkpoints: Vec<Checked>,
    /// The last entry of the checkpoint that it began with, and how many keys that knows at most.
    begun_after: Option<(u64, u64)>,
    /// What is wrong with one of them.
    wrong: Option<JournalError>,
}

impl Seen {
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

    /// As many keys as any checkpoint remembers.
    fn keys(&self) -> usize {
        self.checkpoints.iter().map(|it| it.header.keys as usize).max().unwrap_or(0)
    }

    /// Where the oldest segments are gone, what is left of the chain begins in its midst.
    fn begin(&mut self, source: &Source) {
        let Some((header, _)) = &source.beginning else { return };
        self.begun_after = Some((header.sequence, header.keys));
        if let Some(first) = source.layout.path.first() {
            let base = first.header.base;
            self.sound = JournalHead { sequence: base.sequence, hash: base.hash };
            self.compare();
        }
    }

    /// Whether the ledger knows all that was in the state of a checkpoint with so many keys: one that
    /// began with fewer has forgotten some.
    fn can_compare(&self, sequence: u64, keys: u64) -> bool {
        self.begun_after.is_none_or(|(after, known)| sequence > after && keys <= known)
    }

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
        if let Some(unmet) = self.checkpoints.iter().find(|it| !it.met) {
            return Err(unmet.wrong("a checkpoint of batches that are missing"));
        }
        let ReadOutcome { end, closed, torn, .. } = outcome;
        if end.batch == 0 {
            // Every journal once was empty: in one that has entries this would hold of any of them.
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

impl Visitor for Seen {
    fn looks_back(&self) -> bool {
        true
    }

    fn record(&mut self, ledger: &Ledger, _: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        if let Decoded::Record(long) = decoded {
            self.erased += u64::from(long.erased);
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
                it.met = true;
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

//! Whether a journal is what was written, and whether that can have happened.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::audit::head::{HeadHash, JournalHead};
use crate::audit::inspect::JournalReader;
use crate::audit::inspect::frozen::Frozen;
use crate::audit::journal::decode::Decoded;
use crate::audit::journal::layout::Layout;
use crate::audit::journal::reader::{FoundBatch, Outcome, Segment};
use crate::audit::journal::segment::Point;
use crate::audit::ledger::Ledger;
use crate::audit::recovery::TornTail;
use crate::audit::scan;
use crate::error::JournalError;

/// A journal that was found sound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedJournal {
    /// Its newest entry, and the hash of everything up to it.
    pub head: JournalHead,
    /// Where the [expected head](JournalReader::expect_head) was found: the entry that it ends with.
    pub expected_at: Option<u64>,
    /// Batches that the entries were written in.
    pub batches: u64,
    /// Segments that make it up.
    pub segments: usize,
    /// How often it was opened.
    pub openings: u64,
    /// Bytes that were read, in all of the segments that make it up.
    pub bytes: u64,
    /// Bytes that count for nothing: left by crashes and failing disks, and given up by what came
    /// after. What stands in them is not checked.
    pub given_up: u64,
    /// Whether it ends in good order.
    pub closed: bool,
    /// What a crash left at its end, or an engine that is just writing: nothing that was known to be on
    /// the disk.
    pub torn: Option<TornTail>,
    /// Records whose notes were erased. Only [`verify`](JournalReader::verify) looks.
    pub erased: u64,
    /// How long it took.
    pub took: Duration,
}

/// A journal that is not sound, or could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct VerifyError {
    /// What is wrong, and where.
    pub error: JournalError,
    /// The newest entry that was found sound before it, and the hash of the batches up to there.
    pub sound: JournalHead,
}

impl JournalReader {
    /// Checks all that can be checked: every checksum, the chain of hashes, the sequence of batches and
    /// entries, and every law on every entry. Reads the whole journal; some millions of entries a
    /// second.
    ///
    /// ```no_run
    /// use stockade::{HeadHash, JournalReader};
    /// # fn noted() -> HeadHash { HeadHash([0; 32]) }
    /// let journal = JournalReader::new("/var/lib/shop/journal").expect_head(noted());
    /// match journal.verify() {
    ///     Ok(sound) => println!("{} entries, head {}", sound.head.sequence, sound.head),
    ///     Err(unsound) => println!("{unsound}; sound up to entry {}", unsound.sound.sequence),
    /// }
    /// ```
    ///
    /// # Errors
    /// [`VerifyError`]: damage, a broken law, an expected head that is not there, or no journal at all.
    /// A torn tail, as a crash leaves it, is no error.
    pub fn verify(&self) -> Result<VerifiedJournal, VerifyError> {
        self.check(Some(Ledger::new(0)))
    }

    /// As [`verify`](Self::verify), but for the laws: the bytes are those that were written, whatever
    /// they say. As fast as they can be read and hashed.
    ///
    /// # Errors
    /// As of [`verify`](Self::verify).
    pub fn verify_checksums(&self) -> Result<VerifiedJournal, VerifyError> {
        self.check(None)
    }

    fn check(&self, laws: Option<Ledger>) -> Result<VerifiedJournal, VerifyError> {
        let began = Instant::now();
        let mut checked = Checked { laws, expected: self.expected, ..Checked::default() };
        match self.try_check(&mut checked) {
            Ok(found) => Ok(VerifiedJournal { took: began.elapsed(), ..found }),
            Err(error) => Err(VerifyError { error, sound: checked.head() }),
        }
    }

    fn try_check(&self, checked: &mut Checked) -> Result<VerifiedJournal, JournalError> {
        let source = self.freeze()?;
        let outcome = self.read(&source, |segment| checked.segment(segment))?.unwrap_or_default();
        if let Some(ledger) = &checked.laws {
            ledger.check_totals().map_err(scan::broken)?;
        }
        if outcome.end.batch == 0 {
            checked.compare(&Point::START);
        }
        if let Some(expected) = self.expected
            && checked.expected_at.is_none()
        {
            return Err(JournalError::UnknownHead { expected: expected.to_string() });
        }
        Ok(checked.found(&source, outcome))
    }
}

/// What was found sound so far.
#[derive(Default)]
struct Checked {
    laws: Option<Ledger>,
    expected: Option<HeadHash>,
    expected_at: Option<u64>,
    end: Point,
    /// The newest entry of a batch that was not found sound to its end.
    within: Option<u64>,
    erased: u64,
}

impl Checked {
    fn head(&self) -> JournalHead {
        JournalHead { sequence: self.within.unwrap_or(self.end.sequence), hash: self.end.hash }
    }

    fn segment(&mut self, segment: &Segment) -> Result<ControlFlow<(), u64>, JournalError> {
        for found in &segment.batches {
            self.batch(segment, found)?;
            let header = &found.header;
            self.end = Point {
                batch: header.number,
                sequence: header.end() - 1,
                hash: header.hash,
                ..Point::START
            };
            self.compare(&self.end.clone());
        }
        Ok(ControlFlow::Continue(self.end.sequence))
    }

    /// Checks the laws on a batch.
    fn batch(&mut self, segment: &Segment, found: &FoundBatch) -> Result<(), JournalError> {
        let Some(ledger) = &mut self.laws else { return Ok(()) };
        let erased = &mut self.erased;
        let checked = scan::decode_batch(segment, found, |decoded| {
            if let Decoded::Long(long) = &decoded {
                *erased += u64::from(long.erased);
            }
            ledger.apply(&decoded).map_err(scan::broken)?;
            Ok(ControlFlow::Continue(()))
        });
        if let Err(JournalError::BrokenLaw { sequence, .. }) = &checked {
            self.within = Some(sequence - 1);
        }
        checked.map(drop)
    }

    fn compare(&mut self, point: &Point) {
        if self.expected.is_some_and(|HeadHash(expected)| expected == point.hash) {
            self.expected_at = Some(point.sequence);
        }
    }

    fn found(&self, (frozen, layout): &(Frozen, Layout), outcome: Outcome) -> VerifiedJournal {
        let used = |segment: &crate::audit::journal::layout::PathSegment| {
            frozen.length_of(&segment.name).min(segment.limit)
        };
        let bytes = layout.path.iter().map(used).sum();
        VerifiedJournal {
            head: JournalHead { sequence: outcome.end.sequence, hash: outcome.end.hash },
            expected_at: self.expected_at,
            batches: outcome.end.batch,
            segments: layout.path.len(),
            openings: layout.head().map_or(0, |head| head.header.opening),
            bytes,
            given_up: frozen.bytes() - bytes,
            closed: outcome.closed,
            torn: outcome.torn.as_ref().map(TornTail::of),
            erased: self.erased,
            took: Duration::ZERO,
        }
    }
}

//! `stockade audit verify`: checks that a journal is the one that was written.

use std::fmt;
use std::time::Instant;

use serde::Serialize;
use stockade::{HeadHash, JournalError, TornTail, VerifyError};

use crate::audit::Source;
use crate::report::{self, Output, Report, Summary, bad, counted, good, grouped, printable};
use crate::{Failure, Verdict};

/// Checks every checksum, the hash chain, the sequence numbers, and every law on every entry
///
/// A torn tail, as a crash leaves it, is sound: nothing that was known to be on the disk is
/// missing. Without --expect-head, two things cannot be detected: that whole newest batches were
/// removed, or that the whole journal was rewritten by someone who can compute hashes. Store the
/// head that is printed here elsewhere, and pass it the next time.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    source: Source,
    /// A head that this journal once had, 64 hexadecimal digits. The journal must still contain it,
    /// and may have grown since
    #[arg(long, value_name = "HASH")]
    expect_head: Option<HeadHash>,
    /// Check only the checksums and the hash chain: whether the bytes are those that were written,
    /// not whether the entries can have happened
    #[arg(long)]
    checksums: bool,
}

/// The result. Its field names are part of the program's interface.
#[derive(Debug, Default, Serialize)]
struct VerifyReport {
    directory: String,
    sound: bool,
    /// What is wrong, if anything.
    error: Option<Wrong>,
    /// Sound entries: all of them, or those before the fault.
    entries: u64,
    /// The oldest entry that was read: 1, unless segments were archived or removed.
    oldest_entry: u64,
    /// The last entry of the checkpoint that stands in for the missing older entries, if any are
    /// missing.
    begun_after: Option<u64>,
    /// The hash of everything up to the last sound entry that ends a batch.
    head: String,
    /// The last entry that the expected head covers.
    expected_head_at: Option<u64>,
    /// Whether the laws were checked, and not only the bytes.
    laws_checked: bool,
    /// Whether the journal was closed cleanly.
    closed: bool,
    torn: Option<Torn>,
    batches: u64,
    segments: usize,
    openings: u64,
    bytes: u64,
    /// Bytes that a recovery gave up. They count for nothing.
    given_up_bytes: u64,
    checkpoints: usize,
    /// Records whose notes were erased.
    erased: u64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Wrong {
    what: String,
    file: Option<String>,
    offset: Option<u64>,
    /// The entry that breaks a law.
    entry: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Torn {
    file: String,
    offset: u64,
    what: String,
}

pub(crate) fn run(args: &VerifyArgs, output: Output) -> Result<Verdict, Failure> {
    let bar = output.progress(0, "segments");
    let mut journal = args.source.open(&bar);
    let began = Instant::now();
    let verified = match args.checksums {
        true => journal.verify_checksums(args.expect_head),
        false => journal.verify(args.expect_head),
    };
    let seconds = report::seconds(began.elapsed());
    bar.finish_and_clear();
    let found = match verified {
        Ok(found) => VerifyReport::sound(&found),
        // Nobody has looked at the bytes, or not at all of them: that is no verdict about them.
        Err(VerifyError { error, .. })
            if error == JournalError::NoJournal || error.is_retryable() =>
        {
            return Err(args.source.failure(error));
        }
        Err(unsound) => VerifyReport::unsound(&unsound),
    };
    let directory = args.source.directory.display().to_string();
    let report = VerifyReport { directory, laws_checked: !args.checksums, seconds, ..found };
    output.show(&report)?;
    Ok(if report.sound { Verdict::Kept } else { Verdict::Broken })
}

impl VerifyReport {
    fn sound(found: &stockade::VerifyReport) -> Self {
        let torn = found.torn.as_ref().map(|TornTail { file, offset, what, .. }| Torn {
            file: file.clone(),
            offset: *offset,
            what: what.clone(),
        });
        Self {
            sound: true,
            entries: found.entries,
            oldest_entry: found.oldest,
            begun_after: found.begun_after,
            head: found.head.to_string(),
            expected_head_at: found.expected_at,
            closed: found.closed,
            torn,
            batches: found.batches,
            segments: found.segments,
            openings: found.openings,
            bytes: found.bytes,
            given_up_bytes: found.given_up,
            checkpoints: found.checkpoints,
            erased: found.erased,
            ..Self::default()
        }
    }

    fn unsound(unsound: &VerifyError) -> Self {
        let what = unsound.error.to_string();
        let (file, offset, entry) = match &unsound.error {
            JournalError::Damaged { file, offset, .. } => (Some(file.clone()), Some(*offset), None),
            JournalError::BrokenLaw { sequence, .. } => (None, None, Some(*sequence)),
            _ => (None, None, None),
        };
        Self {
            error: Some(Wrong { what, file, offset, entry }),
            entries: unsound.sound.sequence,
            head: unsound.sound.to_string(),
            ..Self::default()
        }
    }
}

impl Report for VerifyReport {}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Journal in {}\n", printable(&self.directory))?;
        let mut summary = Summary::default();
        if let Some(wrong) = &self.error {
            summary.line("sound entries", self.entries, "before what is wrong");
            summary.text("head of those", &self.head);
            writeln!(f, "{summary}\n{}: {}.", bad("NOT SOUND"), printable(&wrong.what))?;
            if wrong.file.is_none() && wrong.entry.is_none() {
                return Ok(());
            }
            let way_out = "stockade audit salvage DIR --to NEW";
            return writeln!(f, "`{way_out}` makes a new journal of what is sound.");
        }
        let batches = counted(self.batches, "batch").replace("batchs", "batches");
        let segments = counted(self.segments as u64, "segment");
        summary.line("entries", self.entries, format_args!("in {batches}, {segments}"));
        if let Some(after) = self.begun_after {
            let first = after + 1;
            summary.line(
                "  oldest there",
                self.oldest_entry,
                "earlier ones were archived or removed",
            );
            summary.line("  laws checked from", first, "on, where a checkpoint ends");
        }
        summary.line("bytes", self.bytes, format_args!("read in {:.3} s", self.seconds));
        if self.given_up_bytes > 0 {
            summary.line(
                "  given up beside them",
                self.given_up_bytes,
                "by recoveries; not checked",
            );
        }
        summary.line("openings", self.openings, if self.closed { "and closed" } else { "" });
        if self.checkpoints > 0 {
            summary.line("checkpoints", self.checkpoints as u64, "");
        }
        if self.erased > 0 {
            summary.line("erased notes", self.erased, "");
        }
        summary.text("head", &self.head);
        if let Some(at) = self.expected_head_at {
            summary.line("expected head", at, "is the entry that it ends with");
        }
        write!(f, "{summary}")?;
        if let Some(Torn { file, offset, what }) = &self.torn {
            writeln!(
                f,
                "\nTorn tail: {what}, in {file} at byte {}, as a crash leaves it, or an engine that is \
                 writing.",
                grouped(*offset)
            )?;
        }
        let laws = if self.laws_checked { " and every law" } else { "; the laws were not checked" };
        let sound = good("Sound");
        writeln!(f, "\n{sound}: every checksum, the chain, the sequence{laws}.")
    }
}

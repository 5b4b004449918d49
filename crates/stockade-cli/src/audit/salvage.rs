//! `stockade audit salvage`: makes a new journal of what is sound in a damaged one.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stockade::{AuditEntry, JournalError, SeenBatch};

use crate::audit::Source;
use crate::audit::log::entry_line;
use crate::report::{Output, Report, Summary, bad, counted, good, printable};
use crate::{Failure, Verdict};

/// Makes a new journal of what is sound in a damaged one
///
/// The new journal is the longest part from the first entry on that is sound and obeys every law;
/// or from a checkpoint on, if that leads further. An engine can be built on it. Batches behind the
/// damage can't be saved, since they rest on what is lost. Their entries are listed, for a person
/// to book by hand: on stderr, or in the file that --lost names. The damaged journal is only read,
/// and no engine should have it open. The hash chain stays the same, so heads that were noted
/// before the damage are still found.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if all was saved; 1 if something was lost, or nothing could be \
                        saved; 2 for a bad call, or where there is no journal."
)]
pub(crate) struct SalvageArgs {
    #[command(flatten)]
    source: Source,
    /// The directory of the new journal. It must be empty, or not exist
    #[arg(long, value_name = "NEW")]
    to: PathBuf,
    /// Write the entries that were seen and not saved to this new file, as JSON Lines, instead of
    /// to stderr
    #[arg(long, value_name = "FILE")]
    lost: Option<PathBuf>,
}

/// The result. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct SalvageReport {
    directory: String,
    /// The new journal.
    to: String,
    /// The newest entry that was saved. The new journal has one more.
    entries: u64,
    oldest_entry: u64,
    /// The last entry of the checkpoint that the new journal begins with, if it does.
    begun_after: Option<u64>,
    segments: usize,
    bytes: u64,
    /// The hash of the new journal.
    head: String,
    /// What is wrong behind what was saved, if anything.
    first_bad: Option<String>,
    lost_segments: usize,
    lost_bytes: u64,
    /// Batches and entries behind that, which can be read and were not saved.
    seen_batches: u64,
    seen_entries: u64,
    newest_seen: Option<u64>,
}

pub(crate) fn run(args: &SalvageArgs, output: Output) -> Result<Verdict, Failure> {
    let source = &args.source.directory;
    refuse_inside(source, &args.to)?;
    if is_open(source) {
        output.note(&format!(
            "{}: an engine has this journal open; what it has not yet written is not saved",
            source.display()
        ));
    }
    let mut list = match &args.lost {
        Some(path) => LostList::File(new_file(path)?),
        None => LostList::Stderr,
    };
    let bar = output.progress(0, "segments");
    let mut listed = Ok(());
    let saved = args.source.open(&bar).salvage(&args.to, |seen| {
        if listed.is_ok() {
            listed = list.put(seen);
        }
    });
    bar.finish_and_clear();
    let saved = saved.map_err(|error| match error {
        // The source is there, as far as it could be read. So this is about the new directory.
        JournalError::Locked => Failure::Run(format!("{}: {error}", args.to.display())),
        error => args.source.failure(error),
    })?;
    listed.map_err(|error| Failure::run("the list of what was lost can't be written", error))?;
    let report = SalvageReport {
        directory: source.display().to_string(),
        to: args.to.display().to_string(),
        entries: saved.entries,
        oldest_entry: saved.oldest,
        begun_after: saved.begun_after,
        segments: saved.segments,
        bytes: saved.bytes,
        head: saved.head.to_string(),
        first_bad: saved.first_bad.as_ref().map(ToString::to_string),
        lost_segments: saved.lost_segments,
        lost_bytes: saved.lost_bytes,
        seen_batches: saved.seen_batches,
        seen_entries: saved.seen_entries,
        newest_seen: saved.newest_seen,
    };
    output.show(&report)?;
    Ok(if report.first_bad.is_none() { Verdict::Kept } else { Verdict::Broken })
}

/// Refuses a new journal in the directory of the damaged one, or below it: nothing is written
/// there.
fn refuse_inside(source: &Path, to: &Path) -> Result<(), Failure> {
    let Ok(source) = source.canonicalize() else { return Ok(()) };
    // The new directory may not exist yet; then its nearest parent that does counts.
    let whole = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let there = whole.ancestors().find_map(|it| it.canonicalize().ok());
    if there.is_some_and(|it| it.starts_with(&source)) {
        let said = "the new journal must lie outside the damaged one";
        return Err(Failure::Call(format!("{}: {said}", to.display())));
    }
    Ok(())
}

/// Whether an engine has the journal open. Asks for a shared lock, and gives it back at once.
fn is_open(directory: &Path) -> bool {
    let lock = File::open(directory.join("lock"));
    lock.is_ok_and(|it| matches!(it.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn new_file(path: &Path) -> Result<File, Failure> {
    let refused = |error| Failure::Call(format!("{}: {error}", path.display()));
    File::options().write(true).create_new(true).open(path).map_err(refused)
}

/// Where the entries go that were seen and not saved.
enum LostList {
    File(File),
    Stderr,
}

impl LostList {
    fn put(&mut self, seen: &SeenBatch) -> io::Result<()> {
        match self {
            Self::File(file) => put_all(file, &seen.entries, ""),
            Self::Stderr => put_all(&mut io::stderr().lock(), &seen.entries, "not saved: "),
        }
    }
}

fn put_all(out: &mut impl Write, entries: &[AuditEntry], before: &str) -> io::Result<()> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(before);
        text.push_str(&entry_line(entry)?);
        text.push('\n');
    }
    out.write_all(text.as_bytes())
}

impl Report for SalvageReport {}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [&self.directory, &self.to].map(|it| printable(it));
        writeln!(f, "Salvaged from {from} to {to}\n")?;
        let mut summary = Summary::default();
        let segments = counted(self.segments as u64, "segment");
        summary.line("saved up to entry", self.entries, format_args!("in {segments}"));
        if let Some(after) = self.begun_after {
            summary.line("  begins after", after, "with a checkpoint; older entries are lost");
        }
        summary.line("bytes", self.bytes, "");
        summary.text("head", &self.head);
        let Some(first_bad) = &self.first_bad else {
            return writeln!(f, "{summary}\n{}: all of it.", good("Saved"));
        };
        let lost = counted(self.lost_segments as u64, "segment");
        summary.line("lost bytes", self.lost_bytes, format_args!("in {lost}"));
        summary.line("  entries seen there", self.seen_entries, "listed, and not saved");
        if let Some(newest) = self.newest_seen {
            summary.line("  the newest of them", newest, "");
        }
        writeln!(f, "{summary}\n{}: {}.", bad("LOST behind that"), printable(first_bad))
    }
}

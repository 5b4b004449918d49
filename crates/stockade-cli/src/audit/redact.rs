//! `stockade audit redact`: erases personal data from notes.

use std::fmt;

use serde::Serialize;
use stockade::{AuditEntry, FileStorage, Owner, ReservationId, redact, redact_with_archive};

use crate::audit::{Source, owner};
use crate::report::{Output, Report, counted, printable};
use crate::{Failure, Verdict};

/// Erases the notes of entries that meet all the given conditions
///
/// The only command here that writes. Notes are what callers added with `note`, such as a
/// customer's name. Movements, reservations, owners and keys stay, and so does the hash chain: the
/// head is the same, and `audit verify` reports how many records were erased. The journal must not
/// be open, and must not end in a torn tail. A running engine erases by itself
/// (InventoryManager::redact). Copies and backups are not touched.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct RedactArgs {
    #[command(flatten)]
    source: Source,
    /// Notes of this reservation's entries, a UUID
    #[arg(long, value_name = "ID", group = "which")]
    reservation: Option<ReservationId>,
    /// Notes of this owner's entries, a UUID
    #[arg(long, value_name = "ID", value_parser = owner, group = "which")]
    owner: Option<Owner>,
    /// All notes of entries that have this one, such as customer="M. Curie"
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, group = "which")]
    note: Option<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected a name, =, and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The result. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct RedactReport {
    directory: String,
    /// Records whose notes this call erased.
    records: u64,
    /// Segments that this call rewrote.
    segments: usize,
}

pub(crate) fn run(args: &RedactArgs, output: Output) -> Result<Verdict, Failure> {
    let bar = output.progress(0, "segments");
    // Locking a journal creates its directory. So check first that there is a journal.
    let there = args.source.open(&bar).oldest_entry();
    bar.finish_and_clear();
    there.map_err(|error| args.source.failure(error))?;
    let wanted = |entry: &AuditEntry| {
        args.reservation.is_none_or(|id| entry.reservation == Some(id))
            && args.owner.is_none_or(|owner| entry.owner == Some(owner))
            && args.note.as_ref().is_none_or(|note| entry.metadata().contains(note))
    };
    let journal = FileStorage::new(&args.source.directory);
    let done = match &args.source.archive {
        Some(archive) => redact_with_archive(journal, FileStorage::new(archive), wanted),
        None => redact(&journal, wanted),
    };
    let done = done.map_err(|error| args.source.failure(error))?;
    let directory = args.source.directory.display().to_string();
    output.show(&RedactReport { directory, records: done.records, segments: done.segments })?;
    Ok(Verdict::Kept)
}

impl Report for RedactReport {}

impl fmt::Display for RedactReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = counted(self.records, "record");
        let segments = counted(self.segments as u64, "segment");
        let place = printable(&self.directory);
        writeln!(f, "{place}: notes of {records} erased, {segments} written anew")
    }
}

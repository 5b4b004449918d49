//! `stockade audit`: reads a journal from its directory alone. Only `redact` writes there.

mod log;
mod redact;
mod salvage;
mod stock;
mod time;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::ProgressBar;
use stockade::{JournalError, JournalReader, Owner};

use crate::report::{self, Output};
use crate::{Failure, Verdict};

/// Reads a journal: verifies it, lists its entries, adds up its stock, erases notes, or saves what
/// is sound of a damaged one
///
/// Reads only the journal's directory. No command but `redact` writes there. They work beside a
/// running engine, and show the journal as it was when the command began.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit code: 0 for a sound journal, one with a torn tail after a crash too; 1 if it is \
                  damaged; 2 for a bad call, or where there is no journal; 3 if it could not be read, \
                  which says nothing about it: its files may not be read, or it is locked."
)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Verify(verify::VerifyArgs),
    Log(log::LogArgs),
    Stock(stock::StockArgs),
    Redact(redact::RedactArgs),
    Salvage(salvage::SalvageArgs),
}

/// The place of the journal, which every command needs.
#[derive(Debug, clap::Args)]
struct Source {
    /// The journal's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The directory of the journal's archived old segments. Without it, a journal whose oldest
    /// segments are gone is read from its oldest checkpoint on
    #[arg(long, value_name = "DIR", value_parser = directory)]
    archive: Option<PathBuf>,
}

impl Source {
    /// Opens the journal. `bar` shows the progress of the reading.
    fn open(&self, bar: &ProgressBar) -> JournalReader {
        let reader = reader(&self.directory, bar);
        match &self.archive {
            Some(archive) => reader.archive(archive),
            None => reader,
        }
    }

    fn failure(&self, error: JournalError) -> Failure {
        failure(&self.directory, error)
    }
}

/// A reader of the journal, with its progress.
pub(crate) fn reader(directory: &Path, bar: &ProgressBar) -> JournalReader {
    let bar = bar.clone();
    JournalReader::new(directory).on_progress(move |progress| {
        bar.set_length(progress.of_segments as u64);
        bar.set_position(progress.segments as u64);
    })
}

/// A directory that must exist: a missing one would look like an empty archive.
fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() { Ok(path) } else { Err("there is no such directory".to_owned()) }
}

/// Parses an owner, given as a UUID.
fn owner(text: &str) -> Result<Owner, String> {
    text.parse().map_err(|error: stockade::InvalidOwner| error.to_string())
}

/// The program's failure for an error of the journal.
pub(crate) fn failure(directory: &Path, error: JournalError) -> Failure {
    let said = format!("{}: {error}", report::path(directory));
    match error {
        JournalError::NoJournal | JournalError::MissingWarehouse { .. } => Failure::Call(said),
        error if error.is_retryable() => Failure::Machine(said),
        _ => Failure::Run(said),
    }
}

pub(crate) fn run(args: &AuditArgs, output: Output) -> Result<Verdict, Failure> {
    match &args.command {
        AuditCommand::Verify(args) => verify::run(args, output),
        AuditCommand::Log(args) => log::run(args, output),
        AuditCommand::Stock(args) => stock::run(args, output),
        AuditCommand::Redact(args) => redact::run(args, output),
        AuditCommand::Salvage(args) => salvage::run(args, output),
    }
}

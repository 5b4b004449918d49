//! `stockade audit`: what a journal says, read from its directory alone. Nothing here writes to it, but for
//! the erasing of notes.

mod log;
mod redact;
mod stock;
mod time;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::ProgressBar;
use stockade::{JournalError, JournalReader, Owner};

use crate::report::Output;
use crate::{Failure, Verdict};

/// Reads a journal: verifies it, lists its entries, adds up its stock; erases notes
///
/// Reads the journal's directory and nothing else. All but `redact` never write there, and work beside a
/// running engine: what is shown is the journal as it was when the command began.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = false,
    disable_help_subcommand = true,
    after_help = "Exit code: 0 for a sound journal, one with a torn tail after a crash too; 1 if it is \
                  damaged; 2 for a bad call, or where there is no journal."
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
}

/// The journal's place, which every command needs.
#[derive(Debug, clap::Args)]
struct Source {
    /// The directory that the journal lies in
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The directory that the journal's old segments were archived in. Without it, a journal whose
    /// oldest segments are gone is read from its oldest checkpoint on
    #[arg(long, value_name = "DIR", value_parser = directory)]
    archive: Option<PathBuf>,
}

impl Source {
    /// The journal, and how far the reading has come.
    fn open(&self, bar: &ProgressBar) -> JournalReader {
        let bar = bar.clone();
        let reader = JournalReader::new(&self.directory);
        let reader = match &self.archive {
            Some(archive) => reader.archive(archive),
            None => reader,
        };
        reader.on_progress(move |progress| {
            bar.set_length(progress.of_segments as u64);
            bar.set_position(progress.segments as u64);
        })
    }

    fn failure(&self, error: JournalError) -> Failure {
        failure(&self.directory, error)
    }
}

/// A directory that is there: one that is not would look like an empty archive.
fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() { Ok(path) } else { Err("there is no such directory".to_owned()) }
}

/// An owner, as most write theirs.
fn owner(text: &str) -> Result<Owner, String> {
    uuid::Uuid::parse_str(text).map(Owner::from).map_err(|_| "expected a UUID".to_owned())
}

/// What a journal that can't be used means for the call.
pub(crate) fn failure(directory: &Path, error: JournalError) -> Failure {
    let said = format!("{}: {error}", directory.display());
    match error {
        JournalError::NoJournal | JournalError::MissingWarehouse { .. } => Failure::Call(said),
        _ => Failure::Run(said),
    }
}

pub(crate) fn run(args: &AuditArgs, output: Output) -> Result<Verdict, Failure> {
    match &args.command {
        AuditCommand::Verify(args) => verify::run(args, output),
        AuditCommand::Log(args) => log::run(args, output),
        AuditCommand::Stock(args) => stock::run(args, output),
        AuditCommand::Redact(args) => redact::run(args, output),
    }
}

//! `stockade`: runs the engine on a simulated rush or on a real order book, and reads its journals.
//!
//! The first two commands use only the library's public interface, keep books of their own, and
//! compare the two at the end. `audit` only reads, except for `audit redact`. `serve` is the engine
//! over HTTP. Exit code 0: every
//! unit is accounted for, or the journal is sound. 1: it is not, or the run failed. 2: the
//! arguments or the file are invalid. 3: the machine did not let the journal be read. 130: a second
//! signal ended the program at once.

mod audit;
mod auditor;
mod books;
mod buyer;
mod complaint;
mod customers;
mod extras;
mod flash_sale;
mod interrupt;
mod journal;
mod orders;
mod proof;
mod replay;
mod report;
#[cfg(unix)]
mod serve;
mod wrap;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::complaint::{answer_without_run, complain};
use crate::report::Output;

/// Runs the Stockade inventory engine and checks that it neither loses nor oversells a unit.
#[derive(Debug, Parser)]
#[command(
    name = "stockade",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(after_help = "A terminal gets colours, unless NO_COLOR is set. \
                  Exit code: 0 if every unit is accounted for, or the journal is sound; 1 if not; 2 for a \
                  bad call or a bad file; 3 if the journal could not be read.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the result as JSON on stdout, and nothing else there
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    FlashSale(flash_sale::SaleArgs),
    Replay(replay::ReplayArgs),
    Audit(audit::AuditArgs),
    #[cfg(unix)]
    Serve(serve::ServeArgs),
    #[cfg(unix)]
    Token(serve::TokenArgs),
    Completions(extras::CompletionArgs),
    Man(extras::ManArgs),
}

/// Whether a finished run kept the laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Kept,
    Broken,
}

/// Why there is no result.
#[derive(Debug)]
enum Failure {
    /// The arguments are invalid.
    Call(String),
    /// The file is invalid: the line number, if one line is wrong, and what was expected.
    File { path: PathBuf, line: Option<u64>, problem: String },
    /// The machine does not let the journal be read or locked now: this says nothing about it.
    Machine(String),
    /// The run failed.
    Run(String),
}

impl Failure {
    /// The failure for an error of the engine that should not occur.
    fn run(doing: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Run(format!("{doing}: {error}"))
    }

    fn file(path: &Path, line: impl Into<Option<u64>>, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), line: line.into(), problem: problem.into() }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Call(_) | Self::File { .. } => ExitCode::from(2),
            Self::Machine(_) => ExitCode::from(3),
            Self::Run(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(problem) | Self::Machine(problem) | Self::Run(problem) => {
                f.write_str(problem)
            }
            Self::File { path, line: Some(line), problem } => {
                write!(f, "{}, line {line}: {problem}", report::path(path))
            }
            Self::File { path, line: None, problem } => {
                write!(f, "{}: {problem}", report::path(path))
            }
        }
    }
}

fn main() -> ExitCode {
    report::settle_colour();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return answer_without_run(&answer, Cli::command()),
    };
    let output = Output::new(cli.json);
    let ran = match &cli.command {
        Command::FlashSale(args) => flash_sale::run(args, output),
        Command::Replay(args) => replay::run(args, output),
        Command::Audit(args) => audit::run(args, output),
        #[cfg(unix)]
        Command::Serve(args) => serve::run(args, output),
        #[cfg(unix)]
        Command::Token(args) => serve::make_token(args, output),
        Command::Completions(args) => extras::completions(args, Cli::command()),
        Command::Man(args) => extras::man(args, Cli::command()),
    };
    match ran {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(failure) => {
            complain(&failure.to_string());
            failure.exit_code()
        }
    }
}

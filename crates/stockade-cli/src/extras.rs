//! `stockade completions` and `stockade man`: what a shell and `man` want to know of the program.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::report::tolerate_closed_pipe;
use crate::{Failure, Verdict};

const PROGRAM: &str = "stockade";

/// Prints the completions of a shell, to be saved where that shell looks for them
///
/// For bash: stockade completions bash > ~/.local/share/bash-completion/completions/stockade
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints the manual page, in the format of man
///
/// To read it: stockade man | man -l -
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write the page of the program, and one of each command, to files in this directory
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionArgs, mut all: Command) -> Result<Verdict, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut all, PROGRAM, &mut script);
    print(&script)
}

pub(crate) fn man(args: &ManArgs, all: Command) -> Result<Verdict, Failure> {
    let failed = |error| Failure::run("the manual can't be written", error);
    if let Some(directory) = &args.to {
        std::fs::create_dir_all(directory).map_err(failed)?;
        clap_mangen::generate_to(all, directory).map_err(failed)?;
        return Ok(Verdict::Kept);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(all).render(&mut page).map_err(failed)?;
    print(&page)
}

fn print(text: &[u8]) -> Result<Verdict, Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    let written = tolerate_closed_pipe(written);
    written.map_err(|error| Failure::run("it can't be written to stdout", error))?;
    Ok(Verdict::Kept)
}

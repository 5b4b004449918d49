//! What the program says on stderr when it has no result: one line, without a character that steers
//! the terminal.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use console::style;

use crate::report::{printable, tolerate_closed_pipe};

/// Prints the requested help or version, or one line that says what is wrong with the arguments.
pub(crate) fn answer_without_run(answer: &clap::Error, program: Command) -> ExitCode {
    match answer.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let shown = shown(answer, console::colors_enabled());
            return match tolerate_closed_pipe(io::stdout().write_all(shown.as_bytes())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        // A bare call is answered with the help, on stderr: it has asked for nothing.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // If stderr is closed, there is nowhere left to report to.
            let shown = shown(answer, console::colors_enabled_stderr());
            let _ = io::stderr().write_all(shown.as_bytes());
        }
        _ => complain(&said(answer, program)),
    }
    ExitCode::from(2)
}

/// The help has colours where results have them. Left to itself, clap gives them to any terminal of
/// a CI run, a dumb one too.
fn shown(answer: &clap::Error, in_colour: bool) -> String {
    let shown = answer.render();
    if in_colour { shown.ansi().to_string() } else { shown.to_string() }
}

/// What is wrong, and what was likely meant.
fn said(answer: &clap::Error, program: Command) -> String {
    // The first paragraph says what is wrong. Usage and hints follow after an empty line.
    let text = answer.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let problem = text.split("\n\n").next().unwrap_or(text);
    // It may have several lines, such as a list of what is missing.
    let problem = problem.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match suggestion(answer).or_else(|| nearest_command(answer, program)) {
        Some(meant) => format!("{problem}; did you mean '{meant}'?"),
        None => problem,
    }
}

fn suggestion(answer: &clap::Error) -> Option<String> {
    let kinds =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    kinds.into_iter().find_map(|kind| match answer.get(kind)? {
        ContextValue::String(meant) => Some(meant.clone()),
        ContextValue::Strings(meant) => meant.last().cloned(),
        _ => None,
    })
}

/// The command that was likely meant. Two letters that changed places are near; for clap they are
/// not.
fn nearest_command(answer: &clap::Error, mut program: Command) -> Option<String> {
    let ContextValue::String(typed) = answer.get(ContextKind::InvalidSubcommand)? else {
        return None;
    };
    // Down to the command whose subcommand it was to be. A word need not be text, and `typed` has
    // the word as it is shown.
    for word in std::env::args_os().skip(1).take_while(|word| word.to_string_lossy() != *typed) {
        if let Some(inner) = program.find_subcommand(&word) {
            program = inner.clone();
        }
    }
    let names = program.get_subcommands().map(Command::get_name);
    let by_distance = names.map(|name| (strsim::osa_distance(typed, name), name));
    let (distance, name) = by_distance.min()?;
    (distance <= 2 && 2 * distance < name.len()).then(|| name.to_owned())
}

/// Prints one line to stderr, whatever characters the text contains.
pub(crate) fn complain(problem: &str) {
    let name = style("stockade:").for_stderr().red().bold();
    // If stderr is closed, there is nowhere left to report to.
    let _ = writeln!(io::stderr(), "{name} {}", printable(problem));
}

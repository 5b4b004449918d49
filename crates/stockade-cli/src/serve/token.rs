//! `stockade token`: makes a token for a caller of `stockade serve`.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use stockade_http::{NewToken, Role};

use crate::report::{Output, Report};
use crate::{Failure, Verdict};

/// Makes a token for a caller of `stockade serve`
///
/// The token is shown once. The line for the file of tokens holds only its hash.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// Who calls with it: idempotency keys belong to this name
    name: String,
    /// What it may do
    #[arg(long, value_enum, value_name = "ROLE")]
    role: RoleName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    #[value(help = "look at stock, holds and the audit log")]
    Read,
    #[value(help = "and hold, sell, ship, and take in stock")]
    Sell,
    #[value(help = "and set limits, approve, verify, erase, look at customers")]
    Operate,
    #[value(help = "read figures, and nothing else")]
    Metrics,
}

/// Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct Shown {
    token: String,
    line: String,
}

impl Report for Shown {}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The token, which is not shown again:")?;
        writeln!(f, "  {}", self.token)?;
        writeln!(f, "Its line for the file of tokens:")?;
        writeln!(f, "  {}", self.line)
    }
}

pub(crate) fn run(args: &TokenArgs, output: Output) -> Result<Verdict, Failure> {
    let role = match args.role {
        RoleName::Read => Role::Read,
        RoleName::Sell => Role::Sell,
        RoleName::Operate => Role::Operate,
        RoleName::Metrics => Role::Metrics,
    };
    let made = NewToken::random(&args.name, role).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => Failure::Call(error.to_string()),
        _ => Failure::run("no token can be made", error),
    })?;
    output.show(&Shown { token: made.secret().to_owned(), line: made.line().to_owned() })?;
    Ok(Verdict::Kept)
}

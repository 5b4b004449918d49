//! The peers in this process: what a careful user would write instead of using the engine.
//!
//! Each has two sizes ([`Job`]). The *whole* one does the engine's job: the same checks before
//! anything moves, ids of the same kind, holds that expire, finished holds that stay readable and
//! answer a repeated call, the same record in the same kind of queue with back-pressure, and a
//! writer thread with the same work. The *lean* one leaves out expiry and finished holds. It shows
//! what these two cost, and what a user gets who needs neither.

pub(crate) mod dashmap;
mod drawn;
mod due;
mod holds;
pub(crate) mod mutex;
pub(crate) mod proof;
mod shared;
mod trail;

use self::shared::{Refused, Status};
use super::ledger::{About, Durability, Ledger, Session};

/// How much of the engine's job a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Everything that a reserve and its end need.
    Whole,
    /// Nothing looks for overdue holds, and an ended hold is forgotten at once.
    Lean,
}

impl Job {
    pub(super) fn about(self, engine: &'static str) -> About {
        let (setup, guarantees) = match self {
            Self::Whole => (
                "",
                "never oversells; every movement audited in a legal order by a writer thread; ids can't \
                 be guessed; finished holds stay readable; holds expire by themselves",
            ),
            Self::Lean => (
                "lean",
                "never oversells; every movement audited in a legal order by a writer thread; ids can't \
                 be guessed; a finished hold is forgotten at once; nothing looks for overdue holds",
            ),
        };
        About { engine, setup: setup.to_owned(), durability: Durability::InMemory, guarantees }
    }
}

/// What only a whole peer has.
trait Whole: Ledger<Session: Session<Hold = u128>> {
    /// Expires holds that are overdue at this time.
    fn sweep(&self, now: u64);

    /// Tries to sell a hold.
    fn try_confirm(&self, id: u128) -> Result<Status, Refused>;
}

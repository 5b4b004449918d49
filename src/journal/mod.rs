//! Floor 4, the journal: a write-ahead log of the audit entries, on a disk.
//!
//! `docs/journal-format.md` draws the bytes. Who does what:
//!
//! ```text
//!  audit writer --> writer --> format/{encode, batch} --> storage (files, or a simulated disk)
//!                     |                                     ^
//!                     +--- group_commit (its own thread) ---+
//!
//!  storage --> reader (what counts, what is torn, what is damage) --> format/decode --> ledger (the laws)
//! ```

pub(crate) mod follow;
pub(crate) mod format;
pub(crate) mod group_commit;
pub(crate) mod layout;
pub(crate) mod ledger;
pub(crate) mod maintenance;
pub(crate) mod offline;
pub(crate) mod options;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod storage;
#[cfg(all(test, not(loom)))]
mod tests;
pub(crate) mod writer;

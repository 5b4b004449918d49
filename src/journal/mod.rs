//! Floor 4, the journal: the write-ahead log of the audit entries, on a disk.
//!
//! `docs/journal-format.md` draws the bytes. The two paths of data:
//!
//! ```text
//!  write:  audit writer --> writer --> format/{encode, batch} --> storage (files, simulated)
//!                             |                                     ^
//!                             +--- group_commit (its own thread) ---+
//!
//!  read:   storage --> reader (torn tail, damage) --> format/decode --> ledger (the laws)
//! ```

pub(crate) mod follow;
pub(crate) mod format;
pub(crate) mod group_commit;
pub(crate) mod layout;
pub(crate) mod ledger;
pub(crate) mod maintenance;
pub(crate) mod offline;
pub(crate) mod options;
pub(crate) mod outcomes;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod storage;
#[cfg(all(test, not(loom)))]
mod tests;
pub(crate) mod windows;
pub(crate) mod writer;

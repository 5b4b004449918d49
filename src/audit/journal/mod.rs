//! The journal: the record of what happened, on a disk.
//!
//! `docs/journal-format.md` draws the bytes. Who does what:
//!
//! ```text
//!  audit writer --> writer --> encode, batch --> storage (files, or a simulated disk)
//!                     |                             ^
//!                     +---- sync (its own thread) --+
//!
//!  storage --> reader (what counts, what is torn, what is damage) --> decode --> ledger (the laws)
//! ```

pub(crate) mod archived;
pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod checkpoint;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod faults;
pub(crate) mod files;
pub(crate) mod follow;
pub(crate) mod given_up;
pub(crate) mod layout;
pub(crate) mod notes;
pub(crate) mod reader;
pub(crate) mod segment;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, unreachable_pub, reason = "public with that feature, and used in full")
)]
pub(crate) mod simulated;
pub(crate) mod storage;
pub(crate) mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
pub(crate) mod trimmed;
pub(crate) mod writer;

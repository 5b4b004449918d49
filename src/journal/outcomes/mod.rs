//! Outcome files: where the answers of idempotency keys and the outcomes of reservations live on
//! when memory has let go of them.
//!
//! They are *derived*: made from finished segments, and made anew from them if they are missing or
//! damaged. So a file that can't be trusted is simply not used. But records are in them whole, so
//! they outlive segments that were archived or removed.
//!
//! ```text
//!  a segment's records -> builder -> run_writer -> a run (index, filter, page)
//!                                        ^          |
//!                                        +- merge <-+
//!  a look-up -> store -> set -> run: filter says no, or one page is read
//! ```
//!
//! A *run* covers segments that follow one another. Its records are sorted by their
//! [`mark`](mark::OutcomeMark). Each part of it has a filter in memory, so what is not there mostly
//! costs no read. Eight runs of a level are merged into one of the next level. So there are few
//! runs to ask, and a record is written again only once a level.
//!
//! `docs/journal-format.md` draws the bytes.

pub(crate) mod builder;
pub(crate) mod collector;
mod filter;
pub(crate) mod foot;
mod index;
pub(crate) mod mark;
mod merge;
mod page;
pub(crate) mod record;
pub(crate) mod run;
mod run_writer;
mod set;
pub(crate) mod store;
#[cfg(all(test, not(loom)))]
mod tests;

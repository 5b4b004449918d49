//! When a commit queues its record: the interface between stock and audit.
//!
//! A commit over several cells knows at which moment its record must be queued, so that every
//! prefix of the journal stays legal (Law 2). It does not know what a record looks like. The audit
//! floor implements [`CommitRecorder`], and the commit calls it.

use crate::stock::cell::{CellId, Change};
use crate::stock::word::Delta;

/// When the record of a commit is queued. The caller chooses it by what the lines do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOrder {
    /// Nothing moves: a snapshot.
    Never,
    /// The owner queues it. If the commit only gives, the owner queues before the first mark, and
    /// the commit must be unable to fail. If it only takes, the owner queues once it is done.
    ByOwner,
    /// The commit gives and takes. Its record is queued after the decision, when it cannot fail any
    /// more, and before the swap that shows it. Any driver of the commit may queue it. What it
    /// queues is the commit's name; the owner has sent the record ahead under that name.
    BeforeVisible,
}

/// The name of one commit in an engine's life. Two threads may queue the same commit. The journal's
/// writer recognises the repeat by the name: for one slot, sequences only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CommitName {
    pub(crate) slot: u32,
    pub(crate) sequence: u64,
}

/// A commit as its recorder sees it. Everything in it was written before the first mark, or is a
/// pure function of what was. So all threads that drive the commit record the same.
pub(crate) trait CommitView {
    /// The commit's name.
    fn name(&self) -> CommitName;
    /// How many cells it covers.
    fn lines(&self) -> usize;
    /// The cell of line `line`, in ascending order, and what the commit does to it.
    fn line(&self, line: usize) -> (CellId, Delta);
    /// What line `line` replaced, and with what. Valid only once the commit cannot fail: not for a
    /// commit that is recorded before its start.
    fn change(&self, line: usize) -> Change;
}

/// Queues the records of commits, and learns when one has become visible.
///
/// This is not an observer: Law 2 rests on [`record`](Self::record) being called before the commit
/// shows.
pub(crate) trait CommitRecorder {
    /// Queues the record of `moved`. Must not wait, fail or panic: room in the queue is obtained
    /// before a commit begins. More than one thread may record the same commit; the writer keeps
    /// the first.
    fn record(&self, moved: &dyn CommitView);

    /// Called once for each commit that moved something, by the one thread whose swap made it
    /// visible: the place to raise low-stock alerts. Must be short, and must start no commit.
    fn on_visible(&self, moved: &dyn CommitView) {
        let _ = moved;
    }
}

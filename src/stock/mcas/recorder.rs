//! What must be queued for the record, and when: the seam between stock and audit.
//!
//! A commit over several cells knows at which moment its record has to be queued so that every
//! prefix of the journal stays legal (Law 2); it does not know what a record looks like. The audit
//! floor implements [`CommitRecorder`]; the commit calls it.

use crate::stock::cell::{CellId, Change};
use crate::stock::word::Delta;

/// When the record of a commit is queued. The caller chooses by what its lines do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOrder {
    /// Nothing moves: a snapshot.
    Never,
    /// Its owner queues it: before the first mark if the commit only gives, which then must not be
    /// able to fail; once it is done if it only takes.
    ByOwner,
    /// It gives and takes: queued between the decision, after which it cannot fail, and the swap
    /// that shows it. Any thread that drives the commit may be the one that queues; what it queues is
    /// the commit's name, under which the owner has sent the record ahead.
    BeforeVisible,
}

/// Which commit of a manager's life this is. Two threads may announce the same commit; the name is
/// how the journal's writer tells a repeat: for one slot, sequences only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CommitName {
    pub(crate) slot: u32,
    pub(crate) sequence: u64,
}

/// A commit as its announcer sees it: everything in it was written down before the first mark or is
/// a pure function of what was, so that all threads that drive it announce the same.
pub(crate) trait CommitView {
    /// Which commit this is.
    fn name(&self) -> CommitName;
    /// How many cells it covers.
    fn lines(&self) -> usize;
    /// The cell of line `line`, in ascending order, and what the commit does to it.
    fn line(&self, line: usize) -> (CellId, Delta);
    /// What line `line` replaced, and with what. Only of a commit that can't fail any more: not of
    /// one that is announced before its start.
    fn change(&self, line: usize) -> Change;
}

/// Queues the records of commits, and learns when one has become visible.
pub(crate) trait CommitRecorder {
    /// Queues the record of `moved`. Must not wait, fail or panic: room in the queue is obtained
    /// before a commit begins. More than one thread may announce the same commit; the writer keeps
    /// the first.
    fn record(&self, moved: &dyn CommitView);

    /// Called once for each commit that moved something, by the one thread whose swap made it
    /// visible: the place to raise low-stock alerts. Must be short, and start no commit of its own.
    fn on_visible(&self, moved: &dyn CommitView) {
        let _ = moved;
    }
}

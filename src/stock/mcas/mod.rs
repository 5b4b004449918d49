//! Multi-word compare-and-swap (MCAS) with helping: many cells change at one instant (Law 4).
//!
//! A transfer moves units between two levels, and room between two warehouses. A basket holds units
//! of twenty products. A snapshot reads all levels of one product. Each must show in all its cells
//! at one instant or in none, while single buyers go on changing the same words by plain
//! compare-and-swap (CAS). A lock would do this too. But a thread that is descheduled while it
//! holds a lock would stop a sale for milliseconds. This page explains how it works without one.
//!
//! The algorithm follows Harris, Fraser and Pratt, "A Practical Multi-Word Compare-and-Swap
//! Operation" (DISC 2002). Helping goes back to Barnes, "A Method for Implementing Lock-Free Shared
//! Data Structures" (SPAA 1993). One point differs. In the paper, a conditional swap (RDCSS) puts a
//! descriptor into a word only while the operation is undecided. Here a plain CAS puts the mark in,
//! and a mark that comes too late has no effect, because each line has a claimed winner.
//!
//! # The idea
//!
//! *Write down what will happen, put a mark that points to it into each cell, then change the one
//! word that all marks point to.* One rule holds for everyone who finds a mark in the way: **nobody
//! undoes another thread's work; whoever meets an unfinished operation helps it to its end.**
//!
//! ```text
//!        cells                      a descriptor of the pool
//!   3 [ mark ------------------>  control: sequence 41, 1 driver, Undecided
//!   5 [ 12 avail., 4 reserved ]    line 0: cell 3, -1 +1, replaced 7/0
//!   9 [ mark ------------------>  line 1: cell 9, -1 +1, replaced 2/2
//!  12 [ 30 avail., 0 reserved ]    line 2: cell 12, -1 +1            <- next
//! ```
//!
//! The descriptor says everything that the owner would do next. So a buyer who needs cell 9 does
//! not wait for the owner. The buyer does the rest (marks cell 12, decides, takes marks off) and
//! then buys. The owner may wake up later, in the middle of any step, and do that step again. That
//! must be harmless. All the rules below serve this.
//!
//! # Words
//!
//! - An *operation* is one MCAS. It lives in a *descriptor*, a slot of the pool. The descriptor's
//!   [control word](control) packs a sequence number, a status, and the number of threads that
//!   *drive* the operation: its owner and its helpers. The *lines* of the descriptor name the
//!   cells, in ascending order and each once, and what happens to each.
//! - The status only moves forward: `Undecided -> Refused`, or `Undecided -> Done`, or, if the
//!   record must be queued in between, `Undecided -> Decided -> Done`. *Refused* and *Done* are
//!   final.
//! - A [mark] stands in a cell in place of the counts. It names the descriptor of *the thread that
//!   put it there*: the operation's own for its owner, a helper's own for a helper. In that
//!   descriptor, under the line's number, the thread has noted the word that the mark replaced.
//! - The *winner* of a line is the mark that counts, if several threads got one in.
//!
//! # What a marked word means
//!
//! > The counts after the operation, if the status is `Done` and the mark is the line's winner. In
//! > every other case, the counts that the mark replaced.
//!
//! So the swap of the control word to `Done` is the linearization point: the operation shows in all
//! its cells at that instant, and before it in none. [Readers](meaning) compute this and write
//! nothing.
//!
//! # What a driver does
//!
//! 1. **Secure** every line, in order. Until the line has a winner: read the cell; *then* read the
//!    status and stop unless it is `Undecided`; then
//!    - *counts that do not suffice*: note line and count, swap `Undecided -> Refused`;
//!    - *counts that suffice*: note them, swap the mark in, **claim** the line for it;
//!    - *a mark of this operation*: claim the line for it;
//!    - *a mark of another operation*: help that one first, then read again.
//! 2. **Decide**: all lines have winners, so no word can change any more. Swap the status forward.
//! 3. **Show**: if the status is `Decided`, queue the record, then swap to `Done`. Law 2: the
//!    record of whoever gave the units is queued before anyone can see them. Several drivers may
//!    queue the record. It bears the operation's name, and the writer drops the repeat.
//! 4. **Clean**: replace one's own marks by the counts that each has come to mean.
//! 5. **Leave**: one driver fewer. The last one retires the descriptors.
//!
//! A thread that meets a mark of a final operation need not join. It swaps the mark for what it
//! means and goes on.
//!
//! # Why it is right
//!
//! **While an operation is undecided, its marks stay in their cells.** Marks come off only once the
//! status is final. So the first mark in is the winner, and every later driver finds it there. The
//! claim only writes down which mark it was. Any driver may claim for any mark it finds. A driver
//! that finds the line claimed is too late only if the claim names *another* mark.
//!
//! **A late mark means nothing.** A thread may sleep between its read of the status and its swap,
//! and put its mark in after the operation is done, because the word has come back to the same
//! counts. (This is the ABA problem. Counts recur all the time: one unit bought, one given back.)
//! The thread then loses the claim. So the mark means the counts that it replaced, to every reader,
//! and the thread takes it off before it leaves.
//!
//! **No mark goes into a cell twice.** The status check between the read of the cell and the swap
//! ensures this. If this thread's mark was in the cell and is gone, somebody took it off, so the
//! status is final; and whoever has read the cell without the mark sees that status. A thread that
//! computed what a mark means may therefore swap it off at any later time, if it is still there. No
//! mark ever recurs: a descriptor's sequence only rises.
//!
//! **No descriptor is reused while a driver needs it.** While a thread is counted in the control
//! word, the operation's descriptor and those of its helpers stay what they are. Nobody joins a
//! final operation, and an operation that is not final has its owner counted in. So the count never
//! rises from zero. The last driver to leave finds all marks taken off, because each thread took
//! its own off before. It retires *the helpers' descriptors first, then the operation's*, by
//! raising each sequence. A reader is not counted. So when it is done, it checks that the
//! descriptor that the mark names is still in the same use. One check is enough: the operation's
//! descriptor retires only after the helper's.
//!
//! **A refusal is true.** It rests on one word that was unmarked and short while the operation was
//! undecided. For a split fulfillment, it rests on the words of all cells while marks held them in
//! place.
//!
//! # Why it ends
//!
//! Lines are secured in ascending order of cells. A helper that helps because of cell 9 drives an
//! operation that has already marked all its cells below 9. So it can only be led to higher cells:
//! helping never runs in a circle, and it nests no deeper than the number of operations under way.
//! Each failed swap of a driver means that another thread put a mark in, finished an operation, or
//! bought something. No thread takes back what another did for an operation, so two threads cannot
//! block each other for ever. `verification/` checks this over all schedules of a small case. A
//! single buyer can make a driver read one cell again, but then that buyer has bought.
//!
//! A thread that meets a mark first polls it for about twice as many spins as the operation has
//! lines. The owner is usually almost done, and two threads that drive one long basket only slow
//! each other down. The polling is bounded: it is a courtesy, not a wait.
//!
//! # What it costs
//!
//! Nearly always nobody joins. For that case the [owner] has a fast path. His marks are the only
//! ones, so they win by definition, and nothing is claimed. He puts each mark in and takes it off:
//! two swaps a line, as many as a lock would need. The one swap that decides requires the control
//! word to be *untouched*. If somebody joined while it was undecided, that swap fails, and the
//! owner goes on as one driver among others, with the marks that are in. A thread that joins only
//! after the decision does not set the *helped* bit, because all marks are in by then.
//!
//! Of the first eight lines, the owner keeps at hand which cell each is and what its word becomes.
//! So nothing is looked up or computed twice. An operation of two lines is some 300 instructions.
//!
//! Steady state allocates nothing: descriptors are reused, and so are the segments that long
//! operations add to them. There is no epoch and no `unsafe`. Everything that two threads may read
//! is an atomic, and the sequence tells whether it still means the same.
//!
//! # The files
//!
//! [`mark`] and [`control`] pack the two words, [`descriptor`] holds the notes, in a table that
//! doubles as it grows, and [`pool`] says which descriptor is free. [`meaning`] is what readers do,
//! [`drive`] what drivers do, [`owner`] the fast path and the interface, [`fill`] split
//! fulfillment, [`line`](mod@line) what callers ask for. [`recorder`] is the interface to the audit
//! floor, and [`view`] what that floor sees of an operation.
//!
//! # What the caller must do
//!
//! - Sort and merge lines, by [`merge_lines`] or [`plan_stops`].
//! - Use [`LogOrder::ByOwner`](recorder::LogOrder) before the start only for an operation that
//!   cannot be refused: it only gives, and gives back what was taken before.
//! - Drop [`Committed`] soon: it keeps a descriptor.
//! - Obtain room in the queue before an operation begins.

mod control;
mod descriptor;
mod drive;
mod fill;
mod line;
mod mark;
mod meaning;
mod owner;
mod pool;
pub(crate) mod recorder;
#[cfg(any(test, all(loom, feature = "loom")))]
pub(crate) mod testbed;
#[cfg(all(test, not(loom)))]
mod tests;
mod view;

#[cfg_attr(
    all(loom, feature = "loom"),
    allow(unused_imports, reason = "the engine calls them")
)]
pub(crate) use descriptor::MAX_LINES;
#[cfg(any(test, all(loom, feature = "loom")))]
pub(crate) use drive::Sleeper;
pub(crate) use fill::{FillStop, plan_stops};
#[cfg(any(test, all(loom, feature = "loom")))]
pub(crate) use line::TooMuch;
pub(crate) use line::{CellDelta, merge_lines};
pub(crate) use meaning::MarkReader;
#[cfg(any(test, all(loom, feature = "loom")))]
pub(crate) use owner::Committed;
pub(crate) use owner::{Operation, Refused};
#[cfg_attr(
    all(loom, feature = "loom"),
    allow(unused_imports, reason = "the engine calls them")
)]
pub(crate) use pool::{DescriptorPool, PoolExhausted};

use crate::stock::cell::{Cell, CellId};
use crate::stock::mcas::recorder::CommitRecorder;

/// Finds cells by their id.
pub(crate) trait Cells {
    /// The cell of this id. Callers ask only for ids that were used in a line or a single-cell
    /// call.
    fn cell(&self, id: CellId) -> &Cell;
}

/// All that a thread needs to help an unfinished operation that it meets: descriptors, cells, and
/// the way to queue its record. The engine implements it.
pub(crate) trait Site: Cells + CommitRecorder {
    /// The descriptors of this engine's operations.
    fn pool(&self) -> &DescriptorPool;
}

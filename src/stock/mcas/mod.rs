//! The multi-cell commit (Law 4): many cells change at one instant, and nobody waits for a sleeper.
//!
//! A transfer moves units between two levels and room between two warehouses; a basket holds units of
//! twenty products; a snapshot looks at all levels of one. Each must be visible in all its cells or in
//! none, at one instant, while single buyers go on changing the same words by plain compare-and-swap.
//! Locks would do it, and a thread that is descheduled while it holds one would stop a sale for
//! milliseconds. This page tells how it is done without.
//!
//! # The idea
//!
//! *Write down what is to happen, put a mark into each cell that points to it, then change one word
//! that all the marks point to.* And one rule for everybody who finds a mark in the way: **nobody
//! undoes anybody; whoever meets an unfinished operation helps it to its end.**
//!
//! ```text
//!        cells                      a slot of the pool
//!   3 [ mark ------------------>  control: sequence 41, 1 driver, Undecided
//!   5 [ 12 available, 4 held ]    line 0: cell 3, -1 +1, replaced 7/0
//!   9 [ mark ------------------>  line 1: cell 9, -1 +1, replaced 2/2
//!  12 [ 30 available, 0 held ]    line 2: cell 12, -1 +1            <- next
//! ```
//!
//! Because everything that the owner would do next can be read from its slot, a buyer who needs cell
//! 9 need not wait for it: he does the rest himself (marks cell 12, decides, takes marks off) and then
//! buys. That the owner wakes up at any later moment, in the middle of any step, and does that step
//! once more must then be harmless; all the rules below are there for this.
//!
//! # Words
//!
//! - An *operation* lives in a *slot*. Its [control word](control) packs the slot's sequence, a status,
//!   and how many threads *drive* it: its owner and its helpers. Its *lines* name the cells, in
//!   ascending order and each once, and what is to happen to each.
//! - The status only moves forward: `Undecided -> Refused`, or `Undecided -> Done`, or, if the record
//!   has to be queued in between, `Undecided -> Decided -> Done`. *Refused* and *Done* are final.
//! - A [mark] stands in a cell in place of the counts. It names the slot of *the thread that put
//!   it there*: the operation's own slot for its owner, a slot of his own for a helper. In that slot,
//!   under the number of the line, that thread has noted the word that the mark replaced.
//! - The *winner* of a line is the mark that counts, if several threads got one in.
//!
//! # What a marked word means
//!
//! > The counts after the operation, if the status is `Done` and the mark is the line's winner. The
//! > counts that the mark replaced, in every other case.
//!
//! So the swap of the control word to `Done` is the instant at which the operation shows in all its
//! cells at once, and until then it shows in none. [Readers](meaning) work this out and write nothing.
//!
//! # What a driver does
//!
//! 1. **Secure** every line, in order. Until the line has a winner: look at the cell; *then* look at
//!    the status and stop unless it is `Undecided`; then
//!    - *counts that do not suffice*: note line and count, swap `Undecided -> Refused`;
//!    - *counts that do*: note them, swap the mark in, **claim** the line for it;
//!    - *a mark of this operation*: claim the line for it;
//!    - *a mark of another operation*: help that one first, then look again.
//! 2. **Decide**: all lines have winners, so that no word can move any more. Swap the status on.
//! 3. **Show**: if it is `Decided`, queue the record, then swap to `Done`. Law 2: whoever can see the
//!    units has been preceded in the queue by whoever gave them. Several drivers may queue the record;
//!    it bears the operation's name, and the writer drops the repeat.
//! 4. **Clean**: take one's own marks off, for what each has come to mean.
//! 5. **Leave**: one driver fewer. The last retires the slots.
//!
//! A thread that meets a mark whose operation is final does not have to join: it swaps the mark for
//! what it means and goes on.
//!
//! # Why it is right
//!
//! **While an operation is undecided, a mark of it that is in a cell stays there.** Marks come off
//! only once the status is final. So the first mark in is the winner, and every further driver finds
//! it there; the claim only writes down for later which one it was. Any driver may claim for it, so
//! that who finds the line claimed has come too late only if it is claimed for *another* mark.
//!
//! **A late mark means nothing.** A thread may sleep between its look at the status and its swap, and
//! put its mark in after the operation is done, the word having come back to the same counts. (Counts
//! recur all the time: one bought, one given back.) It then loses the claim, so that the mark means
//! the counts that it replaced, to every reader; and it takes the mark off before it leaves.
//!
//! **No mark goes into a cell twice.** The status check between the look and the swap sees to it: a
//! mark of this thread that was in the cell and is not there now was taken off, so the status is
//! final, and whoever has seen the cell without it sees that too. Therefore a thread that worked out
//! what a mark means may swap it off at any later time, if it is still there. And no mark ever recurs:
//! a slot's sequence only rises.
//!
//! **Slots are not given back under anybody's feet.** While a thread is counted in the control word,
//! the operation's slot and those of its helpers stay what they are. Nobody joins what is final, and
//! what is not final has its owner counted in, so the count never rises from zero. The last to leave
//! finds all marks taken off, because each thread took its own off before. It retires *first the
//! helpers' slots, then the operation's*, each by raising its sequence. A reader is not counted, so it
//! asks when it is through whether the slot that the mark names is still in the same use. One look is
//! enough: had the operation's slot been given back, the helper's would have been before it.
//!
//! **A refusal is true.** It rests on one word that was plain and short at a moment at which the
//! operation had begun and was undecided; or, of a split fulfilment, on the words of all its cells
//! while marks held them all in place.
//!
//! # Why it ends
//!
//! Lines are secured in ascending order of cells. Whoever helps because of cell 9 drives an operation
//! that has already marked all its cells below 9, so he can only be led on to cells above: helping
//! climbs, never turns in a circle, and is never deeper than the number of operations under way. Each
//! failed swap of a driver means that another thread got a mark in, finished an operation, or bought
//! something. No thread ever takes back what another did for an operation, so two of them can't keep
//! each other from the end; `verification/` checks this over all schedules of a small case. A single
//! buyer can make a driver look at one cell again, but then that buyer has bought.
//!
//! Everyone who meets a mark first polls it for about twice as many spins as the operation has lines,
//! because its owner is usually nearly through, and two threads that drive one long basket only get in
//! each other's way. The polling is bounded: it is a courtesy, not a wait.
//!
//! # What it costs
//!
//! Nearly always nobody joins. For that case the [owner] has a fast path: his marks are the
//! only ones, so they are the winners by definition, and nothing is claimed. He puts each mark in and
//! takes it off, two swaps a line, as many as a lock would need. The one swap that decides demands that
//! the control word be *untouched*; if somebody joined while it was undecided it fails, and the owner
//! goes on as one driver among others with the marks that are in. Who joins only after the decision
//! does not set the *helped* bit, for the marks are all in by then.
//!
//! Steady state allocates nothing: slots are used again, and so are the segments that long operations
//! add to them. There is no epoch and no `unsafe`; everything that two threads could look at is an
//! atomic, and everything that could have changed meaning is checked by the sequence.
//!
//! # The rooms
//!
//! [`mark`] and [`control`] pack the two words, [`descriptor`] holds the notes, [`doubling_table`] lets it grow, and
//! [`pool`] says which slot is free. [`meaning`] is what readers do, [`drive`] what drivers do,
//! [`owner`] the fast path and the interface, [`fill`] split fulfilment, [`line`](mod@line) what callers ask for,
//! and [`view`] what the announcer gets to see.
//!
//! # What the caller keeps to
//!
//! - Lines are sorted and merged, by [`merge_lines`] or [`plan_stops`].
//! - An operation whose owner queues its record before it begins can't be refused: it only gives, and
//!   what it gives back was taken before.
//! - [`Committed`] is dropped soon: it keeps a slot.
//! - Room in the queue is obtained before an operation begins.

mod control;
mod descriptor;
mod doubling_table;
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
    allow(unused_imports, reason = "the manager calls them")
)]
pub(crate) use descriptor::MAX_LINES;
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
    allow(unused_imports, reason = "the manager calls them")
)]
pub(crate) use pool::{DescriptorPool, PoolExhausted};

use crate::stock::cell::{Cell, CellId};
use crate::stock::mcas::recorder::CommitRecorder;

/// Where cells are found by their number.
pub(crate) trait Cells {
    /// The cell of this id. Only ids that were used in a line or a single-cell call are asked for.
    fn cell(&self, id: CellId) -> &Cell;
}

/// All that a thread needs to help an unfinished operation that it meets: its slots, its cells, and
/// what to do about its record. In an engine, the manager.
pub(crate) trait Site: Cells + CommitRecorder {
    /// The slots of this manager's operations.
    fn pool(&self) -> &DescriptorPool;
}

//! Drive, claim, decide, show, clean up: what every thread does that brings an operation to its end.
//!
//! The owner and its helpers run the same code; only the owner has a [fast path](super::owner), for
//! as long as nobody has joined.

use super::Site;
use super::control::{Control, Status};
use super::descriptor::{Short, Slot};
use super::fill;
use super::mark::Mark;
use super::meaning::{Meaning, meaning, shows};
use super::view::Record;
use crate::stock::cell::{Cell, CellId, Settle};
use crate::stock::mcas::recorder::Announced;
use crate::stock::word::{Delta, Word};
use crate::sync::MODELLED;

/// One thread that drives one operation, counted in its control word.
#[derive(Debug)]
pub(super) struct Driver<'s, S: ?Sized> {
    pub(super) site: &'s S,
    pub(super) record: Record<'s>,
    /// This thread's own mark: the operation's name for its owner, else one of a helper's slot.
    pub(super) mark: Mark,
    /// Where this thread notes the words that its marks replace.
    pub(super) notes: &'s Slot,
}

impl<S: Site + ?Sized> Driver<'_, S> {
    /// Brings the operation to its end, from wherever it is. Then takes off the driver's own marks:
    /// nobody leaves an operation with a mark of his own in a cell. The first `marked` lines may bear
    /// one from before, however early another driver's end of the operation stops this one.
    pub(super) fn drive(&self, marked: usize) {
        let lines = self.record.head.lines;
        let looked_at = match (0..lines).find(|&at| !self.secure(at)) {
            Some(stopped) => stopped + 1,
            None => {
                self.decide();
                lines
            }
        };
        self.show();
        let marked = if cfg!(planted = "commit_clean_to_the_stop") { 0 } else { marked };
        self.clean(looked_at.max(marked));
    }

    /// Sees to it that line `at` has a winner. False if the operation is no longer undecided.
    fn secure(&self, at: usize) -> bool {
        let line = self.record.slot.line(at);
        let id = line.cell();
        let cell = self.site.cell(id);
        while line.winner().is_none() {
            let bits = cell.look();
            // Between the look at the cell and the swap, and required: a mark of this thread that
            // was in the cell and is gone was taken off because the operation is final, and this
            // look sees that. Without it the same mark could go in twice, and be the winner twice.
            #[cfg(not(planted = "commit_skip_status_check"))]
            if self.status() != Status::Undecided {
                return false;
            }
            if let Some(word) = Word::from_bits(bits) {
                if word.apply(line.delta()).is_none() {
                    self.refuse(Short { line: Some(at), available: u64::from(word.available()) });
                    return false;
                }
                self.notes.line(at).note_replaced(word);
                if cell.put_mark(word, self.mark.bits()) && !line.claim(self.mark) {
                    // Too late: another mark was here first, and the operation has gone on.
                    cell.take_mark_off(self.mark.bits(), word);
                }
            } else if let Some(mark) = Mark::from_bits(bits).filter(|&mark| self.is_ours(mark)) {
                // Another driver of this operation was faster. Claiming for it keeps this thread from
                // having to wait for that one.
                line.claim(mark);
            } else {
                get_past(self.site, id, cell, bits);
            }
        }
        true
    }

    /// Is `mark` one of this operation? As long as this thread is counted in, all its slots live.
    fn is_ours(&self, mark: Mark) -> bool {
        if !mark.is_helper() {
            return mark == self.record.operation;
        }
        self.record.pool.slot(mark.slot()).is_some_and(|slot| {
            slot.target() == Some(self.record.operation) && slot.is_still(mark.sequence())
        })
    }

    /// Every line is marked: nothing can change under the operation any more.
    fn decide(&self) {
        match self.can_be_done() {
            Ok(next) => {
                if self.record.slot.control.advance(Status::Undecided, next) {
                    self.shown_if(next == Status::Done);
                }
            }
            Err(short) => self.refuse(short),
        }
    }

    /// Where the operation goes from here, all lines being marked.
    pub(super) fn can_be_done(&self) -> Result<Status, Short> {
        if self.record.head.fill != 0 {
            fill::fill(&self.record).map_err(|available| Short { line: None, available })?;
        }
        Ok(match self.record.head.announced {
            Announced::BeforeShown => Status::Decided,
            Announced::Never | Announced::ByOwner => Status::Done,
        })
    }

    /// Queues the record of a decided operation and makes it visible, unless somebody has already.
    pub(super) fn show(&self) {
        show(self.site, &self.record);
    }

    /// Tells that the operation is visible, if it was this thread's swap that made it so.
    pub(super) fn shown_if(&self, by_this_thread: bool) {
        shown_if(self.site, &self.record, by_this_thread);
    }

    fn refuse(&self, short: Short) {
        self.record.slot.note_short(short);
        self.record.slot.control.advance(Status::Undecided, Status::Refused);
    }

    /// Takes this thread's marks off the first `lines` cells, for what each has come to mean.
    pub(super) fn clean(&self, lines: usize) {
        let control = self.control();
        debug_assert!(control.status().is_final());
        for at in 0..lines {
            let line = self.record.slot.line(at);
            let cell = self.site.cell(line.cell());
            if cell.look() != self.mark.bits() {
                continue;
            }
            let before = self.notes.line(at).replaced();
            let word = if shows(control, line.winner(), self.mark) {
                before.apply(line.delta())
            } else {
                Some(before)
            };
            debug_assert!(word.is_some(), "a decided delta fits");
            cell.take_mark_off(self.mark.bits(), word.unwrap_or(before));
        }
    }

    fn control(&self) -> Control {
        self.record.slot.control.load()
    }

    fn status(&self) -> Status {
        self.control().status()
    }
}

/// Queues the record of a decided operation, then makes it visible: in this order (Law 2), because
/// whoever sees the units may spend them and queue that. Until then readers see the old counts.
fn show<S: Site + ?Sized>(site: &S, record: &Record<'_>) {
    if record.slot.control.load().status() != Status::Decided {
        return;
    }
    #[cfg(planted = "commit_announce_twice")]
    let record = &{
        let drivers = record.slot.control.load().drivers();
        Record { operation: Mark::owner(record.operation.slot(), drivers), ..*record }
    };
    #[cfg(not(planted = "commit_announce_late"))]
    site.announce(record);
    let by_this_thread = record.slot.control.advance(Status::Decided, Status::Done);
    #[cfg(planted = "commit_announce_late")]
    site.announce(record);
    shown_if(site, record, by_this_thread);
}

fn shown_if<S: Site + ?Sized>(site: &S, record: &Record<'_>, by_this_thread: bool) {
    if by_this_thread && record.head.announced != Announced::Never {
        site.shown(record);
    }
}

/// Joins the drivers of `operation` and drives it to its end; nothing if it is final by now.
fn help<S: Site + ?Sized>(site: &S, operation: Mark) {
    let pool = site.pool();
    let Some(slot) = pool.slot(operation.slot()) else { return };
    let Some(joined) = slot.control.try_join(operation.sequence()) else { return };
    let record = Record::new(pool, operation, slot);
    // Decided: all marks are in, and a helper needs none of its own.
    if joined.status() == Status::Undecided {
        match pool.take() {
            Ok(notes) => {
                notes.slot.make_room(record.head.lines);
                notes.slot.set_target(operation);
                slot.adopt(notes.number, notes.slot);
                let mark = Mark::helper(notes.number, notes.sequence);
                Driver { site, record, mark, notes: notes.slot }.drive(0);
            }
            // 131,000 slots in use, and none for a helper: the one place where the owner is waited
            // for. A thread can't leave what is undecided, so it stays counted until it is final.
            Err(_) => {
                while slot.control.load().status() == Status::Undecided {
                    crate::sync::yield_now();
                }
                show(site, &record);
            }
        }
    } else {
        show(site, &record);
    }
    pool.leave(operation, slot);
}

/// What an earlier design did with whom it met: refuses it, for its owner to begin anew.
#[cfg(planted = "commit_abort_without_end")]
fn abort(pool: &super::pool::Pool, operation: Mark) {
    let Some(slot) = pool.slot(operation.slot()) else { return };
    if slot.control.try_join(operation.sequence()).is_some() {
        slot.note_short(Short { line: None, available: u64::from(u32::MAX) });
        slot.control.advance(Status::Undecided, Status::Refused);
        pool.leave(operation, slot);
    }
}

impl<S: Site + ?Sized> Settle for S {
    fn settle(&self, id: CellId, cell: &Cell, bits: u64, delta: Delta) -> Result<(), Word> {
        let Some(mark) = Mark::from_bits(bits) else { return Ok(()) };
        let Some(meaning) = meaning(self.pool(), id, mark) else { return Ok(()) };
        let word = meaning.word();
        if word.apply(delta).is_none() {
            return Err(word);
        }
        match meaning {
            // A mark never recurs, so that if it is still there, it still means this.
            Meaning::Final(word) => cell.take_mark_off(bits, word),
            Meaning::Open { operation, lines, .. } => {
                #[cfg(planted = "commit_abort_without_end")]
                abort(self.pool(), operation);
                if !goes_by_itself(cell, bits, lines) {
                    help(self, operation);
                }
            }
        }
        Ok(())
    }
}

/// Gets the mark of another operation out of a driver's way. A driver's own delta must fit a plain
/// word, not the meaning of a mark: while that operation is undecided, its refusal may still free
/// what is short, or its success bring it.
pub(super) fn get_past<S: Site + ?Sized>(site: &S, id: CellId, cell: &Cell, bits: u64) {
    let fits = site.settle(id, cell, bits, Delta::NOTHING);
    debug_assert!(fits.is_ok(), "nothing always fits");
}

/// Gives whoever is at it a moment: most owners are nearly through, and two threads that drive one
/// long basket only get in each other's way. Bounded, so that nobody waits for a sleeper.
fn goes_by_itself(cell: &Cell, bits: u64, lines: usize) -> bool {
    // Models have no use for waiting: all that it could show is shown without it.
    let spins = if MODELLED { 0 } else { 2 * lines };
    (0..spins).any(|_| {
        crate::sync::spin_loop();
        cell.look() != bits
    })
}

/// For models: a helper that sleeps between its look at the status and its swap.
#[cfg(any(test, all(loom, feature = "loom")))]
#[derive(Debug)]
pub(super) struct Sleeper<'s, S: ?Sized> {
    driver: Driver<'s, S>,
    at: usize,
}

#[cfg(any(test, all(loom, feature = "loom")))]
#[allow(clippy::expect_used, reason = "a model that can't begin should say so")]
impl<'s, S: Site + ?Sized> Sleeper<'s, S> {
    pub(super) fn join(site: &'s S, record: Record<'s>, at: usize) -> Self {
        let joined = record.slot.control.try_join(record.operation.sequence());
        assert!(joined.is_some_and(|control| control.status() == Status::Undecided));
        let notes = record.pool.take().expect("there is a slot");
        notes.slot.make_room(record.head.lines);
        notes.slot.set_target(record.operation);
        record.slot.adopt(notes.number, notes.slot);
        let mark = Mark::helper(notes.number, notes.sequence);
        let cell = site.cell(record.slot.line(at).cell());
        let word = Word::from_bits(cell.look()).expect("nobody else is at work yet");
        notes.slot.line(at).note_replaced(word);
        Self { driver: Driver { site, record, mark, notes: notes.slot }, at }
    }

    pub(super) fn mark(&self) -> bool {
        let Driver { site, record, mark, notes } = &self.driver;
        let cell = site.cell(record.slot.line(self.at).cell());
        cell.put_mark(notes.line(self.at).replaced(), mark.bits())
    }

    pub(super) fn finish(self) {
        let record = self.driver.record;
        self.driver.record.slot.line(self.at).claim(self.driver.mark);
        self.driver.drive(0);
        record.pool.leave(record.operation, record.slot);
    }
}

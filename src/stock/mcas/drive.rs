//! Secure, decide, show, clean: the steps with which every driver brings an operation to its end.
//!
//! The owner and its helpers run the same code. Only the owner has a [fast path](super::owner),
//! while nobody has joined.

use super::Site;
use super::control::{Control, Status};
use super::descriptor::{Descriptor, Shortage};
use super::fill;
use super::mark::Mark;
use super::meaning::{Meaning, meaning, shows};
use super::view::OperationView;
use crate::base::sync::MODELLED;
use crate::stock::cell::{Cell, CellId, ResolveMark};
use crate::stock::mcas::recorder::LogOrder;
use crate::stock::word::{Delta, Word};

/// One thread that drives one operation. The operation's control word counts it.
#[derive(Debug)]
pub(super) struct Driver<'s, S: ?Sized> {
    pub(super) site: &'s S,
    pub(super) view: OperationView<'s>,
    /// This thread's own mark: the operation's name for its owner, else one of a helper's
    /// descriptor.
    pub(super) mark: Mark,
    /// The descriptor in which this thread notes the words that its marks replace.
    pub(super) notes: &'s Descriptor,
}

impl<S: Site + ?Sized> Driver<'_, S> {
    /// Brings the operation to its end, from wherever it is. Then takes off the driver's own marks:
    /// no thread leaves an operation while its own mark is in a cell. The first `marked` lines may
    /// already bear one. They are cleaned even if another driver ends the operation before this
    /// thread reaches them.
    pub(super) fn drive(&self, marked: usize) {
        let lines = self.view.head.lines;
        let looked_at = match (0..lines).find(|&at| !self.secure(at)) {
            Some(stopped) => stopped + 1,
            None => {
                self.decide();
                lines
            }
        };
        self.show();
        self.clean(looked_at.max(marked));
    }

    /// Makes line `at` have a winner. False if the operation is no longer undecided.
    fn secure(&self, at: usize) -> bool {
        let line = self.view.descriptor.line(at);
        let (id, floor) = line.cell_and_floor();
        let cell = self.site.cell(id);
        while line.winner().is_none() {
            let bits = cell.look();
            // This check must stand between the read of the cell and the swap. If this thread's
            // mark was in the cell and is gone, somebody took it off because the operation is
            // final, and this read sees that. Without the check the same mark could go in twice,
            // and win twice.
            if self.status() != Status::Undecided {
                return false;
            }
            if let Some(word) = Word::from_bits(bits) {
                if word.apply(line.delta().above(floor)).is_none() {
                    self.refuse(Shortage {
                        line: Some(at),
                        available: u64::from(word.available()),
                    });
                    return false;
                }
                self.notes.line(at).note_replaced(word);
                if cell.put_mark(word, self.mark.bits()) && !line.claim(self.mark) {
                    // Too late: another mark won, and the operation has gone on.
                    cell.unmark(self.mark.bits(), word);
                }
            } else if let Some(mark) = Mark::from_bits(bits).filter(|&mark| self.is_ours(mark)) {
                // Another driver of this operation was faster. This thread claims for it, and so
                // need not wait for it.
                line.claim(mark);
            } else {
                resolve(self.site, id, cell, bits);
            }
        }
        true
    }

    /// Whether `mark` belongs to this operation. All its descriptors are alive while this thread is
    /// counted in.
    fn is_ours(&self, mark: Mark) -> bool {
        if !mark.is_helper() {
            return mark == self.view.operation;
        }
        self.view.pool.descriptor(mark.slot()).is_some_and(|descriptor| {
            descriptor.target() == Some(self.view.operation) && descriptor.is_still(mark.sequence())
        })
    }

    /// Decides the operation. Every line is marked, so no word can change under it.
    fn decide(&self) {
        match self.can_be_done() {
            Ok(next) => {
                if self.view.descriptor.control.advance(Status::Undecided, next) {
                    self.tell_if_visible(next == Status::Done);
                }
            }
            Err(short) => self.refuse(short),
        }
    }

    /// The next status, once all lines are marked.
    pub(super) fn can_be_done(&self) -> Result<Status, Shortage> {
        if self.view.head.fill != 0 {
            fill::fill(&self.view).map_err(|available| Shortage { line: None, available })?;
        }
        Ok(self.view.head.once_marked())
    }

    /// Queues the record of a decided operation and makes it visible, unless another thread has
    /// done so.
    pub(super) fn show(&self) {
        show(self.site, &self.view);
    }

    /// Reports that the operation is visible, if this thread's swap made it so.
    #[inline(always)]
    pub(super) fn tell_if_visible(&self, by_this_thread: bool) {
        tell_if_visible(self.site, &self.view, by_this_thread);
    }

    fn refuse(&self, short: Shortage) {
        self.view.descriptor.note_short(short);
        self.view.descriptor.control.advance(Status::Undecided, Status::Refused);
    }

    /// Replaces this thread's marks in the first `lines` cells by what each has come to mean.
    pub(super) fn clean(&self, lines: usize) {
        let control = self.control();
        debug_assert!(control.status().is_final());
        for at in 0..lines {
            let line = self.view.descriptor.line(at);
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
            cell.unmark(self.mark.bits(), word.unwrap_or(before));
        }
    }

    fn control(&self) -> Control {
        self.view.descriptor.control.load()
    }

    fn status(&self) -> Status {
        self.control().status()
    }
}

/// Queues the record of a decided operation, then makes it visible. Law 2 requires this order:
/// whoever sees the units may spend them and queue that. Until the swap, readers see the old
/// counts.
fn show<S: Site + ?Sized>(site: &S, view: &OperationView<'_>) {
    if view.descriptor.control.load().status() != Status::Decided {
        return;
    }
    site.record(view);
    let by_this_thread = view.descriptor.control.advance(Status::Decided, Status::Done);
    tell_if_visible(site, view, by_this_thread);
}

#[inline(always)]
fn tell_if_visible<S: Site + ?Sized>(site: &S, view: &OperationView<'_>, by_this_thread: bool) {
    if by_this_thread && view.head.log_order != LogOrder::Never {
        site.on_visible(view);
    }
}

/// Joins the drivers of `operation` and drives it to its end. Does nothing if it is final by now.
fn help<S: Site + ?Sized>(site: &S, operation: Mark) {
    let pool = site.pool();
    let Some(descriptor) = pool.descriptor(operation.slot()) else { return };
    let Some(joined) = descriptor.control.try_join(operation.sequence()) else { return };
    let view = OperationView::new(pool, operation, descriptor);
    // In `Decided` all marks are in, so a helper needs no descriptor of its own.
    if joined.status() == Status::Undecided {
        match pool.take() {
            Ok(notes) => {
                notes.descriptor.make_room(view.head.lines);
                notes.descriptor.set_target(operation);
                descriptor.adopt(notes.number, notes.descriptor);
                let mark = Mark::helper(notes.number, notes.sequence);
                Driver { site, view, mark, notes: notes.descriptor }.drive(0);
            }
            // All 131,000 descriptors are in use, and none is left for a helper. This is the one
            // place where a thread waits for the owner. It stays counted in until the operation is
            // final, because a driver cannot leave an undecided operation.
            Err(_) => {
                while descriptor.control.load().status() == Status::Undecided {
                    crate::base::sync::yield_now();
                }
                show(site, &view);
            }
        }
    } else {
        show(site, &view);
    }
    pool.leave(operation, descriptor);
}

impl<S: Site + ?Sized> ResolveMark for S {
    fn resolve_mark(&self, id: CellId, cell: &Cell, bits: u64, delta: Delta) -> Result<(), Word> {
        let Some(mark) = Mark::from_bits(bits) else { return Ok(()) };
        let Some(meaning) = meaning(self.pool(), id, mark) else { return Ok(()) };
        let word = meaning.word();
        if word.apply(delta).is_none() {
            return Err(word);
        }
        match meaning {
            // A mark never recurs. If it is still there, it still means this.
            Meaning::Final(word) => cell.unmark(bits, word),
            Meaning::Open { operation, lines, .. } => {
                if !spin_briefly(cell, bits, lines) {
                    help(self, operation);
                }
            }
        }
        Ok(())
    }
}

/// Gets the mark of another operation out of a driver's way. The delta passed is "nothing", because
/// a driver's own delta must fit a plain word and not the meaning of a mark. While the other
/// operation is undecided, its refusal may still free what is short, or its success bring it.
#[cold]
#[inline(never)]
pub(super) fn resolve<S: Site + ?Sized>(site: &S, id: CellId, cell: &Cell, bits: u64) {
    let fits = site.resolve_mark(id, cell, bits, Delta::NOTHING);
    debug_assert!(fits.is_ok(), "nothing always fits");
}

/// Polls for a moment, and tells whether the mark has gone. Most owners are almost done, and two
/// threads that drive one long basket only slow each other down. The polling is bounded, so nobody
/// waits for a thread that sleeps.
fn spin_briefly(cell: &Cell, bits: u64, lines: usize) -> bool {
    // Models do not spin: they find every interleaving without it.
    let spins = if MODELLED { 0 } else { 2 * lines };
    (0..spins).any(|_| {
        crate::base::sync::spin_loop();
        cell.look() != bits
    })
}

/// For models: a helper that sleeps between its read of the status and its swap.
#[cfg(any(test, all(loom, feature = "loom")))]
#[derive(Debug)]
pub(crate) struct Sleeper<'s, S: ?Sized> {
    driver: Driver<'s, S>,
    at: usize,
}

#[cfg(any(test, all(loom, feature = "loom")))]
#[allow(clippy::expect_used, reason = "a model that can't begin should say so")]
impl<'s, S: Site + ?Sized> Sleeper<'s, S> {
    pub(super) fn join(site: &'s S, view: OperationView<'s>, at: usize) -> Self {
        let joined = view.descriptor.control.try_join(view.operation.sequence());
        assert!(joined.is_some_and(|control| control.status() == Status::Undecided));
        let notes = view.pool.take().expect("there is a descriptor");
        notes.descriptor.make_room(view.head.lines);
        notes.descriptor.set_target(view.operation);
        view.descriptor.adopt(notes.number, notes.descriptor);
        let mark = Mark::helper(notes.number, notes.sequence);
        let cell = site.cell(view.descriptor.line(at).cell());
        let word = Word::from_bits(cell.look()).expect("nobody else is at work yet");
        notes.descriptor.line(at).note_replaced(word);
        Self { driver: Driver { site, view, mark, notes: notes.descriptor }, at }
    }

    /// It puts its mark in now, if the word is still, or again, what it read.
    pub(crate) fn mark(&self) -> bool {
        let Driver { site, view, mark, notes } = &self.driver;
        let cell = site.cell(view.descriptor.line(self.at).cell());
        cell.put_mark(notes.line(self.at).replaced(), mark.bits())
    }

    /// It goes on from there, to its end.
    pub(crate) fn finish(self) {
        let view = self.driver.view;
        self.driver.view.descriptor.line(self.at).claim(self.driver.mark);
        // Its mark may be in, whether the lines before this one have winners or not.
        self.driver.drive(self.at + 1);
        view.pool.leave(view.operation, view.descriptor);
    }
}

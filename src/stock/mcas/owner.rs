//! An operation in the hands of its owner: begin it, run it, read its result.

use std::borrow::Borrow;

use super::Site;
use super::control::{Control, Status};
use super::descriptor::{Head, MAX_LINES, Shortage};
use super::drive::{Driver, resolve};
use super::fill::FillStop;
use super::line::CellDelta;
use super::mark::Mark;
use super::pool::{PoolExhausted, TakenDescriptor};
use super::view::OperationView;
use crate::base::quantity::Quantity;
use crate::stock::cell::{CellId, Change};
use crate::stock::mcas::recorder::{CommitName, CommitView, LogOrder};
use crate::stock::word::{Delta, Word};

/// An operation that has its descriptor and its lines, and has touched no cell yet. If it is
/// dropped before it is [run](Self::run), nothing has happened.
#[derive(Debug)]
#[must_use = "nothing moves before it is run"]
pub(crate) struct Operation<'s, S: Site + ?Sized> {
    driver: Driver<'s, S>,
}

/// An operation that is visible in all its cells. Drop it soon: it gives its descriptor back only
/// then.
#[derive(Debug)]
pub(crate) struct Committed<'s, S: Site + ?Sized> {
    operation: Operation<'s, S>,
}

/// Why an operation was refused. It was true at one instant of the call to [`Operation::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A line did not fit its cell, which had only so many units available.
    Line { line: usize, cell: CellId, available: u32 },
    /// All levels of a split fulfillment together had only so many units.
    Sum { available: u64 },
}

impl<'s, S: Site + ?Sized> Operation<'s, S> {
    /// Prepares an operation over `lines`, as [`merge_lines`](super::merge_lines) made them: sorted
    /// by cell, each cell once. Fails only if no descriptor is left.
    ///
    /// Inlined, as all that an operation does while nobody joins: a basket of two lines is a
    /// hundred instructions of work, and passing the operation by memory costs as many.
    #[inline(always)]
    pub(crate) fn begin<L: Borrow<CellDelta>>(
        site: &'s S,
        lines: impl IntoIterator<Item = L, IntoIter: ExactSizeIterator>,
        log_order: LogOrder,
    ) -> Result<Self, PoolExhausted> {
        let lines = lines.into_iter();
        let operation = Self::take(site, lines.len(), 0, log_order)?;
        let notes = operation.driver.notes;
        for (at, line) in lines.enumerate() {
            let &CellDelta { cell, delta } = line.borrow();
            debug_assert!(at == 0 || notes.line(at - 1).cell() < cell, "sorted, each cell once");
            notes.line(at).write(cell, delta);
        }
        Ok(operation)
    }

    /// Prepares a hold of `quantity` out of several levels, greedily in the order of their turns.
    /// `stops` must come from [`plan_stops`](super::plan_stops). Fails only if no descriptor is
    /// left.
    pub(crate) fn begin_fill(
        site: &'s S,
        stops: &[FillStop],
        quantity: Quantity,
        log_order: LogOrder,
    ) -> Result<Self, PoolExhausted> {
        debug_assert!(stops.is_sorted_by(|one, next| one.cell < next.cell));
        let operation = Self::take(site, stops.len(), quantity.get(), log_order)?;
        for (at, stop) in (0..).zip(stops) {
            operation.driver.notes.line(at as usize).write(stop.cell, Delta::NOTHING);
            operation.driver.notes.line(stop.turn as usize).set_order(at);
        }
        Ok(operation)
    }

    #[inline(always)]
    fn take(
        site: &'s S,
        lines: usize,
        fill: u32,
        log_order: LogOrder,
    ) -> Result<Self, PoolExhausted> {
        assert!(lines <= MAX_LINES, "an operation has at most {MAX_LINES} lines, not {lines}");
        let pool = site.pool();
        let TakenDescriptor { number, sequence, descriptor } = pool.take()?;
        descriptor.make_room(lines);
        descriptor.write_head(Head { lines, log_order, fill });
        let operation = Mark::owner(number, sequence);
        let view = OperationView::new(pool, operation, descriptor);
        Ok(Self { driver: Driver { site, view, mark: operation, notes: descriptor } })
    }

    /// The operation's name. The owner may send more to the writer under it, ahead of the record.
    pub(crate) fn name(&self) -> CommitName {
        self.driver.mark.name()
    }

    /// Runs it: visible in all its cells at one instant of this call, or in none.
    #[inline(always)]
    pub(crate) fn run(self) -> Result<Committed<'s, S>, Refused> {
        if !self.fast_path() {
            self.drive_joined();
        }
        self.conclude()
    }

    /// Somebody has joined: the owner goes on as one driver among others.
    #[cold]
    #[inline(never)]
    fn drive_joined(&self) {
        self.driver.drive(self.driver.view.head.lines);
    }

    #[inline(always)]
    fn conclude(self) -> Result<Committed<'s, S>, Refused> {
        if self.driver.view.descriptor.control.load().status() == Status::Refused {
            return Err(self.why());
        }
        Ok(Committed { operation: self })
    }

    /// The fast path of an operation that nobody has joined. The owner's marks are the only ones
    /// and win by definition, so nothing is claimed: two swaps a line, as many as a lock needs.
    /// True if it brought the operation to its end. False if somebody joined; then the marks that
    /// are in stay in.
    #[inline(always)]
    fn fast_path(&self) -> bool {
        let Driver { site, view, mark, notes } = self.driver;
        let untouched = Control::untouched(mark.sequence());
        for at in 0..view.head.lines {
            let line = notes.line(at);
            let (id, delta) = (line.cell(), line.delta());
            let cell = site.cell(id);
            loop {
                let bits = cell.look();
                if notes.control.load() != untouched {
                    return false;
                }
                let Some(word) = Word::from_bits(bits) else {
                    resolve(site, id, cell, bits);
                    continue;
                };
                if word.apply(delta).is_none() {
                    let available = u64::from(word.available());
                    return self.refuse_untouched(Shortage { line: Some(at), available }, at);
                }
                line.note_replaced(word);
                if cell.put_mark(word, mark.bits()) {
                    break;
                }
            }
        }
        match self.driver.can_be_done() {
            Err(short) => self.refuse_untouched(short, view.head.lines),
            Ok(next) => {
                if !notes.control.decide_untouched(mark.sequence(), next) {
                    return false;
                }
                self.driver.tell_if_visible(next == Status::Done);
                if next != Status::Done {
                    self.driver.show();
                }
                self.unmark_all();
                true
            }
        }
    }

    /// Takes the marks off an operation that is done and that nobody joined before it was decided.
    /// What [`clean`](Driver::clean) has to find out of each mark is known here: there are no marks
    /// but the owner's, and each shows.
    #[inline(always)]
    fn unmark_all(&self) {
        let Driver { site, view, mark, notes } = self.driver;
        for at in 0..view.head.lines {
            let line = notes.line(at);
            let before = line.replaced();
            let after = before.apply(line.delta());
            debug_assert!(after.is_some(), "a decided delta fits");
            site.cell(line.cell()).unmark(mark.bits(), after.unwrap_or(before));
        }
    }

    /// For models: goes on after [`mark_first`](Self::mark_first).
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(super) fn wake(self) -> Result<Committed<'s, S>, Refused> {
        self.driver.drive(self.driver.view.head.lines);
        self.conclude()
    }

    /// For models: a helper that falls asleep before it marks line `line`.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(super) fn helper_asleep_before(&self, line: usize) -> super::drive::Sleeper<'s, S> {
        super::drive::Sleeper::join(self.driver.site, self.driver.view, line)
    }

    /// Where it runs.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(super) fn site(&self) -> &'s S {
        self.driver.site
    }

    /// For models of an owner that falls asleep: marks the first `lines` cells, as the fast path
    /// does.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(super) fn mark_first(&self, lines: usize) {
        let Driver { site, mark, notes, .. } = self.driver;
        for at in 0..lines {
            let line = notes.line(at);
            let cell = site.cell(line.cell());
            let word = Word::from_bits(cell.look()).expect("nobody else is at work yet");
            line.note_replaced(word);
            assert!(cell.put_mark(word, mark.bits()), "nobody else is at work yet");
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse_untouched(&self, short: Shortage, marked: usize) -> bool {
        let notes = self.driver.notes;
        notes.note_short(short);
        let refused = notes.control.decide_untouched(self.driver.mark.sequence(), Status::Refused);
        if refused {
            self.driver.clean(marked);
        }
        refused
    }

    #[cold]
    #[inline(never)]
    fn why(&self) -> Refused {
        let Shortage { line, available } = self.driver.notes.short();
        match line {
            None => Refused::Sum { available },
            Some(line) => Refused::Line {
                line,
                cell: self.driver.notes.line(line).cell(),
                // The count of one word, so it fits.
                available: available as u32,
            },
        }
    }
}

impl<S: Site + ?Sized> Drop for Operation<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        let Driver { view, .. } = self.driver;
        // An operation that was never run has no marks, so no other thread knows of it.
        view.descriptor.control.advance(Status::Undecided, Status::Refused);
        view.pool.leave(view.operation, view.descriptor);
    }
}

impl<S: Site + ?Sized> Committed<'_, S> {
    /// How many cells it covered.
    pub(crate) fn lines(&self) -> usize {
        self.operation.driver.view.head.lines
    }

    /// The cell of line `line`, in ascending order.
    pub(crate) fn cell(&self, line: usize) -> CellId {
        self.operation.driver.view.line(line).0
    }

    /// The words of line `line` before and after, at the instant at which the operation became
    /// visible.
    pub(crate) fn change(&self, line: usize) -> Change {
        self.operation.driver.view.change(line)
    }
}

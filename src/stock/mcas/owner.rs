//! An operation in the hands of its owner: begin it, run it, read its result.

use std::borrow::Borrow;

use super::Site;
use super::control::{Control, Status};
use super::descriptor::{Descriptor, DescriptorLine, Head, INLINE, MAX_FIXED, MAX_LINES, Shortage};
use super::drive::{Driver, resolve};
use super::fill::FillStop;
use super::line::CellDelta;
use super::mark::Mark;
use super::pool::{PoolExhausted, TakenDescriptor};
use super::view::OperationView;
use crate::base::quantity::Quantity;
use crate::stock::cell::{Cell, CellId, Change};
use crate::stock::mcas::recorder::{CommitName, CommitView, LogOrder};
use crate::stock::word::{Delta, Word};

/// An operation that has its descriptor and its lines, and has touched no cell yet. If it is
/// dropped before it is [run](Self::run), nothing has happened.
#[derive(Debug)]
#[must_use = "nothing moves before it is run"]
pub(crate) struct Operation<'s, S: Site + ?Sized> {
    site: &'s S,
    descriptor: &'s Descriptor,
    /// The operation's name, and its owner's mark.
    mark: Mark,
    head: Head,
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
    /// All levels of a split fulfillment together had only so many units above their floors.
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
        let head = Head { lines: lines.len(), fixed: 0, log_order, fill: 0 };
        let operation = Self::take(site, head)?;
        let notes = operation.descriptor;
        for (at, line) in lines.enumerate() {
            let &CellDelta { cell, delta } = line.borrow();
            debug_assert!(at == 0 || notes.line(at - 1).cell() < cell, "sorted, each cell once");
            notes.line(at).write(cell, delta);
        }
        Ok(operation)
    }

    /// Prepares a hold of `quantity` out of several levels, greedily in the order of their turns.
    /// `stops` must come from [`plan_stops`](super::plan_stops). The `fixed` lines are done
    /// besides, or nothing is: sorted, and all before the levels. Fails only if no descriptor is
    /// left.
    pub(crate) fn begin_fill(
        site: &'s S,
        fixed: &[CellDelta],
        stops: &[FillStop],
        quantity: Quantity,
        log_order: LogOrder,
    ) -> Result<Self, PoolExhausted> {
        debug_assert!(stops.is_sorted_by(|one, next| one.cell < next.cell));
        debug_assert!(fixed.iter().all(|line| stops.iter().all(|stop| line.cell < stop.cell)));
        assert!(fixed.len() <= MAX_FIXED, "a split fulfillment has few lines besides its levels");
        let head = Head {
            lines: fixed.len() + stops.len(),
            fixed: fixed.len(),
            log_order,
            fill: quantity.get(),
        };
        let operation = Self::take(site, head)?;
        let notes = operation.descriptor;
        for (at, line) in fixed.iter().enumerate() {
            notes.line(at).write(line.cell, line.delta);
        }
        for (at, stop) in (fixed.len()..).zip(stops) {
            notes.line(at).write(stop.cell, Delta::NOTHING);
            // No operation has 2^32 lines.
            notes.line(fixed.len() + stop.turn as usize).set_turn(at as u32, stop.floor);
        }
        Ok(operation)
    }

    #[inline(always)]
    fn take(site: &'s S, head: Head) -> Result<Self, PoolExhausted> {
        let lines = head.lines;
        assert!(lines <= MAX_LINES, "an operation has at most {MAX_LINES} lines, not {lines}");
        let TakenDescriptor { number, sequence, descriptor } = site.pool().take()?;
        descriptor.make_room(lines);
        descriptor.write_head(head);
        Ok(Self { site, descriptor, mark: Mark::owner(number, sequence), head })
    }

    #[inline]
    fn view(&self) -> OperationView<'s> {
        let Self { site, descriptor, mark, head } = *self;
        OperationView { pool: site.pool(), operation: mark, descriptor, head }
    }

    /// The owner as one driver among others.
    #[inline]
    fn driver(&self) -> Driver<'s, S> {
        Driver { site: self.site, view: self.view(), mark: self.mark, notes: self.descriptor }
    }

    /// The operation's name. The owner may send more to the writer under it, ahead of the record.
    pub(crate) fn name(&self) -> CommitName {
        self.mark.name()
    }

    /// Runs it: visible in all its cells at one instant of this call, or in none.
    pub(crate) fn run(self) -> Result<Committed<'s, S>, Refused> {
        self.run_in_place()?;
        Ok(Committed { operation: self })
    }

    /// The same, for a caller who does not ask what it changed, and gives the descriptor back at
    /// once.
    #[inline(always)]
    pub(crate) fn run_and_forget(self) -> Result<(), Refused> {
        self.run_in_place()
    }

    #[inline(always)]
    fn run_in_place(&self) -> Result<(), Refused> {
        if !self.fast_path() {
            self.drive_joined();
        }
        self.conclude()
    }

    /// Somebody has joined: the owner goes on as one driver among others.
    #[cold]
    #[inline(never)]
    fn drive_joined(&self) {
        self.driver().drive(self.head.lines);
    }

    #[inline(always)]
    fn conclude(&self) -> Result<(), Refused> {
        match self.descriptor.control.load().status() {
            Status::Refused => Err(self.why()),
            _ => Ok(()),
        }
    }

    /// The fast path of an operation that nobody has joined. The owner's marks are the only ones
    /// and win by definition, so nothing is claimed: two swaps a line, as many as a lock needs.
    /// True if it brought the operation to its end. False if somebody joined; then the marks that
    /// are in stay in.
    #[inline(always)]
    fn fast_path(&self) -> bool {
        let Self { descriptor, head, .. } = *self;
        let Head { lines, fill, .. } = head;
        let first = descriptor.first_lines(lines);
        // What the owner has just read and written need not be looked up again.
        let mut at_hand = [None; INLINE];
        for (at, (line, hand)) in first.iter().zip(&mut at_hand).enumerate() {
            match self.mark(at, line) {
                Ok(marked) => *hand = Some(marked),
                Err(ended) => return ended,
            }
        }
        if lines > first.len()
            && let Err(ended) = self.mark_from(first.len())
        {
            return ended;
        }
        let next = if fill == 0 { Ok(head.once_marked()) } else { self.driver().can_be_done() };
        match next {
            Err(short) => self.refuse_untouched(short, lines),
            Ok(next) => {
                if !descriptor.control.decide_untouched(self.mark.sequence(), next) {
                    return false;
                }
                if fill != 0 {
                    // What each line takes was not known when it was marked.
                    at_hand = [None; INLINE];
                }
                self.tell_if_visible(next == Status::Done, &at_hand);
                if next != Status::Done {
                    self.driver().show();
                }
                self.unmark(&at_hand);
                true
            }
        }
    }

    /// Puts the owner's mark into the cell of `line`. `Err` if that is not to be: true if the
    /// operation is refused, false if somebody has joined.
    #[inline(always)]
    fn mark(&self, at: usize, line: &DescriptorLine) -> Result<Marked<'s>, bool> {
        let Self { site, mark, descriptor, .. } = *self;
        let untouched = Control::untouched(mark.sequence());
        let (id, floor) = line.cell_and_floor();
        let delta = line.delta().above(floor);
        let cell = site.cell(id);
        loop {
            let bits = cell.look();
            if descriptor.control.load() != untouched {
                return Err(false);
            }
            let Some(before) = Word::from_bits(bits) else {
                resolve(site, id, cell, bits);
                continue;
            };
            let Some(after) = before.apply(delta) else {
                let available = u64::from(before.available());
                return Err(self.refuse_untouched(Shortage { line: Some(at), available }, at));
            };
            line.note_replaced(before);
            if cell.put_mark(before, mark.bits()) {
                return Ok(Marked { cell, change: Change { before, after } });
            }
        }
    }

    /// Marks the lines from `at` on: those of a long operation.
    #[cold]
    #[inline(never)]
    fn mark_from(&self, at: usize) -> Result<(), bool> {
        let lines = (at..self.head.lines).map(|at| (at, self.descriptor.line(at)));
        lines.map(|(at, line)| self.mark(at, line)).try_for_each(|marked| marked.map(|_| ()))
    }

    /// Reports that the operation is visible, if this thread's swap made it so.
    #[inline(always)]
    fn tell_if_visible(&self, by_this_thread: bool, at_hand: &[Option<Marked<'s>>; INLINE]) {
        if by_this_thread && self.head.log_order != LogOrder::Never {
            self.site.on_visible(&OwnersView { operation: self, at_hand });
        }
    }

    /// Takes the marks off an operation that is done and that nobody joined before it was decided.
    /// What [`clean`](Driver::clean) has to find out of each mark is known here: there are no marks
    /// but the owner's, and each shows.
    #[inline(always)]
    fn unmark(&self, at_hand: &[Option<Marked<'s>>; INLINE]) {
        let mut unmarked = 0;
        for marked in at_hand.iter().map_while(|marked| *marked) {
            marked.cell.unmark(self.mark.bits(), marked.change.after);
            unmarked += 1;
        }
        if unmarked < self.head.lines {
            self.driver().clean(self.head.lines);
        }
    }

    /// For models: goes on after [`mark_first`](Self::mark_first).
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(crate) fn wake(self) -> Result<Committed<'s, S>, Refused> {
        self.driver().drive(self.head.lines);
        self.conclude()?;
        Ok(Committed { operation: self })
    }

    /// For models: a helper that falls asleep before it marks line `line`.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(crate) fn helper_asleep_before(&self, line: usize) -> super::drive::Sleeper<'s, S> {
        super::drive::Sleeper::join(self.site, self.view(), line)
    }

    /// Where it runs.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(crate) fn site(&self) -> &'s S {
        self.site
    }

    /// For models of an owner that falls asleep: marks the first `lines` cells, as the fast path
    /// does.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(crate) fn mark_first(&self, lines: usize) {
        let Self { site, mark, descriptor: notes, .. } = *self;
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
        let notes = self.descriptor;
        notes.note_short(short);
        let refused = notes.control.decide_untouched(self.mark.sequence(), Status::Refused);
        if refused {
            self.driver().clean(marked);
        }
        refused
    }

    #[cold]
    #[inline(never)]
    fn why(&self) -> Refused {
        let Shortage { line, available } = self.descriptor.short();
        match line {
            None => Refused::Sum { available },
            Some(line) => Refused::Line {
                line,
                cell: self.descriptor.line(line).cell(),
                // The count of one word, so it fits.
                available: available as u32,
            },
        }
    }
}

/// A cell that the owner has marked, and what the operation makes of its word.
#[derive(Clone, Copy, Debug)]
struct Marked<'s> {
    cell: &'s Cell,
    change: Change,
}

/// An operation that nobody has joined, as its recorder sees it.
struct OwnersView<'v, 's, S: Site + ?Sized> {
    operation: &'v Operation<'s, S>,
    at_hand: &'v [Option<Marked<'s>>; INLINE],
}

impl<S: Site + ?Sized> CommitView for OwnersView<'_, '_, S> {
    #[inline]
    fn name(&self) -> CommitName {
        self.operation.name()
    }

    #[inline]
    fn lines(&self) -> usize {
        self.operation.head.lines
    }

    #[inline]
    fn line(&self, line: usize) -> (CellId, Delta) {
        let line = self.operation.descriptor.line(line);
        (line.cell(), line.delta())
    }

    #[inline(always)]
    fn change(&self, line: usize) -> Change {
        match self.at_hand.get(line) {
            Some(Some(marked)) => marked.change,
            _ => self.operation.view().change(line),
        }
    }
}

impl<S: Site + ?Sized> Drop for Operation<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        let Self { site, descriptor, mark, .. } = *self;
        // An operation that was never run has no marks, so no other thread knows of it.
        descriptor.control.advance(Status::Undecided, Status::Refused);
        site.pool().leave(mark, descriptor);
    }
}

impl<S: Site + ?Sized> Committed<'_, S> {
    /// How many cells it covered.
    pub(crate) fn lines(&self) -> usize {
        self.operation.head.lines
    }

    /// The cell of line `line`, in ascending order.
    pub(crate) fn cell(&self, line: usize) -> CellId {
        self.operation.view().line(line).0
    }

    /// The words of line `line` before and after, at the instant at which the operation became
    /// visible.
    pub(crate) fn change(&self, line: usize) -> Change {
        self.operation.view().change(line)
    }
}

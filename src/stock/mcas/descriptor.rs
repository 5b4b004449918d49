//! A descriptor: where an operation, or a thread that helps one, keeps its notes.
//!
//! All fields are atomics. A thread that met a mark long ago may read the notes while the slot is
//! being written for the next operation. Such a reader works as a seqlock reader does (Boehm, "Can
//! Seqlocks Get Along with Programming Language Memory Models?", MSPC 2012): it reads, finds that
//! the sequence has moved on, and drops what it read. The fences that ensure this are in
//! [`Descriptor::try_begin`] and [`Descriptor::is_still`].

use super::control::{ControlWord, Status};
use super::mark::Mark;
use crate::base::doubling_table::DoublingTable;
use crate::base::quantity::MAX_UNITS;
use crate::base::sync::{AtomicU32, AtomicU64, MODELLED, Ordering, fence};
use crate::stock::cell::CellId;
use crate::stock::mcas::recorder::LogOrder;
use crate::stock::word::{Delta, Word};

/// Lines inside the descriptor itself. Longer operations go on in segments that stay with it.
pub(super) const INLINE: usize = if MODELLED { 2 } else { 8 };
const SEGMENTS: usize = 13;
/// The most lines an operation can have: as many as a refusal can number.
pub(crate) const MAX_LINES: usize = WHOLE as usize;

const _: () = assert!(
    MODELLED || INLINE + DoublingTable::<DescriptorLine, INLINE, SEGMENTS>::CAPACITY >= MAX_LINES,
    "a slot can grow to the longest operation"
);

/// One cell of an operation. The status tells which lines mean something, and until when.
#[derive(Debug)]
pub(super) struct DescriptorLine {
    /// Which cell, in the lower half. Ascending over the lines, so a binary search finds it. In the
    /// upper half the floor of the line's delta. Written before the first mark, so that both are
    /// the same for all drivers.
    place: AtomicU64,
    /// Split fulfillment: `turn` of line `n` holds, in its lower half, the number of the line that
    /// is filled at turn `n`, counted from behind the fixed lines; in the upper half, how many
    /// units that one must keep available.
    turn: AtomicU64,
    /// What the operation does to the cell. Written before the first mark. Split fulfillment writes
    /// it before the decision; every driver writes the same value.
    delta: AtomicU64,
    /// The word that *this descriptor's* mark replaced. Written by the descriptor's thread before
    /// its mark.
    replaced: AtomicU64,
    /// The mark that counts: the first one in the cell. Zero until claimed. In operations that
    /// nobody joined it stays zero, because only the owner's mark can win.
    winner: AtomicU64,
}

impl DescriptorLine {
    fn new() -> Self {
        Self {
            place: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            delta: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            winner: AtomicU64::new(0),
        }
    }

    // Relaxed is enough in all of these. The mark orders what drivers and readers see (written
    // before it, read after it), or the status does, or the sequence check afterwards rejects it.

    /// Writes a line down, before the first mark.
    pub(super) fn write(&self, cell: CellId, delta: Delta) {
        let place = u64::from(delta.floor()) << u32::BITS | u64::from(cell.bits());
        self.place.store(place, Ordering::Relaxed);
        self.delta.store(delta.bits(), Ordering::Relaxed);
        self.winner.store(0, Ordering::Relaxed);
    }

    pub(super) fn cell(&self) -> CellId {
        cell_in(self.place.load(Ordering::Relaxed))
    }

    /// What the operation does to the cell, without the floor: a word that bears a mark was above
    /// it.
    pub(super) fn delta(&self) -> Delta {
        Delta::from_bits(self.delta.load(Ordering::Relaxed))
    }

    /// The cell, and how many units must stay available in it.
    #[inline(always)]
    pub(super) fn cell_and_floor(&self) -> (CellId, u32) {
        let place = self.place.load(Ordering::Relaxed);
        // The upper half of 64 bits fits.
        (cell_in(place), (place >> u32::BITS) as u32)
    }

    /// Writes down what a split fulfilment takes from the cell.
    pub(super) fn set_delta(&self, delta: Delta) {
        self.delta.store(delta.bits(), Ordering::Relaxed);
    }

    /// Which line is filled at this turn, and its floor.
    pub(super) fn turn(&self) -> (usize, u32) {
        let turn = self.turn.load(Ordering::Relaxed);
        // The upper half of 64 bits fits.
        (turn as u32 as usize, (turn >> u32::BITS) as u32)
    }

    pub(super) fn set_turn(&self, line: u32, floor: u32) {
        let turn = u64::from(floor) << u32::BITS | u64::from(line);
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// The counts that this descriptor's mark replaced in the line's cell.
    pub(super) fn replaced(&self) -> Word {
        Word::from_bits(self.replaced.load(Ordering::Relaxed)).unwrap_or_default()
    }

    pub(super) fn note_replaced(&self, word: Word) {
        self.replaced.store(word.bits(), Ordering::Relaxed);
    }

    /// The mark that counts, if it is claimed.
    pub(super) fn winner(&self) -> Option<Mark> {
        // Acquire pairs with the Release in `claim`: whoever sees the winner sees the word that it
        // replaced.
        Mark::from_bits(self.winner.load(Ordering::Acquire))
    }

    /// Makes `mark` the one that counts, unless another one does. True if `mark` counts now.
    /// Another driver may have claimed for it, and then it is not too late either.
    pub(super) fn claim(&self, mark: Mark) -> bool {
        // Release pairs with `winner`: the claimer has seen the mark, and so the word that it
        // replaced.
        match self.winner.compare_exchange(0, mark.bits(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(winner) => winner == mark.bits(),
        }
    }
}

/// The lower half.
fn cell_in(place: u64) -> CellId {
    CellId::from_bits(place as u32)
}

/// Why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    /// Which line was short; `None` for the sum of all (split fulfillment).
    pub(super) line: Option<usize>,
    /// How many units were there.
    pub(super) available: u64,
}

/// ```text
///   63 .............. 48   47 ................................ 0
/// +----------------------+--------------------------------------+
/// | line, all ones: sum  |  available: 65,535 counts of 31 bits |
/// +----------------------+--------------------------------------+
/// ```
const LINE_SHIFT: u32 = 48;
const AVAILABLE_MASK: u64 = (1 << LINE_SHIFT) - 1;
const WHOLE: u64 = (1 << (u64::BITS - LINE_SHIFT)) - 1;

impl Shortage {
    fn bits(self) -> u64 {
        debug_assert!(self.available <= AVAILABLE_MASK);
        self.line.map_or(WHOLE, |line| line as u64) << LINE_SHIFT | self.available
    }

    fn from_bits(bits: u64) -> Self {
        let line = bits >> LINE_SHIFT;
        Self { line: (line != WHOLE).then_some(line as usize), available: bits & AVAILABLE_MASK }
    }
}

/// The notes of an operation or of a helper. Aligned to two cache lines, because its neighbours
/// belong to other threads.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Descriptor {
    pub(super) control: ControlWord,
    /// A helper's descriptor: the name of the operation that it helps. Written before its first
    /// mark.
    target: AtomicU64,
    /// An operation's descriptor: head of the list of the helpers' descriptors, which stay as long
    /// as it does. Newest first, 0 for none.
    helpers: AtomicU32,
    /// A helper's descriptor: the next one in that list.
    elder: AtomicU32,
    /// What kind of operation it is; see [`Head`].
    head: AtomicU64,
    refusal: AtomicU64,
    inline: [DescriptorLine; INLINE],
    more: DoublingTable<DescriptorLine, INLINE, SEGMENTS>,
}

/// What an operation is, beside its lines.
///
/// ```text
///   63 ... 49   48 ... 33   32 .......... 31   30 .............. 0
/// +-----------+-----------+------------------+--------------------+
/// | fixed     | lines     | log order        |  quantity to fill  |
/// +-----------+-----------+------------------+--------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) lines: usize,
    /// Split fulfillment: how many of the lines, the first ones, fill nothing; 0 in all other
    /// operations.
    pub(super) fixed: usize,
    pub(super) log_order: LogOrder,
    /// Split fulfillment: the quantity to fill; 0 in all other operations.
    pub(super) fill: u32,
}

const LOG_ORDER_SHIFT: u32 = 31;
const LINES_SHIFT: u32 = 33;
const FIXED_SHIFT: u32 = 49;
const LINES_MASK: u64 = (1 << (FIXED_SHIFT - LINES_SHIFT)) - 1;
/// The most lines of a split fulfillment that fill nothing.
pub(super) const MAX_FIXED: usize = (1 << (u64::BITS - FIXED_SHIFT)) - 1;
const _: () = assert!(MAX_LINES as u64 <= LINES_MASK, "every number of lines fits");
const _: () = assert!(MAX_UNITS >> LOG_ORDER_SHIFT == 0, "every quantity fits");

impl Head {
    /// The next status of an operation that fills nothing, once all its lines are marked.
    #[inline]
    pub(super) fn once_marked(self) -> Status {
        match self.log_order {
            LogOrder::BeforeVisible => Status::Decided,
            LogOrder::Never | LogOrder::ByOwner => Status::Done,
        }
    }

    fn bits(self) -> u64 {
        let log_order = match self.log_order {
            LogOrder::Never => 0,
            LogOrder::ByOwner => 1,
            LogOrder::BeforeVisible => 2,
        };
        (self.fixed as u64) << FIXED_SHIFT
            | (self.lines as u64) << LINES_SHIFT
            | log_order << LOG_ORDER_SHIFT
            | u64::from(self.fill)
    }

    fn from_bits(bits: u64) -> Self {
        let log_order = match bits >> LOG_ORDER_SHIFT & 0b11 {
            0 => LogOrder::Never,
            1 => LogOrder::ByOwner,
            _ => LogOrder::BeforeVisible,
        };
        let fill = (bits & u64::from(MAX_UNITS)) as u32;
        let lines = (bits >> LINES_SHIFT & LINES_MASK) as usize;
        Self { lines, fixed: (bits >> FIXED_SHIFT) as usize, log_order, fill }
    }
}

impl Descriptor {
    pub(super) fn new() -> Self {
        Self {
            control: ControlWord::new(),
            target: AtomicU64::new(0),
            helpers: AtomicU32::new(0),
            elder: AtomicU32::new(0),
            head: AtomicU64::new(0),
            refusal: AtomicU64::new(0),
            inline: std::array::from_fn(|_| DescriptorLine::new()),
            more: DoublingTable::new(),
        }
    }

    /// Takes the slot if it is free.
    pub(super) fn try_begin(&self) -> Option<u64> {
        let sequence = self.control.try_begin()?;
        // Pairs with the Acquire fence of `is_still`. A late reader that sees any note written
        // after this fence also sees that the sequence it came for is over.
        fence(Ordering::Release);
        Some(sequence)
    }

    /// Whether the slot was still in use `sequence` after everything that the caller has read from
    /// it. If not, what it read may belong to another operation, and all marks of that use are gone
    /// from the cells.
    pub(super) fn is_still(&self, sequence: u64) -> bool {
        // Pairs with the Release fence of `try_begin`.
        fence(Ordering::Acquire);
        self.control.load().sequence() == sequence
    }

    /// Makes room for `lines` lines. Allocates only the first time that a slot needs so many.
    #[inline]
    pub(super) fn make_room(&self, lines: usize) {
        if lines > INLINE {
            self.more.grow(lines - INLINE, DescriptorLine::new);
        }
    }

    /// A line, if the slot has ever had so many.
    pub(super) fn try_line(&self, line: usize) -> Option<&DescriptorLine> {
        match self.inline.get(line) {
            Some(inline) => Some(inline),
            None => self.more.get(line - INLINE),
        }
    }

    /// A line of an operation that the caller drives.
    #[allow(clippy::expect_used, reason = "a driver's slot has room for all lines, see make_room")]
    pub(super) fn line(&self, line: usize) -> &DescriptorLine {
        self.try_line(line).expect("room was made before the first mark")
    }

    /// Those of the first `count` lines that lie in the descriptor itself.
    #[inline]
    pub(super) fn first_lines(&self, count: usize) -> &[DescriptorLine] {
        self.inline.get(..count).unwrap_or(&self.inline)
    }

    // Relaxed below, for the same reasons as in a line.

    /// Writes down what an operation is, before its first mark.
    pub(super) fn write_head(&self, head: Head) {
        self.helpers.store(0, Ordering::Relaxed);
        self.head.store(head.bits(), Ordering::Relaxed);
    }

    pub(super) fn head(&self) -> Head {
        Head::from_bits(self.head.load(Ordering::Relaxed))
    }

    /// Which of the first `lines` lines is about `cell`: a binary search. Safe on a slot that is
    /// being written for another operation: the answer then means nothing, and the sequence tells
    /// so.
    pub(super) fn find(&self, cell: CellId, lines: usize) -> Option<(usize, &DescriptorLine)> {
        let (mut from, mut to) = (0, lines);
        while from < to {
            let middle = from + (to - from) / 2;
            let line = self.try_line(middle)?;
            match line.cell().cmp(&cell) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Some((middle, line)),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// The operation that this helper's descriptor helps, or helped.
    pub(super) fn target(&self) -> Option<Mark> {
        Mark::from_bits(self.target.load(Ordering::Relaxed))
    }

    /// Notes which operation this helper helps, before its first mark.
    pub(super) fn set_target(&self, operation: Mark) {
        self.target.store(operation.bits(), Ordering::Relaxed);
    }

    /// Notes what was short. Several drivers may write before one of them refuses. Each saw a word
    /// that was really short while the operation was undecided, so any of these notes may stand.
    pub(super) fn note_short(&self, short: Shortage) {
        // Relaxed: the swap to `Refused` publishes it.
        self.refusal.store(short.bits(), Ordering::Relaxed);
    }

    pub(super) fn short(&self) -> Shortage {
        Shortage::from_bits(self.refusal.load(Ordering::Relaxed))
    }

    /// Adds a helper's descriptor to those that stay as long as this operation.
    pub(super) fn adopt(&self, number: u32, helper: &Descriptor) {
        let mut newest = self.helpers.load(Ordering::Relaxed);
        loop {
            helper.elder.store(newest, Ordering::Relaxed);
            // Release pairs with the Acquire of `newest_helper`, with which the last driver walks
            // the list. (Every driver leaves by a swap of the control word, which orders it as
            // well.)
            match self.helpers.compare_exchange(
                newest,
                number + 1,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => newest = now,
            }
        }
    }

    /// The newest of the helpers' descriptors.
    pub(super) fn newest_helper(&self) -> Option<u32> {
        self.helpers.load(Ordering::Acquire).checked_sub(1)
    }

    /// The helper's descriptor that was added before this one.
    pub(super) fn elder_helper(&self) -> Option<u32> {
        self.elder.load(Ordering::Relaxed).checked_sub(1)
    }
}

//! What a marked word counts. This only reads, so a reader slows nobody down.

use std::sync::{Arc, OnceLock};

use super::control::{Control, Status};
use super::mark::Mark;
use super::pool::DescriptorPool;
use crate::stock::cell::{Cell, CellId, Marks};
use crate::stock::word::Word;

/// What a mark in a cell means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The operation is under way. The word still has its old counts. `lines` cells take part.
    Open { operation: Mark, lines: usize, word: Word },
    /// The operation is final. The word counts this from now on.
    Final(Word),
}

impl Meaning {
    /// What the word counts.
    pub(super) fn word(self) -> Word {
        match self {
            Self::Open { word, .. } | Self::Final(word) => word,
        }
    }
}

/// What `mark`, met in the cell `id`, means; `None` if it is gone from the cell by now. The cell
/// had these counts at one instant between the read that met the mark and the end of this call.
pub(super) fn meaning(pool: &DescriptorPool, id: CellId, mark: Mark) -> Option<Meaning> {
    let holder = pool.descriptor(mark.slot())?;
    let operation = if mark.is_helper() { holder.target()? } else { mark };
    let descriptor = pool.descriptor(operation.slot())?;
    // Read the status first: if it is final, everything read after it is final too.
    let control = descriptor.control.load();
    if control.sequence() != operation.sequence() {
        return None;
    }
    let lines = descriptor.head().lines;
    let found = descriptor.find(id, lines).and_then(|(at, line)| {
        let before = holder.try_line(at)?.replaced();
        let word =
            if shows(control, line.winner(), mark) { before.apply(line.delta())? } else { before };
        Some(if control.status().is_final() {
            Meaning::Final(word)
        } else {
            Meaning::Open { operation, lines, word }
        })
    });
    // Validate before use, as a seqlock reader does. Nothing read so far is valid, not even "cell
    // not found", unless the descriptor that the mark names is still in the same use. Helpers'
    // descriptors retire before their operation's, so this one check covers both.
    if !holder.is_still(mark.sequence()) {
        return None;
    }
    debug_assert!(found.is_some(), "a mark stands only in cells of its operation");
    found
}

impl Marks for DescriptorPool {
    fn value(&self, id: CellId, bits: u64) -> Option<Word> {
        Mark::from_bits(bits).and_then(|mark| meaning(self, id, mark)).map(Meaning::word)
    }
}

impl DescriptorPool {
    /// Takes the mark `bits` off the cell, if its operation is final or the mark is gone by now.
    /// False if the operation is under way: it is not helped.
    pub(crate) fn clear_final(&self, id: CellId, cell: &Cell, bits: u64) -> bool {
        match Mark::from_bits(bits).and_then(|mark| meaning(self, id, mark)) {
            // A mark never recurs. If it is still there, it still means this.
            Some(Meaning::Final(word)) => cell.unmark(bits, word),
            Some(Meaning::Open { .. }) => return false,
            None => {}
        }
        true
    }
}

/// Tells a cell's owner what marks mean. Empty for a cell that no commit ever touches.
#[derive(Debug, Default)]
pub(crate) struct MarkReader(OnceLock<Arc<DescriptorPool>>);

impl MarkReader {
    /// From here on commits may mark the cell.
    pub(crate) fn open(&self, pool: &Arc<DescriptorPool>) {
        // A second call brings the same pool.
        let _ = self.0.set(Arc::clone(pool));
    }
}

impl Marks for MarkReader {
    fn value(&self, id: CellId, bits: u64) -> Option<Word> {
        debug_assert!(self.0.get().is_some(), "a commit marks only what was opened to it");
        self.0.get()?.value(id, bits)
    }
}

/// Whether `mark` shows the operation's effect: only if the operation is done, and only for the
/// mark that counts. A late mark may have replaced a word that already contains the effect.
pub(super) fn shows(control: Control, winner: Option<Mark>, mark: Mark) -> bool {
    let counts = match winner {
        Some(winner) => winner == mark,
        // If nobody joined in time, nobody claimed: the owner's marks are the only ones.
        None => !control.is_helped(),
    };
    control.status() == Status::Done && counts
}

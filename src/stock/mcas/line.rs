//! What a caller asks for: cells, and what to do to each.

use crate::stock::cell::CellId;
use crate::stock::word::Delta;

/// One cell, and what the commit does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellDelta {
    pub(crate) cell: CellId,
    pub(crate) delta: Delta,
}

/// The lines on this cell add up to more than any word can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) cell: CellId,
}

/// Sorts lines by cell and merges those on the same cell, in place. Two lines over one product are
/// one demand for their sum: otherwise each could be promised the units that the other takes.
pub(crate) fn merge_lines(lines: &mut [CellDelta]) -> Result<&[CellDelta], TooMuch> {
    lines.sort_unstable_by_key(|line| line.cell);
    let mut merged = 0;
    for next in 0..lines.len() {
        let CellDelta { cell, delta } = lines[next];
        match lines[..merged].last_mut() {
            Some(last) if last.cell == cell => {
                last.delta = last.delta.merge(delta).ok_or(TooMuch { cell })?;
            }
            _ => {
                lines[merged] = CellDelta { cell, delta };
                merged += 1;
            }
        }
    }
    Ok(&lines[..merged])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::quantity::{MAX_UNITS, Quantity};
    use crate::stock::handle::LevelIndex;

    fn hold(level: u32, units: u32) -> CellDelta {
        let delta = Delta::hold(Quantity::new(units).expect("a legal quantity"));
        CellDelta { cell: CellId::level(LevelIndex(level)), delta }
    }

    #[test]
    fn lines_on_one_cell_become_one_and_all_are_sorted() {
        let mut lines = [hold(5, 1), hold(2, 2), hold(5, 3), hold(2, 4), hold(3, 5)];
        assert_eq!(merge_lines(&mut lines), Ok(&[hold(2, 6), hold(3, 5), hold(5, 4)][..]));
        assert_eq!(merge_lines(&mut []), Ok(&[][..]));
    }

    #[test]
    fn lines_that_no_word_could_fit_are_refused() {
        let mut lines = [hold(1, MAX_UNITS), hold(0, 1), hold(1, 1)];
        assert_eq!(merge_lines(&mut lines), Err(TooMuch { cell: hold(1, 1).cell }));
    }
}

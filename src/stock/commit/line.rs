//! What a caller asks for: cells and what to do to each.

use crate::stock::cell::CellId;
use crate::stock::word::Delta;

/// One cell and what is to happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) cell: CellId,
    pub(crate) delta: Delta,
}

/// The lines on this cell add up to more than any word can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) cell: CellId,
}

/// Sorts lines by cell and merges those on the same one, in place: two lines over the same product
/// are one demand for their sum, so that neither can be promised what the other takes.
pub(crate) fn merge_lines(lines: &mut [Line]) -> Result<&[Line], TooMuch> {
    lines.sort_unstable_by_key(|line| line.cell);
    let mut merged = 0;
    for next in 0..lines.len() {
        let Line { cell, delta } = lines[next];
        match lines[..merged].last_mut() {
            Some(last) if last.cell == cell => {
                last.delta = last.delta.merge(delta).ok_or(TooMuch { cell })?;
            }
            _ => {
                lines[merged] = Line { cell, delta };
                merged += 1;
            }
        }
    }
    Ok(&lines[..merged])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::quantity::{MAX_UNITS, Quantity};
    use crate::stock::handle::LevelIndex;

    fn hold(level: u32, units: u32) -> Line {
        let delta = Delta::hold(Quantity::new(units).expect("a legal quantity"));
        Line { cell: CellId::level(LevelIndex(level)), delta }
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

//! Split fulfillment: one quantity out of several levels, in an order that the caller chose.
//!
//! How much each level gives is unknown until all levels are marked. From then on it is a pure
//! function of the words that the marks replaced. So all drivers compute the same deltas, and may
//! write them over one another.

use super::view::OperationView;
use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::stock::cell::CellId;
use crate::stock::word::Delta;

/// One level of a split fulfillment, and its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FillStop {
    pub(crate) cell: CellId,
    /// How many units must stay available in it.
    pub(crate) floor: u32,
    /// Its place in the order of filling. Whoever builds stops may leave gaps.
    pub(crate) turn: u32,
}

/// Makes a legal plan of any stops: sorted by cell, each cell once (its first turn counts), turns
/// numbered from 0 without gaps.
pub(crate) fn plan_stops(stops: &mut [FillStop]) -> &[FillStop] {
    stops.sort_unstable_by_key(|stop| (stop.cell, stop.turn));
    let mut distinct = 0;
    for next in 0..stops.len() {
        if distinct == 0 || stops[distinct - 1].cell != stops[next].cell {
            stops[distinct] = stops[next];
            distinct += 1;
        }
    }
    let stops = &mut stops[..distinct];
    stops.sort_unstable_by_key(|stop| stop.turn);
    for (turn, stop) in (0..).zip(stops.iter_mut()) {
        stop.turn = turn;
    }
    stops.sort_unstable_by_key(|stop| stop.cell);
    stops
}

/// Writes down how much each level gives, down to its floor. `Err` holds how much there was in all
/// above the floors, if that is too little. Call it only once every line is marked.
pub(super) fn fill(view: &OperationView<'_>) -> Result<(), u64> {
    let wanted = view.head.fill;
    let mut missing = wanted;
    for turn in view.head.fixed..view.head.lines {
        let (at, floor) = view.descriptor.line(turn).turn();
        let (line, word) = (view.descriptor.line(at), view.replaced(at));
        let free = word.available().saturating_sub(floor);
        // A level never gives more than its reserved count has room for. Warehouse capacities
        // prevent this case; the bound keeps the word legal all the same.
        let units = missing.min(free).min(MAX_UNITS - word.reserved());
        missing -= units;
        line.set_delta(Quantity::new(units).map_or(Delta::NOTHING, Delta::hold));
    }
    if missing == 0 { Ok(()) } else { Err(u64::from(wanted - missing)) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stock::handle::LevelIndex;

    fn stop(level: u32, turn: u32) -> FillStop {
        FillStop { cell: CellId::level(LevelIndex(level)), floor: 0, turn }
    }

    #[test]
    fn stops_are_sorted_by_cell_and_each_cell_keeps_its_first_turn() {
        let mut stops = [stop(7, 3), stop(2, 9), stop(7, 1), stop(4, 2)];
        assert_eq!(plan_stops(&mut stops), [stop(2, 2), stop(4, 1), stop(7, 0)]);
        assert_eq!(plan_stops(&mut []), []);
    }
}

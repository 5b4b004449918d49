//! The linearizability checker: looks for a sequential order of the calls that explains all
//! answers.
//!
//! The search is that of Wing and Gong, "Testing and Verifying Concurrent Objects" (1993). A call
//! may come next if it was made before any other unplaced call had returned, and if the
//! [model](crate::model) gives its answer at that place. The state after a set of answered calls
//! does not depend on their order, but for the capacities: each call sets one, and the last one
//! counts. So a set that once led nowhere, with the same capacities, is not tried again.

use std::collections::HashSet;

use crate::model::{Answered, State};

/// A call with its answer, and when it was made and returned, as numbers of one counter.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) thread: usize,
    pub(crate) made: u64,
    pub(crate) returned: u64,
    pub(crate) answered: Answered,
}

impl Call {
    /// Whether both calls were open at some moment.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.made < other.returned && other.made < self.returned
    }
}

/// An order of the calls that explains every answer, as their numbers; `None` if there is none.
pub(crate) fn explain(calls: &[Call], initial: &State) -> Option<Vec<usize>> {
    assert!(calls.len() <= 64, "a history of {} calls", calls.len());
    if !calls.iter().all(|call| is_progress_true(call, calls)) {
        return None;
    }
    let mut search = Search { calls, dead_ends: HashSet::new(), order: Vec::new() };
    search.go(0, initial).then_some(search.order)
}

/// "Another call is ending it" is true only while that call is open, and only if that call does end
/// it.
fn is_progress_true(call: &Call, calls: &[Call]) -> bool {
    let Answered::InProgress { hold } = call.answered else { return true };
    let ends = |other: &&Call| match other.answered {
        Answered::Released { hold: ended, .. } | Answered::Confirmed { hold: ended } => {
            ended == hold
        }
        _ => false,
    };
    calls.iter().filter(ends).any(|other| other.overlaps(call))
}

struct Search<'a> {
    calls: &'a [Call],
    /// Sets of placed calls, with the capacities behind them, that cannot be completed.
    dead_ends: HashSet<(u64, Vec<u32>)>,
    order: Vec<usize>,
}

impl Search<'_> {
    fn go(&mut self, placed: u64, state: &State) -> bool {
        let open = |number: &usize| placed & (1 << number) == 0;
        let Some(first_return) =
            (0..self.calls.len()).filter(open).map(|number| self.calls[number].returned).min()
        else {
            return true;
        };
        let here = (placed, state.capacities().to_vec());
        if self.dead_ends.contains(&here) {
            return false;
        }
        for number in (0..self.calls.len()).filter(open) {
            let call = &self.calls[number];
            if call.made > first_return {
                continue;
            }
            if let Some(next) = state.after(&call.answered) {
                self.order.push(number);
                if self.go(placed | 1 << number, &next) {
                    return true;
                }
                self.order.pop();
            }
        }
        self.dead_ends.insert(here);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(made: u64, returned: u64, answered: Answered) -> Call {
        Call { thread: 0, made, returned, answered }
    }

    fn initial() -> State {
        State::new(vec![(5, 0), (0, 0)], vec![10, 5], vec![0, 1])
    }

    fn reserved(units: u32) -> Answered {
        Answered::Reserved { hold: 1, lines: vec![(0, units)] }
    }

    fn seen(first: u32, second: u32) -> Answered {
        Answered::Seen { levels: vec![(0, (first, 0)), (1, (second, 0))] }
    }

    #[test]
    fn the_order_of_two_capacities_is_looked_for() {
        let set = |units| Answered::Resized { warehouse: 0, units };
        // Both were open together, and the first that is tried is not the last.
        let calls = [
            call(1, 4, set(20)),
            call(2, 3, set(7)),
            call(5, 6, Answered::SeenRoom { warehouse: 0, left: 15 }),
        ];
        assert!(explain(&calls, &initial()).is_some());
    }

    #[test]
    fn calls_that_overlap_may_stand_in_either_order_and_others_only_in_theirs() {
        let short = || Answered::ReserveShort { level: 0, needed: 4, available: 2 };
        let overlapping = [call(0, 3, short()), call(1, 2, reserved(3))];
        assert_eq!(explain(&overlapping, &initial()), Some(vec![1, 0]));
        let refused_before = [call(0, 1, short()), call(2, 3, reserved(3))];
        assert_eq!(explain(&refused_before, &initial()), None);
    }

    #[test]
    fn a_transfer_that_is_seen_half_way_has_no_explanation() {
        let moved = || Answered::Transferred { from: 0, to: 1, units: 2 };
        for (first, second, is_legal) in [(5, 0, true), (3, 2, true), (3, 0, false), (5, 2, false)]
        {
            let calls = [call(0, 3, moved()), call(1, 2, seen(first, second))];
            assert_eq!(explain(&calls, &initial()).is_some(), is_legal, "{first}, {second}");
        }
        let backwards = [call(0, 9, moved()), call(1, 2, seen(3, 2)), call(3, 4, seen(5, 0))];
        assert_eq!(explain(&backwards, &initial()), None);
    }

    #[test]
    fn in_progress_is_true_only_while_the_winners_call_is_open() {
        let released = || Answered::Released { hold: 1, lines: vec![(0, 2)] };
        let in_progress = || Answered::InProgress { hold: 1 };
        let history = |made, returned| {
            [call(0, 1, reserved(2)), call(2, 5, released()), call(made, returned, in_progress())]
        };
        let others = [call(0, 1, reserved(2)), call(2, 4, in_progress()), call(3, 5, seen(3, 0))];
        assert_eq!(explain(&others, &initial()), None, "nobody ended it");
        assert!(explain(&history(3, 4), &initial()).is_some());
        assert_eq!(explain(&history(6, 7), &initial()), None);
    }
}

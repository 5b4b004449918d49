//! A shortage names every line that is short.

use stockade::{BasketError, InvalidInput, PlaceError, ShortLine};

use crate::common::{LONG, clock, quiet};
use crate::{NYC, SF, line, shop, with_overdue};

const TYPO: (&str, &str) = ("SF", "LAPTOPP");

/// Level, needed, available, never stocked.
fn told(lines: &[ShortLine]) -> Vec<(&str, &str, u32, u32, bool)> {
    lines
        .iter()
        .map(|it| (&*it.warehouse, &*it.product, it.needed, it.available, it.never_stocked))
        .collect()
}

fn short(error: BasketError) -> Vec<ShortLine> {
    match error {
        BasketError::Insufficient { lines, .. } => lines,
        other => panic!("not a shortage: {other:?}"),
    }
}

#[test]
fn a_line_that_was_never_stocked_hides_no_other_short_line() {
    let manager = shop(quiet(&clock()));
    let lines = [line(SF, 11), line(TYPO, 1), line(NYC, 12), line(("NYC", "MOUSE"), 2)];
    let refused = short(manager.reserve_basket(&lines, LONG).expect_err("short"));
    let mut told = told(&refused);
    told.sort_unstable();
    let expected = [
        ("NYC", "LAPTOP", 12, 10, false),
        ("NYC", "MOUSE", 2, 0, true),
        ("SF", "LAPTOP", 11, 10, false),
        ("SF", "LAPTOPP", 1, 0, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(manager.available(SF), Ok(10));
}

#[test]
fn what_is_enough_is_not_named_and_equal_lines_are_named_once() {
    let manager = shop(quiet(&clock()));
    let lines = [line(TYPO, 1), line(SF, 10), line(TYPO, 2), line(NYC, 6), line(NYC, 6)];
    let refused = short(manager.reserve_basket(&lines, LONG).expect_err("short"));
    let mut told = told(&refused);
    told.sort_unstable();
    assert_eq!(told, [("NYC", "LAPTOP", 12, 10, false), ("SF", "LAPTOPP", 3, 0, true)]);
}

#[test]
fn a_line_that_only_overdue_holds_make_short_is_not_named() {
    let manager = with_overdue(10);
    let refused = manager.reserve_basket(&[line(SF, 4), line(TYPO, 1)], LONG);
    let refused = short(refused.expect_err("short"));
    assert_eq!(told(&refused), [("SF", "LAPTOPP", 1, 0, true)]);
}

#[test]
fn bad_input_is_told_before_a_shortage() {
    let manager = shop(quiet(&clock()));
    let refused = manager.reserve_basket(&[line(TYPO, 1), line(SF, 0)], LONG);
    assert!(matches!(refused, Err(BasketError::Input(InvalidInput::Quantity(_)))), "{refused:?}");
    let refused = manager.reserve_basket(&[line(TYPO, 0), line(SF, 1)], LONG);
    assert!(matches!(refused, Err(BasketError::Input(InvalidInput::Quantity(_)))), "{refused:?}");
    let nowhere = manager.reserve_basket(&[line(TYPO, 1), line(("LA", "LAPTOP"), 1)], LONG);
    let unknown = PlaceError::UnknownWarehouse { warehouse: "LA".into() };
    assert_eq!(nowhere, Err(unknown.into()));
}

//! Random partial steps on a basket, against a very simple model.

use std::time::Duration;

use proptest::prelude::*;
use stockade::{HoldRequest, InventoryManager, ReservationId, ReservationStatus};

use crate::{CABLE, LAPTOP, MOUSE, TTL, counts, line, shop};

const LEVELS: [(&str, &str); 3] = [LAPTOP, MOUSE, CABLE];
const STOCK: u32 = 10;

/// What became of the units of a line.
#[derive(Clone, Copy, Debug, Default)]
struct Units {
    held: u32,
    sold: u32,
    shipped: u32,
    cancelled: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Confirm,
    Release,
    ConfirmAndReleaseRest,
    Ship,
    Cancel,
    ConfirmAll,
    ReleaseAll,
    Expire,
}

/// A step: what to do, and with how many units of each line.
type Step = (Kind, [u32; 3]);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        6 => Just(Kind::Confirm),
        6 => Just(Kind::Release),
        1 => Just(Kind::ConfirmAndReleaseRest),
        4 => Just(Kind::Ship),
        2 => Just(Kind::Cancel),
        1 => Just(Kind::ConfirmAll),
        1 => Just(Kind::ReleaseAll),
        1 => Just(Kind::Expire),
    ];
    prop::collection::vec((kind, prop::array::uniform3(0..4_u32)), 1..24)
}

/// Makes the step on the model. Returns whether it is allowed.
fn play(model: &mut [Units; 3], over: bool, (kind, named): Step) -> bool {
    let fits = |part: fn(&Units) -> u32, model: &[Units; 3]| {
        model.iter().zip(named).all(|(units, named)| named <= part(units))
    };
    let named_any = named != [0; 3];
    let possible = match kind {
        Kind::Confirm | Kind::Release | Kind::ConfirmAndReleaseRest => {
            !over && named_any && fits(|units| units.held, model)
        }
        Kind::Ship | Kind::Cancel => {
            named_any && fits(|units| units.sold - units.shipped - units.cancelled, model)
        }
        Kind::ConfirmAll | Kind::ReleaseAll | Kind::Expire => !over,
    };
    if possible {
        for (units, named) in model.iter_mut().zip(named) {
            match kind {
                Kind::Confirm => {
                    (units.held, units.sold) = (units.held - named, units.sold + named)
                }
                Kind::Release => units.held -= named,
                Kind::ConfirmAndReleaseRest => (units.held, units.sold) = (0, units.sold + named),
                Kind::Ship => units.shipped += named,
                Kind::Cancel => units.cancelled += named,
                Kind::ConfirmAll => (units.held, units.sold) = (0, units.sold + units.held),
                Kind::ReleaseAll | Kind::Expire => units.held = 0,
            }
        }
    }
    possible
}

/// Makes the step on the engine. Returns whether it was accepted.
fn make(manager: &InventoryManager, id: ReservationId, (kind, named): Step) -> bool {
    let lines: Vec<_> = LEVELS
        .into_iter()
        .zip(named)
        .filter(|(_, units)| *units > 0)
        .map(|(level, units)| line(level, units))
        .collect();
    match kind {
        Kind::Confirm => manager.confirm_lines(id, &lines).is_ok(),
        Kind::Release => manager.release_lines(id, &lines).is_ok(),
        Kind::ConfirmAndReleaseRest => manager.confirm_lines_and_release_rest(id, &lines).is_ok(),
        Kind::Ship => manager.ship_lines(id, &lines).is_ok(),
        Kind::Cancel => manager.cancel_sale_lines(id, &lines, "declined").is_ok(),
        Kind::ConfirmAll => manager.confirm(id).is_ok(),
        Kind::ReleaseAll => {
            use stockade::Release::{PartlySold, Released};
            // Of one that sold a part, a repeat hears the same as the call that ended it.
            let held = manager.reservation(id).is_ok_and(|it| it.units_held() > 0);
            matches!(manager.release(id), Ok(Released | PartlySold { .. })) && held
        }
        Kind::Expire => false,
    }
}

proptest! {
    #[test]
    fn a_basket_under_random_steps_is_what_a_simple_model_says(
        wanted in prop::array::uniform3(0..6_u32), steps in steps(), kept: bool,
    ) {
        prop_assume!(wanted != [0; 3]);
        let (manager, clock) = shop();
        let lines: Vec<_> = LEVELS
            .into_iter()
            .zip(wanted)
            .filter(|(_, units)| *units > 0)
            .map(|(level, units)| line(level, units))
            .collect();
        let request = HoldRequest::from(manager.request());
        let request = if kept { request.keep_until_shipped() } else { request };
        let id = request.reserve_basket(&lines, TTL).expect("stock");
        let mut model = wanted.map(|held| Units { held, ..Units::default() });
        let mut expired = false;
        for step in steps {
            let over = model.iter().all(|units| units.held == 0);
            let expected = play(&mut model, over, step);
            if step.0 == Kind::Expire {
                expired |= expected;
                clock.advance(TTL + Duration::from_millis(1));
                manager.run_until_idle();
            } else {
                prop_assert_eq!(make(&manager, id, step), expected, "{:?} on {:?}", step, model);
            }

            let found = manager.reservation(id).expect("a record");
            let of = |level| found.lines.iter().find(|line| (&*line.warehouse, &*line.product) == level);
            for ((level, units), wanted) in LEVELS.into_iter().zip(model).zip(wanted) {
                let settled = units.shipped + units.cancelled;
                let expected = (wanted > 0).then_some((wanted, units.held, units.sold, settled));
                let line = of(level).map(|line| (line.quantity, line.held, line.sold, line.settled));
                prop_assert_eq!(line, expected);
                let (spoken_for, sold) = (units.held + units.sold - settled, units.sold - settled);
                let on_hand = STOCK - units.shipped;
                prop_assert_eq!(counts(&manager, level), (on_hand - spoken_for, spoken_for, sold));
            }
            let sold_any = model.iter().any(|units| units.sold > 0);
            let status = match model.iter().all(|units| units.held == 0) {
                false => ReservationStatus::Pending,
                true if sold_any => ReservationStatus::Confirmed,
                true if expired => ReservationStatus::Expired,
                true => ReservationStatus::Released,
            };
            prop_assert_eq!(found.status, status);
        }
    }
}

//! Random partial steps on a basket, against a very simple model.

use std::time::Duration;

use proptest::prelude::*;
use stockade::{HoldRequest, InventoryManager, ReservationId, ReservationStatus};

use crate::{CABLE, LAPTOP, MOUSE, TTL, counts, line, shop};

const LEVELS: [(&str, &str); 3] = [LAPTOP, MOUSE, CABLE];
const STOCK: u32 = 10;

/// What became of the units of a line, and of its level.
#[derive(Clone, Copy, Debug, Default)]
struct Units {
    held: u32,
    sold: u32,
    shipped: u32,
    cancelled: u32,
    /// Sold units of the level that are not tracked and still there.
    free: u32,
    /// Shipped by a call that names the level only.
    left_by_level: u32,
}

impl Units {
    /// Sold, and neither shipped nor cancelled by a call that names the reservation.
    fn unsettled(&self) -> u32 {
        self.sold - self.shipped - self.cancelled
    }

    fn sell(&mut self, units: u32, kept: bool) {
        self.held -= units;
        self.sold += units;
        self.free += if kept { 0 } else { units };
    }
}

#[derive(Debug)]
struct Model {
    lines: [Units; 3],
    kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Confirm,
    Release,
    ConfirmAndReleaseRest,
    Ship,
    Cancel,
    /// Ships units of the first line that is named, without naming the reservation.
    ShipByLevel,
    ConfirmAll,
    ReleaseAll,
    Expire,
}

impl Kind {
    fn confirms(self) -> bool {
        matches!(self, Self::Confirm | Self::ConfirmAndReleaseRest | Self::ConfirmAll)
    }
}

/// A step: what to do, with how many units of each line, and whether a confirm asks to keep the
/// reservation until it is shipped.
type Step = (Kind, [u32; 3], bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        6 => Just(Kind::Confirm),
        6 => Just(Kind::Release),
        1 => Just(Kind::ConfirmAndReleaseRest),
        4 => Just(Kind::Ship),
        2 => Just(Kind::Cancel),
        3 => Just(Kind::ShipByLevel),
        1 => Just(Kind::ConfirmAll),
        1 => Just(Kind::ReleaseAll),
        1 => Just(Kind::Expire),
    ];
    let keeps = prop::bool::weighted(0.2);
    prop::collection::vec((kind, prop::array::uniform3(0..4_u32), keeps), 1..24)
}

/// Makes the step on the model. Returns whether it is allowed.
fn play(model: &mut Model, over: bool, (kind, named, keeps): Step) -> bool {
    let Model { lines, kept } = model;
    let fits = |part: fn(&Units) -> u32, lines: &[Units; 3]| {
        lines.iter().zip(named).all(|(units, named)| named <= part(units))
    };
    let named_any = named != [0; 3];
    let first = named.iter().position(|units| *units > 0);
    let becomes_kept = keeps && kind.confirms() && !*kept;
    let can_be_kept = !becomes_kept || lines.iter().all(|it| it.unsettled() <= it.free);
    let possible = match kind {
        Kind::Confirm | Kind::Release | Kind::ConfirmAndReleaseRest => {
            !over && named_any && fits(|units| units.held, lines)
        }
        Kind::Ship | Kind::Cancel => {
            let there = *kept || fits(|units| units.free, lines);
            named_any && there && fits(Units::unsettled, lines)
        }
        Kind::ShipByLevel => first.is_some_and(|at| named[at] <= lines[at].free),
        Kind::ConfirmAll | Kind::ReleaseAll | Kind::Expire => !over,
    };
    let possible = possible && can_be_kept;
    if possible {
        if becomes_kept {
            *kept = true;
            lines.iter_mut().for_each(|it| it.free -= it.unsettled());
        }
        for (at, (units, named)) in lines.iter_mut().zip(named).enumerate() {
            match kind {
                Kind::Confirm => units.sell(named, *kept),
                Kind::Release => units.held -= named,
                Kind::ConfirmAndReleaseRest => {
                    units.sell(named, *kept);
                    units.held = 0;
                }
                Kind::Ship => {
                    units.shipped += named;
                    units.free -= if *kept { 0 } else { named };
                }
                Kind::Cancel => {
                    units.cancelled += named;
                    units.free -= if *kept { 0 } else { named };
                }
                Kind::ShipByLevel => {
                    let named = if first == Some(at) { named } else { 0 };
                    units.free -= named;
                    units.left_by_level += named;
                }
                Kind::ConfirmAll => units.sell(units.held, *kept),
                Kind::ReleaseAll | Kind::Expire => units.held = 0,
            }
        }
    }
    possible
}

/// Makes the step on the engine. Returns whether it was accepted.
fn make(manager: &InventoryManager, id: ReservationId, (kind, named, keeps): Step) -> bool {
    let lines: Vec<_> = LEVELS
        .into_iter()
        .zip(named)
        .filter(|(_, units)| *units > 0)
        .map(|(level, units)| line(level, units))
        .collect();
    let keep = || manager.request().keep_until_shipped();
    match (kind, keeps) {
        (Kind::Confirm, false) => manager.confirm_lines(id, &lines).is_ok(),
        (Kind::Confirm, true) => keep().confirm_lines(id, &lines).is_ok(),
        (Kind::Release, _) => manager.release_lines(id, &lines).is_ok(),
        (Kind::ConfirmAndReleaseRest, false) => {
            manager.confirm_lines_and_release_rest(id, &lines).is_ok()
        }
        (Kind::ConfirmAndReleaseRest, true) => {
            keep().confirm_lines_and_release_rest(id, &lines).is_ok()
        }
        (Kind::Ship, _) => manager.ship_lines(id, &lines).is_ok(),
        (Kind::Cancel, _) => manager.cancel_sale_lines(id, &lines, "declined").is_ok(),
        (Kind::ShipByLevel, _) => {
            let mut wanted = LEVELS.into_iter().zip(named).filter(|(_, units)| *units > 0);
            wanted.next().is_some_and(|(level, units)| manager.ship(level, units).is_ok())
        }
        (Kind::ConfirmAll, false) => manager.confirm(id).is_ok(),
        (Kind::ConfirmAll, true) => keep().confirm(id).is_ok(),
        (Kind::ReleaseAll, _) => {
            use stockade::Release::{PartlySold, Released};
            // Of one that sold a part, a repeat hears the same as the call that ended it.
            let held = manager.reservation(id).is_ok_and(|it| it.units_held() > 0);
            matches!(manager.release(id), Ok(Released | PartlySold { .. })) && held
        }
        (Kind::Expire, _) => false,
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
        let lines = wanted.map(|held| Units { held, ..Units::default() });
        let mut model = Model { lines, kept };
        let mut expired = false;
        for step in steps {
            let over = model.lines.iter().all(|units| units.held == 0);
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
            prop_assert_eq!(found.keep_until_shipped, model.kept);
            for ((level, units), wanted) in LEVELS.into_iter().zip(model.lines).zip(wanted) {
                let settled = units.shipped + units.cancelled;
                let expected = (wanted > 0).then_some((wanted, units.held, units.sold, settled));
                let line = of(level).map(|line| (line.quantity, line.held, line.sold, line.settled));
                prop_assert_eq!(line, expected);
                let tracked = if model.kept { units.unsettled() } else { 0 };
                let sold = tracked + units.free;
                let spoken_for = units.held + sold;
                let on_hand = STOCK - units.shipped - units.left_by_level;
                prop_assert_eq!(counts(&manager, level), (on_hand - spoken_for, spoken_for, sold));
                prop_assert_eq!(manager.counts(level).map(|it| it.tracked), Ok(tracked));
            }
            let sold_any = model.lines.iter().any(|units| units.sold > 0);
            let status = match model.lines.iter().all(|units| units.held == 0) {
                false => ReservationStatus::Pending,
                true if sold_any => ReservationStatus::Confirmed,
                true if expired => ReservationStatus::Expired,
                true => ReservationStatus::Released,
            };
            prop_assert_eq!(found.status, status);
        }
    }
}

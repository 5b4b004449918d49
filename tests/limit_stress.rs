//! Limits under real threads, and a table of allowances that somebody tries to fill.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::clocks::Trap;
use common::rng::{Rng, seed};
use common::{clock, log_of, ms, quiet, race, small, threaded, wait_for, within};
use stockade::{
    AdjustmentType, BasketLine, ConfirmOrRetake, EntryType, InventoryManager, LimitCounts,
    LimitError, LimitRule, Release, ReservationId, ReserveError, RetakeError,
};

const SHOE: (&str, &str) = ("SF", "SHOE");
const HAT: (&str, &str) = ("SF", "HAT");
const TTL: Duration = Duration::from_secs(60);
const MOST: u32 = 2;
const THREADS: usize = 64;

fn two_each(counts: LimitCounts) -> LimitRule {
    LimitRule::new("two each", "customer", MOST).counts(counts).products(["SHOE"])
}

fn used(manager: &InventoryManager) -> u32 {
    manager.usage("two each", "ann").expect("a limit").used
}

/// One customer, whom many threads serve at once.
struct Shop {
    manager: InventoryManager,
    seed: u64,
    /// The newest holds.
    holds: Mutex<Vec<ReservationId>>,
}

impl Shop {
    fn open(counts: LimitCounts) -> Self {
        let manager = threaded().limits(small()).subject_secret([7; 16]);
        let manager = manager.build().expect("a shop");
        manager.add_stock(SHOE, 10_000, "SUPPLIER").expect("room");
        manager.define_limit(two_each(counts)).expect("a limit");
        Self { manager, seed: seed(), holds: Mutex::default() }
    }

    fn show(&self, id: ReservationId) {
        let mut holds = self.holds.lock().expect("no panic");
        if holds.len() >= 8 {
            holds.remove(0);
        }
        holds.push(id);
    }

    fn any(&self, rng: &mut Rng) -> Option<ReservationId> {
        let holds = self.holds.lock().expect("no panic");
        (!holds.is_empty()).then(|| *rng.pick_ref(&holds))
    }

    fn look(&self) {
        let used = used(&self.manager);
        assert!(used <= MOST, "seed {}: {used} are used", self.seed);
    }

    fn work(&self, thread: usize) {
        let mut rng = Rng::new(self.seed, thread);
        let ann = self.manager.request().subject("customer", "ann").keep_until_shipped();
        let one = [BasketLine::new(SHOE, 1)];
        for _ in 0..100 {
            match (rng.below(9), self.any(&mut rng)) {
                (0..=2, _) | (_, None) => {
                    match ann.reserve(SHOE, rng.units(2), ms(rng.below(3) + 1)) {
                        Ok(id) => self.show(id),
                        Err(ReserveError::Limit(limit)) => self.is_true(&limit),
                        Err(error) => panic!("seed {}: {error}", self.seed),
                    }
                }
                // A payment, in time or late.
                (3, Some(id)) => match self.manager.confirm_or_retake(id) {
                    Ok(ConfirmOrRetake::Retaken(new)) => self.show(new),
                    Err(RetakeError::Limit(limit)) => self.is_true(&limit),
                    _ => {}
                },
                (4, Some(id)) => drop(self.manager.release(id)),
                (5, Some(id)) => drop(self.manager.confirm_lines(id, &one)),
                (6 | 7, Some(id)) => drop(self.manager.cancel_sale_lines(id, &one, "returned")),
                (_, Some(_)) => self.look(),
            }
        }
    }

    fn is_true(&self, limit: &LimitError) {
        match limit {
            LimitError::Reached { maximum: MOST, used, asked, .. } => {
                assert!(*used <= MOST && used + asked > MOST, "seed {}: {limit:?}", self.seed);
            }
            other => panic!("seed {}: {other}", self.seed),
        }
    }

    /// By the log, no more was ever held and bought at a time than the limit says. Takes are logged
    /// after they were made and gives before: so no prefix of the log has more, either.
    fn do_the_books(&self) {
        let (mut drawn, mut bought) = (0, 0);
        for entry in log_of(&self.manager) {
            let units = i64::from(entry.quantity);
            let EntryType::Movement(movement) = entry.entry_type else { continue };
            match movement {
                AdjustmentType::Reserved => drawn += units,
                AdjustmentType::Returned => drawn -= units,
                AdjustmentType::Sold => bought += units,
                AdjustmentType::SaleCancelled => (drawn, bought) = (drawn - units, bought - units),
                _ => {}
            }
            let most = i64::from(MOST);
            let number = entry.sequence;
            assert!(drawn <= most && bought <= drawn, "seed {}, entry {number}", self.seed);
        }
        assert_eq!(drawn, i64::from(used(&self.manager)), "seed {}", self.seed);
    }
}

#[test]
fn no_crowd_of_one_customers_calls_draws_more_than_the_limit_or_less() {
    within(Duration::from_secs(120), || {
        let shop = Shop::open(LimitCounts::Sales);
        race(THREADS, |thread| shop.work(thread));
        // What is held falls due, and what was bought is cancelled.
        wait_for(Duration::from_secs(20), "all holds over", || {
            shop.manager.held(SHOE).expect("known") == 0
        });
        shop.do_the_books();
        let sold = shop.manager.sold(SHOE).expect("known");
        assert_eq!(used(&shop.manager), sold, "seed {}", shop.seed);
        let one = [BasketLine::new(SHOE, 1)];
        let known: Vec<ReservationId> = log_of(&shop.manager)
            .into_iter()
            .filter(|entry| entry.entry_type == AdjustmentType::Sold.into())
            .filter_map(|entry| entry.reservation)
            .collect();
        for id in known {
            while shop.manager.cancel_sale_lines(id, &one, "returned").is_ok() {}
        }
        assert_eq!(used(&shop.manager), 0, "seed {}", shop.seed);
        assert_eq!(shop.manager.most_used("two each", 1), Ok(Vec::new()));
        // And so it is two again, in whichever order they come.
        let got = race(THREADS, |_| {
            let ann = shop.manager.request().subject("customer", "ann");
            ann.reserve(SHOE, 1, TTL).is_ok()
        });
        assert_eq!(got.into_iter().filter(|got| *got).count(), MOST as usize);
        shop.do_the_books();
    });
}

#[test]
fn a_crowd_that_begins_at_once_gets_exactly_the_limit() {
    for round in 0..20 {
        let shop = Shop::open(LimitCounts::SalesKept);
        let got = race(THREADS, |thread| {
            let ann = shop.manager.request().subject("customer", "ann");
            let done = match thread % 3 {
                0 => ann.reserve(SHOE, 1, TTL),
                1 => ann.sell(SHOE, 1),
                _ => ann.reserve(SHOE, 2, TTL).and_then(|id| {
                    released(&shop.manager, id);
                    ann.sell(SHOE, 1)
                }),
            };
            shop.look();
            done.is_ok()
        });
        let got = got.into_iter().filter(|got| *got).count() as u32;
        assert_eq!(got, used(&shop.manager), "seed {}, round {round}", shop.seed);
        assert!((1..=MOST).contains(&got), "seed {}, round {round}: {got}", shop.seed);
    }
}

fn released(manager: &InventoryManager, id: ReservationId) {
    assert_eq!(manager.release(id), Ok(Release::Released));
}

#[test]
fn who_fills_the_table_of_allowances_keeps_out_new_subjects_alone_and_for_as_long_as_he_pays() {
    const FULL: u32 = 8;
    let clock = clock();
    let limits = small().max_allowances(FULL);
    let manager = quiet(&clock).limits(limits).subject_secret([7; 16]).build().expect("a shop");
    for level in [SHOE, HAT] {
        manager.add_stock(level, 100, "SUPPLIER").expect("room");
    }
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let of = |who: &str| manager.request().subject("customer", who);
    let first = of("ann").reserve(SHOE, 1, 10 * TTL).expect("room");
    for invented in 1..FULL {
        of(&format!("invented {invented}")).reserve(SHOE, 1, TTL).expect("room");
    }
    let before = manager.counts(SHOE);
    let slots = manager.stats().slots_live;
    for take in [true, false] {
        let bob = of("bob");
        let refused = if take { bob.reserve(SHOE, 1, TTL) } else { bob.sell(SHOE, 1) };
        let full = |it: &LimitError| matches!(it, LimitError::Full { most: FULL });
        assert!(matches!(&refused, Err(ReserveError::Limit(it)) if full(it)), "{refused:?}");
    }
    // Nothing has moved, and nothing was lost on the way.
    assert_eq!((manager.counts(SHOE), manager.stats().slots_live), (before, slots));
    assert_eq!(manager.usage("two each", "bob").map(|it| it.used), Ok(0));
    // Others go on: who is in the table, and who buys something else.
    of("ann").reserve(SHOE, 1, TTL).expect("she is known");
    of("bob").sell(HAT, 1).expect("no limit");
    manager.confirm(first).expect("held");
    // His holds end, and there is room again, for as many.
    clock.advance(TTL + ms(1));
    manager.run_until_idle();
    for new in 1..FULL {
        of(&format!("new {new}")).reserve(SHOE, 1, TTL).expect("room");
    }
    assert!(of("bob").reserve(SHOE, 1, TTL).is_err());
    // One gives back, and another one comes in; a refused call leaves nothing in the table.
    clock.advance(TTL + ms(1));
    let taken: Vec<bool> =
        (0..40).map(|who| of(&format!("late {who}")).sell(SHOE, 3).is_ok()).collect();
    assert!(taken.iter().all(|taken| !taken), "three are above the limit");
    manager.run_until_idle();
    assert_eq!(manager.most_used("two each", 9).map(|it| it.len()), Ok(1), "ann has bought");
}

#[test]
fn a_call_goes_by_the_maximum_that_it_has_read_to_its_end() {
    for (most, asked) in [(1, 2), (3, 3)] {
        let clock = Arc::new(Trap::default());
        let builder = threaded().without_threads().clock(Arc::clone(&clock));
        let manager = builder.subject_secret([7; 16]).build().expect("a shop");
        manager.add_stock(SHOE, 100, "SUPPLIER").expect("room");
        manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
        // The call reads the clock when it knows what it is to draw.
        let meddler = manager.clone();
        clock.arm(move || {
            let limit = LimitRule::new("two each", "customer", most).products(["SHOE"]);
            meddler.define_limit(limit).expect("the same limit");
        });
        let ann = manager.request().subject("customer", "ann");
        let made = ann.reserve(SHOE, asked, TTL);
        assert_eq!(manager.usage("two each", "ann").map(|it| it.maximum), Ok(most));
        if asked > MOST {
            let reached = |it: &LimitError| matches!(it, LimitError::Reached { maximum: MOST, .. });
            assert!(matches!(&made, Err(ReserveError::Limit(it)) if reached(it)), "{made:?}");
            continue;
        }
        assert!(made.is_ok(), "{made:?}");
        let log = log_of(&manager);
        let drawn = &log.iter().find(|entry| !entry.limits.is_empty()).expect("a draw").limits[0];
        assert_eq!((drawn.version, drawn.maximum, drawn.used_after), (1, MOST, 2));
    }
}

#[test]
fn what_a_dropped_limit_drew_is_given_back_and_leaves_the_table() {
    let limits = small().max_allowances(1);
    let manager = quiet(&clock()).limits(limits).subject_secret([7; 16]).build().expect("a shop");
    manager.add_stock(SHOE, 100, "SUPPLIER").expect("room");
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let of = |who: &str| manager.request().subject("customer", who);
    let hold = of("ann").reserve(SHOE, 1, TTL).expect("room");
    manager.drop_limit("two each").expect("a limit");
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a new limit");
    assert!(of("bob").reserve(SHOE, 1, TTL).is_err(), "ann's draw is still there");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    of("bob").reserve(SHOE, 1, TTL).expect("and now it is not");
}

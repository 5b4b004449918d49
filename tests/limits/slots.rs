//! Slots of reservations.

use stockade::{
    BasketLine, ConfirmOrRetake, InventoryManager, JournalError, Limits, PartialError, Release,
    ReservationId, ReserveError,
};

use crate::{ENDS, End, HOUR, LAPTOPS, Shop, tiny};

const FULL: Result<ReservationId, ReserveError> = Err(ReserveError::Full { slots: 16 });

fn reserve(manager: &InventoryManager) -> Result<ReservationId, ReserveError> {
    manager.reserve(LAPTOPS, 1, HOUR)
}

/// Reserves until the engine refuses, and returns how many holds it made.
fn fill(manager: &InventoryManager) -> usize {
    let made = (0..).take_while(|_| reserve(manager).is_ok()).count();
    assert_eq!(reserve(manager), FULL);
    made
}

fn live(manager: &InventoryManager) -> usize {
    manager.stats().slots_live
}

/// Fills a shop to its brim after `begin`, ends it, and opens it again. What was refused is refused
/// still; the slot of a hold that ends is free again.
fn at_the_brim(begin: impl Fn(&InventoryManager)) {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.stocked(tiny());
        begin(&first);
        fill(&first);
        let (used, counts) = (live(&first), first.counts(LAPTOPS));
        shop.end(first, end);

        let again = shop.open(tiny());
        assert_eq!((live(&again), again.counts(LAPTOPS)), (used, counts), "{end:?}");
        assert_eq!(reserve(&again), FULL, "{end:?}");
        let page = again.reservations(LAPTOPS, None, 100).expect("a level");
        let plain =
            page.reservations.iter().find(|it| it.lines.len() == 1 && it.lines[0].sold == 0);
        if let Some(hold) = plain {
            assert_eq!(again.release(hold.id), Ok(Release::Released), "{end:?}");
            assert!(fill(&again) >= 1, "{end:?}");
        }
    }
}

fn lines(products: usize) -> Vec<BasketLine<'static>> {
    const NAMES: [&str; 6] = ["LAPTOP", "PHONE", "CABLE", "DESK", "LAMP", "LAST"];
    let warehouses = ["SF", "NYC"].into_iter();
    let places = warehouses.flat_map(|warehouse| NAMES.map(|product| (warehouse, product)));
    places.take(products).map(|place| BasketLine::new(place, 2)).collect()
}

fn stock_all(manager: &InventoryManager) {
    for line in lines(12) {
        manager.request().add_stock(line.level, 1_000, "SUPPLIER").expect("room");
    }
}

#[test]
fn plain_holds() {
    at_the_brim(|manager| {
        for _ in 0..16 {
            reserve(manager).expect("a free slot");
        }
    });
}

#[test]
fn baskets() {
    at_the_brim(|manager| {
        stock_all(manager);
        for count in [2, 3, 5] {
            manager.reserve_basket(&lines(count), HOUR).expect("free slots");
        }
    });
}

#[test]
fn a_basket_that_lies_where_finished_records_were() {
    at_the_brim(|manager| {
        stock_all(manager);
        let holds: Vec<_> = (0..16).map(|_| reserve(manager).expect("a free slot")).collect();
        holds.iter().for_each(|hold| _ = manager.release(*hold).expect("pending"));
        manager.reserve_basket(&lines(12), HOUR).expect("slots of finished records");
    });
}

#[test]
fn holds_of_which_a_part_is_sold() {
    at_the_brim(|manager| {
        stock_all(manager);
        let basket = manager.reserve_basket(&lines(3), HOUR).expect("free slots");
        let part = [BasketLine::new(LAPTOPS, 1)];
        manager.confirm_lines(basket, &part).expect("held");
        let hold = manager.reserve(LAPTOPS, 2, HOUR).expect("a free slot");
        manager.release_lines(hold, &part).expect("held");
    });
}

#[test]
fn sold_records_that_are_kept_until_they_are_shipped() {
    at_the_brim(|manager| {
        stock_all(manager);
        let request = manager.request().keep_until_shipped();
        let basket = request.reserve_basket(&lines(3), HOUR).expect("free slots");
        manager.confirm(basket).expect("pending");
        let basket = request.reserve_basket(&lines(2), HOUR).expect("free slots");
        manager.confirm_lines(basket, &lines(1)).expect("held");
        let partly = Release::PartlySold { sold: 2, returned: 2 };
        assert_eq!(manager.release(basket), Ok(partly));
        manager.ship_lines(basket, &[BasketLine::new(LAPTOPS, 1)]).expect("sold");
    });
}

#[test]
fn retaken_holds_that_are_kept_until_they_are_shipped() {
    at_the_brim(|manager| {
        stock_all(manager);
        let hold = reserve(manager).expect("a free slot");
        assert_eq!(manager.release(hold), Ok(Release::Released));
        let request = manager.request().keep_until_shipped();
        let anew = request.confirm_or_retake_lines(hold, &[BasketLine::new(LAPTOPS, 1)]);
        assert!(matches!(anew, Ok(ConfirmOrRetake::Retaken(_))), "{anew:?}");
    });
}

#[test]
fn a_kept_record_outlives_finished_records_where_slots_are_short() {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.stocked(tiny());
        stock_all(&first);
        // The kept record is the oldest that has ended.
        let request = first.request().keep_until_shipped();
        let kept = request.reserve_basket(&lines(3), HOUR).expect("free slots");
        first.confirm(kept).expect("pending");
        for _ in 0..13 {
            shop.clock.advance(std::time::Duration::from_millis(1));
            let hold = reserve(&first).expect("a free slot");
            assert_eq!(first.release(hold), Ok(Release::Released));
        }
        let basket = first.reserve_basket(&lines(6), HOUR).expect("slots of finished records");
        shop.end(first, end);
        let again = shop.open(tiny());
        assert_eq!(again.reservation(kept).map(|it| it.lines.len()), Ok(3), "{end:?}");
        assert_eq!(again.reservation(basket).map(|it| it.lines.len()), Ok(6), "{end:?}");
        again.ship_lines(kept, &lines(3)).expect("sold and kept");
    }
}

#[test]
fn of_finished_records_the_newest_stay_where_slots_are_short() {
    let mut shop = Shop::new();
    let first = shop.stocked(tiny());
    stock_all(&first);
    let ended = || {
        shop.clock.advance(std::time::Duration::from_millis(1));
        let hold = reserve(&first).expect("a free slot");
        assert_eq!(first.release(hold), Ok(Release::Released));
        hold
    };
    let records: Vec<_> = (0..16).map(|_| ended()).collect();
    first.reserve_basket(&lines(12), HOUR).expect("slots of finished records");
    shop.end(first, End::Closed);
    let again = shop.open(tiny());
    let known: Vec<bool> = records.iter().map(|id| again.reservation(*id).is_ok()).collect();
    let newest = known.iter().rev().take_while(|known| **known).count();
    assert_eq!((newest, known.iter().filter(|known| **known).count()), (4, 4), "{known:?}");
}

#[test]
fn what_a_step_can_not_do_at_the_brim_it_can_not_do_after_an_opening() {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.stocked(tiny());
        let hold = first.reserve(LAPTOPS, 2, HOUR).expect("a free slot");
        fill(&first);
        let part = [BasketLine::new(LAPTOPS, 1)];
        let refusal = Err(PartialError::Full { slots: 16 });
        assert_eq!(first.confirm_lines(hold, &part), refusal);
        shop.end(first, end);
        assert_eq!(shop.open(tiny()).confirm_lines(hold, &part), refusal, "{end:?}");
    }
}

#[test]
fn an_engine_of_fewer_slots_takes_over_all_holds_and_makes_none() {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.stocked(tiny());
        fill(&first);
        shop.end(first, end);
        let again = shop.open(tiny().max_reservations(4));
        assert_eq!(live(&again), 16, "{end:?}");
        assert_eq!(reserve(&again), Err(ReserveError::Full { slots: 4 }), "{end:?}");
    }
}

#[test]
fn a_journal_that_needs_more_slots_is_refused_with_the_number_that_opens_it() {
    for end in ENDS {
        let mut shop = Shop::new();
        let few = || tiny().shrink([4, 8, 32, 4]);
        let first = shop.stocked(few());
        fill(&first);
        shop.end(first, end);
        let refusal = shop.builder(few().max_reservations(15)).build().err();
        let (what, setting) = ("slots of reservations", Some("max_reservations"));
        let expected = JournalError::TooMany { what, needed: 16, most: 15, setting };
        assert_eq!(refusal, Some(expected.into()), "{end:?}");
        assert_eq!(live(&shop.open(few().max_reservations(16))), 16, "{end:?}");
    }
}

#[test]
fn random_shops_open_again_with_every_slot_as_it_was() {
    for seed in 0..150_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut shop = Shop::new();
        let limits = tiny().max_reservations(24).shrink([4, 8, 32, 24]);
        let mut manager = shop.stocked(limits.clone());
        stock_all(&manager);
        let mut holds = Vec::new();
        for _ in 0..3 {
            for _ in 0..60 {
                one_call(&manager, &mut random, &mut holds);
                shop.clock.advance(std::time::Duration::from_millis(random.below(3) as u64));
            }
            let before: Vec<_> = holds.iter().map(|id| shown(&manager, *id)).collect();
            let used = live(&manager);
            shop.end(manager, ENDS[random.below(3)]);
            manager = shop.open(limits.clone());
            // A record that was sold in steps may lie in fewer slots now.
            assert!(live(&manager) <= used, "seed {seed}: {} of {used}", live(&manager));
            for (id, before) in holds.iter().zip(before) {
                let (before, must_stay) = before;
                let (after, _) = shown(&manager, *id);
                // A finished record may be forgotten, or found in the journal, but not changed.
                let may_go = !must_stay && (before.is_none() || after.is_none());
                assert!(after == before || may_go, "seed {seed}: {id}: {before:?}, then {after:?}");
            }
        }
    }
}

/// A reservation as text, and whether it must stay.
fn shown(manager: &InventoryManager, id: ReservationId) -> (Option<String>, bool) {
    let Ok(found) = manager.reservation(id) else { return (None, false) };
    let lines: Vec<_> = found.lines.iter().map(|it| (it.held, it.sold, it.quantity)).collect();
    let pending = found.status == stockade::ReservationStatus::Pending;
    (Some(format!("{:?} {:?} {lines:?}", found.status, found.retaken_from)), pending)
}

fn one_call(manager: &InventoryManager, random: &mut Random, holds: &mut Vec<ReservationId>) {
    let count = 1 + random.below(4);
    let lines = lines(count);
    let request = manager.request();
    let known = holds.get(random.below(holds.len().max(1))).copied();
    let part = [BasketLine::new(LAPTOPS, 1)];
    // A refusal is fine: what counts is what the engine accepts.
    match (random.below(9), known) {
        (0..3, _) => holds.extend(request.reserve_basket(&lines, HOUR)),
        (3, _) => holds.extend(request.keep_until_shipped().reserve_basket(&lines, HOUR)),
        (4, Some(id)) => _ = manager.confirm(id),
        (5, Some(id)) => _ = manager.release(id),
        (6, Some(id)) => _ = manager.confirm_lines(id, &part),
        (7, Some(id)) => _ = manager.ship_lines(id, &lines),
        (8, Some(id)) => {
            let request = manager.request().keep_until_shipped();
            let lines: Vec<_> = lines.iter().map(|it| BasketLine::new(it.level, 2)).collect();
            if let Ok(ConfirmOrRetake::Retaken(by)) = request.confirm_or_retake_lines(id, &lines) {
                holds.push(by);
            }
        }
        _ => {}
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

/// Run by hand, in release: six million plain reserves with the default limits, in a journal on a
/// real disk. `STOCKADE_RESERVES` asks for another number.
#[test]
#[ignore = "takes minutes and gigabytes; run it by hand"]
#[allow(clippy::print_stdout, reason = "whoever asks for it by name wants the figures")]
fn millions_of_plain_holds_open_again() {
    let asked = std::env::var("STOCKADE_RESERVES").ok().and_then(|count| count.parse().ok());
    let count: u32 = asked.unwrap_or(6_000_000);
    let directory = std::env::temp_dir().join(format!("stockade-limits-{}", std::process::id()));
    let open = || {
        let builder = InventoryManager::builder().warehouse("SF").limits(Limits::new());
        builder.journal(&directory).build()
    };
    let began = std::time::Instant::now();
    let manager = open().expect("a new journal");
    manager.add_stock(LAPTOPS, 2 * count, "SUPPLIER").expect("room");
    for made in 0..count {
        assert!(manager.reserve(LAPTOPS, 1, HOUR).is_ok(), "hold {made}");
    }
    let next = manager.reserve(LAPTOPS, 1, HOUR);
    let most = Limits::new();
    println!("{count} reserves in {:?} of {most:?}; the next: {next:?}", began.elapsed());
    assert!(manager.shutdown(HOUR).is_clean());
    drop(manager);
    let began = std::time::Instant::now();
    let again = open().expect("what an engine accepts, it can open again");
    println!("opened in {:?}", began.elapsed());
    let live = again.stats().slots_live as u32;
    assert_eq!(live, count + u32::from(next.is_ok()));
    drop(again);
    std::fs::remove_dir_all(&directory).expect("a directory of ours");
}

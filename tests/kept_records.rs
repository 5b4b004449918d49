//! Finished records without a journal: none leaves before its time in silence. The builder chooses
//! whether new reservations are refused or old records leave, and both show.

mod common;

use std::sync::Arc;
use std::time::Duration;

use stockade::{
    BasketError, BasketLine, Builder, ConfirmError, Gone, Health, InventoryManager, Limits,
    ManualClock, NoReservation, Release, ReservationId, ReserveError, Timestamp, WhenFull,
};

use common::{LAPTOPS, LONG, clock, ms, quiet, race, small};

const SLOTS: u32 = 1_000;
const RECORDS: usize = 200;
/// The time of a record.
const KEPT: Duration = Duration::from_secs(80);

fn limits(when_full: WhenFull) -> Limits {
    let limits = small().max_reservations(SLOTS).retention(KEPT, RECORDS);
    limits.records_when_full(when_full)
}

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 1_000_000, "SUPPLIER").expect("room");
    manager
}

fn keeping(clock: &Arc<ManualClock>) -> InventoryManager {
    stocked(quiet(clock).limits(limits(WhenFull::Refuse)))
}

/// Sells until it is refused, or so often.
fn sell(manager: &InventoryManager, most: usize) -> Vec<ReservationId> {
    let mut ids = Vec::new();
    while ids.len() < most {
        match manager.sell(LAPTOPS, 1) {
            Ok(id) => ids.push(id),
            Err(refused) => {
                assert_eq!(refused, ReserveError::Full { slots: SLOTS });
                break;
            }
        }
    }
    ids
}

fn all_readable(manager: &InventoryManager, ids: &[ReservationId]) {
    for id in ids {
        assert_eq!(manager.confirm(*id), Err(ConfirmError::Gone(Gone::Sold { units: 1 })));
    }
}

fn reason(manager: &InventoryManager) -> String {
    match manager.health() {
        Health::Degraded { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn told_to_keep_all_the_engine_refuses_new_reservations_and_no_record_leaves() {
    let clock = clock();
    let manager = keeping(&clock);
    let first = sell(&manager, 790);
    assert_eq!(manager.health(), Health::Ok);
    clock.advance(ms(1_000));
    let second = sell(&manager, usize::MAX);
    assert!(second.len() >= 100, "{}", second.len());
    let kept = first.len() + second.len();
    assert!(kept > SLOTS as usize - 70, "{kept}: the threads keep a few free slots to themselves");
    all_readable(&manager, &first);
    all_readable(&manager, &second);
    assert!(reason(&manager).contains("slots for reservations and records are taken"));
    let basket = [BasketLine::new(LAPTOPS, 1)];
    let refused = manager.reserve_basket(&basket, LONG);
    assert_eq!(refused, Err(BasketError::Full { slots: SLOTS }));
    // Until the time of the oldest is up: an eighth later at most.
    clock.advance(KEPT - ms(1_001));
    assert_eq!(sell(&manager, 1), []);
    all_readable(&manager, &first);
    clock.advance(KEPT / 8 + ms(1_001));
    let third = sell(&manager, 500);
    assert_eq!(third.len(), 500);
    all_readable(&manager, &third);
    let stats = manager.stats();
    assert_eq!((stats.records_dropped_early, stats.refusals.full), (0, 3));
    let forgotten = first.iter().filter(|id| manager.reservation(**id).is_err()).count();
    assert!(forgotten >= 400, "{forgotten}");
}

#[test]
fn round_after_round_every_record_has_its_time_and_every_slot_comes_back() {
    let clock = clock();
    let manager = keeping(&clock);
    let mut kept: Vec<(Timestamp, ReservationId)> = Vec::new();
    let (mut sold, mut refused) = (0, 0);
    for step in 0..4_000_u64 {
        // From a trickle to a flood, and a pause.
        clock.advance(ms(if step % 1_000 == 999 { 400_000 } else { 20 + step % 7 * 10 }));
        let now = Timestamp::from_millis(clock_now(&clock));
        kept.retain(|(at, _)| now.saturating_since(*at) < KEPT);
        match manager.sell(LAPTOPS, 1) {
            Ok(id) => {
                sold += 1;
                kept.push((now, id));
            }
            Err(error) => {
                assert_eq!(error, ReserveError::Full { slots: SLOTS });
                refused += 1;
            }
        }
        if step % 50 == 0 {
            let ids: Vec<_> = kept.iter().map(|(_, id)| *id).collect();
            all_readable(&manager, &ids);
        }
    }
    assert!(sold > 1_500 && refused > 300, "{sold} sold, {refused} refused");
    assert_eq!(manager.stats().records_dropped_early, 0);
    // All slots are there again, none is lost on the way.
    clock.advance(2 * KEPT);
    let _ = sell(&manager, 1);
    clock.advance(2 * KEPT);
    let all = sell(&manager, usize::MAX).len();
    clock.advance(2 * KEPT);
    let again = sell(&manager, usize::MAX).len();
    assert!(all > SLOTS as usize - 70 && again > SLOTS as usize - 70, "{all}, {again}");
}

fn clock_now(clock: &Arc<ManualClock>) -> u64 {
    use stockade::Clock;
    clock.now().as_millis()
}

#[test]
fn a_basket_that_is_short_takes_no_slot_for_the_time_of_a_record() {
    let clock = clock();
    let manager = keeping(&clock);
    let mice = ("SF", "MOUSE");
    manager.add_stock(mice, 1, "SUPPLIER").expect("room");
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(mice, 2)];
    for _ in 0..2 * SLOTS {
        let short = manager.reserve_basket(&lines, LONG);
        assert!(matches!(short, Err(BasketError::Insufficient { .. })), "{short:?}");
    }
    assert!(sell(&manager, usize::MAX).len() > SLOTS as usize - 70);
}

#[test]
fn a_long_basket_that_gets_only_some_of_its_slots_gives_all_back() {
    let clock = clock();
    let manager = keeping(&clock);
    assert_eq!(sell(&manager, SLOTS as usize / 2).len(), SLOTS as usize / 2);
    let products: Vec<String> = (0..SLOTS - 100).map(|number| format!("P{number}")).collect();
    for product in &products {
        manager.add_stock(("SF", &**product), 1_000, "SUPPLIER").expect("room");
    }
    let lines: Vec<_> = products.iter().map(|it| BasketLine::new(("SF", &**it), 1)).collect();
    for _ in 0..3 {
        let refused = manager.reserve_basket(&lines, LONG);
        assert_eq!(refused, Err(BasketError::Full { slots: SLOTS }));
    }
    let left = sell(&manager, usize::MAX).len();
    assert!(left > SLOTS as usize / 2 - 70, "{left}");
    assert_eq!(manager.stats().records_dropped_early, 0);
}

#[test]
fn threads_that_race_for_the_last_slots_drop_no_record() {
    let clock = clock();
    let manager = keeping(&clock);
    for _ in 0..5 {
        let sold = race(8, |_| sell(&manager, 400));
        let ids: Vec<_> = sold.into_iter().flatten().collect();
        assert!(ids.len() > 300, "{}", ids.len());
        all_readable(&manager, &ids);
        // Whatever went to the depot late is free by then.
        clock.advance(2 * KEPT);
        let _ = manager.sell(LAPTOPS, 1);
        clock.advance(2 * KEPT);
    }
    assert_eq!(manager.stats().records_dropped_early, 0);
}

#[test]
fn a_record_that_leaves_before_its_time_is_counted_and_shows_in_the_health() {
    let clock = clock();
    let manager = stocked(quiet(&clock).limits(limits(WhenFull::DropOldest)));
    let first = sell(&manager, 100);
    assert_eq!((manager.health(), manager.stats().records_dropped_early), (Health::Ok, 0));
    clock.advance(ms(5));
    assert_eq!(sell(&manager, 2_000).len(), 2_000, "none is refused");
    let stats = manager.stats();
    assert!(stats.records_dropped_early > 1_000, "{}", stats.records_dropped_early);
    assert_eq!(manager.reservation(first[0]), Err(NoReservation::Forgotten));
    assert!(reason(&manager).contains("records of reservations were dropped before their time"));
    // Until the time of the newest that left is up.
    clock.advance(KEPT + ms(1));
    assert_eq!(manager.health(), Health::Ok);
    assert!(stats.oldest_record.is_some_and(|age| age <= ms(5)), "{:?}", stats.oldest_record);
    assert!(manager.stats().oldest_record.is_some_and(|age| age > KEPT));
}

/// What is kept for no time at all leaves in its time.
#[test]
fn who_keeps_no_records_hears_of_none() {
    for when_full in [WhenFull::Refuse, WhenFull::DropOldest] {
        let limits = limits(when_full).retention(Duration::ZERO, 0);
        let manager = stocked(quiet(&clock()).limits(limits));
        for _ in 0..3 {
            let hold = manager.reserve(LAPTOPS, 1, LONG).expect("a slot");
            assert_eq!(manager.release(hold), Ok(Release::Released));
            assert_eq!(sell(&manager, 2_000).len(), 2_000);
        }
        assert_eq!((manager.health(), manager.stats().records_dropped_early), (Health::Ok, 0));
    }
}

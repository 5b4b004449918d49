//! What comes late: a payment that comes again after the days that answers are kept, and a retry
//! after a long stop. Nothing is sold twice.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, ConfirmOrRetake, IdempotencyKey, InventoryManager, JournalOptions, Limits,
    ManualClock, NoReservation, ReservationId, RetakeError, Timestamp,
};

use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Shop {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
}

impl Shop {
    fn new() -> Self {
        let start = Timestamp::from_millis(1_790_000_000_000);
        Self { disk: SimulatedDisk::new(), clock: Arc::new(ManualClock::at(start)) }
    }

    fn open(&self, limits: Limits) -> InventoryManager {
        let journal = JournalOptions::storage(self.disk.clone()).segment_bytes(2_000);
        let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(&self.clock));
        let builder = builder.limits(limits).journal(journal.checkpoint_every(2));
        let manager = builder.without_threads().build().expect("a sound journal");
        if manager.available(LAPTOPS).is_err() {
            manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
        }
        manager
    }

    /// A hold that is over, and retaken.
    fn retaken(&self, manager: &InventoryManager) -> ReservationId {
        let hold = manager.reserve(LAPTOPS, 2, MINUTE).expect("stock");
        self.clock.advance(2 * MINUTE);
        manager.run_until_idle();
        let paid = manager.confirm_or_retake(hold).expect("stock");
        assert!(matches!(paid, ConfirmOrRetake::Retaken(_)), "{paid:?}");
        hold
    }

    /// Other calls, for so many days.
    fn trade(&self, manager: &InventoryManager, days: u32) {
        for _ in 0..days {
            for _ in 0..20 {
                let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
                let _ = manager.release(hold).expect("pending");
            }
            assert!(manager.verify().expect("sound").is_sound());
            self.clock.advance(DAY);
        }
    }
}

/// The payment comes again: nothing may be sold for it once more.
#[track_caller]
fn assert_not_sold_again(manager: &InventoryManager, hold: ReservationId) {
    let sold = manager.sold(LAPTOPS).expect("stocked");
    let told = [
        manager.confirm_or_retake(hold),
        manager.confirm_or_retake_lines(hold, &[BasketLine::new(LAPTOPS, 2)]),
    ];
    for told in told {
        let forgotten = Err(RetakeError::NoReservation(NoReservation::Forgotten));
        let is_right = matches!(told, Ok(ConfirmOrRetake::AlreadyRetaken(_))) || told == forgotten;
        assert!(is_right, "{told:?}");
    }
    assert_eq!(manager.sold(LAPTOPS), Ok(sold));
}

#[test]
fn not_again_when_the_retake_is_forgotten_and_the_hold_is_not() {
    // Its record in memory outlives the retake's days in the outcome files.
    let shop = Shop::new();
    let manager = shop.open(Limits::new());
    let hold = shop.retaken(&manager);
    shop.trade(&manager, 9);
    assert_not_sold_again(&manager, hold);
    drop(manager);
    let manager = shop.open(Limits::new());
    assert_not_sold_again(&manager, hold);
}

#[test]
fn not_again_when_an_outcome_file_is_kept_longer_than_it_need() {
    for days in 5..14 {
        let shop = Shop::new();
        let few = || Limits::new().retention(Duration::from_millis(1), 8).audit_retained(8);
        let manager = shop.open(few());
        let hold = shop.retaken(&manager);
        shop.trade(&manager, days);
        assert_not_sold_again(&manager, hold);
        drop(manager);
        let manager = shop.open(few());
        assert_not_sold_again(&manager, hold);
    }
}

/// Of a long stop only a day counts. So an answer may be in its days by the journal's time, and
/// past them by the clock.
#[test]
fn a_retry_after_a_long_stop_runs_once_before_and_after_its_file_is_written() {
    for killed in [false, true] {
        let mut shop = Shop::new();
        let manager = shop.open(Limits::new());
        let keyed = |manager: &InventoryManager| {
            let key = IdempotencyKey::try_from("order-1").expect("short");
            manager.request().key(key).reserve(LAPTOPS, 3, MINUTE)
        };
        let hold = keyed(&manager).expect("stock");
        manager.flush().wait().expect("written");
        let left = shop.disk.killed();
        drop(manager);
        if killed {
            shop.disk = left;
        }
        shop.clock.advance(20 * DAY);
        let manager = shop.open(Limits::new());
        assert_eq!(keyed(&manager), Ok(hold), "no file has it yet; killed: {killed}");
        assert!(manager.verify().expect("sound").is_sound());
        assert_eq!(keyed(&manager), Ok(hold), "killed: {killed}");
    }
}

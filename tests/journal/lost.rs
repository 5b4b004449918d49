//! A hold that was acknowledged and lost in a crash is told from one that was never made.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, ConfirmError, Gone, IdempotencyKey, InventoryManager, ManualClock, NoReservation,
    PartialError, Release, ReservationId, RetakeError, SoldLinesError, Timestamp,
};
use uuid::Uuid;

use crate::state::{MINUTE, engine_on};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const MS: Duration = Duration::from_millis(1);

struct Shop {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
}

impl Shop {
    fn new() -> Self {
        let start = Timestamp::from_millis(1_790_000_000_000);
        Self { disk: SimulatedDisk::new(), clock: Arc::new(ManualClock::at(start)) }
    }

    fn open(&self) -> InventoryManager {
        let builder = engine_on(&self.disk).clock(Arc::clone(&self.clock));
        let manager = builder.build().expect("a sound journal");
        self.clock.advance(MS);
        manager
    }

    /// A hold that is answered and not on the disk when the power goes.
    fn lose_a_hold(&mut self, manager: InventoryManager) -> ReservationId {
        manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        manager.flush().wait().expect("a sound disk");
        self.clock.advance(MS);
        let hold = manager.reserve(LAPTOPS, 2, MINUTE).expect("stock");
        self.disk = self.disk.crash(self.disk.steps(), |_| false);
        drop(manager);
        self.clock.advance(MS);
        hold
    }
}

/// The same id, as another opening would have made it.
fn of_another_opening(id: ReservationId) -> ReservationId {
    let uuid = Uuid::from_u128(id.as_uuid().as_u128() ^ 1 << 40);
    ReservationId::from_uuid(uuid).expect("an id")
}

#[track_caller]
fn assert_lost(manager: &InventoryManager, id: ReservationId, opening: u64) {
    let (lost, gone) = (NoReservation::Lost { opening }, Gone::Lost { opening });
    let line = [BasketLine::new(LAPTOPS, 1)];
    assert_eq!(manager.reservation(id), Err(lost));
    assert_eq!(manager.confirm(id), Err(ConfirmError::Gone(gone)));
    assert_eq!(manager.extend(id, MINUTE), Err(gone.into()));
    assert_eq!(manager.release(id), Ok(Release::Lost { opening }));
    assert_eq!(manager.confirm_lines(id, &line), Err(PartialError::Gone(gone)));
    assert_eq!(manager.ship_lines(id, &line), Err(SoldLinesError::NoReservation(lost)));
    assert_eq!(manager.confirm_or_retake(id), Err(RetakeError::NoReservation(lost)));
    let named = manager.confirm_or_retake_lines(id, &[BasketLine::new(LAPTOPS, 2)]);
    assert_eq!(named, Err(RetakeError::NoReservation(lost)));
    let text = format!("was lost in the crash that ended opening {opening} of the journal");
    assert!(gone.to_string().contains(&text) && gone.code() == "hold_lost", "{gone}");
}

#[test]
fn a_hold_that_a_crash_took_is_lost_and_was_made() {
    let mut shop = Shop::new();
    let first = shop.open();
    let lost = shop.lose_a_hold(first);
    let again = shop.open();
    assert_eq!(again.held(LAPTOPS), Ok(0));
    assert_lost(&again, lost, 1);
    // An id that no opening made in that time.
    let forged = of_another_opening(lost);
    assert_eq!(again.reservation(forged), Err(NoReservation::Unknown));
    // Its slot is used by another hold since: it is lost all the same, not over.
    let other = again.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    assert_eq!(again.release(other), Ok(Release::Released));
    assert_lost(&again, lost, 1);
}

#[test]
fn what_earlier_crashes_took_is_told_by_every_later_opening() {
    let mut shop = Shop::new();
    let mut lost = Vec::new();
    for opening in 1..=6 {
        let manager = shop.open();
        lost.iter().for_each(|(id, opening)| assert_lost(&manager, *id, *opening));
        lost.push((shop.lose_a_hold(manager), opening));
    }
    let last = shop.open();
    lost.iter().for_each(|(id, opening)| assert_lost(&last, *id, *opening));
    let made = last.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    assert!(last.reservation(made).is_ok());
}

/// What is on the disk is never called lost: ids of all times, of holds that ended and were
/// forgotten, and ids that nobody made.
#[test]
fn what_was_saved_is_not_lost() {
    let shop = Shop::new();
    let mut made = Vec::new();
    for _ in 0..3 {
        let manager = shop.open();
        manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
        for _ in 0..30 {
            shop.clock.advance(MS);
            let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
            assert_eq!(manager.release(hold), Ok(Release::Released));
            made.push(hold);
        }
        shop.clock.advance(MINUTE);
    }
    let last = shop.open();
    let is_lost = |id| matches!(last.reservation(id), Err(NoReservation::Lost { .. }));
    assert!(!made.iter().any(|id| is_lost(*id)));
    assert!(!made.iter().any(|id| is_lost(of_another_opening(*id))));
}

#[test]
fn a_keyed_release_of_a_lost_hold_has_one_answer_over_a_restart() {
    let mut shop = Shop::new();
    let first = shop.open();
    let lost = shop.lose_a_hold(first);
    let key = IdempotencyKey::try_from("give back").expect("a key");
    let release = |manager: &InventoryManager| manager.request().key(key).release(lost);
    let again = shop.open();
    assert_eq!(release(&again), Ok(Release::Lost { opening: 1 }));
    assert!(again.shutdown(MINUTE).is_clean());
    drop(again);
    assert_eq!(release(&shop.open()), Ok(Release::Lost { opening: 1 }));
}

/// A part that was sold, and the answer to a late payment: their keys' answers outlive a restart.
#[test]
fn answers_with_units_outlive_a_restart() {
    let shop = Shop::new();
    let first = shop.open();
    first.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let hold = first.reserve(LAPTOPS, 3, MINUTE).expect("stock");
    first.confirm_lines(hold, &[BasketLine::new(LAPTOPS, 2)]).expect("held");
    let key = |text| IdempotencyKey::try_from(text).expect("a key");
    let ask = |manager: &InventoryManager| {
        let released = manager.request().key(key("release")).release(hold).expect("a record");
        let late = manager.request().key(key("pay")).confirm_or_retake(hold).expect("a record");
        (released, late)
    };
    let answers = ask(&first);
    assert_eq!(answers.0, Release::PartlySold { sold: 2, returned: 1 });
    assert_eq!(answers.1, stockade::ConfirmOrRetake::PartlySold { sold: 2, returned: 1 });
    assert!(first.shutdown(MINUTE).is_clean());
    drop(first);
    let again = shop.open();
    assert_eq!(ask(&again), answers);
    let entries = again.audit_log().newest_sequence();
    assert_eq!((ask(&again), again.audit_log().newest_sequence()), (answers, entries));
}

/// Who keeps a record at its confirmation finds it after a restart, and until all is shipped.
#[test]
fn a_record_that_is_kept_from_its_confirmation_on_outlives_a_restart() {
    let shop = Shop::new();
    let first = shop.open();
    first.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let keep = first.request().keep_until_shipped();
    let (whole, part) = {
        let hold = || first.reserve(LAPTOPS, 2, MINUTE).expect("stock");
        (hold(), hold())
    };
    keep.confirm(whole).expect("pending");
    keep.confirm_lines(part, &[BasketLine::new(LAPTOPS, 1)]).expect("held");
    assert!(first.shutdown(MINUTE).is_clean());
    drop(first);
    let again = shop.open();
    for id in [whole, part] {
        assert!(again.reservation(id).expect("kept").keep_until_shipped);
    }
    assert_eq!(again.release(part), Ok(Release::PartlySold { sold: 1, returned: 1 }));
    shop.clock.advance(60 * MINUTE);
    for _ in 0..20_000 {
        let other = again.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        assert_eq!(again.release(other), Ok(Release::Released));
    }
    for (id, units) in [(whole, 2), (part, 1)] {
        again.ship_lines(id, &[BasketLine::new(LAPTOPS, units)]).expect("kept");
    }
}

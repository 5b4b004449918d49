//! While outcome files are made anew, no call says of an older answer that there is none.

use std::sync::atomic::Ordering;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, CallError, ConfirmError, ConfirmOrRetake, ExtendError, Gone, InventoryManager,
    KeyAnswer, KeyError, NoReservation, PartialError, Release, ReleaseError, ReservationId,
    RetakeError,
};

use crate::outcomes::{
    HOUR, LAPTOPS, Refusing, available, clock, key, orders, others, reserve, settle, stocked,
};
use crate::state::MINUTE;

const NOT_NOW: CallError = CallError::Key(KeyError::Gathering);

fn one() -> [BasketLine<'static>; 1] {
    [BasketLine::new(LAPTOPS, 1)]
}

/// An engine whose outcome files are gone and can't be made anew at present. Of the orders, half
/// were sold and half released; memory knows none of them.
fn without_its_files() -> (InventoryManager, Refusing, Vec<ReservationId>) {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let ids = orders(&manager, 100);
    for (number, id) in ids.iter().enumerate() {
        match number % 2 {
            0 => manager.confirm(*id).expect("pending"),
            _ => assert_eq!(manager.release(*id), Ok(Release::Released)),
        }
    }
    clock.advance(MINUTE);
    others(&manager, "other", 1_000);
    clock.advance(MINUTE);
    drop(manager);
    let files = disk.files().into_iter().filter(|(name, _)| !name.ends_with(".outcomes"));
    let refusing = Refusing::new(&SimulatedDisk::with_files(files), true);
    let manager = refusing.open(&clock);
    (manager, refusing, ids)
}

/// Lets the files be made anew. The newest ones come first, which the auditor has gathered.
fn made_anew(manager: &InventoryManager, refusing: &Refusing) {
    refusing.refuses.store(false, Ordering::SeqCst);
    settle(manager);
}

#[test]
fn nobody_hears_that_there_is_no_answer_while_nobody_knows() {
    let (manager, refusing, ids) = without_its_files();
    let left = available(&manager);
    for (number, id) in ids.iter().enumerate() {
        let key = key("order", number);
        assert_eq!(manager.answer_of(&key), Err(KeyError::Gathering));
        assert_eq!(manager.reservation_by_key(&key), Err(NoReservation::Gathering));
        assert_eq!(manager.reservation(*id), Err(NoReservation::Gathering));
        assert_eq!(manager.confirm(*id), Err(ConfirmError::Call(NOT_NOW)));
        assert_eq!(manager.release(*id), Err(ReleaseError::Call(NOT_NOW)));
        assert_eq!(manager.extend(*id, HOUR), Err(ExtendError::Call(NOT_NOW)));
        assert_eq!(manager.confirm_lines(*id, &one()), Err(PartialError::Call(NOT_NOW)));
        assert_eq!(manager.release_lines(*id, &one()), Err(PartialError::Call(NOT_NOW)));
        assert_eq!(manager.confirm_or_retake(*id), Err(RetakeError::Call(NOT_NOW)));
        let retaken = manager.confirm_or_retake_lines(*id, &one());
        assert_eq!(retaken, Err(RetakeError::Call(NOT_NOW)));
    }
    let not_yet = NoReservation::Gathering;
    assert!(not_yet.is_retryable() && not_yet.code() == "hold_gathering");
    // A key that no call had, and an id that no engine made.
    assert_eq!(manager.answer_of(&key("never", 1)), Err(KeyError::Gathering));
    let never: ReservationId = "ffffffff-ffff-8fff-bfff-ffffffffffff".parse().expect("an id");
    assert_eq!(manager.reservation(never), Err(NoReservation::Unknown));
    assert_eq!(available(&manager), left);

    made_anew(&manager, &refusing);
    for (number, id) in ids.iter().enumerate() {
        let answer = Ok(Some(KeyAnswer::Reserved(*id)));
        assert_eq!(manager.answer_of(&key("order", number)), answer);
        let gone = match number % 2 {
            0 => Gone::Sold { units: 1 },
            _ => Gone::Released { returned: 1 },
        };
        assert_eq!(manager.confirm(*id), Err(ConfirmError::Gone(gone)));
        assert_eq!(manager.reservation(*id).map(|found| found.id), Ok(*id));
    }
    assert_eq!(manager.answer_of(&key("never", 1)), Ok(None));
    let paid = manager.confirm_or_retake(ids[0]);
    assert_eq!(paid, Ok(ConfirmOrRetake::AlreadySold { units: 1 }));
    assert_eq!(available(&manager), left);
}

/// An answer that is stored under a key stays: it must not be one that holds only for now.
#[test]
fn what_is_not_known_now_is_not_stored_as_an_answer() {
    let (manager, refusing, ids) = without_its_files();
    // A new key, whose own look-up memory can't answer either; so the call is refused before.
    let release = || manager.request().key(key("release", 1)).release(ids[0]);
    assert_eq!(release(), Err(ReleaseError::Call(NOT_NOW)));
    made_anew(&manager, &refusing);
    assert_eq!(release(), Err(ReleaseError::Sold { units: 1 }));
}

/// All files are lost, and the first that comes again is the newest: the auditor has gathered it.
/// What lies before it is not taken for new.
#[test]
fn no_key_runs_again_because_the_newest_file_came_first() {
    let (manager, refusing, ids) = without_its_files();
    let left = available(&manager);
    made_anew(&manager, &refusing);
    for (number, id) in ids.iter().enumerate() {
        let again = reserve(&manager, key("order", number), 1);
        assert_eq!(again, Ok(*id), "order {number} ran again");
    }
    assert_eq!(available(&manager), left);
}

//! What the entries of each call bear: the caller's notes, the call's moment, the owner of the
//! reservation; and what a call answers whose record can't be queued any more.

mod common;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use common::clocks::Trap;
use common::{LAPTOPS, clock, log_of, ms, quiet};
use stockade::{
    AuditEntry, BasketLine, Builder, ConfirmOrRetake, HoldRequest, InventoryManager, ManualClock,
    Owner, ReservationId, Timestamp, TransferRequestId,
};

const MICE: (&str, &str) = ("SF", "MOUSE");
const MINUTE: Duration = Duration::from_secs(60);
const OWNER: Owner = Owner([9; 16]);

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("legal settings");
    for level in [LAPTOPS, MICE, ("NYC", "LAPTOP")] {
        manager.add_stock(level, 100, "SUPPLIER").expect("room");
    }
    manager
}

fn one() -> [BasketLine<'static>; 1] {
    [BasketLine::new(LAPTOPS, 1)]
}

fn two() -> [BasketLine<'static>; 2] {
    [BasketLine::new(LAPTOPS, 2), BasketLine::new(MICE, 2)]
}

/// Makes calls on an engine whose clock moves before each.
struct Calls {
    manager: InventoryManager,
    clock: Arc<ManualClock>,
    made: Cell<u64>,
}

impl Calls {
    fn on_stock() -> Self {
        let clock = clock();
        Self { manager: stocked(quiet(&clock)), clock, made: Cell::new(0) }
    }

    /// Makes a call with a note, and checks that each entry it wrote bears the note and the call's
    /// moment. Returns them with the answer.
    #[track_caller]
    fn make<T, E: Debug>(
        &self,
        call: impl FnOnce(HoldRequest<'_>) -> Result<T, E>,
    ) -> (T, Vec<AuditEntry>) {
        let before = log_of(&self.manager).len();
        self.clock.advance(ms(7));
        self.made.set(self.made.get() + 1);
        let now = Timestamp::from_millis(1_000 + 7 * self.made.get());
        let request = self.manager.request().owner(OWNER).note("order", "A-1");
        let answer = call(request).expect("a legal call");
        let new = log_of(&self.manager).split_off(before);
        assert!(!new.is_empty(), "the call is in no entry");
        for entry in &new {
            assert_eq!(entry.note("order"), Some("A-1"), "{entry:?}");
            assert_eq!(entry.at, now, "{entry:?}");
        }
        (answer, new)
    }

    /// Makes a call about a reservation: each entry bears its owner and its id, too.
    #[track_caller]
    fn about<T, E: Debug>(
        &self,
        id: Option<ReservationId>,
        call: impl FnOnce(HoldRequest<'_>) -> Result<T, E>,
    ) -> T {
        let (answer, entries) = self.make(call);
        for entry in entries {
            assert_eq!(entry.owner, Some(OWNER), "{entry:?}");
            assert!(entry.reservation.is_some(), "{entry:?}");
            assert!(id.is_none() || entry.reservation == id, "{entry:?}");
        }
        answer
    }

    fn basket(&self) -> ReservationId {
        self.about(None, |it| it.reserve_basket(&two(), MINUTE))
    }

    fn hold(&self) -> ReservationId {
        self.about(None, |it| it.reserve(LAPTOPS, 4, MINUTE))
    }
}

#[test]
fn entries_of_new_holds_bear_the_note_the_moment_and_the_owner() {
    let calls = Calls::on_stock();
    let hold = calls.hold();
    calls.about(None, |it| it.sell(LAPTOPS, 4));
    calls.basket();
    let order = ["SF".into(), "NYC".into()];
    calls.about(None, |it| it.fulfill_across_warehouses("LAPTOP", 110, &order, MINUTE));
    assert!(calls.manager.release(hold).is_ok());
    let lines = [BasketLine::new(LAPTOPS, 4)];
    // A retake is made with options of its own.
    let again = calls.about(None, |it| it.confirm_or_retake_lines(hold, &lines));
    assert!(matches!(again, ConfirmOrRetake::Retaken(_)), "{again:?}");
}

/// These calls take no owner: their entries bear the one of the reservation.
#[test]
fn entries_of_a_reservations_steps_bear_the_note_the_moment_and_its_owner() {
    let calls = Calls::on_stock();
    let manager = &calls.manager;
    let request = || manager.request().note("order", "A-1");
    for id in [calls.hold(), calls.basket()] {
        calls.make(|_| request().extend(id, 2 * MINUTE));
        calls.about(Some(id), |_| request().confirm_lines(id, &one()));
        calls.about(Some(id), |_| request().release_lines(id, &one()));
        calls.about(Some(id), |_| request().ship_lines(id, &one()));
    }
    let id = calls.basket();
    calls.about(Some(id), |_| request().confirm_lines_and_release_rest(id, &one()));
    calls.about(Some(id), |_| request().cancel_sale_lines(id, &one(), "declined"));
    for make in [Calls::hold, Calls::basket] {
        let id = make(&calls);
        calls.about(Some(id), |_| request().confirm(id));
        let id = make(&calls);
        let _ = calls.about(Some(id), |_| request().release(id));
    }
    let id = calls.hold();
    let _ =
        calls.about(Some(id), |it| it.confirm_or_retake_lines(id, &[BasketLine::new(LAPTOPS, 4)]));
}

/// The engine ends these, and not their owners.
#[test]
fn entries_of_expiries_bear_the_owner_and_the_moment() {
    let calls = Calls::on_stock();
    let ids = [calls.hold(), calls.basket()];
    let before = log_of(&calls.manager).len();
    calls.clock.advance(2 * MINUTE);
    let now = Timestamp::from_millis(1_000 + 2 * 7 + 120_000);
    calls.manager.run_until_idle();
    let new = log_of(&calls.manager).split_off(before);
    assert_eq!(new.len(), 3, "a basket has two lines: {new:?}");
    for entry in new {
        assert_eq!((entry.owner, entry.at), (Some(OWNER), now), "{entry:?}");
        assert!(entry.reservation.is_some_and(|id| ids.contains(&id)), "{entry:?}");
    }
}

#[test]
fn entries_of_stock_and_transfers_bear_the_note_and_the_moment() {
    let calls = Calls::on_stock();
    let manager = &calls.manager;
    let request = || manager.request().note("order", "A-1");
    manager.sell(LAPTOPS, 10).expect("stock");
    let written = |call: &dyn Fn() -> bool, wanted: usize| {
        let (_, entries) = calls.make(|_| call().then_some(()).ok_or("refused"));
        assert_eq!(entries.len(), wanted, "{entries:?}");
    };
    written(&|| request().add_stock(LAPTOPS, 1, "SUPPLIER").is_ok(), 1);
    written(&|| request().remove_stock(LAPTOPS, 1, "dropped").is_ok(), 1);
    written(&|| request().ship(LAPTOPS, 1).is_ok(), 1);
    written(&|| request().cancel_sale(LAPTOPS, 1, "declined").is_ok(), 1);
    written(&|| request().transfer("SF", "NYC", "LAPTOP", 1).is_ok(), 2);
    let asked = RefCell::new(Vec::<TransferRequestId>::new());
    let ask = |held: bool| {
        let id = if held {
            request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 1)
        } else {
            request().request_transfer("SF", "NYC", "LAPTOP", 1)
        };
        id.map(|id| asked.borrow_mut().push(id)).is_ok()
    };
    for _ in 0..2 {
        written(&|| ask(false), 1);
        written(&|| ask(true), 2);
    }
    let id = |number: usize| asked.borrow()[number];
    written(&|| request().approve_transfer(id(0), "ada").is_ok(), 3);
    written(&|| request().approve_transfer(id(1), "ada").is_ok(), 4);
    written(&|| request().reject_transfer(id(2), "ada", "no").is_ok(), 1);
    written(&|| request().reject_transfer(id(3), "ada", "no").is_ok(), 2);
}

/// Ends the engine in the middle of a call, when it has been admitted and reads the clock. Its
/// record is lost then, and the call says so, whatever it is.
#[track_caller]
fn unrecorded<T: Debug, E: Debug>(
    prepare: impl FnOnce(&InventoryManager) -> ReservationId,
    call: impl FnOnce(&InventoryManager, ReservationId) -> Result<T, E>,
) {
    assert_eq!(ended_within(prepare, call), "Call(Uncertain(Unrecorded))");
}

/// What a call answers in whose middle the engine ends.
#[track_caller]
fn ended_within<T: Debug, E: Debug>(
    prepare: impl FnOnce(&InventoryManager) -> ReservationId,
    call: impl FnOnce(&InventoryManager, ReservationId) -> Result<T, E>,
) -> String {
    let trap = Arc::new(Trap::default());
    let manager = stocked(quiet(&clock()).clock(Arc::clone(&trap)));
    let id = prepare(&manager);
    manager.flush().wait().expect("a healthy log");
    let ending = manager.clone();
    trap.arm(move || {
        let _ = ending.shutdown(Duration::ZERO);
    });
    let answer = call(&manager, id).expect_err("its record is lost");
    assert!(!trap.is_armed(), "the call read no clock");
    format!("{answer:?}")
}

#[test]
fn a_call_whose_record_is_lost_says_so() {
    let hold = |it: &InventoryManager| it.reserve(LAPTOPS, 2, MINUTE).expect("stock");
    let basket = |it: &InventoryManager| it.reserve_basket(&two(), MINUTE).expect("stock");
    let sold = |it: &InventoryManager| it.sell(LAPTOPS, 2).expect("stock");
    unrecorded(hold, |it, _| it.reserve(LAPTOPS, 1, MINUTE));
    unrecorded(hold, |it, _| it.sell(LAPTOPS, 1));
    unrecorded(hold, |it, _| it.request().note("a", "b").reserve(LAPTOPS, 1, MINUTE));
    unrecorded(hold, |it, id| it.confirm(id));
    unrecorded(basket, |it, id| it.confirm(id));
    unrecorded(hold, |it, id| it.release(id));
    unrecorded(basket, |it, id| it.release(id));
    unrecorded(hold, |it, id| it.extend(id, 2 * MINUTE));
    unrecorded(hold, |it, id| it.confirm_lines(id, &one()));
    unrecorded(hold, |it, id| it.release_lines(id, &one()));
    unrecorded(hold, |it, id| it.confirm_lines_and_release_rest(id, &one()));
    unrecorded(hold, |it, id| it.confirm_or_retake_lines(id, &[BasketLine::new(LAPTOPS, 2)]));
    unrecorded(sold, |it, id| it.ship_lines(id, &one()));
    unrecorded(sold, |it, id| it.cancel_sale_lines(id, &one(), "declined"));
    unrecorded(hold, |it, _| it.add_stock(LAPTOPS, 1, "SUPPLIER"));
    unrecorded(hold, |it, _| it.remove_stock(LAPTOPS, 1, "dropped"));
    unrecorded(sold, |it, _| it.ship(LAPTOPS, 1));
    unrecorded(sold, |it, _| it.cancel_sale(LAPTOPS, 1, "declined"));
    unrecorded(hold, |it, _| it.request_transfer("SF", "NYC", "LAPTOP", 1));
    unrecorded(hold, |it, _| it.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 1));
    let asked = Cell::new(None);
    let ask = |it: &InventoryManager| {
        let request = it.request().hold_units();
        asked.set(Some(request.request_transfer("SF", "NYC", "LAPTOP", 1).expect("stock")));
        hold(it)
    };
    unrecorded(ask, |it, _| it.reject_transfer(asked.get().expect("filed"), "ada", "no"));
    // A setting reads the clock before it changes anything.
    let setting = "NotStarted(Closed)";
    assert_eq!(ended_within(hold, |it, _| it.set_threshold("SF", Some(1))), setting);
    assert_eq!(ended_within(hold, |it, _| it.suspend("SF")), setting);
    // A commit that takes and gives sends its record ahead: it moves nothing where it can't.
    let closed = "Call(NotStarted(Closed))";
    assert_eq!(ended_within(hold, |it, _| it.transfer("SF", "NYC", "LAPTOP", 1)), closed);
    let approve = |it: &InventoryManager, _| {
        let answer = it.approve_transfer(asked.get().expect("filed"), "ada");
        let moved = it.counts(("NYC", "LAPTOP")).expect("open").available;
        assert_eq!(moved, 100, "{answer:?}");
        answer
    };
    assert_eq!(ended_within(ask, approve), closed);
}

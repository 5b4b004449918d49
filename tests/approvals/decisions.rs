//! Decisions on transfer requests: what they move, why they fail, and that each is made once.

use std::sync::Arc;

use stockade::{
    Applied, ApproveError, CallError, Error, IdempotencyKey, InvalidInput, ManualClock,
    NoTransferRequest, NotOpen, NotStarted, PlaceError, RejectError, RequestTransferError,
    Timestamp, TransferFailure, TransferRequestId, TransferRequestStatus,
};

use crate::{MINUTE, NYC, SF, ask, ask_held, assert_counts, builder, status, stocked};

#[test]
fn a_request_moves_nothing_and_an_approval_moves_it_all() {
    let manager = stocked(builder());
    let id = ask(&manager, 30);
    assert_counts(&manager, (100, 0), (0, 0));
    assert_eq!(status(&manager, id), TransferRequestStatus::PendingApproval);
    assert_eq!(manager.approve_transfer(id, "mira"), Ok(()));
    assert_counts(&manager, (70, 0), (30, 0));
    assert_eq!(manager.warehouse("NYC").expect("there").room_left(), 20);
    let request = manager.transfer_request(id).expect("kept");
    assert_eq!(request.status, TransferRequestStatus::Approved);
    let decision = request.decision.expect("decided");
    assert_eq!((&*decision.by, decision.at), ("mira", Timestamp::from_millis(1_000)));
    assert_eq!((decision.reason, decision.failure), (None, None));
}

#[test]
fn a_rejected_request_moves_nothing_and_keeps_its_reason() {
    let manager = stocked(builder());
    let id = ask(&manager, 30);
    assert_eq!(manager.reject_transfer(id, "mira", "too far"), Ok(()));
    assert_counts(&manager, (100, 0), (0, 0));
    let request = manager.transfer_request(id).expect("kept");
    assert_eq!(request.status, TransferRequestStatus::Rejected);
    let decision = request.decision.expect("decided");
    assert_eq!((&*decision.by, decision.reason.as_deref()), ("mira", Some("too far")));
}

#[test]
fn a_decision_is_made_once_and_later_ones_hear_which() {
    let manager = stocked(builder());
    let (approved, rejected, failed) = (ask(&manager, 1), ask(&manager, 1), ask(&manager, 51));
    manager.approve_transfer(approved, "mira").expect("pending");
    manager.reject_transfer(rejected, "mira", "no").expect("pending");
    let full = TransferFailure::OverCapacity { needed: 51, room: 49 };
    assert_eq!(manager.approve_transfer(failed, "mira"), Err(ApproveError::Failed(full)));
    for (id, known) in
        [(approved, NotOpen::Approved), (rejected, NotOpen::Rejected), (failed, NotOpen::Failed)]
    {
        assert_eq!(manager.approve_transfer(id, "otto"), Err(known.into()));
        assert_eq!(manager.reject_transfer(id, "otto", "late"), Err(known.into()));
        assert_eq!(
            &*manager.transfer_request(id).expect("kept").decision.expect("final").by,
            "mira"
        );
    }
    assert_counts(&manager, (99, 0), (1, 0));
}

#[test]
fn an_approval_fails_for_good_if_stock_is_short_by_then() {
    let manager = stocked(builder());
    let id = ask(&manager, 30);
    manager.reserve(SF, 80, MINUTE).expect("enough");
    let failure = TransferFailure::Insufficient { needed: 30, available: 20 };
    assert_eq!(manager.approve_transfer(id, "mira"), Err(ApproveError::Failed(failure)));
    assert_counts(&manager, (20, 80), (0, 0));
    let (warehouse, product) = ("NYC".to_owned(), "LAPTOP".to_owned());
    let none = PlaceError::NotStockedHere { warehouse, product };
    assert_eq!(manager.level(NYC), Err(none), "what fails opens no level");
    let decision = manager.transfer_request(id).expect("kept").decision.expect("final");
    assert_eq!(decision.failure, Some(failure));
    assert_eq!(decision.reason.as_deref(), Some("30 units needed, 20 available"));
    manager.add_stock(SF, 30, "SUPPLIER").expect("room");
    assert_eq!(manager.approve_transfer(id, "mira"), Err(NotOpen::Failed.into()));
}

#[test]
fn overdue_holds_are_taken_back_before_an_approval_fails() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    let manager = stocked(builder().clock(Arc::clone(&clock)).sweeper(false));
    manager.reserve(SF, 100, MINUTE).expect("enough");
    let id = ask(&manager, 30);
    clock.set(Timestamp::from_millis(62_000));
    assert_eq!(manager.approve_transfer(id, "mira"), Ok(()));
    assert_counts(&manager, (70, 0), (30, 0));
}

#[test]
fn held_units_are_nobody_elses_until_the_decision() {
    let manager = stocked(builder());
    let id = ask_held(&manager, 40);
    assert_counts(&manager, (60, 40), (0, 0));
    assert!(manager.transfer_request(id).expect("open").holds_units);
    assert!(manager.reserve(SF, 61, MINUTE).is_err());
    manager.sell(SF, 60).expect("enough");
    // Held units are not sold ones: nobody can ship them.
    assert!(manager.ship(SF, 61).is_err());
    assert_eq!(manager.approve_transfer(id, "mira"), Ok(()));
    assert_counts(&manager, (0, 60), (40, 0));
    assert_eq!(manager.warehouse("SF").expect("there").room_left(), stockade::MAX_UNITS - 60);
}

#[test]
fn held_units_come_back_where_nothing_is_transferred() {
    let manager = stocked(builder());
    let (rejected, failed) = (ask_held(&manager, 20), ask_held(&manager, 60));
    assert_counts(&manager, (20, 80), (0, 0));
    let (warehouse, product) = ("NYC".to_owned(), "LAPTOP".to_owned());
    let none = PlaceError::NotStockedHere { warehouse, product };
    assert_eq!(manager.level(NYC), Err(none), "what fails opens no level");
    manager.reject_transfer(rejected, "mira", "no").expect("pending");
    assert_counts(&manager, (40, 60), (0, 0));
    let full = TransferFailure::OverCapacity { needed: 60, room: 50 };
    assert_eq!(manager.approve_transfer(failed, "mira"), Err(ApproveError::Failed(full)));
    assert_counts(&manager, (100, 0), (0, 0));
}

#[test]
fn what_can_be_no_decision_is_refused_and_leaves_the_request_open() {
    let manager = stocked(builder());
    let id = ask(&manager, 1);
    assert!(matches!(
        manager.approve_transfer(id, ""),
        Err(ApproveError::Input(InvalidInput::Name(_)))
    ));
    assert!(matches!(
        manager.reject_transfer(id, &"x".repeat(256), "no"),
        Err(RejectError::Input(InvalidInput::Name(_)))
    ));
    let unknown = TransferRequestId::from(id.as_u64() + 1);
    assert_eq!(manager.approve_transfer(unknown, "mira"), Err(NotOpen::Unknown.into()));
    assert_eq!(manager.reject_transfer(unknown, "mira", "no"), Err(NotOpen::Unknown.into()));
    assert_eq!(manager.transfer_request(unknown), Err(NoTransferRequest::Unknown));
    assert_eq!(status(&manager, id), TransferRequestStatus::PendingApproval);
}

#[test]
fn a_suspended_warehouse_takes_no_approval_and_the_request_stays_open() {
    let manager = stocked(builder());
    let id = ask(&manager, 10);
    let held = ask_held(&manager, 10);
    for warehouse in ["SF", "NYC"] {
        manager.suspend(warehouse).expect("there");
        let suspended = ApproveError::Suspended { warehouse: warehouse.to_owned() };
        assert!(suspended.is_retryable());
        assert_eq!(manager.approve_transfer(id, "mira"), Err(suspended.clone()));
        assert_eq!(manager.approve_transfer(held, "mira"), Err(suspended));
        manager.resume(warehouse).expect("there");
    }
    assert_counts(&manager, (90, 10), (0, 0));
    assert_eq!(manager.transfer_requests().len(), 2);
    manager.suspend("SF").expect("there");
    // A request that takes nothing may be made, one that holds may not; what is held may come back.
    ask(&manager, 1);
    let request = manager.request().hold_units();
    let refused = request.request_transfer("SF", "NYC", "LAPTOP", 1);
    assert_eq!(refused, Err(RequestTransferError::Suspended { warehouse: "SF".to_owned() }));
    manager.reject_transfer(held, "mira", "closed").expect("pending");
    manager.resume("SF").expect("there");
    manager.approve_transfer(id, "mira").expect("pending");
    assert_counts(&manager, (90, 0), (10, 0));
}

#[test]
fn a_repeated_key_hears_of_a_failed_approval_what_the_first_call_heard() {
    let manager = stocked(builder());
    let id = ask(&manager, 101);
    let key = IdempotencyKey::try_from("approve").expect("a legal key");
    let approve = || manager.request().key(key).approve_transfer(id, "mira");
    let failure = TransferFailure::Insufficient { needed: 101, available: 100 };
    assert_eq!(approve(), Err(ApproveError::Failed(failure)));
    manager.add_stock(SF, 100, "SUPPLIER").expect("room");
    assert_eq!(approve(), Err(ApproveError::Failed(failure)));
    assert_eq!(manager.approve_transfer(id, "mira"), Err(NotOpen::Failed.into()));
}

#[test]
fn while_the_sink_fails_nothing_is_decided_and_the_request_stays_open() {
    let (sink, control) = stockade::testing::FaultySink::new();
    let manager = stocked(builder().sink(sink).without_threads());
    let id = ask_held(&manager, 10);
    control.fail("disk full");
    assert!(manager.flush().wait().is_err());
    let stopped = NotStarted::Stopped { reason: "disk full".into() };
    assert_eq!(manager.approve_transfer(id, "mira"), Err(stopped.clone().into()));
    assert_eq!(manager.reject_transfer(id, "mira", "no"), Err(stopped.clone().into()));
    let refused = manager.request_transfer("SF", "NYC", "LAPTOP", 1);
    assert_eq!(refused, Err(stopped.into()));
    assert_counts(&manager, (90, 10), (0, 0));
    assert_eq!(manager.transfer_requests().len(), 1);
    control.recover();
    manager.run_until_idle();
    assert_eq!(manager.approve_transfer(id, "mira"), Ok(()));
    assert_counts(&manager, (90, 0), (10, 0));
}

#[test]
fn a_closed_engine_takes_no_requests_and_no_decisions() {
    let manager = stocked(builder());
    let id = ask(&manager, 1);
    let _ = manager.shutdown(MINUTE);
    let closed = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect_err("closed");
    assert_eq!(closed, RequestTransferError::Call(CallError::NotStarted(NotStarted::Closed)));
    let closed = manager.approve_transfer(id, "mira").expect_err("closed");
    assert_eq!(closed, ApproveError::Call(CallError::NotStarted(NotStarted::Closed)));
    assert_eq!(Error::from(closed).applied(), Applied::No);
    assert_eq!(status(&manager, id), TransferRequestStatus::PendingApproval);
}

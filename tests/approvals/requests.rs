//! Transfer requests: what can be requested, what the policy approves, and the list of open ones.

use std::sync::Arc;

use stockade::{
    ApproveBelow, CallError, IdempotencyKey, InvalidInput, KeyError, Limits, NoTransferRequest,
    NotOpen, PlaceError, ProposedTransfer, RequestTransferError, Timestamp, TransferRequestStatus,
};

use crate::{ask, ask_held, assert_counts, builder, status, stocked};

#[test]
fn a_request_that_can_not_hold_its_units_is_not_made() {
    let manager = stocked(builder().limits(Limits::new().max_transfer_requests(1)));
    let request = manager.request().hold_units();
    let short =
        RequestTransferError::Insufficient { needed: 101, available: 100, overdue_left: false };
    assert_eq!(request.request_transfer("SF", "NYC", "LAPTOP", 101), Err(short));
    assert_eq!(manager.transfer_requests(), []);
    assert_counts(&manager, (100, 0), (0, 0));
    // Its place is free again.
    ask(&manager, 1);
}

#[test]
fn what_can_be_no_request_is_refused() {
    let manager = stocked(builder());
    let ask = |from: &str, to: &str, product: &str, units| {
        manager.request_transfer(from, to, product, units).expect_err("refused")
    };
    assert_eq!(ask("SF", "SF", "LAPTOP", 1), RequestTransferError::SameWarehouse);
    assert!(matches!(
        ask("SF", "NYC", "LAPTOP", 0),
        RequestTransferError::Input(InvalidInput::Quantity(_))
    ));
    let place = |error| match error {
        RequestTransferError::Place(place) => place,
        other => panic!("{other}"),
    };
    let warehouse = "LA".to_owned();
    assert_eq!(place(ask("SF", "LA", "LAPTOP", 1)), PlaceError::UnknownWarehouse { warehouse });
    let product = "LAPTOB".to_owned();
    assert_eq!(place(ask("SF", "NYC", "LAPTOB", 1)), PlaceError::NeverStocked { product });
    let (warehouse, product) = ("NYC".to_owned(), "LAPTOP".to_owned());
    assert_eq!(
        place(ask("NYC", "SF", "LAPTOP", 1)),
        PlaceError::NotStockedHere { warehouse, product }
    );
    assert!(matches!(ask("SF", "NYC", "", 1), RequestTransferError::Input(InvalidInput::Name(_))));
    assert_eq!(manager.transfer_requests(), []);
}

#[test]
fn the_list_shows_open_requests_the_oldest_first() {
    let manager = stocked(builder());
    let ids: Vec<_> = (1..=4).map(|units| ask(&manager, units)).collect();
    let held = ask_held(&manager, 5);
    manager.approve_transfer(ids[1], "mira").expect("pending");
    manager.reject_transfer(ids[3], "mira", "no").expect("pending");
    let open = manager.transfer_requests();
    let seen: Vec<_> = open.iter().map(|it| (it.id, it.quantity, it.holds_units)).collect();
    assert_eq!(seen, [(ids[0], 1, false), (ids[2], 3, false), (held, 5, true)]);
    let first = &open[0];
    assert_eq!((&*first.from, &*first.to, &*first.product), ("SF", "NYC", "LAPTOP"));
    assert_eq!(first.requested_at, Timestamp::from_millis(1_000));
    assert_eq!(first.decision, None);
}

#[test]
fn open_requests_are_bounded_and_a_decision_makes_room() {
    let manager = stocked(builder().limits(Limits::new().max_transfer_requests(2)));
    let first = ask(&manager, 1);
    ask(&manager, 1);
    let refused = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect_err("full");
    assert_eq!(refused, RequestTransferError::TooManyOpen { most: 2 });
    assert!(refused.is_retryable());
    manager.reject_transfer(first, "mira", "no").expect("pending");
    ask(&manager, 1);
}

#[test]
fn decided_requests_are_forgotten_a_thousand_later() {
    let manager = stocked(builder());
    let open = ask(&manager, 1);
    let ids: Vec<_> = (0..1_001)
        .map(|_| {
            let id = ask(&manager, 1);
            manager.reject_transfer(id, "mira", "no").expect("pending");
            id
        })
        .collect();
    assert_eq!(manager.transfer_request(ids[0]), Err(NoTransferRequest::Forgotten));
    assert_eq!(manager.approve_transfer(ids[0], "mira"), Err(NotOpen::Forgotten.into()));
    assert_eq!(status(&manager, ids[1]), TransferRequestStatus::Rejected);
    assert_eq!(status(&manager, open), TransferRequestStatus::PendingApproval);
}

#[test]
fn the_policy_approves_what_is_below_its_threshold() {
    let manager = stocked(builder().approval_policy(ApproveBelow::new(20)));
    let (small, large) = (ask(&manager, 19), ask(&manager, 20));
    assert_eq!(status(&manager, small), TransferRequestStatus::Approved);
    let decision = manager.transfer_request(small).expect("kept").decision.expect("final");
    assert_eq!(&*decision.by, "policy");
    assert_eq!(status(&manager, large), TransferRequestStatus::PendingApproval);
    assert_counts(&manager, (81, 0), (19, 0));
    let held = ask_held(&manager, 11);
    assert_eq!(status(&manager, held), TransferRequestStatus::Approved);
    assert_counts(&manager, (70, 0), (30, 0));
}

#[test]
fn what_the_policy_approves_may_fail_or_wait() {
    let manager = stocked(builder().approval_policy(ApproveBelow::new(u32::MAX)));
    let failed = ask(&manager, 101);
    assert_eq!(status(&manager, failed), TransferRequestStatus::Failed);
    manager.suspend("NYC").expect("there");
    let waits = ask(&manager, 10);
    assert_eq!(status(&manager, waits), TransferRequestStatus::PendingApproval);
    manager.resume("NYC").expect("there");
    manager.approve_transfer(waits, "mira").expect("pending");
    assert_counts(&manager, (90, 0), (10, 0));
}

#[test]
fn a_policy_of_the_callers_own_sees_the_whole_proposal_and_signs_by_its_name() {
    struct Evenings;
    impl stockade::ApprovalPolicy for Evenings {
        fn approves(&self, transfer: &ProposedTransfer) -> bool {
            *transfer == ProposedTransfer::new("SF", "NYC", "LAPTOP", 7)
        }
        fn name(&self) -> &str {
            "evenings"
        }
    }
    let manager = stocked(builder().approval_policy(Arc::new(Evenings)));
    assert_eq!(status(&manager, ask(&manager, 8)), TransferRequestStatus::PendingApproval);
    let decision = manager.transfer_request(ask(&manager, 7)).expect("kept").decision;
    assert_eq!(&*decision.expect("final").by, "evenings");
}

#[test]
fn a_repeated_key_gives_the_first_answer_and_moves_nothing_twice() {
    let manager = stocked(builder());
    let key = |name: &str| IdempotencyKey::try_from(name).expect("a legal key");
    let request = |units| {
        let request = manager.request().key(key("request")).hold_units();
        request.request_transfer("SF", "NYC", "LAPTOP", units)
    };
    let id = request(30).expect("enough");
    assert_eq!(request(30), Ok(id));
    assert_eq!(request(31), Err(RequestTransferError::Call(CallError::Key(KeyError::Conflict))));
    // Whether units are held is part of what was asked.
    let plain = manager.request().key(key("request")).request_transfer("SF", "NYC", "LAPTOP", 30);
    assert_eq!(plain, Err(RequestTransferError::Call(CallError::Key(KeyError::Conflict))));
    assert_counts(&manager, (70, 30), (0, 0));

    let approve = |id| manager.request().key(key("approve")).approve_transfer(id, "mira");
    assert_eq!((approve(id), approve(id)), (Ok(()), Ok(())));
    assert_counts(&manager, (70, 0), (30, 0));
    let other = ask(&manager, 1);
    assert_eq!(approve(other), Err(KeyError::Conflict.into()));

    let reject = || manager.request().key(key("reject")).reject_transfer(other, "mira", "no");
    assert_eq!((reject(), reject()), (Ok(()), Ok(())));
}

#[test]
fn a_refused_request_does_not_use_up_its_key() {
    let manager = stocked(builder().limits(Limits::new().max_transfer_requests(1)));
    let first = ask(&manager, 1);
    let key = IdempotencyKey::try_from("request").expect("a legal key");
    let again = || manager.request().key(key).request_transfer("SF", "NYC", "LAPTOP", 2);
    assert_eq!(again(), Err(RequestTransferError::TooManyOpen { most: 1 }));
    manager.reject_transfer(first, "mira", "no").expect("pending");
    assert!(again().is_ok());
}

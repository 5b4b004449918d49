//! What the audit log says of requests and decisions.

use stockade::{AuditEntry, EntryType, EventType};

use crate::{ask, ask_held, builder, recorded, shape, stocked};

#[test]
fn the_record_of_a_request_bears_all_that_is_asked_for() {
    let manager = stocked(builder());
    let mut ids = Vec::new();
    let entries = recorded(&manager, || {
        ids.push(ask(&manager, 30));
        ids.push(ask_held(&manager, 40));
    });
    let expected =
        [("TransferRequested", "SF", 30), ("Reserved", "SF", 40), ("TransferRequested", "SF", 40)];
    assert_eq!(shape(&entries), expected);
    for (entry, id) in entries.iter().zip([ids[0], ids[1], ids[1]]) {
        assert_eq!(entry.note("transferRequestId"), Some(&*id.to_string()));
        assert_eq!((entry.reservation, entry.product.as_deref()), (None, Some("LAPTOP")));
    }
    for entry in [&entries[0], &entries[2]] {
        assert_eq!(entry.entry_type, EntryType::Event(EventType::TransferRequested));
        assert_eq!(entry.other_warehouse.as_deref(), Some("NYC"));
        let view = entry.metadata_view();
        let to = view.iter().find(|(name, _)| *name == "toWarehouse").map(|(_, value)| &**value);
        assert_eq!(to, Some("NYC"));
    }
}

#[test]
fn a_decision_stands_in_the_record_of_what_it_moves() {
    let manager = stocked(builder());
    let [plain, held, back, rejected, full] = [
        ask(&manager, 5),
        ask_held(&manager, 6),
        ask_held(&manager, 7),
        ask(&manager, 8),
        ask_held(&manager, 51),
    ];
    let decided = |run: &dyn Fn()| recorded(&manager, run);
    let who_and_how = |entries: &[AuditEntry]| {
        let of = |entry: &AuditEntry, name| entry.note(name).map(str::to_owned);
        let notes =
            |entry| ["decidedBy", "decidedAt", "outcome", "reason"].map(|name| of(entry, name));
        let first = notes(&entries[0]);
        assert!(
            entries.iter().all(|entry| notes(entry) == first && entry.note("via") == Some("app"))
        );
        first.map(|note| note.unwrap_or_default())
    };
    let app = || manager.request().note("via", "app");

    let entries = decided(&|| app().approve_transfer(plain, "mira").expect("pending"));
    let moved =
        [("TransferredOut", "SF", 5), ("TransferredIn", "NYC", 5), ("TransferDecided", "SF", 5)];
    assert_eq!(shape(&entries), moved);
    assert_eq!(who_and_how(&entries), ["mira", "1000", "approved", ""]);
    let others: Vec<_> = entries.iter().map(|entry| entry.other_warehouse.as_deref()).collect();
    assert_eq!(others, [Some("NYC"), Some("SF"), Some("NYC")]);

    let entries = decided(&|| app().approve_transfer(held, "mira").expect("pending"));
    let moved = [
        ("Returned", "SF", 6),
        ("TransferredOut", "SF", 6),
        ("TransferredIn", "NYC", 6),
        ("TransferDecided", "SF", 6),
    ];
    assert_eq!(shape(&entries), moved);
    let others: Vec<_> = entries.iter().map(|entry| entry.other_warehouse.as_deref()).collect();
    assert_eq!(others, [None, Some("NYC"), Some("SF"), Some("NYC")]);

    let entries = decided(&|| app().reject_transfer(back, "otto", "no van").expect("pending"));
    assert_eq!(shape(&entries), [("Returned", "SF", 7), ("TransferDecided", "SF", 7)]);
    assert_eq!(who_and_how(&entries), ["otto", "1000", "rejected", "no van"]);

    let entries = decided(&|| app().reject_transfer(rejected, "otto", "no van").expect("pending"));
    assert_eq!(shape(&entries), [("TransferDecided", "SF", 8)]);

    let entries = decided(&|| drop(app().approve_transfer(full, "otto").expect_err("full")));
    assert_eq!(shape(&entries), [("Returned", "SF", 51), ("TransferDecided", "SF", 51)]);
    let reason = "the destination has room for 39 more units, not 51";
    assert_eq!(who_and_how(&entries), ["otto", "1000", "failed", reason]);
}

#[test]
fn a_note_with_the_name_of_the_engines_own_is_refused() {
    let manager = stocked(builder());
    let id = ask(&manager, 5);
    for taken in ["transferRequestId", "outcome", "decidedAt"] {
        let request = manager.request().note("order", "1").note(taken, "x");
        let refused = request.approve_transfer(id, "mira");
        let reason = refused.expect_err("taken").to_string();
        assert!(reason.contains("note"), "{taken}: {reason}");
    }
    let entries = recorded(&manager, || {
        manager.request().note("order", "1").approve_transfer(id, "mira").expect("pending");
    });
    assert_eq!(entries[0].note("transferRequestId"), Some(&*id.to_string()));
    assert_eq!(entries[0].note("outcome"), Some("approved"));
}

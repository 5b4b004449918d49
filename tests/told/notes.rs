//! Notes: each name stands once in an entry.

use stockade::{BasketLine, CallError, InvalidText, InventoryManager, Request};

use crate::common::{LONG, clock, quiet, written};
use crate::{SF, line, shop};

fn twice() -> CallError {
    InvalidText::NameTwice { first: 0, second: 2 }.into()
}

fn taken() -> CallError {
    InvalidText::NameTaken { note: 1 }.into()
}

#[test]
fn a_note_given_twice_is_refused_by_every_operation() {
    let manager = shop(quiet(&clock()));
    let lines: [BasketLine<'_>; 1] = [line(SF, 1)];
    let hold = manager.reserve(SF, 2, LONG).expect("stock");
    let sale = manager.sell(SF, 2).expect("stock");
    let asked = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("room");
    let before = (manager.counts(SF), manager.audit_log().newest_sequence());
    let noted = || manager.request().note("order", "1").note("desk", "4").note("order", "2");
    macro_rules! refused {
        ($($call:expr),+ $(,)?) => {
            $(assert_eq!($call.map(drop), Err(twice().into()), stringify!($call));)+
        };
    }
    refused! {
        noted().add_stock(SF, 1, ""),
        noted().remove_stock(SF, 1, ""),
        noted().ship(SF, 1),
        noted().cancel_sale(SF, 1, ""),
        noted().reserve(SF, 1, LONG),
        noted().sell(SF, 1),
        noted().reserve_basket(&lines, LONG),
        noted().fulfill_across_warehouses("LAPTOP", 1, &["SF".into()], LONG),
        noted().confirm(hold),
        noted().release(hold),
        noted().extend(hold, LONG),
        noted().confirm_lines(hold, &lines),
        noted().confirm_or_retake(hold),
        noted().confirm_or_retake_lines(hold, &lines),
        noted().ship_lines(sale, &lines),
        noted().cancel_sale_lines(sale, &lines, ""),
        noted().transfer("SF", "NYC", "LAPTOP", 1),
        noted().request_transfer("SF", "NYC", "LAPTOP", 1),
        noted().approve_transfer(asked, "ALICE"),
        noted().reject_transfer(asked, "ALICE", ""),
    };
    assert_eq!((manager.counts(SF), manager.audit_log().newest_sequence()), before);
}

#[test]
fn a_note_does_not_take_the_name_of_what_the_call_itself_writes() {
    let manager = shop(quiet(&clock()));
    let sale = manager.sell(SF, 2).expect("stock");
    let asked = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("room");
    fn noted<'a>(manager: &'a InventoryManager, name: &str) -> Request<'a> {
        manager.request().note("order", "1").note(name, "mine")
    }
    assert_eq!(noted(&manager, "source").add_stock(SF, 1, "S"), Err(taken().into()));
    assert_eq!(noted(&manager, "reason").remove_stock(SF, 1, "lost"), Err(taken().into()));
    assert_eq!(noted(&manager, "reason").cancel_sale(SF, 1, "lost"), Err(taken().into()));
    let cancelled = noted(&manager, "reason").cancel_sale_lines(sale, &[line(SF, 1)], "lost");
    assert_eq!(cancelled, Err(taken().into()));
    // A retake would take it for the wish to keep the reservation.
    let kept = noted(&manager, "keep").keep_until_shipped().sell(SF, 1);
    assert_eq!(kept, Err(taken().into()));
    let hold = manager.reserve(SF, 1, LONG).expect("stock");
    assert_eq!(noted(&manager, "keep").reserve(SF, 1, LONG), Err(taken().into()));
    assert_eq!(noted(&manager, "keep").confirm(hold), Err(taken().into()));
    assert_eq!(noted(&manager, "keep").extend(hold, LONG), Err(taken().into()));
    assert_eq!(noted(&manager, "keep").release(hold), Err(taken().into()));
    assert_eq!(noted(&manager, "keep").ship(SF, 1), Err(taken().into()));
    assert_eq!(noted(&manager, "keep").cancel_sale(SF, 1, "lost"), Err(taken().into()));
    for name in ["transferRequestId", "outcome", "decidedAt", "available", "room", "decidedBy"] {
        let request = noted(&manager, name).request_transfer("SF", "NYC", "LAPTOP", 1);
        assert_eq!(request, Err(taken().into()), "{name}");
        assert_eq!(noted(&manager, name).approve_transfer(asked, "A"), Err(taken().into()));
    }
    let rejected = noted(&manager, "reason").reject_transfer(asked, "ALICE", "full");
    assert_eq!(rejected, Err(taken().into()));
    // Where the call writes nothing of this name, it is a note like any other.
    noted(&manager, "reason").sell(SF, 1).expect("stock");
    noted(&manager, "reason").transfer("SF", "NYC", "LAPTOP", 1).expect("stock");
    noted(&manager, "source").ship(SF, 1).expect("sold");
    for entry in written(&manager) {
        let mut names: Vec<&str> = entry.metadata().iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), entry.metadata().len(), "{entry:?}");
    }
}

#[test]
fn the_first_note_that_is_wrong_is_named() {
    let manager = shop(quiet(&clock()));
    let noted = |names: [&str; 3]| {
        names.iter().fold(manager.request(), |request, name| request.note(*name, "x"))
    };
    let refused = |request: Request<'_>| {
        let kept = request.keep_until_shipped();
        kept.sell(SF, 1).expect_err("a wrong note")
    };
    let keep_first = refused(noted(["a", "keep", "a"]));
    assert_eq!(keep_first, CallError::from(InvalidText::NameTaken { note: 1 }).into());
    let twice_first = refused(noted(["a", "a", "keep"]));
    let twice = InvalidText::NameTwice { first: 0, second: 1 };
    assert_eq!(twice_first, CallError::from(twice).into());
}

//! Text of calls: notes, sources and reasons.

use stockade::{
    AuditFilter, BasketLine, BuildError, CallError, InvalidText, InventoryManager, Limits, Request,
};

use crate::{ENDS, HOUR, LAPTOPS, Shop, tiny};

/// The most notes, and the most bytes of text.
const NOTES: u32 = 3;
const BYTES: u32 = 40;

fn limited() -> Limits {
    tiny().notes(NOTES, BYTES)
}

fn too_long() -> CallError {
    InvalidText::TooLong { bytes: BYTES + 1, most: BYTES }.into()
}

/// A request with one note, of so many bytes in all.
fn noted(manager: &InventoryManager, bytes: usize) -> Request<'_> {
    manager.request().note("note", "x".repeat(bytes - 4))
}

#[test]
fn notes_as_many_and_as_long_as_the_limit() {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.stocked(limited());
        let many = |manager: &InventoryManager, count: u32| {
            let first = manager.request();
            let all = (0..count).fold(first, |request, at| request.note(at.to_string(), "b"));
            all.sell(LAPTOPS, 1).map(drop)
        };
        let more = CallError::from(InvalidText::TooManyNotes { notes: NOTES + 1, most: NOTES });
        let check = |manager: &InventoryManager| {
            assert_eq!(many(manager, NOTES), Ok(()), "{end:?}");
            let before = (manager.counts(LAPTOPS), manager.audit_log().newest_sequence());
            assert_eq!(many(manager, NOTES + 1), Err(more.clone().into()), "{end:?}");
            let refused = noted(manager, BYTES as usize + 1).sell(LAPTOPS, 1);
            assert_eq!(refused, Err(too_long().into()), "{end:?}");
            let after = (manager.counts(LAPTOPS), manager.audit_log().newest_sequence());
            assert_eq!(after, before, "{end:?}: a refused call moves nothing");
            assert!(noted(manager, BYTES as usize).sell(LAPTOPS, 1).is_ok(), "{end:?}");
        };
        check(&first);
        shop.end(first, end);
        let again = shop.open(limited());
        check(&again);
        // What a higher limit has let in opens under a lower one.
        shop.end(again, end);
        let again = shop.open(tiny().notes(0, 20));
        let page = again.audit_log().query(&AuditFilter::new().limit(1_000));
        let longest = page.entries.iter().flat_map(|it| it.metadata().iter()).map(|it| it.1.len());
        assert_eq!(longest.max(), Some(BYTES as usize - 4), "{end:?}");
    }
}

#[test]
fn every_operation_refuses_too_much_text_and_moves_nothing() {
    let shop = Shop::new();
    let manager = shop.stocked(limited());
    let lines = [BasketLine::new(LAPTOPS, 1)];
    let hold = manager.reserve(LAPTOPS, 3, HOUR).expect("stock");
    let sale = manager.sell(LAPTOPS, 2).expect("stock");
    let asked = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("room");
    let before = (manager.counts(LAPTOPS), manager.audit_log().newest_sequence());
    let long = || noted(&manager, BYTES as usize + 1);
    let refusal = too_long();
    macro_rules! refused {
        ($($call:expr),+ $(,)?) => {
            $(assert_eq!($call.map(drop), Err(refusal.clone().into()), stringify!($call));)+
        };
    }
    refused! {
        long().add_stock(LAPTOPS, 1, ""),
        long().remove_stock(LAPTOPS, 1, ""),
        long().ship(LAPTOPS, 1),
        long().cancel_sale(LAPTOPS, 1, ""),
        long().reserve(LAPTOPS, 1, HOUR),
        long().sell(LAPTOPS, 1),
        long().reserve_basket(&lines, HOUR),
        long().fulfill_across_warehouses("LAPTOP", 1, &["SF".into()], HOUR),
        long().confirm(hold),
        long().release(hold),
        long().extend(hold, HOUR),
        long().confirm_lines(hold, &lines),
        long().confirm_or_retake_lines(hold, &lines),
        long().ship_lines(sale, &lines),
        long().cancel_sale_lines(sale, &lines, ""),
        long().transfer("SF", "NYC", "LAPTOP", 1),
        long().request_transfer("SF", "NYC", "LAPTOP", 1),
        long().hold_units().request_transfer("SF", "NYC", "LAPTOP", 1),
        long().approve_transfer(asked, "ALICE"),
        long().reject_transfer(asked, "ALICE", ""),
    };
    // A note and a source or a reason count together.
    let half = || noted(&manager, BYTES as usize / 2);
    let text = &*"x".repeat(BYTES as usize / 2 + 1);
    refused! {
        half().add_stock(LAPTOPS, 1, text),
        half().remove_stock(LAPTOPS, 1, text),
        half().cancel_sale(LAPTOPS, 1, text),
        half().cancel_sale_lines(sale, &lines, text),
        half().reject_transfer(asked, "ALICE", text),
    };
    let after = (manager.counts(LAPTOPS), manager.audit_log().newest_sequence());
    assert_eq!(after, before);
    half().add_stock(LAPTOPS, 1, &text[1..]).expect("as much as the limit");
}

#[test]
fn the_limit_itself_has_bounds() {
    let build = |notes, bytes| Shop::new().builder(tiny().notes(notes, bytes)).build();
    for (notes, bytes) in [(65_536, 1), (1, (1 << 24) + 1)] {
        let refusal = build(notes, bytes).err();
        assert!(matches!(refusal, Some(BuildError::Setting { setting: "notes", .. })));
    }
    assert!(build(65_535, 1 << 24).is_ok());
}

#[test]
fn a_record_with_all_the_text_that_can_be_set_opens_again() {
    for end in [ENDS[0], ENDS[2]] {
        let mut shop = Shop::new();
        let most = tiny().notes(65_535, 1 << 24);
        let first = shop.stocked(most.clone());
        let long = noted(&first, (1 << 24) - 8);
        long.add_stock(LAPTOPS, 1, "SUPPLIER").expect("as much as the limit");
        shop.end(first, end);
        assert_eq!(shop.open(most).available(LAPTOPS), Ok(10_001), "{end:?}");
    }
}

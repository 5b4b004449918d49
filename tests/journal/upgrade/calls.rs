//! One keyed call of every operation, one per row. No other part of this test names operations.
//!
//! Each row runs twice: in the code that wrote the golden journals, and in today's code, which must
//! give the first answer. So a port to a new API may change how a row is *called*, and nothing
//! else: not its name (which is its key), not its arguments, not their order.

use std::cell::Cell;
use std::time::Duration;

use stockade::{
    BasketLine, HoldRequest, IdempotencyKey, InventoryManager, LevelRef, Owner, PriorityOrder,
    ProductRef, Request, ReservationId, TransferRequestId, WarehouseRef,
};
use uuid::Uuid;

use super::given::{
    CABLES, FIRST_LIMITED, FORGOTTEN, Given, LAPTOPS, LOST, MINE, MUGS, OURS, PHONES, SPARE,
    SPARE_REQUEST,
};
use super::told::{Told, told, told_approval};

/// How a call names its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Name,
    Handle,
}

/// The request options of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    Owner,
    Keep,
    OwnerAndKeep,
}

/// A keyed call.
pub(crate) struct Row {
    /// The name under which its answer is stored in the golden set. It is also its key, except for
    /// keys of another kind.
    pub(crate) name: &'static str,
    /// The word with which its fingerprint begins.
    pub(crate) word: &'static str,
    by: By,
    with: With,
    run: fn(&Call<'_>) -> Told,
}

impl Row {
    pub(crate) fn key(&self) -> IdempotencyKey {
        match self.name {
            "reserve: a UUID as the key" => Uuid::from_u128(0x0199_d2c4_8a10_7000).into(),
            "reserve: the longest key" => {
                IdempotencyKey::try_from(&[0xff; 64][..]).expect("64 bytes")
            }
            name => IdempotencyKey::try_from(name).expect("a name of 64 bytes at most"),
        }
    }
}

/// A call that is about to be made.
pub(crate) struct Call<'a> {
    pub(crate) row: &'a Row,
    pub(crate) key: IdempotencyKey,
    pub(crate) manager: &'a InventoryManager,
    pub(crate) given: &'a Given,
    /// A note, which is not part of the fingerprint.
    pub(crate) note: &'a str,
    /// The argument that must differ from the first call's, counted from 0.
    pub(crate) changed: Option<usize>,
    /// How many arguments were taken so far.
    pub(crate) arguments: Cell<usize>,
}

impl<'a> Call<'a> {
    pub(crate) fn run(&self) -> Told {
        (self.row.run)(self)
    }

    /// The next argument: the first call's, or another.
    fn or<T>(&self, first: T, other: T) -> T {
        let number = self.arguments.replace(self.arguments.get() + 1);
        if self.changed == Some(number) { other } else { first }
    }

    fn request(&self) -> Request<'a> {
        self.manager.request().key(self.key).note("try", self.note)
    }

    fn hold_request(&self) -> HoldRequest<'a> {
        let owned = matches!(self.row.with, With::Owner | With::OwnerAndKeep);
        let (owner, other) = if owned { (Some(MINE), Some(OURS)) } else { (None, Some(MINE)) };
        let owner = self.or(owner, other);
        let owner = if owned { self.or(owner, None) } else { owner };
        let keep = matches!(self.row.with, With::Keep | With::OwnerAndKeep);
        let keep = self.or(keep, !keep);
        let request = HoldRequest::from(self.request());
        let request = owner.map_or(request.clone(), |owner: Owner| request.owner(owner));
        if keep { request.keep_until_shipped() } else { request }
    }

    fn level_by(&self, place: (&'static str, &'static str), by: By) -> LevelRef<'static> {
        match by {
            By::Name => place.into(),
            By::Handle => self.manager.level(place).expect("a level").into(),
        }
    }

    /// A level. When changed, it is another level, or the same level named in the other way.
    fn level(&self, place: (&'static str, &'static str)) -> LevelRef<'static> {
        let other = if place == CABLES { LAPTOPS } else { CABLES };
        let place = self.or(place, other);
        self.level_by(place, self.by())
    }

    fn by(&self) -> By {
        match self.row.by {
            By::Name => self.or(By::Name, By::Handle),
            By::Handle => self.or(By::Handle, By::Name),
        }
    }

    fn warehouse(&self, name: &'static str, other: &'static str) -> WarehouseRef<'static> {
        let name = self.or(name, other);
        match self.by() {
            By::Name => name.into(),
            By::Handle => self.manager.warehouse(name).expect("a warehouse").id().into(),
        }
    }

    fn product(&self, name: &'static str) -> ProductRef<'static> {
        let name = self.or(name, "CABLE");
        match self.by() {
            By::Name => name.into(),
            By::Handle => self.manager.product(name).expect("a product").into(),
        }
    }

    fn units(&self, units: u32) -> u32 {
        self.or(units, units + 1)
    }

    fn ttl(&self, hours: u64) -> Duration {
        let ttl = Duration::from_secs(hours * 3_600);
        let ttl = self.or(ttl, ttl + Duration::from_secs(1));
        self.or(ttl, ttl + Duration::from_nanos(1))
    }

    fn text(&self, text: &'static str) -> &'static str {
        self.or(text, "another text")
    }

    fn line(&self, place: (&'static str, &'static str), units: u32) -> BasketLine<'static> {
        BasketLine::new(self.level(place), self.units(units))
    }

    /// Lines. When changed, there is one more, or their order differs.
    fn lines(&self, places: &[((&'static str, &'static str), u32)]) -> Vec<BasketLine<'static>> {
        let mut lines: Vec<_> =
            places.iter().map(|(place, units)| self.line(*place, *units)).collect();
        if self.or(false, true) {
            lines.push(lines[0]);
        }
        if lines.len() > 1 && self.or(false, true) {
            lines.reverse();
        }
        lines
    }

    /// The hold that was made for this row.
    fn hold(&self) -> ReservationId {
        self.or(self.given.hold(self.row.name), self.given.hold(SPARE))
    }

    /// The transfer request that was made for this row.
    fn transfer_request(&self) -> TransferRequestId {
        self.or(self.given.request(self.row.name), self.given.request(SPARE_REQUEST))
    }
}

fn reserve(it: &Call<'_>) -> Told {
    told(it.hold_request().reserve(it.level(LAPTOPS), it.units(2), it.ttl(5)))
}

fn sell(it: &Call<'_>) -> Told {
    told(it.hold_request().sell(it.level(LAPTOPS), it.units(3)))
}

fn basket(it: &Call<'_>) -> Told {
    let lines = it.lines(&[(PHONES, 2), (LAPTOPS, 1)]);
    told(it.hold_request().reserve_basket(&lines, it.ttl(6)))
}

fn fulfil(it: &Call<'_>) -> Told {
    // The warehouses are no part of the request: a strategy may answer otherwise when asked again.
    let order = ["SF".into(), "NYC".into()];
    let (product, units) = (it.product("LAPTOP"), it.units(4));
    told(it.hold_request().fulfill_across_warehouses(product, units, &order, it.ttl(7)))
}

fn fulfil_by_strategy(it: &Call<'_>) -> Told {
    let order = PriorityOrder::new(["NYC".to_owned(), "SF".to_owned()]);
    let (product, units) = (it.product("LAPTOP"), it.units(5));
    told(it.hold_request().fulfill_by(product, units, &order, it.ttl(8)))
}

fn reserve_for_a_subject(it: &Call<'_>) -> Told {
    let request = it.request().subject("customer", it.or("ann", "bob"));
    told(request.reserve(it.level(MUGS), it.units(2), it.ttl(5)))
}

fn sell_past_a_limit(it: &Call<'_>) -> Told {
    let request = it.request().subject("customer", it.or("ann", "bob")).subject("card", "c1");
    let request = request.pass_limit(it.or("drop", "cards"), "a gift");
    told(request.sell(it.level(MUGS), it.units(3)))
}

fn basket_for_two_subjects(it: &Call<'_>) -> Told {
    let request = it.request().subject("card", it.or("c1", "c2"));
    let request = request.subject("customer", it.or("ann", "bob")).owner(MINE);
    let lines = it.lines(&[(PHONES, 2), (MUGS, 1)]);
    told(request.reserve_basket(&lines, it.ttl(6)))
}

fn confirm_with_a_card(it: &Call<'_>) -> Told {
    told(it.request().subject("card", it.or("c1", "c2")).confirm(it.hold()))
}

fn confirm_lines_with_a_card(it: &Call<'_>) -> Told {
    let request = it.request().subject("card", it.or("c2", "c1"));
    told(request.confirm_lines(it.hold(), &it.lines(&[(MUGS, 1)])))
}

fn confirm(it: &Call<'_>) -> Told {
    told(it.request().confirm(it.hold()))
}

fn release(it: &Call<'_>) -> Told {
    told(it.request().release(it.hold()))
}

fn extend(it: &Call<'_>) -> Told {
    told(it.request().extend(it.hold(), it.ttl(9)))
}

fn confirm_lines(it: &Call<'_>) -> Told {
    told(it.request().confirm_lines(it.hold(), &it.lines(&[(LAPTOPS, 1), (PHONES, 1)])))
}

fn release_lines(it: &Call<'_>) -> Told {
    told(it.request().release_lines(it.hold(), &it.lines(&[(LAPTOPS, 1), (PHONES, 1)])))
}

fn confirm_lines_and_release_rest(it: &Call<'_>) -> Told {
    let lines = it.lines(&[(LAPTOPS, 1), (PHONES, 1)]);
    told(it.request().confirm_lines_and_release_rest(it.hold(), &lines))
}

fn confirm_or_retake(it: &Call<'_>) -> Told {
    told(it.request().confirm_or_retake_lines(it.hold(), &it.lines(&[(LAPTOPS, 2), (PHONES, 2)])))
}

fn confirm_or_retake_whole(it: &Call<'_>) -> Told {
    told(it.request().confirm_or_retake(it.hold()))
}

fn ship_lines(it: &Call<'_>) -> Told {
    told(it.request().ship_lines(it.hold(), &it.lines(&[(LAPTOPS, 1), (PHONES, 2)])))
}

fn cancel_sale_lines(it: &Call<'_>) -> Told {
    let lines = it.lines(&[(LAPTOPS, 1), (PHONES, 1)]);
    told(it.request().cancel_sale_lines(it.hold(), &lines, it.text("returned at the door")))
}

fn add_stock(it: &Call<'_>) -> Told {
    told(it.request().add_stock(it.level(PHONES), it.units(11), it.text("SUPPLIER")))
}

fn remove_stock(it: &Call<'_>) -> Told {
    told(it.request().remove_stock(it.level(PHONES), it.units(1), it.text("dropped")))
}

fn ship(it: &Call<'_>) -> Told {
    told(it.request().ship(it.level(LAPTOPS), it.units(1)))
}

fn cancel_sale(it: &Call<'_>) -> Told {
    told(it.request().cancel_sale(it.level(LAPTOPS), it.units(1), it.text("changed their mind")))
}

fn transfer(it: &Call<'_>) -> Told {
    let (from, to) = (it.warehouse("SF", "LA"), it.warehouse("NYC", "LA"));
    told(it.request().transfer(from, to, it.product("LAPTOP"), it.units(3)))
}

fn request_transfer(it: &Call<'_>) -> Told {
    request_transfer_of(it, false, 4)
}

fn request_transfer_with_units(it: &Call<'_>) -> Told {
    request_transfer_of(it, true, 3)
}

/// Few enough units that the policy approves the request.
fn request_small_transfer(it: &Call<'_>) -> Told {
    request_transfer_of(it, false, 1)
}

fn request_transfer_of(it: &Call<'_>, held: bool, units: u32) -> Told {
    let request = it.request();
    let hold = it.or(held, !held);
    let (from, to) = (it.warehouse("SF", "LA"), it.warehouse("NYC", "LA"));
    let (product, units) = (it.product("PHONE"), it.units(units));
    told(if hold {
        request.hold_units().request_transfer(from, to, product, units)
    } else {
        request.request_transfer(from, to, product, units)
    })
}

fn approve(it: &Call<'_>) -> Told {
    told_approval(it.request().approve_transfer(it.transfer_request(), it.text("mira")))
}

fn reject(it: &Call<'_>) -> Told {
    let (id, who) = (it.transfer_request(), it.text("tom"));
    told(it.request().reject_transfer(id, who, it.text("no room")))
}

const fn row(name: &'static str, word: &'static str, by: By, run: fn(&Call<'_>) -> Told) -> Row {
    Row { name, word, by, with: With::Nothing, run }
}

const fn with(with: With, row: Row) -> Row {
    Row { with, ..row }
}

/// All rows, in the order in which they were called.
pub(crate) const ROWS: &[Row] = &[
    row(FORGOTTEN, "release", By::Name, release),
    row("add: by names", "add", By::Name, add_stock),
    row("add: by handle", "add", By::Handle, add_stock),
    row("remove: by names", "remove", By::Name, remove_stock),
    row("remove: by handle", "remove", By::Handle, remove_stock),
    row("transfer: by names", "transfer", By::Name, transfer),
    row("transfer: by handles", "transfer", By::Handle, transfer),
    row("reserve: by names", "reserve", By::Name, reserve),
    row("reserve: by handle", "reserve", By::Handle, reserve),
    with(With::Owner, row("reserve: with an owner", "reserve", By::Name, reserve)),
    with(With::Keep, row("reserve: until shipped", "reserve", By::Name, reserve)),
    with(With::OwnerAndKeep, row("reserve: with both", "reserve", By::Handle, reserve)),
    row("reserve: a UUID as the key", "reserve", By::Name, reserve),
    row("reserve: the longest key", "reserve", By::Name, reserve),
    row("sell: by names", "sell", By::Name, sell),
    row("sell: by handle", "sell", By::Handle, sell),
    with(With::Owner, row("sell: with an owner", "sell", By::Handle, sell)),
    with(With::Keep, row("sell: until shipped", "sell", By::Name, sell)),
    with(With::OwnerAndKeep, row("sell: with both", "sell", By::Name, sell)),
    row("basket: by names", "basket", By::Name, basket),
    row("basket: by handles", "basket", By::Handle, basket),
    with(With::Owner, row("basket: with an owner", "basket", By::Name, basket)),
    with(With::Keep, row("basket: until shipped", "basket", By::Handle, basket)),
    with(With::OwnerAndKeep, row("basket: with both", "basket", By::Name, basket)),
    row("fulfil: by name", "fulfil", By::Name, fulfil),
    row("fulfil: by handle", "fulfil", By::Handle, fulfil),
    row("fulfil: by name, strategy", "fulfil", By::Name, fulfil_by_strategy),
    row("fulfil: by handle, strategy", "fulfil", By::Handle, fulfil_by_strategy),
    with(With::OwnerAndKeep, row("fulfil: with both", "fulfil", By::Name, fulfil)),
    row("confirm: one line", "confirm", By::Name, confirm),
    row("confirm: a basket", "confirm", By::Name, confirm),
    row("release: one line", "release", By::Name, release),
    row("release: a basket", "release", By::Name, release),
    row("release: released before", "release", By::Name, release),
    row("release: an expired hold", "release", By::Name, release),
    row("release: an unknown id", "release", By::Name, release),
    row("extend: longer", "extend", By::Name, extend),
    row("extend: no longer than it stands", "extend", By::Name, extend),
    row("confirm-lines: by names", "confirm-lines", By::Name, confirm_lines),
    row("confirm-lines: by handles", "confirm-lines", By::Handle, confirm_lines),
    row("confirm-lines: the last", "confirm-lines", By::Name, confirm_lines),
    row("release-lines: by names", "release-lines", By::Name, release_lines),
    row("release-lines: by handles", "release-lines", By::Handle, release_lines),
    row("release-lines: the last", "release-lines", By::Handle, release_lines),
    row("rest: by names", REST, By::Name, confirm_lines_and_release_rest),
    row("rest: by handles", REST, By::Handle, confirm_lines_and_release_rest),
    row("retake: in time, by names", RETAKE, By::Name, confirm_or_retake),
    row("retake: in time, by handles", RETAKE, By::Handle, confirm_or_retake),
    row("retake: late, by names", RETAKE, By::Name, confirm_or_retake),
    row("retake: late, by handles", RETAKE, By::Handle, confirm_or_retake),
    row("retake: retaken before, by names", RETAKE, By::Name, confirm_or_retake),
    row("retake: retaken before, by handles", RETAKE, By::Handle, confirm_or_retake),
    row("retake: sold before, by names", RETAKE, By::Name, confirm_or_retake),
    row("retake: sold before, by handles", RETAKE, By::Handle, confirm_or_retake),
    row("ship-lines: by names", "ship-lines", By::Name, ship_lines),
    row("ship-lines: by handles", "ship-lines", By::Handle, ship_lines),
    row("cancel-sale-lines: by names", "cancel-sale-lines", By::Name, cancel_sale_lines),
    row("cancel-sale-lines: by handles", "cancel-sale-lines", By::Handle, cancel_sale_lines),
    row("ship: by names", "ship", By::Name, ship),
    row("ship: by handle", "ship", By::Handle, ship),
    row("cancel-sale: by names", "cancel-sale", By::Name, cancel_sale),
    row("cancel-sale: by handle", "cancel-sale", By::Handle, cancel_sale),
    row("request: by names", "request-transfer", By::Name, request_transfer),
    row("request: by handles", "request-transfer", By::Handle, request_transfer),
    row("request: units, by names", "request-transfer", By::Name, request_transfer_with_units),
    row("request: units, by handles", "request-transfer", By::Handle, request_transfer_with_units),
    row("request: approved at once", "request-transfer", By::Name, request_small_transfer),
    row("approve: plain", "approve", By::Name, approve),
    row("approve: with units", "approve", By::Name, approve),
    row("approve: short", "approve", By::Name, approve),
    row("approve: no room", "approve", By::Name, approve),
    row("approve: no room, with units", "approve", By::Name, approve),
    row("reject: plain", "reject", By::Name, reject),
    row("reject: with units", "reject", By::Name, reject),
    // Those that the first set lacks.
    row("whole: in time", WHOLE, By::Name, confirm_or_retake_whole),
    row("whole: late", WHOLE, By::Name, confirm_or_retake_whole),
    row("whole: retaken before", WHOLE, By::Name, confirm_or_retake_whole),
    row("whole: sold before", WHOLE, By::Name, confirm_or_retake_whole),
    row("whole: partly sold", WHOLE, By::Name, confirm_or_retake_whole),
    row("release: partly sold", "release", By::Name, release),
    row(LOST, "release", By::Name, release),
    // Those that the first three sets lack: limits.
    row(FIRST_LIMITED, "reserve", By::Name, reserve_for_a_subject),
    row("sell: passes a limit", "sell", By::Handle, sell_past_a_limit),
    row("basket: for two subjects", "basket", By::Name, basket_for_two_subjects),
    row("confirm: with a card", "confirm", By::Name, confirm_with_a_card),
    row("confirm-lines: with a card", "confirm-lines", By::Name, confirm_lines_with_a_card),
    row("whole: late, for a subject", WHOLE, By::Name, confirm_or_retake_whole),
];

const REST: &str = "confirm-lines-and-release-rest";
const RETAKE: &str = "confirm-or-retake";
const WHOLE: &str = "confirm-or-retake-whole";

/// Every word with which a fingerprint begins. Journals hold fingerprints, so no word ever changes.
pub(crate) const WORDS: [&str; 22] = [
    "add",
    "approve",
    "basket",
    "cancel-sale",
    "cancel-sale-lines",
    "confirm",
    "confirm-lines",
    REST,
    RETAKE,
    WHOLE,
    "extend",
    "fulfil",
    "reject",
    "release",
    "release-lines",
    "remove",
    "request-transfer",
    "reserve",
    "sell",
    "ship",
    "ship-lines",
    "transfer",
];

/// Words that came after the newest golden set, so no row has them. A unit test in
/// `src/engine/call.rs` pins the fingerprint of each. They get rows with the next set.
pub(crate) const LATER_WORDS: [&str; 0] = [];
/// The calls of these words.
pub(crate) const LATER_CALLS: [&str; 0] = [];

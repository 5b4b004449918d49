//! The state that each row of the golden journals needs before its call, and the settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stockade::{
    ApproveBelow, BasketLine, Builder, ConfirmOrRetake, InventoryManager, JournalOptions,
    LimitCounts, LimitRule, Limits, ManualClock, NoReservation, Owner, ReservationId,
    ReservationStatus, TransferRequestId, WarehouseSpec,
};

pub(crate) const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
pub(crate) const PHONES: (&str, &str) = ("SF", "PHONE");
pub(crate) const CABLES: (&str, &str) = ("SF", "CABLE");
const DESKS: (&str, &str) = ("SF", "DESK");
/// Under limits. The older sets lack it.
pub(crate) const MUGS: (&str, &str) = ("SF", "MUG");
pub(crate) const WAREHOUSES: [&str; 3] = ["SF", "NYC", "LA"];
pub(crate) const PRODUCTS: [&str; 4] = ["LAPTOP", "PHONE", "CABLE", "DESK"];

pub(crate) const MINE: Owner = Owner([1; 16]);
pub(crate) const OURS: Owner = Owner([2; 16]);

/// A hold and a transfer request of no row, for calls with a changed argument.
pub(crate) const SPARE: &str = "spare";
pub(crate) const SPARE_REQUEST: &str = "spare request";

/// The row of a hold whose record was dropped. A restart may restore that record, so the comparison
/// leaves it out.
pub(crate) const FORGOTTEN: &str = "release: a forgotten hold";

/// The row of a hold that an earlier opening made, and a crash took.
pub(crate) const LOST: &str = "release: lost in a crash";

/// The first row of a product under limits.
pub(crate) const FIRST_LIMITED: &str = "reserve: for a subject";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How many of the newest entries the log retained when the journals were written.
pub(crate) const FEW: u64 = 32;

/// The engine of the golden journals, on `clock`. Its log retains this many entries.
pub(crate) fn engine(clock: &Arc<ManualClock>, retained: u64) -> Builder {
    InventoryManager::builder()
        .warehouse("SF")
        .warehouse(WarehouseSpec::new("NYC").threshold(3))
        .warehouse(WarehouseSpec::new("LA").capacity(10))
        .clock(Arc::clone(clock))
        .without_threads()
        .seed(0x90_1d)
        .limits(
            Limits::new()
                .max_reservations(4_096)
                .audit_queue(1_024)
                .audit_retained(retained)
                .key_retention(YEAR, 10_000),
        )
        .approval_policy(ApproveBelow::new(2))
        .subject_secret([7; 16])
}

/// Small segments in this folder, and a checkpoint after each.
pub(crate) fn journal_in(folder: &Path) -> JournalOptions {
    // Without outcome files, so that the engine forgets a reservation.
    let journal = JournalOptions::from(folder).keep_outcomes(Duration::ZERO);
    journal.segment_bytes(4_096).checkpoint_every(1).least_free_space(0)
}

/// Holds and transfer requests, by the name of their row.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) holds: BTreeMap<String, ReservationId>,
    pub(crate) requests: BTreeMap<String, TransferRequestId>,
}

impl Given {
    #[track_caller]
    pub(crate) fn hold(&self, name: &str) -> ReservationId {
        *self.holds.get(name).unwrap_or_else(|| panic!("no hold was made for {name:?}"))
    }

    #[track_caller]
    pub(crate) fn request(&self, name: &str) -> TransferRequestId {
        *self.requests.get(name).unwrap_or_else(|| panic!("no request was made for {name:?}"))
    }
}

/// Prepares rows on an engine with a new journal.
pub(crate) struct Stage<'a> {
    pub(crate) manager: &'a InventoryManager,
    pub(crate) clock: &'a ManualClock,
    pub(crate) given: Given,
}

impl Stage<'_> {
    /// Before all rows.
    pub(crate) fn open(&mut self) {
        let manager = self.manager;
        for (place, units) in [(LAPTOPS, 200), (PHONES, 200), (CABLES, 10), (DESKS, 5)] {
            manager.add_stock(place, units, "SUPPLIER").expect("room");
        }
        manager.add_stock(("NYC", "LAPTOP"), 2, "SUPPLIER").expect("room");
        manager.open_level("LA", "PHONE").expect("a new level");
        let spare = manager.reserve(LAPTOPS, 2, 23 * HOUR).expect("stock");
        self.given.holds.insert(SPARE.to_owned(), spare);
        let spare = manager.request_transfer("SF", "LA", "LAPTOP", 9).expect("a level");
        self.given.requests.insert(SPARE_REQUEST.to_owned(), spare);
    }

    /// Before the row with this name.
    pub(crate) fn before(&mut self, row: &str) {
        self.clock.advance(SECOND);
        if row == FIRST_LIMITED {
            self.limit();
        }
        if let Some(hold) = self.hold_for(row) {
            self.given.holds.insert(row.to_owned(), hold);
        }
        if let Some(request) = self.request_for(row) {
            self.given.requests.insert(row.to_owned(), request);
        }
    }

    /// Before the rows of limits: rules of each kind, a group, a version, and one that is dropped.
    fn limit(&self) {
        let manager = self.manager;
        manager.add_stock(MUGS, 90, "SUPPLIER").expect("room");
        let rule = |name, kind, maximum| LimitRule::new(name, kind, maximum).products(["MUG"]);
        let drop = LimitRule::new("drop", "customer", 20).group("mugs");
        manager.add_to_group("mugs", &["MUG".into(), "CABLE".into()]).expect("products");
        manager.remove_from_group("mugs", &["CABLE".into()]).expect("a product");
        let day = LimitCounts::SalesWithin(24 * HOUR);
        let rules = [
            drop.counts(LimitCounts::SalesKept),
            rule("cards", "card", 20).asked_at_sale(),
            rule("orders", "customer", 9).counts(day).reservations(),
            rule("cart", "customer", 9).counts(LimitCounts::Holds),
            LimitRule::by_level("checkout", 40).products(["MUG"]),
            rule("no more", "household", 1),
        ];
        rules.into_iter().for_each(|rule| manager.define_limit(rule).expect("a limit"));
        manager.set_limit_maximum("orders", 15).expect("a limit");
        manager.drop_limit("no more").expect("a limit");
    }

    /// A hold under the limits.
    fn limited(&self, card: Option<&str>) -> ReservationId {
        let request = self.manager.request().subject("customer", "ann");
        let request = match card {
            Some(card) => request.subject("card", card),
            None => request,
        };
        let lines = [(LAPTOPS, 1), (MUGS, 2)].map(|(place, units)| BasketLine::new(place, units));
        request.reserve_basket(&lines, HOUR).expect("stock")
    }

    /// After all rows: settings, an erased note, a hold that expires.
    pub(crate) fn close(&mut self) {
        let manager = self.manager;
        let place = manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1);
        place.expect("stock");
        let erased = manager.redact(|entry| entry.note("customer").is_some());
        assert_eq!(erased.expect("a sound journal").records, 1);
        manager.set_longest_ttl(12 * HOUR).expect("a legal span");
        manager.suspend("LA").expect("a warehouse");
        manager.suspend("NYC").expect("a warehouse");
        manager.resume("NYC").expect("a warehouse");
        manager.set_threshold("SF", Some(7)).expect("a legal threshold");
        manager.set_threshold("NYC", None).expect("no threshold");
        manager.set_product_threshold(PHONES, Some(4)).expect("a legal threshold");
        manager.set_product_threshold(CABLES, None).expect("no threshold");
        manager.set_product_threshold(DESKS, Some(1)).expect("a legal threshold");
        manager.clear_product_threshold(DESKS).expect("as the warehouse");
        let swept = manager.reserve(LAPTOPS, 1, SECOND).expect("stock");
        self.given.holds.insert("swept".to_owned(), swept);
        self.clock.advance(2 * SECOND);
        manager.run_until_idle();
    }

    fn hold_for(&self, row: &str) -> Option<ReservationId> {
        let manager = self.manager;
        let one = |ttl| manager.reserve(LAPTOPS, 2, ttl).expect("stock");
        Some(match row {
            FORGOTTEN => self.forgotten(),
            "release: an unknown id" => self.unknown(),
            "release: released before" => self.released(one(HOUR)),
            "release: an expired hold" => {
                let hold = one(SECOND);
                self.clock.advance(2 * SECOND);
                hold
            }
            "confirm: one line" | "release: one line" | "extend: longer" => one(HOUR),
            "extend: no longer than it stands" => one(11 * HOUR),
            "confirm: a basket" | "release: a basket" => self.held(),
            "confirm: with a card" | "confirm-lines: with a card" => self.limited(None),
            "whole: late, for a subject" => self.released(self.limited(Some("c1"))),
            "whole: in time" => self.held(),
            "whole: late" => self.released(self.held()),
            "whole: retaken before" => self.retaken(),
            "whole: sold before" => self.sold(self.held()),
            "whole: partly sold" | "release: partly sold" => self.partly_sold(),
            row if row.starts_with("retake: in time") => self.held(),
            row if row.starts_with("retake: late") => self.released(self.held()),
            row if row.starts_with("retake: retaken before") => self.retaken(),
            row if row.starts_with("retake: sold before") => self.sold(self.held()),
            "confirm-lines: the last" | "release-lines: the last" => {
                self.basket(&[(LAPTOPS, 1), (PHONES, 1)])
            }
            row if row.starts_with("confirm-lines") => self.held(),
            row if row.starts_with("release-lines") => self.held(),
            row if row.starts_with("rest") => self.held(),
            row if row.starts_with("ship-lines") => self.sold(self.held()),
            row if row.starts_with("cancel-sale-lines") => self.sold(self.held()),
            _ => return None,
        })
    }

    fn request_for(&self, row: &str) -> Option<TransferRequestId> {
        let held = match row {
            "approve: with units" | "approve: no room, with units" | "reject: with units" => true,
            "approve: plain" | "approve: short" | "approve: no room" | "reject: plain" => false,
            _ => return None,
        };
        let asked = |to, product, units| {
            let request = self.manager.request();
            let asked = if held {
                request.hold_units().request_transfer("SF", to, product, units)
            } else {
                request.request_transfer("SF", to, product, units)
            };
            asked.expect("a level with stock")
        };
        Some(match row {
            "approve: short" => {
                let id = asked("NYC", "DESK", 5);
                self.manager.remove_stock(DESKS, 3, "dropped").expect("stock");
                id
            }
            "approve: no room" => asked("LA", "LAPTOP", 12),
            "approve: no room, with units" => asked("LA", "LAPTOP", 11),
            _ => asked("NYC", "PHONE", 3),
        })
    }

    fn basket(&self, places: &[((&str, &str), u32)]) -> ReservationId {
        let lines: Vec<BasketLine<'_>> =
            places.iter().map(|(place, units)| BasketLine::new(*place, *units)).collect();
        let request = self.manager.request().owner(OURS).keep_until_shipped();
        request.reserve_basket(&lines, HOUR).expect("stock")
    }

    fn held(&self) -> ReservationId {
        self.basket(&[(LAPTOPS, 2), (PHONES, 2)])
    }

    fn released(&self, hold: ReservationId) -> ReservationId {
        assert!(self.manager.release(hold).is_ok(), "a hold that is pending");
        hold
    }

    fn sold(&self, hold: ReservationId) -> ReservationId {
        self.manager.confirm(hold).expect("a hold that is pending");
        hold
    }

    /// It sold a unit, and returned the others.
    fn partly_sold(&self) -> ReservationId {
        let hold = self.held();
        let left = self.manager.confirm_lines(hold, &[BasketLine::new(LAPTOPS, 1)]);
        assert_eq!(left, Ok(ReservationStatus::Pending));
        assert!(self.manager.release(hold).is_ok());
        hold
    }

    fn retaken(&self) -> ReservationId {
        let hold = self.released(self.held());
        let lines = [BasketLine::new(LAPTOPS, 2), BasketLine::new(PHONES, 2)];
        let answer = self.manager.confirm_or_retake_lines(hold, &lines);
        assert!(matches!(answer, Ok(ConfirmOrRetake::Retaken(_))), "{answer:?}");
        hold
    }

    /// A hold whose slot another hold has reused.
    fn forgotten(&self) -> ReservationId {
        let hold = self.released(self.manager.reserve(LAPTOPS, 1, HOUR).expect("stock"));
        let status = self.manager.reservation(hold).map(|it| it.status);
        assert_eq!(status, Ok(ReservationStatus::Released));
        for _ in 0..1_000 {
            // So that each record is kept for long enough.
            self.clock.advance(2 * 60 * SECOND);
            if self.manager.reservation(hold) == Err(NoReservation::Forgotten) {
                return hold;
            }
            // Many slots in few records.
            let filler = [LAPTOPS, PHONES, CABLES, DESKS].map(|place| BasketLine::new(place, 1));
            self.released(self.manager.reserve_basket(&filler, HOUR).expect("stock"));
        }
        panic!("its record is never taken");
    }

    /// An id that no engine made: its slot was never used.
    fn unknown(&self) -> ReservationId {
        let id = "018bcfe5-6800-8fff-bfff-fc0000000001".parse().expect("an id");
        assert_eq!(self.manager.reservation(id), Err(NoReservation::Unknown));
        id
    }
}

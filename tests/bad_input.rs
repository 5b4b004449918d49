//! Invalid input: every call returns a typed error, moves nothing, logs nothing, and never panics.

mod common;

use std::time::Duration;

use stockade::{
    AddError, AuditFilter, BasketError, BasketLine, BuildError, Builder, ConfirmError, ExtendError,
    FulfillError, Gone, IdempotencyKey, InvalidInput, InvalidKey, InvalidName, InvalidQuantity,
    InvalidTtl, InventoryManager, LevelRef, Limits, MAX_UNITS, NoReservation, PlaceError, Release,
    RemoveError, ReservationId, ReserveError, RetakeError, SettingError, ShipError, SnapshotError,
    TransferError, WarehouseSpec,
};
use uuid::Uuid;

use common::{LAPTOPS, LONG, clock, counts, log_of, ms, quiet, small};

/// An engine with ten laptops in SF, one of them held and one sold.
struct Shop {
    manager: InventoryManager,
    hold: ReservationId,
    entries: usize,
}

impl Shop {
    fn new(builder: Builder) -> Self {
        let manager = builder.build().expect("legal settings");
        manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        manager.sell(LAPTOPS, 1).expect("stock");
        let hold = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
        let entries = log_of(&manager).len();
        Self { manager, hold, entries }
    }

    /// Checks that nothing was moved, defined or logged since.
    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(counts(&self.manager, LAPTOPS), (8, 2, 1));
        let stats = self.manager.stats();
        assert_eq!((stats.products, stats.levels, stats.keys), (1, 1, 0));
        assert_eq!((stats.slots_live, stats.alert_backlog), (1, 0));
        assert_eq!(log_of(&self.manager).len(), self.entries);
        let room: u32 = self.manager.warehouses().iter().map(|it| it.room_left() / 2).sum();
        assert_eq!(room, MAX_UNITS / 2 - 5 + MAX_UNITS / 2);
    }
}

fn shop() -> Shop {
    Shop::new(quiet(&clock()))
}

/// The error messages of all operations on a level that can fail because of the place alone.
fn refusals_of(manager: &InventoryManager, place: LevelRef<'_>) -> Vec<String> {
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(place, 1)];
    let refusals: [stockade::Error; 10] = [
        manager.add_stock(place, 1, "x").expect_err("no place").into(),
        manager.remove_stock(place, 1, "x").expect_err("no place").into(),
        manager.ship(place, 1).expect_err("no place").into(),
        manager.cancel_sale(place, 1, "x").expect_err("no place").into(),
        manager.reserve(place, 1, LONG).expect_err("no place").into(),
        manager.sell(place, 1).expect_err("no place").into(),
        manager.reserve_basket(&lines, LONG).expect_err("no place").into(),
        manager.set_product_threshold(place, Some(1)).expect_err("no place").into(),
        manager.clear_product_threshold(place).expect_err("no place").into(),
        manager.set_safety_stock(place, 1).expect_err("no place").into(),
    ];
    let looks = [
        manager.reservations(place, None, 1).map(drop),
        manager.level(place).map(drop),
        manager.stock_level(place).map(drop),
        manager.counts(place).map(drop),
        manager.available(place).map(drop),
        manager.reserved(place).map(drop),
        manager.sold(place).map(drop),
        manager.held(place).map(drop),
        manager.snapshot(&[LAPTOPS.into(), place]).map(drop).map_err(|error| match error {
            SnapshotError::Place(place) => place,
            other => panic!("{other:?}"),
        }),
    ];
    assert!(looks.iter().all(Result::is_err), "{place:?}: {looks:?}");
    refusals.iter().map(ToString::to_string).collect()
}

#[test]
fn a_name_has_one_to_255_bytes() {
    let shop = shop();
    let manager = &shop.manager;
    let (most, long) = ("x".repeat(255), "é".repeat(128));
    for name in ["", &long] {
        let expected = InvalidName { bytes: name.len() };
        for place in [LevelRef::Names("SF", name), LevelRef::Names(name, "LAPTOP")] {
            for refused in refusals_of(manager, place) {
                assert_eq!(refused, expected.to_string());
            }
        }
        let transfer = manager.transfer("SF", "NYC", name, 1);
        assert_eq!(transfer, Err(TransferError::Input(InvalidInput::Name(expected))));
        assert_eq!(manager.open_level("SF", name), Err(SettingError::Name(expected)));
        assert!(manager.product(name).is_err());
        let build = InventoryManager::builder().warehouse(name).build().map(drop);
        assert_eq!(build, Err(BuildError::Name(expected)));
    }
    shop.assert_untouched();
    manager.add_stock(("SF", &*most), 1, "SUPPLIER").expect("the longest name");
    assert_eq!(manager.available(("SF", &*most)).expect("known"), 1);
}

#[test]
fn a_quantity_is_one_to_two_thousand_million_odd_units() {
    let shop = shop();
    let manager = &shop.manager;
    for units in [0, MAX_UNITS + 1, u32::MAX] {
        let wrong = InvalidQuantity { units };
        assert_eq!(manager.add_stock(LAPTOPS, units, "x"), Err(wrong.into()));
        assert_eq!(manager.add_stock(("SF", "NEW"), units, "x"), Err(wrong.into()));
        assert_eq!(manager.remove_stock(LAPTOPS, units, "x"), Err(wrong.into()));
        assert_eq!(manager.ship(LAPTOPS, units), Err(wrong.into()));
        assert_eq!(manager.cancel_sale(LAPTOPS, units, "x"), Err(wrong.into()));
        assert_eq!(manager.reserve(LAPTOPS, units, LONG), Err(wrong.into()));
        assert_eq!(manager.sell(LAPTOPS, units), Err(wrong.into()));
        let transfer = manager.transfer("SF", "NYC", "LAPTOP", units);
        assert_eq!(transfer, Err(wrong.into()));
        let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(LAPTOPS, units)];
        assert_eq!(manager.reserve_basket(&lines, LONG), Err(wrong.into()));
        let retake = manager.confirm_or_retake_lines(shop.hold, &lines);
        assert_eq!(retake, Err(RetakeError::Input(InvalidInput::Quantity(wrong))));
    }
    // Legal ones that add up to no legal one, and to no u32 either.
    for count in [2, 3] {
        let lines = vec![BasketLine::new(LAPTOPS, MAX_UNITS); count];
        let refused = manager.reserve_basket(&lines, LONG);
        assert!(
            matches!(refused, Err(BasketError::Input(InvalidInput::Quantity(_)))),
            "{refused:?}"
        );
    }
    shop.assert_untouched();
}

#[test]
fn the_largest_quantities_are_refused_for_what_is_missing() {
    let shop = shop();
    let manager = &shop.manager;
    let over = AddError::OverCapacity { needed: MAX_UNITS, room: MAX_UNITS - 10 };
    assert_eq!(manager.add_stock(LAPTOPS, MAX_UNITS, "x"), Err(over));
    let short = RemoveError::Insufficient { needed: MAX_UNITS, available: 8 };
    assert_eq!(manager.remove_stock(LAPTOPS, MAX_UNITS, "x"), Err(short));
    let not_sold = ShipError::NotSold { needed: MAX_UNITS, sold: 1, tracked: 0 };
    assert_eq!(manager.ship(LAPTOPS, MAX_UNITS), Err(not_sold.clone()));
    assert_eq!(manager.cancel_sale(LAPTOPS, MAX_UNITS, "x"), Err(not_sold));
    let short = ReserveError::Insufficient {
        needed: MAX_UNITS,
        available: 8,
        safety_stock: 0,
        overdue_left: false,
    };
    assert_eq!(manager.reserve(LAPTOPS, MAX_UNITS, LONG), Err(short));
    let short = TransferError::Insufficient { needed: MAX_UNITS, available: 8 };
    assert_eq!(manager.transfer("SF", "NYC", "LAPTOP", MAX_UNITS), Err(short));
    shop.assert_untouched();
}

#[test]
fn a_full_warehouse_holds_the_largest_quantity() {
    let manager = quiet(&clock()).build().expect("legal settings");
    manager.add_stock(LAPTOPS, MAX_UNITS, "SUPPLIER").expect("just fits");
    let over = AddError::OverCapacity { needed: 1, room: 0 };
    assert_eq!(manager.add_stock(LAPTOPS, 1, "SUPPLIER"), Err(over));
    let all = manager.sell(LAPTOPS, MAX_UNITS).expect("all of them");
    assert_eq!(counts(&manager, LAPTOPS), (0, MAX_UNITS, MAX_UNITS));
    let answer = manager.confirm_or_retake_lines(all, &[BasketLine::new(LAPTOPS, 1)]);
    let units = u64::from(MAX_UNITS);
    assert_eq!(answer, Ok(stockade::ConfirmOrRetake::AlreadySold { units }));
    manager.cancel_sale(LAPTOPS, MAX_UNITS, "x").expect("sold");
    manager.transfer("SF", "NYC", "LAPTOP", MAX_UNITS).expect("fits");
    assert_eq!(manager.warehouse("SF").map(|it| it.room_left()), Ok(MAX_UNITS));
}

#[test]
fn a_ttl_is_more_than_nothing_and_no_longer_than_allowed() {
    let clock = clock();
    for (builder, longest) in [
        (quiet(&clock).limits(small().longest_ttl(LONG)), LONG),
        (quiet(&clock).limits(small().longest_ttl(LONG * 2).longest_total_hold(LONG)), LONG),
    ] {
        let shop = Shop::new(builder);
        let lines = [BasketLine::new(LAPTOPS, 1)];
        for ttl in [Duration::ZERO, LONG + Duration::from_nanos(1), Duration::MAX] {
            let wrong = InvalidTtl { ttl, longest };
            assert_eq!(shop.manager.reserve(LAPTOPS, 1, ttl), Err(wrong.into()));
            let basket = shop.manager.reserve_basket(&lines, ttl);
            assert_eq!(basket, Err(wrong.into()));
            assert!(shop.manager.extend(shop.hold, ttl).is_err());
        }
        shop.assert_untouched();
        shop.manager.reserve(LAPTOPS, 1, LONG).expect("the longest");
        shop.manager.reserve(LAPTOPS, 1, Duration::from_nanos(1)).expect("the shortest");
    }
}

#[test]
fn an_unknown_warehouse_is_named() {
    let shop = shop();
    let manager = &shop.manager;
    let unknown = PlaceError::UnknownWarehouse { warehouse: "MARS".into() };
    for refused in refusals_of(manager, LevelRef::Names("MARS", "LAPTOP")) {
        assert_eq!(refused, unknown.to_string());
    }
    let transfer = |from, to| manager.transfer(from, to, "LAPTOP", 1);
    for (from, to) in [("SF", "MARS"), ("MARS", "SF"), ("MARS", "MARS")] {
        assert_eq!(transfer(from, to), Err(TransferError::Place(unknown.clone())));
    }
    assert_eq!(transfer("SF", "SF"), Err(TransferError::SameWarehouse));
    let settings = [
        manager.suspend("MARS"),
        manager.resume("MARS"),
        manager.set_threshold("MARS", Some(1)),
        manager.open_level("MARS", "LAPTOP").map(drop),
    ];
    for refused in settings {
        assert_eq!(refused, Err(SettingError::Place(unknown.clone())));
    }
    assert_eq!(manager.warehouse("MARS").map(drop), Err(unknown.clone()));
    assert_eq!(manager.levels("MARS"), Err(unknown));
    shop.assert_untouched();
}

/// A thousand misspelled names.
#[test]
fn a_product_that_nobody_ever_stocked_is_told_from_one_that_is_sold_out_and_leaves_nothing_behind()
{
    let shop = shop();
    let manager = &shop.manager;
    for guess in 0..1_000 {
        let name = format!("GUESS {guess}");
        let place = ("NYC", &*name);
        let never = PlaceError::NeverStocked { product: name.clone() };
        assert_eq!(manager.reserve(place, 2, LONG), Err(ReserveError::Place(never.clone())));
        assert_eq!(manager.sell(place, 2), Err(ReserveError::Place(never.clone())));
        assert_eq!(manager.remove_stock(place, 2, "x"), Err(RemoveError::Place(never.clone())));
        assert_eq!(manager.ship(place, 2), Err(ShipError::Place(never.clone())));
        assert_eq!(manager.cancel_sale(place, 2, "x"), Err(ShipError::Place(never.clone())));
        let transfer = manager.transfer("NYC", "SF", &*name, 2);
        assert_eq!(transfer, Err(TransferError::Place(never.clone())));
        let fulfilled = manager.fulfill_by(&*name, 2, &stockade::FewestParcels, LONG);
        assert_eq!(fulfilled, Err(FulfillError::Place(never.clone())));
        let looks = [
            manager.counts(place).map(drop),
            manager.available(place).map(drop),
            manager.reserved(place).map(drop),
            manager.sold(place).map(drop),
            manager.held(place).map(drop),
            manager.totals(&*name).map(drop),
            manager.totals_approximate(&*name).map(drop),
            manager.product(&name).map(drop),
            manager.level(place).map(drop),
            manager.stock_level(place).map(drop),
            manager.reservations(place, None, 1).map(drop),
        ];
        assert!(looks.iter().all(|look| look.as_ref() == Err(&never)), "{looks:?}");
        match manager.reserve_basket(&[(place, 2), (LAPTOPS, 99)].map(line), LONG) {
            Err(BasketError::Insufficient { lines, overdue_left: false }) => {
                assert_eq!(lines.len(), 2, "the typo, and the line that is short beside it");
                assert_eq!((lines[0].needed, lines[0].available), (2, 0));
                assert_eq!((&*lines[0].warehouse, &*lines[0].product), place);
                assert_eq!((lines[0].never_stocked, lines[1].never_stocked), (true, false));
                assert_eq!((lines[1].needed, &*lines[1].product), (99, LAPTOPS.1));
            }
            other => panic!("{other:?}"),
        }
    }
    shop.assert_untouched();
}

fn line<'l>((place, units): ((&'l str, &'l str), u32)) -> BasketLine<'l> {
    BasketLine::new(place, units)
}

#[test]
fn a_product_that_lies_elsewhere_only_is_short_with_0_available() {
    let shop = shop();
    let manager = &shop.manager;
    let far = ("NYC", "LAPTOP");
    let short = ReserveError::Insufficient {
        needed: 2,
        available: 0,
        safety_stock: 0,
        overdue_left: false,
    };
    assert_eq!(manager.reserve(far, 2, LONG), Err(short.clone()));
    assert_eq!(manager.sell(far, 2), Err(short));
    let short = RemoveError::Insufficient { needed: 2, available: 0 };
    assert_eq!(manager.remove_stock(far, 2, "x"), Err(short));
    let not_sold = ShipError::NotSold { needed: 2, sold: 0, tracked: 0 };
    assert_eq!(manager.ship(far, 2), Err(not_sold.clone()));
    assert_eq!(manager.cancel_sale(far, 2, "x"), Err(not_sold));
    let short = TransferError::Insufficient { needed: 2, available: 0 };
    assert_eq!(manager.transfer("NYC", "SF", "LAPTOP", 2), Err(short));
    match manager.reserve_basket(&[(far, 2)].map(line), LONG) {
        Err(BasketError::Insufficient { lines, overdue_left: false }) => {
            assert_eq!((lines[0].available, lines[0].never_stocked), (0, false));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(manager.counts(far), Ok(Default::default()));
    let units = [manager.available(far), manager.reserved(far), manager.sold(far)];
    assert_eq!((units, manager.held(far)), ([Ok(0), Ok(0), Ok(0)], Ok(0)));
    let order = ["NYC".into()];
    let fulfilled = manager.fulfill_across_warehouses("LAPTOP", 99, &order, LONG);
    assert!(matches!(fulfilled, Err(FulfillError::Insufficient { needed: 99, .. })));
    shop.assert_untouched();
}

#[test]
fn an_add_that_is_refused_defines_no_product() {
    let builder = InventoryManager::builder().warehouse(WarehouseSpec::new("SF").capacity(10));
    let builder = builder.clock(clock()).without_threads();
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 8, "SUPPLIER").expect("room");
    let over = AddError::OverCapacity { needed: 3, room: 2 };
    assert_eq!(manager.add_stock(("SF", "NEW"), 3, "x"), Err(over));
    manager.suspend("SF").expect("a warehouse");
    let suspended = AddError::Suspended { warehouse: "SF".into() };
    assert_eq!(manager.add_stock(("SF", "NEW"), 1, "x"), Err(suspended));
    assert_eq!((manager.stats().products, manager.stats().levels), (1, 1));
    let never = PlaceError::NeverStocked { product: "NEW".into() };
    assert_eq!(manager.product("NEW"), Err(never));
    manager.resume("SF").expect("a warehouse");
    manager.add_stock(("SF", "NEW"), 2, "SUPPLIER").expect("room");
}

#[test]
fn ids_that_were_never_made_name_nothing() {
    let shop = shop();
    let manager = &shop.manager;
    let lines = [BasketLine::new(LAPTOPS, 1)];
    let mut rng = common::rng::Rng::new(4, 0);
    // Any UUID of version 8, some of them with the slot or the birth of one that lives.
    let live = shop.hold.as_uuid().as_u128();
    let random_part = (1 << 42) - 1;
    let birth_part = ((1 << 48) - 1) << 80;
    let mut tried = 0;
    while tried < 2_000 {
        let random = u128::from(rng.next()) << 64 | u128::from(rng.next());
        let bits = match tried % 4 {
            0 => random,
            1 => random & !birth_part | live & birth_part,
            2 => random & random_part | live & !random_part,
            _ => random & birth_part | live & !birth_part,
        };
        let versioned = bits & !(0xf << 76) & !(0b11 << 62) | 8 << 76 | 0b10 << 62;
        let id = ReservationId::from_uuid(Uuid::from_u128(versioned)).expect("version 8");
        assert_ne!(id, shop.hold);
        tried += 1;
        use NoReservation::{Forgotten, Unknown};
        let nothing = manager.reservation(id).expect_err("never made");
        match nothing {
            Unknown => {
                assert_eq!(manager.confirm(id), Err(ConfirmError::Gone(Gone::Unknown)));
                assert_eq!(manager.release(id), Ok(Release::Unknown));
                assert_eq!(manager.extend(id, LONG), Err(ExtendError::Gone(Gone::Unknown)));
                assert_eq!(
                    manager.confirm_or_retake_lines(id, &lines),
                    Err(RetakeError::NoReservation(NoReservation::Unknown))
                );
            }
            // One that claims to be older than what lives in its slot might have been.
            Forgotten => {
                assert!(id.created_at() <= shop.hold.created_at());
                assert_eq!(manager.confirm(id), Err(ConfirmError::Gone(Gone::Forgotten)));
                assert_eq!(manager.release(id), Ok(Release::Forgotten));
                assert_eq!(manager.extend(id, LONG), Err(ExtendError::Gone(Gone::Forgotten)));
                assert!(manager.confirm_or_retake_lines(id, &lines).is_err());
            }
            lost => panic!("{lost}, without a journal"),
        }
    }
    shop.assert_untouched();
    for uuid in [Uuid::nil(), Uuid::max(), Uuid::from_u128(live ^ 1 << 76)] {
        assert_eq!(ReservationId::from_uuid(uuid), None);
        assert!(uuid.to_string().parse::<ReservationId>().is_err());
    }
}

#[test]
fn a_basket_has_a_line_and_no_more_than_allowed() {
    let shop = Shop::new(quiet(&clock()).limits(small().max_basket_lines(2)));
    let manager = &shop.manager;
    assert_eq!(manager.reserve_basket(&[], LONG), Err(BasketError::Input(InvalidInput::Empty)));
    for product in ["A", "B"] {
        manager.open_level("NYC", product).expect("a warehouse");
    }
    let three = [LAPTOPS, ("NYC", "A"), ("NYC", "B")].map(|level| BasketLine::new(level, 1));
    let refused = BasketError::Input(InvalidInput::TooManyLines { lines: 3, most: 2 });
    assert_eq!(manager.reserve_basket(&three, LONG), Err(refused));
    // Equal lines count once.
    let many = vec![BasketLine::new(LAPTOPS, 1); 8];
    let basket = manager.reserve_basket(&many, LONG).expect("stock");
    assert_eq!(manager.reservation(basket).expect("live").lines.len(), 1);
}

#[test]
fn a_key_has_one_to_64_bytes() {
    for len in [0, 65, 1_000] {
        let bytes = vec![b'k'; len];
        assert_eq!(IdempotencyKey::try_from(&bytes[..]), Err(InvalidKey { len }));
    }
    assert!(IdempotencyKey::try_from(&[0; 64][..]).is_ok());
}

#[test]
fn settings_have_bounds() {
    let shop = shop();
    let manager = &shop.manager;
    for units in [MAX_UNITS, u32::MAX] {
        let refused = Err(SettingError::Threshold { units });
        assert_eq!(manager.set_threshold("SF", Some(units)), refused);
        assert_eq!(manager.set_product_threshold(LAPTOPS, Some(units)), refused);
    }
    for longest in [Duration::ZERO, Duration::from_micros(999)] {
        assert_eq!(manager.set_longest_ttl(longest), Err(SettingError::LongestTtl));
    }
    shop.assert_untouched();
    manager.set_longest_ttl(Duration::MAX).expect("legal");
    manager.set_threshold("SF", Some(MAX_UNITS - 1)).expect("legal");
    let level = manager.stock_level(LAPTOPS).expect("open");
    assert_eq!(level.threshold(), Some(MAX_UNITS - 1));
    manager.set_threshold("SF", None).expect("legal");
    assert_eq!(level.threshold(), None);
}

#[test]
fn an_engine_is_not_built_with_settings_that_cannot_be() {
    let refused = |builder: Builder| builder.build().map(drop).expect_err("cannot be");
    let builder = || InventoryManager::builder().warehouse("SF");
    assert_eq!(refused(InventoryManager::builder()), BuildError::Warehouses { warehouses: 0 });
    assert_eq!(refused(builder().warehouse("SF")), BuildError::Twice { warehouse: "SF".into() });
    for units in [0, MAX_UNITS + 1] {
        let build = refused(builder().warehouse(WarehouseSpec::new("NYC").capacity(units)));
        assert_eq!(build, BuildError::Capacity { warehouse: "NYC".into(), units });
    }
    let least = builder().warehouse(WarehouseSpec::new("NYC").capacity(1)).build();
    least.map(drop).expect("room for one");
    let settings: [(&str, Builder); 12] = [
        ("threshold", builder().warehouse(WarehouseSpec::new("NYC").threshold(MAX_UNITS))),
        ("longest_ttl", builder().limits(Limits::new().longest_ttl(Duration::ZERO))),
        ("longest_ttl", builder().limits(Limits::new().longest_ttl(Duration::from_micros(999)))),
        ("longest_total_hold", builder().limits(Limits::new().longest_total_hold(Duration::ZERO))),
        ("max_reservations", builder().limits(Limits::new().max_reservations(0))),
        ("max_reservations", builder().limits(Limits::new().max_reservations(u32::MAX))),
        ("max_basket_lines", builder().limits(Limits::new().max_basket_lines(0))),
        ("max_basket_lines", builder().limits(Limits::new().max_basket_lines(65_536))),
        ("key_retention", builder().limits(Limits::new().key_retention(LONG, 0))),
        ("audit_queue", builder().limits(Limits::new().audit_queue(15))),
        ("audit_queue", builder().limits(Limits::new().audit_queue((1 << 24) + 1))),
        ("overdue_limit", builder().limits(Limits::new().overdue_limit(0))),
    ];
    for (name, builder) in settings {
        match refused(builder) {
            BuildError::Setting { setting, expected } => {
                assert_eq!(setting, name);
                assert!(!expected.is_empty());
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let crowd = (0..65_536).fold(InventoryManager::builder(), |it, n| it.warehouse(n.to_string()));
    assert_eq!(refused(crowd), BuildError::Warehouses { warehouses: 65_536 });
}

#[test]
fn the_ends_of_time_are_moments_too() {
    let clock = clock();
    let manager = quiet(&clock)
        .limits(
            small()
                .longest_ttl(Duration::MAX)
                .longest_total_hold(Duration::MAX)
                .retention(Duration::MAX, usize::MAX)
                .key_retention(Duration::MAX, usize::MAX),
        )
        .build()
        .expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let key = IdempotencyKey::try_from("once").expect("a legal key");
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let hold = manager.request().key(key).reserve(LAPTOPS, 1, year * 1_000).expect("stock");
    clock.advance(year * 500);
    manager.run_until_idle();
    assert_eq!(manager.extend(hold, ms(1)), Ok(stockade::Timestamp::MAX));
    manager.confirm(hold).expect("the last moment never passes");
    let again = manager.request().key(key).reserve(LAPTOPS, 1, year * 1_000);
    assert_eq!(again, Ok(hold));
    let all = AuditFilter::new().after(u64::MAX).limit(0);
    assert!(manager.audit_log().query(&all).entries.is_empty());
}

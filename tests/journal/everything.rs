//! Restart after any calls: a reopened engine shows the same as before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, BasketLine, Counts, HoldRequest, IdempotencyKey, InventoryManager,
    JournalReader, ManualClock, NoReservation, NoTransferRequest, Owner, Reservation,
    ReservationId, Timestamp, TransferRequest, TransferRequestId, TransferRequestStatus,
};

use crate::state::{
    MINUTE, PRODUCTS, Random, WAREHOUSES, check_laws, counts, engine_on, on, seed, small,
    without_handles,
};

/// What a run has made so far, for later comparison.
#[derive(Default)]
struct Made {
    ids: Vec<ReservationId>,
    requests: u64,
    keys: u64,
    /// Keyed calls and their answers: the kind, the key's number, the units, the answer.
    answers: Vec<(Asked, String)>,
}

/// Everything that an engine shows, except the log.
#[derive(Debug, PartialEq)]
struct View {
    counts: Vec<Counts>,
    /// Of each warehouse: capacity, room left, units over; suspended; threshold.
    rooms: Vec<([u32; 3], bool, Option<u32>)>,
    thresholds: Vec<Option<u32>>,
    reservations: BTreeMap<ReservationId, Result<Reservation, NoReservation>>,
    by_key: Vec<Result<Reservation, NoReservation>>,
    open: Vec<TransferRequest>,
    requests: Vec<Result<TransferRequest, NoTransferRequest>>,
    longest_ttl: Duration,
}

fn key(number: u64) -> IdempotencyKey {
    IdempotencyKey::try_from(format!("key-{number}").as_str()).expect("a legal key")
}

fn places() -> impl Iterator<Item = (&'static str, &'static str)> {
    WAREHOUSES.iter().flat_map(|w| PRODUCTS.iter().map(move |p| (*w, *p)))
}

fn view(manager: &InventoryManager, made: &Made) -> View {
    let room = |name: &&str| {
        let warehouse = manager.warehouse(*name).expect("a warehouse");
        let rooms = [warehouse.capacity(), warehouse.room_left(), warehouse.over_capacity()];
        (rooms, warehouse.is_suspended(), warehouse.threshold())
    };
    View {
        counts: counts(manager),
        rooms: WAREHOUSES.iter().map(room).collect(),
        thresholds: places()
            .map(|place| manager.stock_level(place).ok().and_then(|level| level.threshold()))
            .collect(),
        reservations: made
            .ids
            .iter()
            .map(|id| (*id, manager.reservation(*id).map(without_handles)))
            .collect(),
        by_key: (0..made.keys)
            .map(|number| manager.reservation_by_key(&key(number)).map(without_handles))
            .collect(),
        open: manager.transfer_requests(),
        requests: (0..=made.requests).map(|id| manager.transfer_request(id.into())).collect(),
        longest_ttl: manager.longest_ttl(),
    }
}

/// The log, with each entry's pairs in one order, because a journal stores facts and notes apart.
fn log(manager: &InventoryManager) -> Vec<(AuditEntry, Vec<(String, String)>)> {
    manager.flush().wait().expect("written");
    let entries = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let sorted = |entry: AuditEntry| {
        let mut pairs = entry.metadata().to_vec();
        pairs.sort();
        (entry, pairs)
    };
    entries.into_iter().map(sorted).collect()
}

/// The entries without their pairs, and the pairs.
fn same_log(
    before: &[(AuditEntry, Vec<(String, String)>)],
    after: &[(AuditEntry, Vec<(String, String)>)],
    context: &str,
) {
    for ((one, pairs), (other, other_pairs)) in before.iter().zip(after) {
        assert_eq!(pairs, other_pairs, "{context}: {one:?}");
        assert_eq!(
            (one.sequence, one.entry_type, one.at, one.quantity, one.reservation, one.owner),
            (
                other.sequence,
                other.entry_type,
                other.at,
                other.quantity,
                other.reservation,
                other.owner
            ),
            "{context}"
        );
        assert_eq!(
            (&one.warehouse, &one.product, &one.other_warehouse, one.expires_at, one.retaken_from),
            (
                &other.warehouse,
                &other.product,
                &other.other_warehouse,
                other.expires_at,
                other.retaken_from
            ),
            "{context}: {one:?}"
        );
    }
    assert!(before.len() <= after.len(), "{context}: entries are missing");
}

/// One call of any kind. Its result does not matter.
fn step(manager: &InventoryManager, random: &mut Random, made: &mut Made) {
    let warehouse = WAREHOUSES[random.below(WAREHOUSES.len())];
    let other = WAREHOUSES[random.below(WAREHOUSES.len())];
    let product = PRODUCTS[random.below(PRODUCTS.len())];
    let (place, units) = ((warehouse, product), 1 + random.below(4) as u32);
    let ttl = Duration::from_millis(200 + random.below(4_000) as u64);
    let owner = (random.below(3) == 0).then(|| Owner([random.below(200) as u8; 16]));
    let mut request = manager.request();
    if random.below(3) == 0 {
        request = request.note("order", format!("A-{}", random.below(100)));
    }
    let mut of_hold = HoldRequest::from(request.clone());
    if let Some(owner) = owner {
        of_hold = of_hold.owner(owner);
    }
    if random.below(3) == 0 {
        of_hold = of_hold.keep_until_shipped();
    }
    let hold = (!made.ids.is_empty()).then(|| made.ids[random.below(made.ids.len())]);
    // Of the newest ones more often: those are pending.
    let recent = made.ids.len().saturating_sub(1 + random.below(8));
    let hold = if random.below(2) == 0 { made.ids.get(recent).copied() } else { hold };
    let some = [BasketLine::new(place, units)];
    let two = [BasketLine::new(place, units), BasketLine::new((other, PRODUCTS[0]), 2)];
    // Lines that a hold really has, more often than not.
    let held = hold.and_then(|id| manager.reservation(id).ok());
    let own = held.as_ref().map(|held| {
        let line = &held.lines[random.below(held.lines.len())];
        [BasketLine::new(line.level, 1 + random.below(line.quantity as usize) as u32)]
    });
    let lines = own.as_ref().map_or(&some[..], |own| &own[..]);
    match (random.below(29), hold) {
        (0 | 1, _) => drop(request.add_stock(place, units * 5, "SUPPLIER")),
        (2, _) => drop(request.remove_stock(place, units, "dropped")),
        (3..=5, _) => made.ids.extend(of_hold.reserve(place, units, ttl)),
        (6 | 7, _) => made.ids.extend(of_hold.reserve_basket(&two, ttl)),
        (8, _) => made.ids.extend(of_hold.sell(place, units)),
        (9, _) => {
            let order = [warehouse.into(), other.into()];
            made.ids.extend(of_hold.fulfill_across_warehouses(product, units * 2, &order, ttl));
        }
        (10, Some(id)) => drop(request.confirm(id)),
        (11, Some(id)) => drop(request.release(id)),
        (12, Some(id)) => drop(request.extend(id, ttl)),
        (13, Some(id)) => drop(request.confirm_lines(id, lines)),
        (14, Some(id)) => drop(request.release_lines(id, lines)),
        (15, Some(id)) => drop(request.confirm_lines_and_release_rest(id, lines)),
        (16 | 17, Some(id)) => drop(request.ship_lines(id, lines)),
        (18, Some(id)) => drop(request.cancel_sale_lines(id, lines, "changed their mind")),
        (19, Some(id)) => {
            let all: Vec<BasketLine<'_>> = match &held {
                Some(held) => held
                    .lines
                    .iter()
                    .map(|line| BasketLine::new(line.level, line.quantity))
                    .collect(),
                None => two.to_vec(),
            };
            if let Ok(stockade::ConfirmOrRetake::Retaken(new)) =
                of_hold.confirm_or_retake_lines(id, &all)
            {
                made.ids.push(new);
            }
        }
        (20, _) => drop(request.ship(place, 1)),
        (21, _) => drop(request.cancel_sale(place, 1, "lost")),
        (22, _) => drop(request.transfer(warehouse, other, product, units)),
        (23, _) => {
            let hold_units = random.below(2) == 0;
            let (from, to, units) = (warehouse, other, units * 3);
            let made_now = if hold_units {
                request.hold_units().request_transfer(from, to, product, units)
            } else {
                request.request_transfer(from, to, product, units)
            };
            if let Ok(id) = made_now {
                made.requests = made.requests.max(id.as_u64());
            }
        }
        (24, _) => {
            let id = TransferRequestId::from(1 + random.below(made.requests as usize + 1) as u64);
            match random.below(3) {
                0 => drop(request.reject_transfer(id, "mira", "no room")),
                _ => drop(request.approve_transfer(id, "tom")),
            }
        }
        (25, _) => {
            let asked = Asked { kind: random.below(4), number: made.keys, units };
            keyed(manager, asked, made, true);
        }
        (26, _) => setting(manager, random, place),
        (27, _) => erase(manager, random),
        _ => manager.run_until_idle(),
    }
}

/// Notes are erased, and no query shows them.
fn erase(manager: &InventoryManager, random: &mut Random) {
    let (name, value) = match random.below(4) {
        0 => ("decidedBy", "tom".to_owned()),
        _ => ("order", format!("A-{}", random.below(100))),
    };
    let is_wanted = |entry: &AuditEntry| entry.note(name) == Some(&value);
    manager.redact(is_wanted).expect("a sound journal");
    let entries = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    assert!(!entries.iter().any(is_wanted), "{name}={value} is still there");
}

/// A keyed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    kind: usize,
    /// The owner of the key.
    number: u64,
    units: u32,
}

/// Makes a keyed call. A repeat must get the same answer.
fn keyed(manager: &InventoryManager, asked: Asked, made: &mut Made, first: bool) {
    let Asked { kind, number, units } = asked;
    let request = manager.request().key(key(number));
    let place = (WAREHOUSES[0], PRODUCTS[0]);
    let text = |answer: &dyn std::fmt::Debug| format!("{answer:?}");
    let mut hold = |id| {
        if first {
            made.ids.push(id);
        }
        text(&id)
    };
    let answer = match kind {
        0 => request.reserve(place, units, MINUTE).map(&mut hold).ok(),
        1 => request.sell(place, units).map(&mut hold).ok(),
        2 => {
            let (from, to) = (WAREHOUSES[0], WAREHOUSES[1]);
            request.request_transfer(from, to, PRODUCTS[0], units).ok().map(|id| {
                made.requests = made.requests.max(id.as_u64());
                text(&id)
            })
        }
        _ => request.add_stock(place, units, "SUPPLIER").ok().map(|done| text(&done)),
    };
    let Some(answer) = answer else { return };
    let answer = (asked, answer);
    if first {
        made.keys += 1;
        made.answers.push(answer);
    } else {
        assert!(made.answers.contains(&answer), "{answer:?} is another answer than before");
    }
}

fn setting(manager: &InventoryManager, random: &mut Random, place: (&str, &str)) {
    let units = (random.below(3) != 0).then(|| random.below(9) as u32);
    match random.below(9) {
        7 => drop(manager.set_safety_stock(place, units.unwrap_or(0))),
        0 => drop(manager.suspend(place.0)),
        1 | 2 => drop(manager.resume(place.0)),
        3 => drop(manager.set_threshold(place.0, units)),
        4 => drop(manager.set_product_threshold(place, units)),
        5 => drop(manager.set_capacity(place.0, 1 + random.below(100) as u32)),
        6 => drop(manager.set_capacity(place.0, 10_000)),
        _ => drop(manager.set_longest_ttl(Duration::from_secs(60 + random.below(9) as u64))),
    }
}

#[test]
fn everything_that_is_done_at_random_is_there_again() {
    const RUNS: u64 = 80;
    let first_seed = seed();
    let seen = (first_seed..first_seed + RUNS).map(play);
    let seen: Vec<&str> = seen.flatten().collect();
    // A run in which little happens shows little.
    for kind in [
        "kept",
        "stepped",
        "settled",
        "retaken",
        "Approved",
        "Rejected",
        "Failed",
        "held",
        "checkpoint",
    ] {
        let count = seen.iter().filter(|it| **it == kind).count();
        assert!(count >= 3, "seed {first_seed}: {kind} only {count} times");
    }
}

/// What a run had for comparison at its end.
fn kinds(view: &View) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for found in view.reservations.values().flatten() {
        let lines = &found.lines;
        kinds.extend(found.keep_until_shipped.then_some("kept"));
        kinds.extend(found.retaken_from.map(|_| "retaken"));
        kinds.extend(lines.iter().any(|it| it.sold > 0 && it.held > 0).then_some("stepped"));
        kinds.extend(lines.iter().any(|it| it.settled > 0).then_some("settled"));
    }
    for request in view.requests.iter().flatten() {
        kinds.push(match request.status {
            TransferRequestStatus::Approved => "Approved",
            TransferRequestStatus::Rejected => "Rejected",
            TransferRequestStatus::Failed => "Failed",
            _ if request.holds_units => "held",
            _ => "open",
        });
    }
    kinds
}

/// An engine that retains no old entries begins with the newest checkpoint, and shows the same.
/// Returns whether there was a checkpoint.
fn check_with_checkpoints(
    image: &SimulatedDisk,
    open: &impl Fn(&SimulatedDisk, u64) -> InventoryManager,
    made: &Made,
    shown: &View,
    context: &str,
) -> bool {
    let image = image.killed();
    // Its auditor writes the checkpoint with which the next one begins.
    let manager = open(&image, 0);
    assert!(manager.verify().expect("a sound journal").is_sound(), "{context}");
    drop(manager);
    let manager = open(&image, 0);
    assert_eq!(view(&manager, made), *shown, "{context}: with a checkpoint");
    assert!(manager.verify().expect("a sound journal").is_sound(), "{context}");
    let recovered = manager.recovery_report().expect("a journal");
    assert_eq!(recovered.unusable_checkpoints, [], "{context}");
    let whole = JournalReader::on(image).verify(None);
    assert!(whole.is_ok(), "{context}: {whole:?}");
    recovered.checkpoint.is_some()
}

fn play(seed: u64) -> Vec<&'static str> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let mut random = Random::new(seed);
    let open = |disk: &SimulatedDisk, retained| {
        let journal = on(disk).checkpoint_every(1).segment_bytes(4_000);
        let builder = engine_on(journal.recovery_grace(Duration::ZERO)).clock(Arc::clone(&clock));
        // Long enough that no record of what is over goes during the run.
        let limits = small().retention(60 * MINUTE, 10_000).key_retention(60 * MINUTE, 10_000);
        let builder = builder.limits(limits.audit_retained(retained)).seed(seed);
        builder.build().unwrap_or_else(|it| panic!("{seed}: {it}"))
    };
    let mut disk = SimulatedDisk::new();
    let mut made = Made::default();
    let mut manager = open(&disk, 1_000_000);
    let mut begun_with_one = 0;
    for place in places().filter(|(_, product)| *product != PRODUCTS[3]) {
        manager.add_stock(place, 20, "SUPPLIER").expect("room");
    }
    for round in 0..4 {
        for _ in 0..60 {
            step(&manager, &mut random, &mut made);
            if random.below(3) == 0 {
                clock.advance(Duration::from_millis(random.below(150) as u64));
            }
        }
        let context = format!("seed {seed}, round {round}");
        // What is overdue is ended by whoever comes by.
        manager.run_until_idle();
        let (shown, entries) = (view(&manager, &made), log(&manager));
        assert!(manager.verify().expect("a sound journal").is_sound(), "{context}");
        let image = if random.below(2) == 0 {
            drop(manager);
            disk.killed()
        } else {
            std::mem::forget(manager);
            disk.crash(disk.steps(), |_| false)
        };
        begun_with_one +=
            usize::from(check_with_checkpoints(&image, &open, &made, &shown, &context));
        disk = image;
        manager = open(&disk, 1_000_000);
        assert_eq!(view(&manager, &made), shown, "{context}");
        check_laws(&manager);
        let found = manager.verify().expect("a sound journal");
        assert!(found.is_sound() && found.under_way == 0, "{context}: {found:?}");
        same_log(&entries, &log(&manager), &context);
        let answers = made.answers.clone();
        for (asked, _) in answers {
            keyed(&manager, asked, &mut made, false);
        }
        assert_eq!(view(&manager, &made), shown, "{context}: a repeat moved something");
    }
    let mut kinds = kinds(&view(&manager, &made));
    kinds.extend(std::iter::repeat_n("checkpoint", begun_with_one));
    kinds
}

//! A journal with limits, cut off behind any of its batches: it opens, and of each subject as much
//! is used as the reservations that it has then have drawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, Builder, FewestParcels, InventoryManager, JournalOptions, LimitCounts, LimitRule,
    ManualClock, ReservationId, Timestamp,
};

use crate::crash::boundaries;
use crate::state::{Random, seed, small};

const START: u64 = 1_000_000;
const WINDOW: Duration = Duration::from_millis(40);
const YEAR: u64 = 365 * 86_400_000;
const CUSTOMERS: [&str; 4] = ["ann", "bob", "cay", "dan"];
const PRODUCTS: [&str; 3] = ["SHOE", "SOCK", "HAT"];
const MOST: u32 = 6;

/// Limits of each kind, of which nobody passes one. Their names.
const LIMITS: [&str; 6] = ["held", "bought", "kept", "a while", "orders", "cards"];

fn builder(disk: &SimulatedDisk, clock: Arc<ManualClock>) -> Builder {
    let journal = JournalOptions::storage(disk.clone())
        .least_free_space(0)
        .recovery_grace(Duration::ZERO)
        .segment_bytes(20_000);
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").limits(small());
    builder.clock(clock).subject_secret([7; 16]).journal(journal)
}

fn clock_at(millis: u64) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(millis)))
}

fn define(manager: &InventoryManager) {
    for (product, place) in PRODUCTS.iter().flat_map(|it| [(*it, "SF"), (*it, "NYC")]) {
        manager.add_stock((place, product), 10_000, "SUPPLIER").expect("room");
    }
    let new = |name: &str, counts| LimitRule::new(name, "customer", MOST).counts(counts);
    let limits = [
        new("held", LimitCounts::Holds).products(["SHOE", "SOCK"]),
        new("bought", LimitCounts::Sales).group("drop"),
        new("kept", LimitCounts::SalesKept).products(["HAT"]),
        new("a while", LimitCounts::SalesWithin(WINDOW)).products(["SHOE", "HAT"]),
        new("orders", LimitCounts::SalesWithin(WINDOW)).reservations().products(PRODUCTS),
        LimitRule::new("cards", "card", MOST).asked_at_sale().products(["SHOE"]),
    ];
    limits.into_iter().for_each(|limit| manager.define_limit(limit).expect("a limit"));
}

/// One random call. Its result does not matter.
fn some_step(manager: &InventoryManager, random: &mut Random, holds: &mut Vec<ReservationId>) {
    let who = CUSTOMERS[random.below(CUSTOMERS.len())];
    let of = manager.request().subject("customer", who).subject("card", who);
    let request = if random.below(2) == 0 { of.keep_until_shipped() } else { of };
    let line = |random: &mut Random| {
        let place = ["SF", "NYC"][random.below(2)];
        let product = PRODUCTS[random.below(PRODUCTS.len())];
        BasketLine::new((place, product), 1 + random.below(2) as u32)
    };
    let basket = [line(random), line(random)];
    let ttl = Duration::from_millis(5 + random.below(60) as u64);
    let hold = (!holds.is_empty()).then(|| holds[random.below(holds.len())]);
    match (random.below(14), hold) {
        (0..=3, _) => holds.extend(request.reserve_basket(&basket, ttl)),
        (4, _) => holds.extend(request.fulfill_by("SHOE", 2, &FewestParcels, ttl)),
        (5, _) => {
            let group = [PRODUCTS[random.below(PRODUCTS.len())].into()];
            let _ = match random.below(2) {
                0 => manager.add_to_group("drop", &group),
                _ => manager.remove_from_group("drop", &group),
            };
        }
        (6, Some(id)) => drop(request.confirm(id)),
        (7, Some(id)) => drop(request.confirm_lines(id, &basket[..1])),
        (8, Some(id)) => drop(manager.release_lines(id, &basket[..1])),
        (9, Some(id)) => drop(request.confirm_lines_and_release_rest(id, &basket[..1])),
        (10, Some(id)) => drop(manager.release(id)),
        (11, Some(id)) => drop(manager.cancel_sale_lines(id, &basket[..1], "returned")),
        (12, Some(id)) => drop(manager.ship_lines(id, &basket[..1])),
        (_, Some(id)) => holds.extend(match request.confirm_or_retake(id) {
            Ok(stockade::ConfirmOrRetake::Retaken(new)) => Some(new),
            _ => None,
        }),
        (_, None) => {}
    }
}

/// What everybody has used, under each limit that is there.
fn used(manager: &InventoryManager) -> BTreeMap<(&'static str, &'static str), u32> {
    let of = |(limit, who)| Some(((limit, who), manager.usage(limit, who).ok()?.used));
    let all = LIMITS.iter().flat_map(|limit| CUSTOMERS.map(|who| (*limit, who)));
    all.filter_map(of).collect()
}

/// Shows the journal, cut off behind each batch.
fn each_cut(disk: &SimulatedDisk, mut look: impl FnMut(&SimulatedDisk, String)) {
    let mut files = disk.killed().files();
    files.retain(|(name, _)| name.ends_with(".journal"));
    let mut cuts = 0;
    for last in 0..files.len() {
        let bytes = &files[last].1;
        for end in boundaries(bytes) {
            let whole = files[..last].iter().cloned();
            let cut = (files[last].0.clone(), bytes[..end.min(bytes.len())].to_vec());
            let image = SimulatedDisk::with_files(whole.chain([cut]));
            look(&image, format!("{end} bytes of segment {last}"));
            cuts += 1;
        }
    }
    assert!(cuts > 50, "only {cuts} cuts");
}

#[test]
fn behind_any_batch_a_journal_says_what_everybody_had_used_then() {
    let seed = seed();
    let (disk, clock) = (SimulatedDisk::new(), clock_at(START));
    let manager = builder(&disk, Arc::clone(&clock)).without_threads().build().expect("a shop");
    let (mut random, mut holds) = (Random::new(seed), Vec::new());
    define(&manager);
    let mut seen = BTreeMap::new();
    for _ in 0..300 {
        some_step(&manager, &mut random, &mut holds);
        manager.run_until_idle();
        seen.insert(manager.audit_log().newest_sequence(), used(&manager));
        clock.advance(Duration::from_millis(random.below(4) as u64));
    }
    // Not closed: the process dies. Its lock dies with it.
    std::mem::forget(manager);
    let mut compared = 0;
    each_cut(&disk, |image, cut| {
        let context = format!("seed {seed}, {cut}");
        let clock = clock_at(START);
        let opened = builder(image, Arc::clone(&clock)).without_threads().build();
        let opened = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
        let entries = opened.recovery_report().map_or(0, |it| it.entries);
        if let Some(expected) = seen.get(&entries) {
            assert_eq!(&used(&opened), expected, "{context}, {entries} entries");
            compared += 1;
        }
        assert!(opened.verify().expect("a journal").is_sound(), "{context}");
    });
    assert!(compared > 50, "only {compared} were compared");
}

#[test]
fn behind_any_batch_of_many_threads_nobody_is_above_a_limit_and_all_comes_back() {
    let seed = seed();
    let (disk, clock) = (SimulatedDisk::new(), clock_at(START));
    let manager = builder(&disk, Arc::clone(&clock)).build().expect("a shop");
    define(&manager);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (manager, clock) = (&manager, &clock);
            scope.spawn(move || {
                let (mut random, mut holds) = (Random::new(seed ^ thread), Vec::new());
                for _ in 0..200 {
                    some_step(manager, &mut random, &mut holds);
                    clock.advance(Duration::from_millis(random.below(2) as u64));
                    // So that there are many batches.
                    if random.below(2) == 0 {
                        manager.flush().wait().expect("on the disk");
                    }
                }
            });
        }
    });
    manager.flush().wait().expect("on the disk");
    assert!(manager.verify().expect("a journal").is_sound());
    std::mem::forget(manager);
    each_cut(&disk, |image, cut| {
        let context = format!("seed {seed}, {cut}");
        let clock = clock_at(START + YEAR);
        let opened = builder(image, Arc::clone(&clock)).without_threads().build();
        let opened = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
        let above = |manager: &InventoryManager| used(manager).into_values().any(|it| it > MOST);
        assert!(!above(&opened), "{context}: {:?}", used(&opened));
        opened.run_until_idle();
        // What a hold had sold before it fell due just now counts from now on.
        clock.advance(WINDOW + Duration::from_millis(1));
        opened.run_until_idle();
        for ((limit, who), used) in used(&opened) {
            let gives_all_back = matches!(limit, "held" | "a while" | "orders");
            assert!(!gives_all_back || used == 0, "{context}: {limit} of {who} still has {used}");
        }
        assert!(opened.verify().expect("a journal").is_sound(), "{context}");
    });
}

//! Answers of idempotency keys and outcomes of reservations, after memory has let go of them: in
//! the outcome files, over restarts, kills, lost files and damaged ones.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, Builder, ConfirmError, ConfirmOrRetake, Durability, Gone, Health, IdempotencyKey,
    InventoryManager, JournalOptions, KeyError, KeyLookup, Limits, ManualClock, Release,
    ReservationId, ReservationStatus, ReserveError, Storage, StorageFile, Timestamp,
};

use crate::pass_on::pass_on;
use crate::state::MINUTE;

pub(crate) const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
/// So few keys, records and entries that memory has almost nothing.
const FEW: usize = 8;

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000_000)))
}

/// A journal of short segments, so that runs come often.
fn on(disk: &SimulatedDisk) -> JournalOptions {
    JournalOptions::storage(disk.clone()).segment_bytes(2_000).checkpoint_every(3)
}

fn with(journal: JournalOptions, clock: &Arc<ManualClock>) -> Builder {
    let limits = Limits::new()
        .key_retention(MINUTE, FEW)
        .retention(Duration::from_millis(1), FEW)
        .audit_retained(FEW as u64)
        .longest_ttl(24 * HOUR);
    let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(clock));
    builder.limits(limits).journal(journal).without_threads()
}

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> InventoryManager {
    with(on(disk), clock).build().expect("a sound journal")
}

pub(crate) fn key(name: &str, number: usize) -> IdempotencyKey {
    IdempotencyKey::try_from(format!("{name}-{number}").as_str()).expect("short")
}

pub(crate) fn reserve(
    manager: &InventoryManager,
    key: IdempotencyKey,
    units: u32,
) -> Result<ReservationId, ReserveError> {
    manager.request().key(key).reserve(LAPTOPS, units, HOUR)
}

/// So many other keyed calls, each of which makes a hold and ends it.
pub(crate) fn others(manager: &InventoryManager, name: &str, count: usize) {
    for number in 0..count {
        let id = reserve(manager, key(name, number), 1).expect("stock");
        let _ = manager.release(id).expect("pending");
        if number % 20 == 19 {
            settle(manager);
        }
    }
    settle(manager);
}

/// The reservations of so many keyed calls.
pub(crate) fn orders(manager: &InventoryManager, count: usize) -> Vec<ReservationId> {
    let order = |number| {
        let id = reserve(manager, key("order", number), 1).expect("stock");
        if number % 20 == 19 {
            settle(manager);
        }
        id
    };
    (0..count).map(order).collect()
}

/// Lets the auditor read all, and write the runs of what is finished.
pub(crate) fn settle(manager: &InventoryManager) {
    assert!(manager.verify().expect("sound").is_sound());
}

pub(crate) fn stocked(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> InventoryManager {
    let manager = open(disk, clock);
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    manager
}

fn runs(disk: &SimulatedDisk) -> Vec<String> {
    let files = disk.files().into_iter().map(|(name, _)| name);
    files.filter(|name| name.ends_with(".outcomes")).collect()
}

pub(crate) fn available(manager: &InventoryManager) -> u32 {
    manager.available(LAPTOPS).expect("stocked")
}

#[test]
fn a_retry_after_many_other_keys_gets_its_answer_and_takes_nothing_again() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let first: Vec<_> =
        (0..20).map(|number| reserve(&manager, key("first", number), 2).expect("stock")).collect();
    others(&manager, "other", 2_000);
    assert!(!runs(&disk).is_empty(), "{:?}", disk.files().len());
    assert!(manager.stats().keys < 200, "{} keys are in memory", manager.stats().keys);
    let left = available(&manager);
    for (number, id) in first.iter().enumerate() {
        assert_eq!(reserve(&manager, key("first", number), 2), Ok(*id));
        assert_eq!(
            reserve(&manager, key("first", number), 3),
            Err(KeyError::Conflict.into()),
            "another request under the same key"
        );
    }
    assert_eq!(available(&manager), left);
    // Long after the lifetime that memory keeps to, and within the days that the files do.
    clock.advance(24 * HOUR);
    assert_eq!(manager.reservation_by_key(&key("other", 7)).expect("kept").units_held(), 0);
    let before = available(&manager);
    reserve(&manager, key("first", 3), 2).expect("answered before");
    assert_eq!(available(&manager), before);
}

#[test]
fn a_retry_after_a_restart_or_a_kill_gets_its_answer() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let ids = orders(&manager, 410);
    manager.flush().wait().expect("written");
    let left = available(&manager);
    let killed = disk.killed();
    drop(manager);
    for disk in [disk, killed] {
        for round in 0..3 {
            let manager = open(&disk, &clock);
            for (number, id) in ids.iter().enumerate() {
                assert_eq!(reserve(&manager, key("order", number), 1), Ok(*id), "{round}");
            }
            assert_eq!(available(&manager), left);
            others(&manager, &format!("round-{round}"), 50);
        }
    }
}

/// Retries while the engine says that it does not know yet.
fn patiently<T>(mut call: impl FnMut() -> Result<T, ReserveError>) -> Result<T, ReserveError> {
    let deadline = Instant::now() + MINUTE;
    loop {
        match call() {
            Err(error) if error == KeyError::Gathering.into() && Instant::now() < deadline => {}
            other => return other,
        }
    }
}

#[test]
fn lost_and_damaged_runs_are_made_anew_and_no_key_runs_twice_meanwhile() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let ids = orders(&manager, 300);
    let left = available(&manager);
    drop(manager);
    let all = disk.files();
    let count = all.iter().filter(|(name, _)| name.ends_with(".outcomes")).count();
    assert!(count > 2, "{count} runs");
    for lost in 0..count + 1 {
        // All of them in the last round, one of them otherwise; lost, or with a flipped bit.
        for flipped in [false, true] {
            let mut run = 0;
            let mut files = Vec::new();
            for (name, bytes) in &all {
                let mut bytes = bytes.clone();
                if name.ends_with(".outcomes") {
                    run += 1;
                    if run == lost + 1 || lost == count {
                        match flipped {
                            false => continue,
                            true => bytes[100] ^= 1,
                        }
                    }
                }
                files.push((name.clone(), bytes));
            }
            let disk = SimulatedDisk::with_files(files);
            let manager = open(&disk, &clock);
            for (number, id) in ids.iter().enumerate() {
                let again = patiently(|| reserve(&manager, key("order", number), 1));
                assert_eq!(again, Ok(*id), "run {lost}, flipped: {flipped}");
            }
            assert_eq!(available(&manager), left);
        }
    }
}

#[test]
fn a_late_payment_hears_how_the_hold_ended_long_after_its_record_is_gone() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let hold = |units| manager.reserve(LAPTOPS, units, MINUTE).expect("stock");
    let (paid, released, expired, late) = (hold(1), hold(3), hold(4), hold(5));
    manager.confirm(paid).expect("pending");
    let _ = manager.release(released).expect("pending");
    clock.advance(2 * MINUTE);
    manager.run_until_idle();
    others(&manager, "other", 1_000);
    clock.advance(HOUR);
    others(&manager, "more", 200);
    let check = |manager: &InventoryManager| {
        let gone = |id| match manager.confirm(id) {
            Err(ConfirmError::Gone(gone)) => gone,
            other => panic!("{other:?}"),
        };
        assert_eq!(gone(paid), Gone::Sold { units: 1 });
        let again = ConfirmOrRetake::AlreadySold { units: 1 };
        assert_eq!(manager.confirm_or_retake(paid), Ok(again));
        assert_eq!(gone(released), Gone::Released { returned: 3 });
        assert!(matches!(gone(expired), Gone::Expired { returned: 4, .. }));
        assert_eq!(manager.release(expired), Ok(Release::Expired));
        assert_eq!(manager.release(released), Ok(Release::AlreadyReleased));
        let shown = manager.reservation(paid).map(|it| (it.status, it.units_sold()));
        assert_eq!(shown, Ok((ReservationStatus::Confirmed, 1)));
        assert_eq!(manager.reservation(released).expect("known").lines[0].given_back(), 3);
    };
    check(&manager);
    let (lines, sold) = ([BasketLine::new(LAPTOPS, 5)], manager.sold(LAPTOPS).expect("stocked"));
    let Ok(ConfirmOrRetake::Retaken(new)) = manager.confirm_or_retake(late) else {
        panic!("nobody has retaken it")
    };
    assert_eq!(manager.sold(LAPTOPS), Ok(sold + 5));
    others(&manager, "yet more", 400);
    drop(manager);
    let manager = open(&disk, &clock);
    others(&manager, "after", 100);
    check(&manager);
    assert_eq!(
        manager.confirm_or_retake_lines(late, &lines),
        Ok(ConfirmOrRetake::AlreadyRetaken(new)),
        "the webhook comes again"
    );
    assert_eq!(manager.sold(LAPTOPS), Ok(sold + 5));
}

#[test]
fn a_power_cut_at_any_step_lets_no_acknowledged_key_run_twice() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    manager.flush().wait().expect("written");
    let mut acknowledged = Vec::new();
    for number in 0..40 {
        let request = manager.request().key(key("order", number)).durability(Durability::Synced);
        let id = request.reserve(LAPTOPS, 1, HOUR).expect("stock");
        acknowledged.push((id, disk.steps()));
        if number % 5 == 4 {
            settle(&manager);
        }
    }
    settle(&manager);
    assert!(runs(&disk).len() > 2);
    let steps = disk.steps();
    for step in 0..=steps {
        for seed in 0..2_usize {
            let cut = disk.crash(step, |survives| (survives * 7 + step * 3) % 2 == seed);
            let Ok(manager) = with(on(&cut), &clock).build() else {
                panic!("the journal can't be opened after step {step}")
            };
            let known = acknowledged.iter().enumerate().filter(|(_, (_, at))| *at <= step);
            for (number, (id, _)) in known {
                let request =
                    || manager.request().key(key("order", number)).reserve(LAPTOPS, 1, HOUR);
                assert_eq!(patiently(request), Ok(*id), "order {number}, cut after step {step}");
            }
        }
    }
}

/// A disk on which no outcome file can be made while it is told to refuse.
#[derive(Clone)]
pub(crate) struct Refusing {
    disk: SimulatedDisk,
    pub(crate) refuses: Arc<AtomicBool>,
}

impl Refusing {
    pub(crate) fn new(disk: &SimulatedDisk, refuses: bool) -> Self {
        Self { disk: disk.clone(), refuses: Arc::new(AtomicBool::new(refuses)) }
    }

    pub(crate) fn open(&self, clock: &Arc<ManualClock>) -> InventoryManager {
        let journal = JournalOptions::storage(self.clone()).segment_bytes(2_000);
        with(journal.checkpoint_every(3), clock).build().expect("a sound journal")
    }
}

impl Storage for Refusing {
    pass_on!(disk: lock list read rename remove sync_directory);

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        if name.contains(".outcomes") && self.refuses.load(Ordering::SeqCst) {
            return Err(io::Error::other("no outcome files today"));
        }
        self.disk.create(name)
    }
}

fn is_degraded(manager: &InventoryManager) -> bool {
    matches!(manager.health(), Health::Degraded { .. })
}

#[test]
fn no_answer_leaves_memory_while_no_file_can_be_written() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let refusing = Refusing::new(&disk, true);
    let manager = refusing.open(&clock);
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    let ids = orders(&manager, 300);
    assert_eq!((runs(&disk).len(), manager.stats().outcomes.waiting), (0, 300));
    assert!(is_degraded(&manager));
    let left = available(&manager);
    let all_known = |manager: &InventoryManager| {
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(reserve(manager, key("order", number), 1), Ok(*id), "order {number}");
        }
        assert_eq!(available(manager), left);
    };
    all_known(&manager);
    // The next opening has not lost them either.
    drop(manager);
    let manager = refusing.open(&clock);
    all_known(&manager);
    refusing.refuses.store(false, Ordering::SeqCst);
    others(&manager, "other", 100);
    assert!(!runs(&disk).is_empty() && !is_degraded(&manager), "{:?}", manager.health());
    let stats = manager.stats();
    assert!(stats.outcomes.waiting < 50 && stats.keys < 60, "{stats:?}");
    assert!(stats.outcomes.entries >= 300 && stats.outcomes.memory > 0, "{stats:?}");
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(reserve(&manager, key("order", number), 1), Ok(*id), "order {number}");
    }
}

#[test]
fn a_file_that_is_written_late_is_no_trouble_any_more_though_no_checkpoint_comes() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let refusing = Refusing::new(&disk, true);
    let journal = JournalOptions::storage(refusing.clone()).segment_bytes(2_000);
    let manager = with(journal.checkpoint_every(None), &clock).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    let _ = orders(&manager, 100);
    assert!(is_degraded(&manager) && runs(&disk).is_empty());
    refusing.refuses.store(false, Ordering::SeqCst);
    others(&manager, "other", 40);
    assert!(!runs(&disk).is_empty());
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn no_key_runs_while_nobody_knows_whether_it_ran_before() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let ids = orders(&manager, 300);
    let left = available(&manager);
    drop(manager);
    let files = disk.files().into_iter().filter(|(name, _)| !name.ends_with(".outcomes"));
    let refusing = Refusing::new(&SimulatedDisk::with_files(files), true);
    let manager = refusing.open(&clock);
    assert!(is_degraded(&manager));
    let mut refused = 0;
    for (number, id) in ids.iter().enumerate() {
        match reserve(&manager, key("order", number), 1) {
            Err(error) if error == KeyError::Gathering.into() => refused += 1,
            answer => assert_eq!(answer, Ok(*id), "order {number}"),
        }
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(reserve(&manager, key("new", 1), 1), Err(KeyError::Gathering.into()));
    assert_eq!(available(&manager), left);
    // A call without a key goes on.
    let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    refusing.refuses.store(false, Ordering::SeqCst);
    for (number, id) in ids.iter().enumerate() {
        let again = patiently(|| reserve(&manager, key("order", number), 1));
        assert_eq!(again, Ok(*id), "order {number}");
    }
    assert_eq!(available(&manager), left);
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn a_call_that_may_not_read_the_disk_is_refused_where_only_the_disk_knows() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let ids = orders(&manager, 200);
    others(&manager, "other", 100);
    let left = available(&manager);
    let request = |key| manager.request().key(key).key_lookup(KeyLookup::MemoryOnly);
    let again = request(key("order", 3)).reserve(LAPTOPS, 1, HOUR);
    assert_eq!(again, Err(KeyError::Undecided.into()));
    assert_eq!(reserve(&manager, key("order", 3), 1), Ok(ids[3]));
    assert_eq!(available(&manager), left);
    // The filters tell of a new key that it is new.
    request(key("new", 1)).reserve(LAPTOPS, 1, HOUR).expect("stock");
    assert_eq!(available(&manager), left - 1);
}

#[test]
fn after_the_days_that_answers_are_kept_a_key_is_free_again() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = with(on(&disk).keep_outcomes(HOUR), &clock).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    let ids = orders(&manager, 100);
    others(&manager, "other", 100);
    clock.advance(HOUR);
    assert_eq!(reserve(&manager, key("order", 3), 1), Ok(ids[3]));
    clock.advance(Duration::from_millis(1));
    assert_ne!(reserve(&manager, key("order", 3), 1), Ok(ids[3]));
}

#[test]
fn a_backup_answers_what_its_original_answers() {
    let (disk, clock, copy) = (SimulatedDisk::new(), clock(), SimulatedDisk::new());
    let keep = stockade::JournalRetention::remove();
    let manager = with(on(&disk).retention(keep), &clock).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    let ids = orders(&manager, 300);
    others(&manager, "other", 200);
    let left = available(&manager);
    manager.flush().wait().expect("written");
    let _ = manager.backup_to(&copy).expect("room");
    let first = disk.files().iter().any(|(name, _)| name.starts_with("0000000001.journal"));
    assert!(!first, "the segments of the first orders are gone");
    let again = open(&copy, &clock);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(reserve(&again, key("order", number), 1), Ok(*id), "order {number}");
    }
    assert_eq!(available(&again), left);
}

#[test]
fn retries_beside_the_threads_that_write_and_merge_runs_run_once() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let open = || {
        let limits = Limits::new().key_retention(MINUTE, FEW).audit_retained(FEW as u64);
        let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(&clock));
        let journal = on(&disk).sync_interval(Duration::from_millis(1));
        builder.limits(limits).journal(journal).build().expect("a sound journal")
    };
    let manager = open();
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker: usize| {
                let manager = &manager;
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    for number in 0..300 {
                        let name = format!("worker-{worker}");
                        let call = |number| patiently(|| reserve(manager, key(&name, number), 1));
                        ids.push(call(number).expect("stock"));
                        let earlier = number * 7 % (number + 1);
                        assert_eq!(call(earlier), Ok(ids[earlier]), "{name}, {earlier}");
                        if number % 10 == 9 {
                            manager.flush().wait().expect("written");
                        }
                    }
                    ids
                })
            })
            .collect();
        answers.extend(workers.into_iter().map(|worker| worker.join().expect("no panic")));
    });
    assert_eq!(available(&manager), 100_000 - 900);
    settle(&manager);
    assert!(!runs(&disk).is_empty());
    assert!(manager.shutdown(MINUTE).is_clean());
    drop(manager);
    let manager = open();
    for (worker, ids) in answers.iter().enumerate() {
        for (number, id) in ids.iter().enumerate() {
            let name = format!("worker-{worker}");
            let again = patiently(|| reserve(&manager, key(&name, number), 1));
            assert_eq!(again, Ok(*id), "{name}, {number}");
        }
    }
    assert_eq!(available(&manager), 100_000 - 900);
}

//! A subscription gets every entry once and in order; a backup is a journal.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, Builder, Durability, InventoryManager, JournalError, JournalPosition,
    JournalReader, Limits, Subscription,
};

use crate::state::{MINUTE, check_laws, engine_on, on};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn threaded(disk: &SimulatedDisk) -> Builder {
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").warehouse("LA");
    let journal = on(disk).segment_bytes(20_000).sync_interval(Duration::from_millis(1));
    builder.journal(journal).limits(Limits::new().max_reservations(8_192))
}

fn all(subscription: &mut Subscription) -> Vec<AuditEntry> {
    std::iter::from_fn(|| subscription.try_next().expect("a sound journal")).collect()
}

fn log(manager: &InventoryManager) -> Vec<AuditEntry> {
    manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries
}

fn beginning() -> JournalPosition {
    JournalPosition::default()
}

#[test]
fn a_subscriber_sees_every_entry_once_and_in_order_while_they_are_made() {
    let disk = SimulatedDisk::new();
    let manager = &threaded(&disk).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 1 << 30, "SUPPLIER").expect("room");
    let mut subscription = manager.subscribe(beginning()).expect("a journal");
    let seen = std::thread::scope(|scope| {
        let following = scope.spawn(move || {
            let mut seen = Vec::new();
            while let Some(entry) = subscription.wait().expect("a sound journal") {
                seen.push(entry);
            }
            seen
        });
        let sell = |seller: usize| {
            for sale in 0..1_500 {
                let request = manager.request().note("sale", format!("{seller}-{sale}"));
                while request.clone().sell(LAPTOPS, 1).is_err() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        let sellers = [scope.spawn(move || sell(0)), scope.spawn(move || sell(1))];
        // The disk fails for a while: what was given up and written again is not seen again.
        std::thread::sleep(Duration::from_millis(20));
        disk.fail_fsync(true);
        std::thread::sleep(Duration::from_millis(20));
        disk.fail_fsync(false);
        sellers.into_iter().for_each(|seller| seller.join().expect("no panic"));
        assert!(manager.shutdown(MINUTE).is_clean());
        following.join().expect("no panic")
    });
    assert!(seen == log(manager), "{} of {} entries", seen.len(), log(manager).len());
}

#[test]
fn a_position_that_was_kept_is_gone_on_from_after_a_restart() {
    let disk = SimulatedDisk::new();
    let mut kept = beginning();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let manager = engine_on(on(&disk).segment_bytes(900)).build().expect("a sound journal");
        for _ in 0..10 {
            manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        }
        manager.flush().wait().expect("on the disk");
        // Not on the disk, and so not to be seen.
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        let mut subscription = manager.subscribe(kept).expect("it is all there");
        seen.extend(all(&mut subscription));
        assert_eq!(seen.last().map(|it| it.sequence), Some(manager.audit_log().newest_sequence()));
        kept = subscription.position().to_string().parse().expect("a position");
    }
    assert!(seen.iter().map(|it| it.sequence).eq(1..=seen.len() as u64), "a gap, or a repeat");
}

#[test]
fn a_position_in_a_lost_tail_is_told_so() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("on the disk");
    let durable = manager.audit_log().newest_sequence();
    manager.sell(LAPTOPS, 1).expect("stock");
    manager.run_until_idle();
    let mut eager = manager.subscribe(beginning()).expect("a journal").including_buffered();
    assert_eq!(all(&mut eager).len() as u64, durable + 2);
    let mut patient = manager.subscribe(beginning()).expect("a journal");
    assert_eq!(all(&mut patient).len() as u64, durable);
    std::mem::forget(manager);

    let image = disk.crash(disk.steps(), |_| false);
    let again = engine_on(&image).build().expect("a sound journal");
    // As many entries as were lost, and more, are there by now: others.
    for _ in 0..9 {
        again.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
    again.flush().wait().expect("on the disk");
    let rewound = again.subscribe(eager.position()).expect_err("it was lost");
    assert_eq!(rewound, JournalError::Rewound { to: durable });
    let mut patient = again.subscribe(patient.position()).expect("it is there");
    assert_eq!(all(&mut patient).first().map(|it| it.sequence), Some(durable + 1));
    // Two openings later, too.
    drop(again);
    let later = engine_on(&image).build().expect("a sound journal");
    let rewound = later.subscribe(eager.position()).expect_err("it was lost");
    assert_eq!(rewound, JournalError::Rewound { to: durable });
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_future_entry_wakes_whoever_awaits_it() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.flush().wait().expect("on the disk");
    let mut subscription = manager.subscribe(beginning()).expect("a journal");
    let before = all(&mut subscription).len() as u64;
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let mut next = pin!(subscription.next_entry());
    assert!(next.as_mut().poll(&mut context).is_pending());
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    assert!(!flag.0.load(Ordering::SeqCst), "it is not on the disk");
    manager.flush().wait().expect("on the disk");
    assert!(flag.0.load(Ordering::SeqCst), "never woken");
    let Poll::Ready(Ok(Some(entry))) = next.as_mut().poll(&mut context) else { panic!("ready") };
    assert_eq!(entry.sequence, before + 1);
}

#[test]
fn a_copy_that_is_made_under_load_is_a_journal_up_to_its_head() {
    let disk = SimulatedDisk::new();
    let manager = threaded(&disk).durability(Durability::Buffered).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 1 << 20, "SUPPLIER").expect("room");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
                manager.confirm(hold).expect("pending");
                // A trickle, or there is more to copy each time than in the time before.
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        for _ in 0..5 {
            manager.flush().wait().expect("on the disk");
            let copy = SimulatedDisk::new();
            let head = manager.backup_to(&copy).expect("a copy");
            let copy = copy.crash(copy.steps(), |_| false);
            assert_eq!(JournalReader::on(copy.clone()).verify(None).expect("sound").head, head);
            let again = engine_on(&copy).build().expect("a sound journal");
            check_laws(&again);
            assert!(again.sold(LAPTOPS).expect("known") <= manager.sold(LAPTOPS).expect("known"));
            assert_eq!(again.recovery_report().map(|it| it.entries), Some(head.sequence));
            let refused = manager.backup_to(&copy).expect_err("there is a journal");
            assert!(matches!(refused, JournalError::Storage { .. }));
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A power cut left the header of a batch on the disk, and only a part of its body.
#[test]
fn a_subscriber_goes_past_what_a_power_cut_has_torn() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    manager.sell(LAPTOPS, 1).expect("stock");
    manager.run_until_idle();
    let mut files = disk.files();
    let torn = files.iter_mut().rfind(|(name, _)| name.ends_with(".journal"));
    *torn.and_then(|(_, bytes)| bytes.last_mut()).expect("a segment") ^= 1;
    let disk = SimulatedDisk::with_files(files);
    let manager = engine_on(&disk).build().expect("a torn tail is cut");
    assert!(manager.recovery_report().is_some_and(|it| it.torn.is_some()));
    manager.sell(LAPTOPS, 2).expect("stock");
    manager.flush().wait().expect("written");
    let mut subscription = manager.subscribe(beginning()).expect("a journal");
    assert_eq!(all(&mut subscription), log(&manager));
}

/// A crash between a journal's closing batch and its close mark. The next opening resumes before
/// that batch, and its first batch has the same number.
#[test]
fn a_subscriber_is_not_led_astray_by_a_closing_batch_that_was_given_up() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.flush().wait().expect("written");
    drop(manager);
    let mut files = disk.files();
    let newest = files.iter_mut().rfind(|(name, _)| name.ends_with(".journal"));
    let bytes = &mut newest.expect("a segment").1;
    bytes.truncate(bytes.len() - 1);
    let disk = SimulatedDisk::with_files(files);
    let manager = engine_on(&disk).build().expect("as a crash can leave it");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let mut subscription = manager.subscribe(beginning()).expect("a journal");
    assert_eq!(all(&mut subscription), log(&manager));
}

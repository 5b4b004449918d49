//! Subscriptions as futures: a poll reads no file, and nobody's waker hurts a neighbour.

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    Health, InventoryManager, JournalError, JournalOptions, JournalPosition, Limits, Storage,
    StorageFile, Subscription,
};

use crate::pass_on::pass_on;
use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
/// After this time, nothing comes any more.
const SOON: Duration = Duration::from_secs(20);

/// A disk that notes which threads read segments, and whose reads can be held up.
#[derive(Clone, Default)]
pub(crate) struct Noted {
    pub(crate) disk: SimulatedDisk,
    pub(crate) readers: Arc<Mutex<BTreeSet<String>>>,
    /// How often a thread read that is not the engine's.
    pub(crate) reads_of_callers: Arc<AtomicUsize>,
    /// The follower threads among them.
    ids: Arc<Mutex<HashSet<ThreadId>>>,
    shut: Arc<(Mutex<bool>, Condvar)>,
    /// How many reads are held up.
    pub(crate) held: Arc<AtomicUsize>,
    pub(crate) panics: Arc<AtomicBool>,
}

impl Noted {
    pub(crate) fn shut(&self, shut: bool) {
        *self.shut.0.lock().expect("no panic") = shut;
        self.shut.1.notify_all();
    }

    pub(crate) fn forget(&self) {
        self.readers.lock().expect("no panic").clear();
        self.ids.lock().expect("no panic").clear();
    }
}

impl Storage for Noted {
    pass_on!(disk: lock list length create rename remove truncate sync_directory);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let reader = thread::current().name().unwrap_or_default().to_owned();
        let follows = reader == "stockade-follower";
        let of_caller = usize::from(!reader.starts_with("stockade-"));
        self.reads_of_callers.fetch_add(of_caller, Ordering::SeqCst);
        self.readers.lock().expect("no panic").insert(reader);
        if follows {
            self.ids.lock().expect("no panic").insert(thread::current().id());
            assert!(!self.panics.swap(false, Ordering::SeqCst), "a storage with a bug");
            self.held.fetch_add(1, Ordering::SeqCst);
            let shut = self.shut.0.lock().expect("no panic");
            drop(self.shut.1.wait_while(shut, |shut| *shut).expect("no panic"));
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
        self.disk.read(name, offset, length)
    }
}

fn threaded(noted: &Noted) -> InventoryManager {
    let journal = JournalOptions::storage(noted.clone()).segment_bytes(20_000);
    let journal = journal.sync_interval(Duration::from_millis(1)).auditor(false);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let limits = Limits::new().max_reservations(8_192);
    builder.limits(limits.audit_retained(100_000)).build().expect("a new journal")
}

fn trade(manager: &InventoryManager, count: usize) {
    for sale in 0..count {
        let request = manager.request().note("buyer", format!("M. Curie {sale}"));
        request.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
    // A bound, because a bug may lose the flush.
    manager.flush().wait_deadline(Instant::now() + SOON).expect("on the disk");
}

fn beginning(manager: &InventoryManager) -> Subscription {
    manager.subscribe(JournalPosition::default()).expect("all is there")
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future in this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    let deadline = Instant::now() + SOON;
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        assert!(Instant::now() < deadline, "never woken");
        thread::park_timeout(SOON);
    }
}

/// The numbers of all entries until the engine ends.
fn follow(mut entries: Subscription, most: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let batch = block_on(entries.next_batch(most)).expect("sound");
        assert!(batch.len() <= most.max(1));
        if batch.is_empty() {
            return seen;
        }
        seen.extend(batch.iter().map(|it| it.sequence));
        assert_eq!(entries.position().sequence, *seen.last().expect("not empty"));
    }
}

#[test]
fn no_poll_reads_a_file() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 2_000);
    let mut entries = beginning(&manager);
    noted.forget();
    for sequence in 1..=1_500 {
        let entry = block_on(entries.next_entry()).expect("sound").expect("an entry");
        assert_eq!(entry.sequence, sequence);
    }
    let readers = noted.readers.lock().expect("no panic");
    assert_eq!(readers.iter().map(String::as_str).collect::<Vec<_>>(), ["stockade-follower"]);
}

#[test]
fn fifty_subscriptions_share_one_thread_and_each_gets_all() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 100);
    let all = thread::scope(|scope| {
        let follow_one = |index: usize| {
            let entries = beginning(&manager).read_ahead_bytes(index << 10);
            scope.spawn(move || follow(entries, index * 7))
        };
        let following: Vec<_> = (0..50).map(follow_one).collect();
        for _ in 0..20 {
            trade(&manager, 50);
        }
        assert_eq!(noted.ids.lock().expect("no panic").len(), 1, "one thread for all");
        assert!(manager.shutdown(MINUTE).is_clean());
        following.into_iter().map(|it| it.join().expect("no panic")).collect::<Vec<_>>()
    });
    let newest = manager.audit_log().newest_sequence();
    for (index, seen) in all.iter().enumerate() {
        assert!(seen.iter().copied().eq(1..=newest), "subscription {index}: {}", seen.len());
    }
}

#[test]
fn a_subscription_dropped_while_it_is_read_for_harms_nobody() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 500);
    let (mut gone, mut stays) = (beginning(&manager), beginning(&manager));
    noted.shut(true);
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(gone.next_entry()).as_mut().poll(&mut context).is_pending());
    while noted.held.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    // The poll of another one does not wait for the disk, either.
    assert!(pin!(stays.next_entry()).as_mut().poll(&mut context).is_pending());
    drop(gone);
    noted.shut(false);
    assert_eq!(block_on(stays.next_entry()).expect("sound").map(|it| it.sequence), Some(1));
}

/// A future that was given up loses no entry, and blocking calls may go between.
#[test]
fn futures_and_calls_that_block_take_turns() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 3_000);
    let mut entries = beginning(&manager).read_ahead_bytes(0);
    let mut context = Context::from_waker(Waker::noop());
    let mut sequence = 0;
    while sequence < 3_000 {
        let polled = match sequence % 3 {
            0 => entries.try_next().expect("sound"),
            1 => block_on(entries.next_entry()).expect("sound"),
            _ => match pin!(entries.next_entry()).as_mut().poll(&mut context) {
                Poll::Ready(entry) => entry.expect("sound"),
                Poll::Pending => entries.wait().expect("sound"),
            },
        };
        sequence += 1;
        assert_eq!(polled.map(|it| it.sequence), Some(sequence));
    }
}

#[test]
fn what_was_erased_is_in_nothing_that_was_read_ahead() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 1_000);
    let newest = manager.audit_log().newest_sequence();
    let mut entries = beginning(&manager);
    let first = block_on(entries.next_batch(200)).expect("sound");
    let told = |it: &stockade::AuditEntry| it.note("buyer").is_some();
    assert!(first.iter().any(told) && first.len() == 200);
    assert!(manager.redact(told).expect("sound").records >= 1_000);
    let mut sequence = 200;
    while sequence < newest {
        for entry in block_on(entries.next_batch(100)).expect("sound") {
            sequence += 1;
            assert_eq!((entry.sequence, told(&entry)), (sequence, false));
        }
    }
}

/// A waker with a bug.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("a waker with a bug");
    }
}

#[test]
fn a_waker_that_panics_hurts_neither_the_threads_nor_a_neighbour() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 10);
    let broken = Waker::from(Arc::new(Broken));
    let mut context = Context::from_waker(&broken);
    for round in 0..20 {
        // It waits for a file to be read, and the others for a new entry.
        let mut bad = beginning(&manager);
        let _ = pin!(bad.next_entry()).as_mut().poll(&mut context);
        let mut late = beginning(&manager);
        while late.try_next().expect("sound").is_some() {}
        assert!(pin!(late.next_entry()).as_mut().poll(&mut context).is_pending());
        let mut flush = pin!(manager.flush());
        let _ = flush.as_mut().poll(&mut context);
        let mut good = beginning(&manager);
        trade(&manager, 1);
        let first = block_on(good.next_entry()).expect("sound");
        assert_eq!(first.map(|it| it.sequence), Some(1), "round {round}");
        assert_eq!(manager.health(), Health::Ok);
    }
}

#[test]
fn a_storage_that_panics_is_an_error_of_one_subscription() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 10);
    let mut entries = beginning(&manager);
    noted.panics.store(true, Ordering::SeqCst);
    let failed = block_on(entries.next_entry());
    assert!(matches!(failed, Err(JournalError::Storage { .. })), "{failed:?}");
    assert_eq!(block_on(entries.next_entry()).expect("sound").map(|it| it.sequence), Some(1));
}

#[test]
fn after_the_engine_has_ended_a_future_gets_the_rest_and_no_thread_stays() {
    let noted = Noted::default();
    let manager = threaded(&noted);
    trade(&manager, 800);
    let mut entries = beginning(&manager).read_ahead_bytes(0);
    let first = block_on(entries.next_entry()).expect("sound").expect("an entry").sequence;
    assert!(manager.shutdown(MINUTE).is_clean());
    let rest = follow(entries, 100);
    assert!(rest.iter().copied().eq(first + 1..=manager.audit_log().newest_sequence()));
}

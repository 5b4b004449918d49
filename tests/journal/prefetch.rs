//! Prefetches: what old keys were answered and how old reservations ended is read by a thread of
//! the engine's, so that neither the poll nor the call reads a file.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use stockade::testing::{SimulatedDisk, refuse_threads};
use stockade::{
    BasketLine, Builder, ConfirmError, ConfirmOrRetake, Gone, InventoryManager, JournalOptions,
    KeyError, KeyLookup, Limits, ManualClock, Release, ReserveError, RetakeError,
};

use crate::futures::{Noted, block_on};
use crate::outcomes::{
    HOUR, LAPTOPS, Refusing, available, clock, key, orders, others, reserve, settle, stocked,
};
use crate::state::MINUTE;

/// With threads, and so little memory that it soon has no answer and no record.
fn threaded(noted: &Noted, clock: &Arc<ManualClock>) -> Builder {
    let journal = JournalOptions::storage(noted.clone()).segment_bytes(2_000).checkpoint_every(3);
    let journal = journal.sync_interval(Duration::from_millis(1));
    let limits = Limits::new().key_retention(MINUTE, 8).retention(Duration::from_millis(1), 8);
    let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(clock));
    builder.limits(limits.audit_retained(8).longest_ttl(24 * HOUR)).journal(journal)
}

fn traded(noted: &Noted, clock: &Arc<ManualClock>) -> InventoryManager {
    let manager = threaded(noted, clock).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    manager
}

/// As runtimes with many threads ask of their futures.
fn may_move_between_threads<T: Send>(_: &T) {}

fn read_here(noted: &Noted) -> bool {
    let own = thread::current().name().unwrap_or_default().to_owned();
    noted.readers.lock().expect("no panic").contains(&own)
}

#[test]
fn neither_the_poll_nor_the_call_reads_a_file() {
    let (noted, clock) = (Noted::default(), clock());
    let manager = traded(&noted, &clock);
    let ids = orders(&manager, 60);
    let ended = orders_ended(&manager);
    others(&manager, "other", 1_000);
    let left = available(&manager);
    noted.forget();
    for (number, id) in ids.iter().enumerate() {
        let mut request = manager.request().key(key("order", number));
        block_on(request.prefetch()).expect("a working disk");
        assert_eq!(request.reserve(LAPTOPS, 1, HOUR), Ok(*id));
        assert_eq!(request.reserve(LAPTOPS, 2, HOUR), Err(KeyError::Conflict.into()));
    }
    let mut fresh = manager.request().key(key("fresh", 1));
    may_move_between_threads(&fresh.prefetch());
    block_on(fresh.prefetch()).expect("a working disk");
    let hold = fresh.reserve(LAPTOPS, 1, HOUR).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    let (paid, released, late) = ended;
    for (number, id, gone) in
        [(1, paid, Gone::Sold { units: 2 }), (2, released, Gone::Released { returned: 3 })]
    {
        let mut webhook = manager.request().key(key("webhook", number));
        block_on(webhook.prefetch_of(id)).expect("a working disk");
        assert_eq!(webhook.confirm(id), Err(ConfirmError::Gone(gone)));
        // Without a prefetch it says that it would have to read.
        let blind = manager.request().key_lookup(KeyLookup::MemoryOnly);
        assert_eq!(blind.confirm(id), Err(KeyError::Undecided.into()));
    }
    let mut webhook = manager.request().key(key("webhook", 3));
    block_on(webhook.prefetch_of(late)).expect("a working disk");
    let paid_late = webhook.confirm_or_retake(late).expect("stock");
    assert!(matches!(paid_late, ConfirmOrRetake::Retaken(_)));
    assert_eq!(webhook.confirm_or_retake(late), Ok(paid_late), "the webhook comes again");
    assert!(!read_here(&noted), "{:?}", noted.readers);
    assert!(noted.readers.lock().expect("no panic").contains("stockade-follower"));
    assert_eq!(available(&manager), left - 4);
    // So it is where nobody prefetches.
    assert_eq!(reserve(&manager, key("order", 7), 1), Ok(ids[7]));
    assert!(read_here(&noted));
}

/// A sold reservation and two released ones.
fn orders_ended(
    manager: &InventoryManager,
) -> (stockade::ReservationId, stockade::ReservationId, stockade::ReservationId) {
    let hold = |units| manager.reserve(LAPTOPS, units, HOUR).expect("stock");
    let (paid, released, late) = (hold(2), hold(3), hold(4));
    manager.confirm(paid).expect("pending");
    assert_eq!(manager.release(released), Ok(Release::Released));
    assert_eq!(manager.release(late), Ok(Release::Released));
    (paid, released, late)
}

#[test]
fn while_the_disk_stands_still_a_poll_returns_and_a_dropped_prefetch_is_passed_over() {
    let (noted, clock) = (Noted::default(), clock());
    let manager = traded(&noted, &clock);
    let ids = orders(&manager, 60);
    others(&manager, "other", 200);
    noted.shut(true);
    let mut first = manager.request().key(key("order", 1));
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut prefetch = pin!(first.prefetch());
        assert!(prefetch.as_mut().poll(&mut context).is_pending());
        let deadline = Instant::now() + MINUTE;
        while noted.held.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "nobody reads");
            thread::yield_now();
        }
        assert!(prefetch.as_mut().poll(&mut context).is_pending());
    }
    // Nothing was prefetched, and nothing is forbidden.
    noted.shut(false);
    assert_eq!(first.reserve(LAPTOPS, 1, HOUR), Ok(ids[1]));
    block_on(first.prefetch()).expect("a working disk");
    assert_eq!(first.reserve(LAPTOPS, 1, HOUR), Ok(ids[1]));
    // A storage with a bug hurts one prefetch.
    noted.panics.store(true, Ordering::SeqCst);
    let mut second = manager.request().key(key("order", 2));
    assert_eq!(block_on(second.prefetch()), Err(KeyError::Gathering));
    block_on(second.prefetch()).expect("a working disk");
    assert_eq!(second.reserve(LAPTOPS, 1, HOUR), Ok(ids[2]));
}

/// The prefetch found no answer. Until the call comes, another one has the key, and its answer has
/// left memory.
#[test]
fn an_answer_that_came_after_the_prefetch_is_not_overlooked() {
    let (noted, clock) = (Noted::default(), clock());
    let journal = JournalOptions::storage(noted.clone()).segment_bytes(2_000).checkpoint_every(3);
    // No filter in memory: for each key the files are asked.
    let builder = threaded(&noted, &clock).journal(journal.outcome_memory(0));
    let manager = builder.build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    others(&manager, "before", 100);
    let mut early = manager.request().key(key("contested", 1));
    let blind = early.clone().key_lookup(KeyLookup::MemoryOnly);
    assert_eq!(blind.reserve(LAPTOPS, 1, HOUR), Err(KeyError::Undecided.into()));
    block_on(early.prefetch()).expect("a working disk");
    let same = early.clone();
    let id = reserve(&manager, key("contested", 1), 1).expect("stock");
    assert_eq!(same.reserve(LAPTOPS, 1, HOUR), Ok(id), "memory has it");
    others(&manager, "after", 200);
    let left = available(&manager);
    assert_eq!(early.reserve(LAPTOPS, 1, HOUR), Err(KeyError::Undecided.into()));
    block_on(early.prefetch()).expect("a working disk");
    assert_eq!(early.reserve(LAPTOPS, 1, HOUR), Ok(id));
    assert_eq!(available(&manager), left);
    // Where nothing came since, it is known to be new.
    let mut fresh = manager.request().key(key("fresh", 1));
    block_on(fresh.prefetch()).expect("a working disk");
    assert_ne!(fresh.reserve(LAPTOPS, 1, HOUR).expect("stock"), id);
    assert_eq!(available(&manager), left - 1);
}

/// Its end is recorded and not yet on the disk, and its slot has been used again.
#[test]
fn how_a_reservation_ended_just_now_is_waited_for_without_blocking() {
    let (noted, clock) = (Noted::default(), clock());
    let manager = traded(&noted, &clock);
    for round in 0..20 {
        let id = manager.reserve(LAPTOPS, 5, HOUR).expect("stock");
        assert_eq!(manager.release(id), Ok(Release::Released));
        clock.advance(Duration::from_millis(10));
        for _ in 0..400 {
            let other = manager.reserve(LAPTOPS, 1, HOUR).expect("stock");
            assert_eq!(manager.release(other), Ok(Release::Released));
            clock.advance(Duration::from_millis(10));
        }
        noted.forget();
        let mut webhook = manager.request().key(key("webhook", round));
        // A file may come after a prefetch, and seem to have the key.
        let undecided = Err(ConfirmError::from(KeyError::Undecided));
        let mut again = undecided.clone();
        for _ in 0..5 {
            if again == undecided {
                block_on(webhook.prefetch_of(id)).expect("a working disk");
                again = webhook.confirm(id);
            }
        }
        assert_eq!(again, Err(ConfirmError::Gone(Gone::Released { returned: 5 })), "{round}");
        assert!(!read_here(&noted), "{:?}", noted.readers);
    }
}

#[test]
fn without_threads_or_files_a_prefetch_is_ready_at_once() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    let ids = orders(&manager, 60);
    let (paid, ..) = orders_ended(&manager);
    others(&manager, "other", 1_000);
    let mut context = Context::from_waker(Waker::noop());
    let mut ready = |request: &mut stockade::Request<'_>, id| {
        let polled = pin!(request.prefetch_of(id)).poll(&mut context);
        assert_eq!(polled, Poll::Ready(Ok(())));
    };
    let mut request = manager.request().key(key("order", 3));
    ready(&mut request, paid);
    assert_eq!(request.reserve(LAPTOPS, 1, HOUR), Ok(ids[3]));
    let confirmed = manager.request().confirm(paid);
    assert_eq!(confirmed, Err(ConfirmError::Gone(Gone::Sold { units: 2 })));
    let plain = InventoryManager::builder().warehouse("SF").build().expect("no journal");
    plain.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let mut request = plain.request().key(key("order", 3));
    ready(&mut request, paid);
    let hold = request.reserve(LAPTOPS, 1, HOUR).expect("stock");
    assert_eq!(request.reserve(LAPTOPS, 1, HOUR), Ok(hold));
}

#[test]
fn what_cannot_be_read_is_told_and_may_be_asked_again() {
    let (noted, clock) = (Noted::default(), clock());
    let manager = traded(&noted, &clock);
    let ids = orders(&manager, 60);
    let (paid, ..) = orders_ended(&manager);
    others(&manager, "other", 1_000);
    let mut request = manager.request().key(key("order", 3));
    let (refused, asked) = refuse_threads(0..usize::MAX, || block_on(request.prefetch()));
    // Neither for what reads nor for what wakes is there a thread.
    assert_eq!((refused, asked), (Err(KeyError::Undecided), 2));
    assert_eq!(request.reserve(LAPTOPS, 1, HOUR), Ok(ids[3]), "it may still read by itself");
    block_on(request.prefetch()).expect("a thread");
    assert_eq!(request.reserve(LAPTOPS, 1, HOUR), Ok(ids[3]));
    drop(manager);

    let files = noted.disk.files().into_iter().filter(|(name, _)| !name.ends_with(".outcomes"));
    let refusing = Refusing::new(&SimulatedDisk::with_files(files), true);
    let manager = refusing.open(&clock);
    let mut request = manager.request().key(key("order", 3));
    assert_eq!(block_on(request.prefetch()), Err(KeyError::Gathering));
    let mut webhook = manager.request();
    assert_eq!(block_on(webhook.prefetch_of(paid)), Err(KeyError::Gathering));
    let late = webhook.confirm_or_retake_lines(paid, &[BasketLine::new(LAPTOPS, 2)]);
    assert_eq!(late, Err(RetakeError::Call(KeyError::Gathering.into())));
    refusing.refuses.store(false, Ordering::SeqCst);
    settle(&manager);
    block_on(request.prefetch()).expect("the files are there again");
    assert_eq!(request.reserve(LAPTOPS, 1, HOUR), Ok(ids[3]));
    let other: Result<_, ReserveError> = request.reserve(LAPTOPS, 2, HOUR);
    assert_eq!(other, Err(KeyError::Conflict.into()));
}

#[test]
fn a_fresh_key_costs_no_read_but_one_in_a_thousand_at_most() {
    const FRESH: usize = 20_000;
    let (noted, clock) = (Noted::default(), clock());
    // Runs are merged then and there.
    let manager = threaded(&noted, &clock).without_threads().build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    others(&manager, "old", 2_000);
    let stats = manager.stats().outcomes;
    assert!(stats.files > 3 && stats.entries > 2_000 && stats.unfiltered == 0, "{stats:?}");
    let reads = || noted.reads_of_callers.load(Ordering::SeqCst);
    // Whether the key was used comes before whether there is stock. So no call adds a key.
    let ask = |key, lookup| manager.request().key(key).key_lookup(lookup).sell(LAPTOPS, 1_000_000);
    let is_short = |refusal| matches!(refusal, Err(ReserveError::Insufficient { .. }));
    let before = reads();
    let blind = |number: &usize| {
        ask(key("fresh", *number), KeyLookup::MemoryOnly) == Err(KeyError::Undecided.into())
    };
    let undecided: Vec<_> = (0..FRESH).filter(blind).collect();
    assert_eq!(reads(), before, "from memory alone");
    assert!(undecided.len() <= FRESH / 1_000, "{} of {FRESH}", undecided.len());
    for number in 0..FRESH {
        assert!(is_short(ask(key("fresh", number), KeyLookup::ReadDisk)), "{number}");
    }
    let read = reads() - before;
    assert!(read <= 2 * undecided.len(), "{read} reads for {} keys", undecided.len());
    // An old one costs one.
    let before = reads();
    let again = ask(key("old", 7), KeyLookup::ReadDisk);
    assert_eq!(again, Err(KeyError::Conflict.into()));
    assert!((1..=2).contains(&(reads() - before)));
}

#[test]
fn the_figures_tell_what_the_files_take() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let manager = stocked(&disk, &clock);
    assert_eq!(manager.stats().outcomes, stockade::OutcomeFigures::default());
    clock.advance(10 * HOUR);
    others(&manager, "other", 500);
    let stats = manager.stats().outcomes;
    let files = disk.files().into_iter().filter(|(name, _)| name.ends_with(".outcomes"));
    let bytes: Vec<_> = files.map(|(_, bytes)| bytes.len() as u64).collect();
    assert_eq!((stats.files, stats.disk_bytes), (bytes.len(), bytes.iter().sum()));
    assert!(stats.filter_memory > 0 && stats.filter_memory < stats.memory, "{stats:?}");
    assert_eq!(stats.unfiltered, 0);
    // In journal time, which goes on with the engine's clock.
    clock.advance(HOUR);
    let older = manager.stats().outcomes.oldest;
    assert_eq!(older, stats.oldest + HOUR);
    assert!(older < 2 * HOUR, "{older:?}");
    drop(manager);
    // The same files, and no memory for their filters.
    let journal = JournalOptions::storage(disk).segment_bytes(2_000).outcome_memory(0);
    let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(&clock));
    let manager = builder.journal(journal).without_threads().build().expect("a sound journal");
    let stats = manager.stats().outcomes;
    assert_eq!((stats.filter_memory, stats.files), (0, bytes.len()));
    assert!(stats.unfiltered > 0 && stats.memory > 0, "{stats:?}");
}

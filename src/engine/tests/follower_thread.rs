//! The follower thread: what futures do where there is none, and how much is read ahead.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::engine::InventoryManager;
use crate::journal::follow::subscribe::Subscription;
use crate::journal::follow::thread::FollowerThread;
use crate::journal::format::position::JournalPosition;
use crate::journal::storage::simulated::SimulatedDisk;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// An engine with this many entries of a hundred bytes, all on the disk.
fn with_entries(count: usize) -> InventoryManager {
    let builder = InventoryManager::builder().warehouse("SF").journal(SimulatedDisk::new());
    let manager = builder.build().expect("a new journal");
    let note = "x".repeat(100);
    for _ in 0..count {
        manager.request().note("n", &note).add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
    manager.flush().wait().expect("written");
    manager
}

#[test]
fn without_a_thread_futures_say_so_and_calls_that_block_work_on() {
    let manager = with_entries(3);
    let mut feeds = manager.journal_feeds().expect("a journal");
    let refuse = |_: Box<dyn FnOnce() + Send>| Err(io::Error::other("no room"));
    feeds.thread = Some(FollowerThread::with(refuse));
    let mut entries = Subscription::new(feeds, JournalPosition::default()).expect("all is there");
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        let polled = pin!(entries.next_entry()).as_mut().poll(&mut context);
        let refused = JournalError::NoFollower { reason: "no room".to_owned() };
        assert!(refused.is_retryable());
        assert!(matches!(polled, Poll::Ready(Err(error)) if error == refused));
    }
    assert_eq!(entries.wait().expect("sound").map(|it| it.sequence), Some(1));
    // What that call has made ready, a future takes without the thread.
    let polled = pin!(entries.next_entry()).as_mut().poll(&mut context);
    assert!(matches!(polled, Poll::Ready(Ok(Some(entry))) if entry.sequence == 2));
}

#[test]
fn what_is_read_ahead_stays_within_its_bound_and_none_is_lost() {
    const BOUND: usize = 64 << 10;
    let manager = with_entries(5_000);
    let newest = manager.audit_log().newest_sequence();
    let beginning = JournalPosition::default();
    let entries = manager.subscribe(beginning).expect("all is there");
    let mut entries = entries.read_ahead_bytes(1);
    let mut context = Context::from_waker(Waker::noop());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut most = 0;
    for sequence in 1..=newest {
        loop {
            assert!(Instant::now() < deadline, "entry {sequence} never came");
            most = most.max(entries.ready_bytes());
            match pin!(entries.next_entry()).as_mut().poll(&mut context) {
                Poll::Ready(entry) => {
                    assert_eq!(entry.expect("sound").map(|it| it.sequence), Some(sequence));
                    break;
                }
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }
    assert!((BOUND..BOUND + 4_096).contains(&most), "{most} bytes were ready");
}

/// A chunk of a segment was read before the erasure, and is decoded only in part.
#[test]
fn what_was_read_and_not_yet_decoded_is_read_again_after_an_erasure() {
    let manager = with_entries(2_000);
    let newest = manager.audit_log().newest_sequence();
    let entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    let mut entries = entries.read_ahead_bytes(1);
    let mut sequence = 0;
    while sequence < 10 || entries.ready_bytes() > 0 {
        sequence += 1;
        let entry = entries.try_next().expect("sound").expect("an entry");
        assert_eq!(entry.sequence, sequence);
    }
    assert!(sequence < newest, "all was decoded at once");
    manager.redact(|_| true).expect("sound");
    while let Some(entry) = entries.try_next().expect("sound") {
        sequence += 1;
        assert_eq!((entry.sequence, entry.note("n")), (sequence, None));
    }
    assert!(sequence >= newest);
}

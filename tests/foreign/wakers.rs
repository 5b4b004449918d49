//! Wakers. The engine calls them on a thread of their own, after all others were told.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use stockade::testing::{FaultySink, SimulatedDisk};
use stockade::{Builder, Durability, Health, InventoryManager, JournalPosition};

use crate::common::{LAPTOPS, clock, quiet, threaded, wait_for, within};
use crate::{Later, SOON, is_degraded, poll, waker};

/// Engines whose flushes take a while: with a sink, and with a journal.
fn engines() -> [Builder; 2] {
    [threaded(), threaded().journal(SimulatedDisk::new())]
}

/// An engine whose writer waits for `release`, and a flush that waits with this waker.
fn with_a_waiting_flush(builder: Builder, call: impl Fn() + Send + Sync + 'static) -> Stage {
    let (sink, control) = FaultySink::new();
    let manager = builder.sink(sink).build().expect("legal settings");
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    control.wait_until_stalled();
    let mut flush = manager.flush();
    assert_eq!(poll(&mut flush, &waker(call)), Poll::Pending);
    Stage { manager, control, _flush: flush }
}

/// The same, with a waker that blocks until the second half is dropped.
fn with_a_blocked_waker(builder: Builder) -> (Stage, Sender<()>) {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let stage = with_a_waiting_flush(builder, move || {
        let _ = released.lock().expect("no panic").recv();
    });
    (stage, release)
}

struct Stage {
    manager: InventoryManager,
    control: stockade::testing::FaultControl,
    _flush: stockade::Flush,
}

#[test]
fn a_waker_that_panics_hurts_no_neighbour() {
    for builder in engines() {
        let stage = with_a_waiting_flush(builder, || panic!("nobody receives any more"));
        let neighbours: Vec<_> = (0..8).map(|_| stage.manager.flush()).collect();
        stage.control.recover();
        for neighbour in neighbours {
            assert_eq!(neighbour.wait_deadline(Instant::now() + SOON), Ok(()));
        }
        assert_eq!(stage.manager.health(), Health::Ok);
        let manager = stage.manager;
        within(SOON, move || {
            manager.request().durability(Durability::Synced).sell(LAPTOPS, 1).expect("well");
            assert!(manager.shutdown(SOON).is_clean());
        });
    }
}

#[test]
fn a_waker_that_blocks_delays_no_thread_and_shows_in_health() {
    for builder in engines() {
        let (stage, release) = with_a_blocked_waker(builder);
        stage.control.recover();
        let manager = stage.manager.clone();
        within(SOON, move || {
            for _ in 0..100 {
                manager.request().durability(Durability::Synced).sell(LAPTOPS, 1).expect("well");
            }
        });
        wait_for(SOON, "degraded", || is_degraded(&stage.manager, "waker"));
        drop(release);
        wait_for(SOON, "well again", || stage.manager.health() == Health::Ok);
    }
}

#[test]
fn a_waker_that_blocks_keeps_no_engine_from_its_end() {
    let (stage, release) = with_a_blocked_waker(threaded().journal(SimulatedDisk::new()));
    stage.control.recover();
    wait_for(SOON, "degraded", || is_degraded(&stage.manager, "waker"));
    let began = Instant::now();
    let _ = stage.manager.shutdown(Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(release);
}

#[test]
fn a_waker_may_call_the_engine() {
    for builder in engines() {
        let (tell, told) = channel();
        let engine = Later::default();
        let inside = engine.clone();
        let stage = with_a_waiting_flush(builder, move || {
            let Some(manager) = inside.take() else { return };
            let sold = manager.request().durability(Durability::Synced).sell(LAPTOPS, 1);
            let _ = tell.send((sold, manager.flush().wait()));
        });
        engine.set(&stage.manager);
        stage.control.recover();
        let (sold, flushed) = told.recv_timeout(SOON).expect("a waker that ends");
        sold.expect("well");
        flushed.expect("well");
    }
}

#[test]
fn all_waiting_threads_are_told_before_the_first_waker_is_called() {
    let (stage, release) = with_a_blocked_waker(threaded().journal(SimulatedDisk::new()));
    // A subscriber's waker that blocks, too: it hears of each batch that is written.
    let mut entries = stage.manager.subscribe(JournalPosition::default()).expect("all is there");
    let also = waker(|| thread::sleep(Duration::from_millis(400)));
    let polled = pin!(entries.next_entry()).as_mut().poll(&mut Context::from_waker(&also));
    assert!(polled.is_pending() || polled.is_ready());
    let told = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (flush, told) = (stage.manager.flush(), Arc::clone(&told));
            thread::spawn(move || {
                flush.wait_deadline(Instant::now() + SOON).expect("written");
                told.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    stage.control.recover();
    for thread in threads {
        thread.join().expect("told");
    }
    assert_eq!(told.load(Ordering::SeqCst), 8);
    drop(release);
}

#[test]
fn an_engine_without_threads_wakes_under_no_lock() {
    let builder = quiet(&clock()).journal(SimulatedDisk::new());
    let manager = builder.build().expect("legal settings");
    manager.flush().wait().expect("well");
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    while entries.try_next().expect("sound").is_some() {}
    within(SOON, move || {
        let (inside, (tell, told)) = (manager.clone(), channel());
        let calls = waker(move || {
            inside.sell(LAPTOPS, 1).expect("stock");
            let _ = tell.send((inside.flush().wait(), inside.journal_head().is_some()));
        });
        let polled = pin!(entries.next_entry()).as_mut().poll(&mut Context::from_waker(&calls));
        assert!(polled.is_pending());
        manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        manager.flush().wait().expect("well");
        assert_eq!(told.try_recv(), Ok((Ok(()), true)));
    });
}

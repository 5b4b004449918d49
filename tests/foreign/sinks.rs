//! Audit sinks, and the errors that they return.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use stockade::testing::{FaultySink, SimulatedDisk};
use stockade::{
    Applied, AuditBatch, AuditSink, Durability, FlushError, Health, InventoryManager, SinkError,
};

use crate::common::{LAPTOPS, clock, ledger, log_of, quiet, threaded, wait_for, within};
use crate::{Later, SOON, Unspeakable, is_degraded};

#[test]
fn a_sink_that_panics_gets_the_same_batch_again() {
    for builder in [threaded(), threaded().journal(SimulatedDisk::new())] {
        within(SOON, move || {
            let (sink, control) = FaultySink::new();
            let manager = builder.sink(sink).build().expect("legal settings");
            manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
            manager.flush().wait().expect("a healthy sink");
            control.panic("the disk is on fire");
            let flush = {
                manager.sell(LAPTOPS, 1).expect("stock");
                manager.flush()
            };
            match flush.wait() {
                Err(FlushError::Stopped { reason }) => {
                    assert!(reason.contains("on fire"), "{reason}")
                }
                other => panic!("{other:?}"),
            }
            let refused = manager.sell(LAPTOPS, 1).expect_err("stopped");
            assert!(
                matches!(&manager.health(), Health::Stopped { reason } if reason.contains("fire"))
            );
            let refused = stockade::Error::from(refused);
            assert!(refused.is_retryable() && refused.applied() == Applied::No, "{refused}");
            control.recover();
            wait_for(SOON, "well again", || manager.health() == Health::Ok);
            manager.sell(LAPTOPS, 1).expect("stock");
            manager.flush().wait().expect("a healthy sink");
            let log = log_of(&manager);
            ledger::assert_legal(&log).assert_ends_as(&manager);
            let counts = control.counts();
            assert_eq!((counts.accepted_entries, counts.out_of_order), (log.len() as u64, 0));
            assert!(manager.shutdown(SOON).is_clean());
        });
    }
}

/// Counts the batches that have nothing in them.
struct Empties(Arc<AtomicU64>);

impl AuditSink for Empties {
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
        self.0.fetch_add(u64::from(batch.is_empty()), Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_sink_is_not_called_for_nothing() {
    for builder in [threaded(), quiet(&clock())] {
        let empties = Arc::default();
        let manager = builder.sink(Empties(Arc::clone(&empties))).build().expect("legal settings");
        for _ in 0..3 {
            manager.flush().wait().expect("a healthy sink");
            manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
            manager.flush().wait().expect("a healthy sink");
        }
        assert!(manager.shutdown(SOON).is_clean());
        assert_eq!(empties.load(Ordering::Relaxed), 0);
    }
}

struct Refuses(Arc<AtomicU64>);

impl AuditSink for Refuses {
    fn append(&mut self, _: &AuditBatch<'_>) -> Result<(), SinkError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            1 => Err(SinkError::new(Unspeakable)),
            _ => Ok(()),
        }
    }
}

#[test]
fn an_error_whose_text_panics_is_an_error_all_the_same() {
    let calls = Arc::new(AtomicU64::new(0));
    let manager = threaded().sink(Refuses(Arc::clone(&calls))).build().expect("legal settings");
    manager.flush().wait().expect("the first batch is taken");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    wait_for(SOON, "called again", || calls.load(Ordering::SeqCst) >= 3);
    wait_for(SOON, "well again", || manager.health() == Health::Ok);
    within(SOON, move || manager.flush().wait().expect("well"));
}

/// Calls the engine from within.
struct Reenters {
    engine: Later,
    tell: Sender<(bool, FlushError)>,
}

impl AuditSink for Reenters {
    fn append(&mut self, _: &AuditBatch<'_>) -> Result<(), SinkError> {
        if let Some(manager) = self.engine.take() {
            let read = manager.available(LAPTOPS).is_ok() && manager.health() == Health::Ok;
            let flushed = manager.flush().wait().expect_err("it would wait for itself");
            let synced = manager.request().durability(Durability::Synced).sell(LAPTOPS, 1);
            let synced = stockade::Error::from(synced.expect_err("it would wait for itself"));
            assert_eq!(synced.applied(), Applied::InMemory, "{synced}");
            let _ = self.tell.send((read, flushed));
        }
        Ok(())
    }
}

fn with_reentering_sink(
    builder: stockade::Builder,
) -> (InventoryManager, Receiver<(bool, FlushError)>) {
    let engine = Later::default();
    let (tell, told) = channel();
    let sink = Reenters { engine: engine.clone(), tell };
    let manager = builder.sink(sink).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("well");
    engine.set(&manager);
    (manager, told)
}

#[test]
fn a_sink_that_flushes_is_told_that_it_would_wait_for_itself() {
    for builder in [threaded(), threaded().journal(SimulatedDisk::new()), quiet(&clock())] {
        let (manager, told) = with_reentering_sink(builder);
        let again = manager.clone();
        within(SOON, move || {
            again.sell(LAPTOPS, 1).expect("stock");
            again.flush().wait().expect("well");
        });
        let (read, flushed) = told.recv_timeout(SOON).expect("called");
        assert!(read);
        assert_eq!(flushed.code(), "flush_in_sink");
        within(SOON, move || {
            manager.flush().wait().expect("well");
            let log = log_of(&manager);
            ledger::assert_legal(&log).assert_ends_as(&manager);
        });
    }
}

/// Sells until it is refused.
struct Floods {
    engine: Later,
    tell: Sender<stockade::Error>,
}

impl AuditSink for Floods {
    fn append(&mut self, _: &AuditBatch<'_>) -> Result<(), SinkError> {
        if let Some(manager) = self.engine.take() {
            let refused = loop {
                if let Err(error) = manager.add_stock(LAPTOPS, 1, "SINK") {
                    break error;
                }
            };
            let _ = self.tell.send(refused.into());
        }
        Ok(())
    }
}

#[test]
fn a_sink_that_fills_the_queue_is_busy_and_does_not_wait_for_itself() {
    let engine = Later::default();
    let (tell, told) = channel();
    let sink = Floods { engine: engine.clone(), tell };
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("well");
    engine.set(&manager);
    manager.sell(LAPTOPS, 1).expect("stock");
    let refused = told.recv_timeout(SOON).expect("refused, and not waiting");
    assert_eq!((refused.code(), refused.applied()), ("busy", Applied::No));
    within(SOON, move || manager.flush().wait().expect("well"));
}

#[test]
fn a_sink_that_blocks_shows_in_health() {
    let (sink, control) = FaultySink::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.flush().wait().expect("well");
    control.stall();
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    wait_for(SOON, "degraded", || is_degraded(&manager, "sink"));
    manager.sell(LAPTOPS, 1).expect("buyers go on");
    control.recover();
    wait_for(SOON, "well again", || manager.health() == Health::Ok);
}

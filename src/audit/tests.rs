//! Tests of the audit floor as a whole: many callers, one writer, and sinks that fail, stall or
//! panic.

mod broken;
mod drawn;
mod looking;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::entry::{AdjustmentType, AuditEntry, EventType};
use crate::audit::faulty::{FaultControl, FaultySink};
use crate::audit::gate::Shut;
use crate::audit::log::AuditFilter;
use crate::audit::pairs::Pairs;
use crate::audit::queue::{Backpressure, NotAdmitted};
use crate::audit::record::{PlainEntry, Subject};
use crate::audit::recorder::{POOLED, Recorder, RecorderSettings};
use crate::audit::short_record::Extras;
use crate::audit::sink::{AuditBatch, AuditSink, SinkError};
use crate::audit::view::Names;
use crate::audit::wake_signal::WriterGone;
use crate::audit::writer::{Turn, Writer};
use crate::audit::writer_seat::WriterSeat;
use crate::audit::writer_thread::WriterThread;
use crate::base::clock::Timestamp;
use crate::base::error::FlushError;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// Two warehouses, any number of products. Level 2p is product p in SF, level 2p + 1 is product p
/// in NYC.
struct TwoWarehouses;

impl Names for TwoWarehouses {
    fn level(&self, level: LevelIndex) -> Option<(WarehouseIndex, ProductIndex)> {
        Some((WarehouseIndex((level.0 % 2) as u16), ProductIndex(level.0 / 2)))
    }

    fn warehouse_name(&self, warehouse: WarehouseIndex) -> Option<Arc<str>> {
        ["SF", "NYC"].get(warehouse.index()).map(|&name| name.into())
    }

    fn product_name(&self, product: ProductIndex) -> Option<Arc<str>> {
        Some(format!("P{}", product.0).into())
    }

    fn warehouse_index(&self, name: &str) -> Option<WarehouseIndex> {
        ["SF", "NYC"]
            .iter()
            .position(|&known| known == name)
            .map(|index| WarehouseIndex(index as u16))
    }

    fn product_index(&self, name: &str) -> Option<ProductIndex> {
        name.strip_prefix('P')?.parse().ok().map(ProductIndex)
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn id(born: u64) -> ReservationId {
    ReservationId::new(at(born), 7, born)
}

fn received(level: u32, quantity: u32) -> PlainEntry {
    PlainEntry::new(AdjustmentType::Received, at(u64::from(quantity)), LevelIndex(level), quantity)
}

fn open(settings: RecorderSettings) -> (Arc<Recorder>, Writer) {
    Recorder::open(settings, Arc::new(TwoWarehouses))
}

fn spawn(settings: RecorderSettings) -> (Arc<Recorder>, WriterThread) {
    let (recorder, writer) = open(settings);
    (recorder, Arc::new(WriterSeat::new(writer)).spawn().expect("a thread"))
}

fn faulty(settings: RecorderSettings) -> (RecorderSettings, FaultControl) {
    let (sink, control) = FaultySink::new();
    (RecorderSettings { sink: Some(Box::new(sink)), ..settings }, control)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn all(recorder: &Recorder) -> Vec<AuditEntry> {
    recorder.log().query(&AuditFilter::new().limit(usize::MAX)).entries
}

/// Starts `threads` callers. Each records the quantities 1, 2, 3 ... on a level of its own. Returns
/// how many each caller queued before it was refused.
fn produce(recorder: &Arc<Recorder>, threads: u32, each: u32) -> Vec<u32> {
    let callers: Vec<_> = (0..threads)
        .map(|level| {
            let recorder = Arc::clone(recorder);
            thread::spawn(move || {
                (1..=each)
                    .take_while(|&quantity| {
                        let admitted = recorder.admit().is_ok();
                        // Every third operation is a basket of two lines.
                        admitted
                            && if quantity % 3 == 0 {
                                let mut buffer = recorder.buffer();
                                for _ in 0..2 {
                                    let subject = Subject::Level(LevelIndex(level));
                                    buffer.line(AdjustmentType::Received, subject, quantity, None);
                                }
                                recorder.record_all(buffer).is_ok()
                            } else {
                                recorder.record(received(level, quantity)).is_ok()
                            }
                    })
                    .count() as u32
            })
        })
        .collect();
    callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
}

/// Asserts that sequence numbers run from 1 without gaps, and that each caller's quantities are
/// there once and in order, as many as `queued` says.
fn assert_whole(entries: &[AuditEntry], queued: &[u32]) {
    let mut last: HashMap<String, Vec<u32>> = HashMap::new();
    for (entry, expected) in entries.iter().zip(1..) {
        assert_eq!(entry.sequence, expected, "gap-free");
        let (warehouse, product) = (entry.warehouse.as_deref(), entry.product.as_deref());
        let level = format!("{}{}", warehouse.expect("known"), product.expect("known"));
        last.entry(level).or_default().push(entry.quantity);
    }
    for (level, &count) in queued.iter().enumerate() {
        let expected: Vec<u32> = (1..=count)
            .flat_map(|quantity| vec![quantity; if quantity % 3 == 0 { 2 } else { 1 }])
            .collect();
        let name = format!("{}P{}", ["SF", "NYC"][level % 2], level / 2);
        assert_eq!(last.remove(&name).unwrap_or_default(), expected, "each once, in order");
    }
    assert!(last.is_empty());
}

#[test]
fn many_callers_get_gap_free_numbers_in_the_order_of_their_calls() {
    for capacity in [16, 65_536] {
        let (settings, control) =
            faulty(RecorderSettings { capacity, ..RecorderSettings::default() });
        let (recorder, mut thread) = spawn(settings);
        let queued = produce(&recorder, 4, 5_000);
        assert_eq!(queued, [5_000; 4]);
        recorder.flush().wait().expect("written");
        assert_whole(&all(&recorder), &queued);
        let counts = control.counts();
        assert_eq!(
            (counts.accepted_entries, counts.out_of_order),
            (all(&recorder).len() as u64, 0)
        );
        assert_eq!(thread.end(soon()), 0);
    }
}

#[test]
fn the_log_keeps_exactly_the_newest_entries_and_says_how_many_left() {
    for retained in [0, 1, 5, 1_500, 5_000] {
        let (recorder, mut writer) =
            open(RecorderSettings { retained, ..RecorderSettings::default() });
        for quantity in 1..=4_000 {
            recorder.record(received(0, quantity)).expect("the writer lives");
        }
        assert_eq!(writer.turn(true), Turn::Wrote);
        assert_eq!(writer.turn(true), Turn::Idle);
        let shown = retained.min(4_000);
        let page = recorder.log().query(&AuditFilter::new().limit(10_000));
        let sequences: Vec<u64> = page.entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (4_001 - shown..=4_000).collect::<Vec<_>>());
        assert_eq!((recorder.log().len(), recorder.log().evicted()), (shown, 4_000 - shown));
        assert_eq!(page.left, 4_000 - shown);
        assert_eq!(page.oldest_sequence, (shown > 0).then_some(4_001 - shown));
    }
}

#[test]
fn a_stalled_sink_makes_callers_wait_or_refuses_them_and_loses_nothing() {
    for backpressure in [Backpressure::Wait, Backpressure::Refuse] {
        let settings =
            RecorderSettings { capacity: 64, backpressure, ..RecorderSettings::default() };
        let (settings, control) = faulty(settings);
        let (recorder, mut thread) = spawn(settings);
        control.stall();
        recorder.record(received(0, 1)).expect("lives");
        control.wait_until_stalled();
        let producing = thread::spawn({
            let recorder = Arc::clone(&recorder);
            move || produce(&recorder, 2, 1_000)
        });
        let queued = if backpressure == Backpressure::Wait {
            while recorder.waits().waited < 2 {
                thread::yield_now();
            }
            assert!(!producing.is_finished());
            control.recover();
            producing.join().expect("no panic")
        } else {
            let queued = producing.join().expect("no panic");
            assert_eq!(recorder.admit(), Err(NotAdmitted::Busy));
            assert!(recorder.queue.len() >= 48);
            control.recover();
            queued
        };
        recorder.flush().wait().expect("written");
        assert_whole(&without_the_first(all(&recorder)), &queued);
        assert_eq!(thread.end(soon()), 0);
    }
}

fn without_the_first(mut entries: Vec<AuditEntry>) -> Vec<AuditEntry> {
    entries.remove(0);
    entries.iter_mut().for_each(|entry| entry.sequence -= 1);
    entries
}

#[test]
fn a_failing_sink_stops_64_callers_and_nothing_is_lost_or_written_twice() {
    let (settings, control) =
        faulty(RecorderSettings { capacity: 256, ..RecorderSettings::default() });
    let (recorder, mut thread) = spawn(settings);
    let producing = thread::spawn({
        let recorder = Arc::clone(&recorder);
        move || produce(&recorder, 64, u32::MAX)
    });
    while recorder.log().len() < 10_000 {
        thread::yield_now();
    }
    control.fail("disk full");
    let queued = producing.join().expect("nobody hangs");
    let stopped = Shut::Stopped { reason: "disk full".into() };
    assert_eq!(recorder.admit(), Err(NotAdmitted::Shut(stopped)));
    let refused = FlushError::Stopped { reason: "disk full".into() };
    assert_eq!(recorder.flush().wait(), Err(refused));
    // Operations under way still find room, even for far more records than the queue's capacity.
    for quantity in 1..=1_000 {
        recorder.record(received(1_000, quantity)).expect("lives");
    }
    control.recover();
    while recorder.admit().is_err() {
        thread::yield_now();
    }
    recorder.flush().wait().expect("written");
    let mut entries = all(&recorder);
    let late = entries.split_off(entries.len() - 1_000);
    assert!(late.iter().map(|entry| entry.quantity).eq(1..=1_000));
    assert_whole(&entries, &queued);
    assert_eq!(control.counts().out_of_order, 0);
    assert_eq!(control.counts().accepted_entries, recorder.log().newest_sequence());
    assert_eq!(thread.end(soon()), 0);
}

#[test]
fn a_refused_batch_is_handed_over_again_unchanged() {
    struct Moody(Arc<Mutex<Vec<(u64, usize)>>>);
    impl AuditSink for Moody {
        fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
            let mut calls = self.0.lock().expect("no panic");
            calls.push((batch.first_sequence(), batch.len()));
            if calls.len() <= 2 { Err(SinkError::new("not now")) } else { Ok(()) }
        }
    }
    let calls = Arc::new(Mutex::new(Vec::new()));
    let sink: Box<dyn AuditSink> = Box::new(Moody(Arc::clone(&calls)));
    let (recorder, mut writer) =
        open(RecorderSettings { sink: Some(sink), ..RecorderSettings::default() });
    let queue = |count: u32| {
        (0..count).for_each(|_| recorder.record(received(0, 1)).expect("lives"));
    };
    queue(3);
    assert_eq!(writer.turn(true), Turn::Failing);
    assert_eq!(recorder.log().len(), 0, "not shown before the sink took it");
    let refused = FlushError::Stopped { reason: "not now".into() };
    assert_eq!(recorder.flush().wait_deadline(Instant::now()), Err(refused), "at once");
    queue(2);
    assert_eq!(writer.turn(false), Turn::Failing);
    assert_eq!(recorder.unwritten(), 5);
    assert_eq!(writer.turn(true), Turn::Failing);
    assert_eq!(writer.turn(true), Turn::Wrote);
    assert_eq!(*calls.lock().expect("no panic"), [(1, 3), (1, 3), (1, 3), (4, 2)]);
    assert_eq!((recorder.log().len(), recorder.unwritten()), (5, 0));
    assert_eq!(recorder.admit(), Ok(()));
}

#[test]
fn one_turn_takes_as_many_buffers_as_the_pool_has_and_all_plain_entries_at_once() {
    struct Sizes(Arc<Mutex<Vec<usize>>>);
    impl AuditSink for Sizes {
        fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
            self.0.lock().expect("no panic").push(batch.len());
            Ok(())
        }
    }
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let sink: Box<dyn AuditSink> = Box::new(Sizes(Arc::clone(&sizes)));
    let (recorder, mut writer) =
        open(RecorderSettings { sink: Some(sink), ..RecorderSettings::default() });
    assert!(recorder.queue.make_rows());
    let mut order = Pairs::new();
    order.push("order", "17");
    let noted = Extras::new(None, &order, &[]).expect("short");
    let entry = |quantity| received(0, quantity);
    (0..20_000).for_each(|_| recorder.record(entry(1)).expect("lives"));
    (0..20_000).for_each(|_| recorder.record_short(entry(2), &noted).expect("lives"));
    let flush = recorder.flush();
    assert_eq!(writer.turn(false), Turn::Wrote);
    assert_eq!(flush.wait(), Ok(()));
    let rest = 20_000 - 2 * POOLED;
    assert_eq!(*sizes.lock().expect("no panic"), [20_000 + POOLED, POOLED, rest]);
    assert_eq!(writer.turn(false), Turn::Idle);
}

#[test]
fn a_flush_ends_when_the_sink_took_what_was_queued_before_and_no_sooner() {
    let (settings, control) = faulty(RecorderSettings::default());
    let (recorder, _thread) = spawn(settings);
    control.stall();
    recorder.record(received(0, 1)).expect("lives");
    control.wait_until_stalled();
    recorder.record(received(0, 2)).expect("lives");
    let flush = recorder.flush();
    let impatient = recorder.flush();
    let in_a_moment = Instant::now() + Duration::from_millis(20);
    assert_eq!(impatient.wait_deadline(in_a_moment), Err(FlushError::TimedOut));
    control.recover();
    assert_eq!(flush.wait(), Ok(()));
    assert_eq!(control.counts().accepted_entries, 2);
    assert_eq!(recorder.log().len(), 2);
}

#[test]
fn an_end_writes_what_is_queued_and_says_what_it_could_not() {
    let (recorder, mut thread) = spawn(RecorderSettings::default());
    (1..=100).for_each(|quantity| recorder.record(received(0, quantity)).expect("lives"));
    recorder.gate().close();
    assert_eq!(thread.end(soon()), 0);
    assert_eq!(recorder.log().len(), 100);
    assert_eq!(recorder.record(received(0, 1)), Err(WriterGone));
    assert_eq!(recorder.flush().wait(), Err(FlushError::Closed));

    for stall in [true, false] {
        let (settings, control) = faulty(RecorderSettings::default());
        let (recorder, mut thread) = spawn(settings);
        if stall {
            control.stall()
        } else {
            control.fail("disk full")
        }
        (1..=100).for_each(|quantity| recorder.record(received(0, quantity)).expect("lives"));
        let begun = Instant::now();
        assert_eq!(thread.end(begun + Duration::from_millis(30)), 100);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_writer_without_a_thread_takes_the_last_items_as_it_ends() {
    let (recorder, mut writer) = open(RecorderSettings::default());
    (1..=3).for_each(|quantity| recorder.record(received(0, quantity)).expect("lives"));
    writer.end();
    assert_eq!((recorder.log().len(), recorder.unwritten()), (3, 0));
    assert_eq!(writer.turn(true), Turn::Over);
    assert_eq!(recorder.admit(), Err(NotAdmitted::Shut(Shut::Closed)));
}

#[test]
fn a_writer_that_sleeps_for_good_is_woken_by_a_push() {
    let (recorder, _thread) = spawn(RecorderSettings::default());
    let begun = Instant::now();
    while !format!("{:?}", recorder.queue.wake_signal()).contains("Parked") {
        assert!(begun.elapsed() < Duration::from_secs(20), "an idle writer parks");
        thread::sleep(Duration::from_millis(10));
    }
    recorder.record(received(0, 1)).expect("lives");
    while recorder.log().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the push wakes it");
        thread::yield_now();
    }
}

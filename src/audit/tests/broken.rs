//! A writer that dies of a bug of the engine's own. No sink and no storage can do that.

use std::io;
use std::sync::Arc;

use super::{open, produce, received, soon};
use crate::audit::durable_sink::{DurableSink, SharedSync, WriteOutcome};
use crate::audit::flush::FlushTicket;
use crate::audit::gate::Shut;
use crate::audit::queue::NotAdmitted;
use crate::audit::record::Record;
use crate::audit::recorder::{Recorder, RecorderSettings};
use crate::audit::view::Names;
use crate::audit::wake_signal::WriterGone;
use crate::audit::writer_seat::WriterSeat;
use crate::base::error::FlushError;
use crate::base::sync::{AtomicBool, Ordering};

/// What is written is on the disk.
struct NoDisk;

impl SharedSync for NoDisk {
    fn announce(&self) {}

    fn sync_announced(&self, freed: &mut dyn FnMut()) {
        freed();
    }
}

/// A journal whose encoder has a bug.
struct BrokenJournal(Arc<AtomicBool>);

impl DurableSink for BrokenJournal {
    fn next_sequence(&self) -> u64 {
        1
    }

    fn spawn(&self) -> io::Result<()> {
        Ok(())
    }

    fn take(&mut self, _: &[Record], _: &dyn Names) {
        assert!(!self.0.load(Ordering::SeqCst), "boom");
    }

    fn write(&mut self) -> io::Result<WriteOutcome> {
        Ok(WriteOutcome::Appended)
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn rotate_if_asked(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn when_durable(&self, tickets: &[Arc<FlushTicket>]) {
        tickets.iter().for_each(|ticket| ticket.complete(Ok(())));
    }

    fn when_synced(&self, tickets: &[Arc<FlushTicket>]) {
        self.when_durable(tickets);
    }

    fn shared_sync(&self) -> Arc<dyn SharedSync> {
        Arc::new(NoDisk)
    }

    fn sync_now(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_panics_poisons_the_engine_and_nobody_hangs() {
    let broken = Arc::new(AtomicBool::new(false));
    let settings = RecorderSettings { capacity: 64, ..RecorderSettings::default() };
    let (recorder, mut writer) = open(settings);
    writer.attach(Box::new(BrokenJournal(Arc::clone(&broken))));
    let mut thread = Arc::new(WriterSeat::new(writer)).spawn().expect("a thread");
    recorder.record(received(0, 1)).expect("lives");
    recorder.flush().wait().expect("written");
    broken.store(true, Ordering::SeqCst);
    produce(&recorder, 8, u32::MAX);
    let reason: Arc<str> = "the audit writer panicked".into();
    let poisoned = Shut::Poisoned { reason: Arc::clone(&reason) };
    assert_eq!(recorder.admit(), Err(NotAdmitted::Shut(poisoned)));
    assert_eq!(recorder.flush().wait(), Err(FlushError::Poisoned { reason }));
    assert!(recorder.wait_for_end(soon()));
    for _ in 0..100 {
        assert_eq!(recorder.record(received(0, 1)), Err(WriterGone));
    }
    assert_eq!(recorder.log().len(), 1);
    assert!(thread.end(soon()) > 0);
}

#[test]
fn a_flush_that_a_turn_has_taken_is_answered_where_the_turn_panics() {
    let settings = RecorderSettings { capacity: 64, ..RecorderSettings::default() };
    let (recorder, mut writer) = open(settings);
    writer.attach(Box::new(BrokenJournal(Arc::new(AtomicBool::new(true)))));
    recorder.record(received(0, 1)).expect("lives");
    let flush = recorder.flush();
    let turn = std::thread::spawn(move || writer.turn(true));
    let reason = "the audit writer panicked".into();
    assert_eq!(flush.wait_deadline(soon()), Err(FlushError::Poisoned { reason }));
    assert!(turn.join().is_err(), "it panics");
}

/// A seat that callers may lead, with one record queued.
fn seat(broken: bool) -> (Arc<Recorder>, Arc<WriterSeat>) {
    let settings = RecorderSettings { capacity: 64, ..RecorderSettings::default() };
    let (recorder, mut writer) = open(settings);
    writer.attach(Box::new(BrokenJournal(Arc::new(AtomicBool::new(broken)))));
    recorder.record(received(0, 1)).expect("lives");
    (recorder, Arc::new(WriterSeat::new(writer)))
}

#[test]
fn a_writer_that_panics_in_a_callers_turn_poisons_the_engine_and_not_the_caller() {
    let (recorder, seat) = seat(true);
    let flush = recorder.flush();
    let poisoned = FlushError::Poisoned { reason: "the audit writer panicked".into() };
    assert_eq!(seat.wait_until_durable(), Err(poisoned.clone()));
    assert_eq!(flush.wait(), Err(poisoned.clone()));
    assert_eq!(seat.wait_until_durable(), Err(poisoned));
    assert_eq!(recorder.record(received(0, 1)), Err(WriterGone));
}

#[test]
fn a_caller_that_unwinds_may_wait_for_the_disk() {
    /// Records and waits when it is dropped, as a guard of a user's does.
    struct Guard(Arc<Recorder>, Arc<WriterSeat>, Arc<AtomicBool>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let done = self.1.wait_until_durable() == Ok(()) && self.0.log().len() == 1;
            self.2.store(done, Ordering::SeqCst);
        }
    }
    let (recorder, seat) = seat(false);
    let done = Arc::new(AtomicBool::new(false));
    let guard = Guard(Arc::clone(&recorder), Arc::clone(&seat), Arc::clone(&done));
    let panicked = std::thread::spawn(move || {
        let _guard = guard;
        panic!("of the user");
    });
    assert!(panicked.join().is_err());
    assert!(done.load(Ordering::SeqCst), "its own panic says nothing about the writer");
    recorder.record(received(0, 1)).expect("the writer lives");
    assert_eq!(seat.wait_until_durable(), Ok(()));
}

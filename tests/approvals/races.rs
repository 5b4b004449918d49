//! Many threads request and decide at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use stockade::{
    AuditEntry, AuditFilter, EntryType, EventType, InventoryManager, NotOpen, TransferRequestId,
    TransferRequestStatus,
};

use crate::{NYC, SF, ask, ask_held, assert_counts, builder};

/// Replays the entries on the counts of both levels. Units must have been there before they are
/// taken.
fn replay(entries: &[AuditEntry]) -> [(i64, i64); 2] {
    let mut levels = [(0, 0); 2];
    for entry in entries.iter().filter(|entry| entry.is_movement()) {
        let level = &mut levels[usize::from(entry.warehouse.as_deref() == Some("NYC"))];
        let units = i64::from(entry.quantity);
        let (available, reserved) = match entry.entry_type.name() {
            "Received" | "TransferredIn" => (units, 0),
            "TransferredOut" => (-units, 0),
            "Reserved" => (-units, units),
            "Returned" => (units, -units),
            other => panic!("{other}"),
        };
        (level.0, level.1) = (level.0 + available, level.1 + reserved);
        assert!(level.0 >= 0 && level.1 >= 0, "{entry:?} takes what was not there");
    }
    levels
}

#[test]
fn of_eight_threads_that_decide_one_wins_and_units_move_once() {
    for _ in 0..5 {
        decide_in_eight_threads();
    }
}

/// Counts a thread as done even if it panics, so that the others do not wait for it.
struct EndOfRace<'a>(&'a AtomicUsize);

impl Drop for EndOfRace<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fetch_add(usize::MAX / 16, Ordering::SeqCst);
        }
    }
}

/// Eight threads decide on the same requests in the same order. Half approve, and half reject.
fn decide_in_eight_threads() {
    // At most as many as the engine keeps after they are decided.
    const REQUESTS: u32 = 900;
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
    let manager = builder.build().expect("a legal engine");
    manager.add_stock(SF, REQUESTS, "SUPPLIER").expect("room");
    let ask_either = |number: u32| if number.is_multiple_of(2) { ask } else { ask_held };
    let ids: Vec<_> = (0..REQUESTS).map(|number| ask_either(number)(&manager, 1)).collect();
    let done = AtomicUsize::new(0);
    let answers: Vec<Vec<Result<(), stockade::Error>>> = thread::scope(|scope| {
        let decide = |number: usize| {
            let (manager, done, ids) = (&manager, &done, &ids);
            let who = format!("thread {number}");
            scope.spawn(move || {
                let _others_go_on = EndOfRace(done);
                let decide = |(at, id): (usize, &TransferRequestId)| {
                    // Nobody is ahead of the others by a whole request.
                    done.fetch_add(1, Ordering::SeqCst);
                    while done.load(Ordering::SeqCst) < 8 * (at + 1) {
                        thread::yield_now();
                    }
                    match number % 2 {
                        0 => manager.approve_transfer(*id, &who).map_err(Into::into),
                        _ => manager.reject_transfer(*id, &who, "no").map_err(Into::into),
                    }
                };
                ids.iter().enumerate().map(decide).collect()
            })
        };
        let threads: Vec<_> = (0..8).map(decide).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut moved = 0;
    for (at, id) in ids.iter().enumerate() {
        let winners: Vec<_> = (0..8).filter(|thread| answers[*thread][at].is_ok()).collect();
        let [winner] = winners[..] else { panic!("{winners:?} have all decided on {id}") };
        let (status, lost) = if winner.is_multiple_of(2) {
            moved += 1;
            (TransferRequestStatus::Approved, NotOpen::Approved)
        } else {
            (TransferRequestStatus::Rejected, NotOpen::Rejected)
        };
        for answer in answers.iter().filter_map(|answers| answers[at].as_ref().err()) {
            let codes = [lost.code(), NotOpen::Deciding.code()];
            assert!(codes.contains(&answer.code()), "{answer}");
        }
        let request = manager.transfer_request(*id).expect("kept");
        assert_eq!(request.status, status);
        assert_eq!(&*request.decision.expect("final").by, format!("thread {winner}"));
    }
    assert_counts(&manager, (REQUESTS - moved, 0), (moved, 0));
    manager.flush().wait().expect("written");
    let entries = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    assert_eq!(replay(&entries), [(i64::from(REQUESTS - moved), 0), (i64::from(moved), 0)]);
    let decisions = EntryType::Event(EventType::TransferDecided);
    let decided = entries.iter().filter(|entry| entry.entry_type == decisions).count();
    assert_eq!(decided, ids.len());
}

#[test]
fn every_prefix_of_the_record_is_legal_while_threads_ask_and_decide() {
    let manager = builder().build().expect("a legal engine");
    // So few that the next one who takes them needs those that were just given.
    manager.add_stock(SF, 30, "SUPPLIER").expect("room");
    thread::scope(|scope| {
        for number in 0..4 {
            let manager = &manager;
            scope.spawn(move || {
                for round in 0..200_u32 {
                    let request = manager.request();
                    let (from, to) = if number % 2 == 0 { ("SF", "NYC") } else { ("NYC", "SF") };
                    let units = 1 + round % 30;
                    let asked = match round % 2 {
                        0 => request.hold_units().request_transfer(from, to, "LAPTOP", units),
                        _ => request.request_transfer(from, to, "LAPTOP", units),
                    };
                    let Ok(id) = asked else { continue };
                    let open = manager.transfer_requests();
                    let oldest = open.first().map_or(id, |request| request.id);
                    let decide = |id| match round % 3 {
                        0 => manager.reject_transfer(id, "mira", "no").is_ok(),
                        _ => manager.approve_transfer(id, "mira").is_ok(),
                    };
                    let _ = (decide(oldest), decide(id));
                }
            });
        }
    });
    for request in manager.transfer_requests() {
        manager.reject_transfer(request.id, "mira", "the end").expect("open");
    }
    manager.flush().wait().expect("written");
    let entries = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let mut requested = std::collections::HashSet::new();
    for entry in &entries {
        let id = entry.note("transferRequestId");
        match entry.entry_type {
            EntryType::Event(EventType::TransferRequested) => assert!(requested.insert(id)),
            EntryType::Event(EventType::TransferDecided) => assert!(requested.remove(&id)),
            _ => {}
        }
    }
    assert!(requested.is_empty(), "all were decided");
    let counts = [SF, NYC].map(|level| {
        let counts = manager.counts(level).expect("known");
        (i64::from(counts.available), i64::from(counts.reserved))
    });
    assert_eq!(replay(&entries), counts);
    assert_eq!(counts[0].0 + counts[1].0, 30);
}

//! Callers that wait for the disk at once: they share writes and syncs, nobody is left waiting, and
//! what a caller was told survives a power cut at that moment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shuttle::thread;
use stockade::testing::{SimulatedDisk, refuse_threads};
use stockade::{
    Durability, InventoryManager, JournalOptions, Limits, ManualClock, ReservationId, Timestamp,
};

use crate::rng::Rng;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn engine(disk: &SimulatedDisk) -> InventoryManager {
    let journal = JournalOptions::storage(disk.clone());
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let clock = ManualClock::at(Timestamp::from_millis(1_000));
    let limits = Limits::new().max_reservations(64).audit_queue(256);
    let builder = builder.without_threads().clock(clock).limits(limits);
    // A thread that reads ahead would be none of the model's.
    refuse_threads(0..usize::MAX, || builder.build()).0.expect("a sound journal")
}

/// Two or three callers, each with one or two sales that wait, among calls that do not.
pub(crate) fn play(seed: u64) {
    let disk = SimulatedDisk::new();
    let manager = engine(&disk);
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    let mut rng = Rng::new(seed, 98);
    let (threads, calls) = (2 + rng.below(2), 1 + rng.below(2));
    let told: Mutex<Vec<(ReservationId, SimulatedDisk)>> = Mutex::default();
    thread::scope(|scope| {
        for number in 0..threads {
            let (manager, disk, told) = (&manager, &disk, &told);
            let mut rng = Rng::new(seed, number as usize);
            scope.spawn(move || {
                for call in 0..calls {
                    if rng.below(4) == 0 {
                        let minute = Duration::from_secs(60);
                        manager.reserve(LAPTOPS, 1, minute).expect("in stock");
                    }
                    let sold = if rng.below(4) == 0 {
                        let sold = manager.sell(LAPTOPS, 1).expect("in stock");
                        manager.flush().wait().expect("a healthy disk");
                        sold
                    } else {
                        let request = manager.request().durability(Durability::Synced);
                        request.sell(LAPTOPS, 1).expect("in stock")
                    };
                    // What was told before lies before it in the journal.
                    if call + 1 == calls {
                        let image = disk.crash(disk.steps(), |_| false);
                        told.lock().unwrap_or_else(PoisonError::into_inner).push((sold, image));
                    }
                }
            });
        }
    });
    drop(manager);
    for (sold, image) in told.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let again = engine(&image);
        let found = again.reservation(sold).expect("it was told, and is lost");
        assert_eq!(found.units_sold(), 1);
    }
}

//! The seed inputs, and mutations of them.

use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, IdempotencyKey, InventoryManager, JournalOptions, Limits, ManualClock, Timestamp,
};

use super::seal::{File, JOINED, SEALED, input_of};
use super::story;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const MINUTE: Duration = Duration::from_secs(60);

/// A random number generator with a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

/// The input, with some bytes changed, removed, inserted, or copied from `other`.
pub(crate) fn changed(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..1 + random.below(6) {
        if input.is_empty() {
            input.push(random.below(256) as u8);
        }
        let at = random.below(input.len());
        match random.below(7) {
            0 | 1 => input[at] = random.below(256) as u8,
            2 => input[at] ^= 1 << random.below(8),
            3 => input.insert(at, random.below(256) as u8),
            4 => drop(input.remove(at)),
            5 => input.truncate(at),
            _ if other.is_empty() => {}
            _ => {
                let from = random.below(other.len());
                let to = (from + 1 + random.below(40)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    input
}

/// A journal of a real engine: every kind of record, two openings, several segments.
fn real(closed: bool, segment_bytes: u64) -> Vec<File> {
    let disk = SimulatedDisk::new();
    for opening in 0..2 {
        let clock = ManualClock::at(Timestamp::from_millis(story::NOW + opening));
        let journal = JournalOptions::storage(disk.clone()).segment_bytes(segment_bytes);
        let builder = InventoryManager::builder().journal(journal).without_threads();
        let builder = builder.warehouse("SF").warehouse("NYC").warehouse("LA");
        let builder = builder.clock(clock).seed(opening);
        let manager =
            builder.limits(Limits::new().max_reservations(1_024)).build().expect("a sound journal");
        work(&manager, opening);
        if opening == 1 && !closed {
            manager.run_until_idle();
            let files = files_of(&disk);
            drop(manager);
            return files;
        }
    }
    files_of(&disk)
}

fn work(manager: &InventoryManager, opening: u64) {
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, MINUTE).expect("stock");
    manager.extend(hold, 2 * MINUTE).expect("pending");
    let key = IdempotencyKey::try_from(&*format!("order {opening}")).expect("a legal key");
    manager.request().key(key).note("customer", "M. Curie").confirm(hold).expect("pending");
    manager.flush().wait().expect("written");
    manager.transfer("SF", "NYC", "LAPTOP", 9).expect("stock");
    let lines = [BasketLine::new(LAPTOPS, 2), BasketLine::new(("NYC", "LAPTOP"), 1)];
    let basket = manager.reserve_basket(&lines, MINUTE).expect("stock");
    manager.confirm_lines(basket, &[BasketLine::new(LAPTOPS, 1)]).expect("held");
    let request = manager.request().hold_units();
    let first = request.request_transfer("SF", "LA", "LAPTOP", 2).expect("stock");
    request.request_transfer("SF", "LA", "LAPTOP", 1).expect("stock");
    manager.approve_transfer(first, "CLERK").expect("it waits");
    manager.ship(LAPTOPS, 1).expect("sold");
    manager.set_threshold("SF", Some(3 + opening as u32)).expect("legal");
    let owned = manager.request().owner(stockade::Owner([7; 16]));
    let hold = owned.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    let _ = manager.release(hold).expect("pending");
    manager.flush().wait().expect("written");
    manager.remove_stock(LAPTOPS, 1, "dropped").expect("stock");
}

fn files_of(disk: &SimulatedDisk) -> Vec<File> {
    let mut files = Vec::new();
    for (name, bytes) in disk.files() {
        if let Some(number) = name.strip_suffix(".journal").and_then(|name| name.parse().ok()) {
            files.push(File { number, how: 0, bytes });
        }
    }
    files
}

/// The seed inputs of the target `bytes`, by name.
pub(crate) fn of_bytes() -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(1);
    let mut inputs = Vec::new();
    for (name, closed, segment) in
        [("closed", true, 1 << 20), ("open", false, 1 << 20), ("many-files", true, 500)]
    {
        for how in [0, SEALED, SEALED | JOINED] {
            let mut files = real(closed, segment);
            files.iter_mut().for_each(|file| file.how = how);
            inputs.push((format!("{name}-{how}"), input_of(&files)));
            let at = random.below(files.len());
            let bytes = &mut files[at].bytes;
            bytes.truncate(random.below(bytes.len()));
            inputs.push((format!("{name}-{how}-cut"), input_of(&files)));
            let mut files = real(closed, segment);
            files.iter_mut().for_each(|file| file.how = how);
            for file in &mut files {
                let at = random.below(file.bytes.len());
                file.bytes[at] ^= 1 << random.below(8);
            }
            inputs.push((format!("{name}-{how}-flipped"), input_of(&files)));
            files.remove(random.below(files.len()));
            inputs.push((format!("{name}-{how}-missing"), input_of(&files)));
        }
    }
    inputs.push(("nothing".to_owned(), Vec::new()));
    inputs
}

/// The seed inputs of the target `story`, by name.
pub(crate) fn of_stories() -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(2);
    let mut inputs = vec![("nothing".to_owned(), Vec::new())];
    for length in [8, 20, 60, 200, 400] {
        for number in 0..5 {
            let story = (0..length).map(|_| random.below(256) as u8).collect();
            inputs.push((format!("{length}-{number}"), story));
        }
    }
    inputs
}

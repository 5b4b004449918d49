//! Golden journals: every version of the format, in `tests/data/journals/`, stays readable for
//! ever.

use std::fs;
use std::path::Path;

use stockade::testing::SimulatedDisk;
use stockade::{IdempotencyKey, InventoryManager, JournalReader};

use crate::state::{MINUTE, engine_on, on};

const HEAD: &str = "HEAD";

fn golden(version: &str) -> (SimulatedDisk, String) {
    let folder = Path::new("tests/data/journals").join(version);
    let mut files = Vec::new();
    let mut head = String::new();
    for file in fs::read_dir(&folder).expect("a golden journal").flatten() {
        let name = file.file_name().into_string().expect("a plain name");
        let bytes = fs::read(file.path()).expect("a file");
        if name == HEAD {
            head = String::from_utf8(bytes).expect("text");
        } else {
            files.push((name, bytes));
        }
    }
    (SimulatedDisk::with_files(files), head.trim().to_owned())
}

#[test]
fn a_journal_of_version_1_is_read() {
    let (disk, head) = golden("v1");
    let expected = head.parse().expect("a hash");
    let verified = JournalReader::on(disk.clone()).verify(Some(expected)).expect("sound");
    assert!(verified.closed && verified.segments > 2, "{verified:?}");
    let manager = engine_on(&disk).build().expect("it is gone on with");
    let counts = manager.counts(("SF", "LAPTOP")).expect("known");
    assert_eq!((counts.available, counts.reserved, counts.sold), (75, 16, 13));
    assert_eq!(manager.transfer_requests().len(), 1);
    let key = IdempotencyKey::try_from("golden").expect("a legal key");
    let sale = manager.request().key(key).sell(("SF", "LAPTOP"), 3);
    assert_eq!(manager.reservation_by_key(&key).map(|it| it.id), Ok(sale.expect("a repeat")));
}

/// Writes the golden journal of the current version. Run it once for each version, and never again:
/// `cargo test --features testing --test journal golden -- --ignored`
#[test]
#[ignore = "makes a file that must never change"]
fn make_a_golden_journal() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).segment_bytes(600)).build().expect("a new journal");
    fill(&manager);
    drop(manager);
    let head = JournalReader::on(disk.clone()).verify(None).expect("sound").head;
    let folder = Path::new("tests/data/journals/v1");
    assert!(!folder.exists(), "it is there");
    fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in disk.files().into_iter().filter(|(name, _)| name.ends_with(".journal")) {
        fs::write(folder.join(name), bytes).expect("a file");
    }
    fs::write(folder.join(HEAD), format!("{head}\n")).expect("a file");
}

fn fill(manager: &InventoryManager) {
    let laptops = ("SF", "LAPTOP");
    manager.add_stock(laptops, 100, "SUPPLIER").expect("room");
    let key = IdempotencyKey::try_from("golden").expect("a legal key");
    manager.request().key(key).note("order", "A-1").sell(laptops, 3).expect("stock");
    for _ in 0..5 {
        let hold = manager.reserve(laptops, 2, 60 * MINUTE).expect("stock");
        manager.confirm(hold).expect("pending");
        manager.flush().wait().expect("written");
    }
    manager.reserve(laptops, 1, 600 * MINUTE).expect("stock");
    let request = manager.request().hold_units();
    request.request_transfer("SF", "NYC", "LAPTOP", 2).expect("stock");
    manager.transfer("SF", "LA", "LAPTOP", 9).expect("stock");
}

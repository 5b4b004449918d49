//! Notes can be erased, and nothing else changes.

use stockade::testing::SimulatedDisk;
use stockade::{AuditFilter, HeadHash, JournalError, JournalReader, redact};

use crate::state::{MINUTE, check_laws, counts, engine_on, pending};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn holds(disk: &SimulatedDisk, text: &str) -> bool {
    let bytes = text.as_bytes();
    disk.files().iter().any(|(_, file)| file.windows(bytes.len()).any(|part| part == bytes))
}

#[test]
fn what_was_erased_is_gone_and_all_else_is_as_it_was() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).segment_bytes(900).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    for customer in ["M. Curie", "L. Meitner", "E. Noether", "M. Curie"] {
        for _ in 0..4 {
            let request = manager.request().note("customer", customer);
            let hold = request.clone().reserve(LAPTOPS, 2, MINUTE).expect("stock");
            request.confirm_lines(hold, &[stockade::BasketLine::new(LAPTOPS, 1)]).expect("held");
        }
        manager.flush().wait().expect("on the disk");
    }
    // A tail that is given up bears such notes, too.
    manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
    disk.fail_appends(true);
    manager.run_until_idle();
    disk.fail_appends(false);
    manager.run_until_idle();
    manager.flush().wait().expect("on the disk");
    let before = (counts(&manager), pending(&manager));
    let refused = redact(&disk, |_| true).expect_err("an engine has it");
    assert_eq!(refused, JournalError::Locked);
    drop(manager);
    let head = JournalReader::on(disk.clone()).verify(None).expect("sound").head;
    assert!(holds(&disk, "M. Curie"));

    let redacted = redact(&disk, |entry| entry.note("customer") == Some("M. Curie"));
    assert_eq!(redacted.map(|it| it.records), Ok(17));
    assert!(!holds(&disk, "M. Curie"), "it is still there");
    assert!(holds(&disk, "L. Meitner") && holds(&disk, "SUPPLIER"));
    let verified = JournalReader::on(disk.clone()).verify(Some(HeadHash(head.hash)));
    let verified = verified.expect("sound");
    assert_eq!((verified.head, verified.erased, verified.closed), (head, 17, true));
    // Again: there is nothing left to do.
    let again = redact(&disk, |entry| entry.note("customer") == Some("M. Curie"));
    assert_eq!(again.map(|it| (it.records, it.segments)), Ok((0, 0)));

    // It is on the disk, not only in a cache.
    let image = disk.crash(disk.steps(), |_| false);
    let again = engine_on(&image).build().expect("a sound journal");
    check_laws(&again);
    assert_eq!((counts(&again), pending(&again)), before);
    let entries = again.audit().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let noted = entries.iter().filter(|entry| entry.note("customer").is_some());
    assert_eq!(noted.count(), 16, "the others'");
}

#[test]
fn a_crash_while_notes_are_erased_leaves_a_sound_journal() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).segment_bytes(700).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    for _ in 0..12 {
        manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
        manager.flush().wait().expect("on the disk");
    }
    drop(manager);
    let begun = disk.steps();
    redact(&disk, |_| true).expect("sound");
    for step in begun..=disk.steps() {
        for survive in [false, true] {
            let image = disk.crash(step, |_| survive);
            let verified = JournalReader::on(image.clone()).verify(None).expect("sound");
            assert!(verified.closed && verified.torn.is_none(), "step {step}");
            redact(&image, |_| true).expect("done again");
            assert!(!holds(&image, "M. Curie"), "step {step}");
        }
    }
}

//! Redaction of a closed journal: notes are erased, and nothing else changes.

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, HeadHash, InventoryManager, JournalError, JournalReader,
    JournalRetention, redact, redact_with_archive,
};

use crate::state::{MINUTE, check_laws, counts, engine_on, on, pending, small};
use crate::watched::Watched;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

pub(crate) fn holds(disk: &SimulatedDisk, text: &str) -> bool {
    let bytes = text.as_bytes();
    disk.files().iter().any(|(_, file)| file.windows(bytes.len()).any(|part| part == bytes))
}

/// Leaves a note of hers in a tail that recovery gives up: the disk fails while the tail is
/// written, and then recovers.
pub(crate) fn give_up_a_note(manager: &InventoryManager, disk: &SimulatedDisk) {
    manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
    disk.fail_appends(true);
    manager.run_until_idle();
    disk.fail_appends(false);
    manager.run_until_idle();
    manager.flush().wait().expect("on the disk");
}

#[test]
fn what_was_erased_is_gone_and_all_else_is_as_it_was() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).segment_bytes(900)).build().expect("a new journal");
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
    give_up_a_note(&manager, &disk);
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
    let entries = again.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let noted = entries.iter().filter(|entry| entry.note("customer").is_some());
    assert_eq!(noted.count(), 16, "the others'");
}

#[test]
fn a_crash_while_notes_are_erased_leaves_a_sound_journal() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).segment_bytes(700)).build().expect("a new journal");
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

/// Every place in which M. Curie is noted.
pub(crate) fn hers(entry: &AuditEntry) -> bool {
    entry.metadata().iter().any(|(_, value)| value == "M. Curie")
}

/// A journal with nearly all segments trimmed, and with notes and decisions in all parts of it.
fn trimmed(disk: &SimulatedDisk, keep: JournalRetention) {
    let journal = on(disk).segment_bytes(900).checkpoint_every(1).retention(keep);
    let builder = engine_on(journal).limits(small().audit_retained(8));
    let manager = builder.build().expect("a new journal");
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    for customer in ["M. Curie", "L. Meitner"].repeat(15) {
        manager.request().note("customer", customer).sell(LAPTOPS, 1).expect("stock");
        let id = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("pending");
        manager.reject_transfer(id, customer, "no room").expect("pending");
        manager.flush().wait().expect("on the disk");
        assert!(manager.verify().expect("sound").is_sound());
    }
    drop(manager);
}

#[test]
fn what_is_erased_is_gone_from_the_archive_and_from_checkpoints_too() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    trimmed(&disk, JournalRetention::archive_on(archive.clone()));
    assert!(holds(&disk, "M. Curie") && holds(&archive, "M. Curie"));
    // As a crash before the removal leaves it: some of them are in both places.
    let again = archive.files().into_iter().filter(|(name, _)| name.ends_with("2.journal"));
    let disk = SimulatedDisk::with_files(disk.files().into_iter().chain(again));
    let reader = |disk: &SimulatedDisk, archive: &SimulatedDisk| {
        JournalReader::on(disk.clone()).archive_on(archive.clone())
    };
    let head = reader(&disk, &archive).verify(None).expect("sound").head;
    let refused = redact(&disk, hers).expect_err("the archive would keep it");
    assert!(matches!(refused, JournalError::Trimmed { .. }), "{refused:?}");
    let (watched, moments) = Watched::all(&[disk.clone(), archive.clone()]);
    let [journal, old] = [0, 1].map(|index| watched[index].clone());
    let redacted = redact_with_archive(journal, old, hers).expect("sound");
    assert_eq!(redacted.records, 30);
    let check = |disk: &SimulatedDisk, archive: &SimulatedDisk, context: &str| {
        assert!(!holds(disk, "M. Curie") && !holds(archive, "M. Curie"), "{context}");
        let found = reader(disk, archive).verify(Some(HeadHash(head.hash)));
        let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!((found.oldest, found.erased), (1, 30), "{context}");
        assert!(JournalReader::on(disk.clone()).verify(None).is_ok(), "{context}");
        let manager =
            engine_on(disk.killed()).limits(small().audit_retained(8)).build().expect(context);
        assert_eq!(manager.sold(LAPTOPS).expect("known"), 30, "{context}");
    };
    check(&disk, &archive, "at once");
    assert!(holds(&archive, "L. Meitner") && holds(&disk, "L. Meitner"));
    // Wherever the power goes: done again, it is done.
    let moments = moments.lock().expect("no panic").clone();
    for (at, survive) in moments.iter().flat_map(|at| [(at, false), (at, true)]) {
        let context = format!("{at:?}, {survive}");
        let crash = |disk: &SimulatedDisk, step: usize| disk.crash(step, |_| survive);
        let (journal, old) = (crash(&disk, at[0]), crash(&archive, at[1]));
        assert!(JournalReader::on(journal.clone()).verify(None).is_ok(), "{context}");
        redact_with_archive(journal.clone(), old.clone(), hers).expect(&context);
        check(&journal, &old, &context);
    }
}

#[test]
fn what_is_erased_is_gone_where_the_segments_that_told_of_it_were_removed() {
    let disk = SimulatedDisk::new();
    trimmed(&disk, JournalRetention::remove());
    let head = JournalReader::on(disk.clone()).verify(None).expect("sound").head;
    let begun = disk.steps();
    assert!(redact(&disk, hers).expect("sound").records > 0);
    let check = |disk: &SimulatedDisk, context: &str| {
        assert!(!holds(disk, "M. Curie"), "{context}");
        let found = JournalReader::on(disk.clone()).verify(Some(HeadHash(head.hash)));
        assert!(found.is_ok(), "{context}: {found:?}");
        let manager =
            engine_on(disk.killed()).limits(small().audit_retained(8)).build().expect(context);
        assert_eq!(manager.sold(LAPTOPS).expect("known"), 30, "{context}");
    };
    check(&disk, "at once");
    for step in begun..=disk.steps() {
        for survive in [false, true] {
            let context = format!("step {step}, {survive}");
            let image = disk.crash(step, |_| survive);
            assert!(JournalReader::on(image.clone()).verify(None).is_ok(), "{context}");
            redact(&image, hers).expect(&context);
            check(&image, &context);
        }
    }
}

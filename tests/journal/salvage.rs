//! Salvage: a new journal of what is sound in a damaged one.

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, HeadHash, IdempotencyKey, InventoryManager, JournalError,
    JournalReader, SalvageReport,
};

use crate::damage::small_journal;
use crate::state::{MINUTE, check_laws, engine_on, on};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

type Files = Vec<(String, Vec<u8>)>;

fn entries(disk: &SimulatedDisk) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    let all = AuditFilter::new().limit(usize::MAX);
    JournalReader::on(disk.clone()).entries(&all, |it| entries.push(it)).expect("sound");
    entries
}

/// Salvages these files, and lets an engine go on with the new journal.
fn salvage(files: &Files, what: &str) -> Result<(SimulatedDisk, SalvageReport), JournalError> {
    let (new, report) = salvage_only(files, what)?;
    let copy = new.killed();
    let manager = engine_on(&copy).build().unwrap_or_else(|it| panic!("{what}: {it}"));
    assert_eq!(manager.recovery_report().map(|it| it.entries), Some(report.entries + 1));
    check_laws(&manager);
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    manager.sell(LAPTOPS, 1).expect("stock");
    drop(manager);
    JournalReader::on(copy).verify(None).unwrap_or_else(|it| panic!("{what}, gone on: {it}"));
    Ok((new, report))
}

/// Salvages these files. The new journal must be sound, and the old files as they were.
fn salvage_only(files: &Files, what: &str) -> Result<(SimulatedDisk, SalvageReport), JournalError> {
    let (damaged, new) = (SimulatedDisk::with_files(files.iter().cloned()), SimulatedDisk::new());
    let report = JournalReader::on(damaged.clone()).salvage_on(new.clone(), |_| {});
    assert!(damaged.files() == *files, "{what}: the damaged journal was written to");
    let report = report?;
    let verified = JournalReader::on(new.clone()).verify(None);
    let verified = verified.unwrap_or_else(|it| panic!("{what}: {it}"));
    assert_eq!((verified.entries, verified.head), (report.entries + 1, report.head), "{what}");
    Ok((new, report))
}

/// The salvaged entries must be the first of `all`, and the next entry say where they are from.
fn check_prefix(new: &SimulatedDisk, report: &SalvageReport, all: &[AuditEntry], what: &str) {
    let mut saved = entries(new);
    let origin = saved.pop().expect("an entry");
    assert!(origin.note("salvagedFrom").is_some_and(|it| it.len() == 32), "{what}");
    assert_eq!(origin.note("salvagedUpTo"), Some(&*report.entries.to_string()), "{what}");
    let oldest = report.oldest as usize;
    assert_eq!(saved, all[oldest - 1..report.entries as usize], "{what}");
}

/// Where each batch of a file begins, and the number of its first entry.
fn batches(bytes: &[u8]) -> Vec<(usize, u64)> {
    let field = |at: usize| u64::from_le_bytes(bytes[at + 32..at + 40].try_into().expect("8"));
    let ends = crate::crash::boundaries(bytes);
    let whole =
        ends.into_iter().filter(|at| bytes.get(*at..).is_some_and(|it| it.starts_with(b"SKB")));
    whole.map(|at| (at, field(at))).collect()
}

/// The last entry that no damage at `byte` of this file touches.
fn entry_before(bytes: &[u8], byte: usize) -> u64 {
    let all = batches(bytes);
    let base = u64::from_le_bytes(bytes[56..64].try_into().expect("8"));
    match all.iter().rposition(|(at, _)| *at <= byte) {
        None => base,
        Some(batch) => all[batch].1 - 1,
    }
}

#[test]
fn a_sound_journal_is_copied_whole_and_is_another_journal() {
    let files = small_journal(true);
    let disk = SimulatedDisk::with_files(files.iter().cloned());
    let (new, report) = salvage(&files, "sound").expect("all of it");
    let all = entries(&disk);
    check_prefix(&new, &report, &all, "sound");
    assert_eq!((report.entries, &report.first_bad), (all.len() as u64, &None));
    assert_eq!((report.lost_segments, report.lost_bytes, report.seen_batches), (0, 0, 0));
    // The chain goes on: a head that was noted earlier is found.
    let head = JournalReader::on(disk).verify(None).expect("sound").head;
    let found =
        JournalReader::on(new.clone()).verify(Some(HeadHash(head.hash))).expect("in the chain");
    assert_eq!(found.expected_at, Some(report.entries));
    // Another journal: its segments do not fit into the old one.
    let mut mixed = files;
    let last = mixed.len() - 1;
    mixed[last] = new.files()[last].clone();
    assert!(JournalReader::on(SimulatedDisk::with_files(mixed)).verify(None).is_err());
}

#[test]
fn whatever_byte_is_flipped_all_that_comes_before_its_batch_is_saved() {
    for closed in [true, false] {
        let files = small_journal(closed);
        let all = entries(&SimulatedDisk::with_files(files.iter().cloned()));
        for file in 0..files.len() {
            for byte in 0..files[file].1.len() {
                let what = format!("byte {byte} of {}", files[file].0);
                let mut flipped = files.clone();
                flipped[file].1[byte] ^= 1 << (byte % 8);
                let expected = entry_before(&files[file].1, byte);
                // An engine takes its time.
                let salvaged = match byte % 16 {
                    0 => salvage(&flipped, &what),
                    _ => salvage_only(&flipped, &what),
                };
                match salvaged {
                    Ok((new, report)) => {
                        check_prefix(&new, &report, &all, &what);
                        assert_eq!(report.entries, expected, "{what}");
                        assert!(report.first_bad.is_some(), "{what}");
                        // The newest segment may hold the closing batch alone.
                        let is_late = file + 2 >= files.len();
                        assert!(is_late || report.newest_seen.is_some(), "{what}");
                    }
                    Err(JournalError::Damaged { .. }) => assert_eq!(expected, 0, "{what}"),
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_journal_that_is_cut_anywhere_or_lacks_a_segment_gives_what_came_before() {
    let files = small_journal(true);
    let all = entries(&SimulatedDisk::with_files(files.iter().cloned()));
    for file in 0..files.len() {
        for (end, _) in batches(&files[file].1) {
            for end in [end, end + 50, end + 110] {
                let what = format!("{end} bytes of {}", files[file].0);
                let mut cut = files.clone();
                cut[file].1.truncate(end);
                match salvage(&cut, &what) {
                    Ok((new, report)) => {
                        check_prefix(&new, &report, &all, &what);
                        assert_eq!(report.entries, entry_before(&files[file].1, end), "{what}");
                    }
                    Err(error) => assert!(file == 0 && end < 300, "{what}: {error}"),
                }
            }
        }
        let what = format!("without {}", files[file].0);
        let mut fewer = files.clone();
        fewer.remove(file);
        match salvage(&fewer, &what) {
            Ok((new, report)) => {
                check_prefix(&new, &report, &all, &what);
                assert_eq!(report.entries, entry_before(&files[file].1, 0), "{what}");
            }
            Err(error) => assert_eq!(file, 0, "{what}: {error}"),
        }
    }
}

#[test]
fn batches_behind_the_damage_are_shown_and_not_saved() {
    let mut files = small_journal(true);
    let all = entries(&SimulatedDisk::with_files(files.iter().cloned()));
    let (second, _) = batches(&files[0].1)[1];
    files[0].1[second + 120] ^= 1;
    let lost = entry_before(&files[0].1, second);
    let (damaged, new) = (SimulatedDisk::with_files(files.iter().cloned()), SimulatedDisk::new());
    let mut seen = Vec::new();
    let report = JournalReader::on(damaged)
        .salvage_on(new, |it| seen.extend(it.entries.iter().map(|it| it.sequence)))
        .expect("what came before");
    assert_eq!(report.entries, lost);
    assert_eq!(report.seen_entries, seen.len() as u64);
    assert_eq!(report.newest_seen, Some(all.len() as u64));
    assert!(seen.is_sorted() && !seen.is_empty() && seen[0] > lost + 1);
    assert_eq!(report.lost_segments, files.len());
    assert!(matches!(report.first_bad, Some(JournalError::Damaged { .. })));
}

#[test]
fn notes_keys_and_holds_are_there_and_erased_notes_stay_erased() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    let curie = manager.request().note("customer", "M. Curie");
    curie.sell(("SF", "LAPTOP"), 1).expect("stock");
    let noether = manager.request().note("customer", "E. Noether");
    let hold = noether.reserve(("SF", "LAPTOP"), 2, MINUTE).expect("stock");
    let key = IdempotencyKey::try_from("order-1").expect("a key");
    let keyed = |manager: &InventoryManager| {
        manager.request().key(key).sell(("SF", "LAPTOP"), 3).expect("stock")
    };
    let answer = keyed(&manager);
    drop(manager);
    stockade::redact(&disk, |it| it.note("customer") == Some("M. Curie")).expect("sound");
    let (new, report) = salvage(&disk.files(), "redacted").expect("sound");
    assert_eq!(report.first_bad, None);
    assert_eq!(JournalReader::on(new.clone()).verify(None).expect("sound").erased, 1);
    let notes: Vec<_> =
        entries(&new).iter().filter_map(|it| it.note("customer").map(str::to_owned)).collect();
    assert_eq!(notes, ["E. Noether"]);
    let manager = engine_on(&new).build().expect("sound");
    assert_eq!(keyed(&manager), answer, "the answer of the first call");
    assert_eq!(manager.sold(("SF", "LAPTOP")).expect("known"), 4);
    manager.confirm(hold).expect("still held");
}

#[test]
fn a_place_that_is_not_empty_is_refused_and_so_is_the_journal_itself() {
    let files = small_journal(true);
    let disk = SimulatedDisk::with_files(files.iter().cloned());
    let mut reader = JournalReader::on(disk.clone());
    let itself = reader.salvage_on(disk.clone(), |_| {});
    assert!(matches!(itself, Err(JournalError::Storage { .. })), "{itself:?}");
    assert_eq!(disk.files(), files);
    let other = SimulatedDisk::with_files([("notes.txt".to_owned(), vec![1])]);
    let refused = reader.salvage_on(other.clone(), |_| {});
    assert!(matches!(refused, Err(JournalError::Storage { .. })), "{refused:?}");
    assert_eq!(other.files().len(), 1);
    let nothing = JournalReader::on(SimulatedDisk::new()).salvage_on(SimulatedDisk::new(), |_| {});
    assert_eq!(nothing, Err(JournalError::NoJournal));
    reader.verify(None).expect("as it was");
    drop(engine_on(on(&disk)).build().expect("no lock is left"));
}

#[test]
fn a_power_cut_while_it_is_written_leaves_no_journal_that_merely_ends_early() {
    let files = small_journal(true);
    let new = SimulatedDisk::new();
    let source = JournalReader::on(SimulatedDisk::with_files(files));
    let report = source.salvage_on(new.clone(), |_| {}).expect("sound");
    for step in 0..new.steps() {
        for most in [2, 3, 9] {
            let cut = new.crash(step, |piece| (piece + step) % most != 0);
            match JournalReader::on(cut).verify(None) {
                Ok(found) => assert_eq!(found.entries, report.entries + 1, "step {step}"),
                Err(error) => assert!(
                    matches!(error.error, JournalError::Damaged { .. } | JournalError::NoJournal),
                    "step {step}: {error}"
                ),
            }
        }
    }
}

/// Joins these batches to a journal of one segment, all checksums and hashes right.
fn sealed(header: &[u8], batches: &[Vec<u8>]) -> Files {
    let mut file = header[..136].to_vec();
    let (mut before, mut sequence) = ([0; 32], 1_u64);
    for (number, batch) in (1_u64..).zip(batches) {
        let mut batch = batch.clone();
        let records = u32::from_le_bytes(batch[4..8].try_into().expect("4")) as usize;
        let entries = u32::from_le_bytes(batch[12..16].try_into().expect("4"));
        batch[20] = 0;
        batch[24..32].copy_from_slice(&number.to_le_bytes());
        batch[32..40].copy_from_slice(&sequence.to_le_bytes());
        batch[40..48].copy_from_slice(&(number - 1).to_le_bytes());
        let sum = xxhash_rust::xxh3::xxh3_64(&batch[104..]);
        batch[56..64].copy_from_slice(&sum.to_le_bytes());
        let mut chain = blake3::Hasher::new();
        chain.update(&before).update(&batch[24..40]).update(&batch[12..20]);
        chain.update(&batch[48..56]).update(&[0]);
        chain.update(blake3::hash(&batch[104..104 + records]).as_bytes());
        before = *chain.finalize().as_bytes();
        batch[64..96].copy_from_slice(&before);
        let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&batch[..96], 1);
        batch[96..104].copy_from_slice(&sum.to_le_bytes());
        file.extend(batch);
        sequence += u64::from(entries);
    }
    vec![("0000000001.journal".to_owned(), file)]
}

/// A journal in pieces: its header, and its batches. One batch of each of `steps`.
fn pieces(steps: &[&dyn Fn(&InventoryManager)]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.run_until_idle();
    for step in steps {
        step(&manager);
        manager.run_until_idle();
    }
    let bytes = disk.files().swap_remove(0).1;
    drop(manager);
    let ends = crate::crash::boundaries(&bytes);
    (bytes.clone(), ends.windows(2).map(|it| bytes[it[0]..it[1]].to_vec()).collect())
}

#[test]
fn a_journal_that_breaks_a_law_in_the_midst_of_a_batch_is_saved_up_to_that_record() {
    let (header, mut batches) = pieces(&[
        &|it| drop(it.add_stock(LAPTOPS, 10, "SUPPLIER")),
        &|it| {
            let noted = it.request().note("customer", "M. Curie");
            noted.add_stock(LAPTOPS, 2, "SUPPLIER").expect("room");
            it.sell(LAPTOPS, 1).expect("stock");
        },
        &|it| drop(it.remove_stock(LAPTOPS, 1, "dropped")),
    ]);
    let files = sealed(&header, &batches);
    let whole = salvage(&files, "sealed anew").expect("sound").1;
    assert_eq!(whole.first_bad, None);
    // The sale happens a second time, and stands behind a delivery that is legal.
    batches.insert(batches.len() - 1, batches[batches.len() - 2].clone());
    let files = sealed(&header, &batches);
    let (new, report) = salvage(&files, "a sale twice").expect("what came before");
    let Some(JournalError::BrokenLaw { sequence, .. }) = report.first_bad else {
        panic!("{report:?}")
    };
    assert_eq!(report.entries, sequence - 1);
    let saved = entries(&new);
    let noted = |it: &&AuditEntry| it.note("customer") == Some("M. Curie") && it.quantity == 2;
    assert_eq!(saved.iter().filter(noted).count(), 2, "the delivery is legal a second time");
    let rows = JournalReader::on(new).stock(None).expect("sound").rows;
    assert_eq!((rows[0].available + rows[0].reserved, rows[0].sold), (14, 1));
    assert_eq!(report.newest_seen.map(|it| it > sequence), Some(true));
}

#[test]
fn a_journal_whose_totals_are_wrong_at_the_end_is_saved_up_to_where_they_are_right() {
    let (header, mut batches) = pieces(&[
        &|it| drop(it.add_stock(LAPTOPS, 10, "SUPPLIER")),
        &|it| drop(it.sell(LAPTOPS, 1)),
        &|it| drop(it.add_stock(("SF", "LAPTOQ"), 10, "SUPPLIER")),
        &|it| drop(it.sell(LAPTOPS, 1)),
    ]);
    for batch in &mut batches {
        while let Some(at) = batch.windows(6).position(|it| it == b"LAPTOQ") {
            batch[at + 5] = b'P';
        }
    }
    let files = sealed(&header, &batches);
    let (new, report) = salvage(&files, "a product twice").expect("what came before");
    assert!(matches!(report.first_bad, Some(JournalError::BrokenLaw { .. })), "{report:?}");
    let rows = JournalReader::on(new).stock(None).expect("sound").rows;
    assert_eq!((rows.len(), rows[0].available, rows[0].sold), (1, 9, 1));
}

#[test]
fn a_trimmed_journal_begins_with_a_checkpoint_and_any_damage_leaves_some_of_it() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    crate::retention::archived(&disk, &archive, 100, true);
    let files = disk.files();
    let mut all = Vec::new();
    let filter = AuditFilter::new().limit(usize::MAX);
    let mut whole = JournalReader::on(disk).archive_on(archive.killed());
    whole.entries(&filter, |it| all.push(it)).expect("sound");
    let (new, report) = salvage(&files, "trimmed").expect("sound");
    check_prefix(&new, &report, &all, "trimmed");
    assert!(report.begun_after.is_some() && report.oldest > 1);
    assert_eq!((report.entries, &report.first_bad), (all.len() as u64, &None));
    for file in 0..files.len() {
        let kept = files[file].0.ends_with(".journal");
        for byte in (0..files[file].1.len()).step_by(if kept { 37 } else { 211 }) {
            let what = format!("byte {byte} of {}", files[file].0);
            let mut flipped = files.clone();
            flipped[file].1[byte] ^= 4;
            let (new, report) =
                salvage(&flipped, &what).unwrap_or_else(|it| panic!("{what}: {it}"));
            check_prefix(&new, &report, &all, &what);
            if !kept {
                assert_eq!(report.entries, all.len() as u64, "{what}");
            }
        }
        let what = format!("without {}", files[file].0);
        let mut fewer = files.clone();
        fewer.remove(file);
        let (new, report) = salvage(&fewer, &what).unwrap_or_else(|it| panic!("{what}: {it}"));
        check_prefix(&new, &report, &all, &what);
    }
}

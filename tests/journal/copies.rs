//! Copies of a journal's files that were not made by `backup`: by a program that copies one file
//! after the other while the engine runs, or from an archive. What the copy lacks was never in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use stockade::testing::SimulatedDisk;
use stockade::{
    BuildError, Durability, InventoryManager, JournalError, JournalOptions, JournalReader,
    PlacePart, Storage, StorageFile, StorageIdentity, redact,
};

use crate::crash::boundaries;
use crate::disks::Scratch;
use crate::pass_on::pass_on;
use crate::state::{check_laws, engine_on, on};

type Files = Vec<(String, Vec<u8>)>;

const PLACE: (&str, &str) = ("SF", "LAPTOP");
const MARKS: &str = "synced";

/// A disk with two openings of one journal, many syncs and several segments.
fn history() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for ends_well in [true, false] {
        let journal = on(&disk).segment_bytes(1_500).sync_interval(Duration::from_secs(3_600));
        let manager = engine_on(journal).build().expect("a sound journal");
        for sale in 0..12 {
            manager.add_stock(PLACE, 5, "SUPPLIER").expect("room");
            manager.sell(PLACE, 1).expect("stock");
            manager.run_until_idle();
            if sale % 3 != 2 {
                manager.flush().wait().expect("written");
            }
        }
        if ends_well {
            drop(manager);
        } else {
            std::mem::forget(manager);
        }
    }
    disk
}

/// The files as they were at each moment at which a copying program may have looked.
fn moments(disk: &SimulatedDisk) -> Vec<BTreeMap<String, Vec<u8>>> {
    let at = |step| disk.crash(step, |_| true).files().into_iter().collect();
    (0..=disk.steps()).map(at).collect()
}

/// What an engine on these files shows: units sold, and the entries; or why there is none.
fn opened(files: Files) -> Result<(u32, u64), JournalError> {
    let manager = match engine_on(SimulatedDisk::with_files(files)).build() {
        Err(BuildError::Journal(error)) => return Err(error),
        manager => manager.expect("only the journal may be wrong"),
    };
    check_laws(&manager);
    let entries = manager.recovery_report().expect("a journal").entries;
    Ok((manager.sold(PLACE).unwrap_or_default(), entries))
}

fn without_marks(files: &Files) -> Files {
    files.iter().filter(|(name, _)| name != MARKS).cloned().collect()
}

fn verified(files: Files) -> Result<(), JournalError> {
    let verified = JournalReader::on(SimulatedDisk::with_files(files)).verify(None);
    verified.map(drop).map_err(JournalError::from)
}

#[test]
fn marks_that_are_newer_than_the_segments_take_nothing_away_from_a_copy() {
    let moments = moments(&history());
    let mut newer = 0;
    for (at, segments) in moments.iter().enumerate() {
        let plain: Files = segments.clone().into_iter().filter(|it| it.0 != MARKS).collect();
        let expected = opened(plain.clone());
        // Every later moment with other marks.
        let mut marks: Vec<_> = moments[at..].iter().filter_map(|it| it.get(MARKS)).collect();
        marks.dedup();
        for marks in marks.into_iter().step_by(3) {
            let mut copy = plain.clone();
            copy.push((MARKS.to_owned(), marks.clone()));
            assert_eq!(opened(copy.clone()), expected, "at step {at}");
            if expected.is_ok() && !plain.is_empty() {
                let sound = verified(copy);
                assert!(
                    matches!(sound, Ok(()) | Err(JournalError::NoJournal)),
                    "at step {at}: {sound:?}"
                );
                newer += 1;
            }
        }
    }
    assert!(newer > 300, "{newer} copies");
}

#[test]
fn a_copy_in_any_order_of_files_opens_as_it_does_without_the_marks() {
    let moments = moments(&history());
    let names: Vec<String> = moments.iter().flat_map(BTreeMap::keys).cloned().collect();
    let mut names: Vec<String> = names.into_iter().filter(|name| !name.ends_with(".new")).collect();
    names.sort_unstable();
    names.dedup();
    let (mut opens, mut refused) = (0, 0);
    for seed in 0..800 {
        let mut random = StdRng::seed_from_u64(seed);
        names.shuffle(&mut random);
        // One file after the other, in a span of the journal's life that is short or long.
        let span = 1 << random.random_range(2..8);
        let begin = random.random_range(0..moments.len());
        let mut looks: Vec<usize> =
            names.iter().map(|_| begin + random.random_range(0..span)).collect();
        looks.sort_unstable();
        let copied = names.iter().zip(looks).filter_map(|(name, look)| {
            let bytes = moments[look.min(moments.len() - 1)].get(name)?;
            Some((name.clone(), bytes.clone()))
        });
        let copy: Files = copied.collect();
        let expected = opened(without_marks(&copy));
        opens += u32::from(expected.is_ok());
        refused += u32::from(expected.is_err());
        // Marks may tell that noise is no lost segment. Else they change nothing.
        if expected.is_ok() {
            assert_eq!(opened(copy), expected, "seed {seed}");
        }
    }
    assert!(opens > 200 && refused > 0, "{opens} open, {refused} do not");
}

/// A journal as a kill left it after some sales that were synced.
fn killed() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).durability(Durability::Synced).build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    for _ in 0..3 {
        manager.request().note("customer", "M. Curie").sell(PLACE, 1).expect("stock");
        manager.flush().wait().expect("written");
    }
    let killed = disk.killed();
    drop(manager);
    killed
}

#[test]
fn a_bit_that_flips_in_a_copy_is_told_and_a_missing_end_only_in_the_original() {
    let killed = killed();
    let files = killed.files();
    let last = files.iter().rposition(|(name, _)| name.ends_with(".journal")).expect("a segment");
    let ends = boundaries(&files[last].1);
    for byte in ends[ends.len() - 2]..files[last].1.len() {
        let (mut flipped, mut cut) = (files.clone(), files.clone());
        flipped[last].1[byte] ^= 1 << (byte % 8);
        cut[last].1.truncate(byte);
        let is_damage = |found| matches!(found, Err(JournalError::Damaged { .. }));
        assert!(is_damage(opened(flipped).map(drop)), "byte {byte} flipped");
        let original = engine_on(killed.with_changed(cut.clone())).build().map(drop);
        assert!(
            matches!(original, Err(BuildError::Journal(JournalError::Damaged { .. }))),
            "the original, cut to {byte} bytes"
        );
        // The copying program may have looked before the rest was written.
        assert_eq!(opened(cut).map(|it| it.0), Ok(2), "a copy, cut to {byte} bytes");
    }
}

#[test]
fn a_salvage_says_nothing_of_what_a_copy_never_had() {
    let killed = killed();
    let mut files = killed.files();
    let last = files.iter().rposition(|(name, _)| name.ends_with(".journal")).expect("a segment");
    let ends = boundaries(&files[last].1);
    files[last].1.truncate(ends[ends.len() - 2]);
    for (disk, is_known) in
        [(killed.with_changed(files.clone()), true), (SimulatedDisk::with_files(files), false)]
    {
        let saved = JournalReader::on(disk).salvage_on(SimulatedDisk::new(), |_| {});
        let saved = saved.expect("most is sound");
        assert_eq!(saved.first_bad.is_some(), is_known, "{:?}", saved.first_bad);
    }
}

#[test]
fn marks_are_true_or_ignored_after_notes_were_erased() {
    let killed = killed();
    let redacted = redact(&killed, |entry| entry.note("customer").is_some());
    assert_eq!(redacted.expect("a sound journal").records, 3);
    // The segment is shorter now than its mark says.
    for disk in [killed.killed(), SimulatedDisk::with_files(killed.files())] {
        let manager = engine_on(&disk).build().expect("sound");
        assert_eq!(manager.sold(PLACE).expect("known"), 3);
        assert!(manager.recovery_report().expect("a journal").torn.is_none());
    }
    // In the original, the mark still knows of the newest batch.
    let mut files = killed.files();
    let last = files.iter().rposition(|(name, _)| name.ends_with(".journal")).expect("a segment");
    let end = files[last].1.len();
    files[last].1[end - 1] ^= 1;
    let damaged = engine_on(killed.with_changed(files)).build().map(drop);
    assert!(matches!(damaged, Err(BuildError::Journal(JournalError::Damaged { .. }))));
}

/// What happens once, at some call of the storage.
type Happens = Box<dyn FnOnce() + Send>;

/// A disk on which something happens just before the marks are read.
struct BeforeMarks {
    disk: SimulatedDisk,
    happens: Arc<Mutex<Option<Happens>>>,
}

impl Storage for BeforeMarks {
    pass_on!(disk: lock list create rename remove truncate sync_directory identity);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if name == MARKS {
            let happens = self.happens.lock().expect("no panic").take();
            happens.into_iter().for_each(|happens| happens());
        }
        self.disk.read(name, offset, length)
    }
}

#[test]
fn a_running_engine_erases_though_later_sales_are_synced_meanwhile() {
    let happens = Arc::default();
    let disk = BeforeMarks { disk: SimulatedDisk::new(), happens: Arc::clone(&happens) };
    let builder = InventoryManager::builder().warehouse("SF");
    let builder = builder.journal(JournalOptions::storage(disk)).durability(Durability::Synced);
    let manager = builder.build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    manager.request().note("customer", "M. Curie").sell(PLACE, 1).expect("stock");
    let seller = manager.clone();
    *happens.lock().expect("no panic") = Some(Box::new(move || {
        seller.sell(PLACE, 1).expect("stock");
    }));
    let erased = manager.redact(|entry| entry.note("customer").is_some());
    assert_eq!(erased.expect("a sound journal").records, 1);
    assert_eq!(manager.sold(PLACE).expect("known"), 2, "it happened meanwhile");
}

/// Copies the files of a directory, one after the other, in this order.
fn copy(from: &Path, to: &Path, names: &[String]) {
    fs::create_dir_all(to).expect("a directory");
    for name in names {
        let _ = fs::copy(from.join(name), to.join(name));
    }
}

#[test]
fn a_directory_that_is_copied_and_put_back_while_the_engine_writes_opens() {
    let scratch = Scratch::new("copied");
    let (own, copied) = (scratch.join("own"), scratch.join("copy"));
    let builder = InventoryManager::builder().warehouse("SF").journal(&own);
    let manager = builder.durability(Durability::Synced).build().expect("a new journal");
    manager.add_stock(PLACE, 100_000, "SUPPLIER").expect("room");
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                manager.sell(PLACE, 1).expect("stock");
            }
        });
        for round in 0..20 {
            let sold = manager.sold(PLACE).expect("known");
            // The marks last: they know of sales that the copied segment lacks.
            let mut names = vec!["0000000001.journal".to_owned(), MARKS.to_owned()];
            if round % 2 == 1 {
                names.reverse();
            }
            copy(&own, &copied, &names);
            let copy = InventoryManager::builder().warehouse("SF").journal(&copied).build();
            let copy = copy.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(copy.sold(PLACE).expect("known") + 1 >= sold, "round {round}");
            drop(copy);
            fs::remove_dir_all(&copied).expect("a directory");
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // Put back where the original was, by which files may get the numbers of those removed.
    let names = ["0000000001.journal".to_owned(), MARKS.to_owned()];
    copy(&own, &copied, &names);
    drop(manager);
    for _ in 0..10 {
        let mut shorter = fs::read(copied.join(&names[0])).expect("a segment");
        let ends = boundaries(&shorter);
        shorter.truncate(ends[ends.len() - 2]);
        fs::remove_dir_all(&own).expect("a directory");
        copy(&copied, &own, &names);
        fs::write(own.join(&names[0]), shorter).expect("room");
        let back = InventoryManager::builder().warehouse("SF").journal(&own).build();
        drop(back.expect("a copy that lacks its end"));
    }
}

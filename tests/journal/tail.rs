//! The tail of a journal: what a kill, a crash or a stranger's hand left behind its last batch.

use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BuildError, Durability, InventoryManager, JournalError, JournalReader, RecoveryReport,
};

use crate::crash::boundaries;
use crate::state::{check_laws, engine_on, on};

type Files = Vec<(String, Vec<u8>)>;

const PLACE: (&str, &str) = ("SF", "LAPTOP");

/// A journal as a kill left it after `sales` sales, each of which was answered once it was synced.
fn killed_after(sales: usize) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let builder = InventoryManager::builder().warehouse("SF").journal(disk.clone());
    let manager = builder.durability(Durability::Synced).build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    for _ in 0..sales {
        manager.sell(PLACE, 1).expect("stock");
    }
    let killed = disk.killed();
    drop(manager);
    killed
}

fn open(disk: &SimulatedDisk) -> Result<InventoryManager, JournalError> {
    engine_on(disk).build().map_err(|error| match error {
        BuildError::Journal(error) => error,
        other => panic!("{other}"),
    })
}

/// The index of the newest segment.
fn newest(files: &Files) -> usize {
    files.iter().rposition(|(name, _)| name.ends_with(".journal")).expect("a segment")
}

fn is_damage<T>(result: Result<T, JournalError>) -> bool {
    matches!(result, Err(JournalError::Damaged { .. }))
}

fn report(manager: &InventoryManager) -> &RecoveryReport {
    manager.recovery_report().expect("a journal")
}

#[test]
fn no_flipped_bit_in_a_synced_sale_goes_unseen_after_a_kill() {
    for sales in 0..4 {
        let files = killed_after(sales).files();
        let whole = open(&SimulatedDisk::with_files(files.clone())).expect("sound as it is");
        assert_eq!(whole.sold(PLACE).expect("known"), sales as u32);
        let last = newest(&files);
        let ends = boundaries(&files[last].1);
        let begin = ends[ends.len() - 2];
        for byte in begin..files[last].1.len() {
            for bit in 0..8 {
                let mut flipped = files.clone();
                flipped[last].1[byte] ^= 1 << bit;
                let disk = SimulatedDisk::with_files(flipped);
                assert!(is_damage(open(&disk)), "{sales} sales, bit {bit} of byte {byte}");
            }
        }
    }
}

#[test]
fn no_synced_sale_that_is_cut_off_or_zeroed_goes_unseen_after_a_kill() {
    let killed = killed_after(3);
    let files = killed.files();
    let last = newest(&files);
    for end in 0..files[last].1.len() {
        let (mut cut, mut zeroed) = (files.clone(), files.clone());
        cut[last].1.truncate(end);
        zeroed[last].1[end..].fill(0);
        for (files, what) in [(cut, "cut off"), (zeroed, "zeroed")] {
            let disk = killed.with_changed(files);
            let verified = JournalReader::on(disk.clone()).verify(None);
            let found = verified.map_err(JournalError::from);
            assert!(is_damage(found), "{what} from byte {end} on: verified");
            assert!(is_damage(open(&disk)), "{what} from byte {end} on");
        }
    }
    let mut without = files.clone();
    without.remove(last);
    assert!(is_damage(open(&killed.with_changed(without))), "the segment is missing");
}

#[test]
fn what_no_sync_has_answered_may_be_torn_after_a_kill() {
    let disk = SimulatedDisk::new();
    // So that nothing syncs but what asks for it.
    let journal = on(&disk).sync_interval(Duration::from_secs(3_600));
    let manager = engine_on(journal).build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let synced = disk.files();
    manager.sell(PLACE, 1).expect("stock");
    manager.run_until_idle();
    let files = disk.files();
    drop(manager);
    let last = newest(&files);
    for byte in synced[newest(&synced)].1.len()..files[last].1.len() {
        let mut flipped = files.clone();
        flipped[last].1[byte] ^= 1;
        let manager = open(&SimulatedDisk::with_files(flipped)).expect("a torn tail");
        assert!(report(&manager).torn.is_some(), "byte {byte}");
        assert_eq!(manager.available(PLACE).expect("known"), 100);
    }
}

/// A journal that was closed in good order.
fn closed() -> Files {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    manager.sell(PLACE, 3).expect("stock");
    drop(manager);
    disk.files()
}

#[test]
fn noise_behind_a_whole_close_is_cut_and_told_and_the_journal_goes_on() {
    let files = closed();
    let last = newest(&files);
    let whole = files[last].1.clone();
    let copy_of_batches = whole[136..].to_vec();
    let noises: [&[u8]; 6] = [&[0], &[0; 4_096], b"S", &[7; 700], &whole, &copy_of_batches];
    for noise in noises {
        let mut longer = files.clone();
        longer[last].1.extend_from_slice(noise);
        let disk = SimulatedDisk::with_files(longer);
        for verified in [
            JournalReader::on(disk.clone()).verify(None),
            JournalReader::on(disk.clone()).verify_checksums(None),
        ] {
            let found = verified.map(drop).map_err(JournalError::from);
            assert!(is_damage(found), "{} bytes: verified", noise.len());
        }
        let manager = open(&disk).unwrap_or_else(|it| panic!("{} bytes: {it}", noise.len()));
        let stray = report(&manager).stray.first().expect("told");
        assert_eq!((&stray.file, stray.offset), (&files[last].0, whole.len() as u64));
        assert_eq!(stray.length, noise.len() as u64);
        assert!(report(&manager).closed && report(&manager).torn.is_none());
        assert_eq!(manager.sold(PLACE).expect("known"), 3);
        manager.sell(PLACE, 1).expect("stock");
        drop(manager);
        let cut = disk.files().swap_remove(last).1;
        assert_eq!(cut, whole, "{} bytes are cut", noise.len());
        JournalReader::on(disk.clone()).verify(None).expect("sound once it is cut");
        let manager = open(&disk).expect("sound");
        assert_eq!(manager.sold(PLACE).expect("known"), 4);
        assert!(report(&manager).stray.is_empty());
        check_laws(&manager);
    }
}

#[test]
fn noise_that_knows_of_more_than_the_closed_journal_has_is_damage() {
    let files = closed();
    let last = newest(&files);
    // The batches of another journal's segment of the same number, more of them.
    let longer = killed_after(30).files();
    let other = &longer[newest(&longer)].1;
    let ends = boundaries(other);
    let later = &other[ends[ends.len() - 2]..];
    let another_close = {
        let disk = SimulatedDisk::new();
        drop(engine_on(&disk).build().expect("a new journal"));
        let files = disk.files();
        let bytes = &files[newest(&files)].1;
        bytes[bytes.len() - 32..].to_vec()
    };
    for noise in [later, &[&[0; 99], later].concat(), &another_close] {
        let mut broken = files.clone();
        broken[last].1.extend_from_slice(noise);
        assert!(is_damage(open(&SimulatedDisk::with_files(broken))));
    }
}

#[test]
fn noise_behind_what_counts_of_an_older_segment_is_cut_and_no_damage() {
    let disk = SimulatedDisk::with_files(closed());
    drop(open(&disk).expect("sound"));
    let files = disk.files();
    for noise in [vec![0], vec![7; 700], files[0].1.clone()] {
        let mut longer = files.clone();
        longer[0].1.extend_from_slice(&noise);
        let disk = SimulatedDisk::with_files(longer);
        let verified = JournalReader::on(disk.clone()).verify(None).expect("sound");
        assert_eq!(verified.given_up, noise.len() as u64);
        let manager = open(&disk).expect("sound");
        assert_eq!(manager.sold(PLACE).expect("known"), 3);
        drop(manager);
        assert_eq!(disk.files()[0], files[0], "cut");
    }
}

#[test]
fn noise_with_the_name_of_a_later_segment_is_removed_and_told() {
    let files = closed();
    let noise: Vec<u8> = (0..9_000_u32).map(|it| (it * it % 251) as u8).collect();
    let (begun, first) = (files[newest(&files)].1.clone(), b"STKJRNL\n".to_vec());
    let noises = [
        vec![],
        vec![0],
        vec![0; 5_000],
        b"seventeen bytes..".to_vec(),
        noise[..700].to_vec(),
        noise,
        // What begins as a segment, and an older segment's batches: their checksums say where they
        // belong.
        first,
        begun[1..].to_vec(),
    ];
    for bytes in noises {
        for name in ["0000000002.journal", "0000000900.journal"] {
            let stray = (name.to_owned(), bytes.clone());
            let disk = SimulatedDisk::with_files(files.iter().cloned().chain([stray]));
            let verified = JournalReader::on(disk.clone()).verify(None);
            assert!(is_damage(verified.map_err(JournalError::from)), "verified with {name}");
            let manager = open(&disk).unwrap_or_else(|it| panic!("{name}: {it}"));
            let stray = report(&manager).stray.first().expect("told");
            assert_eq!((&*stray.file, stray.offset), (name, 0));
            assert_eq!(stray.length, bytes.len() as u64);
            assert_eq!(manager.sold(PLACE).expect("known"), 3);
            drop(manager);
            assert!(disk.files().iter().all(|(it, _)| it != name), "{name} is still there");
            JournalReader::on(disk).verify(None).expect("sound once it is gone");
        }
    }
}

#[test]
fn a_closed_segment_that_was_lost_is_no_noise() {
    let disk = SimulatedDisk::with_files(closed());
    drop(open(&disk).expect("sound"));
    let files = disk.files();
    let last = newest(&files);
    for bytes in [vec![], vec![0; files[last].1.len()], vec![7; files[last].1.len()]] {
        let mut lost = files.clone();
        lost[last].1 = bytes;
        assert!(is_damage(open(&SimulatedDisk::with_files(lost))));
    }
}

/// The marks of the opening before are all that is left of the marks.
#[test]
fn a_later_segment_of_which_anything_is_left_is_no_noise() {
    let before = closed();
    let marks = before.iter().find(|(name, _)| name == "synced").expect("marks").clone();
    let disk = SimulatedDisk::with_files(before);
    let manager = open(&disk).expect("sound");
    let begun = disk.files();
    let last = newest(&begun);
    let empty = begun[last].1.len();
    manager.sell(PLACE, 1).expect("stock");
    manager.flush().wait().expect("written");
    let mut files = disk.killed().files();
    drop(manager);
    for file in &mut files {
        if file.0 == marks.0 {
            *file = marks.clone();
        }
    }
    for byte in 0..empty {
        let mut broken = files.clone();
        broken[last].1[byte] ^= 1;
        let opened = open(&SimulatedDisk::with_files(broken));
        assert!(opened.is_err(), "byte {byte} of the header");
    }
}

#[test]
fn whatever_is_wrong_with_the_sync_marks_a_sound_journal_opens() {
    let files = killed_after(3).files();
    let marks = files.iter().position(|(name, _)| name == "synced").expect("marks");
    let opens = |files: Files, what: &str| {
        let disk = SimulatedDisk::with_files(files);
        let manager = open(&disk).unwrap_or_else(|it| panic!("{what}: {it}"));
        assert_eq!(manager.sold(PLACE).expect("known"), 3, "{what}");
        assert!(report(&manager).torn.is_none(), "{what}");
    };
    for byte in 0..files[marks].1.len() {
        let (mut flipped, mut cut) = (files.clone(), files.clone());
        flipped[marks].1[byte] ^= 1 << (byte % 8);
        cut[marks].1.truncate(byte);
        opens(flipped, &format!("byte {byte} flipped"));
        opens(cut, &format!("cut to {byte} bytes"));
    }
    let mut other = files.clone();
    other[marks].1 = killed_after(30).files()[marks].1.clone();
    opens(other, "another journal's marks");
    let mut without = files.clone();
    without.remove(marks);
    opens(without, "no marks");
}

#[test]
fn what_an_opening_wrote_again_is_known_to_be_on_the_disk_after_the_next_kill() {
    let disk = SimulatedDisk::new();
    let journal = on(&disk).sync_interval(Duration::from_secs(3_600));
    let manager = engine_on(journal).build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    manager.sell(PLACE, 3).expect("stock");
    manager.run_until_idle();
    let killed = disk.killed();
    drop(manager);
    // Its batches are cut off the old segment. So they lie in the new one alone.
    let manager = open(&killed).expect("sound");
    assert!(report(&manager).rewritten > 0);
    let files = killed.files();
    drop(manager);
    let last = newest(&files);
    for byte in 0..files[last].1.len() {
        let mut flipped = files.clone();
        flipped[last].1[byte] ^= 1 << (byte % 8);
        assert!(is_damage(open(&SimulatedDisk::with_files(flipped))), "byte {byte}");
    }
}

#[test]
fn no_flipped_byte_of_a_closed_journals_sync_mark_goes_unseen_and_none_stops_an_opening() {
    let files = closed();
    let marks = files.iter().position(|(name, _)| name == "synced").expect("a mark");
    assert_eq!(files[marks].1.len(), 128, "one mark");
    for byte in 0..128 {
        let (mut flipped, mut cut) = (files.clone(), files.clone());
        flipped[marks].1[byte] ^= 1 << (byte % 8);
        cut[marks].1.truncate(byte);
        for (files, what) in [(flipped, "flipped"), (cut, "cut")] {
            let disk = SimulatedDisk::with_files(files);
            let verified = JournalReader::on(disk.clone()).verify(None);
            let is_seen = is_damage(verified.map(drop).map_err(JournalError::from));
            // Cut to nothing, it is as good as none.
            assert_eq!(is_seen, what == "flipped" || byte > 0, "byte {byte} {what}");
            let manager = open(&disk).expect("no loss");
            assert_eq!(manager.sold(PLACE).expect("known"), 3);
        }
    }
}

#[test]
fn a_power_cut_while_a_journal_is_closed_leaves_one_that_is_verified() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    manager.add_stock(PLACE, 100, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let begin = disk.steps();
    manager.sell(PLACE, 3).expect("stock");
    drop(manager);
    for step in begin..=disk.steps() {
        for seed in 0..32 {
            let cut = disk.crash(step, |piece| (seed >> (piece % 5)) & 1 == 1);
            let verified = JournalReader::on(cut).verify(None);
            verified.unwrap_or_else(|it| panic!("step {step}, seed {seed}: {it}"));
        }
    }
}

//! Retention by age counts journal time: one session with a wrong clock adds a day at most.

use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{JournalOptions, JournalReader, JournalRetention};

use crate::shop::{DAY, HOUR, LAPTOPS, RIGHT, SECOND, at, builder_on, clock};

const DAYS: Duration = Duration::from_secs(DAY / 1_000);

fn segments(disk: &SimulatedDisk) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(".journal")).count()
}

/// A session that begins at `from` and takes `long`. Fills a few segments.
fn session(disk: &SimulatedDisk, from: u64, long: u64, age: Duration) {
    let journal = JournalOptions::storage(disk.clone())
        .segment_bytes(1_500)
        .checkpoint_every(1)
        .retention(JournalRetention::remove().older_than(age));
    let clock = clock(from);
    let shop = builder_on(journal, &clock).build().expect("a sound journal");
    for step in 0..40 {
        clock.set(at(from + long * step / 40));
        shop.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        shop.remove_stock(LAPTOPS, 5, "broken").expect("stock");
        shop.run_until_idle();
        assert!(shop.verify().expect("sound").is_sound());
    }
    drop(shop);
    JournalReader::on(disk.killed()).verify(None).expect("sound");
}

#[test]
fn a_session_with_a_wrong_clock_makes_nothing_old() {
    for ahead in [31 * DAY, 13 * 365 * DAY] {
        let disk = SimulatedDisk::new();
        session(&disk, RIGHT, HOUR, 30 * DAYS);
        session(&disk, RIGHT + ahead, HOUR, 30 * DAYS);
        let before = segments(&disk);
        session(&disk, RIGHT + 2 * HOUR, HOUR, 30 * DAYS);
        session(&disk, RIGHT + ahead, HOUR, 30 * DAYS);
        session(&disk, RIGHT + 4 * HOUR, HOUR, 30 * DAYS);
        assert!(segments(&disk) > before + 4, "{} of {before} are left", segments(&disk));
        assert_eq!(JournalReader::on(disk.killed()).verify(None).expect("sound").oldest, 1);
    }
}

#[test]
fn what_is_old_goes_though_a_clock_was_wrong_meanwhile() {
    let disk = SimulatedDisk::new();
    let oldest = || JournalReader::on(disk.killed()).verify(None).expect("sound").oldest;
    session(&disk, RIGHT, HOUR, 30 * DAYS);
    session(&disk, RIGHT + 365 * DAY, HOUR, 30 * DAYS);
    // The clock is right again, and steps back.
    for day in (1..=28).step_by(3) {
        session(&disk, RIGHT + day * DAY, 2 * DAY + 23 * HOUR, 30 * DAYS);
        assert_eq!(oldest(), 1, "day {day}");
    }
    let end = JournalReader::on(disk.killed()).verify(None).expect("sound").entries;
    session(&disk, RIGHT + 31 * DAY, 3 * DAY, 30 * DAYS);
    assert!(oldest() > 1, "the first session is over 30 days old");
    assert!(oldest() < end, "the last weeks are not");
}

#[test]
fn a_long_session_counts_in_full_and_a_long_stop_as_a_day() {
    let disk = SimulatedDisk::new();
    let oldest = || JournalReader::on(disk.killed()).verify(None).expect("sound").oldest;
    session(&disk, RIGHT, 4 * DAY, 10 * DAYS);
    session(&disk, RIGHT + 300 * DAY, 4 * DAY, 10 * DAYS);
    assert_eq!(oldest(), 1, "nine days at most");
    session(&disk, RIGHT + 600 * DAY, 4 * DAY, 10 * DAYS);
    let first = oldest();
    assert!(first > 1, "of the first session's four days some are ten days old");
    session(&disk, RIGHT + 604 * DAY + SECOND, 4 * DAY, 10 * DAYS);
    assert!(oldest() > first);
}

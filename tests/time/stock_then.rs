//! Stock as of a time, where a clock was wrong.

use stockade::testing::SimulatedDisk;
use stockade::{JournalOptions, JournalReader, JournalRetention};

use crate::shop::{DAY, HOUR, LAPTOPS, MINUTE, RIGHT, SECOND, at, builder_on, clock, limits, open};

fn units(disk: &SimulatedDisk, millis: u64) -> u32 {
    let stock = JournalReader::on(disk.killed()).stock(Some(at(millis))).expect("sound");
    stock.rows.first().map_or(0, |row| row.available + row.reserved)
}

/// Adds ten units a minute for three minutes.
fn session(disk: &SimulatedDisk, from: u64) {
    let (shop, clock) = open(disk, from);
    for minute in 0..3 {
        clock.set(at(from + minute * 60 * SECOND));
        shop.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        let _ = shop.release(hold).expect("a hold");
    }
    shop.run_until_idle();
}

#[test]
fn a_span_that_was_dated_ahead_counts_as_of_the_opening_that_found_it_so() {
    for by in [HOUR, 13 * 365 * DAY] {
        let disk = SimulatedDisk::new();
        session(&disk, RIGHT);
        session(&disk, RIGHT + by);
        session(&disk, RIGHT + 10 * 60 * SECOND);
        session(&disk, RIGHT + by + DAY);
        session(&disk, RIGHT + 20 * 60 * SECOND);
        let minute = |minutes: u64| RIGHT + minutes * 60 * SECOND;
        // The first session by itself.
        assert_eq!([units(&disk, minute(0)), units(&disk, minute(2))], [10, 30]);
        assert_eq!(units(&disk, minute(9)), 30, "the second was dated ahead");
        // From the third on, the second counts.
        assert_eq!([units(&disk, minute(10)), units(&disk, minute(12))], [70, 90]);
        assert_eq!(units(&disk, minute(19)), 90);
        assert_eq!([units(&disk, minute(20)), units(&disk, minute(30))], [130, 150]);

        let reader = || JournalReader::on(disk.killed());
        let stock = reader().stock(Some(at(minute(12)))).expect("sound");
        let ahead = stock.ahead.expect("the second session");
        assert_eq!(ahead.opened_at, at(minute(10)));
        assert_eq!(ahead.latest, at(RIGHT + by + 120 * SECOND));
        assert!(ahead.entries >= 9, "{ahead:?}");
        assert!(stock.newest_at <= at(minute(12)));
        assert_eq!(reader().stock(Some(at(minute(2)))).expect("sound").ahead, None);
        assert_eq!(reader().stock(None).expect("sound").ahead, None);
    }
}

#[test]
fn a_trimmed_journal_tells_the_stock_behind_a_span_that_was_dated_ahead() {
    let disk = SimulatedDisk::new();
    let open = |now| {
        let journal = JournalOptions::storage(disk.clone())
            .segment_bytes(1_500)
            .checkpoint_every(1)
            .retention(JournalRetention::remove());
        let clock = clock(now);
        let limits = limits().audit_retained(8);
        builder_on(journal, &clock).limits(limits).build().expect("a sound journal")
    };
    let shop = open(RIGHT + HOUR);
    for _ in 0..60 {
        shop.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        shop.remove_stock(LAPTOPS, 5, "broken").expect("stock");
        shop.run_until_idle();
        assert!(shop.verify().expect("sound").is_sound());
    }
    drop(shop);
    let shop = open(RIGHT);
    shop.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    shop.run_until_idle();
    assert!(JournalReader::on(disk.killed()).verify(None).expect("sound").begun_after.is_some());
    assert_eq!(units(&disk, RIGHT), 310);
    assert!(JournalReader::on(disk.killed()).stock(Some(at(RIGHT - 1))).is_err());
}

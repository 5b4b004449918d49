//! What a look at the log in memory finds.

use super::*;

#[test]
fn a_query_finds_what_each_condition_names_and_nothing_else() {
    let (recorder, mut writer) = open(RecorderSettings::default());
    let owner = Owner([9; 16]);
    let hold =
        PlainEntry::new(AdjustmentType::Reserved, at(20), LevelIndex(2), 2).reservation(id(20));
    recorder.record(received(0, 10)).expect("lives");
    recorder.record(hold.owner(Some(owner)).expires_at(at(50))).expect("lives");
    let back =
        PlainEntry::new(AdjustmentType::Returned, at(51), LevelIndex(2), 2).reservation(id(20));
    recorder.record(back.expired()).expect("lives");
    let mut buffer = recorder.buffer();
    buffer.header.at = at(60);
    let (sf, nyc) = (WarehouseIndex(0), WarehouseIndex(1));
    buffer.line(AdjustmentType::TransferredOut, Subject::Level(LevelIndex(0)), 4, Some(nyc));
    buffer.line(AdjustmentType::TransferredIn, Subject::Level(LevelIndex(1)), 4, Some(sf));
    buffer.note("reason", "rebalance");
    recorder.record_all(buffer).expect("lives");
    writer.turn(true);

    let log = recorder.log();
    let found = |filter: AuditFilter| -> Vec<u64> {
        log.query(&filter).entries.iter().map(|entry| entry.sequence).collect()
    };
    let any = AuditFilter::new;
    assert_eq!(found(any()), [1, 2, 3, 4, 5]);
    assert_eq!(found(any().product("P0")), [1, 4, 5]);
    assert_eq!(found(any().warehouse("NYC")), [5]);
    assert_eq!(found(any().warehouse("SF").product("P1")), [2, 3]);
    assert_eq!(found(any().product("stolen goods")), []);
    assert_eq!(found(any().reservation(id(20))), [2, 3]);
    assert_eq!(found(any().reservation(id(21))), []);
    assert_eq!(found(any().owner(owner)), [2]);
    assert_eq!(found(any().entry_type(AdjustmentType::Returned)), [3]);
    let either = any().entry_type(AdjustmentType::Returned).entry_type(AdjustmentType::Received);
    assert_eq!(found(either), [1, 3]);
    assert_eq!(found(any().without(AdjustmentType::Reserved)), [1, 3, 4, 5]);
    assert_eq!(found(any().since(at(20)).until(at(51))), [2, 3]);
    assert_eq!(found(any().after(3)), [4, 5]);
    assert_eq!(found(any().entry_type(EventType::Closed)), []);

    let page = log.query(&any().limit(2));
    assert_eq!((page.entries.len(), page.next), (2, Some(2)));
    assert_eq!(log.query(&any().limit(5)).next, None);
    let entries = all(&recorder);
    assert_eq!(entries[1].expires_at, Some(at(50)));
    assert_eq!(entries[2].note("reason"), Some("expired"));
    assert_eq!(entries[3].other_warehouse.as_deref(), Some("NYC"));
    assert_eq!(entries[4].note("reason"), Some("rebalance"));
}

#[test]
fn the_history_of_a_hold_says_whether_it_is_complete() {
    let (recorder, mut writer) = open(RecorderSettings {
        retained: 2_000,
        opened_at: at(100),
        ..RecorderSettings::default()
    });
    let reserved = |born: u64| {
        let entry = PlainEntry::new(AdjustmentType::Reserved, at(born), LevelIndex(0), 1);
        recorder.record(entry.reservation(id(born))).expect("lives");
    };
    (100..1_000).for_each(reserved);
    let mut retake = recorder.buffer();
    retake.header.at = at(1_000);
    retake.header.reservation = Some(id(1_000));
    retake.header.retaken_from = Some(id(500));
    retake.line(AdjustmentType::Sold, Subject::Level(LevelIndex(0)), 1, None);
    recorder.record_all(retake).expect("lives");
    writer.turn(true);
    let log = recorder.log();
    let history = log.history_of(id(500), at(500));
    assert!(history.complete);
    let sequences: Vec<u64> = history.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [401, 901]);
    assert!(!log.history_of(id(99), at(99)).complete, "before the log began");

    (1_001..6_000).for_each(reserved);
    writer.turn(true);
    assert!(!log.history_of(id(500), at(500)).complete, "what was written has left");
    let left = (1..=6_000).rev().find(|born| !log.history_of(id(*born), at(*born)).complete);
    // One entry a millisecond, since 100, and 1,024 entries a chunk.
    assert_eq!(left.map(|born| (born - 99) % 1_024), Some(0), "the last of a chunk has left");
    assert!(log.history_of(id(4_500), at(4_500)).complete);
}

#[test]
fn notes_are_erased_of_the_records_that_are_named_by_their_first_entries() {
    let (recorder, mut writer) = open(RecorderSettings::default());
    let noted = |lines: u32| {
        let mut record = recorder.buffer();
        record.header.at = at(1);
        record.note("buyer", &format!("of {lines}"));
        for level in 0..lines {
            let subject = Subject::Level(LevelIndex(level));
            record.line(AdjustmentType::Received, subject, 1, None);
        }
        recorder.record_all(record).expect("lives");
    };
    let plain = || recorder.record(received(0, 1)).expect("lives");
    plain();
    plain();
    noted(2);
    plain();
    noted(1);
    noted(3);
    writer.turn(true);
    let notes = || -> Vec<Option<String>> {
        all(&recorder).iter().map(|entry| entry.note("buyer").map(str::to_owned)).collect()
    };
    let [two, one, three] = ["of 2", "of 1", "of 3"].map(|text| Some(text.to_owned()));
    let of_three = [three.clone(), three.clone(), three];
    let before = [&[None, None, two.clone(), two.clone(), None, one][..], &of_three].concat();
    assert_eq!(notes(), before);
    let picked = recorder.log().pick(&mut |entry| entry.note("buyer") == Some("of 1")).picked;
    assert_eq!(picked, BTreeSet::from([6]));
    recorder.log().erase_notes(&picked);
    assert_eq!(notes(), [&[None, None, two.clone(), two, None, None][..], &of_three].concat());
    recorder.log().erase_notes(&BTreeSet::from([3, 4, 7]));
    assert_eq!(notes(), vec![None; 9]);
}

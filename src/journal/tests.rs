use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::audit::draw::DrawMark;
use crate::audit::draw::tests::marks;
use crate::audit::durable_sink::DurableSink;
use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record::{KeyMark, PlainEntry, Record, RecordBuf, ShortBytes, Subject};
use crate::audit::view::Names;
use crate::base::bytes::Cursor;
use crate::base::clock::Timestamp;
use crate::base::wake::Wakers;
use crate::journal::format::decode::{Decoded, DecodedRecord, Decoder};
use crate::journal::format::encode::Encoder;
use crate::journal::format::segment::Point;
use crate::journal::format::usual::usual_fingerprint;
use crate::journal::group_commit::SyncState;
use crate::journal::storage::Storage;
use crate::journal::storage::place::JournalPlace;
use crate::journal::storage::simulated::SimulatedDisk;
use crate::journal::writer::{JournalWriter, ResumePoint};
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

mod limits;

/// Names for the encoder: every level is of this warehouse and product.
struct SomeNames(WarehouseIndex, ProductIndex);

const NAMES: SomeNames = SomeNames(WarehouseIndex(3), ProductIndex(7));

impl Names for SomeNames {
    fn level(&self, _: LevelIndex) -> Option<(WarehouseIndex, ProductIndex)> {
        Some((self.0, self.1))
    }
    fn warehouse_name(&self, _: WarehouseIndex) -> Option<Arc<str>> {
        None
    }
    fn product_name(&self, _: ProductIndex) -> Option<Arc<str>> {
        None
    }
    fn warehouse_index(&self, _: &str) -> Option<WarehouseIndex> {
        None
    }
    fn product_index(&self, _: &str) -> Option<ProductIndex> {
        None
    }
}

fn encoder() -> Encoder {
    Encoder::new(StdRng::seed_from_u64(1))
}

fn id(slot: u32) -> ReservationId {
    ReservationId::new(Timestamp::from_millis(1_700_000_000_000), slot, u64::MAX)
}

/// The two records that a busy shop writes most: a reserve, and the confirm of a hold.
fn plain(number: u32) -> [PlainEntry; 2] {
    let at = Timestamp::from_millis(1_700_000_000_000 + u64::from(number) / 1_000);
    let expiry = at.saturating_add(Duration::from_secs(900));
    [AdjustmentType::Reserved, AdjustmentType::Sold].map(|movement| {
        let entry = PlainEntry::new(movement, at, LevelIndex(number % 10_000), 1 + number % 5);
        entry.reservation(id(number % 50_000)).expires_at(expiry)
    })
}

fn long_record() -> RecordBuf {
    let mut record = RecordBuf::default();
    record.header.at = Timestamp::from_millis(1_700_000_000_123);
    record.header.reservation = Some(id(4));
    record.header.owner = Some(Owner([9; 16]));
    record.header.expires_at = Some(Timestamp::from_millis(1_700_000_060_123));
    record.header.retaken_from = Some(id(5));
    record.line(
        AdjustmentType::TransferredOut,
        Subject::Level(LevelIndex(1)),
        4,
        Some(WarehouseIndex(0)),
    );
    record.line(AdjustmentType::TransferredIn, Subject::Level(LevelIndex(2)), 4, None);
    record.note("reason", "rebalance");
    record.expired = true;
    record.key = Some(KeyMark {
        key: ShortBytes::new(b"order-1").expect("short"),
        fingerprint: u128::MAX - 1,
        answer: ShortBytes::new(&[1, 2]).expect("short"),
    });
    record
}

/// A basket of two lines, each of which draws under two rules.
fn drawing_record() -> RecordBuf {
    let mut record = long_record();
    for (line, rule) in [(0, 1), (0, 300), (1, 1), (1, 70_000)] {
        let key = AllowanceKey { rule: RuleNumber(rule), subject: SubjectHash([line as u8; 16]) };
        let (version, maximum, used_after) = (2, 5, 4);
        record.draws.push(DrawMark { key, version, maximum, used_after, passed: true, line });
    }
    record
}

fn opening() -> RecordBuf {
    let mut record = RecordBuf::default();
    record.line(EventType::LevelOpened, Subject::Level(LevelIndex(1)), 0, None);
    record.note("a", "fact");
    record
}

#[test]
fn a_plain_reserve_or_confirm_takes_at_most_40_bytes() {
    for (number, level) in [(1, 0), (49_999, u32::MAX)] {
        for entry in plain(number) {
            let entry =
                PlainEntry::new(AdjustmentType::Reserved, entry.at(), LevelIndex(level), 1 << 30)
                    .reservation(id(u32::MAX))
                    .expires_at(entry.at().saturating_add(Duration::from_secs(86_400)));
            let mut encoder = encoder();
            encoder.put(&Record::Plain(plain(0)[0]), &NAMES);
            let before = encoder.len();
            encoder.put(&Record::Plain(entry), &NAMES);
            let bytes = encoder.len() - before;
            assert!(bytes <= 40, "{bytes} bytes");
        }
    }
}

#[test]
fn what_was_encoded_is_decoded() {
    let entry = plain(3)[0].owner(Some(Owner([0; 16])));
    let returned =
        PlainEntry::new(AdjustmentType::Returned, entry.at(), LevelIndex(0), 1).expired();
    let mut encoder = encoder();
    encoder.put(&Record::Plain(entry), &NAMES);
    encoder.put(&Record::Buffered(Box::new(long_record())), &NAMES);
    encoder.put(&Record::Plain(returned), &NAMES);
    encoder.put(&Record::Buffered(Box::new(opening())), &NAMES);
    assert_eq!((encoder.record_count, encoder.entry_count), (4, 5));

    let mut decoder = Decoder::new(&encoder.records, &encoder.notes, encoder.base);
    for expected in [entry, returned] {
        match decoder.next() {
            Ok(Some(Decoded::Plain(read))) => assert_eq!(read, expected),
            other => panic!("{other:?}"),
        }
        let Ok(Some(Decoded::Record(long))) = decoder.next() else { panic!("a long record") };
        let written = if expected == entry { long_record() } else { opening() };
        assert_eq!(long.steps.header, written.header);
        assert_eq!(long.steps.lines, written.lines);
        assert_eq!(long.steps.metadata, written.metadata);
        assert_eq!((long.steps.key, long.steps.expired), (written.key, written.expired));
        let place = (expected == returned).then_some((WarehouseIndex(3), ProductIndex(7)));
        assert_eq!((long.place, long.erased), (place, false));
    }
    assert!(matches!(decoder.next(), Ok(None)));
}

/// A reserve and its confirm as a shop calls them. The first is `answered` with its reservation.
fn of_a_shop(answered: ReservationId) -> [RecordBuf; 2] {
    let [reserved, sold] = plain(3).map(|entry| {
        let mut record = RecordBuf::default();
        record.header.at = entry.at();
        record.header.reservation = Some(id(3));
        record.header.owner = Some(Owner([9; 16]));
        let movement = entry.entry_type();
        record.line(movement, Subject::Level(entry.level()), entry.quantity(), None);
        record
    });
    let (mut reserved, mut sold) = (reserved, sold);
    reserved.header.expires_at =
        Some(reserved.header.at.saturating_add(Duration::from_millis(1_500)));
    reserved.note("cart", "0000000017");
    let number = answered.as_uuid().as_u128().to_le_bytes();
    for (record, answer) in
        [(&mut reserved, [&[1][..], &number].concat()), (&mut sold, vec![0; 17])]
    {
        record.key = usual_fingerprint(record).map(|fingerprint| KeyMark {
            key: ShortBytes::new(&[7; 16]).expect("short"),
            fingerprint,
            answer: ShortBytes::new(&answer).expect("short"),
        });
    }
    [reserved, sold]
}

fn encoded(record: RecordBuf) -> (RecordBuf, usize) {
    let mut encoder = encoder();
    let record = Record::Buffered(Box::new(record));
    encoder.put(&record, &NAMES);
    let mut decoder = Decoder::new(&encoder.records, &encoder.notes, encoder.base);
    let Ok(Some(Decoded::Record(read))) = decoder.next() else { panic!("a long record") };
    let Record::Buffered(written) = record else { panic!("as above") };
    assert_eq!((read.steps.key, &read.steps.lines), (written.key, &written.lines));
    assert_eq!(read.steps.draws, written.draws);
    (*written, encoder.len())
}

#[test]
fn a_shops_pair_with_keys_an_owner_and_a_note_takes_at_most_190_bytes() {
    let bytes = of_a_shop(id(3)).map(|record| encoded(record).1);
    assert!(bytes.iter().sum::<usize>() <= 190, "{bytes:?} bytes");
}

/// What does not follow from the record is in it, and read back.
#[test]
fn a_fingerprint_or_an_answer_that_is_not_the_usual_one_is_written_whole() {
    let usual = of_a_shop(id(3)).map(|record| encoded(record).1);
    for (place, record) in of_a_shop(id(4)).into_iter().enumerate() {
        // The answer of another reservation: its number is written.
        let more = encoded(record).1 - usual[place];
        assert_eq!(more, if place == 0 { 16 } else { 0 });
    }
    for answer in [&[][..], &[1], &[3, 5], &[12; 17], &[12; 18], &[0; 16], &[200; 32]] {
        for mut record in of_a_shop(id(3)) {
            let key = record.key.as_mut().expect("it has one");
            (key.fingerprint, key.answer) =
                (key.fingerprint ^ 1, ShortBytes::new(answer).expect("short"));
            encoded(record);
        }
    }
}

proptest! {
    #[test]
    fn draws_are_read_back_with_their_record(
        draws in marks(6),
        has_key: bool,
        keep: bool,
        records in 1..4_usize,
    ) {
        let mut written = long_record();
        written.draws = draws;
        written.keep = keep;
        if !has_key {
            written.key = None;
        }
        let mut encoder = encoder();
        // What one record has is not in the next one.
        for _ in 0..records {
            let record = Decoded::Record(&DecodedRecord { steps: written, ..Default::default() });
            encoder.put(&record.to_record(), &NAMES);
            let Record::Buffered(record) = record.to_record() else { panic!("a long record") };
            written = *record;
            encoder.put(&Record::Buffered(Box::new(opening())), &NAMES);
        }
        let mut decoder = Decoder::new(&encoder.records, &encoder.notes, encoder.base);
        for _ in 0..records {
            let Ok(Some(Decoded::Record(read))) = decoder.next() else { panic!("a long record") };
            prop_assert_eq!(&read.steps.draws, &written.draws);
            prop_assert_eq!((&read.steps.lines, read.steps.key), (&written.lines, written.key));
            prop_assert_eq!((read.steps.keep, &read.steps.metadata), (keep, &written.metadata));
            let Ok(Some(Decoded::Record(next))) = decoder.next() else { panic!("a long record") };
            prop_assert_eq!(&next.steps.draws[..], &[]);
        }
        prop_assert!(matches!(decoder.next(), Ok(None)));
    }
}

/// A call with a subject has a fingerprint of its own, and one like it without has the usual one.
#[test]
fn a_draw_changes_nothing_of_how_a_key_is_written() {
    let draw = DrawMark {
        key: AllowanceKey { rule: RuleNumber(1), subject: SubjectHash([7; 16]) },
        version: 1,
        maximum: 2,
        used_after: 2,
        passed: false,
        line: 0,
    };
    for (place, usual) in of_a_shop(id(3)).map(|record| encoded(record).1).into_iter().enumerate() {
        for (is_usual, more) in [(true, 0), (false, 16)] {
            let [reserved, sold] = of_a_shop(id(3));
            let mut record = if place == 0 { reserved } else { sold };
            record.draws.push(draw);
            let key = record.key.as_mut().expect("it has one");
            key.fingerprint ^= u128::from(!is_usual);
            // A count, five numbers, a byte of flags, and the subject.
            assert_eq!(encoded(record).1, usual + more + 1 + 5 + 1 + 16);
        }
    }
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut encoder = encoder();
    encoder.put(&Record::Plain(plain(3)[0]), &NAMES);
    encoder.put(&Record::Buffered(Box::new(long_record())), &NAMES);
    encoder.put(&Record::Buffered(Box::new(opening())), &NAMES);
    for record in of_a_shop(id(3)) {
        encoder.put(&Record::Buffered(Box::new(record)), &NAMES);
    }
    encoder.put(&Record::Buffered(Box::new(drawing_record())), &NAMES);
    let (records, notes) = (encoder.records.clone(), encoder.notes.clone());
    let read = |records: &[u8], notes: &[u8]| {
        let mut decoder = Decoder::new(records, notes, Timestamp::MAX);
        while let Ok(Some(_)) = decoder.next() {}
    };
    for at in 0..records.len() {
        read(&records[..at], &notes);
        for byte in 0..=255 {
            let mut changed = records.clone();
            changed[at] = byte;
            read(&changed, &notes);
        }
    }
    for at in 0..notes.len() {
        read(&records, &notes[..at]);
    }
    assert!(Cursor::new(&[]).is_empty());
}

#[test]
#[ignore = "a measurement"]
fn how_fast_the_journal_is() {
    const BATCH: u32 = 4_096;
    let disk: Arc<dyn Storage> = Arc::new(SimulatedDisk::new());
    let place = JournalPlace::of(&*disk);
    let second = Duration::from_secs(1);
    let progress =
        Arc::new(SyncState::new(Arc::clone(&disk), place, second, Wakers::new(true), |_| {}));
    let from = ResumePoint {
        lock: disk.lock().expect("free").into(),
        journal: 1,
        opening: 1,
        newest_segment: 0,
        trusted: Point::START,
        found: Vec::new(),
        opened_at: Timestamp::default(),
    };
    let mut journal = JournalWriter::open(disk, progress, u64::MAX, from).expect("a new journal");
    let entries = |batch: u32| (0..BATCH / 2).flat_map(move |n| plain(batch * BATCH / 2 + n));
    let batches: Vec<Vec<Record>> =
        (0..64).map(|batch| entries(batch).map(Record::Plain).collect()).collect();
    let mut encoder = encoder();
    for round in 0..5 {
        let began = Instant::now();
        for batch in &batches {
            encoder.clear();
            batch.iter().for_each(|record| encoder.put(record, &NAMES));
        }
        let encoded = began.elapsed();
        let bytes = encoder.len() as f64 / f64::from(BATCH);
        let (mut taken, mut written) = (Duration::ZERO, Duration::ZERO);
        for batch in &batches {
            let began = Instant::now();
            journal.take(batch, &NAMES);
            taken += began.elapsed();
            journal.write().expect("written");
            written += began.elapsed();
            journal.sync_now().expect("synced");
        }
        let a_record = |span: Duration| span.as_nanos() as f64 / (64.0 * f64::from(BATCH));
        let (encode, take, all) = (a_record(encoded), a_record(taken), a_record(written));
        std::io::Write::write_all(
            &mut std::io::stderr(),
            format!(
                "round {round}: {bytes:.1} bytes, encode {encode:.1} ns, with checksum and chain \
                 {take:.1} ns, with a memory disk {all:.1} ns a record\n"
            )
            .as_bytes(),
        )
        .expect("a terminal");
    }
}

//! A journal with limits, and what its tools make of it.

use std::ops::ControlFlow;

use super::*;
use crate::audit::entry::AuditEntry;
use crate::audit::log::AuditFilter;
use crate::base::error::JournalError;
use crate::journal::layout::JournalDir;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::ledger::Ledger;
use crate::journal::maintenance::redact::redact;
use crate::journal::offline::JournalReader;
use crate::journal::reader;
use crate::journal::recovery::replay::decode_batch;
use crate::stock::allowance::rule::{AskedAt, LimitCounts, LimitUnit, RuleDefinition};

const LAPTOP: Subject = Subject::Level(LevelIndex(0));

const ONE_LEVEL: SomeNames = SomeNames(WarehouseIndex(0), ProductIndex(0));

fn event(event: EventType, subject: Subject, facts: &[(&str, &str)]) -> RecordBuf {
    let mut record = RecordBuf::default();
    record.line(event, subject, 0, None);
    facts.iter().for_each(|(name, value)| record.note(name, value));
    record
}

fn limit() -> RecordBuf {
    let rule = RuleDefinition {
        number: RuleNumber(1),
        version: 1,
        name: "two each".into(),
        kind: "customer".into(),
        maximum: 2,
        unit: LimitUnit::Units,
        counts: LimitCounts::Sales,
        asked: AskedAt::Hold,
        group: None,
        products: vec![ProductIndex(0)],
    };
    let facts = rule.facts();
    let facts: Vec<_> = facts.iter().map(|(name, value)| (*name, &**value)).collect();
    event(EventType::LimitDefined, Subject::Product(ProductIndex(0)), &facts)
}

/// A reserve of `units`, which finds `used_after` used after it.
fn reserve(slot: u32, units: u32, used_after: u32) -> RecordBuf {
    let mut record = RecordBuf::default();
    record.header.reservation = Some(id(slot));
    record.header.expires_at = Some(Timestamp::from_millis(1_700_000_060_000));
    record.line(AdjustmentType::Reserved, LAPTOP, units, None);
    record.note("buyer", "M. Curie");
    let key = AllowanceKey { rule: RuleNumber(1), subject: SubjectHash([7; 16]) };
    let (version, maximum, passed, line) = (1, 2, false, 0);
    record.draws.push(DrawMark { key, version, maximum, used_after, passed, line });
    record
}

fn sold(slot: u32, units: u32) -> RecordBuf {
    let mut record = RecordBuf::default();
    record.header.reservation = Some(id(slot));
    record.line(AdjustmentType::Sold, LAPTOP, units, None);
    record
}

/// An opening, ten laptops, and a limit of two of them.
fn beginning() -> Vec<RecordBuf> {
    let warehouse = [("name", "SF"), ("capacity", "20"), ("threshold", "none")];
    let mut received = RecordBuf::default();
    received.line(AdjustmentType::Received, LAPTOP, 10, None);
    vec![
        event(EventType::Opened, Subject::None, &[("subjects", &"ab".repeat(16))]),
        event(EventType::WarehouseDefined, Subject::Warehouse(WarehouseIndex(0)), &warehouse),
        event(EventType::ProductDefined, Subject::Product(ProductIndex(0)), &[("name", "LAPTOP")]),
        event(EventType::LevelOpened, LAPTOP, &[]),
        received,
        limit(),
    ]
}

/// A journal of these records, a batch each, with a checkpoint behind batch `checkpoint`.
fn journal(records: Vec<RecordBuf>, checkpoint: Option<usize>) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let place = JournalPlace::of(&*storage);
    let second = Duration::from_secs(1);
    let progress =
        Arc::new(SyncState::new(Arc::clone(&storage), place, second, Wakers::new(true), |_| {}));
    let from = ResumePoint {
        lock: storage.lock().expect("free").into(),
        journal: 1,
        opening: 1,
        newest_segment: 0,
        trusted: Point::START,
        found: Vec::new(),
        opened_at: Timestamp::default(),
    };
    let open = JournalWriter::open(Arc::clone(&storage), progress, u64::MAX, from);
    let mut journal = open.expect("a new journal");
    for record in records {
        journal.take(&[Record::Buffered(Box::new(record))], &ONE_LEVEL);
        journal.write().expect("written");
    }
    journal.close().expect("closed");
    drop(journal);
    if let Some(batch) = checkpoint {
        let batches = batches(&disk);
        let (ledger, header) = &batches[batch - 1];
        checkpoint_file::write(&*storage, 1, *header, &ledger.to_bytes(10)).expect("written");
    }
    disk
}

/// The ledger behind each batch, and the header of a checkpoint there.
fn batches(disk: &SimulatedDisk) -> Vec<(Ledger, CheckpointHeader)> {
    let dir = JournalDir::find(disk).expect("a journal");
    let (mut ledger, mut found) = (Ledger::new(10), Vec::new());
    let read = reader::read(&dir, |segment, _| {
        for batch in &segment.batches {
            let applied = decode_batch(&segment, batch, |decoded| {
                ledger.apply(&decoded).expect("legal");
                Ok(ControlFlow::Continue(()))
            });
            let _ = applied.expect("sound");
            let header = CheckpointHeader {
                journal: segment.header.journal,
                batch: batch.header.number,
                sequence: batch.header.end() - 1,
                hash: batch.header.hash,
                keys: 10,
            };
            let copy = Ledger::from_bytes(&ledger.to_bytes(10), 10).expect("a ledger");
            found.push((copy, header));
        }
        ControlFlow::Continue(())
    });
    read.expect("sound");
    found
}

fn drawn(disk: &SimulatedDisk) -> Vec<AuditEntry> {
    let mut drawn = Vec::new();
    let filter = AuditFilter::new().limit(usize::MAX);
    let read = JournalReader::on(disk.clone()).entries(&filter, |entry| {
        if !entry.limits.is_empty() {
            drawn.push(entry);
        }
    });
    read.expect("a sound journal");
    drawn
}

/// Records behind the beginning.
fn begun(records: impl IntoIterator<Item = RecordBuf>) -> Vec<RecordBuf> {
    beginning().into_iter().chain(records).collect()
}

fn legal() -> Vec<RecordBuf> {
    begun([reserve(1, 1, 1), sold(1, 1), reserve(2, 1, 2)])
}

#[test]
fn a_journal_with_limits_is_verified_with_its_checkpoint_and_shows_who_drew() {
    let disk = journal(legal(), Some(7));
    let verified = JournalReader::on(disk.clone()).verify(None).expect("sound");
    assert!(verified.closed && verified.checkpoints == 1);
    let drawn = drawn(&disk);
    let found: Vec<_> = drawn.iter().map(|it| (it.sequence, it.limits[0].used_after)).collect();
    assert_eq!(found, [(7, 1), (9, 2)]);
    assert_eq!(drawn[0].limits[0].subject, SubjectHash([7; 16]));
    let stock = JournalReader::on(disk).stock(None).expect("sound");
    assert_eq!((stock.rows[0].available, stock.rows[0].sold), (8, 1));
}

#[test]
fn a_checkpoint_that_says_otherwise_of_a_draw_is_found() {
    let disk = journal(legal(), None);
    let (mut ledger, header) = batches(&disk).remove(7);
    let write = |ledger: &Ledger| {
        checkpoint_file::write(&disk, 1, header, &ledger.to_bytes(10)).expect("written");
        JournalReader::on(disk.clone()).verify(None)
    };
    assert!(write(&ledger).is_ok());
    let allowance = ledger.limits.allowances.values_mut().next().expect("it is drawn on");
    allowance.ceiling += 1;
    let unsound = write(&ledger).expect_err("another ceiling");
    assert!(matches!(unsound.error, JournalError::Damaged { .. }), "{unsound}");
}

#[test]
fn a_broken_law_of_limits_is_told_by_verify_and_ends_what_is_salvaged() {
    let broken = begun([reserve(1, 2, 2), reserve(2, 1, 1), sold(1, 2)]);
    let disk = journal(broken, None);
    let unsound = JournalReader::on(disk.clone()).verify(None).expect_err("three of two");
    let what = "more is drawn than any of the draws allowed".to_owned();
    assert_eq!(unsound.error, JournalError::BrokenLaw { sequence: 8, what });
    assert_eq!(unsound.sound.sequence, 7);

    let saved = SimulatedDisk::new();
    let report = JournalReader::on(disk).salvage_on(saved.clone(), |_| {}).expect("some of it");
    assert_eq!(report.entries, 7);
    assert!(JournalReader::on(saved.clone()).verify(None).is_ok());
    assert_eq!(drawn(&saved).len(), 1);
    let (ledger, _) = batches(&saved).pop().expect("an end");
    assert_eq!(ledger.limits.rules.len(), 1);
    assert_eq!(ledger.limits.subjects, Some(SubjectHash([0xab; 16])), "of the journal's opening");
}

#[test]
fn an_erasure_leaves_limits_and_the_hashes_of_subjects() {
    let disk = journal(legal(), Some(7));
    let before = drawn(&disk);
    // Whatever is asked for: what defines a limit are facts.
    let redacted = redact(&disk, |_| true).expect("a sound journal");
    assert_eq!(redacted.records, 2, "those with a buyer");
    let after = drawn(&disk);
    assert!(after.iter().all(|entry| entry.metadata().is_empty()));
    let limits = |entries: &[AuditEntry]| -> Vec<_> {
        entries.iter().map(|entry| Arc::clone(&entry.limits)).collect()
    };
    assert_eq!(limits(&after), limits(&before));
    let verified = JournalReader::on(disk).verify(None).expect("sound");
    assert_eq!(verified.erased, 2);
}

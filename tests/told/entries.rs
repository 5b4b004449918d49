//! What an entry says of its neighbours and of its call.

use std::collections::BTreeMap;

use stockade::{
    AdjustmentType, AuditEntry, AuditFilter, IdempotencyKey, InventoryManager, JournalReader,
};

use crate::common::scratch::Scratch;
use crate::common::{LONG, log_of, written};
use crate::{NYC, SF, journalled, line, shop};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_from(text).expect("a legal key")
}

fn trade(manager: &InventoryManager) {
    manager.transfer("SF", "NYC", "LAPTOP", 2).expect("stock");
    manager.request().key(key("move")).transfer("NYC", "SF", "LAPTOP", 2).expect("stock");
    manager.request().key(key("cart")).sell(SF, 1).expect("stock");
    let hold = manager.reserve_basket(&[line(SF, 1), line(NYC, 1)], LONG).expect("stock");
    manager.request().key(key("paid")).confirm(hold).expect("pending");
    manager.request().note("order", "9").ship(SF, 1).expect("sold");
}

/// The movements of each record, with the hash of its key; the two deliveries left out.
fn records(entries: &[AuditEntry]) -> Vec<(Vec<AdjustmentType>, Option<String>)> {
    let mut records: BTreeMap<u64, Vec<&AuditEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.is_movement()) {
        records.entry(entry.record).or_default().push(entry);
    }
    let told = records.into_iter().skip(2).map(|(record, lines)| {
        assert_eq!(lines[0].sequence, record, "the first entry gives the number");
        assert!(lines.iter().all(|it| it.key == lines[0].key), "{lines:?}");
        let movements = lines.iter().map(|it| match it.entry_type {
            stockade::EntryType::Movement(movement) => movement,
            other => panic!("no movement: {other:?}"),
        });
        (movements.collect(), lines[0].key.map(|key| key.to_string()))
    });
    told.collect()
}

#[test]
fn entries_of_one_call_share_a_number_and_bear_the_hash_of_its_key() {
    use AdjustmentType::{Reserved, Shipped, Sold, TransferredIn, TransferredOut};
    let directory = Scratch::new("entries");
    let hash = |text: &str| Some(key(text).hashed().to_string());
    let expected = [
        (vec![TransferredOut, TransferredIn], None),
        (vec![TransferredOut, TransferredIn], hash("move")),
        (vec![Reserved, Sold], hash("cart")),
        (vec![Reserved, Reserved], None),
        (vec![Sold, Sold], hash("paid")),
        (vec![Shipped], None),
    ];
    let manager = shop(journalled(&directory));
    trade(&manager);
    let all = AuditFilter::new().limit(1_000);
    assert_eq!(records(&log_of(&manager)), expected, "in memory");
    // A page that begins in the middle of a record shows the same.
    for entry in written(&manager) {
        let page = manager.audit_log().query(&all.clone().after(entry.sequence));
        assert!(page.entries.iter().all(|it| it.record <= it.sequence));
        let next = page.entries.first();
        let shares = next.is_some_and(|next| next.record == entry.record);
        let joined = next.is_some_and(|next| next.record != next.sequence);
        assert_eq!(shares, joined);
    }
    drop(manager);
    let manager = journalled(&directory).build().expect("a sound journal");
    assert_eq!(records(&written(&manager)), expected, "after a restart");
    drop(manager);
    let mut read = Vec::new();
    JournalReader::new(directory.join("journal"))
        .entries(&all, |entry| read.push(entry))
        .expect("a sound journal");
    assert_eq!(records(&read), expected, "from the files");
}

#[test]
fn the_hash_of_a_key_is_the_same_for_ever() {
    // Auditors store it.
    assert_eq!(key("order-4711").hashed().to_string(), "c2ca33c6ecabf056d7fa8cc7fd52a528");
    assert_ne!(key("order-4711").hashed(), key("order-4712").hashed());
}

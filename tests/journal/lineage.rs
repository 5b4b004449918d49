//! A position names its history: one of a lost future is refused, and nothing is skipped.

use std::collections::BTreeMap;

use stockade::testing::SimulatedDisk;
use stockade::{AuditEntry, InventoryManager, JournalError, JournalPosition};

use crate::state::{Random, engine_on, on, seed};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// Adds `count` times, and waits until all is on the disk.
fn trade(manager: &InventoryManager, count: usize) {
    for _ in 0..count {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
    manager.flush().wait().expect("on the disk");
}

/// Each entry with the position after it.
fn all(manager: &InventoryManager) -> Vec<(AuditEntry, JournalPosition)> {
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    let mut all = Vec::new();
    while let Some(entry) = entries.try_next().expect("sound") {
        all.push((entry, entries.position()));
    }
    all
}

/// The position of a subscriber that has seen all that is on the disk.
fn seen_all(manager: &InventoryManager) -> JournalPosition {
    all(manager).last().expect("entries").1
}

fn rewound(manager: &InventoryManager, position: JournalPosition) -> u64 {
    match manager.subscribe(position).map(drop) {
        Err(JournalError::Rewound { to }) => to,
        other => panic!("{position}: {other:?}"),
    }
}

/// The follower saw another opening of the same number, and more entries than the backup held.
#[test]
fn a_backup_restored_under_a_follower_is_told_where_the_histories_part() {
    let (disk, copy) = (SimulatedDisk::new(), SimulatedDisk::new());
    let manager = engine_on(&disk).build().expect("a new journal");
    trade(&manager, 10);
    let shared = manager.backup_to(&copy).expect("a copy").sequence;
    let at_backup = seen_all(&manager);
    trade(&manager, 5);
    let same_opening = seen_all(&manager);
    drop(manager);
    let manager = engine_on(&disk).build().expect("sound");
    trade(&manager, 22);
    let next_opening = seen_all(&manager);
    drop(manager);
    let manager = engine_on(&disk).build().expect("sound");
    trade(&manager, 1);
    let later_opening = seen_all(&manager);
    // An old entry that was seen late is in both.
    let old = all(&manager)[4].1;
    assert_eq!((old.opening, old.sequence), (3, 5));

    let restored = engine_on(&copy).build().expect("sound");
    trade(&restored, 1);
    for fewer in [true, false] {
        for lost in [same_opening, next_opening, later_opening] {
            let is_longer = restored.journal_head().expect("a head").sequence > lost.sequence;
            assert_eq!(is_longer, !fewer);
            assert_eq!(rewound(&restored, lost), shared, "{lost}");
        }
        for kept in [at_backup, old] {
            let mut entries = restored.subscribe(kept).expect("both have it");
            assert_eq!(entries.position().lineage, kept.lineage);
            let next = entries.try_next().expect("sound").expect("an entry");
            assert_eq!(next.sequence, kept.sequence + 1);
        }
        trade(&restored, 100);
    }
}

/// Numbers alone tell less: but never is a position of the future taken.
#[test]
fn a_position_in_the_old_form_is_checked_as_far_as_it_tells_and_answered_in_full() {
    let disk = SimulatedDisk::new();
    for _ in 0..2 {
        trade(&engine_on(&disk).build().expect("sound"), 10);
    }
    let manager = engine_on(&disk).build().expect("sound");
    trade(&manager, 10);
    let all = all(&manager);
    let found = manager.recovery_report().expect("a journal").entries;
    let durable = all.len() as u64;
    for (entry, full) in &all {
        let old: JournalPosition = format!("{}@3", entry.sequence).parse().expect("old form");
        let entries = manager.subscribe(old).expect("it is there");
        assert_eq!(entries.position(), *full, "the first position is the full one");
    }
    // Of entries after the last one, in this opening, of a later opening, of an unknown one.
    for opening in [3, 4, 0, u64::MAX] {
        for sequence in [durable + 1, durable + 40, u64::MAX] {
            assert_eq!(rewound(&manager, JournalPosition::new(sequence, opening)), found);
        }
    }
    // An opening that is yet to come.
    assert!(rewound(&manager, JournalPosition::new(durable, 4)) < durable);
    assert!(manager.subscribe(JournalPosition::new(durable, 0)).is_ok());
}

#[test]
fn old_forms_are_refused_where_a_lineage_is_required() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).require_lineage()).build().expect("a new journal");
    trade(&manager, 3);
    let full = seen_all(&manager);
    assert!(manager.subscribe(full).is_ok());
    let bare = JournalPosition::new(full.sequence, full.opening);
    let refused = manager.subscribe(bare).map(drop);
    assert_eq!(refused, Err(JournalError::NoLineage { sequence: full.sequence }));
}

/// One batch holds many entries, and the batch's hash is the lineage of all of them. Rewriting
/// keeps it: by the next opening, after a kill and after a failed disk, and by a redaction.
#[test]
fn a_position_inside_a_batch_is_gone_on_from_whatever_rewrites_the_batch() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).segment_bytes(600)).build().expect("a new journal");
    for _ in 0..4 {
        for sale in 0..5 {
            let request = manager.request().note("sale", format!("M. Curie {sale}"));
            request.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        }
        manager.flush().wait().expect("on the disk");
    }
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    manager.run_until_idle();
    let mut eager = manager.subscribe(JournalPosition::default()).expect("all is there");
    eager = eager.including_buffered();
    let mut kept = Vec::new();
    while let Some(entry) = eager.try_next().expect("sound") {
        kept.push((entry, eager.position()));
    }
    let lineages: Vec<_> = kept.iter().map(|(_, it)| it.lineage).collect();
    assert!(lineages.windows(2).any(|two| two[0] == two[1]), "no batch of two entries");
    let check = |manager: &InventoryManager, newest: u64| {
        for (entry, position) in kept.iter().filter(|(entry, _)| entry.sequence < newest) {
            let mut entries = manager.subscribe(*position).expect("it is there");
            let next = entries.try_next().expect("sound").map(|it| it.sequence);
            assert_eq!(next, Some(entry.sequence + 1), "{position}");
        }
    };
    let durable = manager.journal_head().expect("a head").sequence;
    check(&manager, durable);
    // The buffered entry is taken, too: it is written, and comes to the disk.
    assert!(manager.subscribe(eager.position()).is_ok());
    disk.fail_fsync(true);
    assert!(manager.flush().wait().is_err());
    disk.fail_fsync(false);
    manager.run_until_idle();
    manager.flush().wait().expect("a new segment");
    check(&manager, durable + 1);
    assert!(manager.redact(|it| it.note("sale").is_some()).expect("sound").records > 0);
    check(&manager, durable + 1);
    let killed = engine_on(on(&disk.killed()).segment_bytes(600)).build().expect("sound");
    trade(&killed, 1);
    check(&killed, durable + 2);
}

/// A changed byte may name another entry of the same batch. All else is refused.
#[test]
fn no_forged_text_is_taken_for_a_position_of_another_batch() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    for _ in 0..8 {
        trade(&manager, 3);
    }
    let all = all(&manager);
    let lineages: BTreeMap<_, _> = all.iter().map(|(it, at)| (it.sequence, at.lineage)).collect();
    let text = all[14].1.to_string();
    let mut taken = 0;
    for (place, byte) in (0..text.len()).flat_map(|at| (32..127).map(move |byte| (at, byte))) {
        let mut forged = text.clone().into_bytes();
        forged[place] = byte;
        let forged = String::from_utf8(forged).expect("ascii");
        let Ok(position) = forged.parse::<JournalPosition>() else { continue };
        match manager.subscribe(position) {
            Ok(_) if position.sequence == 0 => {}
            Ok(mut entries) => {
                taken += 1;
                assert_eq!(lineages.get(&position.sequence), Some(&position.lineage), "{forged}");
                let next = entries.try_next().expect("sound").expect("an entry");
                assert_eq!(next.sequence, position.sequence + 1);
            }
            Err(JournalError::Rewound { to }) => assert!(to < position.sequence, "{forged}"),
            Err(error) => panic!("{forged}: {error}"),
        }
    }
    assert!(taken > 0, "not even the text itself");
}

/// A consumer that keeps all it has seen, and a position of each entry.
#[derive(Default)]
struct Store {
    seen: Vec<(AuditEntry, JournalPosition)>,
    /// How often it had to undo entries.
    undone: usize,
}

impl Store {
    /// Follows `manager`: undoes what is lost, then takes what is new.
    fn follow(&mut self, manager: &InventoryManager, buffered: bool, steps: usize) {
        let last = self.seen.last().map(|(_, at)| *at).unwrap_or_default();
        let entries = match manager.subscribe(last) {
            Ok(entries) => entries,
            Err(JournalError::Rewound { to }) => {
                assert!(to < last.sequence);
                self.undone += 1;
                let kept: Vec<_> = self.seen.iter().map(|(_, at)| *at).collect();
                let undone = manager.undone_since(&kept).expect("a place to go on");
                assert_eq!(undone.entries.end, last.sequence + 1);
                self.seen.retain(|(it, _)| !undone.entries.contains(&it.sequence));
                let now = self.seen.last().map_or(0, |(it, _)| it.sequence);
                assert_eq!(undone.go_on_after.sequence, now);
                manager.subscribe(undone.go_on_after).expect("just answered")
            }
            Err(error) => panic!("{error}"),
        };
        let mut entries = if buffered { entries.including_buffered() } else { entries };
        for _ in 0..steps {
            let Some(entry) = entries.try_next().expect("sound") else { break };
            self.seen.push((entry, entries.position()));
        }
    }
}

/// Whatever is backed up, restored, killed and lost: what a consumer has is what the journal has.
#[test]
fn a_consumer_stays_in_step_over_any_backups_restores_and_crashes() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut undone = 0;
    for round in 0..12 {
        let mut disk = SimulatedDisk::new();
        let mut copies: Vec<SimulatedDisk> = Vec::new();
        let mut store = Store::default();
        let mut units = 0;
        for step in 0..14 {
            let manager = engine_on(on(&disk).segment_bytes(900)).build().expect("sound");
            for _ in 0..1 + random.below(4) {
                for _ in 0..random.below(6) {
                    // Each entry of any history differs from all others.
                    units += 1;
                    manager.add_stock(LAPTOPS, units, "SUPPLIER").expect("room");
                }
                match random.below(3) {
                    0 => manager.run_until_idle(),
                    _ => manager.flush().wait().expect("on the disk"),
                }
                let steps = if random.below(2) == 0 { usize::MAX } else { random.below(9) };
                store.follow(&manager, random.below(2) == 0, steps);
                if random.below(3) == 0 {
                    let copy = SimulatedDisk::new();
                    manager.backup_to(&copy).expect("a copy");
                    copies.push(copy);
                }
            }
            manager.run_until_idle();
            let mut whole = manager.subscribe(JournalPosition::default()).expect("all is there");
            whole = whole.including_buffered();
            for (seen, _) in &store.seen {
                let there = whole.try_next().expect("sound");
                assert_eq!(there.as_ref(), Some(seen), "seed {seed}, round {round}, step {step}");
            }
            match random.below(4) {
                0 => drop(manager),
                1 => disk = disk.killed(),
                2 => disk = disk.crash_and_reopen(seed + step),
                _ => {
                    if let Some(copy) = copies.get(random.below(copies.len().max(1))) {
                        disk = copy.killed();
                    }
                }
            }
        }
        undone += store.undone;
    }
    assert!(undone > 0, "seed {seed}: nothing was ever lost");
}

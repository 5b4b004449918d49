//! A ledger beside the engine: it follows the journal, and stays in step with it even when an older
//! backup of the journal is restored. See `docs/followers.md`.
//!
//! `cargo run --release --example follower`

use std::error::Error;

use stockade::{
    AdjustmentType, AuditEntry, EntryType, InventoryManager, JournalError, JournalPosition,
};

/// How many steps the ledger can undo: as many as may be lost in a restore.
const KEPT: usize = 10_000;

/// The other store. A real one does each method in one transaction.
#[derive(Default)]
struct Ledger {
    units_sold: u64,
    position: JournalPosition,
    /// The newest steps: the position after each, and how many units it booked.
    steps: Vec<(JournalPosition, u64)>,
}

impl Ledger {
    fn book(&mut self, entry: &AuditEntry, position: JournalPosition) {
        let sold = entry.entry_type == EntryType::Movement(AdjustmentType::Sold);
        let units = if sold { u64::from(entry.quantity) } else { 0 };
        self.units_sold += units;
        self.position = position;
        self.steps.push((position, units));
        let old = self.steps.len().saturating_sub(KEPT);
        self.steps.drain(..old);
    }

    /// Undoes the steps after `position`.
    fn undo_to(&mut self, position: JournalPosition) {
        while let Some((at, units)) = self.steps.pop_if(|(at, _)| at.sequence > position.sequence) {
            say(&format!("  undoes entry {}, {units} units", at.sequence));
            self.units_sold -= units;
        }
        self.position = position;
    }

    /// Takes all that is on the disk.
    fn follow(&mut self, manager: &InventoryManager) -> Result<(), JournalError> {
        let mut entries = match manager.subscribe(self.position) {
            Err(JournalError::Rewound { to }) => {
                say(&format!("  the journal was cut back to about entry {to}"));
                let kept: Vec<_> = self.steps.iter().map(|(at, _)| *at).collect();
                self.undo_to(manager.undone_since(&kept)?.go_on_after);
                manager.subscribe(self.position)?
            }
            subscribed => subscribed?,
        };
        while let Some(entry) = entries.try_next()? {
            self.book(&entry, entries.position());
        }
        // Now the retention may remove what is booked.
        manager.consumer("ledger")?.acknowledge(self.position)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("stockade-ledger-{}", std::process::id()));
    let (here, backup) = (directory.join("journal"), directory.join("backup"));
    let open = |at| InventoryManager::builder().warehouse("SF").journal(at).build();
    let shoes = ("SF", "SHOES");
    let mut ledger = Ledger::default();

    let manager = open(&here)?;
    manager.add_stock(shoes, 100, "SUPPLIER")?;
    manager.sell(shoes, 5)?;
    manager.flush().wait()?;
    manager.backup(&backup)?;
    manager.sell(shoes, 7)?;
    manager.flush().wait()?;
    ledger.follow(&manager)?;
    check(&ledger, &manager)?;
    drop(manager);

    // The disk is lost, and the backup is put in its place. Trade goes on, past the same numbers.
    let manager = open(&backup)?;
    for _ in 0..20 {
        manager.sell(shoes, 1)?;
    }
    manager.flush().wait()?;
    ledger.follow(&manager)?;
    check(&ledger, &manager)?;
    drop(manager);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// The ledger has what the engine has.
fn check(ledger: &Ledger, manager: &InventoryManager) -> Result<(), Box<dyn Error>> {
    let sold = u64::from(manager.sold(("SF", "SHOES"))?);
    say(&format!("the engine sold {sold}, the ledger booked {}", ledger.units_sold));
    if sold == ledger.units_sold { Ok(()) } else { Err("out of step".into()) }
}

#[allow(clippy::print_stdout, reason = "an example talks")]
fn say(line: &str) {
    println!("{line}");
}

//! Compares the engine's live counts with what its journal adds up to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::base::error::JournalError;
use crate::engine::{Engine, InventoryManager};
use crate::journal::follow::auditor::Auditor;
use crate::journal::format::head::JournalHead;
use crate::journal::format::segment::Point;
use crate::journal::ledger::Ledger;
use crate::journal::recovery::start;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::handle::{LevelHandle, LevelIndex};
use crate::stock::level::Counts;

/// The result of comparing an engine with its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveVerifyReport {
    /// The point up to which the journal was replayed.
    pub head: JournalHead,
    /// How many levels have the same counts in the engine and in the journal.
    pub equal: usize,
    /// How many levels were equal at no look, and changed meanwhile. They cannot be called equal or
    /// broken.
    pub under_way: usize,
    /// Levels that showed the same difference at every look, without any change.
    pub broken: Vec<BrokenLevel>,
    /// What subjects have drawn under [limits](InventoryManager::define_limit): those of which the
    /// same differed at every look.
    pub broken_allowances: Vec<BrokenAllowance>,
}

impl LiveVerifyReport {
    /// Whether no level is broken, and no allowance.
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty() && self.broken_allowances.is_empty()
    }
}

/// What a subject has drawn under a limit, where the engine and its journal differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenAllowance {
    /// The number of the limit, as entries bear it.
    pub limit: u32,
    /// The subject.
    pub subject: SubjectHash,
    /// What the engine counts.
    pub live: u32,
    /// What the journal adds up to.
    pub journal: u32,
}

/// A level whose live counts differ from what the journal adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenLevel {
    /// The level's handle.
    pub level: LevelHandle,
    /// Its warehouse.
    pub warehouse: Arc<str>,
    /// Its product.
    pub product: Arc<str>,
    /// The engine's counts.
    pub live: Counts,
    /// The journal's counts.
    pub journal: Counts,
}

/// How many times a differing level is read. A level that does not change shows the same difference
/// at every look.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
impl InventoryManager {
    /// Compares the live counts of every level, and what each subject has drawn under a limit in
    /// force, with what the journal adds up to. Works under load,
    /// and stops no call. A level is equal if one look finds it equal, and broken if every look
    /// finds the same difference. Otherwise it was changing, and is counted as *under way*.
    ///
    /// Waits for the disk, and until the auditor has replayed the journal up to that point. If
    /// anything differs, it takes about a tenth of a second more. Without the auditor (see
    /// [`JournalOptions::auditor`](crate::JournalOptions::auditor)) it reads the whole journal.
    ///
    /// # Errors
    /// [`JournalError::BrokenLaw`] or [`JournalError::Damaged`] if the journal itself is not sound;
    /// [`JournalError::NoJournal`] without a journal; [`JournalError::Storage`] if the disk fails.
    ///
    /// ```
    /// # let name = format!("stockade-verify-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// use stockade::InventoryManager;
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let found = manager.verify()?;
    /// assert!(found.is_sound() && found.equal == 1);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self) -> Result<LiveVerifyReport, JournalError> {
        let journal = self.journal_link()?;
        match &journal.auditing {
            Some(auditing) => self.compare(|last, look| auditing.catch_up(last, look)),
            None => {
                let storage = Arc::clone(&journal.storage);
                let (ledger, at) = start::whole(&*storage)?;
                let mut auditor = Auditor::new(storage, ledger, at);
                self.compare(|last, look| {
                    auditor.catch_up(last)?;
                    look(&auditor.ledger);
                    Ok(auditor.at())
                })
            }
        }
    }

    fn compare(
        &self,
        mut replay_to: impl FnMut(u64, &mut dyn FnMut(&Ledger)) -> Result<Point, JournalError>,
    ) -> Result<LiveVerifyReport, JournalError> {
        let progress = &self.journal_link()?.progress;
        let live = |handle| self.engine.catalog.level(handle).map(|level| level.counts());
        let count = self.engine.catalog.level_count();
        let mut open: Vec<UnmatchedLevel> =
            (0..count).map(|index| (LevelIndex(index as u32), None, 0)).collect();
        let mut allowances = UnmatchedAllowances::default();
        let (mut equal, mut end) = (0, Point::START);
        for look in 0..LOOKS {
            if look > 0 {
                thread::sleep(BETWEEN_LOOKS);
            }
            let before: Vec<Option<Counts>> = open.iter().map(|(level, ..)| live(*level)).collect();
            let drawn_before = self.engine.all_drawn();
            self.flush().wait().map_err(|error| JournalError::Storage {
                action: "sync",
                file: "the journal".to_owned(),
                reason: error.to_string(),
            })?;
            let (mut journaled, mut drawn) = (Vec::new(), DrawnUnits::new());
            end = replay_to(progress.durable(), &mut |ledger| {
                journaled = open.iter().map(|(level, ..)| counts_in(ledger, *level)).collect();
                drawn = drawn_in(ledger);
            })?;
            allowances.look(&drawn_before, &drawn, &self.engine.all_drawn());
            let mut looks = before.into_iter().zip(journaled);
            open.retain_mut(|(level, seen, same)| {
                let Some((Some(before), journal)) = looks.next() else { return false };
                if live(*level) == Some(before) {
                    if before == journal {
                        equal += 1;
                        return false;
                    }
                    *same = if *seen == Some((before, journal)) { *same + 1 } else { 1 };
                    *seen = Some((before, journal));
                } else {
                    (*seen, *same) = (None, 0);
                }
                true
            });
            if open.is_empty() && allowances.0.is_empty() {
                break;
            }
        }
        let under_way = open.iter().filter(|(_, _, same)| *same < LOOKS).count();
        let broken = open.into_iter().filter(|(_, _, same)| *same >= LOOKS);
        let broken = broken.filter_map(|(level, seen, _)| {
            let (warehouse, product) = self.engine.names_of(level);
            let (live, journal) = seen?;
            let level = self.engine.handle(level);
            Some(BrokenLevel { level, warehouse, product, live, journal })
        });
        let head = JournalHead { sequence: end.sequence, hash: end.hash };
        let (broken, broken_allowances) = (broken.collect(), allowances.broken());
        Ok(LiveVerifyReport { head, equal, under_way, broken, broken_allowances })
    }
}

/// A level that was not yet found equal. Then its counts (live, journal) at the last look, if the
/// live ones stood still. Then how many looks in a row showed these counts.
type UnmatchedLevel = (LevelIndex, Option<(Counts, Counts)>, usize);

/// What is drawn on each allowance of a limit in force.
type DrawnUnits = BTreeMap<AllowanceKey, u32>;

/// Allowances that differ, what they showed at the last look (live, journal), and how many looks in
/// a row showed that.
#[derive(Default)]
struct UnmatchedAllowances(BTreeMap<AllowanceKey, ((u32, u32), usize)>);

impl UnmatchedAllowances {
    /// Takes a look in: what was drawn before and after the journal was read, and what it says.
    fn look(&mut self, before: &DrawnUnits, journal: &DrawnUnits, after: &DrawnUnits) {
        let mut differing = BTreeMap::new();
        for key in before.keys().chain(journal.keys()) {
            let [was, told, is] = [before, journal, after].map(|all| all.get(key).copied());
            let seen = (was.unwrap_or(0), told.unwrap_or(0));
            // One that moves is looked at again.
            if seen.0 != seen.1 || was != is {
                let looks = match self.0.get(key) {
                    Some((last, looks)) if *last == seen && was == is => looks + 1,
                    _ => usize::from(was == is),
                };
                differing.insert(*key, (seen, looks));
            }
        }
        self.0 = differing;
    }

    fn broken(self) -> Vec<BrokenAllowance> {
        let broken = self.0.into_iter().filter(|(_, (_, looks))| *looks >= LOOKS);
        let report = |(key, ((live, journal), _)): (AllowanceKey, ((u32, u32), usize))| {
            BrokenAllowance { limit: key.rule.0, subject: key.subject, live, journal }
        };
        broken.map(report).collect()
    }
}

fn drawn_in(ledger: &Ledger) -> DrawnUnits {
    let in_force =
        |key: &AllowanceKey| ledger.limits.rules.get(&key.rule).is_some_and(|it| !it.dropped);
    let all = ledger.limits.allowances.iter().filter(|(key, _)| in_force(key));
    all.map(|(key, state)| (*key, state.used)).collect()
}

impl Engine {
    fn all_drawn(&self) -> DrawnUnits {
        let in_force: BTreeSet<RuleNumber> =
            self.rules.definitions().into_iter().map(|rule| rule.number).collect();
        let mut all = DrawnUnits::new();
        if !in_force.is_empty() {
            self.catalog.allowances().each(|key, used| {
                if in_force.contains(&key.rule) {
                    all.insert(key, used);
                }
            });
        }
        all
    }
}

fn counts_in(ledger: &Ledger, level: LevelIndex) -> Counts {
    ledger.levels.get(level.index()).map_or_else(Counts::default, |level| Counts {
        available: level.available,
        reserved: level.reserved,
        sold: level.sold,
        tracked: level.tracked,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::quantity::Quantity;
    use crate::engine::view::stats::Health;
    use crate::journal::options::JournalOptions;
    use crate::journal::storage::simulated::SimulatedDisk;

    #[test]
    fn a_level_whose_counts_went_astray_is_found_and_the_others_are_not_blamed() {
        for auditor in [true, false] {
            let journal = JournalOptions::storage(SimulatedDisk::new()).auditor(auditor);
            let builder = InventoryManager::builder().warehouse("SF").journal(journal);
            let manager = builder.build().expect("a new journal");
            manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
            manager.add_stock(("SF", "MOUSE"), 10, "SUPPLIER").expect("room");
            assert_eq!(manager.verify().map(|it| (it.equal, it.is_sound())), Ok((2, true)));
            let mouse = manager.stock_level(("SF", "MOUSE")).expect("a level");
            mouse.receive(Quantity::new(3).expect("legal"), &*manager.engine);
            let found = manager.verify().expect("a sound journal");
            assert_eq!((found.equal, found.under_way), (1, 0));
            let [broken] = &found.broken[..] else { panic!("{found:?}") };
            assert_eq!((&*broken.product, broken.live.available), ("MOUSE", 13));
            assert_eq!(broken.journal.available, 10);
        }
    }

    #[test]
    fn an_entry_that_breaks_a_law_shows_in_health_while_the_engine_runs() {
        let journal = JournalOptions::storage(SimulatedDisk::new()).least_free_space(0);
        let builder = InventoryManager::builder().warehouse("SF").journal(journal);
        let manager = builder.build().expect("a new journal");
        manager.add_stock(("SF", "MOUSE"), 10, "SUPPLIER").expect("room");
        // Units without a record, and then a reservation that takes some of them.
        let mouse = manager.stock_level(("SF", "MOUSE")).expect("a level");
        mouse.receive(Quantity::new(3).expect("legal"), &*manager.engine);
        manager.reserve(("SF", "MOUSE"), 13, Duration::from_secs(60)).expect("stock");
        manager.flush().wait().expect("written");
        let entry = manager.audit_log().newest_sequence();
        let found = format!("the auditor found that entry {entry} breaks a law");
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            match manager.health() {
                Health::Degraded { reason } if reason.contains(&found) => break,
                health => assert!(std::time::Instant::now() < deadline, "{health:?}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
        let broken = manager.verify().expect_err("it stays");
        assert!(matches!(broken, JournalError::BrokenLaw { sequence, .. } if sequence == entry));
    }
}

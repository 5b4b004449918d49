//! Repeated `kill -9`: everything acknowledged is in the journal, and every law holds.
//!
//! `STOCKADE_KILLS` sets the number of kills, instead of the numbers below. `STOCKADE_SEED` sets
//! when they come.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    AdjustmentType, AuditFilter, BasketLine, Durability, EntryType, InventoryManager, JournalError,
    JournalReader, LimitCounts, LimitRule, NoReservation, ReservationId, ReservationStatus,
};

use super::random::{PRODUCTS, WAREHOUSES, builder, journal};
use super::{count, folder, result_of, run, stockade, text};

/// Tells a child process of this program that it will be killed, and where to work.
const VICTIM: &str = "STOCKADE_CRASH_VICTIM";
const HOLD: Duration = Duration::from_secs(600);
const CLERKS: u64 = 3;
/// Each may hold so many units at a time.
const CUSTOMERS: u64 = 30;
const HELD_EACH: u32 = 3;
const SECRET: [u8; 16] = [7; 16];

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn pick<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.below(names.len() as u64) as usize]
    }
}

/// Where the victims of a journal note what was acknowledged to them.
fn notebook(folder: &str) -> String {
    format!("{folder}.acknowledged")
}

/// Works on a journal until it is killed, and notes each answer after receiving it.
#[test]
#[ignore = "run by the tests below, to be killed"]
fn victim() {
    let Ok(folder) = std::env::var(VICTIM) else { return };
    let journal = journal(&folder).sync_interval(Duration::from_millis(5));
    let manager = builder(journal).subject_secret(SECRET).build();
    let manager = manager.expect("a journal that a crash has left");
    for (warehouse, product) in WAREHOUSES.iter().flat_map(|w| PRODUCTS.map(|p| (*w, p))) {
        manager.add_stock((warehouse, product), 500, "SUPPLIER").expect("room");
    }
    limit(&manager);
    thread::scope(|scope| {
        for clerk in 0..CLERKS {
            let manager = &manager;
            let name = format!("{}/{}-{clerk}", notebook(&folder), std::process::id());
            scope.spawn(move || serve(manager, File::create(name).expect("a notebook"), clerk));
        }
    });
}

/// What customers may hold at a time, and what they have bought. The last changes with each victim.
fn limit(manager: &InventoryManager) {
    let rule = |name, most| LimitRule::new(name, "customer", most).products(PRODUCTS);
    let held = rule("held", HELD_EACH).counts(LimitCounts::Holds);
    let bought = rule("bought", 10_000 + std::process::id() % 100).counts(LimitCounts::SalesKept);
    for limit in [held, bought] {
        manager.define_limit(limit).expect("a limit");
    }
}

/// One thread of a victim. A line is one write, so a killed process loses no written line.
fn serve(manager: &InventoryManager, mut notes: File, clerk: u64) {
    let mut random = Random(u64::from(std::process::id()) << 8 | clerk);
    let mut holds: Vec<ReservationId> = Vec::new();
    loop {
        let place = (random.pick(&WAREHOUSES), random.pick(&PRODUCTS));
        let durably = if random.below(3) == 0 { Durability::Synced } else { Durability::Buffered };
        let mut done = String::new();
        let mut note = |what: &str, id: ReservationId| done += &format!("{what} {id}\n");
        let customer = [random.below(CUSTOMERS) as u8];
        let request = || manager.request().durability(durably).subject("customer", customer);
        match random.below(8) {
            0 => drop(manager.add_stock(place, 40, "SUPPLIER")),
            1..=3 => {
                if let Ok(id) = request().reserve(place, 1, HOLD) {
                    note("Reserved", id);
                    holds.push(id);
                }
            }
            4 => {
                let lines = WAREHOUSES.map(|warehouse| BasketLine::new((warehouse, place.1), 1));
                if let Ok(id) = request().reserve_basket(&lines, HOLD) {
                    note("Reserved", id);
                    holds.push(id);
                }
            }
            5 | 6 if !holds.is_empty() => {
                let id = holds.swap_remove(random.below(holds.len() as u64) as usize);
                let (what, ended) = match random.below(2) {
                    0 => ("Sold", request().confirm(id).is_ok()),
                    _ => ("Returned", manager.request().durability(durably).release(id).is_ok()),
                };
                if ended {
                    note(what, id);
                }
            }
            5 | 6 => {}
            _ => {
                drop(manager.ship(place, 1));
                drop(manager.transfer(place.0, random.pick(&WAREHOUSES), place.1, 1));
            }
        }
        if durably == Durability::Buffered && !done.is_empty() {
            // Without a flush, nothing is acknowledged.
            if random.below(2) == 0 || manager.flush().wait().is_err() {
                continue;
            }
        }
        notes.write_all(done.as_bytes()).expect("a notebook");
    }
}

fn start_victim(folder: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["crash::victim", "--exact", "--ignored", "--nocapture"]).env(VICTIM, folder);
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::piped());
    quiet.spawn().expect("this program can be started")
}

/// What a test does to a process at an arbitrary moment.
pub(super) type End<'a> = &'a mut dyn FnMut(Child);

/// Kills a process like `kill -9`. It must have been alive until then.
fn kill(mut child: Child) {
    let over = child.try_wait().expect("a process");
    child.kill().expect("a process that lives");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(over, None, "it ended by itself: {}", text(&output.stderr));
}

/// Everything acknowledged to any victim: entry types with their reservations.
fn acknowledged(folder: &str) -> Vec<(EntryType, ReservationId)> {
    let mut told = Vec::new();
    for notes in fs::read_dir(notebook(folder)).expect("notebooks") {
        let notes = fs::read_to_string(notes.expect("a file").path()).expect("text");
        // An incomplete line was not acknowledged.
        for line in notes.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let (what, id) = line.split_once(' ').expect("a type and an id");
            told.push((what.parse().expect("a type"), id.parse().expect("an id")));
        }
    }
    told
}

/// Checks a journal as a kill left it. Returns how many of its entries were acknowledged.
fn check(folder: &str, context: &str) -> usize {
    let told = acknowledged(folder);
    let mut journal = JournalReader::new(folder);
    match journal.verify(None) {
        Ok(_) => {}
        // The process was killed before it created the journal.
        Err(error) if error.error == JournalError::NoJournal && told.is_empty() => return 0,
        Err(error) => panic!("{context}: {error}"),
    }
    let mut there: HashSet<(EntryType, ReservationId)> = HashSet::new();
    let read = journal.entries(&AuditFilter::new().limit(usize::MAX), |entry| {
        there.extend(entry.reservation.map(|id| (entry.entry_type, id)));
    });
    read.expect("it was verified");
    for noted in &told {
        assert!(there.contains(noted), "{context}: {noted:?} was acknowledged, and is gone");
    }
    check_engine(folder, &told, context);
    told.len()
}

/// Opens a copy of the journal, so that the next victim finds the original, and checks the restored
/// state.
fn check_engine(folder: &str, told: &[(EntryType, ReservationId)], context: &str) {
    let copy = format!("{folder}.copy");
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy).expect("a folder");
    for file in fs::read_dir(folder).expect("a journal") {
        let from = file.expect("a file").path();
        fs::copy(&from, Path::new(&copy).join(from.file_name().expect("a name"))).expect("a copy");
    }
    let stock = JournalReader::new(&copy).stock(None).expect("it was verified");
    let manager = builder(journal(&copy)).without_threads().subject_secret(SECRET).build();
    let manager = manager.unwrap_or_else(|error| panic!("{context}: {error}"));
    for row in &stock.rows {
        let place = (&*row.warehouse, &*row.product);
        let live = manager.counts(place).expect("known");
        let counts = (live.available, live.reserved, live.sold);
        assert_eq!((row.available, row.reserved, row.sold), counts, "{context}: {place:?}");
        let page = manager.reservations(place, None, usize::MAX).expect("a level");
        let lines = page.reservations.iter().flat_map(|it| &it.lines);
        let own = lines.filter(|it| (&*it.warehouse, &*it.product) == place);
        let held: u32 = own.map(|line| line.held).sum();
        assert_eq!(live.held(), held, "{context}: units held in {place:?}");
    }
    check_limits(&manager, context);
    let mut last: HashMap<ReservationId, EntryType> = HashMap::new();
    for (what, id) in told {
        let reserved = *what == AdjustmentType::Reserved.into();
        last.entry(*id).and_modify(|it| *it = if reserved { *it } else { *what }).or_insert(*what);
    }
    for (id, what) in last {
        let status = manager.reservation(id).map(|it| it.status);
        let is_right = match status {
            Err(NoReservation::Forgotten) => true,
            Err(_) => false,
            Ok(ReservationStatus::Confirmed) => what != AdjustmentType::Returned.into(),
            Ok(ReservationStatus::Released) => what != AdjustmentType::Sold.into(),
            // The kill came before the call that would have ended it.
            Ok(status) => {
                status == ReservationStatus::Pending && what == AdjustmentType::Reserved.into()
            }
        };
        assert!(is_right, "{context}: {id} was {what}, and is {status:?}");
    }
    drop(manager);
    fs::remove_dir_all(&copy).expect("a folder");
}

/// Checks that what customers hold is what has been drawn for them, and no more than they may.
fn check_limits(manager: &InventoryManager, context: &str) {
    let drawn = manager.verify().expect("a journal").broken_allowances;
    assert!(drawn.is_empty(), "{context}: {drawn:?}");
    // The first victim may not have come so far.
    for limit in manager.limits() {
        for customer in 0..CUSTOMERS as u8 {
            let usage = manager.usage(&limit.name, [customer]).expect("a limit");
            assert!(usage.used <= usage.maximum, "{context}: {customer} {usage:?}");
            if limit.counts == LimitCounts::Holds {
                let holds = manager.holds_of_subject("customer", [customer]);
                let held: u32 = holds.iter().flat_map(|it| &it.lines).map(|line| line.held).sum();
                assert_eq!(usage.used, held, "{context}: what {customer} holds");
            }
        }
    }
}

/// How many acknowledgements a journal must have, so that its test shows something.
const ENOUGH: usize = 10;

fn wait_for_acknowledgements(folder: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while acknowledged(folder).len() <= ENOUGH && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends engines under load, one after another, on journals that each engine resumes for a while.
pub(super) fn end_engines(name: &str, kills: u64, end: End<'_>) {
    const ON_ONE_JOURNAL: u64 = 10;
    let (kills, seed) = (number("STOCKADE_KILLS", kills), number("STOCKADE_SEED", 1));
    let mut random = Random(seed);
    for journal in 0..kills.div_ceil(ON_ONE_JOURNAL) {
        let folder = folder(name);
        let _ = fs::remove_dir_all(notebook(&folder));
        fs::create_dir_all(notebook(&folder)).expect("a folder");
        let mut most = 0;
        for round in 0..ON_ONE_JOURNAL.min(kills - journal * ON_ONE_JOURNAL) {
            let victim = start_victim(&folder);
            // Some die while they open the journal, some in the middle of their work.
            let longest = if random.below(4) == 0 { 40 } else { 250 };
            let life = random.below(longest);
            thread::sleep(Duration::from_millis(life));
            // The last one gets to work, however slow the machine is.
            if round + 1 == ON_ONE_JOURNAL.min(kills - journal * ON_ONE_JOURNAL) {
                wait_for_acknowledgements(&folder);
            }
            end(victim);
            let context = format!("seed {seed}, journal {journal}, round {round}, after {life} ms");
            most = check(&folder, &context).max(most);
        }
        assert!(most > ENOUGH, "journal {journal}: no more than {most} acknowledgements");
    }
}

/// Ends sales, and lets the last one finish.
pub(super) fn end_sales(name: &str, kills: u64, end: End<'_>) {
    let (kills, seed) = (number("STOCKADE_KILLS", kills), number("STOCKADE_SEED", 1));
    let mut random = Random(seed ^ 0x5a1e);
    let folder = folder(name);
    let sale = ["flash-sale", "--journal", &folder, "--products", "3", "--buyers", "4"];
    let mut found = 0;
    for round in 0..kills {
        let durability = if random.below(2) == 0 { "synced" } else { "buffered" };
        // Holds of a killed run live on, or fall due meanwhile.
        let ttl = if random.below(2) == 0 { "60000" } else { "20" };
        let more = ["--attempts", "100000000", "--durability", durability, "--ttl-ms", ttl];
        let mut command = stockade(&[&sale[..], &more].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let life = 20 + random.below(150);
        thread::sleep(Duration::from_millis(life));
        end(child.expect("the program can be started"));
        let context = format!("seed {seed}, round {round}, {durability}, after {life} ms");
        let verified = run(&["audit", "verify", &folder]);
        // After the first kill there may be no journal yet.
        let may = if found == 0 { &[Some(0), Some(2)][..] } else { &[Some(0)] };
        assert!(may.contains(&verified.status.code()), "{context}: {}", text(&verified.stdout));
        if round % 4 == 3 || round + 1 == kills {
            let result = result_of(&[&sale[..], &["--attempts", "300", "--ttl-ms", "5"]].concat());
            assert_eq!(result["conserved"], true, "{context}: {result:#}");
            assert_eq!(count(&result, "oversold_units"), 0, "{context}");
            found = count(&result["journal"]["found"], "entries");
        }
    }
    assert!(found > 100, "only {found} entries");
}

#[test]
fn what_a_killed_engine_acknowledged_is_there() {
    end_engines("crash-engines", 20, &mut kill);
}

#[test]
fn a_killed_sale_goes_on_and_every_unit_is_accounted_for() {
    end_sales("crash-sales", 8, &mut kill);
}

#[test]
#[ignore = "takes minutes"]
fn what_many_killed_engines_acknowledged_is_there() {
    end_engines("crash-many-engines", 240, &mut kill);
}

#[test]
#[ignore = "takes minutes"]
fn many_killed_sales_go_on() {
    end_sales("crash-many-sales", 60, &mut kill);
}

//! Random histories: threads that start together make calls, and record the answers.
//!
//! It has only calls that take effect at one instant. Adding, removing and shipping stock are left
//! out: they first take from a warehouse's room or a level, and give to the other last, on purpose
//! (Law 2).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stockade::{
    BasketError, BasketLine, ConfirmError, FulfillError, Gone, InventoryManager, LevelRef, Limits,
    ManualClock, Release, ReleaseError, ReservationId, ReserveError, Timestamp, TransferError,
    WarehouseSpec,
};

use crate::checker::Call;
use crate::model::{Answered, State};
use crate::threads::{Start, scope, spin_loop};

const HOUR: Duration = Duration::from_secs(3_600);

/// The levels of all calls, and the number of each level's warehouse.
const LEVELS: [(&str, &str); 3] = [("SF", "LAPTOP"), ("NYC", "LAPTOP"), ("SF", "MOUSE")];
const WAREHOUSES: [usize; 3] = [0, 1, 0];
const PLACES: [&str; 2] = ["SF", "NYC"];
/// Few units and little room, so that many calls are refused.
const STOCK: [u32; 3] = [6, 3, 3];
const CAPACITY: [u32; 2] = [12, 6];

/// Random numbers from a seed: SplitMix64.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn units(&mut self, most: u64) -> u32 {
        1 + self.below(most) as u32
    }

    fn level(&mut self) -> usize {
        self.below(LEVELS.len() as u64) as usize
    }
}

/// A call to be made.
#[derive(Clone, Debug)]
enum Step {
    Reserve {
        level: usize,
        units: u32,
    },
    /// Confirms or releases the last hold of this thread, or one that all threads know.
    End {
        sell: bool,
        own: bool,
        shared: usize,
    },
    Transfer {
        from: usize,
        to: usize,
        units: u32,
    },
    Basket {
        lines: Vec<(usize, u32)>,
    },
    Fulfil {
        order: Vec<usize>,
        units: u32,
    },
    Snapshot,
    Look {
        level: usize,
    },
    Resize {
        warehouse: usize,
        units: u32,
    },
    LookForRoom {
        warehouse: usize,
    },
}

impl Step {
    fn random(random: &mut Random) -> Self {
        match random.below(17) {
            0 | 1 => Self::Reserve { level: random.level(), units: random.units(3) },
            2..=4 => Self::End {
                sell: random.below(3) == 0,
                own: random.below(2) == 0,
                shared: random.below(2) as usize,
            },
            5..=7 => {
                let from = random.below(2) as usize;
                Self::Transfer { from, to: 1 - from, units: random.units(4) }
            }
            8..=10 => {
                let mut lines =
                    vec![(0, random.units(3)), (1, random.units(3)), (2, random.units(3))];
                lines.remove(random.below(5) as usize % 3);
                Self::Basket { lines }
            }
            11 => {
                let first = random.below(2) as usize;
                Self::Fulfil { order: vec![first, 1 - first], units: random.units(8) }
            }
            12 => Self::Snapshot,
            13 => Self::Look { level: random.level() },
            14 | 15 => {
                // Often less than what lies inside.
                let warehouse = random.below(2) as usize;
                Self::Resize { warehouse, units: random.units(CAPACITY[warehouse].into()) }
            }
            _ => Self::LookForRoom { warehouse: random.below(2) as usize },
        }
    }
}

/// The calls of each thread.
#[derive(Debug)]
pub(crate) struct Plan {
    threads: Vec<Vec<(Step, u32)>>,
}

/// A hold: its id and its lines.
type Hold = (usize, ReservationId, Vec<(usize, u32)>);

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let threads = 3 + random.below(2);
        let steps = |random: &mut Random| {
            let count = 3 + random.below(3);
            // Before each call a pause of its own length, so that the threads meet everywhere.
            (0..count).map(|_| (Step::random(random), random.below(40) as u32)).collect()
        };
        Self { threads: (0..threads).map(|_| steps(&mut random)).collect() }
    }

    /// Makes the calls on a new engine. Returns their answers, and the state before.
    pub(crate) fn run(&self) -> (Vec<Call>, State) {
        let site = Site { thread: 0, manager: &engine(), moment: &AtomicU64::new(0) };
        let stock = STOCK.map(|units| (units, 0)).to_vec();
        let initial = State::new(stock, CAPACITY.to_vec(), WAREHOUSES.to_vec());
        // Two holds that all threads may release.
        let mut shared: Vec<Hold> = Vec::new();
        let mut calls: Vec<Call> = [vec![(0, 2)], vec![(1, 1), (2, 1)]]
            .into_iter()
            .filter_map(|lines| {
                let number = shared.len();
                site.call(&Step::Basket { lines }, number, &mut shared, &[])
            })
            .collect();
        let start = Start::of(self.threads.len());
        calls.extend(scope(|scope| {
            let (site, shared, start) = (&site, &shared, &start);
            let mut threads = Vec::new();
            for (thread, steps) in self.threads.iter().enumerate() {
                threads.push(scope.spawn(move || {
                    start.together();
                    run_thread(Site { thread, ..*site }, steps, shared)
                }));
            }
            let calls = threads.into_iter().flat_map(|thread| thread.join().expect("no panic"));
            calls.collect::<Vec<_>>()
        }));
        calls.extend(site.call(&Step::Snapshot, 0, &mut Vec::new(), &[]));
        (calls, initial)
    }
}

fn run_thread(site: Site<'_>, steps: &[(Step, u32)], shared: &[Hold]) -> Vec<Call> {
    let mut own = Vec::new();
    let call = |(at, (step, pause)): (usize, &(Step, u32))| {
        (0..*pause).for_each(|_| spin_loop());
        site.call(step, 10 * (site.thread + 1) + at, &mut own, shared)
    };
    steps.iter().enumerate().filter_map(call).collect()
}

fn engine() -> InventoryManager {
    let builder = InventoryManager::builder()
        .warehouse(WarehouseSpec::new("SF").capacity(CAPACITY[0]))
        .warehouse(WarehouseSpec::new("NYC").capacity(CAPACITY[1]))
        .clock(ManualClock::at(Timestamp::from_millis(1)))
        .seed(1)
        .limits(Limits::new().max_reservations(1 << 10).audit_queue(256))
        .without_threads();
    let manager = builder.build().expect("a legal engine");
    for (level, units) in LEVELS.into_iter().zip(STOCK) {
        manager.add_stock(level, units, "SUPPLIER").expect("room");
    }
    manager
}

/// The engine of the calls, and the counter that numbers the moments.
#[derive(Clone, Copy)]
struct Site<'a> {
    /// The thread that makes the calls.
    thread: usize,
    manager: &'a InventoryManager,
    moment: &'a AtomicU64,
}

impl Site<'_> {
    /// Makes a call. A new hold gets this number, and is added to `own`. `None` if there was
    /// nothing to do.
    fn call(
        &self,
        step: &Step,
        number: usize,
        own: &mut Vec<Hold>,
        shared: &[Hold],
    ) -> Option<Call> {
        let made = self.moment.fetch_add(1, Ordering::SeqCst);
        let answered = self.make(step, number, own, shared)?;
        let returned = self.moment.fetch_add(1, Ordering::SeqCst);
        Some(Call { thread: self.thread, made, returned, answered })
    }

    fn make(
        &self,
        step: &Step,
        number: usize,
        own: &mut Vec<Hold>,
        shared: &[Hold],
    ) -> Option<Answered> {
        let mut reserved = |id, lines: &[(usize, u32)]| {
            own.push((number, id, lines.to_vec()));
            Answered::Reserved { hold: number, lines: lines.to_vec() }
        };
        Some(match step {
            Step::Reserve { level, units } => {
                match self.manager.reserve(LEVELS[*level], *units, HOUR) {
                    Ok(id) => reserved(id, &[(*level, *units)]),
                    Err(ReserveError::Insufficient { needed, available, .. }) => {
                        Answered::ReserveShort { level: *level, needed, available }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Basket { lines } => match self.manager.reserve_basket(&basket(lines), HOUR) {
                Ok(id) => reserved(id, lines),
                // The first line that is named was short at one instant.
                Err(BasketError::Insufficient { lines, .. }) => Answered::ReserveShort {
                    level: level_of(&lines[0].warehouse, &lines[0].product),
                    needed: lines[0].needed,
                    available: lines[0].available,
                },
                Err(error) => panic!("{error}"),
            },
            Step::End { sell, own: of_own, shared: which } => {
                let own = if *of_own { own.last() } else { None };
                let (hold, id, lines) = own.or(shared.get(*which))?;
                let hold = *hold;
                if *sell {
                    return Some(self.confirm(hold, *id));
                }
                match self.manager.release(*id) {
                    Ok(Release::Released) => Answered::Released { hold, lines: lines.clone() },
                    Ok(Release::AlreadyReleased) => Answered::Over { hold, sold: false },
                    Err(ReleaseError::Sold { .. }) => Answered::Over { hold, sold: true },
                    Err(ReleaseError::Changing) => Answered::InProgress { hold },
                    other => panic!("{other:?}"),
                }
            }
            Step::Transfer { from, to, units } => {
                let (from, to, units) = (*from, *to, *units);
                match self.manager.transfer(LEVELS[from].0, LEVELS[to].0, LEVELS[from].1, units) {
                    Ok(()) => Answered::Transferred { from, to, units },
                    Err(TransferError::Insufficient { available, .. }) => {
                        Answered::TransferShort { from, units, available }
                    }
                    Err(TransferError::OverCapacity { room, .. }) => {
                        Answered::TransferFull { to, units, room }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Fulfil { order, units } => self.fulfil(order, *units, number, own),
            Step::Snapshot => {
                let seen =
                    self.manager.snapshot(&LEVELS.map(LevelRef::from)).expect("all are open");
                let counts = seen.iter().map(|level| (level.available, level.reserved));
                Answered::Seen { levels: counts.enumerate().collect() }
            }
            Step::Look { level } => {
                let level_counts = self.manager.stock_level(LEVELS[*level]).expect("open").counts();
                let counts = (level_counts.available, level_counts.reserved);
                Answered::Seen { levels: vec![(*level, counts)] }
            }
            Step::Resize { warehouse, units } => {
                let set = self.manager.set_capacity(PLACES[*warehouse], *units);
                set.expect("a legal capacity");
                Answered::Resized { warehouse: *warehouse, units: *units }
            }
            Step::LookForRoom { warehouse } => {
                let found = self.manager.warehouse(PLACES[*warehouse]).expect("a warehouse");
                Answered::SeenRoom { warehouse: *warehouse, left: found.room_left() }
            }
        })
    }

    fn confirm(&self, hold: usize, id: ReservationId) -> Answered {
        match self.manager.confirm(id) {
            Ok(()) => Answered::Confirmed { hold },
            Err(ConfirmError::Gone(Gone::Released { .. })) => Answered::Over { hold, sold: false },
            Err(ConfirmError::Gone(Gone::Sold { .. })) => Answered::Over { hold, sold: true },
            Err(ConfirmError::Changing) => Answered::InProgress { hold },
            Err(error) => panic!("{error}"),
        }
    }

    fn fulfil(&self, order: &[usize], units: u32, number: usize, own: &mut Vec<Hold>) -> Answered {
        let warehouses: Vec<_> = order.iter().map(|level| LEVELS[*level].0.into()).collect();
        let order = order.to_vec();
        match self.manager.fulfill_across_warehouses("LAPTOP", units, &warehouses, HOUR) {
            Ok(id) => {
                let lines = self.manager.reservation(id).expect("live").lines;
                let line = |line: &stockade::ReservationLine| {
                    (level_of(&line.warehouse, &line.product), line.quantity)
                };
                let mut lines: Vec<(usize, u32)> = lines.iter().map(line).collect();
                lines.sort_unstable();
                own.push((number, id, lines.clone()));
                Answered::Fulfilled { hold: number, order, units, lines }
            }
            Err(FulfillError::Insufficient { available, .. }) => {
                Answered::FulfilShort { order, units, available }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn basket(lines: &[(usize, u32)]) -> Vec<BasketLine<'static>> {
    lines.iter().map(|(level, units)| BasketLine::new(LEVELS[*level], *units)).collect()
}

fn level_of(warehouse: &str, product: &str) -> usize {
    LEVELS.iter().position(|level| *level == (warehouse, product)).expect("one of them")
}

/// The calls in the order in which they were made, one on each line.
pub(crate) fn shown(calls: &[Call]) -> String {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_unstable_by_key(|call| call.made);
    let line = |call: &&Call| {
        format!(
            "{:>4} -{:>4}  thread {}  {:?}\n",
            call.made, call.returned, call.thread, call.answered
        )
    };
    calls.iter().map(line).collect()
}

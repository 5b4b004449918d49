//! Every call comes to its end, whatever the schedule: nobody waits for a sleeper, and no two undo
//! one another for ever.
//!
//! Random schedules don't show this, for sooner or later they let one thread run for long enough.
//! Here all threads advance evenly, some steps each in turn, for every number of steps up to the
//! longest commit's; a program that then takes more than the steps allowed counts as one that never
//! ends. (`verification/` shows it for all schedules of a model.)

use std::time::Duration;

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::thread;
use shuttle_tests::explore_with;
use stockade::{BasketLine, InventoryManager, Limits};

const LINES: [&str; 3] = ["DESK", "LAPTOP", "MOUSE"];
const HOUR: Duration = Duration::from_secs(3_600);

/// Lets each thread make so many steps, then the next one; more from execution to execution.
#[derive(Debug)]
struct Evenly {
    steps: usize,
    most: usize,
    left: usize,
}

impl Evenly {
    fn up_to(most: usize) -> Self {
        Self { steps: 0, most, left: 0 }
    }
}

impl Scheduler for Evenly {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.steps += 1;
        self.left = self.steps;
        (self.steps <= self.most).then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let stays = current.filter(|id| runnable.iter().any(|task| task.id() == *id));
        if let Some(current) = stays
            && self.left > 0
            && !is_yielding
        {
            self.left -= 1;
            return Some(current);
        }
        self.left = self.steps - 1;
        let after = runnable.iter().find(|task| Some(task.id()) > current);
        after.or(runnable.first()).map(|task| task.id())
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// Baskets and transfers over the same levels, by so many threads.
fn collide(threads: usize) {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .seed(7)
        .without_threads()
        .limits(Limits::new().max_reservations(64).audit_queue(256))
        .build()
        .expect("a legal engine");
    for product in LINES {
        manager.add_stock(("SF", product), 10, "SUPPLIER").expect("room");
        manager.add_stock(("NYC", product), 10, "SUPPLIER").expect("room");
    }
    thread::scope(|scope| {
        for number in 0..threads {
            let manager = &manager;
            scope.spawn(move || {
                // The engine sorts them by level, whatever the caller's order.
                let basket = LINES.map(|product| BasketLine::new(("SF", product), 1));
                manager.reserve_basket(&basket, HOUR).expect("enough for all");
                let (from, to) = if number % 2 == 0 { ("SF", "NYC") } else { ("NYC", "SF") };
                manager.transfer(from, to, LINES[number % 3], 1).expect("enough for all");
                manager.totals(LINES[0]).expect("known");
            });
        }
    });
    let held: u32 = LINES.map(|product| manager.held(("SF", product)).expect("known")).iter().sum();
    assert_eq!(held, 3 * threads as u32);
}

#[test]
fn two_threads_that_advance_evenly_come_to_an_end() {
    let name = "two_threads_that_advance_evenly_come_to_an_end";
    explore_with(name, Evenly::up_to(300), || collide(2));
}

#[test]
fn four_threads_that_advance_evenly_come_to_an_end() {
    let name = "four_threads_that_advance_evenly_come_to_an_end";
    explore_with(name, Evenly::up_to(300), || collide(4));
}

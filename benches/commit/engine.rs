//! The engine itself: the manager's own calls, with their records and audit entries.

use std::time::{Duration, Instant};

use stockade::{BasketLine, InventoryManager, LevelHandle, Limits, ProductId, WarehouseId};

use crate::common::table::table;
use crate::turns::median;
use crate::{LONGEST, MEAN};

const TTL: Duration = Duration::from_secs(600);
/// Calls that are timed together, while the writer writes; what they leave behind is cleared away,
/// and the writer waited for, off the clock.
const ROW: usize = 512;

struct AllIn {
    manager: InventoryManager,
    warehouses: [WarehouseId; 2],
    product: ProductId,
    levels: Vec<LevelHandle>,
}

impl AllIn {
    fn open() -> Self {
        let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
        let manager = builder
            .limits(Limits::new().max_reservations(1 << 20))
            .build()
            .expect("legal settings");
        let names: Vec<String> = (0..LONGEST).map(|number| format!("P{number}")).collect();
        for name in &names {
            manager.add_stock(("SF", name.as_str()), 100_000, "SUPPLIER").expect("room");
        }
        manager.add_stock(("NYC", names[0].as_str()), 100_000, "SUPPLIER").expect("room");
        let level = |name: &String| manager.level(("SF", name.as_str())).expect("open");
        let levels = names.iter().map(level).collect();
        let warehouses = ["SF", "NYC"].map(|name| manager.warehouse(name).expect("known").id());
        let product = manager.product(&names[0]).expect("known");
        Self { manager, warehouses, product, levels }
    }

    fn transfers(&self, span: Duration) -> f64 {
        let [from, to] = self.warehouses;
        time(span, || {
            let begun = Instant::now();
            for _ in 0..ROW / 2 {
                self.manager.transfer(from, to, self.product, 1).expect("stock");
                self.manager.transfer(to, from, self.product, 1).expect("stock");
            }
            let took = begun.elapsed();
            self.manager.flush().wait().expect("a healthy log");
            (took, ROW)
        })
    }

    fn baskets(&self, lines: usize, span: Duration) -> f64 {
        let basket: Vec<_> =
            self.levels[..lines].iter().map(|level| BasketLine::new(*level, 1)).collect();
        let row = (ROW * MEAN / lines).max(1);
        time(span, || {
            let begun = Instant::now();
            let held: Vec<_> = (0..row)
                .map(|_| self.manager.reserve_basket(&basket, TTL).expect("stock"))
                .collect();
            let took = begun.elapsed();
            for id in held {
                let _ = self.manager.release(id).expect("held");
            }
            self.manager.flush().wait().expect("a healthy log");
            (took, row)
        })
    }
}

/// Seconds for each call, of rows that report how long they took.
fn time(span: Duration, mut row: impl FnMut() -> (Duration, usize)) -> f64 {
    let (begun, mut took, mut done) = (Instant::now(), Duration::ZERO, 0);
    while begun.elapsed() < span {
        let (time, calls) = row();
        took += time;
        done += calls;
    }
    took.as_secs_f64() / done as f64
}

pub(crate) fn print(turns: usize, span: Duration) {
    let shop = AllIn::open();
    let cases: [(&str, &dyn Fn() -> f64); 3] = [
        ("transfer", &|| shop.transfers(span)),
        ("basket of 21 lines", &|| shop.baskets(MEAN, span)),
        ("basket of 1,114 lines", &|| shop.baskets(LONGEST, span)),
    ];
    // Warm up: every slot has been used, and the log has its newest entries.
    cases.iter().for_each(|(_, case)| _ = case());
    let mut rows = table(1, &["all in", "ns"]);
    for (name, case) in cases {
        let figures = (0..turns).map(|_| case()).collect();
        rows.add_row([name.to_owned(), format!("{:.0}", median(figures) * 1e9)]);
    }
    println!("{rows}");
}

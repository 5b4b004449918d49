//! Each operation of the engine by itself, uncontended, by handle and by name.

mod common;

use std::time::{Duration, Instant};

use common::Scale;
use common::engine::{Engine, name};
use common::ledger::{Durability, TTL};
use common::workload::{Access, Picks};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use stockade::{BasketLine, InventoryManager, LevelHandle, ReservationId};

const ACCESS: Access = Access::Zipf(10_000);
/// Operations that are made in a row before what they leave behind is cleared away, off the clock.
const ROW: u64 = 1_000;

/// An engine with its products in stock, and a demand for them.
struct Shop {
    manager: InventoryManager,
    levels: Vec<LevelHandle>,
    names: Vec<String>,
    picks: Picks<usize>,
}

impl Shop {
    fn open() -> Self {
        let engine = Engine::open(Durability::InMemory, &ACCESS.units());
        let names = (0..ACCESS.products()).map(name).collect();
        let (manager, levels) = (engine.manager, engine.levels);
        Self { manager, levels, names, picks: ACCESS.picks(|index| index, 1) }
    }

    fn pick(&mut self) -> LevelHandle {
        self.levels[self.picks.next()]
    }

    fn reserve(&mut self) -> ReservationId {
        let level = self.pick();
        self.manager.reserve(level, 1, TTL).expect("in stock")
    }

    /// Times `times` steps, a row at a time; each row has what it needs made before, and what it
    /// leaves cleared away after, off the clock.
    fn time<T, U>(
        &mut self,
        times: u64,
        mut before: impl FnMut(&mut Self) -> T,
        mut step: impl FnMut(&mut Self, T) -> U,
        mut after: impl FnMut(&mut Self, U),
    ) -> Duration {
        let mut span = Duration::ZERO;
        let mut left = times;
        let mut done = Vec::with_capacity(ROW as usize);
        while left > 0 {
            let row = left.min(ROW);
            let ready: Vec<T> = (0..row).map(|_| before(self)).collect();
            let began = Instant::now();
            done.extend(ready.into_iter().map(|ready| step(self, ready)));
            span += began.elapsed();
            done.drain(..).for_each(|left| after(self, left));
            left -= row;
        }
        span
    }
}

fn give_back(shop: &mut Shop, id: ReservationId) {
    let _ = shop.manager.release(id).expect("a live hold");
}

fn holds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operations");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut shop = Shop::open();

    group.bench_function("reserve, by handle", |bencher| {
        bencher.iter_custom(|times| shop.time(times, |_| (), |shop, ()| shop.reserve(), give_back));
    });
    group.bench_function("reserve, by name", |bencher| {
        let step = |shop: &mut Shop, ()| {
            let product = &*shop.names[shop.picks.next()];
            shop.manager.reserve(("SF", product), 1, TTL).expect("in stock")
        };
        bencher.iter_custom(|times| shop.time(times, |_| (), step, give_back));
    });
    group.bench_function("confirm", |bencher| {
        let step = |shop: &mut Shop, id| shop.manager.confirm(id).expect("a live hold");
        bencher.iter_custom(|times| shop.time(times, Shop::reserve, step, |_, ()| {}));
    });
    group.bench_function("release", |bencher| {
        bencher.iter_custom(|times| shop.time(times, Shop::reserve, give_back, |_, ()| {}));
    });
    group.bench_function("extend", |bencher| {
        let step = |shop: &mut Shop, id| {
            shop.manager.extend(id, TTL + TTL).expect("a live hold");
            id
        };
        bencher.iter_custom(|times| shop.time(times, Shop::reserve, step, give_back));
    });
    group.bench_function("the pair, by handle", |bencher| {
        bencher.iter(|| {
            let id = shop.reserve();
            shop.manager.confirm(id).expect("a live hold");
        });
    });
    group.bench_function("the pair, by name", |bencher| {
        bencher.iter(|| {
            let product = &*shop.names[shop.picks.next()];
            let id = shop.manager.reserve(("SF", product), 1, TTL).expect("in stock");
            shop.manager.confirm(id).expect("a live hold");
        });
    });
    group.bench_function("sell in one call", |bencher| {
        bencher.iter(|| {
            let level = shop.pick();
            shop.manager.sell(level, 1).expect("in stock")
        });
    });
    let sold_out = shop.manager.open_level("SF", "SOLD-OUT").expect("a legal name");
    group.bench_function("refused reserve, by handle", |bencher| {
        bencher.iter(|| shop.manager.reserve(sold_out, 1, TTL).expect_err("sold out"));
    });
    group.bench_function("refused reserve, by name", |bencher| {
        bencher.iter(|| shop.manager.reserve(("SF", "SOLD-OUT"), 1, TTL).expect_err("sold out"));
    });
    group.bench_function("counts, by handle", |bencher| {
        bencher.iter(|| {
            let level = shop.pick();
            shop.manager.counts(level)
        });
    });
    group.finish();
}

fn stock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operations");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let manager = InventoryManager::builder().warehouse("SF").warehouse("NYC").build();
    let manager = manager.expect("legal settings");
    let level = manager.open_level("SF", "LAPTOP").expect("a legal name");
    manager.open_level("NYC", "LAPTOP").expect("a legal name");
    manager.add_stock(level, 1_000_000_000, "SUPPLIER").expect("room");

    group.bench_function("add and remove, by handle", |bencher| {
        bencher.iter(|| {
            manager.add_stock(level, 1, "SUPPLIER").expect("room");
            manager.remove_stock(level, 1, "dropped").expect("in stock");
        });
    });
    group.bench_function("add and remove, by name", |bencher| {
        bencher.iter(|| {
            manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
            manager.remove_stock(("SF", "LAPTOP"), 1, "dropped").expect("in stock");
        });
    });
    group.bench_function("transfer there and back, by name", |bencher| {
        bencher.iter(|| {
            manager.transfer("SF", "NYC", "LAPTOP", 1).expect("in stock");
            manager.transfer("NYC", "SF", "LAPTOP", 1).expect("in stock");
        });
    });
    group.finish();
}

fn baskets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operations/basket, reserved and released");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let shop = Shop::open();
    // 21 lines is the mean of a real wholesaler's orders.
    for lines in &[1, 4, 21, 200][..Scale::asked().pick(3, 4, 4)] {
        let by_handle: Vec<BasketLine<'_>> =
            shop.levels.iter().take(*lines).map(|level| BasketLine::new(*level, 1)).collect();
        let by_name: Vec<BasketLine<'_>> = shop
            .names
            .iter()
            .take(*lines)
            .map(|name| BasketLine::new(("SF", &**name), 1))
            .collect();
        for (way, basket) in [("by handle", by_handle), ("by name", by_name)] {
            group.bench_function(BenchmarkId::new(way, lines), |bencher| {
                bencher.iter(|| {
                    let id = shop.manager.reserve_basket(&basket, TTL).expect("in stock");
                    shop.manager.release(id).expect("a live hold")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, holds, stock, baskets);
criterion_main!(benches);

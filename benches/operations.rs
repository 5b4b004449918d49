//! Each operation of the engine by itself, uncontended, by handle and by name. The preparation and
//! the cleaning up are not timed, and the writer has caught up before each row of calls. Pairs and
//! sales need no cleaning up: they run without a break, and wait for the writer if it falls behind.

mod common;

use std::time::{Duration, Instant};

use common::Scale;
use common::engine::{Engine, name};
use common::ledger::{Durability, TTL};
use common::workload::{Access, Picks};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use stockade::{BasketLine, InventoryManager, LevelHandle, Owner, ReservationId};

const ACCESS: Access = Access::Zipf(10_000);
/// Operations that are made in a row before what they leave behind is cleared away, off the clock.
const ROW: u64 = 1_000;
/// The same for baskets, in lines.
const ROW_OF_LINES: u64 = 10_000;

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
}

/// Times `times` steps, a row at a time; each row has what it needs made before, and what it leaves
/// cleared away after, off the clock.
fn time<C, T, U>(
    (context, manager): (&mut C, &InventoryManager),
    (times, row): (u64, u64),
    mut before: impl FnMut(&mut C) -> T,
    mut step: impl FnMut(&mut C, T) -> U,
    mut after: impl FnMut(&mut C, U),
) -> Duration {
    let mut span = Duration::ZERO;
    let mut left = times;
    let mut done = Vec::with_capacity(row as usize);
    while left > 0 {
        let row = left.min(row);
        let ready: Vec<T> = (0..row).map(|_| before(context)).collect();
        manager.flush().wait().expect("a healthy engine");
        let began = Instant::now();
        done.extend(ready.into_iter().map(|ready| step(context, ready)));
        span += began.elapsed();
        done.drain(..).for_each(|left| after(context, left));
        left -= row;
    }
    span
}

impl Shop {
    /// Times steps that need a shop.
    fn time<T, U>(
        &mut self,
        times: u64,
        before: impl FnMut(&mut Self) -> T,
        step: impl FnMut(&mut Self, T) -> U,
        after: impl FnMut(&mut Self, U),
    ) -> Duration {
        let manager = self.manager.clone();
        time((self, &manager), (times, ROW), before, step, after)
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
            shop.manager.counts(level).expect("known")
        });
    });
    group.finish();
}

/// A look at the four holds of one owner of 50,000, with the index of holders and without.
fn holders(criterion: &mut Criterion) {
    const OWNERS: u32 = 50_000;
    let owner = |number: u32| Owner(u128::from(number).to_be_bytes());
    let mut group = criterion.benchmark_group("operations/holders");
    let units = ACCESS.units();
    let engines = [
        ("through all slots", Engine::open(Durability::InMemory, &units)),
        ("by the index", Engine::open_indexed(&units)),
    ];
    for (way, engine) in engines {
        let manager = &engine.manager;
        let mut picks = ACCESS.picks(|index| engine.levels[index], 1);
        for hold in 0..4 * OWNERS {
            let request = manager.request().owner(owner(hold % OWNERS));
            request.reserve(picks.next(), 1, TTL).expect("in stock");
        }
        let mut asked = 0;
        group.bench_function(BenchmarkId::new("holds of an owner", way), |bencher| {
            bencher.iter(|| {
                asked = (asked + 12_345) % OWNERS;
                manager.holds_of(owner(asked))
            });
        });
    }
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
    let id = |name| manager.warehouse(name).expect("a warehouse").id();
    let (sf, nyc) = (id("SF"), id("NYC"));
    let laptop = manager.product("LAPTOP").expect("a product");

    let add = |_: &mut (), ()| manager.add_stock(level, 1, "SUPPLIER").expect("room");
    let remove = |_: &mut (), ()| manager.remove_stock(level, 1, "dropped").expect("in stock");
    let there = |_: &mut (), ()| manager.transfer(sf, nyc, laptop, 1).expect("in stock");
    let back = |_: &mut (), ()| manager.transfer(nyc, sf, laptop, 1).expect("in stock");

    group.bench_function("add, by handle", |bencher| {
        bencher.iter_custom(|n| time((&mut (), &manager), (n, ROW), |_| (), add, remove));
    });
    group.bench_function("add, by name", |bencher| {
        let step = |_: &mut (), ()| {
            manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
        };
        bencher.iter_custom(|n| time((&mut (), &manager), (n, ROW), |_| (), step, remove));
    });
    group.bench_function("remove, by handle", |bencher| {
        bencher.iter_custom(|n| time((&mut (), &manager), (n, ROW), |_| (), remove, add));
    });
    group.bench_function("remove, by name", |bencher| {
        let step = |_: &mut (), ()| {
            manager.remove_stock(("SF", "LAPTOP"), 1, "dropped").expect("in stock");
        };
        bencher.iter_custom(|n| time((&mut (), &manager), (n, ROW), |_| (), step, add));
    });
    group.bench_function("transfer, by handle", |bencher| {
        bencher.iter_custom(|n| time((&mut (), &manager), (n, ROW), |_| (), there, back));
    });
    group.bench_function("transfer, by name", |bencher| {
        let step = |_: &mut (), ()| {
            manager.transfer("SF", "NYC", "LAPTOP", 1).expect("in stock");
        };
        bencher.iter_custom(|n| time((&mut (), &manager), (n, ROW), |_| (), step, back));
    });
    group.finish();
}

fn baskets(criterion: &mut Criterion) {
    let shop = Shop::open();
    let manager = &shop.manager;
    // 21 lines is the mean of a real wholesaler's orders.
    let sizes = &[1, 4, 21, 200][..Scale::asked().pick(3, 4, 4)];
    let mut group = criterion.benchmark_group("operations/basket");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for lines in sizes {
        let levels = shop.levels.iter().take(*lines);
        let mut by_handle: Vec<_> = levels.map(|level| BasketLine::new(*level, 1)).collect();
        let names = shop.names.iter().take(*lines);
        let mut by_name: Vec<_> = names.map(|name| BasketLine::new(("SF", &**name), 1)).collect();
        let rows = |times| (times, (ROW_OF_LINES / *lines as u64).min(ROW));
        let reserve = |basket: &mut Vec<BasketLine<'_>>| {
            manager.reserve_basket(basket, TTL).expect("in stock")
        };
        let release = |_: &mut Vec<BasketLine<'_>>, id| {
            let _ = manager.release(id).expect("a live hold");
        };
        for (way, basket) in [("by handle", &mut by_handle), ("by name", &mut by_name)] {
            group.bench_function(BenchmarkId::new(format!("reserve, {way}"), lines), |bencher| {
                bencher.iter_custom(|times| {
                    let shop = (&mut *basket, manager);
                    time(shop, rows(times), |_| (), |basket, ()| reserve(basket), release)
                });
            });
        }
        group.bench_function(BenchmarkId::new("release", lines), |bencher| {
            bencher.iter_custom(|times| {
                let shop = (&mut by_handle, manager);
                time(shop, rows(times), |basket| reserve(basket), release, |_, ()| {})
            });
        });
    }
    group.finish();
}

criterion_group!(benches, holds, holders, stock, baskets);
criterion_main!(benches);

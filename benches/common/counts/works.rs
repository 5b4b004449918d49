//! What is counted: the calls of a shop, one after another in one thread, with nothing else around.

use stockade::{BasketLine, InventoryManager, LevelHandle, LimitRule, ReservationId};

use crate::common::engine::Engine;
use crate::common::ledger::{Durability, TTL};
use crate::common::real::OrderKey;
use crate::common::workload::Access;

/// The products that the demand goes over, and its skew.
const ACCESS: Access = Access::Zipf(10_000);
/// Draws that are made in advance.
const DRAWS: usize = 1 << 14;
/// Live holds in the works that have them.
const LIVE: usize = 50_000;
/// Units before those that are counted: enough for all finished records, which are then used again.
const WARM: u64 = 70_000;

/// How callgrind finds the two functions around the units, below.
pub(super) const BEGIN: &str = "*the_count_begins*";
pub(super) const END: &str = "*the_count_ends*";

/// A work that is counted. A unit of it is one round of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The measuring loop without a call. It is part of all other rows.
    LoopAlone,
    /// Reserve one unit, and confirm the oldest of 50,000 live holds.
    Pair,
    /// The same with a buffered journal.
    BufferedPair,
    /// Reserve with a key, an owner and a note; confirm the oldest with a key: what a shop calls.
    RealPair,
    /// The same with an index of holders.
    IndexedRealPair,
    /// The same with a buffered journal, and no index.
    BufferedRealPair,
    /// Reserve a product that is sold out.
    Refused,
    /// Reserve one unit and release it.
    Released,
    /// The same with a basket of one line.
    BasketOfOne,
    /// The same with a basket of two lines.
    BasketOfTwo,
    /// The same with a basket of four.
    BasketOfFour,
    /// Reserve one unit under a limit of its customer, and release it.
    Limited,
    /// Reserve one unit for a customer who has drawn all.
    RefusedByLimit,
}

impl Work {
    pub(crate) const ALL: [Self; 13] = [
        Self::LoopAlone,
        Self::Pair,
        Self::BufferedPair,
        Self::RealPair,
        Self::IndexedRealPair,
        Self::BufferedRealPair,
        Self::Refused,
        Self::Released,
        Self::BasketOfOne,
        Self::BasketOfTwo,
        Self::BasketOfFour,
        Self::Limited,
        Self::RefusedByLimit,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LoopAlone => "loop alone",
            Self::Pair => "plain pair",
            Self::BufferedPair => "plain pair, buffered",
            Self::RealPair => "real pair",
            Self::IndexedRealPair => "real pair, indexed",
            Self::BufferedRealPair => "real pair, buffered",
            Self::Refused => "refused reserve",
            Self::Released => "reserve and release",
            Self::BasketOfOne => "basket of 1, released",
            Self::BasketOfTwo => "basket of 2, released",
            Self::BasketOfFour => "basket of 4, released",
            Self::Limited => "limited, released",
            Self::RefusedByLimit => "refused by a limit",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name() == name)
    }

    /// Does the work so many times, and ends the process, so that closing is not counted.
    pub(crate) fn run(self, units: u64) {
        match self {
            Self::LoopAlone => Shop::open(Durability::InMemory).work(units, Shop::nothing),
            Self::Pair => Shop::open(Durability::InMemory).work(units, Shop::pair),
            Self::BufferedPair => Shop::open(Durability::Buffered).work(units, Shop::pair),
            Self::RealPair => Shop::open(Durability::InMemory).work(units, Shop::real_pair),
            Self::IndexedRealPair => Shop::open_indexed().work(units, Shop::real_pair),
            Self::BufferedRealPair => {
                Shop::open(Durability::Buffered).work(units, Shop::real_pair);
            }
            Self::Refused => Shop::open(Durability::InMemory).work(units, Shop::refused),
            Self::Released => Shop::open(Durability::InMemory).work(units, Shop::released),
            Self::BasketOfOne => Shop::open(Durability::InMemory).work(units, Shop::basket::<1>),
            Self::BasketOfTwo => Shop::open(Durability::InMemory).work(units, Shop::basket::<2>),
            Self::BasketOfFour => Shop::open(Durability::InMemory).work(units, Shop::basket::<4>),
            Self::Limited => Shop::open_limited(2).work(units, Shop::limited),
            Self::RefusedByLimit => Shop::open_limited(0).work(units, Shop::refused_by_limit),
        }
    }

    /// Units of the shorter run. Long works make fewer, so that all take about as long.
    pub(crate) fn units(self) -> u64 {
        match self {
            Self::LoopAlone | Self::Pair | Self::BufferedPair | Self::Refused | Self::Released => {
                10_000
            }
            _ => 4_000,
        }
    }
}

/// An engine and its demand.
struct Shop {
    manager: InventoryManager,
    demand: Vec<LevelHandle>,
    sold_out: LevelHandle,
    /// Its product is under a limit of customers.
    limited: LevelHandle,
    /// Live holds, the oldest at `oldest`.
    live: Vec<ReservationId>,
    oldest: usize,
    drawn: usize,
    key: OrderKey,
    engine: Engine,
}

/// Where callgrind begins to count the caller ([`BEGIN`]).
#[inline(never)]
fn the_count_begins() {
    std::hint::black_box(1);
}

/// Where it ends ([`END`]).
#[inline(never)]
fn the_count_ends() {
    std::hint::black_box(2);
}

impl Shop {
    fn open(durability: Durability) -> Self {
        Self::of(Engine::open(durability, &ACCESS.units()))
    }

    fn open_indexed() -> Self {
        Self::of(Engine::open_indexed(&ACCESS.units()))
    }

    fn of(engine: Engine) -> Self {
        let manager = engine.manager.clone();
        let mut picks = ACCESS.picks(|index| engine.levels[index], 1);
        let demand = (0..DRAWS).map(|_| picks.next()).collect();
        let sold_out = manager.open_level("SF", "SOLD-OUT").expect("a legal name");
        let limited = manager.open_level("SF", "LIMITED").expect("a legal name");
        let (live, key) = (Vec::new(), OrderKey::new());
        Self { manager, demand, sold_out, limited, live, oldest: 0, drawn: 0, key, engine }
    }

    /// A shop in which each customer may hold so many units of one product.
    fn open_limited(maximum: u32) -> Self {
        let shop = Self::open(Durability::InMemory);
        shop.manager.add_stock(shop.limited, 1_000_000, "SUPPLIER").expect("room");
        let limit = LimitRule::new("each", "customer", maximum).products(["LIMITED"]);
        shop.manager.define_limit(limit).expect("a limit");
        shop
    }

    /// Warms up, and does so many steps.
    fn work(mut self, units: u64, step: impl Fn(&mut Self)) {
        self.live = (0..LIVE).map(|_| self.reserve()).collect();
        for _ in 0..WARM {
            self.pair();
        }
        self.manager.flush().wait().expect("a healthy engine");
        the_count_begins();
        for _ in 0..units {
            step(&mut self);
        }
        the_count_ends();
        // The writer has to do its part of all of them before the process ends.
        self.manager.flush().wait().expect("a healthy engine");
        self.engine.forget_journal();
        std::process::exit(0);
    }

    #[inline]
    fn draw(&mut self) -> LevelHandle {
        self.drawn = (self.drawn + 1) % DRAWS;
        self.demand[self.drawn]
    }

    /// The oldest hold. The new one takes its place.
    #[inline]
    fn exchange(&mut self, new: ReservationId) -> ReservationId {
        let oldest = self.oldest;
        self.oldest = if oldest + 1 == LIVE { 0 } else { oldest + 1 };
        std::mem::replace(&mut self.live[oldest], new)
    }

    fn nothing(&mut self) {
        let level = std::hint::black_box(self.draw());
        let old = self.exchange(self.live[0]);
        std::hint::black_box((level, old));
    }

    #[inline]
    fn reserve(&mut self) -> ReservationId {
        let level = self.draw();
        self.manager.reserve(level, 1, TTL).expect("in stock")
    }

    fn pair(&mut self) {
        let new = self.reserve();
        let old = self.exchange(new);
        self.manager.confirm(old).expect("a live hold");
    }

    fn real_pair(&mut self) {
        let level = self.draw();
        let new = self.key.reserve(&self.manager, level);
        let old = self.exchange(new);
        self.key.confirm(&self.manager, old);
    }

    fn refused(&mut self) {
        self.manager.reserve(self.sold_out, 1, TTL).expect_err("sold out");
    }

    fn released(&mut self) {
        let new = self.reserve();
        let _ = self.manager.release(new).expect("a live hold");
    }

    fn limited(&mut self) {
        self.drawn = (self.drawn + 1) % DRAWS;
        let customer = self.manager.request().subject("customer", self.drawn.to_le_bytes());
        let new = customer.reserve(self.limited, 1, TTL).expect("in stock");
        let _ = self.manager.release(new).expect("a live hold");
    }

    fn refused_by_limit(&mut self) {
        self.drawn = (self.drawn + 1) % DRAWS;
        let customer = self.manager.request().subject("customer", self.drawn.to_le_bytes());
        customer.reserve(self.limited, 1, TTL).expect_err("nothing may be drawn");
    }

    /// A basket of different products. The levels were opened in the order of their numbers.
    fn basket<const LINES: usize>(&mut self) {
        self.drawn = (self.drawn + LINES) % (self.engine.levels.len() - LINES);
        let levels = &self.engine.levels[self.drawn..];
        let lines: [_; LINES] = std::array::from_fn(|line| BasketLine::new(levels[line], 1));
        let new = self.manager.reserve_basket(&lines, TTL).expect("in stock");
        let _ = self.manager.release(new).expect("a live hold");
    }
}

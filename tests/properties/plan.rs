//! Random plans: sequences of calls. References to levels and holds are numbers. The driver takes
//! them modulo the number that exists at that step.

use std::ops::Range;

use proptest::prelude::*;

pub(super) const WAREHOUSES: [&str; 3] = ["SF", "NYC", "MARS"];
pub(super) const PRODUCTS: [&str; 3] = ["LAPTOP", "MOUSE", "DESK"];

/// A level, as a caller names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where {
    /// By names: indexes into [`WAREHOUSES`] and [`PRODUCTS`].
    Names(usize, usize),
    Handle(usize),
    /// With a product name that is empty or too long.
    NoName,
    LongName,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Add(Where, u32),
    Remove(Where, u32),
    Ship(Where, u32),
    CancelSale(Where, u32),
    Transfer {
        from: usize,
        to: usize,
        product: usize,
        units: u32,
        by_handle: bool,
    },
    Reserve(Where, u32, u64),
    Sell(Where, u32),
    Basket(Vec<(Where, u32)>, u64),
    Confirm(Option<usize>),
    Release(Option<usize>),
    Extend(Option<usize>, u64),
    /// `None`: the lines of the hold itself.
    Retake(Option<usize>, Option<Vec<(Where, u32)>>),
    OpenLevel(usize, usize),
    Suspend(usize, bool),
    Capacity(usize, u32),
    Threshold(usize, Option<u32>),
    ProductThreshold(Where, Option<u32>),
    ClearThreshold(Where),
    SafetyStock(Where, u32),
    LongestTtl(u64),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Call {
        what: What,
        key: Option<u8>,
        owner: Option<u8>,
        note: bool,
        passes: bool,
    },
    /// Repeats the n-th call so far: a retry, if it had a key.
    Again(usize),
    /// Advances the clock.
    Advance(u64),
    /// Does the background work.
    Idle,
}

pub(super) fn steps(count: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let passes = prop::bool::weighted(0.2);
    let call = (what(), option(8, 3, 0..4_u8), option(3, 2, 0..3_u8), any::<bool>(), passes)
        .prop_map(|(what, key, owner, note, passes)| Step::Call { what, key, owner, note, passes })
        .boxed();
    let step = prop_oneof![
        20 => call,
        3 => (0..80_usize).prop_map(Step::Again),
        3 => prop_oneof![0..40_u64, 40..300_u64].prop_map(Step::Advance),
        1 => Just(Step::Idle),
    ];
    // Stock first, or all there is are refusals.
    let stock = (0..6_usize, 3..20_u32).prop_map(|(place, units)| {
        let what = What::Add(Where::Names(place % 2, place / 2), units);
        Step::Call { what, key: None, owner: None, note: false, passes: false }
    });
    let stocks = prop::collection::vec(stock, 0..6);
    (stocks, prop::collection::vec(step, count)).prop_map(|(mut stocks, steps)| {
        stocks.extend(steps);
        stocks
    })
}

fn what() -> BoxedStrategy<What> {
    let movements = prop_oneof![
        4 => (place(), units()).prop_map(|(place, units)| What::Add(place, units)),
        2 => (place(), units()).prop_map(|(place, units)| What::Remove(place, units)),
        2 => (place(), units()).prop_map(|(place, units)| What::Ship(place, units)),
        2 => (place(), units()).prop_map(|(place, units)| What::CancelSale(place, units)),
        3 => (warehouse(), 0..4_usize, 0..3_usize, units(), any::<bool>()).prop_map(
            |(from, to, product, units, by_handle)| {
                // Mostly another one.
                let to = [1 - from.min(1), 1 - from.min(1), from, 2][to];
                What::Transfer { from, to, product, units, by_handle }
            }
        ),
    ];
    let holds = prop_oneof![
        8 => (place(), units(), ttl()).prop_map(|(place, units, ttl)| {
            What::Reserve(place, units, ttl)
        }),
        2 => (place(), units()).prop_map(|(place, units)| What::Sell(place, units)),
        4 => (lines(), ttl()).prop_map(|(lines, ttl)| What::Basket(lines, ttl)),
        5 => hold().prop_map(What::Confirm),
        3 => hold().prop_map(What::Release),
        3 => (hold(), ttl()).prop_map(|(hold, ttl)| What::Extend(hold, ttl)),
        4 => (hold(), option(2, 1, lines())).prop_map(|(hold, lines)| What::Retake(hold, lines)),
    ];
    let threshold = || prop_oneof![1 => Just(None), 8 => (0..9_u32).prop_map(Some), 1 => Just(Some(u32::MAX >> 1))];
    let settings = prop_oneof![
        1 => (warehouse(), 0..3_usize).prop_map(|(place, product)| What::OpenLevel(place, product)),
        1 => (warehouse(), any::<bool>()).prop_map(|(place, on)| What::Suspend(place, on)),
        2 => (0..2_usize).prop_map(|place| What::Suspend(place, false)),
        3 => (warehouse(), 0..90_u32).prop_map(|(place, units)| What::Capacity(place, units)),
        2 => (warehouse(), threshold()).prop_map(|(place, units)| What::Threshold(place, units)),
        1 => (place(), threshold()).prop_map(|(place, units)| What::ProductThreshold(place, units)),
        1 => place().prop_map(What::ClearThreshold),
        3 => (place(), 0..9_u32).prop_map(|(place, units)| What::SafetyStock(place, units)),
        1 => prop_oneof![1 => Just(0), 6 => 200..500_u64].prop_map(What::LongestTtl),
    ];
    // Boxed, here and below: the trees of values are too large for a test's stack.
    prop_oneof![8 => movements.boxed(), 16 => holds.boxed(), 4 => settings.boxed()].boxed()
}

fn option<T: std::fmt::Debug + Clone + 'static>(
    none: u32,
    some: u32,
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![none => Just(None), some => value.prop_map(Some)]
}

fn warehouse() -> BoxedStrategy<usize> {
    prop_oneof![12 => Just(0), 8 => Just(1), 1 => Just(2)].boxed()
}

fn place() -> BoxedStrategy<Where> {
    prop_oneof![
        16 => (warehouse(), 0..3_usize).prop_map(|(place, product)| Where::Names(place, product)),
        10 => (0..6_usize).prop_map(Where::Handle),
        1 => Just(Where::NoName),
        1 => Just(Where::LongName),
    ]
    .boxed()
}

fn units() -> BoxedStrategy<u32> {
    prop_oneof![
        30 => 1..4_u32,
        6 => 4..40_u32,
        1 => Just(0),
        1 => Just(stockade::MAX_UNITS),
        1 => Just(stockade::MAX_UNITS + 1),
    ]
    .boxed()
}

fn ttl() -> BoxedStrategy<u64> {
    prop_oneof![12 => 1..400_u64, 1 => Just(0), 1 => 400..2_000_u64].boxed()
}

fn lines() -> BoxedStrategy<Vec<(Where, u32)>> {
    prop::collection::vec((place(), units()), 0..7).boxed()
}

fn hold() -> BoxedStrategy<Option<usize>> {
    option(1, 12, 0..40_usize).boxed()
}

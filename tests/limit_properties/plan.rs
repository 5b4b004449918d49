//! Random plans: sequences of calls. Holds are named by numbers, which the driver takes modulo the
//! holds that there are.

use proptest::prelude::*;

/// Products, and the levels that have them: warehouse and product.
pub(super) const PRODUCTS: [&str; 3] = ["SHOE", "SOCK", "HAT"];
pub(super) const LEVELS: [(&str, usize); 4] = [("SF", 0), ("NYC", 0), ("SF", 1), ("NYC", 2)];
/// Names of limits.
pub(super) const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
/// Customers, and cards.
pub(super) const SUBJECTS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Customer,
    Card,
    Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    Holds,
    Sales,
    SalesKept,
    /// Within so many milliseconds.
    SalesWithin(u64),
}

/// What of a limit never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    pub(super) counts: Counts,
    pub(super) reservations: bool,
    pub(super) at_sale: bool,
}

/// For whom a call is, and which limit it passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) customer: Option<u8>,
    pub(super) card: Option<u8>,
    pub(super) passes: Option<usize>,
    pub(super) keeps: bool,
}

/// How units are taken.
#[derive(Clone, Debug)]
pub(super) enum Take {
    Reserve(usize, u32),
    Sell(usize, u32),
    Basket(Vec<(usize, u32)>),
    /// Shoes, of both warehouses.
    Fulfil(u32),
}

/// A step on some units of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Confirm,
    Release,
    ConfirmAndReleaseRest,
    Ship,
    Cancel,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Take {
        take: Take,
        ttl: u64,
        who: Who,
    },
    Confirm(usize, Who),
    Release(usize),
    Extend(usize, u64),
    /// The units of the hold's lines, the first line first.
    Part(Part, usize, [u32; 3], Who),
    Retake(usize, Who),
    ShipByLevel(usize, u32),
    CancelByLevel(usize, u32),
    Restock(usize, u32),
    /// The name, what it says, the maximum, which products it covers, and whether the group.
    Define(usize, Spec, u32, [bool; 3], bool),
    Drop(usize),
    Regroup(usize, bool),
    Advance(u64),
    Restart,
}

pub(super) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    // Limits first, or there is nothing to refuse.
    let limits = prop::collection::vec(define(), 1..5);
    (limits, prop::collection::vec(step(), 1..most)).prop_map(|(mut steps, rest)| {
        steps.extend(rest);
        steps
    })
}

fn step() -> BoxedStrategy<Step> {
    let takes = prop_oneof![
        4 => (0..4_usize, units()).prop_map(|(level, units)| Take::Reserve(level, units)),
        2 => (0..4_usize, units()).prop_map(|(level, units)| Take::Sell(level, units)),
        4 => prop::collection::vec((0..4_usize, units()), 1..4).prop_map(Take::Basket),
        2 => (1..5_u32).prop_map(Take::Fulfil),
    ];
    let parts = prop_oneof![
        4 => Just(Part::Confirm),
        4 => Just(Part::Release),
        2 => Just(Part::ConfirmAndReleaseRest),
        2 => Just(Part::Ship),
        4 => Just(Part::Cancel),
    ];
    let named = prop::array::uniform3(0..3_u32);
    let holds = prop_oneof![
        14 => (takes, ttl(), who()).prop_map(|(take, ttl, who)| Step::Take { take, ttl, who }),
        4 => (hold(), who()).prop_map(|(hold, who)| Step::Confirm(hold, who)),
        3 => hold().prop_map(Step::Release),
        1 => (hold(), ttl()).prop_map(|(hold, ttl)| Step::Extend(hold, ttl)),
        9 => (parts, hold(), named, who())
            .prop_map(|(part, hold, named, who)| Step::Part(part, hold, named, who)),
        4 => (hold(), who()).prop_map(|(hold, who)| Step::Retake(hold, who)),
    ];
    let others = prop_oneof![
        1 => (0..4_usize, units()).prop_map(|(level, units)| Step::ShipByLevel(level, units)),
        1 => (0..4_usize, units()).prop_map(|(level, units)| Step::CancelByLevel(level, units)),
        2 => (0..4_usize, 1..9_u32).prop_map(|(level, units)| Step::Restock(level, units)),
        4 => define(),
        1 => (0..NAMES.len()).prop_map(Step::Drop),
        2 => (0..3_usize, any::<bool>()).prop_map(|(product, add)| Step::Regroup(product, add)),
        6 => prop_oneof![1..10_u64, 10..90_u64].prop_map(Step::Advance),
        1 => Just(Step::Restart),
    ];
    // Boxed: the trees of values are too large for a test's stack.
    prop_oneof![35 => holds.boxed(), 18 => others.boxed()].boxed()
}

fn define() -> BoxedStrategy<Step> {
    let covers = prop::array::uniform3(any::<bool>());
    (0..NAMES.len(), other_spec(), 0..6_u32, covers, any::<bool>())
        .prop_map(|(name, other, maximum, products, grouped)| {
            let spec = other.unwrap_or(usual_spec(name));
            Step::Define(name, spec, maximum, products, grouped)
        })
        .boxed()
}

/// What the limit of this name mostly says.
fn usual_spec(name: usize) -> Spec {
    let (kind, counts, reservations, at_sale) = [
        (Kind::Customer, Counts::Holds, false, false),
        (Kind::Customer, Counts::Sales, false, false),
        (Kind::Customer, Counts::SalesWithin(50), true, false),
        (Kind::Card, Counts::Sales, true, true),
        (Kind::Card, Counts::SalesWithin(80), false, true),
        (Kind::Level, Counts::Holds, false, false),
    ][name];
    Spec { kind, counts, reservations, at_sale }
}

/// Now and then anything, also what makes no sense.
fn other_spec() -> impl Strategy<Value = Option<Spec>> {
    let kind = prop_oneof![Just(Kind::Customer), Just(Kind::Card), Just(Kind::Level)];
    let counts = prop_oneof![
        Just(Counts::Holds),
        Just(Counts::Sales),
        Just(Counts::SalesKept),
        (20..90_u64).prop_map(Counts::SalesWithin),
    ];
    let other = (kind, counts, any::<bool>(), any::<bool>()).prop_map(
        |(kind, counts, reservations, at_sale)| Spec { kind, counts, reservations, at_sale },
    );
    prop_oneof![3 => Just(None), 1 => other.prop_map(Some)]
}

fn who() -> BoxedStrategy<Who> {
    let subject = || prop_oneof![1 => Just(None), 5 => (0..SUBJECTS).prop_map(Some)];
    let passes = prop_oneof![9 => Just(None), 1 => (0..NAMES.len()).prop_map(Some)];
    (subject(), subject(), passes, any::<bool>())
        .prop_map(|(customer, card, passes, keeps)| Who { customer, card, passes, keeps })
        .boxed()
}

fn units() -> BoxedStrategy<u32> {
    prop_oneof![8 => 1..3_u32, 2 => 3..5_u32].boxed()
}

fn ttl() -> BoxedStrategy<u64> {
    prop_oneof![1 => 1..20_u64, 2 => 20..400_u64].boxed()
}

fn hold() -> BoxedStrategy<usize> {
    (0..8_usize).boxed()
}

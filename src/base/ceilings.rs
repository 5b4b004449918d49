//! Ceilings: how much of each thing one engine holds. The running engine asks them before it takes
//! one more, and an opening asks them before it takes over a journal. So what an engine accepts, it
//! can open again.
//!
//! `ARCHITECTURE.md` lists every bound, and who asks for it on either side.

use crate::base::sync::MODELLED;

/// The most warehouses. Their indexes have 16 bits, and one value of them means that there is none.
const WAREHOUSES: u64 = u16::MAX as u64;
/// The most products, and the most levels: what their tables have places for.
const PRODUCTS: u64 = if MODELLED { 64 } else { 1 << 24 };
const LEVELS: u64 = if MODELLED { 256 } else { 1 << 26 };
/// The most allowances, unless a setting says otherwise, and the highest value of that setting. Of
/// the 2^30 numbers that a cell's id has for them, some stay unused.
const ALLOWANCES: u64 = if MODELLED { 64 } else { 1 << 20 };
pub(crate) const MOST_ALLOWANCES: u64 = if MODELLED { 64 } else { 1 << 28 };
/// The most slots that [`Limits::max_reservations`](crate::Limits::max_reservations) can set.
pub(crate) const MOST_SLOTS: u64 = 1 << 31;
/// Every engine takes over up to this many slots of an earlier run, even if its own maximum is
/// lower. This is also the default maximum.
const SLOTS_TAKEN_OVER: u64 = 1 << 24;

/// How much of one thing an engine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// The thing, in the plural.
    pub(crate) what: &'static str,
    pub(crate) most: u64,
    /// The setting that raises it, and the highest value that the setting takes. `None`: nothing
    /// raises it.
    pub(crate) setting: Option<(&'static str, u64)>,
}

/// The refusal of a count: it lies above the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AboveCeiling {
    pub(crate) ceiling: Ceiling,
    pub(crate) needed: u64,
}

impl Ceiling {
    const fn fixed(what: &'static str, most: u64) -> Self {
        Self { what, most, setting: None }
    }

    /// Refuses `count` things if they are too many.
    pub(crate) fn admits(self, count: usize) -> Result<(), AboveCeiling> {
        let needed = count as u64;
        if needed <= self.most { Ok(()) } else { Err(AboveCeiling { ceiling: self, needed }) }
    }

    /// How many places a table must have that never refuses what the ceiling admits.
    pub(crate) fn places(self) -> usize {
        usize::try_from(self.most).unwrap_or(usize::MAX)
    }
}

impl AboveCeiling {
    /// The setting that would admit the count, if there is one.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        let (setting, highest) = self.ceiling.setting?;
        (self.needed <= highest).then_some(setting)
    }
}

/// The ceilings of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ceilings {
    pub(crate) warehouses: Ceiling,
    pub(crate) products: Ceiling,
    pub(crate) levels: Ceiling,
    pub(crate) allowances: Ceiling,
    slots_taken_over: u64,
    /// How many slots are taken over for each line of a reservation that the journal tells of.
    slots_a_line: u64,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            warehouses: Ceiling::fixed("warehouses", WAREHOUSES),
            products: Ceiling::fixed("products", PRODUCTS),
            levels: Ceiling::fixed("stock levels", LEVELS),
            allowances: Ceiling {
                what: "allowances",
                most: ALLOWANCES,
                setting: Some(("max_allowances", MOST_ALLOWANCES)),
            },
            slots_taken_over: SLOTS_TAKEN_OVER,
            slots_a_line: 4,
        }
    }
}

impl Ceilings {
    /// Lower ceilings, so that a test can fill an engine to its brim.
    #[cfg(feature = "testing")]
    pub(crate) fn shrink(&mut self, [warehouses, products, levels, slots]: [u64; 4]) {
        self.warehouses.most = warehouses.min(WAREHOUSES);
        self.products.most = products.min(PRODUCTS);
        self.levels.most = levels.min(LEVELS);
        (self.slots_taken_over, self.slots_a_line) = (slots.min(SLOTS_TAKEN_OVER), 0);
    }

    /// Sets how many allowances there may be: at most [`MOST_ALLOWANCES`], which the caller has
    /// checked.
    pub(crate) fn set_allowances(&mut self, most: u32) {
        self.allowances.most = u64::from(most).min(MOST_ALLOWANCES);
    }

    /// The slots of an earlier run that an engine of `max_slots` slots takes over; `known`: how
    /// many lines of reservations its journal tells of.
    ///
    /// Slots come into use in order. Without this bound, one entry that names a very high slot
    /// would make the engine allocate all slots below it. An engine uses no slot above its maximum,
    /// and every slot up to the highest has had a line. So an honest journal stays below one of the
    /// three figures. The factor leaves room for lines that others have replaced since.
    pub(crate) fn slots(&self, max_slots: u32, known: usize) -> Ceiling {
        let told = (known as u64).saturating_mul(self.slots_a_line).min(MOST_SLOTS);
        let most = self.slots_taken_over.max(max_slots.into()).max(told);
        let setting = Some(("max_reservations", MOST_SLOTS));
        Ceiling { what: "slots of reservations", most, setting }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_admits_its_own_figure_and_not_one_more() {
        let Ceilings { products, .. } = Ceilings::default();
        assert_eq!(products.admits(1 << 24), Ok(()));
        let above = products.admits((1 << 24) + 1).expect_err("one too many");
        assert_eq!((above.needed, above.remedy()), ((1 << 24) + 1, None));
    }

    #[test]
    fn a_setting_is_a_remedy_only_up_to_its_own_bound() {
        let slots = Ceilings::default().slots(16, 0);
        assert_eq!(slots.most, SLOTS_TAKEN_OVER);
        let remedy = |needed| slots.admits(needed).expect_err("too many").remedy();
        assert_eq!(remedy(1 << 31), Some("max_reservations"));
        assert_eq!(remedy((1 << 31) + 1), None);
    }

    #[test]
    fn allowances_are_as_many_as_a_setting_says_up_to_its_bound() {
        let mut ceilings = Ceilings::default();
        let above = ceilings.allowances.admits((1 << 20) + 1).expect_err("one too many");
        assert_eq!(above.remedy(), Some("max_allowances"));
        ceilings.set_allowances(7);
        assert_eq!(ceilings.allowances.places(), 7);
        ceilings.set_allowances(u32::MAX);
        assert_eq!(ceilings.allowances.most, MOST_ALLOWANCES);
    }

    #[test]
    fn slots_are_taken_over_up_to_the_default_the_maximum_or_what_the_journal_tells() {
        let most = |max_slots, known| Ceilings::default().slots(max_slots, known).most;
        assert_eq!(most(16, 1_000), 1 << 24);
        assert_eq!(most(1 << 25, 1_000), 1 << 25);
        assert_eq!(most(16, 20_000_000), 80_000_000);
        assert_eq!(most(16, usize::MAX), MOST_SLOTS);
    }
}

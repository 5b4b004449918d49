//! A stock level: the counts of one product in one warehouse, and the only code that changes them.

use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::base::sync::{AtomicU16, AtomicU32, MODELLED, Ordering};
use crate::stock::bounds::{BoundsWord, LevelBounds};
use crate::stock::cell::{Cell, CellId, Change, ResolveMark};
use crate::stock::handle::{
    LevelHandle, LevelIndex, ProductId, ProductIndex, WarehouseId, WarehouseIndex,
};
use crate::stock::mcas::MarkReader;
use crate::stock::sold::Sold;
use crate::stock::tag::EngineTag;
use crate::stock::word::{Delta, Word};

/// In place of a product while the level is not open.
const NO_PRODUCT: u32 = u32::MAX;

/// A threshold that is never crossed.
const NO_THRESHOLD: u32 = u32::MAX >> 1;

/// Set in a threshold that belongs to this level alone, not to its warehouse.
const OWN_THRESHOLD: u32 = 1 << 31;

const _: () = assert!(MAX_UNITS == NO_THRESHOLD, "the largest count never lies above it");

/// The counts of one product in one warehouse.
///
/// `available` and `reserved` are in one atomic word (Law 1). Beside it is `sold`, the part of
/// `reserved` whose sale is final but which has not left the building, in two counters. All that a
/// level's hot path touches is on its one cache line.
#[derive(Debug)]
#[cfg_attr(not(all(loom, feature = "loom")), repr(align(64)))]
pub struct StockLevel {
    counts: Cell,
    /// Sold units that no kept reservation has to ship.
    untracked: Sold,
    /// Sold units of reservations that are kept until they are shipped.
    tracked: Sold,
    threshold: AtomicU32,
    bounds: BoundsWord,
    product: AtomicU32,
    warehouse: AtomicU16,
    /// Crossings of the threshold since the last alert was taken for delivery.
    crossings: AtomicU16,
    index: AtomicU32,
    /// Whose level it is.
    tag: AtomicU32,
    marks: MarkReader,
}

const _: () = assert!(MODELLED || size_of::<StockLevel>() == 64, "a level is one cache line");

/// The counts of a stock level at one instant, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Counts {
    /// Units that anyone may reserve. Those of overdue holds count as taken until they are taken
    /// back.
    pub available: u32,
    /// Units that are held, or sold and still in the building.
    pub reserved: u32,
    /// Units that are sold and still in the building; never more than `reserved`.
    pub sold: u32,
    /// The part of `sold` that belongs to reservations which are
    /// [kept until they are shipped](crate::Request::keep_until_shipped). Only calls that name the
    /// reservation ship these units or cancel their sale.
    pub tracked: u32,
}

impl Counts {
    /// Units held by pending reservations and by open transfer requests: `reserved - sold`.
    pub fn held(&self) -> u32 {
        self.reserved - self.sold
    }

    /// Units in the building: `available + reserved`.
    pub fn on_hand(&self) -> u32 {
        self.available + self.reserved
    }
}

impl StockLevel {
    /// A level that is not open yet: no product, no units.
    pub(crate) fn closed() -> Self {
        Self {
            counts: Cell::new(Word::default()),
            untracked: Sold::new(0),
            tracked: Sold::new(0),
            threshold: AtomicU32::new(NO_THRESHOLD),
            bounds: BoundsWord::none(),
            product: AtomicU32::new(NO_PRODUCT),
            warehouse: AtomicU16::new(0),
            crossings: AtomicU16::new(0),
            index: AtomicU32::new(0),
            tag: AtomicU32::new(EngineTag::NOBODY.to_bits()),
            marks: MarkReader::default(),
        }
    }

    /// Tells what the marks of commits in this level mean. Set it before the level is opened.
    pub(crate) fn marks(&self) -> &MarkReader {
        &self.marks
    }

    /// Opens the level, empty. Called once a level, and only by the thread that defines names.
    pub(crate) fn open(
        &self,
        index: LevelIndex,
        warehouse: WarehouseIndex,
        product: ProductIndex,
        threshold: Option<u32>,
    ) {
        self.index.store(index.0, Ordering::Relaxed);
        self.warehouse.store(warehouse.0, Ordering::Relaxed);
        self.threshold.store(threshold.unwrap_or(NO_THRESHOLD), Ordering::Relaxed);
        // Release pairs with the Acquire in `is_open`: whoever sees the level open sees its
        // warehouse.
        self.product.store(product.0, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.product.load(Ordering::Acquire) != NO_PRODUCT
    }

    /// Sets the tag that its handles bear. Called before the level is opened.
    pub(crate) fn belong_to(&self, engine: EngineTag) {
        self.tag.store(engine.to_bits(), Ordering::Relaxed);
    }

    fn tag(&self) -> EngineTag {
        EngineTag::from_bits(self.tag.load(Ordering::Relaxed))
    }

    /// The level's handle.
    pub fn handle(&self) -> LevelHandle {
        LevelHandle::new(self.index(), self.tag())
    }

    pub(crate) fn index(&self) -> LevelIndex {
        LevelIndex(self.index.load(Ordering::Relaxed))
    }

    fn id(&self) -> CellId {
        CellId::level(self.index())
    }

    /// The word with both counts, for a commit that covers the level.
    pub(crate) fn cell(&self) -> &Cell {
        &self.counts
    }

    /// Both counts at one instant. One load.
    pub(crate) fn word(&self) -> Word {
        self.counts.read(self.id(), &self.marks)
    }

    /// The level's product.
    pub fn product(&self) -> ProductId {
        ProductId::new(self.product_index(), self.tag())
    }

    pub(crate) fn product_index(&self) -> ProductIndex {
        ProductIndex(self.product.load(Ordering::Relaxed))
    }

    /// The level's warehouse.
    pub fn warehouse(&self) -> WarehouseId {
        WarehouseId::new(self.warehouse_index(), self.tag())
    }

    pub(crate) fn warehouse_index(&self) -> WarehouseIndex {
        WarehouseIndex(self.warehouse.load(Ordering::Relaxed))
    }

    /// All counts at one instant. Writes nothing. Reads again if another thread records a sale or a
    /// shipment meanwhile.
    pub fn counts(&self) -> Counts {
        let (untracked, tracked, word) = self.untracked.read_both(&self.tracked, || self.word());
        let sold = untracked + tracked;
        Counts { available: word.available(), reserved: word.reserved(), sold, tracked }
    }

    /// Units that anyone may reserve. One load.
    pub fn available(&self) -> u32 {
        self.word().available()
    }

    /// The safety stock: so many of the available units are kept back, and only a call that
    /// [passes it](crate::Request::pass_safety_stock) holds or sells them. 0 unless
    /// [set](crate::InventoryManager::set_safety_stock). One load.
    #[inline]
    pub fn safety_stock(&self) -> u32 {
        self.bounds().safety_stock
    }

    /// The safety stock, and whether the product is under a limit. One load for both.
    #[inline]
    pub(crate) fn bounds(&self) -> LevelBounds {
        self.bounds.get()
    }

    /// Units that anyone may reserve above the safety stock. Two loads.
    pub fn for_sale(&self) -> u32 {
        self.available_above(self.safety_stock())
    }

    /// Units that may be reserved by who has to leave so many. One load.
    pub(crate) fn available_above(&self, floor: u32) -> u32 {
        self.available().saturating_sub(floor)
    }

    /// Units that are held, or sold and still in the building. One load.
    pub fn reserved(&self) -> u32 {
        self.word().reserved()
    }

    /// Units that are sold and still in the building.
    pub fn sold(&self) -> u32 {
        self.counts().sold
    }

    /// Sold units of reservations that are
    /// [kept until they are shipped](crate::Request::keep_until_shipped). One load.
    pub fn tracked(&self) -> u32 {
        self.tracked.get()
    }

    /// Units held by pending reservations and by open transfer requests.
    pub fn held(&self) -> u32 {
        self.counts().held()
    }

    /// Units in the building.
    pub fn on_hand(&self) -> u32 {
        self.counts().on_hand()
    }

    /// The reorder threshold: the level is low at this many available units or fewer. `None` if it
    /// has no threshold.
    pub fn threshold(&self) -> Option<u32> {
        let threshold = self.threshold_units();
        (threshold != NO_THRESHOLD).then_some(threshold)
    }

    /// Takes units for a hold, if at least `floor` stay available (Law 1: one swap checks and
    /// takes). `Err` holds what is available.
    #[inline(always)]
    pub(crate) fn hold<S: ResolveMark + ?Sized>(
        &self,
        qty: Quantity,
        floor: u32,
        commits: &S,
    ) -> Result<Change, u32> {
        let delta = Delta::hold(qty).above(floor);
        self.counts.apply(self.id(), delta, commits).map_err(Word::available)
    }

    /// Gives units back that were held, or sold and cancelled. Law 2: the caller has queued the
    /// entry.
    pub(crate) fn give_back<S: ResolveMark + ?Sized>(&self, qty: Quantity, commits: &S) {
        self.give(Delta::give_back(qty), commits);
    }

    /// Adds received units. The caller has taken their room and queued their entry.
    pub(crate) fn receive<S: ResolveMark + ?Sized>(&self, qty: Quantity, commits: &S) -> Change {
        self.give(Delta::receive(qty), commits)
    }

    /// Takes available units out of the level. `Err` holds what is available.
    pub(crate) fn withdraw<S: ResolveMark + ?Sized>(
        &self,
        qty: Quantity,
        commits: &S,
    ) -> Result<Change, u32> {
        self.counts.apply(self.id(), Delta::withdraw(qty), commits).map_err(Word::available)
    }

    /// Takes sold units that are not tracked, to ship them or cancel their sale. `Err` holds how
    /// many there are.
    pub(crate) fn take_sold(&self, qty: Quantity) -> Result<(), u32> {
        self.untracked.take(qty)
    }

    /// The counter of the units that were sold to reservations which are `kept` until they are
    /// shipped, or to all others.
    pub(crate) fn sold_to(&self, kept: bool) -> &Sold {
        if kept { &self.tracked } else { &self.untracked }
    }

    /// Removes units that [`take_sold`](Self::take_sold) took.
    pub(crate) fn ship<S: ResolveMark + ?Sized>(&self, qty: Quantity, commits: &S) {
        self.give(Delta::ship(qty), commits);
    }

    /// Applies a delta that must fit. The laws ensure it: a level never holds more than its
    /// warehouse's capacity, and never gives what was not reserved.
    fn give<S: ResolveMark + ?Sized>(&self, delta: Delta, commits: &S) -> Change {
        let given = self.counts.apply(self.id(), delta, commits);
        debug_assert!(given.is_ok(), "a gift always fits: {delta:?} on {given:?}");
        given.unwrap_or_else(|word| Change { before: word, after: word })
    }

    /// Whether `change` took `available` from above the threshold to it or below. Only one swap
    /// crosses, and it knows both values. So exactly one thread sees each crossing.
    #[inline(always)]
    pub(crate) fn crosses(&self, change: Change) -> bool {
        let threshold = self.threshold_units();
        change.before.available() > threshold && change.after.available() <= threshold
    }

    /// Whether the level is at or under its threshold after `change`.
    pub(crate) fn is_low_after(&self, change: Change) -> bool {
        let threshold = self.threshold_units();
        threshold != NO_THRESHOLD && change.after.available() <= threshold
    }

    /// Counts a crossing. `true` if the level must be queued for an alert, because no earlier alert
    /// of it waits for delivery.
    pub(crate) fn note_crossing(&self) -> bool {
        // No wrap, even if a listener never returns: a count that came back to 0 would queue the
        // level a second time.
        // AcqRel pairs with `take_crossings`: the thread that takes this count for delivery then
        // reads an `available` at least as new as this crossing.
        let swap = |before: u16| {
            let more = before.saturating_add(1);
            self.crossings.compare_exchange(before, more, Ordering::AcqRel, Ordering::Acquire)
        };
        let mut before = self.crossings.load(Ordering::Relaxed);
        while let Err(now) = swap(before) {
            before = now;
        }
        before == 0
    }

    /// Takes the crossings since the last delivery. Read `available` after this call, not before.
    pub(crate) fn take_crossings(&self) -> u32 {
        self.crossings.swap(0, Ordering::AcqRel).into()
    }

    /// Sets the safety stock. At most [`MAX_UNITS`].
    pub(crate) fn set_safety_stock(&self, units: u32) {
        self.bounds.set_safety_stock(units);
    }

    /// Says whether a rule covers the level's product.
    pub(crate) fn set_limited(&self, limited: bool) {
        self.bounds.set_limited(limited);
    }

    /// Sets the warehouse's threshold, unless the level has its own.
    pub(crate) fn set_shared_threshold(&self, threshold: Option<u32>) {
        if self.threshold.load(Ordering::Relaxed) & OWN_THRESHOLD == 0 {
            self.threshold.store(threshold.unwrap_or(NO_THRESHOLD), Ordering::Relaxed);
        }
    }

    /// Sets the level's own threshold; `None` silences the level.
    pub(crate) fn set_own_threshold(&self, threshold: Option<u32>) {
        // Relaxed is enough for a setting: a thread that crosses at this moment may use the old
        // value or the new one.
        self.threshold.store(threshold.unwrap_or(NO_THRESHOLD) | OWN_THRESHOLD, Ordering::Relaxed);
    }

    /// Follows the warehouse's threshold again.
    pub(crate) fn clear_own_threshold(&self, shared: Option<u32>) {
        self.threshold.store(shared.unwrap_or(NO_THRESHOLD), Ordering::Relaxed);
    }

    fn threshold_units(&self) -> u32 {
        self.threshold.load(Ordering::Relaxed) & !OWN_THRESHOLD
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stock::cell::NoMarks;

    fn qty(units: u32) -> Quantity {
        Quantity::new(units).expect("a legal quantity")
    }

    fn level_of(units: u32) -> StockLevel {
        let level = StockLevel::closed();
        level.open(LevelIndex(0), WarehouseIndex(0), ProductIndex(0), None);
        level.receive(qty(units), &NoMarks);
        level
    }

    #[test]
    fn a_hold_that_does_not_fit_takes_nothing_and_says_what_is_there() {
        let level = level_of(5);
        assert_eq!(level.hold(qty(6), 0, &NoMarks), Err(5));
        assert_eq!(level.hold(qty(3), 3, &NoMarks), Err(5));
        assert_eq!(level.counts(), Counts { available: 5, ..Counts::default() });
    }

    #[test]
    fn sold_units_stay_reserved_until_they_are_shipped() {
        let level = level_of(5);
        level.hold(qty(3), 2, &NoMarks).expect("enough");
        level.sold_to(false).add(qty(3));
        assert_eq!((level.held(), level.sold(), level.on_hand()), (0, 3, 5));
        level.take_sold(qty(2)).expect("enough");
        level.ship(qty(2), &NoMarks);
        assert_eq!(level.counts(), Counts { available: 2, reserved: 1, sold: 1, tracked: 0 });
        assert_eq!(level.take_sold(qty(2)), Err(1));
    }

    #[test]
    fn units_of_a_kept_reservation_are_not_taken_by_level() {
        let level = level_of(5);
        level.hold(qty(5), 0, &NoMarks).expect("enough");
        level.sold_to(true).add(qty(3));
        level.sold_to(false).add(qty(2));
        assert_eq!(level.counts(), Counts { available: 0, reserved: 5, sold: 5, tracked: 3 });
        assert_eq!(level.take_sold(qty(3)), Err(2));
        assert_eq!(level.sold_to(true).take(qty(3)), Ok(()));
        assert_eq!((level.sold(), level.tracked()), (2, 0));
    }

    #[test]
    fn crossings_that_nobody_takes_stop_at_the_most_that_can_be_told() {
        let level = level_of(1);
        level.crossings.store(u16::MAX - 1, Ordering::Relaxed);
        assert!(!level.note_crossing() && !level.note_crossing());
        assert_eq!(level.take_crossings(), u32::from(u16::MAX));
    }

    #[test]
    fn only_the_swap_that_crosses_the_threshold_downwards_crosses_it() {
        let level = level_of(5);
        level.set_shared_threshold(Some(3));
        let crossings: Vec<bool> = (0..4)
            .map(|_| level.crosses(level.hold(qty(1), 0, &NoMarks).expect("enough")))
            .collect();
        assert_eq!(crossings, [false, true, false, false]);
        let up = level.receive(qty(9), &NoMarks);
        assert!(!level.crosses(up) && !level.is_low_after(up));
    }

    #[test]
    fn a_threshold_of_its_own_survives_a_new_one_of_the_warehouse() {
        let level = level_of(1);
        level.set_own_threshold(Some(7));
        level.set_shared_threshold(Some(3));
        assert_eq!(level.threshold(), Some(7));
        level.clear_own_threshold(Some(3));
        assert_eq!(level.threshold(), Some(3));
    }

    #[test]
    fn a_level_is_queued_for_an_alert_once_until_it_is_taken() {
        let level = level_of(1);
        assert!(level.note_crossing());
        assert!(!level.note_crossing());
        assert_eq!(level.take_crossings(), 2);
        assert!(level.note_crossing());
    }
}

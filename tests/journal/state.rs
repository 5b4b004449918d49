//! Shared by these tests: everything that an engine shows, and the laws that always hold.

use std::sync::OnceLock;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    Builder, Counts, InventoryManager, JournalOptions, LevelHandle, Limits, PlaceError, Reservation,
};

pub(crate) const WAREHOUSES: [&str; 3] = ["SF", "NYC", "LA"];
pub(crate) const PRODUCTS: [&str; 4] = ["LAPTOP", "PHONE", "CABLE", "DESK"];
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A journal on `disk`.
pub(crate) fn on(disk: &SimulatedDisk) -> JournalOptions {
    JournalOptions::storage(disk.clone())
}

/// Limits of small engines, because thousands are built.
pub(crate) fn small() -> Limits {
    Limits::new().max_reservations(8_192).audit_queue(1_024)
}

/// A small engine on a journal, without threads.
pub(crate) fn engine_on(journal: impl Into<JournalOptions>) -> Builder {
    let builder = InventoryManager::builder().journal(journal).without_threads().limits(small());
    WAREHOUSES.iter().fold(builder, |builder, name| builder.warehouse(*name))
}

/// The counts of every level.
pub(crate) fn counts(manager: &InventoryManager) -> Vec<Counts> {
    let places = WAREHOUSES.iter().flat_map(|w| PRODUCTS.iter().map(move |p| (*w, *p)));
    let counts = |place| match manager.counts(place) {
        Err(PlaceError::NeverStocked { .. }) => Counts::default(),
        other => other.expect("known"),
    };
    places.map(counts).collect()
}

/// Every pending reservation, by id. It has no handles, so two engines can be compared.
pub(crate) fn pending(manager: &InventoryManager) -> Vec<Reservation> {
    let mut all: Vec<Reservation> = Vec::new();
    let places = WAREHOUSES.iter().flat_map(|w| PRODUCTS.iter().map(move |p| (*w, *p)));
    for place in places.filter(|place| manager.level(*place).is_ok()) {
        let mut cursor = None;
        loop {
            let page = manager.reservations(place, cursor, 1_000).expect("a level");
            all.extend(page.reservations.into_iter().map(without_handles));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    all.sort_by_key(|it| it.id);
    all.dedup_by_key(|it| it.id);
    all
}

/// What must be true in any state: no unit is promised twice, and none is lost.
pub(crate) fn check_laws(manager: &InventoryManager) {
    let mut held = vec![0_u64; WAREHOUSES.len() * PRODUCTS.len()];
    for reservation in pending(manager) {
        for line in reservation.lines {
            let place = WAREHOUSES.iter().position(|it| **it == *line.warehouse);
            let product = PRODUCTS.iter().position(|it| **it == *line.product);
            let (Some(w), Some(p)) = (place, product) else { panic!("an unknown place") };
            held[w * PRODUCTS.len() + p] += u64::from(line.held);
        }
    }
    for request in manager.transfer_requests().iter().filter(|it| it.holds_units) {
        let w = WAREHOUSES.iter().position(|it| **it == *request.from).expect("a warehouse");
        let p = PRODUCTS.iter().position(|it| **it == *request.product).expect("a product");
        held[w * PRODUCTS.len() + p] += u64::from(request.quantity);
    }
    for (counts, held) in counts(manager).iter().zip(held) {
        assert!(counts.sold <= counts.reserved, "{counts:?}");
        assert_eq!(u64::from(counts.held()), held, "held by reservations: {counts:?}");
    }
    for name in WAREHOUSES {
        let levels = manager.levels(name).expect("a warehouse");
        let on_hand: u64 = levels.iter().map(|it| u64::from(it.counts.on_hand())).sum();
        let warehouse = manager.warehouse(name).expect("a warehouse");
        let (room, over) = (u64::from(warehouse.room_left()), u64::from(warehouse.over_capacity()));
        assert_eq!(on_hand + room, u64::from(warehouse.capacity()) + over);
        assert!(room == 0 || over == 0, "{name} has {room} left and {over} over");
    }
}

/// A random number generator with a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

/// The seed of this run: `STOCKADE_SEED`, or a constant.
pub(crate) fn seed() -> u64 {
    std::env::var("STOCKADE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed)
}

/// The reservation with the same handle in all its lines. A handle belongs to one engine, so two
/// engines' reservations would otherwise differ.
pub(crate) fn without_handles(mut reservation: Reservation) -> Reservation {
    static NOBODYS: OnceLock<LevelHandle> = OnceLock::new();
    let nobodys = NOBODYS.get_or_init(|| {
        let engine = InventoryManager::builder().warehouse("NOWHERE").without_threads().build();
        engine.expect("an engine").open_level("NOWHERE", "NOTHING").expect("a level")
    });
    reservation.lines.iter_mut().for_each(|line| line.level = *nobodys);
    reservation
}

//! Names: a level is given out when it is open, and when its event is in the record.
//!
//! Only one thread at a time defines names, under a lock; look-ups take no lock. The order of
//! steps here is that of `Catalog::open_level`.

use std::sync::Arc;

use loom_tests::model;

use crate::base::sync::{AtomicU32, Ordering};
use crate::engine::spawn;
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};
use crate::stock::level::StockLevel;
use crate::stock::places::LevelPlaces;
use crate::stock::tag::EngineTag;

const SF: WarehouseIndex = WarehouseIndex(0);
const NYC: WarehouseIndex = WarehouseIndex(1);
const LAPTOP: ProductIndex = ProductIndex(4);
const LEVEL: LevelIndex = LevelIndex(3);

/// A product's places, its one level, and how many events are in the record.
struct Shelf {
    places: LevelPlaces,
    level: StockLevel,
    record: AtomicU32,
    tag: EngineTag,
}

impl Shelf {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            places: LevelPlaces::none(2),
            level: StockLevel::closed(),
            // Loom takes stale values for possible only where orderings permit them.
            record: AtomicU32::new(0),
            tag: EngineTag::from_bits(7),
        })
    }

    fn open_level(&self) {
        self.level.belong_to(self.tag);
        self.level.open(LEVEL, NYC, LAPTOP, Some(9));
        self.record.fetch_add(1, Ordering::Relaxed);
        self.places.publish(NYC, LEVEL);
    }

    fn assert_whole(&self) {
        let level = &self.level;
        assert_eq!((level.index(), level.warehouse_index()), (LEVEL, NYC), "half opened");
        assert_eq!(level.product_index(), LAPTOP, "half opened");
        assert_eq!(level.threshold(), Some(9), "half opened");
        assert_eq!(level.handle().of(self.tag), Some(LEVEL), "its handle is a stranger's");
    }
}

#[test]
fn whoever_finds_a_level_finds_it_open_and_its_event_in_the_record() {
    model("a level is opened beside a look-up of its names", || {
        let shelf = Shelf::new();
        let opening = spawn(&shelf, |shelf| shelf.open_level());
        assert_eq!(shelf.places.get(SF), None, "no level was opened here");
        if let Some(found) = shelf.places.get(NYC) {
            assert_eq!(found, LEVEL);
            assert!(shelf.level.is_open(), "a level that is not open yet was given out");
            assert_eq!(shelf.record.load(Ordering::Relaxed), 1, "given out before its event");
            shelf.assert_whole();
        }
        opening.join().expect("the thread ends");
        assert_eq!(shelf.places.get(NYC), Some(LEVEL));
    });
}

/// A scan over all levels knows no names: it goes by `is_open` alone.
#[test]
fn whoever_sees_a_level_open_sees_all_that_it_was_opened_with() {
    model("a level is opened beside a look-up by its number", || {
        let shelf = Shelf::new();
        let opening = spawn(&shelf, |shelf| shelf.open_level());
        if shelf.level.is_open() {
            shelf.assert_whole();
        }
        opening.join().expect("the thread ends");
        shelf.assert_whole();
    });
}

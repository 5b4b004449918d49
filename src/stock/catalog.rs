//! The catalog: names to handles, and handles to levels and warehouses.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::base::ceilings::{AboveCeiling, Ceilings};
use crate::base::sync::{AtomicBool, AtomicU32, AtomicUsize, DashMap, Mutex, Ordering, lock};
use crate::base::table::Table;
use crate::stock::allowance::table::Allowances;
use crate::stock::cell::{Cell, CellId, CellKind};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};
use crate::stock::level::StockLevel;
use crate::stock::mcas::DescriptorPool;
use crate::stock::places::LevelPlaces;
use crate::stock::tag::{EngineTag, TagLease};
use crate::stock::warehouse::Warehouse;

/// All warehouses, products, levels and allowances of an engine.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// What the handles of this engine bear.
    tag: TagLease,
    warehouses: Box<[Warehouse]>,
    /// Whether any of them is suspended, so that a reserve need not look at its own.
    any_suspended: AtomicBool,
    warehouse_ids: HashMap<Arc<str>, WarehouseIndex>,
    products: Table<OnceLock<Product>>,
    product_ids: DashMap<Arc<str>, ProductIndex, foldhash::quality::RandomState>,
    levels: Table<StockLevel>,
    allowances: Allowances,
    ceilings: Ceilings,
    /// The descriptors of commits over several levels and rooms.
    commits: Arc<DescriptorPool>,
    /// Held while a name is defined. That is rare, and a look-up never takes it.
    defining: Mutex<()>,
    /// How many names are defined. Written under `defining`. Relaxed is enough in both: other
    /// threads only report the figures.
    products_defined: AtomicUsize,
    levels_defined: AtomicUsize,
}

/// A product: its name, and its level in each warehouse.
#[derive(Debug)]
struct Product {
    name: Arc<str>,
    levels: LevelPlaces,
    /// The number of the list of limits that cover it; 0 for none. The engine's book has the lists.
    coverage: AtomicU32,
}

/// A name that is being defined.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Definition<'a> {
    Product(ProductIndex, &'a str),
    Level(LevelIndex),
}

/// All numbers of products or of levels are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CatalogFull;

impl From<AboveCeiling> for CatalogFull {
    fn from(_: AboveCeiling) -> Self {
        Self
    }
}

impl Catalog {
    pub(crate) fn new(mut warehouses: Vec<Warehouse>, ceilings: Ceilings) -> Self {
        let tag = TagLease::draw();
        warehouses.iter_mut().for_each(|warehouse| warehouse.belong_to(tag.tag()));
        let commits = Arc::new(DescriptorPool::new());
        warehouses.iter().for_each(|warehouse| warehouse.marks().open(&commits));
        let warehouse_ids = warehouses
            .iter()
            .map(|warehouse| (warehouse.shared_name(), warehouse.index()))
            .collect();
        Self {
            tag,
            warehouses: warehouses.into_boxed_slice(),
            any_suspended: AtomicBool::new(false),
            warehouse_ids,
            products: Table::new(ceilings.products.places(), OnceLock::new),
            product_ids: DashMap::with_hasher(foldhash::quality::RandomState::default()),
            levels: Table::new(ceilings.levels.places(), StockLevel::closed),
            // No ceiling of allowances is above 2^28.
            allowances: Allowances::new(ceilings.allowances.places() as u32, &commits),
            ceilings,
            commits,
            defining: Mutex::new(()),
            products_defined: AtomicUsize::new(0),
            levels_defined: AtomicUsize::new(0),
        }
    }

    /// The tag that this engine's handles bear.
    #[inline]
    pub(crate) fn tag(&self) -> EngineTag {
        self.tag.tag()
    }

    /// The descriptors of commits over several levels and rooms.
    pub(crate) fn commits(&self) -> &DescriptorPool {
        &self.commits
    }

    /// What each subject has drawn under each rule.
    pub(crate) fn allowances(&self) -> &Allowances {
        &self.allowances
    }

    /// The word of a cell. Commits name only cells that exist.
    pub(crate) fn cell(&self, id: CellId) -> Option<&Cell> {
        match id.kind() {
            CellKind::Allowance(allowance) => self.allowances.cell(allowance),
            CellKind::Level(level) => self.level(level).map(StockLevel::cell),
            CellKind::Room(warehouse) => self.warehouse(warehouse).map(Warehouse::room),
        }
    }

    pub(crate) fn warehouses(&self) -> &[Warehouse] {
        &self.warehouses
    }

    pub(crate) fn warehouse(&self, id: WarehouseIndex) -> Option<&Warehouse> {
        self.warehouses.get(id.index())
    }

    /// Suspends a warehouse of this catalog, or resumes it. One call at a time.
    pub(crate) fn set_suspended(&self, warehouse: &Warehouse, suspended: bool) {
        warehouse.set_suspended(suspended);
        let any = self.warehouses.iter().any(Warehouse::is_suspended);
        // Relaxed: it hands over nothing. A call that begins after this one has returned sees it,
        // and then the warehouse's own word.
        self.any_suspended.store(any, Ordering::Relaxed);
    }

    /// Whether a warehouse may be suspended: one load for all of them.
    #[inline]
    pub(crate) fn is_any_suspended(&self) -> bool {
        self.any_suspended.load(Ordering::Relaxed)
    }

    pub(crate) fn warehouse_index(&self, name: &str) -> Option<WarehouseIndex> {
        self.warehouse_ids.get(name).copied()
    }

    pub(crate) fn product_index(&self, name: &str) -> Option<ProductIndex> {
        self.product_ids.get(name).map(|entry| *entry)
    }

    pub(crate) fn product_name(&self, id: ProductIndex) -> Option<Arc<str>> {
        Some(Arc::clone(&self.product(id)?.name))
    }

    /// The open level of a handle: two loads, no hashing.
    #[inline]
    pub(crate) fn level(&self, handle: LevelIndex) -> Option<&StockLevel> {
        self.levels.get(handle.index()).filter(|level| level.is_open())
    }

    /// The level of a product in a warehouse, if it is open.
    pub(crate) fn level_of(
        &self,
        warehouse: WarehouseIndex,
        product: ProductIndex,
    ) -> Option<LevelIndex> {
        self.product(product)?.levels.get(warehouse)
    }

    /// The level of a product in a warehouse, by names: one hash of each.
    pub(crate) fn level_by_name(
        &self,
        warehouse: WarehouseIndex,
        product: &str,
    ) -> Option<LevelIndex> {
        self.level_of(warehouse, self.product_index(product)?)
    }

    /// The number of the list of limits that cover a product; 0 for none.
    #[inline]
    pub(crate) fn coverage(&self, product: ProductIndex) -> u32 {
        // Acquire pairs with the Release in `set_coverage`: whoever finds the number finds the
        // list.
        self.product(product).map_or(0, |product| product.coverage.load(Ordering::Acquire))
    }

    /// Says which limits cover a product from now on, and tells its levels whether any does. Waits
    /// while another thread defines a name: so a level that opens now is told, too.
    pub(crate) fn set_coverage(&self, product: ProductIndex, coverage: u32) {
        let _one_at_a_time = lock(&self.defining);
        let Some(found) = self.product(product) else { return };
        found.coverage.store(coverage, Ordering::Release);
        let levels = self.levels_of(product).filter_map(|level| self.level(level));
        levels.for_each(|level| level.set_limited(coverage != 0));
    }

    /// The open levels of a product, in the order of the warehouses.
    pub(crate) fn levels_of(&self, product: ProductIndex) -> impl Iterator<Item = LevelIndex> + '_ {
        self.warehouses
            .iter()
            .filter_map(move |warehouse| self.level_of(warehouse.index(), product))
    }

    /// How many levels are open. Never waits.
    pub(crate) fn level_count(&self) -> usize {
        self.levels_defined.load(Ordering::Relaxed)
    }

    /// How many products have a name. Never waits.
    pub(crate) fn product_count(&self) -> usize {
        self.products_defined.load(Ordering::Relaxed)
    }

    /// Opens the level of `product` in `warehouse`, and defines the product if it is new.
    /// `announce` queues the entry of each name before its handle is given out (Law 2: whoever uses
    /// a handle is logged after its definition). Waits while another thread defines a name.
    pub(crate) fn open_level(
        &self,
        warehouse: WarehouseIndex,
        product: &str,
        mut announce: impl FnMut(Definition<'_>),
    ) -> Result<LevelIndex, CatalogFull> {
        let _one_at_a_time = lock(&self.defining);
        let known = self.product_index(product);
        if let Some(level) = known.and_then(|product| self.level_of(warehouse, product)) {
            return Ok(level);
        }
        // Before the product is defined: a refused call must not define one.
        self.ceilings.levels.admits(self.level_count() + 1)?;
        let product = match known {
            Some(product) => product,
            None => self.define_product(product, &mut announce)?,
        };
        let handle = LevelIndex(self.level_count() as u32);
        let level = self.levels.ensure(handle.index()).ok_or(CatalogFull)?;
        let location = self.warehouse(warehouse).ok_or(CatalogFull)?;
        self.levels_defined.fetch_add(1, Ordering::Relaxed);
        level.marks().open(&self.commits);
        level.belong_to(self.tag());
        level.open(handle, warehouse, product, location.threshold());
        level.set_limited(self.coverage(product) != 0);
        announce(Definition::Level(handle));
        location.note_level(handle);
        if let Some(product) = self.product(product) {
            product.levels.publish(warehouse, handle);
        }
        Ok(handle)
    }

    /// Gives a product the next number. For products of an earlier run, in the order in which it
    /// defined them.
    pub(crate) fn restore_product(&self, name: &str) -> Result<ProductIndex, CatalogFull> {
        let _one_at_a_time = lock(&self.defining);
        self.define_product(name, &mut |_| {})
    }

    fn define_product(
        &self,
        name: &str,
        announce: &mut impl FnMut(Definition<'_>),
    ) -> Result<ProductIndex, CatalogFull> {
        self.ceilings.products.admits(self.product_count() + 1)?;
        let id = ProductIndex(self.product_count() as u32);
        let place = self.products.ensure(id.index()).ok_or(CatalogFull)?;
        self.products_defined.fetch_add(1, Ordering::Relaxed);
        let name: Arc<str> = name.into();
        let levels = LevelPlaces::none(self.warehouses.len());
        // The place is empty: only the holder of `defining` fills places, each once.
        let coverage = AtomicU32::new(0);
        let _ = place.set(Product { name: Arc::clone(&name), levels, coverage });
        announce(Definition::Product(id, &name));
        self.product_ids.insert(name, id);
        Ok(id)
    }

    fn product(&self, id: ProductIndex) -> Option<&Product> {
        self.products.get(id.index())?.get()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let warehouses = ["SF", "NYC"].iter().enumerate();
        Catalog::new(
            warehouses
                .map(|(id, name)| {
                    Warehouse::new(WarehouseIndex(id as u16), (*name).into(), 100, None)
                })
                .collect(),
            Ceilings::default(),
        )
    }

    #[test]
    fn a_name_is_announced_once_and_before_its_handle_is_given_out() {
        let catalog = catalog();
        let mut announced = Vec::new();
        let mut open = |warehouse| {
            catalog.open_level(WarehouseIndex(warehouse), "LAPTOP", |definition| {
                assert_eq!(catalog.level_by_name(WarehouseIndex(warehouse), "LAPTOP"), None);
                announced.push(format!("{definition:?}"));
            })
        };
        let sf = open(0).expect("room for names");
        let nyc = open(1).expect("room for names");
        assert_eq!(open(0), Ok(sf));
        assert_ne!(sf, nyc);
        assert_eq!(announced.len(), 3, "one product and two levels: {announced:?}");
        assert_eq!(catalog.level_by_name(WarehouseIndex(1), "LAPTOP"), Some(nyc));
        assert_eq!(catalog.warehouse(WarehouseIndex(0)).map(Warehouse::levels), Some(vec![sf]));
    }

    #[test]
    fn an_unopened_level_is_none() {
        let catalog = catalog();
        assert!(catalog.level(LevelIndex(0)).is_none());
        assert!(catalog.level(LevelIndex(u32::MAX)).is_none());
        assert_eq!(catalog.level_by_name(WarehouseIndex(0), "LAPTOP"), None);
    }
}

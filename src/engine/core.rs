//! What all operations share: taking slots, resolving names to levels, and raising low-stock
//! alerts.

use std::sync::{Arc, Weak};

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::audit::view::Names;
use crate::base::clock::Timestamp;
use crate::base::error::{
    AddError, ApproveError, InvalidName, NotOpen, PlaceError, SettingError, TransferError,
};
use crate::base::quantity::InvalidQuantity;
use crate::engine::Engine;
use crate::engine::place::{
    BasketLine, LevelRef, OwnLevel, OwnLines, OwnProduct, OwnWarehouse, ProductRef, WarehouseRef,
    foreign,
};
use crate::policy::alert_dispatcher::AlertSource;
use crate::policy::alerts::{StockAlert, StockAlertListener};
use crate::reservation::slots::VacantSlot;
use crate::reservation::slots::vacant_chain::VacantChain;
use crate::stock::catalog::{Catalog, CatalogFull, Definition};
use crate::stock::handle::{LevelHandle, LevelIndex, ProductIndex, WarehouseIndex};
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

impl Engine {
    /// A slot that no other thread can reach, or `None` if all are in use. Before it returns
    /// `None`, it expires overdue holds, which may free one.
    #[inline(always)]
    pub(super) fn take_slot(&self, now: Timestamp) -> Option<VacantSlot<'_>> {
        if let Some(slot) = self.slots.take(now, || self.now_or(now)) {
            return Some(slot);
        }
        self.take_overdue_slot(now).map(VacantSlot::in_registers)
    }

    #[cold]
    #[inline(never)]
    fn take_overdue_slot(&self, now: Timestamp) -> Option<VacantSlot<'_>> {
        self.take_back_overdue(now, || false);
        self.slots.take(now, || self.now_or(now))
    }

    /// Linked slots for a new reservation with `count` lines and notes, or none.
    #[inline]
    pub(super) fn take_chain(&self, count: usize, now: Timestamp) -> Option<VacantChain<'_>> {
        let mut slots = VacantChain::new(self.take_slot(now)?);
        for _ in 1..count {
            match self.take_slot(now) {
                Some(slot) => slots.push(slot),
                None => {
                    self.slots.put_back_chain(slots, now);
                    return None;
                }
            }
        }
        Some(slots)
    }

    /// `count` slots, or none.
    pub(super) fn take_slots(&self, count: usize, now: Timestamp) -> Option<Vec<VacantSlot<'_>>> {
        let mut slots = Vec::with_capacity(count);
        while slots.len() < count {
            match self.take_slot(now) {
                Some(slot) => slots.push(slot),
                None => {
                    slots.into_iter().for_each(|slot| self.slots.put_back(slot, now));
                    return None;
                }
            }
        }
        Some(slots)
    }

    /// The caller's level, resolved for this engine. Refuses a handle of another engine. Does not
    /// check names.
    #[inline(always)]
    pub(super) fn own_level<'l>(&self, level: LevelRef<'l>) -> Result<OwnLevel<'l>, PlaceError> {
        level.own(self.catalog.tag())
    }

    /// The caller's lines, checked for this engine. Refuses a line with a quantity or a name that
    /// is not valid, or with a handle of another engine.
    pub(super) fn own_lines<'l, E>(&self, lines: &'l [BasketLine<'l>]) -> Result<OwnLines<'l>, E>
    where
        E: From<InvalidQuantity> + From<InvalidName> + From<PlaceError>,
    {
        OwnLines::check(lines, self.catalog.tag())
    }

    /// The caller's product, resolved for this engine. Refuses a handle of another engine. Does not
    /// check a name.
    pub(super) fn own_product<'p>(
        &self,
        product: ProductRef<'p>,
    ) -> Result<OwnProduct<'p>, PlaceError> {
        product.own(self.catalog.tag())
    }

    /// The public handle of a level: its index with this engine's tag.
    pub(super) fn handle(&self, level: LevelIndex) -> LevelHandle {
        LevelHandle::new(level, self.catalog.tag())
    }

    pub(super) fn warehouse(&self, warehouse: WarehouseRef<'_>) -> Result<&Warehouse, PlaceError> {
        self.own_warehouse(warehouse).map(|(found, _)| found)
    }

    /// The warehouse, and how the caller named it.
    pub(super) fn own_warehouse<'w>(
        &self,
        warehouse: WarehouseRef<'w>,
    ) -> Result<(&Warehouse, OwnWarehouse<'w>), PlaceError> {
        let named = warehouse.own(self.catalog.tag())?;
        let found = match named {
            OwnWarehouse::Name(name) => self.warehouse_named(name)?,
            OwnWarehouse::Index(index) => self.warehouse_at(index)?,
        };
        Ok((found, named))
    }

    fn warehouse_named(&self, name: &str) -> Result<&Warehouse, PlaceError> {
        let found = self.catalog.warehouse_index(name).and_then(|id| self.catalog.warehouse(id));
        found.ok_or_else(|| PlaceError::UnknownWarehouse { warehouse: name.to_owned() })
    }

    #[inline]
    pub(super) fn warehouse_at(&self, index: WarehouseIndex) -> Result<&Warehouse, PlaceError> {
        self.catalog.warehouse(index).ok_or_else(foreign)
    }

    /// The level at this place, if one has been opened there.
    #[inline(always)]
    pub(super) fn opened(&self, level: OwnLevel<'_>) -> Result<Option<LevelIndex>, PlaceError> {
        match level {
            OwnLevel::Index(index) => Ok(Some(index)),
            OwnLevel::Names(warehouse, product) => {
                let warehouse = self.warehouse_named(warehouse)?;
                Ok(self.catalog.level_by_name(warehouse.index(), product))
            }
        }
    }

    /// The level at this place, or `None` if the product was stocked only elsewhere. Refuses a
    /// product that this engine has never heard of.
    #[inline(always)]
    pub(super) fn resolve_stocked(
        &self,
        level: OwnLevel<'_>,
    ) -> Result<Option<LevelIndex>, PlaceError> {
        match (self.opened(level)?, level) {
            (None, OwnLevel::Names(_, product)) => self.known_product(product).map(|_| None),
            (found, _) => Ok(found),
        }
    }

    /// The product of this name. Refuses a name that this engine has never heard of.
    pub(super) fn known_product(&self, name: &str) -> Result<ProductIndex, PlaceError> {
        let found = self.catalog.product_index(name);
        found.ok_or_else(|| PlaceError::NeverStocked { product: name.to_owned() })
    }

    /// The index of the product that the caller named.
    pub(super) fn product(&self, product: OwnProduct<'_>) -> Result<ProductIndex, PlaceError> {
        match product {
            OwnProduct::Name(name) => self.known_product(name),
            OwnProduct::Index(index) => Ok(index),
        }
    }

    /// The level at this place. Refuses a place without a level.
    pub(super) fn resolve(&self, level: OwnLevel<'_>) -> Result<LevelIndex, PlaceError> {
        self.resolve_stocked(level)?.ok_or_else(|| match level {
            OwnLevel::Index(_) => foreign(),
            OwnLevel::Names(warehouse, product) => PlaceError::NotStockedHere {
                warehouse: warehouse.to_owned(),
                product: product.to_owned(),
            },
        })
    }

    /// The level at this place; opens it `now` if it is new. Opening queues records, so the caller
    /// must have been admitted.
    pub(super) fn resolve_or_open(
        &self,
        level: OwnLevel<'_>,
        now: Timestamp,
    ) -> Result<LevelIndex, CannotOpen> {
        if let Some(known) = self.opened(level)? {
            return Ok(known);
        }
        let OwnLevel::Names(warehouse, product) = level else {
            return Err(foreign().into());
        };
        let warehouse = self.warehouse_named(warehouse)?;
        let opened = self.catalog.open_level(warehouse.index(), product, |definition| {
            let record = match definition {
                Definition::Product(id, name) => {
                    let record = self.recorder.event(EventType::ProductDefined);
                    record.about(Subject::Product(id)).text("name", name)
                }
                Definition::Level(handle) => {
                    self.recorder.event(EventType::LevelOpened).about(Subject::Level(handle))
                }
            };
            // If the writer has ended, this is lost; the operation that needs the name then gets
            // the error from its own record.
            let _ = record.at(now).queue();
        });
        Ok(opened?)
    }

    /// The level of `product` in `warehouse`, or `None` if the product was stocked only elsewhere.
    pub(super) fn level_in(
        &self,
        warehouse: WarehouseIndex,
        product: OwnProduct<'_>,
    ) -> Result<Option<LevelIndex>, PlaceError> {
        Ok(self.catalog.level_of(warehouse, self.product(product)?))
    }

    #[inline]
    pub(super) fn warehouse_of(&self, level: &StockLevel) -> Result<&Warehouse, PlaceError> {
        self.warehouse_at(level.warehouse_index())
    }

    #[inline]
    pub(super) fn level_and_warehouse(
        &self,
        handle: LevelIndex,
    ) -> Result<(&StockLevel, &Warehouse), PlaceError> {
        let level = self.catalog.level(handle).ok_or_else(foreign)?;
        Ok((level, self.warehouse_of(level)?))
    }

    /// Refuses a suspended warehouse. `Err` holds its name.
    #[inline]
    pub(super) fn check_open(&self, warehouse: &Warehouse) -> Result<(), String> {
        if warehouse.is_suspended() { Err(warehouse.name().to_owned()) } else { Ok(()) }
    }

    /// The names of a level's warehouse and product, for messages.
    pub(super) fn names_of(&self, handle: LevelIndex) -> (Arc<str>, Arc<str>) {
        let names = self.catalog.level(handle).and_then(|level| {
            let warehouse = self.catalog.warehouse(level.warehouse_index())?.shared_name();
            Some((warehouse, self.catalog.product_name(level.product_index())?))
        });
        names.unwrap_or_else(|| ("?".into(), "?".into()))
    }

    /// Counts a crossing of the reorder point. Queues the level for an alert, unless it is queued
    /// already.
    #[cold]
    pub(super) fn raise_alert(&self, handle: LevelIndex, level: &StockLevel) {
        if level.note_crossing() {
            self.dispatcher.raise(handle);
        }
    }
}

/// Why a level cannot be opened.
#[derive(Debug)]
pub(super) enum CannotOpen {
    Place(PlaceError),
    TooManyNames,
}

impl From<PlaceError> for CannotOpen {
    fn from(place: PlaceError) -> Self {
        Self::Place(place)
    }
}

impl From<CatalogFull> for CannotOpen {
    fn from(_: CatalogFull) -> Self {
        Self::TooManyNames
    }
}

/// Converts [`CannotOpen`] into the error of each operation that opens levels.
macro_rules! opens_levels {
    ($($error:ident)+) => {$(
        impl From<CannotOpen> for $error {
            fn from(cause: CannotOpen) -> Self {
                match cause {
                    CannotOpen::Place(place) => Self::Place(place),
                    CannotOpen::TooManyNames => Self::TooManyNames,
                }
            }
        }
    )+};
}

opens_levels! { AddError TransferError SettingError }

impl From<CannotOpen> for ApproveError {
    fn from(cause: CannotOpen) -> Self {
        match cause {
            CannotOpen::TooManyNames => Self::TooManyNames,
            // Unreachable in practice: the request's warehouses were looked up when it was made.
            CannotOpen::Place(_) => NotOpen::Unknown.into(),
        }
    }
}

impl AlertSource for Engine {
    fn take_alert(&self, handle: LevelIndex) -> Option<StockAlert> {
        let level = self.catalog.level(handle)?;
        // Take the count before reading `available`: a crossing after the read then raises an alert
        // of its own.
        let crossings = level.take_crossings();
        let (warehouse, product) = self.names_of(handle);
        let mut alert = StockAlert::new(warehouse, product, level.available(), level.threshold()?);
        alert.crossings = crossings;
        Some(alert)
    }

    fn listeners(&self, handle: LevelIndex) -> Vec<Arc<dyn StockAlertListener>> {
        self.catalog
            .level(handle)
            .map(|level| self.listeners.of(level.warehouse_index()))
            .unwrap_or_default()
    }
}

impl Names for Catalog {
    fn level(&self, level: LevelIndex) -> Option<(WarehouseIndex, ProductIndex)> {
        Catalog::level(self, level).map(|level| (level.warehouse_index(), level.product_index()))
    }

    fn warehouse_name(&self, warehouse: WarehouseIndex) -> Option<Arc<str>> {
        self.warehouse(warehouse).map(Warehouse::shared_name)
    }

    fn product_name(&self, product: ProductIndex) -> Option<Arc<str>> {
        Catalog::product_name(self, product)
    }

    fn warehouse_index(&self, name: &str) -> Option<WarehouseIndex> {
        Catalog::warehouse_index(self, name)
    }

    fn product_index(&self, name: &str) -> Option<ProductIndex> {
        Catalog::product_index(self, name)
    }
}

/// The dispatcher's handle on the engine. It is weak, so that the dispatcher does not keep an
/// engine alive after its last manager was dropped.
pub(super) fn alert_source(engine: &Arc<Engine>) -> Weak<dyn AlertSource> {
    let weak: Weak<Engine> = Arc::downgrade(engine);
    weak
}

//! What all operations share: slots, names and levels, and who hears of low stock.

use std::sync::{Arc, Weak};

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::audit::view::Names;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::place::{LevelRef, ProductRef, WarehouseRef};
use crate::error::{
    AddError, DecisionError, InvalidName, MAX_NAME_BYTES, SettingError, TransferError, UnknownPlace,
};
use crate::policy::alerts::{StockAlert, StockAlertListener};
use crate::policy::desk::AlertSource;
use crate::reservation::slots::Vacated;
use crate::stock::catalog::{Catalog, CatalogFull, Definition};
use crate::stock::handle::{LevelHandle, ProductId, WarehouseId};
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

impl Engine {
    /// A slot that nobody else can reach; `None` if all are in use. Behind an overdue hold may be a
    /// slot, so those are ended before the answer is no.
    #[inline]
    pub(super) fn take_slot(&self, now: Timestamp) -> Option<Vacated<'_>> {
        match self.slots.take(now) {
            None => self.take_overdue_slot(now),
            some => some,
        }
    }

    #[cold]
    #[inline(never)]
    fn take_overdue_slot(&self, now: Timestamp) -> Option<Vacated<'_>> {
        self.take_back_overdue(now, || false);
        self.slots.take(now)
    }

    /// As many slots, or none.
    pub(super) fn take_slots(&self, count: usize, now: Timestamp) -> Option<Vec<Vacated<'_>>> {
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

    pub(super) fn check_name(&self, name: &str) -> Result<(), InvalidName> {
        let bytes = name.len();
        if (1..=MAX_NAME_BYTES).contains(&bytes) { Ok(()) } else { Err(InvalidName { bytes }) }
    }

    #[inline]
    pub(super) fn check_names(&self, level: LevelRef<'_>) -> Result<(), UnknownPlace> {
        if let LevelRef::Names(warehouse, product) = level {
            self.check_name(warehouse)?;
            self.check_name(product)?;
        }
        Ok(())
    }

    pub(super) fn warehouse(
        &self,
        warehouse: WarehouseRef<'_>,
    ) -> Result<&Warehouse, UnknownPlace> {
        let found = match warehouse {
            WarehouseRef::Name(name) => self.catalog.warehouse_id(name),
            WarehouseRef::Id(id) => Some(id),
        };
        found.and_then(|id| self.catalog.warehouse(id)).ok_or_else(|| UnknownPlace::Warehouse {
            warehouse: match warehouse {
                WarehouseRef::Name(name) => name.to_owned(),
                WarehouseRef::Id(id) => id.0.to_string(),
            },
        })
    }

    /// The level that was opened at this place, if one was. A handle is taken at its word.
    #[inline]
    pub(super) fn resolve_stocked(
        &self,
        level: LevelRef<'_>,
    ) -> Result<Option<LevelHandle>, UnknownPlace> {
        match level {
            LevelRef::Handle(handle) => Ok(Some(handle)),
            LevelRef::Names(warehouse, product) => {
                let warehouse = self.warehouse(WarehouseRef::Name(warehouse))?;
                Ok(self.catalog.level_by_name(warehouse.id(), product))
            }
        }
    }

    /// The level at this place, or the error that says that there is none.
    pub(super) fn resolve(&self, level: LevelRef<'_>) -> Result<LevelHandle, UnknownPlace> {
        self.check_names(level)?;
        let found = self.resolve_stocked(level)?;
        found.filter(|handle| self.catalog.level(*handle).is_some()).ok_or_else(|| match level {
            LevelRef::Handle(_) => UnknownPlace::Handle,
            LevelRef::Names(warehouse, product) => UnknownPlace::Product {
                warehouse: warehouse.to_owned(),
                product: product.to_owned(),
            },
        })
    }

    /// The level at this place, opened if it is new. The caller has been admitted.
    pub(super) fn resolve_or_open(&self, level: LevelRef<'_>) -> Result<LevelHandle, CannotOpen> {
        if let Some(known) = self.resolve_stocked(level)? {
            return Ok(known);
        }
        let LevelRef::Names(warehouse, product) = level else {
            return Err(UnknownPlace::Handle.into());
        };
        let warehouse = self.warehouse(WarehouseRef::Name(warehouse))?;
        let now = self.now();
        let opened = self.catalog.open_level(warehouse.id(), product, |definition| {
            let record = match definition {
                Definition::Product(id, name) => {
                    let record = self.recorder.event(EventType::ProductDefined);
                    record.about(Subject::Product(id)).text("name", name)
                }
                Definition::Level(handle) => {
                    self.recorder.event(EventType::LevelOpened).about(Subject::Level(handle))
                }
            };
            // Where the writer has ended, the operation that needs the name hears it.
            let _ = record.at(now).queue();
        });
        Ok(opened?)
    }

    /// The level of `product` in `warehouse`, if one was opened.
    pub(super) fn level_in(
        &self,
        warehouse: WarehouseId,
        product: ProductRef<'_>,
    ) -> Result<Option<LevelHandle>, UnknownPlace> {
        match product {
            ProductRef::Name(name) => Ok(self.catalog.level_by_name(warehouse, name)),
            ProductRef::Id(id) if self.catalog.product_name(id).is_none() => {
                Err(UnknownPlace::Handle)
            }
            ProductRef::Id(id) => Ok(self.catalog.level_of(warehouse, id)),
        }
    }

    #[inline]
    pub(super) fn warehouse_of(&self, level: &StockLevel) -> Result<&Warehouse, UnknownPlace> {
        self.catalog.warehouse(level.warehouse()).ok_or_else(no_such_handle)
    }

    #[inline]
    pub(super) fn level_and_warehouse(
        &self,
        handle: LevelHandle,
    ) -> Result<(&StockLevel, &Warehouse), UnknownPlace> {
        let level = self.catalog.level(handle).ok_or_else(no_such_handle)?;
        Ok((level, self.warehouse_of(level)?))
    }

    /// Refuses what a suspended warehouse does not take; `Err` tells its name.
    #[inline]
    pub(super) fn check_open(&self, warehouse: &Warehouse) -> Result<(), String> {
        if warehouse.is_suspended() { Err(warehouse.name().to_owned()) } else { Ok(()) }
    }

    /// Warehouse and product of a level, for people.
    pub(super) fn names_of(&self, handle: LevelHandle) -> (Arc<str>, Arc<str>) {
        let names = self.catalog.level(handle).and_then(|level| {
            let warehouse = self.catalog.warehouse(level.warehouse())?.shared_name();
            Some((warehouse, self.catalog.product_name(level.product())?))
        });
        names.unwrap_or_else(|| ("?".into(), "?".into()))
    }

    /// Counts a crossing of the threshold, and queues the level for an alert unless it is queued.
    #[cold]
    pub(super) fn raise_alert(&self, handle: LevelHandle, level: &StockLevel) {
        if level.note_crossing() {
            self.desk.raise(handle);
        }
    }
}

// A function, not a value: a call that does not need the error would make it and drop it.
#[cold]
fn no_such_handle() -> UnknownPlace {
    UnknownPlace::Handle
}

/// Why a level can't be opened.
#[derive(Debug)]
pub(super) enum CannotOpen {
    Place(UnknownPlace),
    TooManyNames,
}

impl From<UnknownPlace> for CannotOpen {
    fn from(place: UnknownPlace) -> Self {
        Self::Place(place)
    }
}

impl From<CatalogFull> for CannotOpen {
    fn from(_: CatalogFull) -> Self {
        Self::TooManyNames
    }
}

/// The operations that open levels say so in their own words.
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

opens_levels! { AddError TransferError DecisionError SettingError }

impl AlertSource for Engine {
    fn take_alert(&self, handle: LevelHandle) -> Option<StockAlert> {
        let level = self.catalog.level(handle)?;
        // Taken before `available` is read, so that a crossing after the read is an alert of its own.
        let crossings = level.take_crossings();
        let (warehouse, product) = self.names_of(handle);
        let mut alert = StockAlert::new(warehouse, product, level.available(), level.threshold()?);
        alert.crossings = crossings;
        Some(alert)
    }

    fn listeners(&self, handle: LevelHandle) -> Vec<Arc<dyn StockAlertListener>> {
        self.catalog
            .level(handle)
            .map(|level| self.listeners.of(level.warehouse()))
            .unwrap_or_default()
    }
}

impl Names for Catalog {
    fn level(&self, level: LevelHandle) -> Option<(WarehouseId, ProductId)> {
        Catalog::level(self, level).map(|level| (level.warehouse(), level.product()))
    }

    fn warehouse_name(&self, warehouse: WarehouseId) -> Option<Arc<str>> {
        self.warehouse(warehouse).map(Warehouse::shared_name)
    }

    fn product_name(&self, product: ProductId) -> Option<Arc<str>> {
        Catalog::product_name(self, product)
    }

    fn warehouse_id(&self, name: &str) -> Option<WarehouseId> {
        Catalog::warehouse_id(self, name)
    }

    fn product_id(&self, name: &str) -> Option<ProductId> {
        Catalog::product_id(self, name)
    }
}

/// The desk holds the engine weakly, so that it never keeps alive what its users have dropped.
pub(super) fn alert_source(engine: &Arc<Engine>) -> Weak<dyn AlertSource> {
    let weak: Weak<Engine> = Arc::downgrade(engine);
    weak
}

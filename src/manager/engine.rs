//! The engine behind a manager: what all operations share.

use std::sync::{Arc, Weak};

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::audit::view::Names;
use crate::clock::{Clock, Timestamp};
use crate::error::{
    AddError, ApproveError, InvalidName, MAX_NAME_BYTES, NotOpen, NotStarted, PlaceError,
    SettingError, TransferError, Uncertain,
};
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::approvals::Approvals;
use crate::manager::due::Due;
use crate::manager::durability::Durabilities;
use crate::manager::journal::JournalLink;
use crate::manager::place::{LevelRef, ProductRef, WarehouseRef};
use crate::manager::recorder::Recorder;
use crate::manager::settings::Settings;
use crate::policy::alerts::{Listeners, StockAlert, StockAlertListener};
use crate::policy::desk::{AlertDesk, AlertSource};
use crate::reservation::id::Randomness;
use crate::reservation::keys::{Keys, Patience};
use crate::reservation::slots::{Slots, Vacated};
use crate::shard::Counters;
use crate::stock::catalog::{Catalog, CatalogFull, Definition};
use crate::stock::handle::{LevelHandle, ProductId, WarehouseId};
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;
use crate::sync::Mutex;

/// Why a reserve or a basket was refused, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A level was short.
    Insufficient,
    /// All slots were in use.
    Full,
    /// The warehouse was suspended.
    Suspended,
    /// The engine took no calls.
    Unavailable,
}

/// How many causes [`Refusal`] has.
pub(super) const REFUSALS: usize = 4;

/// Everything that a manager and its clones share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) catalog: Arc<Catalog>,
    pub(super) slots: Slots,
    pub(super) keys: Keys<Answer>,
    /// What a call does that meets another one with its key.
    pub(super) patience: Patience,
    pub(super) recorder: Recorder,
    pub(super) desk: AlertDesk,
    pub(super) listeners: Listeners,
    pub(super) clock: Time,
    pub(super) randomness: Randomness,
    pub(super) settings: Settings,
    pub(super) durabilities: Durabilities,
    /// Transfers that wait for approval.
    pub(super) approvals: Approvals,
    pub(super) due: Due,
    pub(super) refusals: Counters<REFUSALS>,
    /// Held while a setting changes.
    pub(super) changing: Mutex<()>,
    pub(super) max_slots: u32,
    pub(super) max_basket_lines: usize,
    /// The journal, if there is one.
    pub(super) journal: Option<JournalLink>,
}

/// The engine's clock.
pub(super) struct Time(pub(super) Box<dyn Clock>);

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Time({})", self.0.now())
    }
}

impl Engine {
    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        self.clock.0.now()
    }

    /// Whether an operation may begin; obtained before anything moves (Law 5). May wait.
    #[inline]
    pub(super) fn admit(&self) -> Result<(), NotStarted> {
        self.recorder.admit()
    }

    /// Whether the engine takes calls; for what may be refused before it queues anything.
    #[inline]
    pub(super) fn check_gate(&self) -> Result<(), NotStarted> {
        self.recorder.check()
    }

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
    pub(super) fn check_names(&self, level: LevelRef<'_>) -> Result<(), InvalidName> {
        if let LevelRef::Names(warehouse, product) = level {
            self.check_name(warehouse)?;
            self.check_name(product)?;
        }
        Ok(())
    }

    pub(super) fn warehouse(&self, warehouse: WarehouseRef<'_>) -> Result<&Warehouse, PlaceError> {
        let found = match warehouse {
            WarehouseRef::Name(name) => self.catalog.warehouse_id(name),
            WarehouseRef::Id(id) => Some(id),
        };
        found.and_then(|id| self.catalog.warehouse(id)).ok_or_else(|| match warehouse {
            WarehouseRef::Name(name) => PlaceError::UnknownWarehouse { warehouse: name.to_owned() },
            WarehouseRef::Id(_) => PlaceError::ForeignHandle,
        })
    }

    /// The level that was opened at this place, if one was. A handle is taken at its word.
    #[inline]
    pub(super) fn resolve_stocked(
        &self,
        level: LevelRef<'_>,
    ) -> Result<Option<LevelHandle>, PlaceError> {
        match level {
            LevelRef::Handle(handle) => Ok(Some(handle)),
            LevelRef::Names(warehouse, product) => {
                let warehouse = self.warehouse(WarehouseRef::Name(warehouse))?;
                Ok(self.catalog.level_by_name(warehouse.id(), product))
            }
        }
    }

    /// The level at this place, or the error that says that there is none.
    pub(super) fn resolve(&self, level: LevelRef<'_>) -> Result<LevelHandle, PlaceError> {
        let found = self.resolve_known(level)?;
        found.filter(|handle| self.catalog.level(*handle).is_some()).ok_or_else(|| match level {
            LevelRef::Handle(_) => PlaceError::ForeignHandle,
            LevelRef::Names(warehouse, product) => PlaceError::NotStockedHere {
                warehouse: warehouse.to_owned(),
                product: product.to_owned(),
            },
        })
    }

    /// The level at this place; `None` if the product lies elsewhere only. One that this engine has
    /// never heard of is an error. A handle is taken at its word.
    #[inline]
    pub(super) fn resolve_known(
        &self,
        level: LevelRef<'_>,
    ) -> Result<Option<LevelHandle>, PlaceError> {
        match level {
            LevelRef::Handle(handle) => Ok(Some(handle)),
            LevelRef::Names(warehouse, product) => {
                let warehouse = self.warehouse(WarehouseRef::Name(warehouse))?;
                self.level_in(warehouse.id(), product.into())
            }
        }
    }

    /// The product, if this engine has ever heard of it.
    pub(super) fn known_product(&self, product: ProductRef<'_>) -> Result<ProductId, PlaceError> {
        match product {
            ProductRef::Name(name) => self
                .catalog
                .product_id(name)
                .ok_or_else(|| PlaceError::NeverStocked { product: name.to_owned() }),
            ProductRef::Id(id) if self.catalog.product_name(id).is_none() => {
                Err(PlaceError::ForeignHandle)
            }
            ProductRef::Id(id) => Ok(id),
        }
    }

    /// The level at this place, opened if it is new. The caller has been admitted.
    pub(super) fn resolve_or_open(&self, level: LevelRef<'_>) -> Result<LevelHandle, CannotOpen> {
        if let Some(known) = self.resolve_stocked(level)? {
            return Ok(known);
        }
        let LevelRef::Names(warehouse, product) = level else {
            return Err(PlaceError::ForeignHandle.into());
        };
        let warehouse = self.warehouse(WarehouseRef::Name(warehouse))?;
        let now = self.now();
        let opened = self.catalog.open_level(warehouse.id(), product, |definition| {
            let draft = match definition {
                Definition::Product(id, name) => {
                    let draft = self.recorder.event(EventType::ProductDefined);
                    draft.about(Subject::Product(id)).text("name", name)
                }
                Definition::Level(handle) => {
                    self.recorder.event(EventType::LevelOpened).about(Subject::Level(handle))
                }
            };
            // Where the writer has ended, the operation that needs the name hears it.
            let _ = draft.at(now).queue();
        });
        Ok(opened?)
    }

    /// The level of `product` in `warehouse`, if one was opened; an error if no warehouse ever had
    /// the product.
    pub(super) fn level_in(
        &self,
        warehouse: WarehouseId,
        product: ProductRef<'_>,
    ) -> Result<Option<LevelHandle>, PlaceError> {
        Ok(self.catalog.level_of(warehouse, self.known_product(product)?))
    }

    #[inline]
    pub(super) fn warehouse_of(&self, level: &StockLevel) -> Result<&Warehouse, PlaceError> {
        self.catalog.warehouse(level.warehouse()).ok_or_else(no_such_handle)
    }

    #[inline]
    pub(super) fn level_and_warehouse(
        &self,
        handle: LevelHandle,
    ) -> Result<(&StockLevel, &Warehouse), PlaceError> {
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

    /// Records the use of a key by a call that moved nothing.
    pub(super) fn record_key_use(
        &self,
        key: Option<KeyUse<'_>>,
        answer: impl Into<Answer>,
    ) -> Result<(), Uncertain> {
        match key {
            None => Ok(()),
            some => {
                let draft = self.recorder.event(EventType::KeyUsed).about(Subject::None);
                draft.at(self.now()).key(some, answer).queue()
            }
        }
    }
}

// A function, not a value: a call that does not need the error would make it and drop it.
#[cold]
fn no_such_handle() -> PlaceError {
    PlaceError::ForeignHandle
}

/// Why a level can't be opened.
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

opens_levels! { AddError TransferError SettingError }

impl From<CannotOpen> for ApproveError {
    fn from(cause: CannotOpen) -> Self {
        match cause {
            CannotOpen::TooManyNames => Self::TooManyNames,
            // The request's warehouses were looked up when it was made.
            CannotOpen::Place(_) => NotOpen::Unknown.into(),
        }
    }
}

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

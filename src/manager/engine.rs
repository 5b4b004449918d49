//! The engine behind a manager: what all operations share.

use std::sync::{Arc, Weak};

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::audit::view::Names;
use crate::clock::{Clock, Timestamp};
use crate::error::{
    AddError, DecisionError, SettingError, TransferError, Unavailable, UnknownPlace,
};
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::approvals::Approvals;
use crate::manager::due::Due;
use crate::manager::durability::Durabilities;
use crate::manager::journal::JournalLink;
use crate::manager::place::{
    BasketLine, LevelAt, LevelRef, OwnLevel, OwnLines, OwnProduct, OwnWarehouse, ProductRef,
    WarehouseRef, foreign,
};
use crate::manager::recorder::Recorder;
use crate::manager::settings::Settings;
use crate::policy::alerts::{Listeners, StockAlert, StockAlertListener};
use crate::policy::desk::{AlertDesk, AlertSource};
use crate::quantity::InvalidQuantity;
use crate::reservation::id::Randomness;
use crate::reservation::keys::{Keys, Patience};
use crate::reservation::slots::{Slots, Vacated};
use crate::shard::Counters;
use crate::stock::catalog::{Catalog, CatalogFull, Definition};
use crate::stock::handle::{LevelHandle, LevelIndex, ProductIndex, WarehouseIndex};
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
    pub(super) fn admit(&self) -> Result<(), Unavailable> {
        self.recorder.admit()
    }

    /// Whether the engine takes calls; for what may be refused before it queues anything.
    #[inline]
    pub(super) fn check_gate(&self) -> Result<(), Unavailable> {
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

    /// The level for this engine; refuses names that can't be, and a handle of another engine.
    #[inline(always)]
    pub(super) fn own_level<'l>(&self, level: LevelRef<'l>) -> Result<OwnLevel<'l>, UnknownPlace> {
        level.own(self.catalog.tag())
    }

    /// The lines for this engine; refuses one with a quantity that can't be, or a level that is not its
    /// own.
    pub(super) fn own_lines<'l, E>(&self, lines: &'l [BasketLine<'l>]) -> Result<OwnLines<'l>, E>
    where
        E: From<InvalidQuantity> + From<UnknownPlace>,
    {
        OwnLines::check(lines, self.catalog.tag())
    }

    /// The product for this engine; refuses a name that can't be, and a handle of another engine.
    pub(super) fn own_product<'p>(
        &self,
        product: ProductRef<'p>,
    ) -> Result<OwnProduct<'p>, UnknownPlace> {
        product.own(self.catalog.tag())
    }

    /// What the engine's users hold of a level.
    pub(super) fn handle(&self, level: LevelIndex) -> LevelHandle {
        LevelHandle::new(level, self.catalog.tag())
    }

    pub(super) fn warehouse(
        &self,
        warehouse: WarehouseRef<'_>,
    ) -> Result<&Warehouse, UnknownPlace> {
        self.own_warehouse(warehouse).map(|(found, _)| found)
    }

    /// The warehouse, and how the caller named it.
    pub(super) fn own_warehouse<'w>(
        &self,
        warehouse: WarehouseRef<'w>,
    ) -> Result<(&Warehouse, OwnWarehouse<'w>), UnknownPlace> {
        let named = warehouse.own(self.catalog.tag())?;
        let found = match named {
            OwnWarehouse::Name(name) => self.warehouse_named(name)?,
            OwnWarehouse::Index(index) => self.warehouse_at(index)?,
        };
        Ok((found, named))
    }

    fn warehouse_named(&self, name: &str) -> Result<&Warehouse, UnknownPlace> {
        let found = self.catalog.warehouse_id(name).and_then(|id| self.catalog.warehouse(id));
        found.ok_or_else(|| UnknownPlace::Warehouse { warehouse: name.to_owned() })
    }

    #[inline]
    pub(super) fn warehouse_at(&self, index: WarehouseIndex) -> Result<&Warehouse, UnknownPlace> {
        self.catalog.warehouse(index).ok_or_else(foreign)
    }

    /// The level that was opened at this place, if one was.
    #[inline]
    pub(super) fn opened(&self, level: OwnLevel<'_>) -> Result<Option<LevelIndex>, UnknownPlace> {
        match level.at() {
            LevelAt::Index(index) => Ok(Some(index)),
            LevelAt::Names(warehouse, product) => {
                let warehouse = self.warehouse_named(warehouse)?;
                Ok(self.catalog.level_by_name(warehouse.index(), product))
            }
        }
    }

    /// The level at this place; `None` if the product was only ever stocked elsewhere. Refuses a
    /// product that this engine has never heard of.
    #[inline(always)]
    pub(super) fn resolve_stocked(
        &self,
        level: OwnLevel<'_>,
    ) -> Result<Option<LevelIndex>, UnknownPlace> {
        match level.at() {
            LevelAt::Index(index) => Ok(Some(index)),
            LevelAt::Names(warehouse, product) => self.stocked_by_name(warehouse, product),
        }
    }

    // Not inlined: who calls by handle pays nothing for it.
    #[inline(never)]
    fn stocked_by_name(
        &self,
        warehouse: &str,
        product: &str,
    ) -> Result<Option<LevelIndex>, UnknownPlace> {
        match self.opened(OwnLevel::named(warehouse, product))? {
            None => self.known_product(product).map(|_| None),
            found => Ok(found),
        }
    }

    /// The product of this name, if this engine has ever heard of it.
    pub(super) fn known_product(&self, name: &str) -> Result<ProductIndex, UnknownPlace> {
        let found = self.catalog.product_id(name);
        found.ok_or_else(|| UnknownPlace::NeverStocked { product: name.to_owned() })
    }

    /// The product that the caller named.
    pub(super) fn product(&self, product: OwnProduct<'_>) -> Result<ProductIndex, UnknownPlace> {
        match product {
            OwnProduct::Name(name) => self.known_product(name),
            OwnProduct::Index(index) => Ok(index),
        }
    }

    /// The level at this place, or the error that says that there is none.
    pub(super) fn resolve(&self, level: OwnLevel<'_>) -> Result<LevelIndex, UnknownPlace> {
        self.resolve_stocked(level)?.ok_or_else(|| match level.at() {
            LevelAt::Index(_) => foreign(),
            LevelAt::Names(warehouse, product) => UnknownPlace::Product {
                warehouse: warehouse.to_owned(),
                product: product.to_owned(),
            },
        })
    }

    /// The level at this place, opened if it is new. The caller has been admitted.
    pub(super) fn resolve_or_open(&self, level: OwnLevel<'_>) -> Result<LevelIndex, CannotOpen> {
        if let Some(known) = self.opened(level)? {
            return Ok(known);
        }
        let LevelAt::Names(warehouse, product) = level.at() else {
            return Err(foreign().into());
        };
        let warehouse = self.warehouse_named(warehouse)?;
        let now = self.now();
        let opened = self.catalog.open_level(warehouse.index(), product, |definition| {
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

    /// The level of `product` in `warehouse`; `None` if the product was only ever stocked elsewhere.
    pub(super) fn level_in(
        &self,
        warehouse: WarehouseIndex,
        product: OwnProduct<'_>,
    ) -> Result<Option<LevelIndex>, UnknownPlace> {
        Ok(self.catalog.level_of(warehouse, self.product(product)?))
    }

    #[inline]
    pub(super) fn warehouse_of(&self, level: &StockLevel) -> Result<&Warehouse, UnknownPlace> {
        self.warehouse_at(level.warehouse_index())
    }

    #[inline]
    pub(super) fn level_and_warehouse(
        &self,
        handle: LevelIndex,
    ) -> Result<(&StockLevel, &Warehouse), UnknownPlace> {
        let level = self.catalog.level(handle).ok_or_else(foreign)?;
        Ok((level, self.warehouse_of(level)?))
    }

    /// Refuses what a suspended warehouse does not take; `Err` tells its name.
    #[inline]
    pub(super) fn check_open(&self, warehouse: &Warehouse) -> Result<(), String> {
        if warehouse.is_suspended() { Err(warehouse.name().to_owned()) } else { Ok(()) }
    }

    /// Warehouse and product of a level, for people.
    pub(super) fn names_of(&self, handle: LevelIndex) -> (Arc<str>, Arc<str>) {
        let names = self.catalog.level(handle).and_then(|level| {
            let warehouse = self.catalog.warehouse(level.warehouse_index())?.shared_name();
            Some((warehouse, self.catalog.product_name(level.product_index())?))
        });
        names.unwrap_or_else(|| ("?".into(), "?".into()))
    }

    /// Counts a crossing of the threshold, and queues the level for an alert unless it is queued.
    #[cold]
    pub(super) fn raise_alert(&self, handle: LevelIndex, level: &StockLevel) {
        if level.note_crossing() {
            self.desk.raise(handle);
        }
    }

    /// Records the use of a key by a call that moved nothing.
    pub(super) fn record_key_use(
        &self,
        key: Option<KeyUse<'_>>,
        answer: impl Into<Answer>,
    ) -> Result<(), Unavailable> {
        match key {
            None => Ok(()),
            some => {
                let draft = self.recorder.event(EventType::KeyUsed).about(Subject::None);
                draft.at(self.now()).key(some, answer).queue()
            }
        }
    }
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
    fn take_alert(&self, handle: LevelIndex) -> Option<StockAlert> {
        let level = self.catalog.level(handle)?;
        // Taken before `available` is read, so that a crossing after the read is an alert of its own.
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

    fn warehouse_id(&self, name: &str) -> Option<WarehouseIndex> {
        Catalog::warehouse_id(self, name)
    }

    fn product_id(&self, name: &str) -> Option<ProductIndex> {
        Catalog::product_id(self, name)
    }
}

/// The desk holds the engine weakly, so that it never keeps alive what its users have dropped.
pub(super) fn alert_source(engine: &Arc<Engine>) -> Weak<dyn AlertSource> {
    let weak: Weak<Engine> = Arc::downgrade(engine);
    weak
}

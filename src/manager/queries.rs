//! Looking at stock and reservations. None of these calls takes part in a commit or waits.

use std::sync::Arc;

use crate::audit::log::AuditLog;
use crate::error::{NoReservation, PlaceError};
use crate::manager::InventoryManager;
use crate::manager::answer::Answer;
use crate::manager::engine::Engine;
use crate::manager::found::Found;
use crate::manager::place::{LevelRef, WarehouseRef};
use crate::reservation::chain::SlotNumber;
use crate::reservation::id::ReservationId;
use crate::reservation::keys::{KeyName, RequestKey};
use crate::reservation::line::Line;
use crate::reservation::state::Phase;
use crate::reservation::view::{Reservation, ReservationLine, ReservationStatus};
use crate::stock::handle::{LevelHandle, ProductId};
use crate::stock::level::{Counts, StockLevel};
use crate::stock::warehouse::Warehouse;

/// One product of a warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarehouseLevel {
    /// Its level.
    pub level: LevelHandle,
    /// The product's name.
    pub product: Arc<str>,
    /// Its counts, of one instant.
    pub counts: Counts,
}

/// Some of a level's live reservations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReservationPage {
    /// The reservations.
    pub reservations: Vec<Reservation>,
    /// Where to go on; `None` after the last one.
    pub next: Option<ReservationCursor>,
}

/// Where a page of reservations ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationCursor(SlotNumber);

impl InventoryManager {
    /// The handle of a stock level, or `None` if nobody ever stocked the product there. A call by
    /// handle costs no hashing.
    pub fn level<'l>(&self, level: impl Into<LevelRef<'l>>) -> Option<LevelHandle> {
        self.engine.resolve(level.into()).ok()
    }

    /// The stock level itself: all its counts, each read in a few nanoseconds.
    pub fn stock_level<'l>(&self, level: impl Into<LevelRef<'l>>) -> Option<&StockLevel> {
        self.engine.catalog.level(self.level(level)?)
    }

    /// The name of a product; `None` for an id of another manager. Never waits.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// let laptop = manager.open_level("SF", "LAPTOP")?;
    /// let product = manager.stock_level(laptop).expect("open").product();
    /// assert_eq!(manager.product_name(product).as_deref(), Some("LAPTOP"));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn product_name(&self, product: ProductId) -> Option<Arc<str>> {
        self.engine.catalog.product_name(product)
    }

    /// The handle of a product, or `None` if no product has this name.
    pub fn product(&self, name: &str) -> Option<ProductId> {
        self.engine.catalog.product_id(name)
    }

    /// A warehouse.
    pub fn warehouse<'w>(&self, warehouse: impl Into<WarehouseRef<'w>>) -> Option<&Warehouse> {
        self.engine.warehouse(warehouse.into()).ok()
    }

    /// All warehouses, in the order of the builder.
    pub fn warehouses(&self) -> &[Warehouse] {
        self.engine.catalog.warehouses()
    }

    /// All counts of a level at one instant; zeros where nobody ever stocked the product.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.sell(("SF", "LAPTOP"), 3)?;
    /// let counts = manager.counts(("SF", "LAPTOP"));
    /// assert_eq!((counts.available, counts.reserved, counts.sold), (7, 3, 3));
    /// assert_eq!((counts.held(), counts.on_hand()), (0, 10));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn counts<'l>(&self, level: impl Into<LevelRef<'l>>) -> Counts {
        self.stock_level(level).map(StockLevel::counts).unwrap_or_default()
    }

    /// Units that anyone may reserve.
    pub fn available<'l>(&self, level: impl Into<LevelRef<'l>>) -> u32 {
        self.stock_level(level).map_or(0, StockLevel::available)
    }

    /// Units that are spoken for: held, or sold and still in the building.
    pub fn reserved<'l>(&self, level: impl Into<LevelRef<'l>>) -> u32 {
        self.stock_level(level).map_or(0, StockLevel::reserved)
    }

    /// Units that are sold and still in the building.
    pub fn sold<'l>(&self, level: impl Into<LevelRef<'l>>) -> u32 {
        self.stock_level(level).map_or(0, StockLevel::sold)
    }

    /// Units held by pending reservations.
    pub fn held<'l>(&self, level: impl Into<LevelRef<'l>>) -> u32 {
        self.counts(level).held()
    }

    /// The levels of a warehouse, in the order in which they were opened; each with its counts of
    /// one instant.
    ///
    /// # Errors
    /// [`PlaceError`] if there is no such warehouse.
    pub fn levels<'w>(
        &self,
        warehouse: impl Into<WarehouseRef<'w>>,
    ) -> Result<Vec<WarehouseLevel>, PlaceError> {
        let catalog = &self.engine.catalog;
        let handles = self.engine.warehouse(warehouse.into())?.levels();
        let view = |handle| {
            let level = catalog.level(handle)?;
            let product = catalog.product_name(level.product())?;
            Some(WarehouseLevel { level: handle, product, counts: level.counts() })
        };
        Ok(handles.into_iter().filter_map(view).collect())
    }

    /// A reservation: a live hold, or the record of one that is over.
    ///
    /// # Errors
    /// [`NoReservation`] says whether its record has gone or never was.
    pub fn reservation(&self, id: ReservationId) -> Result<Reservation, NoReservation> {
        self.engine.reservation(id)
    }

    /// The reservation that a request with this key made.
    ///
    /// # Errors
    /// [`NoReservation::Unknown`] if no such request has been answered, or its key has been dropped;
    /// [`NoReservation::Forgotten`] if the record has gone.
    pub fn reservation_by_key(&self, key: &RequestKey) -> Result<Reservation, NoReservation> {
        match self.engine.keys.get(&KeyName::Caller(*key), self.engine.now()) {
            Some(Answer::Reservation(id) | Answer::Retaken(id) | Answer::RetakenBefore(id)) => {
                self.reservation(id)
            }
            _ => Err(NoReservation::Unknown),
        }
    }

    /// The live reservations of a level, at most `limit` of them, from where the page before ended.
    ///
    /// Looks through all slots: a few milliseconds for a million of them. Reservations that come and
    /// go meanwhile may or may not be seen; one that lives throughout is seen once.
    ///
    /// # Errors
    /// [`PlaceError`] if nobody ever stocked the product there.
    pub fn reservations<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        from: Option<ReservationCursor>,
        limit: usize,
    ) -> Result<ReservationPage, PlaceError> {
        let level = self.engine.resolve(level.into())?;
        let mut reservations = Vec::new();
        let used = self.engine.slots.used();
        for number in from.map_or(0, |ReservationCursor(next)| next)..used {
            if reservations.len() >= limit {
                return Ok(ReservationPage { reservations, next: Some(ReservationCursor(number)) });
            }
            reservations.extend(self.engine.live_in(number).filter(|found| found.concerns(level)));
        }
        Ok(ReservationPage { reservations, next: None })
    }

    /// The audit log: every movement that was written, the newest ones at least.
    pub fn audit(&self) -> AuditLog {
        self.engine.recorder.log()
    }
}

impl Reservation {
    fn concerns(&self, level: LevelHandle) -> bool {
        self.lines.iter().any(|line| line.level == level)
    }
}

impl Engine {
    /// A reservation as its readers see it.
    pub(super) fn reservation(&self, id: ReservationId) -> Result<Reservation, NoReservation> {
        let Found { state, tenant, lines, retaken_from, .. } = self.find_whole(id)?;
        let end = tenant.chain.end(state.phase());
        // A phase without a reservation is not found under an id.
        let status = ReservationStatus::of(state.phase()).ok_or(NoReservation::Forgotten)?;
        Ok(Reservation {
            id,
            status,
            lines: lines.iter().map(|line| self.line_view(line, end)).collect(),
            owner: tenant.owner,
            created_at: id.created_at(),
            expires_at: state.expires_at(),
            retaken_from,
            keep_until_shipped: tenant.chain.keeps(),
        })
    }

    /// The line of a reservation that is, or ended, in `end`.
    fn line_view(&self, line: &Line, end: Phase) -> ReservationLine {
        let (warehouse, product) = self.names_of(line.level);
        ReservationLine {
            level: line.level,
            warehouse,
            product,
            quantity: line.quantity(),
            held: line.held_in(end),
            sold: line.sold_in(end),
            settled: line.settled,
        }
    }

    /// The live reservation whose head is this slot, if there is one.
    fn live_in(&self, number: SlotNumber) -> Option<Reservation> {
        let slot = self.slots.at(number)?;
        let state = slot.state();
        if !state.phase().is_live() {
            return None;
        }
        let found = self.reservation(slot.read_tenant(state).id).ok()?;
        (found.status == ReservationStatus::Pending).then_some(found)
    }
}

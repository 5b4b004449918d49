//! Queries of stock and reservations. None of them takes part in a commit, and none waits for the
//! audit queue or the disk.

use std::sync::Arc;

use crate::audit::log::AuditLog;
use crate::base::error::{KeyError, NoReservation, PlaceError};
use crate::engine::answer::{Answer, ConfirmOrRetake, KeyAnswer};
use crate::engine::place::{LevelRef, WarehouseRef, foreign};
use crate::engine::view::reservation::ReservationSnapshot;
use crate::engine::{Engine, InventoryManager};
use crate::idempotency::{IdempotencyKey, KeyName};
use crate::reservation::chain::SlotNumber;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::state::Phase;
use crate::reservation::view::{Reservation, ReservationLine, ReservationStatus};
use crate::stock::handle::{LevelHandle, ProductId};
use crate::stock::level::{Counts, StockLevel};
use crate::stock::tag::Tagged;
use crate::stock::warehouse::Warehouse;

/// The stock level of one product, in a list of a warehouse's levels.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WarehouseLevel {
    /// The handle of the level.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub level: LevelHandle,
    /// The product's name.
    pub product: Arc<str>,
    /// All its counts, read at one instant.
    pub counts: Counts,
}

/// One page of a level's live reservations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReservationPage {
    /// The reservations of this page.
    pub reservations: Vec<Reservation>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<ReservationCursor>,
}

/// The place where a page of reservations ended. It is valid only for the engine that returned it,
/// and not for a later engine on the same journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationCursor(Tagged<SlotNumber>);

impl InventoryManager {
    /// The handle of a stock level. A call by handle computes no hash.
    ///
    /// # Errors
    /// [`PlaceError`] if there is no such level: the warehouse is unknown, the product was never
    /// stocked there or anywhere, or the handle belongs to another engine.
    /// [`open_level`](Self::open_level) creates a level.
    ///
    /// ```
    /// use stockade::PlaceError;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// let laptops = manager.open_level("SF", "LAPTOP")?;
    /// assert_eq!(manager.level(("SF", "LAPTOP")), Ok(laptops));
    /// let typo = PlaceError::NeverStocked { product: "LAPTOPP".into() };
    /// assert_eq!(manager.level(("SF", "LAPTOPP")), Err(typo));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn level<'l>(&self, level: impl Into<LevelRef<'l>>) -> Result<LevelHandle, PlaceError> {
        Ok(self.stock_level(level)?.handle())
    }

    /// The stock level itself. It gives all counts; each read takes a few nanoseconds.
    ///
    /// # Errors
    /// As [`level`](Self::level).
    pub fn stock_level<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
    ) -> Result<&StockLevel, PlaceError> {
        let level = self.engine.resolve(self.engine.own_level(level.into())?)?;
        self.engine.catalog.level(level).ok_or_else(foreign)
    }

    /// The stock level; `None` if the product was stocked only in other warehouses.
    pub(super) fn level_if_stocked(
        &self,
        level: LevelRef<'_>,
    ) -> Result<Option<&StockLevel>, PlaceError> {
        let found = self.engine.resolve_stocked(self.engine.own_level(level)?)?;
        Ok(found.and_then(|level| self.engine.catalog.level(level)))
    }

    /// The name of a product. Never waits.
    ///
    /// # Errors
    /// [`PlaceError::ForeignHandle`] if the id belongs to another engine.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// let laptop = manager.open_level("SF", "LAPTOP")?;
    /// let product = manager.stock_level(laptop)?.product();
    /// assert_eq!(&*manager.product_name(product)?, "LAPTOP");
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn product_name(&self, product: ProductId) -> Result<Arc<str>, PlaceError> {
        let catalog = &self.engine.catalog;
        let name = product.of(catalog.tag()).and_then(|index| catalog.product_name(index));
        name.ok_or_else(foreign)
    }

    /// The handle of a product, by its name.
    ///
    /// # Errors
    /// [`PlaceError::NeverStocked`] if this engine has never stocked the product anywhere.
    pub fn product(&self, name: &str) -> Result<ProductId, PlaceError> {
        let product = self.engine.known_product(name)?;
        Ok(ProductId::new(product, self.engine.catalog.tag()))
    }

    /// A warehouse, by its name or its handle.
    ///
    /// # Errors
    /// [`PlaceError`] if there is no such warehouse, or if the handle belongs to another engine.
    pub fn warehouse<'w>(
        &self,
        warehouse: impl Into<WarehouseRef<'w>>,
    ) -> Result<&Warehouse, PlaceError> {
        self.engine.warehouse(warehouse.into())
    }

    /// All warehouses, in the order of the builder.
    pub fn warehouses(&self) -> &[Warehouse] {
        self.engine.catalog.warehouses()
    }

    /// All counts of a level, at one instant. They are zero if the product was stocked only in
    /// other warehouses.
    ///
    /// # Errors
    /// [`PlaceError`] if the warehouse is unknown, if this engine has never stocked the product, or
    /// if the handle belongs to another engine. So a typo never looks like a product that is sold
    /// out.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.sell(("SF", "LAPTOP"), 3)?;
    /// let counts = manager.counts(("SF", "LAPTOP"))?;
    /// assert_eq!((counts.available, counts.reserved, counts.sold), (7, 3, 3));
    /// assert_eq!((counts.held(), counts.on_hand()), (0, 10));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn counts<'l>(&self, level: impl Into<LevelRef<'l>>) -> Result<Counts, PlaceError> {
        Ok(self.level_if_stocked(level.into())?.map(StockLevel::counts).unwrap_or_default())
    }

    /// Units that anyone may reserve. Units of an overdue hold count as taken until the sweeper, or
    /// a call that needs them, takes them back: some milliseconds as a rule.
    /// [`available_with_overdue`](Self::available_with_overdue) counts them as available. All other
    /// counts, snapshots and totals, alerts and reorder suggestions go by the figure of this call.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub fn available<'l>(&self, level: impl Into<LevelRef<'l>>) -> Result<u32, PlaceError> {
        Ok(self.level_if_stocked(level.into())?.map_or(0, StockLevel::available))
    }

    /// Units that are spoken for: held, or sold and still in the building.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub fn reserved<'l>(&self, level: impl Into<LevelRef<'l>>) -> Result<u32, PlaceError> {
        Ok(self.level_if_stocked(level.into())?.map_or(0, StockLevel::reserved))
    }

    /// Units that are sold and still in the building.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub fn sold<'l>(&self, level: impl Into<LevelRef<'l>>) -> Result<u32, PlaceError> {
        Ok(self.level_if_stocked(level.into())?.map_or(0, StockLevel::sold))
    }

    /// Units held by pending reservations and by open transfer requests.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub fn held<'l>(&self, level: impl Into<LevelRef<'l>>) -> Result<u32, PlaceError> {
        Ok(self.counts(level)?.held())
    }

    /// The levels of a warehouse, in the order in which they were opened. The counts of each are
    /// read at one instant; two levels may show two instants.
    ///
    /// # Errors
    /// [`PlaceError`] if there is no such warehouse, or if the handle belongs to another engine.
    pub fn levels<'w>(
        &self,
        warehouse: impl Into<WarehouseRef<'w>>,
    ) -> Result<Vec<WarehouseLevel>, PlaceError> {
        let catalog = &self.engine.catalog;
        let handles = self.engine.warehouse(warehouse.into())?.levels();
        let view = |handle| {
            let level = catalog.level(handle)?;
            let product = catalog.product_name(level.product_index())?;
            Some(WarehouseLevel { level: level.handle(), product, counts: level.counts() })
        };
        Ok(handles.into_iter().filter_map(view).collect())
    }

    /// A reservation: a live hold, or the record of one that has ended. Spins while another thread
    /// changes the record.
    ///
    /// With a journal, the outcome files tell of one whose record memory has dropped: how it ended,
    /// with its owner and its lines, and as `expires_at` the moment at which it ended. Then the
    /// call reads the disk, and may wait until the newest entries are on the disk and audited.
    ///
    /// # Errors
    /// [`NoReservation`] says whether the record was dropped or never existed; or that this can't
    /// be known at present ([`NoReservation::Gathering`]).
    pub fn reservation(&self, id: ReservationId) -> Result<Reservation, NoReservation> {
        match self.engine.reservation(id) {
            Err(NoReservation::Forgotten) => self.engine.filed_reservation(id),
            found => found,
        }
    }

    /// The reservation that was made by the request with this idempotency key. May read the disk,
    /// as [`answer_of`](Self::answer_of) and [`reservation`](Self::reservation) do.
    ///
    /// # Errors
    /// [`NoReservation::Unknown`] if no such request has been answered, if its answer was not a
    /// reservation, or if its key has been dropped. [`NoReservation::Forgotten`] if the record has
    /// been dropped. [`NoReservation::Gathering`] if the answer can't be known at present.
    pub fn reservation_by_key(&self, key: &IdempotencyKey) -> Result<Reservation, NoReservation> {
        match self.engine.stored_answer(key).map_err(|_| NoReservation::Gathering)? {
            Some(
                Answer::Reservation(id)
                | Answer::Late(ConfirmOrRetake::Retaken(id) | ConfirmOrRetake::AlreadyRetaken(id)),
            ) => self.reservation(id),
            _ => Err(NoReservation::Unknown),
        }
    }

    /// The answer that is stored with this idempotency key: what a retry of its call would get.
    /// Runs nothing and stores nothing. `None` if no call with the key was answered, or if its time
    /// is up. Locks one part of the key table for a moment. With a journal, it may read the disk:
    /// one page of an outcome file.
    ///
    /// A caller that came back from a crash asks so what its last call did, without the call's
    /// arguments. `None` does not say that no call was made: one may be on its way.
    ///
    /// # Errors
    /// [`KeyError::Gathering`] if the outcome files, where older answers lie, are being made anew
    /// or can't be read at present. Ask again later.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{IdempotencyKey, KeyAnswer};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let key = IdempotencyKey::try_from("cart-17/reserve")?;
    /// assert_eq!(manager.answer_of(&key)?, None);
    /// let request = manager.request().key(key);
    /// let hold = request.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// assert_eq!(manager.answer_of(&key)?, Some(KeyAnswer::Reserved(hold)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn answer_of(&self, key: &IdempotencyKey) -> Result<Option<KeyAnswer>, KeyError> {
        // In progress first: a call that publishes in between is then found.
        let is_under_way = self.engine.keys.is_under_way(&KeyName::Caller(*key));
        let under_way = is_under_way.then_some(KeyAnswer::InProgress);
        Ok(self.engine.stored_answer(key)?.map(KeyAnswer::from).or(under_way))
    }

    /// The live reservations of a level, at most `limit` of them. `from` is where the previous page
    /// ended.
    ///
    /// Scans all slots: a few milliseconds for a million of them. A reservation that begins or ends
    /// during the scan may be missed. One that lives throughout all pages appears exactly once.
    ///
    /// # Errors
    /// [`PlaceError`] if the product was never stocked there, or if the level or the cursor belongs
    /// to another engine.
    pub fn reservations<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        from: Option<ReservationCursor>,
        limit: usize,
    ) -> Result<ReservationPage, PlaceError> {
        let (level, tag) = (self.level(level)?, self.engine.catalog.tag());
        let from = match from {
            Some(ReservationCursor(next)) => next.of(tag).ok_or_else(foreign)?,
            None => 0,
        };
        let mut reservations = Vec::new();
        let used = self.engine.slots.used();
        for number in from..used {
            if reservations.len() >= limit {
                let next = Some(ReservationCursor(Tagged::new(number, tag)));
                return Ok(ReservationPage { reservations, next });
            }
            reservations.extend(self.engine.live_in(number).filter(|found| found.concerns(level)));
        }
        Ok(ReservationPage { reservations, next: None })
    }

    /// The audit log in memory. It holds at least the newest movements that were written.
    pub fn audit_log(&self) -> AuditLog {
        self.engine.recorder.log()
    }
}

impl Reservation {
    fn concerns(&self, level: LevelHandle) -> bool {
        self.lines.iter().any(|line| line.level == level)
    }
}

impl Engine {
    /// The public view of a reservation.
    pub(in crate::engine) fn reservation(
        &self,
        id: ReservationId,
    ) -> Result<Reservation, NoReservation> {
        let ReservationSnapshot { head, record, lines, retaken_from } = self.snapshot_of(id)?;
        let state = head.state;
        let end = record.chain.end(state.phase());
        // No reservation is found under its id in a phase that has no status; this branch is a
        // precaution.
        let status = ReservationStatus::of(state.phase()).ok_or(NoReservation::Forgotten)?;
        Ok(Reservation {
            id,
            status,
            lines: lines.iter().map(|line| self.line_view(line, end)).collect(),
            owner: record.owner,
            created_at: id.created_at(),
            expires_at: state.expires_at(),
            retaken_from,
            keep_until_shipped: record.chain.keeps(),
        })
    }

    /// The public view of a line. `end` is the phase that the reservation is in or ended in.
    pub(in crate::engine) fn line_view(&self, line: &SlotLine, end: Phase) -> ReservationLine {
        let (warehouse, product) = self.names_of(line.level);
        ReservationLine {
            level: self.handle(line.level),
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
        self.live(slot.read_record(state).id)
    }

    /// The reservation, if it is live.
    pub(super) fn live(&self, id: ReservationId) -> Option<Reservation> {
        self.reservation(id).ok().filter(|found| found.status == ReservationStatus::Pending)
    }
}

//! Transfers: available units move from one warehouse to another.

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{
    ApproveError, NotStarted, PlaceError, TransferError, TransferFailure, Uncertain,
};
use crate::base::quantity::Quantity;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::place::{OwnLevel, ProductRef, WarehouseRef};
use crate::engine::request::Request;
use crate::engine::request_shape::RequestShape;
use crate::engine::{Engine, InventoryManager};
use crate::stock::cell::CellId;
use crate::stock::handle::{LevelIndex, WarehouseIndex};
use crate::stock::level::StockLevel;
use crate::stock::mcas::{CellDelta, Refused};
use crate::stock::warehouse::Warehouse;
use crate::stock::word::Delta;

impl InventoryManager {
    /// Moves available units of a product from one warehouse to another.
    ///
    /// # Errors
    /// [`TransferError::Insufficient`] if the source has too few available units;
    /// [`TransferError::OverCapacity`] if the destination has too little room. See
    /// [`TransferError`] for the rest. Nothing has moved, unless the error is uncertain.
    ///
    /// ```
    /// # let builder = stockade::InventoryManager::builder();
    /// # let manager = builder.warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP"))?, 4);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<(), TransferError> {
        self.call().transfer(from.into(), to.into(), product.into(), quantity)
    }
}

impl Request<'_> {
    /// As [`InventoryManager::transfer`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<(), TransferError> {
        self.call().transfer(from.into(), to.into(), product.into(), quantity)
    }
}

impl Call<'_> {
    fn transfer(
        self,
        from: WarehouseRef<'_>,
        to: WarehouseRef<'_>,
        product: ProductRef<'_>,
        quantity: u32,
    ) -> Result<(), TransferError> {
        let engine = self.engine;
        let qty = Quantity::new(quantity)?;
        let short = |available| TransferError::Insufficient { needed: qty.get(), available };
        let (source, from) = engine.own_warehouse(from)?;
        let (target, to) = engine.own_warehouse(to)?;
        if source.index() == target.index() {
            return Err(TransferError::SameWarehouse);
        }
        product.check_name()?;
        let product = engine.own_product(product)?;
        let shape = |it: &mut RequestShape| {
            it.named("transfer").warehouse(from).warehouse(to).product(product).units(qty);
        };
        self.keyed(OperationKind::Transfer, shape, |call| {
            engine.admit()?;
            let now = call.timed().now();
            for warehouse in [source, target] {
                engine
                    .check_open(warehouse)
                    .map_err(|warehouse| TransferError::Suspended { warehouse })?;
            }
            let Some(from_handle) = engine.level_in(source.index(), product)? else {
                return Err(short(0));
            };
            let (from_level, _) = engine.level_and_warehouse(from_handle)?;
            engine.look_before_moving(from_level, target, (qty, false), now)?;
            let to_handle =
                match engine.catalog.level_of(target.index(), from_level.product_index()) {
                    Some(known) => known,
                    None => engine.open_beside(from_level, target, now)?,
                };
            let route = Route {
                from: from_handle,
                to: to_handle,
                source: source.index(),
                target: target.index(),
                qty,
                held: false,
            };
            engine.move_units(&route, now, |record| record.of_call(call, ()))?;
            Ok(())
        })
    }
}

impl Engine {
    /// Opens the level of the same product in a warehouse that has none yet.
    #[cold]
    fn open_beside(
        &self,
        level: &StockLevel,
        target: &Warehouse,
        now: Timestamp,
    ) -> Result<LevelIndex, TransferError> {
        let product =
            self.catalog.product_name(level.product_index()).ok_or(PlaceError::ForeignHandle)?;
        Ok(self.resolve_or_open(OwnLevel::Names(target.name(), &product), now)?)
    }

    /// A cheap check: refuses a transfer whose stock or room is clearly short. It runs before a
    /// level is opened for it. It writes nothing, except that it expires overdue holds if units are
    /// short.
    pub(in crate::engine) fn look_before_moving(
        &self,
        from: &StockLevel,
        target: &Warehouse,
        (qty, held): (Quantity, bool),
        now: Timestamp,
    ) -> Result<(), TransferFailure> {
        let needed = qty.get();
        let enough = || held || from.available() >= needed;
        if !enough() {
            self.take_back_overdue(now, enough);
        }
        let available = from.available();
        if !held && available < needed {
            return Err(TransferFailure::Insufficient { needed, available });
        }
        let room = target.room_left();
        if room < needed { Err(TransferFailure::OverCapacity { needed, room }) } else { Ok(()) }
    }

    /// Moves the units; or refuses, because stock or room was short at one instant. `complete` adds
    /// the caller's part to the movement's record.
    pub(in crate::engine) fn move_units(
        &self,
        route: &Route,
        now: Timestamp,
        complete: impl Fn(RecordBuilder<'_>) -> RecordBuilder<'_>,
    ) -> Result<(), NotMoved> {
        match self.try_to_move(route, now, &complete) {
            Err(NotMoved::Failed(TransferFailure::Insufficient { .. }))
                if self.slots.is_due(now) =>
            {
                // A multi-word CAS never expires holds itself: that would lead it to cells outside
                // its ascending order. So expire them here, and try once more.
                let available = || self.catalog.level(route.from).map_or(0, StockLevel::available);
                self.take_back_overdue(now, || available() >= route.qty.get());
                self.try_to_move(route, now, &complete)
            }
            other => other,
        }
    }

    /// One multi-word CAS over both levels and both rooms. No reader sees units missing or doubled
    /// (Law 4).
    fn try_to_move(
        &self,
        route: &Route,
        now: Timestamp,
        complete: impl Fn(RecordBuilder<'_>) -> RecordBuilder<'_>,
    ) -> Result<(), NotMoved> {
        let &Route { from, to, source, target, qty, held } = route;
        let leave = if held { Delta::ship(qty) } else { Delta::withdraw(qty) };
        let mut lines = [
            CellDelta { cell: CellId::level(from), delta: leave },
            CellDelta { cell: CellId::level(to), delta: Delta::receive(qty) },
            CellDelta { cell: CellId::room(source), delta: Delta::give_room(qty) },
            CellDelta { cell: CellId::room(target), delta: Delta::take_room(qty) },
        ];
        lines.sort_unstable_by_key(|line| line.cell);
        let needed = qty.get();
        let short =
            |available| NotMoved::Failed(TransferFailure::Insufficient { needed, available });
        let commit = self.commit_with_record(&lines)?;
        let record = if held {
            // For the counts this is a hold that is given back, and units that leave, in one
            // record.
            let record = self.recorder.movement(AdjustmentType::Returned, from, qty);
            record.and(AdjustmentType::TransferredOut, from, qty)
        } else {
            self.recorder.movement(AdjustmentType::TransferredOut, from, qty)
        };
        let record = record.and(AdjustmentType::TransferredIn, to, qty).between(source, target);
        complete(record.at(now)).send_ahead(commit.name())?;
        match commit.run() {
            Ok(_) => Ok(self.check_writer()?),
            Err(Refused::Line { cell, available, .. }) if cell == CellId::room(target) => {
                Err(NotMoved::Failed(TransferFailure::OverCapacity { needed, room: available }))
            }
            Err(Refused::Line { available, .. }) => Err(short(available)),
            Err(Refused::Sum { .. }) => unreachable!("a transfer fills nothing"),
        }
    }
}

/// Why a transfer of either kind did not move its units; or, if `Uncertain`, moved them and may not
/// have recorded it.
#[derive(Debug)]
pub(in crate::engine) enum NotMoved {
    Failed(TransferFailure),
    NotStarted(NotStarted),
    Uncertain(Uncertain),
}

impl From<NotStarted> for NotMoved {
    fn from(cause: NotStarted) -> Self {
        Self::NotStarted(cause)
    }
}

impl From<Uncertain> for NotMoved {
    fn from(cause: Uncertain) -> Self {
        Self::Uncertain(cause)
    }
}

impl From<TransferFailure> for TransferError {
    fn from(failure: TransferFailure) -> Self {
        match failure {
            TransferFailure::Insufficient { needed, available } => {
                Self::Insufficient { needed, available }
            }
            TransferFailure::OverCapacity { needed, room } => Self::OverCapacity { needed, room },
        }
    }
}

impl From<NotMoved> for TransferError {
    fn from(cause: NotMoved) -> Self {
        match cause {
            NotMoved::Failed(failure) => failure.into(),
            NotMoved::NotStarted(cause) => cause.into(),
            NotMoved::Uncertain(cause) => cause.into(),
        }
    }
}

impl From<NotMoved> for ApproveError {
    fn from(cause: NotMoved) -> Self {
        match cause {
            NotMoved::Failed(failure) => failure.into(),
            NotMoved::NotStarted(cause) => cause.into(),
            NotMoved::Uncertain(cause) => cause.into(),
        }
    }
}

/// The two ends of a transfer, and its units.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Route {
    pub(in crate::engine) from: LevelIndex,
    pub(in crate::engine) to: LevelIndex,
    pub(in crate::engine) source: WarehouseIndex,
    pub(in crate::engine) target: WarehouseIndex,
    pub(in crate::engine) qty: Quantity,
    /// The units are reserved for this transfer, instead of available.
    pub(in crate::engine) held: bool,
}

//! Moving available units from one warehouse to another.

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::clock::Timestamp;
use crate::engine::call::{Call, RequestShape};
use crate::engine::durability::OperationKind;
use crate::engine::place::{LevelRef, ProductRef, WarehouseRef};
use crate::engine::request::Request;
use crate::engine::{Engine, InventoryManager};
use crate::error::{TransferError, UnknownPlace};
use crate::quantity::Quantity;
use crate::stock::cell::CellId;
use crate::stock::commit::{Line as CommitLine, Refused};
use crate::stock::handle::{LevelHandle, WarehouseId};
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;
use crate::stock::word::Delta;

impl InventoryManager {
    /// Moves available units of a product from one warehouse to another.
    ///
    /// # Errors
    /// [`TransferError::Insufficient`] if the source is short, [`TransferError::OverCapacity`] if
    /// the destination is full; see [`TransferError`] for the rest. Nothing has moved then.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP")), 4);
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
        let source = engine.warehouse(from)?;
        let target = engine.warehouse(to)?;
        if source.id() == target.id() {
            return Err(TransferError::SameWarehouse);
        }
        if let ProductRef::Name(name) = product {
            engine.check_name(name).map_err(UnknownPlace::from)?;
        }
        let shape = || {
            RequestShape::new("transfer").warehouse(from).warehouse(to).product(product).units(qty)
        };
        self.keyed(OperationKind::Transfer, shape, |call| {
            engine.admit()?;
            for warehouse in [source, target] {
                engine
                    .check_open(warehouse)
                    .map_err(|warehouse| TransferError::Suspended { warehouse })?;
            }
            let Some(from_handle) = engine.level_in(source.id(), product)? else {
                return Err(short(0));
            };
            let (from_level, _) = engine.level_and_warehouse(from_handle)?;
            engine.look_before_moving(from_level, target, qty, false)?;
            let to_handle = match engine.catalog.level_of(target.id(), from_level.product()) {
                Some(known) => known,
                None => engine.open_beside(from_level, target)?,
            };
            let route = Route {
                from: from_handle,
                to: to_handle,
                source: source.id(),
                target: target.id(),
                qty,
                held: false,
            };
            engine.move_units(&route, engine.now(), |record| record.of_call(call, ()))
        })
    }
}

impl Engine {
    /// The level of the same product in another warehouse, which has had none so far.
    #[cold]
    fn open_beside(
        &self,
        level: &StockLevel,
        target: &Warehouse,
    ) -> Result<LevelHandle, TransferError> {
        let product = self.catalog.product_name(level.product()).ok_or(UnknownPlace::Handle)?;
        Ok(self.resolve_or_open(LevelRef::Names(target.name(), &product))?)
    }

    /// Refuses what is plainly short: without a write, and before a level is opened for it.
    pub(in crate::engine) fn look_before_moving(
        &self,
        from: &StockLevel,
        target: &Warehouse,
        qty: Quantity,
        held: bool,
    ) -> Result<(), TransferError> {
        let needed = qty.get();
        let enough = || held || from.available() >= needed;
        if !enough() {
            self.take_back_overdue(self.now(), enough);
        }
        let available = from.available();
        if !held && available < needed {
            return Err(TransferError::Insufficient { needed, available });
        }
        let room = target.room_left();
        if room < needed { Err(TransferError::OverCapacity { needed, room }) } else { Ok(()) }
    }

    /// Moves the units, or refuses because stock or room was short at one instant. `complete` adds
    /// to the record of the movement what else belongs into it.
    pub(in crate::engine) fn move_units(
        &self,
        route: &Route,
        now: Timestamp,
        complete: impl Fn(RecordBuilder<'_>) -> RecordBuilder<'_>,
    ) -> Result<(), TransferError> {
        match self.try_to_move(route, now, &complete) {
            Err(TransferError::Insufficient { .. }) if self.slots.is_due(now) => {
                // A commit never ends holds by itself, so that it keeps to its order of cells.
                let (level, _) = self.level_and_warehouse(route.from)?;
                self.take_back_overdue(now, || level.available() >= route.qty.get());
                self.try_to_move(route, now, &complete)
            }
            other => other,
        }
    }

    /// One commit over both levels and both rooms: units are never seen missing, nor twice (Law 4).
    fn try_to_move(
        &self,
        route: &Route,
        now: Timestamp,
        complete: impl Fn(RecordBuilder<'_>) -> RecordBuilder<'_>,
    ) -> Result<(), TransferError> {
        let &Route { from, to, source, target, qty, held } = route;
        let leave = if held { Delta::ship(qty) } else { Delta::withdraw(qty) };
        let mut lines = [
            CommitLine { cell: CellId::level(from), delta: leave },
            CommitLine { cell: CellId::level(to), delta: Delta::receive(qty) },
            CommitLine { cell: CellId::room(source), delta: Delta::receive(qty) },
            CommitLine { cell: CellId::room(target), delta: Delta::withdraw(qty) },
        ];
        lines.sort_unstable_by_key(|line| line.cell);
        #[cfg(planted = "transfer_in_two_steps")]
        let lines = {
            let leaves = |line: &CommitLine| {
                [CellId::level(from), CellId::room(source)].contains(&line.cell)
            };
            let (out, into): (Vec<_>, Vec<_>) = lines.into_iter().partition(leaves);
            if let Err(Refused::Line { available, .. }) = self.commit(&out)?.run() {
                return Err(TransferError::Insufficient { needed: qty.get(), available });
            }
            crate::sync::yield_now();
            into
        };
        let commit = self.commit_with_record(&lines)?;
        let record = if held {
            // To the counts, a hold that is given back and units that leave, in one record.
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
                Err(TransferError::OverCapacity { needed: qty.get(), room: available })
            }
            Err(Refused::Line { available, .. }) => {
                Err(TransferError::Insufficient { needed: qty.get(), available })
            }
            Err(Refused::Sum { .. }) => unreachable!("a transfer fills nothing"),
        }
    }
}

/// Where units go from and to.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Route {
    pub(in crate::engine) from: LevelHandle,
    pub(in crate::engine) to: LevelHandle,
    pub(in crate::engine) source: WarehouseId,
    pub(in crate::engine) target: WarehouseId,
    pub(in crate::engine) qty: Quantity,
    /// The units are not available but reserved, for this transfer.
    pub(in crate::engine) held: bool,
}

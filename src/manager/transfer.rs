//! Moving available units from one warehouse to another.

use crate::audit::entry::AdjustmentType;
use crate::error::{TransferError, UnknownPlace};
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::details::Details;
use crate::manager::engine::Engine;
use crate::manager::keyed::RequestShape;
use crate::manager::place::{LevelRef, ProductRef, WarehouseRef};
use crate::manager::request::Request;
use crate::quantity::Quantity;
use crate::stock::cell::CellId;
use crate::stock::commit::{Line, Refused};
use crate::stock::handle::{LevelHandle, WarehouseId};
use crate::stock::word::Delta;

impl Request<'_> {
    /// As [`InventoryManager::transfer`](crate::InventoryManager::transfer), with this request's details.
    pub fn transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<(), TransferError> {
        self.engine.transfer(&self.details, from.into(), to.into(), product.into(), quantity)
    }
}

impl Engine {
    fn transfer(
        &self,
        details: &Details,
        from: WarehouseRef<'_>,
        to: WarehouseRef<'_>,
        product: ProductRef<'_>,
        quantity: u32,
    ) -> Result<(), TransferError> {
        let qty = Quantity::new(quantity)?;
        let short = |available| TransferError::Insufficient { needed: qty.get(), available };
        let source = self.warehouse(from)?;
        let target = self.warehouse(to)?;
        if source.id() == target.id() {
            return Err(TransferError::SameWarehouse);
        }
        if let ProductRef::Name(name) = product {
            self.check_name(name).map_err(UnknownPlace::from)?;
        }
        let shape = || {
            RequestShape::new("transfer").warehouse(from).warehouse(to).product(product).units(qty)
        };
        self.keyed(details, shape, |key| {
            self.admit()?;
            for warehouse in [source, target] {
                self.check_open(warehouse)
                    .map_err(|warehouse| TransferError::Suspended { warehouse })?;
            }
            let Some(from_handle) = self.level_in(source.id(), product)? else {
                return Err(short(0));
            };
            let (from_level, _) = self.level_and_warehouse(from_handle)?;
            let name =
                self.catalog.product_name(from_level.product()).ok_or(UnknownPlace::Handle)?;
            let to_handle = self.resolve_or_open(LevelRef::Names(target.name(), &name))?;
            let route = Route {
                from: from_handle,
                to: to_handle,
                source: source.id(),
                target: target.id(),
                qty,
            };
            let enough = || from_level.available() >= qty.get();
            // Refused at a look, where one look is enough: nothing is written then.
            if !enough() && !self.slots.is_due(self.now()) {
                return Err(short(from_level.available()));
            }
            let first = self.try_transfer(details, key, &route);
            match first {
                Err(TransferError::Insufficient { .. }) if self.slots.is_due(self.now()) => {
                    // A commit never ends holds by itself, so that it keeps to its order of cells.
                    self.take_back_overdue(self.now(), enough);
                    self.try_transfer(details, key, &route)?;
                }
                other => other?,
            }
            Ok(Answer::Done)
        })
        .map(drop)
    }

    /// One commit over both levels and both rooms: units are never seen missing, nor twice.
    fn try_transfer(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        route: &Route,
    ) -> Result<(), TransferError> {
        let &Route { from, to, source, target, qty } = route;
        let mut lines = [
            Line { cell: CellId::level(from), delta: Delta::withdraw(qty) },
            Line { cell: CellId::level(to), delta: Delta::receive(qty) },
            Line { cell: CellId::room(source), delta: Delta::receive(qty) },
            Line { cell: CellId::room(target), delta: Delta::withdraw(qty) },
        ];
        lines.sort_unstable_by_key(|line| line.cell);
        let commit = self.commit_with_record(&lines)?;
        self.recorder
            .movement(AdjustmentType::TransferredOut, from, qty)
            .and(AdjustmentType::TransferredIn, to, qty)
            .between(source, target)
            .at(self.now())
            .details(details)
            .key(key, Answer::Done)
            .send_ahead(commit.name())?;
        match commit.run() {
            Ok(_) => Ok(self.recorder.check_writer()?),
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
struct Route {
    from: LevelHandle,
    to: LevelHandle,
    source: WarehouseId,
    target: WarehouseId,
    qty: Quantity,
}

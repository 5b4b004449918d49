//! Moving available units from one warehouse to another.

use crate::audit::entry::AdjustmentType;
use crate::error::{TransferError, UnknownPlace};
use crate::manager::engine::Engine;
use crate::manager::keyed::{Answer, RequestShape};
use crate::manager::place::{LevelRef, ProductRef, WarehouseRef};
use crate::manager::request::{Details, Request};
use crate::quantity::Quantity;

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
            let (to_level, _) = self.level_and_warehouse(to_handle)?;
            let now = self.now();
            let draft = self
                .recorder
                .movement(AdjustmentType::TransferredOut, from_handle, qty)
                .and(AdjustmentType::TransferredIn, to_handle, qty)
                .between(source.id(), target.id())
                .at(now)
                .details(details)
                .key(key, Answer::Done);
            target
                .take_room(qty)
                .map_err(|room| TransferError::OverCapacity { needed: qty.get(), room })?;
            let taken =
                self.with_overdue_taken_back(now, from_level, qty, || from_level.withdraw(qty));
            let change = match taken {
                Ok(change) => change,
                Err(missing) => {
                    target.give_room(qty);
                    return Err(short(missing.available));
                }
            };
            // Law 2: debit, one record, credit.
            let recorded = draft.queue();
            let arrival = to_level.receive(qty);
            source.give_room(qty);
            if from_level.crosses(change) {
                self.raise_alert(from_handle, from_level);
            }
            if to_level.is_low_after(arrival) {
                self.raise_alert(to_handle, to_level);
            }
            recorded?;
            Ok(Answer::Done)
        })
        .map(drop)
    }
}

//! Baskets: several lines under one reservation, all or nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::base::error::{BasketError, InvalidInput, ShortLine};
use crate::base::quantity::Quantity;
use crate::base::short_list::{SHORT, ShortList};
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::resolved_line::ResolvedLine;
use crate::engine::ops::taken_basket::Purpose;
use crate::engine::ops::taking::WantedLines;
use crate::engine::place::{BasketLine, OwnLevel, OwnLines, foreign, merge_equal_levels};
use crate::engine::request::on_requests_for_holds;
use crate::engine::request_options::SafetyStock;
use crate::engine::request_shape::RequestShape;
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::reservation::id::ReservationId;
use crate::stock::handle::LevelIndex;

impl InventoryManager {
    /// Holds all lines of a basket under one reservation, or none. Lines of the same level are
    /// merged.
    ///
    /// The lines show at one instant: no reader sees a part of a basket. The hold expires `ttl`
    /// from now, rounded up to whole milliseconds. Costs one slot for each line. Waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`BasketError::Insufficient`] names the lines that were short. Unless the error is
    /// [`Uncertain`](crate::Uncertain), nothing has moved. See [`BasketError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::BasketLine;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.add_stock(("SF", "MOUSE"), 10, "SUPPLIER")?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 1), BasketLine::new(("SF", "MOUSE"), 2)];
    /// let basket = manager.reserve_basket(&lines, Duration::from_secs(60))?;
    /// manager.release(basket)?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reserve_basket(
        &self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        self.call().reserve_basket(lines, ttl)
    }
}

on_requests_for_holds! {
    /// Same as [`InventoryManager::reserve_basket`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn reserve_basket(
        &self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        self.call().reserve_basket(lines, ttl)
    }
}

impl<'a> Call<'a> {
    fn reserve_basket(
        self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        let lines = self.engine.check_basket(lines)?;
        let shape = |it: &mut RequestShape| basket_shape(it, "basket", lines).span(ttl).end();
        self.keyed(OperationKind::Reserve, shape, |call| {
            call.engine.ttl_limits.check_hold(ttl)?;
            let mut wanted = WantedLines::new();
            call.engine.resolve_lines(lines, call.safety_stock(), &mut wanted)?;
            call.take_basket(&wanted, Purpose::Hold { ttl })
        })
    }
}

impl Engine {
    /// Refuses a basket that is not valid, without a look at the stock.
    pub(in crate::engine) fn check_basket<'l>(
        &self,
        lines: &'l [BasketLine<'l>],
    ) -> Result<OwnLines<'l>, BasketError> {
        if lines.is_empty() { Err(InvalidInput::Empty.into()) } else { self.own_lines(lines) }
    }

    /// Adds the lines with their levels to `wanted`, sorted and merged. Refuses a suspended
    /// warehouse, and a line without a level. That refusal names all other lines that are short as
    /// well.
    pub(in crate::engine) fn resolve_lines<'e>(
        &'e self,
        lines: OwnLines<'_>,
        safety_stock: SafetyStock,
        wanted: &mut WantedLines<'e>,
    ) -> Result<(), BasketError> {
        let mut found = ShortList::<_, SHORT>::holding((LevelIndex(0), 0));
        let mut not_there: Vec<ShortLine> = Vec::new();
        // Where in that list each place is. A basket of the caller's may be long. Most have no such
        // line, and pay nothing for it.
        let mut listed = None;
        for (level, quantity) in lines.iter() {
            match (self.opened(level)?, level) {
                (Some(handle), _) => found.push((handle, quantity)),
                (None, OwnLevel::Names(warehouse, product)) => {
                    match listed.get_or_insert_with(HashMap::new).entry((warehouse, product)) {
                        Entry::Occupied(at) => {
                            let line: &mut ShortLine = &mut not_there[*at.get()];
                            line.needed = line.needed.saturating_add(quantity);
                        }
                        Entry::Vacant(free) => {
                            free.insert(not_there.len());
                            not_there.push(ShortLine {
                                warehouse: warehouse.to_owned(),
                                product: product.to_owned(),
                                needed: quantity,
                                available: 0,
                                safety_stock: 0,
                                never_stocked: self.known_product(product).is_err(),
                            });
                        }
                    }
                }
                (None, OwnLevel::Index(_)) => return Err(foreign().into()),
            }
        }
        let distinct = merge_equal_levels(&mut found);
        self.resolve_levels(&found[..distinct], safety_stock, wanted)?;
        if not_there.is_empty() {
            return Ok(());
        }
        let (short, overdue_left) = self.look_for_short_lines(wanted, self.now());
        not_there.extend(short);
        Err(self.refuse_basket(not_there, overdue_left))
    }

    /// The same for lines whose levels are known, sorted and merged.
    #[inline(always)]
    pub(in crate::engine) fn resolve_levels<'e>(
        &'e self,
        found: &[(LevelIndex, u32)],
        safety_stock: SafetyStock,
        wanted: &mut WantedLines<'e>,
    ) -> Result<(), BasketError> {
        let most = self.max_basket_lines;
        if found.len() > most {
            return Err(InvalidInput::TooManyLines { lines: found.len(), most }.into());
        }
        for &(handle, units) in found {
            let qty = Quantity::new(units)?;
            let (level, warehouse) = self.level_and_warehouse(handle)?;
            self.check_open(warehouse).map_err(|warehouse| {
                self.refusals.count(Refusal::Suspended as usize);
                BasketError::Suspended { warehouse }
            })?;
            wanted.push(ResolvedLine::new(handle, level, qty, safety_stock));
        }
        Ok(())
    }
}

/// The fingerprint of a basket: the operation, then its lines.
pub(in crate::engine) fn basket_shape<'s>(
    shape: &'s mut RequestShape,
    operation: &str,
    lines: OwnLines<'_>,
) -> &'s mut RequestShape {
    shape.named(operation).count(lines.len());
    lines.iter().for_each(|(level, quantity)| shape.level(level).count(quantity as usize).end());
    shape
}

//! Baskets: several lines under one reservation, all or nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{BasketError, InvalidInput, NotStarted, ShortLine};
use crate::base::quantity::Quantity;
use crate::engine::answer::{Answer, ConfirmOrRetake};
use crate::engine::call::{Call, RequestShape};
use crate::engine::durability::OperationKind;
use crate::engine::ops::reserve::ResolvedLine;
use crate::engine::place::{BasketLine, OwnLevel, OwnLines, foreign, merge_equal_levels};
use crate::engine::request::on_requests_for_holds;
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::reservation::slots::VacantSlot;
use crate::stock::cell::CellId;
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::{CellDelta, Refused};
use crate::stock::word::Delta;

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

/// Whether a basket is held, or sold at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Purpose {
    Hold {
        ttl_millis: u64,
    },
    /// Sold at once, in place of this hold, which ended without a sale.
    Retake(ReservationId),
}

impl Purpose {
    /// When the hold expires that is made `now`. A basket that is sold at once expires then.
    fn expires_at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Hold { ttl_millis } => now.saturating_add_millis(ttl_millis),
            Self::Retake(_) => now,
        }
    }
}

impl<'a> Call<'a> {
    fn reserve_basket(
        self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        let lines = self.engine.check_basket(lines)?;
        let shape = || basket_shape("basket", lines).span(ttl);
        self.keyed(OperationKind::Reserve, shape, |call| {
            let ttl_millis = call.engine.ttl_limits.checked_ttl(ttl)?;
            let wanted = call.engine.resolved_lines(lines)?;
            call.take_basket(&wanted, Purpose::Hold { ttl_millis })
        })
    }

    /// Takes all lines, or none. A refusal names the lines that are short.
    pub(in crate::engine) fn take_basket(
        self,
        wanted: &[ResolvedLine<'_>],
        purpose: Purpose,
    ) -> Result<ReservationId, BasketError> {
        let engine = self.engine;
        let count = |_: &NotStarted| engine.refusals.count(Refusal::Unavailable as usize);
        engine.check_gate().inspect_err(count)?;
        let now = self.timed().now();
        engine.look_before_taking(wanted, now)?;
        engine.admit().inspect_err(count)?;
        let slots = engine.slots_for_basket(wanted.len(), &purpose, now)?;
        let Some(head) = slots.first() else { return Err(InvalidInput::Empty.into()) };
        let call = self.at(head.taken_at());
        let now = call.now();
        let id = engine.new_id(head);
        let record = call.basket_record(wanted, purpose, id);
        if let Err(refusal) = engine.take_lines(wanted, now) {
            slots.into_iter().for_each(|slot| engine.slots.put_back(slot, now));
            return Err(refusal);
        }
        let recorded = record.queue();
        call.publish_basket(wanted, purpose, slots, id);
        recorded?;
        Ok(id)
    }

    fn basket_record(
        self,
        wanted: &[ResolvedLine<'_>],
        purpose: Purpose,
        id: ReservationId,
    ) -> RecordBuilder<'a> {
        let answer = match purpose {
            Purpose::Hold { .. } => Answer::Reservation(id),
            Purpose::Retake(_) => ConfirmOrRetake::Retaken(id).into(),
        };
        let mut record = self
            .engine
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(self, id, purpose.expires_at(self.now()))
            .of_hold(self, answer);
        for line in wanted {
            record = record.line(line.handle, line.qty.get());
        }
        if let Purpose::Retake(of) = purpose {
            record = record.retaken_from(of);
            for line in wanted {
                record = record.and(AdjustmentType::Sold, line.handle, line.qty);
            }
        }
        record
    }

    fn publish_basket(
        self,
        wanted: &[ResolvedLine<'_>],
        purpose: Purpose,
        slots: Vec<VacantSlot<'_>>,
        id: ReservationId,
    ) {
        let engine = self.engine;
        let mut slots = slots.into_iter();
        let mut lines = wanted.iter().map(|line| SlotLine::new(line.handle, line.qty.get()));
        let (Some(head), Some(first)) = (slots.next(), lines.next()) else { return };
        let rest: Vec<(VacantSlot<'_>, SlotLine)> = slots.by_ref().zip(lines).collect();
        let chain = Chain::NONE.keeping(self.keeps_until_shipped());
        let record = ReservationRecord { id, owner: self.owner(), line: first, chain };
        match purpose {
            Purpose::Hold { .. } => {
                engine.slots.publish(head, &rest, record, purpose.expires_at(self.now()));
            }
            Purpose::Retake(of) => {
                let kept = chain.keeps();
                wanted.iter().for_each(|line| line.level.sold_to(kept).add(line.qty));
                let number = head.number();
                let note = slots.next().map(|slot| (slot, of));
                let chain = engine.slots.publish_sold(head, &rest, note, record);
                engine.slots.retire(number, chain, true, self.now());
            }
        }
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

    /// The lines with their levels, sorted and merged. Refuses a suspended warehouse, and a line
    /// without a level. That refusal names all other lines that are short as well.
    pub(in crate::engine) fn resolved_lines(
        &self,
        lines: OwnLines<'_>,
    ) -> Result<Vec<ResolvedLine<'_>>, BasketError> {
        let mut found: Vec<(LevelIndex, u32)> = Vec::with_capacity(lines.len());
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
                                never_stocked: self.known_product(product).is_err(),
                            });
                        }
                    }
                }
                (None, OwnLevel::Index(_)) => return Err(foreign().into()),
            }
        }
        merge_equal_levels(&mut found);
        let wanted = self.resolved_levels(found)?;
        if not_there.is_empty() {
            return Ok(wanted);
        }
        let (short, overdue_left) = self.look_for_short_lines(&wanted, self.now());
        not_there.extend(short);
        Err(self.refuse_basket(not_there, overdue_left))
    }

    /// The same for lines whose levels are known, sorted and merged.
    pub(in crate::engine) fn resolved_levels(
        &self,
        found: Vec<(LevelIndex, u32)>,
    ) -> Result<Vec<ResolvedLine<'_>>, BasketError> {
        let most = self.max_basket_lines;
        if found.len() > most {
            return Err(InvalidInput::TooManyLines { lines: found.len(), most }.into());
        }
        found
            .into_iter()
            .map(|(handle, units)| {
                let qty = Quantity::new(units)?;
                let level = self.catalog.level(handle).ok_or_else(foreign)?;
                let warehouse = self.warehouse_of(level)?;
                self.check_open(warehouse).map_err(|warehouse| {
                    self.refusals.count(Refusal::Suspended as usize);
                    BasketError::Suspended { warehouse }
                })?;
                Ok(ResolvedLine { handle, level, qty })
            })
            .collect()
    }

    /// Refuses a basket that is plainly short, without a write to shared memory. In a flash sale,
    /// most calls come when everything is sold out.
    fn look_before_taking(
        &self,
        wanted: &[ResolvedLine<'_>],
        now: Timestamp,
    ) -> Result<(), BasketError> {
        let (short, overdue_left) = self.look_for_short_lines(wanted, now);
        if short.is_empty() { Ok(()) } else { Err(self.refuse_basket(short, overdue_left)) }
    }

    /// The lines that are short though overdue holds were taken back, and whether such holds are
    /// left.
    fn look_for_short_lines(
        &self,
        wanted: &[ResolvedLine<'_>],
        now: Timestamp,
    ) -> (Vec<ShortLine>, bool) {
        let mut short = self.short_lines(wanted);
        let mut overdue_left = false;
        if !short.is_empty() && self.slots.is_due(now) {
            overdue_left = !self.take_back_overdue(now, || enough(wanted));
            short = self.short_lines(wanted);
        }
        (short, overdue_left)
    }

    /// Takes all lines at one instant, or none. A refusal is exact: the first line that it names
    /// was short at one instant of this call.
    fn take_lines(&self, wanted: &[ResolvedLine<'_>], now: Timestamp) -> Result<(), BasketError> {
        let mut overdue_left = false;
        let mut short = match self.try_to_take(wanted)? {
            None => return Ok(()),
            Some(short) => short,
        };
        if self.slots.is_due(now) {
            // Expire holds here, outside the commit: a commit must touch cells in ascending order
            // only.
            overdue_left = !self.take_back_overdue(now, || enough(wanted));
            short = match self.try_to_take(wanted)? {
                None => return Ok(()),
                Some(short) => short,
            };
        }
        let (line, available) = short;
        let mut named = vec![self.short(&wanted[line], available)];
        let others = wanted.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| line);
        named.extend(others.filter_map(|line| self.short_line(line)));
        Err(self.refuse_basket(named, overdue_left))
    }

    /// Takes all lines, or returns `Some` with the index of a short line and its available units.
    fn try_to_take(&self, wanted: &[ResolvedLine<'_>]) -> Result<Option<(usize, u32)>, NotStarted> {
        if let [line] = wanted {
            return Ok(match line.level.hold(line.qty, self) {
                Ok(change) => {
                    if line.level.crosses(change) {
                        self.raise_alert(line.handle, line.level);
                    }
                    None
                }
                Err(available) => Some((0, available)),
            });
        }
        let lines: Vec<CellDelta> = wanted
            .iter()
            .map(|line| CellDelta {
                cell: CellId::level(line.handle),
                delta: Delta::hold(line.qty),
            })
            .collect();
        Ok(match self.commit(&lines)?.run() {
            Ok(_) => None,
            Err(Refused::Line { line, available, .. }) => Some((line, available)),
            Err(Refused::Sum { .. }) => unreachable!("a basket fills nothing"),
        })
    }

    fn slots_for_basket(
        &self,
        lines: usize,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Vec<VacantSlot<'_>>, BasketError> {
        let count = lines + usize::from(matches!(purpose, Purpose::Retake(_)));
        self.take_slots(count, now).ok_or_else(|| {
            self.refusals.count(Refusal::Full as usize);
            BasketError::Full { slots: self.max_slots }
        })
    }

    #[cold]
    fn refuse_basket(&self, lines: Vec<ShortLine>, overdue_left: bool) -> BasketError {
        // A name that nobody ever stocked says nothing about stock.
        if lines.iter().any(|line| !line.never_stocked) {
            self.refusals.count(Refusal::Insufficient as usize);
        }
        BasketError::Insufficient { lines, overdue_left }
    }

    /// The lines that are short now, each read by itself.
    fn short_lines(&self, wanted: &[ResolvedLine<'_>]) -> Vec<ShortLine> {
        wanted.iter().filter_map(|line| self.short_line(line)).collect()
    }

    fn short_line(&self, line: &ResolvedLine<'_>) -> Option<ShortLine> {
        let available = line.level.available();
        (available < line.qty.get()).then(|| self.short(line, available))
    }

    fn short(&self, line: &ResolvedLine<'_>, available: u32) -> ShortLine {
        let (warehouse, product) = self.names_of(line.handle);
        ShortLine {
            warehouse: warehouse.as_ref().into(),
            product: product.as_ref().into(),
            needed: line.qty.get(),
            available,
            never_stocked: false,
        }
    }
}

fn enough(wanted: &[ResolvedLine<'_>]) -> bool {
    wanted.iter().all(|line| line.level.available() >= line.qty.get())
}

/// The fingerprint of a basket: the operation, then its lines.
pub(in crate::engine) fn basket_shape(operation: &str, lines: OwnLines<'_>) -> RequestShape {
    let shape = RequestShape::new(operation).count(lines.len());
    lines.iter().fold(shape, |shape, (level, quantity)| shape.level(level).count(quantity as usize))
}

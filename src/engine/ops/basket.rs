//! Several lines under one reservation: all of them, or none.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::clock::Timestamp;
use crate::engine::answer::Answer;
use crate::engine::call::{Call, RequestShape};
use crate::engine::durability::OperationKind;
use crate::engine::ops::reserve::ResolvedLine;
use crate::engine::place::{BasketLine, LevelRef, merge_equal_levels};
use crate::engine::request::on_requests_for_holds;
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::error::{BasketError, ShortLine, Unavailable, UnknownPlace};
use crate::quantity::Quantity;
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::Tenant;
use crate::reservation::slots::Vacated;
use crate::stock::cell::CellId;
use crate::stock::commit::{Line as CommitLine, Refused};
use crate::stock::handle::LevelHandle;
use crate::stock::word::Delta;

impl InventoryManager {
    /// Holds all lines under one reservation, or none. Equal lines are merged.
    ///
    /// # Errors
    /// [`BasketError::Insufficient`] names the lines that were short; see [`BasketError`] for the
    /// rest. Nothing has moved then.
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
    /// As [`InventoryManager::reserve_basket`], with this request's options.
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
    /// Sold anew for a hold that ended unsold.
    Retake(ReservationId),
}

impl Purpose {
    /// When the hold ends by itself. One that is sold at once has ended when it was made.
    fn expires_at(self, id: ReservationId) -> Timestamp {
        match self {
            Self::Hold { ttl_millis } => id.created_at().saturating_add_millis(ttl_millis),
            Self::Retake(_) => id.created_at(),
        }
    }
}

impl<'a> Call<'a> {
    fn reserve_basket(
        self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        let shape = || basket_shape("basket", lines).span(ttl);
        self.engine.check_basket(lines)?;
        self.keyed(OperationKind::Reserve, shape, |call| {
            let ttl_millis = call.engine.ttl_limits.checked_ttl(ttl)?;
            let wanted = call.engine.resolved_lines(lines)?;
            call.take_basket(&wanted, Purpose::Hold { ttl_millis })
        })
    }

    /// Takes all lines, or none and says which are short.
    pub(in crate::engine) fn take_basket(
        self,
        wanted: &[ResolvedLine<'_>],
        purpose: Purpose,
    ) -> Result<ReservationId, BasketError> {
        let engine = self.engine;
        let count = |_: &Unavailable| engine.refusals.count(Refusal::Unavailable as usize);
        engine.check_gate().inspect_err(count)?;
        let now = engine.now();
        engine.look_before_taking(wanted, now)?;
        engine.admit().inspect_err(count)?;
        let slots = engine.slots_for_basket(wanted.len(), &purpose, now)?;
        let Some(head) = slots.first() else { return Err(BasketError::Empty) };
        let now = head.birth(now, || engine.now());
        let id = ReservationId::new(now, head.number(), engine.randomness.next());
        let record = self.basket_record(wanted, purpose, id);
        if let Err(refusal) = engine.take_lines(wanted, now) {
            slots.into_iter().for_each(|slot| engine.slots.put_back(slot, now));
            return Err(refusal);
        }
        let recorded = record.queue();
        self.publish_basket(wanted, purpose, slots, id);
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
            Purpose::Retake(_) => Answer::Retaken(id),
        };
        let mut record = self
            .engine
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(self, id, purpose.expires_at(id))
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
        slots: Vec<Vacated<'_>>,
        id: ReservationId,
    ) {
        let engine = self.engine;
        let mut slots = slots.into_iter();
        let mut lines = wanted.iter().map(|line| Line::new(line.handle, line.qty.get()));
        let (Some(head), Some(first)) = (slots.next(), lines.next()) else { return };
        let rest: Vec<(Vacated<'_>, Line)> = slots.by_ref().zip(lines).collect();
        let chain = Chain::NONE.keeping(self.options.keep_until_shipped);
        let tenant = Tenant { id, owner: self.options.owner, line: first, chain };
        match purpose {
            Purpose::Hold { .. } => {
                engine.slots.publish(head, &rest, tenant, purpose.expires_at(id));
            }
            Purpose::Retake(of) => {
                wanted.iter().for_each(|line| line.level.sell(line.qty));
                let number = head.number();
                let note = slots.next().map(|slot| (slot, of));
                let chain = engine.slots.publish_sold(head, &rest, note, tenant);
                engine.slots.retire(number, chain, true, id.created_at());
            }
        }
    }
}

impl Engine {
    /// What can be refused without a look at the stock.
    pub(in crate::engine) fn check_basket(
        &self,
        lines: &[BasketLine<'_>],
    ) -> Result<(), BasketError> {
        if lines.is_empty() {
            return Err(BasketError::Empty);
        }
        for line in lines {
            Quantity::new(line.quantity)?;
            self.check_names(line.level)?;
        }
        Ok(())
    }

    /// The levels of a basket's lines, sorted, equal ones merged; refuses a line that nobody ever
    /// stocked, and a warehouse that is suspended.
    pub(in crate::engine) fn resolved_lines(
        &self,
        lines: &[BasketLine<'_>],
    ) -> Result<Vec<ResolvedLine<'_>>, BasketError> {
        let mut found: Vec<(LevelHandle, u32)> = Vec::with_capacity(lines.len());
        let mut never_stocked = Vec::new();
        for line in lines {
            match self.resolve_stocked(line.level)? {
                Some(handle) => found.push((handle, line.quantity)),
                None => never_stocked.push(self.never_stocked(line)),
            }
        }
        if !never_stocked.is_empty() {
            self.refusals.count(Refusal::Insufficient as usize);
            return Err(BasketError::Insufficient { lines: never_stocked, overdue_left: false });
        }
        merge_equal_levels(&mut found);
        let most = self.max_basket_lines;
        if found.len() > most {
            return Err(BasketError::TooManyLines { lines: found.len(), most });
        }
        found
            .into_iter()
            .map(|(handle, units)| {
                let qty = Quantity::new(units)?;
                let level = self.catalog.level(handle).ok_or(UnknownPlace::Handle)?;
                let warehouse = self.warehouse_of(level)?;
                self.check_open(warehouse).map_err(|warehouse| {
                    self.refusals.count(Refusal::Suspended as usize);
                    BasketError::Suspended { warehouse }
                })?;
                Ok(ResolvedLine { handle, level, qty })
            })
            .collect()
    }

    /// Refuses what is plainly short without a write to shared memory: sold out is most of a flash
    /// sale.
    fn look_before_taking(
        &self,
        wanted: &[ResolvedLine<'_>],
        now: Timestamp,
    ) -> Result<(), BasketError> {
        let mut short = self.short_lines(wanted);
        let mut overdue_left = false;
        if !short.is_empty() && self.slots.is_due(now) {
            overdue_left = !self.take_back_overdue(now, || enough(wanted));
            short = self.short_lines(wanted);
        }
        if short.is_empty() { Ok(()) } else { Err(self.refuse_basket(short, overdue_left)) }
    }

    /// Takes all lines at one instant, or none. A refusal is true: the first line that it names was
    /// short at one instant of this call.
    fn take_lines(&self, wanted: &[ResolvedLine<'_>], now: Timestamp) -> Result<(), BasketError> {
        let mut overdue_left = false;
        let mut short = match self.try_to_take(wanted)? {
            None => return Ok(()),
            Some(short) => short,
        };
        if self.slots.is_due(now) {
            // A commit never ends holds by itself, so that it keeps to its order of cells.
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

    /// `Some`: refused, because this line was short, with so many available.
    fn try_to_take(
        &self,
        wanted: &[ResolvedLine<'_>],
    ) -> Result<Option<(usize, u32)>, Unavailable> {
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
        let lines: Vec<CommitLine> = wanted
            .iter()
            .map(|line| CommitLine {
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
    ) -> Result<Vec<Vacated<'_>>, BasketError> {
        let count = lines + usize::from(matches!(purpose, Purpose::Retake(_)));
        self.take_slots(count, now).ok_or_else(|| {
            self.refusals.count(Refusal::Full as usize);
            BasketError::Full { slots: self.max_slots }
        })
    }

    #[cold]
    fn refuse_basket(&self, lines: Vec<ShortLine>, overdue_left: bool) -> BasketError {
        self.refusals.count(Refusal::Insufficient as usize);
        BasketError::Insufficient { lines, overdue_left }
    }

    /// The lines that are short at this look.
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
        }
    }

    fn never_stocked(&self, line: &BasketLine<'_>) -> ShortLine {
        let (warehouse, product) = match line.level {
            LevelRef::Names(warehouse, product) => (warehouse.to_owned(), product.to_owned()),
            LevelRef::Handle(handle) => {
                let (warehouse, product) = self.names_of(handle);
                (warehouse.as_ref().to_owned(), product.as_ref().to_owned())
            }
        };
        ShortLine { warehouse, product, needed: line.quantity, available: 0 }
    }
}

fn enough(wanted: &[ResolvedLine<'_>]) -> bool {
    wanted.iter().all(|line| line.level.available() >= line.qty.get())
}

/// What tells one basket from another.
pub(in crate::engine) fn basket_shape(operation: &str, lines: &[BasketLine<'_>]) -> RequestShape {
    let shape = RequestShape::new(operation).count(lines.len());
    lines.iter().fold(shape, |shape, line| shape.level(line.level).count(line.quantity as usize))
}

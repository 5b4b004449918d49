//! Several lines under one reservation: all of them, or none.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::clock::Timestamp;
use crate::error::{BasketError, InvalidInput, NotStarted, PlaceError, ShortLine};
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::{Engine, Refusal};
use crate::manager::keyed::RequestShape;
use crate::manager::place::{BasketLine, LevelRef, merge_equal_levels};
use crate::manager::recorder::Draft;
use crate::manager::request::Request;
use crate::quantity::Quantity;
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::Tenant;
use crate::reservation::slots::Vacated;
use crate::stock::cell::CellId;
use crate::stock::commit::{Line as CommitLine, Refused};
use crate::stock::handle::LevelHandle;
use crate::stock::level::StockLevel;
use crate::stock::word::Delta;

impl Request<'_> {
    /// As [`InventoryManager::reserve_basket`](crate::InventoryManager::reserve_basket), with this request's details.
    pub fn reserve_basket(
        &self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        self.engine.reserve_basket(&self.details, lines, ttl)
    }
}

/// A basket's line whose level is known; equal levels are merged into one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) handle: LevelHandle,
    pub(super) level: &'a StockLevel,
    pub(super) qty: Quantity,
}

/// Whether a basket is held, or sold at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Hold {
        ttl_millis: u64,
    },
    /// Sold anew for a hold that ended unsold.
    Retake(ReservationId),
}

impl Engine {
    fn reserve_basket(
        &self,
        details: &Details,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        let shape = || basket_shape("basket", lines).span(ttl);
        self.check_basket(lines)?;
        self.keyed(OperationKind::Reserve, details, shape, |key| {
            let ttl_millis = self.settings.checked_ttl(ttl)?;
            let wanted = self.wanted(lines)?;
            self.take_basket(details, key, &wanted, Purpose::Hold { ttl_millis })
        })
    }

    /// What can be refused without a look at the stock.
    pub(super) fn check_basket(&self, lines: &[BasketLine<'_>]) -> Result<(), BasketError> {
        if lines.is_empty() {
            return Err(InvalidInput::Empty.into());
        }
        for line in lines {
            Quantity::new(line.quantity)?;
            self.check_names(line.level)?;
        }
        Ok(())
    }

    /// The levels of a basket's lines, sorted, equal ones merged; refuses a line that nobody ever
    /// stocked, and a warehouse that is suspended.
    pub(super) fn wanted(&self, lines: &[BasketLine<'_>]) -> Result<Vec<Wanted<'_>>, BasketError> {
        let mut found: Vec<(LevelHandle, u32)> = Vec::with_capacity(lines.len());
        let mut not_here = Vec::new();
        for line in lines {
            match self.resolve_known(line.level) {
                Ok(Some(handle)) => found.push((handle, line.quantity)),
                Ok(None) => not_here.push(self.not_here(line, false)),
                Err(PlaceError::NeverStocked { .. }) => not_here.push(self.not_here(line, true)),
                Err(place) => return Err(place.into()),
            }
        }
        if !not_here.is_empty() {
            self.refusals.count(Refusal::Insufficient as usize);
            return Err(BasketError::Insufficient { lines: not_here, overdue_left: false });
        }
        merge_equal_levels(&mut found);
        let most = self.max_basket_lines;
        if found.len() > most {
            return Err(InvalidInput::TooManyLines { lines: found.len(), most }.into());
        }
        found
            .into_iter()
            .map(|(handle, units)| {
                let qty = Quantity::new(units)?;
                let level = self.catalog.level(handle).ok_or(PlaceError::ForeignHandle)?;
                let warehouse = self.warehouse_of(level)?;
                self.check_open(warehouse).map_err(|warehouse| {
                    self.refusals.count(Refusal::Suspended as usize);
                    BasketError::Suspended { warehouse }
                })?;
                Ok(Wanted { handle, level, qty })
            })
            .collect()
    }

    /// Takes all lines, or none and says which are short.
    pub(super) fn take_basket(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        wanted: &[Wanted<'_>],
        purpose: Purpose,
    ) -> Result<ReservationId, BasketError> {
        let count = |_: &NotStarted| self.refusals.count(Refusal::Unavailable as usize);
        self.check_gate().inspect_err(count)?;
        let now = self.now();
        self.look_before_taking(wanted, now)?;
        self.admit().inspect_err(count)?;
        let slots = self.slots_for_basket(wanted.len(), &purpose, now)?;
        let Some(head) = slots.first() else { return Err(InvalidInput::Empty.into()) };
        let now = head.birth(now, || self.now());
        let id = ReservationId::new(now, head.number(), self.randomness.next());
        let draft = self.basket_draft(details, key, wanted, purpose, id, now);
        if let Err(refusal) = self.take_lines(wanted, now) {
            slots.into_iter().for_each(|slot| self.slots.put_back(slot, now));
            return Err(refusal);
        }
        let recorded = draft.queue();
        self.publish_basket(details, wanted, purpose, slots, id, now);
        recorded?;
        Ok(id)
    }

    /// Refuses what is plainly short without a write to shared memory: sold out is most of a flash
    /// sale.
    fn look_before_taking(&self, wanted: &[Wanted<'_>], now: Timestamp) -> Result<(), BasketError> {
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
    fn take_lines(&self, wanted: &[Wanted<'_>], now: Timestamp) -> Result<(), BasketError> {
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
    fn try_to_take(&self, wanted: &[Wanted<'_>]) -> Result<Option<(usize, u32)>, NotStarted> {
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

    fn publish_basket(
        &self,
        details: &Details,
        wanted: &[Wanted<'_>],
        purpose: Purpose,
        slots: Vec<Vacated<'_>>,
        id: ReservationId,
        now: Timestamp,
    ) {
        let mut slots = slots.into_iter();
        let mut lines = wanted.iter().map(|line| Line::new(line.handle, line.qty.get()));
        let (Some(head), Some(first)) = (slots.next(), lines.next()) else { return };
        let rest: Vec<(Vacated<'_>, Line)> = slots.by_ref().zip(lines).collect();
        let chain = Chain::NONE.keeping(details.keep_until_shipped);
        let tenant = Tenant { id, owner: details.owner, line: first, chain };
        match purpose {
            Purpose::Hold { ttl_millis } => {
                let expires_at = now.saturating_add_millis(ttl_millis);
                self.slots.publish(head, &rest, tenant, expires_at);
            }
            Purpose::Retake(of) => {
                wanted.iter().for_each(|line| line.level.sell(line.qty));
                let number = head.number();
                let note = slots.next().map(|slot| (slot, of));
                let chain = self.slots.publish_sold(head, &rest, note, tenant, now);
                self.slots.retire(number, chain, true, now);
            }
        }
    }

    fn basket_draft(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        wanted: &[Wanted<'_>],
        purpose: Purpose,
        id: ReservationId,
        now: Timestamp,
    ) -> Draft<'_> {
        let (expires_at, of) = match purpose {
            Purpose::Hold { ttl_millis } => (now.saturating_add_millis(ttl_millis), None),
            Purpose::Retake(of) => (now, Some(of)),
        };
        let mut draft = self
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(id, expires_at, details)
            .key(key, if of.is_some() { Answer::Retaken(id) } else { Answer::Reservation(id) });
        for line in wanted {
            draft = draft.line(line.handle, line.qty.get());
        }
        if let Some(of) = of {
            draft = draft.retaken_from(of);
            for line in wanted {
                draft = draft.and(AdjustmentType::Sold, line.handle, line.qty);
            }
        }
        draft
    }

    #[cold]
    fn refuse_basket(&self, lines: Vec<ShortLine>, overdue_left: bool) -> BasketError {
        self.refusals.count(Refusal::Insufficient as usize);
        BasketError::Insufficient { lines, overdue_left }
    }

    /// The lines that are short at this look.
    fn short_lines(&self, wanted: &[Wanted<'_>]) -> Vec<ShortLine> {
        wanted.iter().filter_map(|line| self.short_line(line)).collect()
    }

    fn short_line(&self, line: &Wanted<'_>) -> Option<ShortLine> {
        let available = line.level.available();
        (available < line.qty.get()).then(|| self.short(line, available))
    }

    fn short(&self, line: &Wanted<'_>, available: u32) -> ShortLine {
        let (warehouse, product) = self.names_of(line.handle);
        ShortLine {
            warehouse: warehouse.as_ref().into(),
            product: product.as_ref().into(),
            needed: line.qty.get(),
            available,
            never_stocked: false,
        }
    }

    /// A line whose product was never stocked in its warehouse, or in none at all.
    fn not_here(&self, line: &BasketLine<'_>, never_stocked: bool) -> ShortLine {
        let (warehouse, product) = match line.level {
            LevelRef::Names(warehouse, product) => (warehouse.to_owned(), product.to_owned()),
            LevelRef::Handle(handle) => {
                let (warehouse, product) = self.names_of(handle);
                (warehouse.as_ref().to_owned(), product.as_ref().to_owned())
            }
        };
        ShortLine { warehouse, product, needed: line.quantity, available: 0, never_stocked }
    }
}

fn enough(wanted: &[Wanted<'_>]) -> bool {
    wanted.iter().all(|line| line.level.available() >= line.qty.get())
}

/// What tells one basket from another.
pub(super) fn basket_shape(operation: &str, lines: &[BasketLine<'_>]) -> RequestShape {
    let shape = RequestShape::new(operation).count(lines.len());
    lines.iter().fold(shape, |shape, line| shape.level(line.level).count(line.quantity as usize))
}

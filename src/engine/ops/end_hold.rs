//! The ends of a hold: confirm, release and expire; and its extension.
//!
//! One compare-and-swap of the head's state word decides each of them (Law 3). The thread that
//! swaps `Pending` to `Ending` has the hold to itself. It queues the record, then moves the units
//! (Law 2), then stores the final state. Every other thread gets a typed answer.

use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::base::clock::Timestamp;
use crate::base::error::{ConfirmError, ExtendError, Gone, KeyError, ReleaseError, Uncertain};
use crate::base::short_list::{SHORT, ShortList};
use crate::engine::allowances::settle::Gifts;
use crate::engine::answer::{Answer, Release};
use crate::engine::call::Call;
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::hold_options::{HoldOptions, NoOptions};
use crate::engine::ops::hold_end::{EndKind, EndOutcome, Ended, HoldEnd};
use crate::engine::ops::units::{HeldUnits, end_of_line};
use crate::engine::recording::EntryRecord;
use crate::engine::request::{Request, on_requests_for_sales};
use crate::engine::request_shape::RequestShape;
use crate::engine::view::reservation::UnitsEnded;
use crate::engine::{Engine, InventoryManager};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slots::{HeldSlot, Lookup};
use crate::reservation::state::Phase;

impl InventoryManager {
    /// Confirms a pending reservation: sells what it holds. Its units stay reserved until they are
    /// shipped. Costs and waits as [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`ConfirmError::Gone`] says how the hold ended if it is over. If its time is up, this call
    /// expires it. See [`ConfirmError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{ConfirmError, Gone};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.confirm(hold)?;
    /// assert_eq!(manager.confirm(hold), Err(ConfirmError::Gone(Gone::Sold { units: 2 })));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        if self.engine.durabilities.of(OperationKind::Sell) == Durability::Synced {
            return self.call().confirm(id);
        }
        self.engine.confirm_once(NoOptions::UNDATED, id)
    }

    /// Releases a pending reservation: gives back what it holds. It is idempotent: a repeated
    /// release, an expired hold and an unknown id are no errors. [`Release`] says which it was,
    /// and no unit moves twice. Costs and waits as [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`ReleaseError::Sold`] if the hold was confirmed: cancel the sale instead. See
    /// [`ReleaseError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::Release;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// assert_eq!(manager.release(hold)?, Release::Released);
    /// assert_eq!(manager.release(hold)?, Release::AlreadyReleased);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn release(&self, id: ReservationId) -> Result<Release, ReleaseError> {
        self.call().release(id)
    }

    /// Extends a pending hold, so that it expires `ttl` from now, and returns when it will expire.
    /// Never shortens a hold: if it already lives longer, it stays as it is. Waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`ExtendError::OverCap`] if the hold would live longer in all than the engine allows
    /// ([`Limits::longest_total_hold`](crate::Limits::longest_total_hold)). See [`ExtendError`] for
    /// the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// let before = manager.reservation(hold)?.expires_at;
    /// assert!(manager.extend(hold, Duration::from_secs(60))? > before);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn extend(&self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        self.call().extend(id, ttl)
    }
}

on_requests_for_sales! {
    /// Same as [`InventoryManager::confirm`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        self.call().confirm(id)
    }
}

impl Request<'_> {
    /// Same as [`InventoryManager::release`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn release(&self, id: ReservationId) -> Result<Release, ReleaseError> {
        self.call().release(id)
    }

    /// Same as [`InventoryManager::extend`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn extend(&self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        self.call().extend(id, ttl)
    }
}

impl Call<'_> {
    #[inline(never)]
    fn confirm(self, id: ReservationId) -> Result<(), ConfirmError> {
        let shape = |it: &mut RequestShape| it.named("confirm").reservation(id).end();
        self.keyed(OperationKind::Sell, shape, |call| call.engine.confirm_once(call, id))
    }

    /// Confirms a hold that was not pending at the first look, or is to be kept.
    #[cold]
    #[inline(never)]
    fn confirm_as_found(self, id: ReservationId) -> Result<(), ConfirmError> {
        match self.end_hold_as_found(id, EndKind::Sell, Answer::Done) {
            EndOutcome::Done(end) => Ok(end.recorded.map_err(Uncertain::from)?),
            EndOutcome::Ended(ended) => Err(self.gone(id, ended)?.into()),
            EndOutcome::NotSold(missing) => Err(missing.into()),
            EndOutcome::Limited(limit) => Err(limit.into()),
            EndOutcome::Full { slots } => Err(ConfirmError::Full { slots }),
            EndOutcome::NotStarted(cause) => Err(cause.into()),
            EndOutcome::InProgress => Err(ConfirmError::Changing),
            EndOutcome::Missing(none) => Err(self.gone_without_record(id, none)?.into()),
        }
    }

    fn release(self, id: ReservationId) -> Result<Release, ReleaseError> {
        let shape = |it: &mut RequestShape| it.named("release").reservation(id).end();
        self.keyed(OperationKind::Release, shape, |call| {
            call.engine.admit()?;
            let outcome = match call.end_hold(id, EndKind::Release, Release::Released.into()) {
                EndOutcome::Done(HoldEnd { recorded, in_part }) => {
                    recorded.map_err(Uncertain::from)?;
                    return Ok(in_part.map_or(Release::Released, Release::from));
                }
                EndOutcome::Ended(ended) => {
                    let gone = call.gone(id, ended)?;
                    match Release::of_sold(gone, ended.end == EndKind::Sell) {
                        Some(sold) => sold?,
                        // Its lines may be gone. That it sold nothing, its head still says.
                        None if ended.sold => Release::Forgotten,
                        None if ended.end == EndKind::Expire => Release::Expired,
                        None => Release::AlreadyReleased,
                    }
                }
                EndOutcome::NotStarted(cause) => return Err(cause.into()),
                // A release has no option to keep the hold, and draws nothing. So it is never
                // refused for that.
                EndOutcome::InProgress
                | EndOutcome::NotSold(_)
                | EndOutcome::Limited(_)
                | EndOutcome::Full { .. } => return Err(ReleaseError::Changing),
                EndOutcome::Missing(none) => call.released_without_record(id, none)?,
            };
            call.record_key_use(outcome)?;
            Ok(outcome)
        })
    }

    fn extend(self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        let shape = |it: &mut RequestShape| it.named("extend").reservation(id).span(ttl).end();
        self.keyed(OperationKind::Extend, shape, |call| {
            let engine = call.engine;
            engine.ttl_limits.check_extension(ttl)?;
            engine.admit()?;
            let call = call.timed();
            let now = call.now();
            let asked = now.saturating_add(ttl);
            let latest = engine.ttl_limits.latest_end(id.created_at(), now);
            loop {
                let head = match engine.slots.find(id) {
                    Lookup::Found(head) => head,
                    missing => {
                        let none = engine.missing(id, missing);
                        return Err(call.gone_without_record(id, none)?.into());
                    }
                };
                let HeldSlot { slot, state, .. } = head;
                match state.phase() {
                    Phase::Pending if state.is_overdue(now) => {
                        // If another thread was first, look again at what it did.
                        match engine.expire_found(id, head, now) {
                            Some(ended) => return Err(call.gone(id, ended)?.into()),
                            None => continue,
                        }
                    }
                    Phase::Pending => {}
                    Phase::Ending => return Err(ExtendError::Changing),
                    _ => match Ended::read(head) {
                        Some(ended) => return Err(call.gone(id, ended)?.into()),
                        None => continue,
                    },
                }
                // Never shorten a hold: if the new expiry is earlier, the old one stays.
                let expires_at = asked.max(state.expires_at());
                if expires_at > latest && expires_at > state.expires_at() {
                    return Err(ExtendError::OverCap { asked, latest });
                }
                let record = engine
                    .recorder
                    .event(EventType::Extended)
                    .about(Subject::None)
                    .at(now)
                    .reservation(id, expires_at)
                    .of_call(call, expires_at);
                // Law 3: swap the whole word, so that no expiry ends a hold that was just extended.
                if slot.swap(state, state.expiring_at(expires_at)).is_ok() {
                    record.queue()?;
                    return Ok(expires_at);
                }
            }
        })
    }

    /// Ends a pending hold as `end` says, or returns why it cannot. Expires an overdue hold
    /// instead.
    pub(in crate::engine) fn end_hold(
        self,
        id: ReservationId,
        end: EndKind,
        answer: Answer,
    ) -> EndOutcome {
        let call = self.timed();
        match self.engine.end_at_once(call, id, end, answer) {
            Some(ended) => EndOutcome::Done(ended),
            None => call.end_hold_as_found(id, end, answer),
        }
    }

    /// The same for a hold that was not pending at the first look, or is to be kept. The call has
    /// read the clock.
    #[cold]
    #[inline(never)]
    fn end_hold_as_found(self, id: ReservationId, end: EndKind, answer: Answer) -> EndOutcome {
        loop {
            let head = match self.engine.slots.find(id) {
                Lookup::Found(head) => head,
                missing => return EndOutcome::Missing(self.engine.missing(id, missing)),
            };
            match head.state.phase() {
                Phase::Pending => {}
                Phase::Ending => return EndOutcome::InProgress,
                _ => match Ended::read(head) {
                    Some(ended) => return EndOutcome::Ended(ended),
                    None => continue,
                },
            }
            if head.state.is_overdue(self.now()) {
                if let Some(ended) = self.engine.expire_found(id, head, self.now()) {
                    return EndOutcome::Ended(ended);
                }
            } else if end == EndKind::Sell && self.engine.rules.asks_at_sale() {
                if let Some(outcome) = self.sell_asking(id, head, answer) {
                    return outcome;
                }
            } else if head.swap_to(Phase::Ending).is_ok() {
                return match self.keep_if_asked(head) {
                    Ok(()) => EndOutcome::Done(self.finish_hold(head, end, answer)),
                    Err(missing) => EndOutcome::NotSold(missing),
                };
            }
            // Another thread changed the hold between the read and the swap: look again.
        }
    }

    /// Finishes what the swap to `Ending` began.
    pub(in crate::engine) fn finish_hold(
        self,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> HoldEnd {
        self.engine.finish_hold(self, head, end, answer)
    }

    /// The same for a hold with a chain: several lines, or one line after a partial step.
    #[inline(never)]
    fn finish_lines(self, head: HeldSlot<'_>, end: EndKind, answer: Answer) -> HoldEnd {
        // Most have drawn nothing, and their path has no trace of what draws need.
        if head.slot.chain().draws() {
            let finished = self.finish_drawing_line(head, end, answer);
            finished.unwrap_or_else(|| self.finish_chain::<true>(head, end, answer))
        } else {
            self.finish_chain::<false>(head, end, answer)
        }
    }

    fn finish_chain<const DRAWS: bool>(
        self,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> HoldEnd {
        let HeldSlot { number, slot, state } = head;
        let slots = &self.engine.slots;
        let record = slot.read_record(state);
        let mut lines = ShortList::<_, SHORT>::holding(SlotLine::NONE);
        let mut units = UnitsEnded::default();
        let mut unsettled = end == EndKind::Sell;
        slots.lines_of(head, &record, |line| {
            units = units.plus(line, end.final_phase());
            unsettled |= line.is_unsettled();
            if line.held > 0 {
                lines.push(line);
            }
        });
        let mut phase = end.final_phase();
        let mut chain = record.chain;
        let in_part = (units.sold > 0 && end != EndKind::Sell).then_some(units);
        if in_part.is_some() {
            // A reservation that sold anything ends as confirmed. The chain notes how the rest
            // ended.
            phase = Phase::Confirmed;
        }
        let (mut gifts, mut counted) = (Gifts::new(), None);
        if DRAWS {
            let sold = phase == Phase::Confirmed;
            (chain, counted) = self.settle_ended(head, &record, (end, sold), &mut gifts);
        }
        if in_part.is_some() {
            chain = chain.ending_as(end.final_phase());
        }
        if chain != record.chain {
            slot.switch_chain(chain);
        }
        let answer = match (answer, in_part) {
            (Answer::Release(Release::Released), Some(units)) => Release::from(units).into(),
            (answer, _) => answer,
        };
        let held = HeldUnits { end, lines: &lines, kept: record.chain.keeps() };
        let recorded = match *lines {
            // One entry tells it all.
            [line] => {
                let entry = end_of_line(end, &record, line, state, self.now());
                let (recorder, engine) = (&*self.engine.recorder, self.engine);
                let beyond = self.record_of_hold(engine, entry, answer);
                let queued = EntryRecord { entry, beyond, recorder };
                engine.end_lines::<DRAWS>(queued, held, &mut gifts)
            }
            _ => {
                let mut queued = self
                    .engine
                    .recorder
                    .movement_of(end.entry_type())
                    .at(self.now())
                    .reservation(record.id, state.expires_at())
                    .owner(record.owner)
                    .of_hold(self, answer)
                    .lines(lines.iter().map(|line| (line.level, line.held)));
                if end == EndKind::Expire {
                    queued = queued.expired();
                }
                self.engine.end_lines::<DRAWS>(queued, held, &mut gifts)
            }
        };
        // Read before the hold is over: afterwards the slot may be reused.
        let chain = slot.chain();
        slots.finish(head, phase, chain);
        counted.into_iter().for_each(|until| slots.note_counted(number, until));
        slots.retire(number, chain, unsettled, self.now());
        HoldEnd { recorded, in_part }
    }

    /// How a hold that is over ended, for callers. If one of its later slots has been reused, its
    /// lines are gone: what the head still says of a sale stays true, the rest is `Forgotten`.
    ///
    /// # Errors
    /// [`KeyError`] if its lines are gone, and can't be known now.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn gone(self, id: ReservationId, ended: Ended) -> Result<Gone, KeyError> {
        match ended.units {
            Some(units) => Ok(units.gone(ended.end.final_phase(), ended.expires_at)),
            None => match self.engine.snapshot_of(id) {
                Ok(found) => Ok(found.gone()),
                Err(none) => self.gone_without_lines(id, none, ended.end == EndKind::Sell),
            },
        }
    }
}

impl Engine {
    #[inline(always)]
    fn confirm_once<'a>(
        &'a self,
        call: impl HoldOptions<'a>,
        id: ReservationId,
    ) -> Result<(), ConfirmError> {
        self.admit()?;
        let call = call.timed(self);
        match self.end_at_once(call, id, EndKind::Sell, Answer::Done) {
            Some(end) => Ok(end.recorded.map_err(Uncertain::from)?),
            None => call.call(self).confirm_as_found(id),
        }
    }

    /// Ends the hold, if that needs no second look: it is pending, not overdue, and nobody else is
    /// after it.
    #[inline(always)]
    fn end_at_once<'a>(
        &'a self,
        call: impl HoldOptions<'a>,
        id: ReservationId,
        end: EndKind,
        answer: Answer,
    ) -> Option<HoldEnd> {
        if call.keeps_until_shipped() || (end == EndKind::Sell && self.rules.asks_at_sale()) {
            return None;
        }
        let head = self.slots.find_pending(id).filter(|head| !head.state.is_overdue(call.now()))?;
        head.swap_to(Phase::Ending).ok()?;
        Some(self.finish_hold(call, head, end, answer))
    }

    /// Finishes what the swap to `Ending` began: log, move the units, store the state, retire the
    /// slots.
    #[inline(always)]
    fn finish_hold<'a>(
        &'a self,
        call: impl HoldOptions<'a>,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> HoldEnd {
        let HeldSlot { number, slot, state } = head;
        // Law 3: read the lines only after the swap is won.
        let chain = slot.chain();
        if !chain.is_empty() {
            return call.call(self).finish_lines(head, end, answer);
        }
        let reservation = slot.read_record(state);
        let (line, now) = (reservation.line, call.now());
        let entry = end_of_line(end, &reservation, line, state, now);
        let record = call.record_of_hold(self, entry, answer);
        let recorded = self.queue(entry, record);
        self.give_line(end, line, chain.keeps());
        self.slots.finish(head, end.final_phase(), chain);
        self.slots.retire(number, chain, end == EndKind::Sell, now);
        HoldEnd { recorded, in_part: None }
    }

    /// Expires the overdue hold `head`, and returns what happened to its units. `None` if another
    /// thread changed the hold first.
    #[cold]
    #[inline(never)]
    fn expire_found(&self, id: ReservationId, head: HeldSlot<'_>, now: Timestamp) -> Option<Ended> {
        // Read the lines before the swap: after it, the slots may be reused.
        let found = self.snapshot_of(id).ok().filter(|found| found.head.state == head.state)?;
        let units = found.units(Phase::Expired);
        let expires_at = head.state.expires_at();
        let ended =
            Ended { end: EndKind::Expire, sold: units.sold > 0, expires_at, units: Some(units) };
        self.expire(head, now).then_some(ended)
    }

    /// Expires the hold `head`, unless another thread changes it first. `true` if this call expired
    /// it.
    #[inline(never)]
    pub(in crate::engine) fn expire(&self, head: HeldSlot<'_>, now: Timestamp) -> bool {
        let won = head.swap_to(Phase::Ending).is_ok();
        if won {
            // If the record cannot be queued, the units come back all the same: the engine is
            // ending, and the hold is over either way.
            let _ = Call::of_engine(self, now).finish_hold(head, EndKind::Expire, Answer::Done);
        }
        won
    }
}

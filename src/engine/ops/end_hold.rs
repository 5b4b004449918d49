//! The ends of a hold: confirm, release and expire; and its extension.
//!
//! One compare-and-swap of the head's state word decides each of them (Law 3). The thread that
//! swaps `Pending` to `Ending` has the hold to itself. It queues the record, then moves the units
//! (Law 2), then stores the final state. Every other thread gets a typed answer.

use std::time::Duration;

use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record::{PlainEntry, Subject};
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{ConfirmError, ExtendError, Gone, ReleaseError, Uncertain};
use crate::base::quantity::Quantity;
use crate::engine::answer::{Answer, Release};
use crate::engine::call::{Call, RequestShape};
use crate::engine::durability::OperationKind;
use crate::engine::request::Request;
use crate::engine::view::reservation::UnitsEnded;
use crate::engine::{Engine, InventoryManager};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::reservation::slots::{HeldSlot, Lookup};
use crate::reservation::state::Phase;
use crate::stock::cell::CellId;
use crate::stock::mcas::{CellDelta, Cells};
use crate::stock::word::Delta;

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
        self.call().confirm(id)
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

impl Request<'_> {
    /// Same as [`InventoryManager::confirm`], with this request's options.
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        self.call().confirm(id)
    }

    /// Same as [`InventoryManager::release`], with this request's options.
    pub fn release(&self, id: ReservationId) -> Result<Release, ReleaseError> {
        self.call().release(id)
    }

    /// Same as [`InventoryManager::extend`], with this request's options.
    pub fn extend(&self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        self.call().extend(id, ttl)
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum EndKind {
    Sell,
    Release,
    Expire,
}

impl EndKind {
    /// The end whose phase the chain has noted.
    pub(in crate::engine) fn of(end: Phase) -> Self {
        match end {
            Phase::Released => Self::Release,
            Phase::Expired => Self::Expire,
            _ => Self::Sell,
        }
    }

    fn final_phase(self) -> Phase {
        match self {
            Self::Sell => Phase::Confirmed,
            Self::Release => Phase::Released,
            Self::Expire => Phase::Expired,
        }
    }

    fn entry_type(self) -> AdjustmentType {
        match self {
            Self::Sell => AdjustmentType::Sold,
            Self::Release | Self::Expire => AdjustmentType::Returned,
        }
    }
}

/// What an attempt to end a hold found or did.
#[derive(Debug)]
pub(in crate::engine) enum EndOutcome {
    /// This call ended it. Inside: whether its record was queued.
    Done(Result<(), Uncertain>),
    /// The hold was over, or this call found it overdue and expired it.
    Ended(Ended),
    /// Another thread is ending it now.
    InProgress,
    Forgotten,
    Unknown,
}

/// How a hold that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Ended {
    /// How the last held units ended.
    pub(in crate::engine) end: EndKind,
    /// Whether a partial step, or the end itself, sold any unit.
    pub(in crate::engine) sold: bool,
    /// The expiry time that the hold had at its end.
    pub(in crate::engine) expires_at: Timestamp,
    /// Units sold and returned, if this call ended the hold. `None`: read the lines when they are
    /// needed.
    units: Option<UnitsEnded>,
}

impl Ended {
    /// Reads the end from a slot found in a final phase; `None` if it has changed since.
    pub(in crate::engine) fn read(HeldSlot { slot, state, .. }: HeldSlot<'_>) -> Option<Self> {
        let end = EndKind::of(slot.end(state)?);
        let sold = matches!(state.phase(), Phase::Confirmed | Phase::Shipping);
        Some(Self { end, sold, expires_at: state.expires_at(), units: None })
    }
}

impl Call<'_> {
    fn confirm(self, id: ReservationId) -> Result<(), ConfirmError> {
        let shape = || RequestShape::new("confirm").reservation(id);
        self.keyed(OperationKind::Sell, shape, |call| call.confirm_once(id))
    }

    // A function of its own, so that its arguments arrive in registers, not through the closure.
    #[inline(never)]
    fn confirm_once(self, id: ReservationId) -> Result<(), ConfirmError> {
        self.engine.admit()?;
        match self.end_hold(id, EndKind::Sell, Answer::Done) {
            EndOutcome::Done(recorded) => Ok(recorded?),
            EndOutcome::Ended(ended) => Err(self.engine.gone(id, ended).into()),
            EndOutcome::InProgress => Err(ConfirmError::Changing),
            EndOutcome::Forgotten => Err(Gone::Forgotten.into()),
            EndOutcome::Unknown => Err(Gone::Unknown.into()),
        }
    }

    fn release(self, id: ReservationId) -> Result<Release, ReleaseError> {
        let shape = || RequestShape::new("release").reservation(id);
        self.keyed(OperationKind::Release, shape, |call| {
            call.engine.admit()?;
            let outcome = match call.end_hold(id, EndKind::Release, Release::Released.into()) {
                EndOutcome::Done(recorded) => {
                    recorded?;
                    return Ok(Release::Released);
                }
                EndOutcome::Ended(ended) => match ended.end {
                    EndKind::Sell => match call.engine.gone(id, ended) {
                        Gone::Sold { units } => return Err(ReleaseError::Sold { units }),
                        _ => Release::Forgotten,
                    },
                    EndKind::Expire => Release::Expired,
                    EndKind::Release => Release::AlreadyReleased,
                },
                EndOutcome::InProgress => return Err(ReleaseError::Changing),
                EndOutcome::Forgotten => Release::Forgotten,
                EndOutcome::Unknown => Release::Unknown,
            };
            call.record_key_use(outcome)?;
            Ok(outcome)
        })
    }

    fn extend(self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        let shape = || RequestShape::new("extend").reservation(id).span(ttl);
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
                    Lookup::Forgotten => return Err(Gone::Forgotten.into()),
                    Lookup::Unknown => return Err(Gone::Unknown.into()),
                };
                let HeldSlot { slot, state, .. } = head;
                match state.phase() {
                    Phase::Pending if state.is_overdue(now) => {
                        // If another thread was first, look again at what it did.
                        match engine.expire_found(id, head, now) {
                            Some(ended) => return Err(engine.gone(id, ended).into()),
                            None => continue,
                        }
                    }
                    Phase::Pending => {}
                    Phase::Ending => return Err(ExtendError::Changing),
                    _ => match Ended::read(head) {
                        Some(ended) => return Err(engine.gone(id, ended).into()),
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
    #[inline(always)]
    pub(in crate::engine) fn end_hold(
        self,
        id: ReservationId,
        end: EndKind,
        answer: Answer,
    ) -> EndOutcome {
        let call = self.timed();
        loop {
            let head = match self.engine.slots.find(id) {
                Lookup::Found(head) => head,
                Lookup::Forgotten => return EndOutcome::Forgotten,
                Lookup::Unknown => return EndOutcome::Unknown,
            };
            match head.state.phase() {
                Phase::Pending => {}
                Phase::Ending => return EndOutcome::InProgress,
                _ => match Ended::read(head) {
                    Some(ended) => return EndOutcome::Ended(ended),
                    None => continue,
                },
            }
            if head.state.is_overdue(call.now()) {
                if let Some(ended) = self.engine.expire_found(id, head, call.now()) {
                    return EndOutcome::Ended(ended);
                }
            } else if head.swap_to(Phase::Ending).is_ok() {
                return EndOutcome::Done(call.finish_hold(head, end, answer));
            }
            // Another thread changed the hold between the read and the swap: look again.
        }
    }

    /// Finishes what the swap to `Ending` began: log, move the units, store the state, retire the
    /// slots.
    #[inline(always)]
    pub(in crate::engine) fn finish_hold(
        self,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> Result<(), Uncertain> {
        let HeldSlot { number, slot, state } = head;
        // Law 3: read the lines only after the swap is won.
        let chain = slot.chain();
        if !chain.is_empty() {
            return self.finish_lines(head, end, answer);
        }
        let ReservationRecord { id, owner, line, .. } = slot.read_record(state);
        let mut entry = PlainEntry::new(end.entry_type(), self.now(), line.level, line.held)
            .reservation(id)
            .expires_at(state.expires_at())
            .owner(owner);
        if end == EndKind::Expire {
            entry = entry.expired();
        }
        let record = self
            .needs_record_buffer()
            .then(|| self.engine.recorder.record_from(entry).of_call(self, answer));
        let recorded = self.engine.queue(entry, record);
        self.engine.give_line(end, line, chain.keeps());
        slot.finish(state.in_phase(end.final_phase()));
        self.engine.slots.retire(number, chain, end == EndKind::Sell, self.now());
        recorded
    }

    /// The same for a hold with a chain: several lines, or one line after a partial step.
    #[inline(never)]
    fn finish_lines(
        self,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> Result<(), Uncertain> {
        let HeldSlot { number, slot, state } = head;
        let slots = &self.engine.slots;
        let record = slot.read_record(state);
        let (mut lines, mut sold_before, mut unsettled) = (vec![], false, end == EndKind::Sell);
        slots.lines_of(head, &record, |line| {
            sold_before |= line.sold > 0;
            unsettled |= line.is_unsettled();
            if line.held > 0 {
                lines.push(line);
            }
        });
        let mut phase = end.final_phase();
        if sold_before && end != EndKind::Sell {
            // A reservation that sold anything ends as confirmed. The chain notes how the rest
            // ended.
            slot.switch_chain(record.chain.ending_as(phase));
            phase = Phase::Confirmed;
        }
        let mut queued = self
            .engine
            .recorder
            .movement_of(end.entry_type())
            .at(self.now())
            .reservation(record.id, state.expires_at())
            .owner(record.owner)
            .of_call(self, answer);
        if end == EndKind::Expire {
            queued = queued.expired();
        }
        let recorded = self.engine.end_lines(queued, end, &lines, record.chain.keeps());
        slot.finish(state.in_phase(phase));
        slots.retire(number, record.chain, unsettled, self.now());
        recorded
    }
}

impl Engine {
    /// How a hold that is over ended, for callers. If one of its later slots has been reused, its
    /// lines are gone: what the head still says of a sale stays true, the rest is `Forgotten`.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn gone(&self, id: ReservationId, ended: Ended) -> Gone {
        match ended.units {
            Some(units) => units.gone(ended.end.final_phase(), ended.expires_at),
            None => match self.snapshot_of(id) {
                Ok(found) => found.gone(),
                Err(_) if ended.end == EndKind::Sell => Gone::Sold { units: 0 },
                Err(_) => Gone::Forgotten,
            },
        }
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

    /// Queues the record of what the lines hold, then sells or returns it.
    fn end_lines(
        &self,
        record: RecordBuilder<'_>,
        end: EndKind,
        lines: &[SlotLine],
        kept: bool,
    ) -> Result<(), Uncertain> {
        let record = lines.iter().fold(record, |record, line| record.line(line.level, line.held));
        if end == EndKind::Sell {
            let recorded = record.queue();
            lines.iter().for_each(|line| self.give_line(end, *line, kept));
            return recorded;
        }
        // A hold's lines are sorted by level, each level once, as its basket was.
        let gift = |line: &SlotLine| {
            let qty = Quantity::new(line.held).ok()?;
            Some(CellDelta { cell: CellId::level(line.level), delta: Delta::give_back(qty) })
        };
        self.queue_and_give(record, &lines.iter().filter_map(gift).collect::<Vec<_>>())
    }

    /// Queues the record, then gives all units at one instant (Law 4). The gifts must be sorted by
    /// cell, and must be such that they always fit.
    pub(in crate::engine) fn queue_and_give(
        &self,
        record: RecordBuilder<'_>,
        gifts: &[CellDelta],
    ) -> Result<(), Uncertain> {
        let commit = if gifts.len() > 1 { self.commit(gifts).ok() } else { None };
        // Law 2: queue before the credit shows.
        let recorded = record.queue();
        match commit {
            Some(commit) => {
                let given = commit.run();
                debug_assert!(given.is_ok(), "a gift always fits");
            }
            // One gift needs no commit. With more, no descriptor is free, or they are too many for
            // one: the units must come back, so they come one cell at a time.
            None => {
                for gift in gifts {
                    let given = self.cell(gift.cell).apply(gift.cell, gift.delta, self);
                    debug_assert!(given.is_ok(), "a gift always fits");
                }
            }
        }
        recorded
    }

    /// Sells the held units of a line, to a `kept` reservation or another, or gives them back.
    #[inline]
    fn give_line(&self, end: EndKind, line: SlotLine, kept: bool) {
        // The line's level is open and its quantity valid: the reserve has checked both.
        let (Some(level), Ok(qty)) = (self.catalog.level(line.level), Quantity::new(line.held))
        else {
            debug_assert!(false, "a live line is legal: {line:?}");
            return;
        };
        match end {
            EndKind::Sell => level.sold_to(kept).add(qty),
            EndKind::Release | EndKind::Expire => level.give_back(qty, self),
        }
    }
}

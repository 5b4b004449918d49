//! The ends of a hold, and its prolongation: confirm, release, extend, expire.
//!
//! All of them turn on one compare-and-swap of the head's state word (Law 3). Whoever swaps
//! `Pending` for `Ending` has the hold to itself: it queues the entry, gives what is to be given
//! (Law 2), and then stores the final state. Everybody else gets a typed answer.

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
    /// Sells what a pending reservation holds. Its units stay reserved until they are shipped.
    ///
    /// # Errors
    /// [`Gone::Expired`] if its time was up: the call has ended it then, unless that was
    /// done before. See [`ConfirmError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::Gone;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.confirm(hold)?;
    /// assert_eq!(manager.confirm(hold), Err(Gone::Sold { units: 2 }.into()));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        self.call().confirm(id)
    }

    /// Gives back what a pending reservation holds. A repeat, an expired and an unknown id are
    /// no-ops, and the outcome says which.
    ///
    /// # Errors
    /// [`ReleaseError::Confirmed`] if it was sold; see [`ReleaseError`] for the rest.
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

    /// Prolongs a pending hold until `ttl` from now, and says when it will expire. A hold is never
    /// cut short: an earlier end leaves it as it is.
    ///
    /// # Errors
    /// [`ExtendError::OverCap`] if the hold would live longer in all than the engine allows; see
    /// [`ExtendError`] for the rest.
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
    /// As [`InventoryManager::confirm`], with this request's options.
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        self.call().confirm(id)
    }

    /// As [`InventoryManager::release`], with this request's options.
    pub fn release(&self, id: ReservationId) -> Result<Release, ReleaseError> {
        self.call().release(id)
    }

    /// As [`InventoryManager::extend`], with this request's options.
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
    /// How a reservation ended whose last units went so, as its chain tells.
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

/// What came of an attempt to end a hold.
#[derive(Debug)]
pub(in crate::engine) enum EndOutcome {
    /// It is ended; whether that is recorded.
    Done(Result<(), Uncertain>),
    /// The hold is over, or was found overdue and is over now.
    Ended(Ended),
    /// Another thread is ending it at this moment.
    InProgress,
    Forgotten,
    Unknown,
}

/// How a hold that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Ended {
    /// How its last units went.
    pub(in crate::engine) end: EndKind,
    /// Whether an earlier step, or the end itself, sold any unit.
    pub(in crate::engine) sold: bool,
    /// The last moment that it might have lived.
    pub(in crate::engine) expires_at: Timestamp,
    /// What became of its units, where this call has ended it. Else its lines are read when somebody
    /// asks.
    units: Option<UnitsEnded>,
}

impl Ended {
    /// What the slot says, which was found in a final phase; `None` if it has changed.
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

    // A function of its own gets its arguments in registers, not through the closure that calls it.
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
            let latest = id.created_at().saturating_add(engine.ttl_limits.longest_total());
            loop {
                let head = match engine.slots.find(id) {
                    Lookup::Found(head) => head,
                    Lookup::Forgotten => return Err(Gone::Forgotten.into()),
                    Lookup::Unknown => return Err(Gone::Unknown.into()),
                };
                let HeldSlot { slot, state, .. } = head;
                match state.phase() {
                    Phase::Pending if state.is_overdue(now) => {
                        // Where another thread was first, its outcome is looked at.
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
                // A hold is never cut short: an extension that would is answered with what stands.
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
                // Law 3: the whole word, so that no expiry kills a hold that was just extended.
                if slot.swap(state, state.expiring_at(expires_at)).is_ok() {
                    record.queue()?;
                    return Ok(expires_at);
                }
            }
        })
    }

    /// Ends a pending hold, or says what stands in the way. An overdue one is expired instead.
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
            // Another thread stepped on the hold between the look and the swap: look again.
        }
    }

    /// The winner's part: log, then give, then let the state and the slots go.
    #[inline(always)]
    pub(in crate::engine) fn finish_hold(
        self,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> Result<(), Uncertain> {
        let HeldSlot { number, slot, state } = head;
        // Law 3: the lines are read after the swap was won, never before.
        let chain = slot.chain();
        if !chain.is_empty() {
            return self.finish_lines(head, end, answer);
        }
        let ReservationRecord { id, owner, line, .. } = slot.read_record(state);
        let mut step = PlainEntry::new(end.entry_type(), self.now(), line.level, line.held)
            .reservation(id)
            .expires_at(state.expires_at())
            .owner(owner);
        if end == EndKind::Expire {
            step = step.expired();
        }
        let record = self
            .needs_record_buffer()
            .then(|| self.engine.recorder.record_from(step).of_call(self, answer));
        let recorded = self.engine.queue(step, record);
        self.engine.give_line(end, line);
        slot.finish(state.in_phase(end.final_phase()));
        self.engine.slots.retire(number, chain, end == EndKind::Sell, self.now());
        recorded
    }

    /// The same for a hold with several slots: of several lines, or of one that has seen a step.
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
        let (mut lines, mut sold_before) = (Vec::new(), false);
        let mut unsettled = end == EndKind::Sell;
        slots.lines_of(head, &record, |line| {
            sold_before |= line.sold > 0;
            unsettled |= line.is_unsettled();
            if line.held > 0 {
                lines.push(line);
            }
        });
        let mut phase = end.final_phase();
        if sold_before && end != EndKind::Sell {
            // A reservation that sold anything is confirmed at the end; how it ended is noted.
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
        let recorded = self.engine.end_lines(queued, end, &lines);
        slot.finish(state.in_phase(phase));
        slots.retire(number, record.chain, unsettled, self.now());
        recorded
    }
}

impl Engine {
    /// How a hold that is over ended, for its callers. Where one of its later slots has been reused,
    /// its record is no longer complete.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn gone(&self, id: ReservationId, ended: Ended) -> Gone {
        match ended.units {
            Some(units) => units.gone(ended.end.final_phase(), ended.expires_at),
            None => self.snapshot_of(id).map_or(Gone::Forgotten, |found| found.gone()),
        }
    }

    /// Expires the overdue hold `head`, and says what became of its units; `None` if somebody stepped
    /// on it first.
    #[cold]
    #[inline(never)]
    fn expire_found(&self, id: ReservationId, head: HeldSlot<'_>, now: Timestamp) -> Option<Ended> {
        // Read before the swap of the state that they belong to: afterwards, the slot may be reused.
        let found = self.snapshot_of(id).ok().filter(|found| found.head.state == head.state)?;
        let units = found.units(Phase::Expired);
        let expires_at = head.state.expires_at();
        let ended =
            Ended { end: EndKind::Expire, sold: units.sold > 0, expires_at, units: Some(units) };
        self.expire(head, now).then_some(ended)
    }

    /// Expires the hold `head`, if nobody steps on it first.
    #[inline(never)]
    pub(in crate::engine) fn expire(&self, head: HeldSlot<'_>, now: Timestamp) -> bool {
        let won = head.swap_to(Phase::Ending).is_ok();
        if won {
            // An entry that can't be recorded any more is no reason to keep the units: the engine
            // is ending, and the hold is over either way.
            let _ = Call::of_engine(self, now).finish_hold(head, EndKind::Expire, Answer::Done);
        }
        won
    }

    /// Logs and gives what the lines hold.
    fn end_lines(
        &self,
        record: RecordBuilder<'_>,
        end: EndKind,
        lines: &[SlotLine],
    ) -> Result<(), Uncertain> {
        let record = lines.iter().fold(record, |record, line| record.line(line.level, line.held));
        if end == EndKind::Sell {
            let recorded = record.queue();
            lines.iter().for_each(|line| self.give_line(end, *line));
            return recorded;
        }
        // A hold's lines are sorted by level, each level once, as its basket was.
        let gift = |line: &SlotLine| {
            let qty = Quantity::new(line.held).ok()?;
            Some(CellDelta { cell: CellId::level(line.level), delta: Delta::give_back(qty) })
        };
        self.queue_and_give(record, &lines.iter().filter_map(gift).collect::<Vec<_>>())
    }

    /// Queues the record and then gives all of it at one instant (Law 4). The gifts, sorted by
    /// cell, are such that always fit.
    pub(in crate::engine) fn queue_and_give(
        &self,
        record: RecordBuilder<'_>,
        gifts: &[CellDelta],
    ) -> Result<(), Uncertain> {
        let commit = if gifts.len() > 1 { self.commit(gifts).ok() } else { None };
        // Law 2: queued before the credit shows.
        #[cfg(not(planted = "credit_before_entry"))]
        let recorded = record.queue();
        match commit {
            Some(commit) => {
                let given = commit.run();
                debug_assert!(given.is_ok(), "a gift always fits");
            }
            // One gift needs no commit. Or 131,000 of them are under way: the units must come back,
            // if not at one instant.
            None => {
                for gift in gifts {
                    let given = self.cell(gift.cell).apply(gift.cell, gift.delta, self);
                    debug_assert!(given.is_ok(), "a gift always fits");
                }
            }
        }
        #[cfg(planted = "credit_before_entry")]
        let recorded = record.queue();
        recorded
    }

    /// Sells a line's held units, or makes them available again.
    #[inline]
    fn give_line(&self, end: EndKind, line: SlotLine) {
        // A hold's line names an open level and a legal quantity; both were checked at its reserve.
        let (Some(level), Ok(qty)) = (self.catalog.level(line.level), Quantity::new(line.held))
        else {
            debug_assert!(false, "a live line is legal: {line:?}");
            return;
        };
        match end {
            EndKind::Sell => level.sell(qty),
            EndKind::Release | EndKind::Expire => level.give_back(qty, self),
        }
    }
}

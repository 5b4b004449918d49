//! The ends of a hold, and its prolongation: confirm, release, extend, expire.
//!
//! All of them turn on one compare-and-swap of the head's state word (Law 3). Whoever swaps
//! `Pending` for `Ending` has the hold to itself: it queues the entry, gives what is to be given
//! (Law 2), and then stores the final state. Everybody else gets a typed answer.

use std::time::Duration;

use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record::{Step, Subject};
use crate::clock::Timestamp;
use crate::error::{ConfirmError, ExtendError, Gone, ReleaseError, Uncertain};
use crate::manager::answer::{Answer, KeyUse, Release};
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::Engine;
use crate::manager::found::Units;
use crate::manager::keyed::RequestShape;
use crate::manager::recorder::Draft;
use crate::manager::request::Request;
use crate::quantity::Quantity;
use crate::reservation::chain::SlotNumber;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::{Slot, Tenant};
use crate::reservation::slots::Lookup;
use crate::reservation::state::{Phase, State};
use crate::stock::cell::CellId;
use crate::stock::commit::{Cells, Line as CommitLine};
use crate::stock::word::Delta;

impl Request<'_> {
    /// As [`InventoryManager::confirm`](crate::InventoryManager::confirm), with this request's details.
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        self.engine.confirm(&self.details, id)
    }

    /// As [`InventoryManager::release`](crate::InventoryManager::release), with this request's details.
    pub fn release(&self, id: ReservationId) -> Result<Release, ReleaseError> {
        self.engine.release(&self.details, id)
    }

    /// As [`InventoryManager::extend`](crate::InventoryManager::extend), with this request's details.
    pub fn extend(&self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        self.engine.extend(&self.details, id, ttl)
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Sell,
    Release,
    Expire,
}

impl End {
    /// How a reservation ended whose last units went so, as its chain tells.
    pub(super) fn of(end: Phase) -> Self {
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

/// What an attempt to step on a hold met.
#[derive(Debug)]
pub(super) enum Met {
    /// The step was made.
    Done(Result<(), Uncertain>),
    /// The hold is over, or was found overdue and is over now.
    Over(Over),
    /// Another thread is ending it at this moment.
    InProgress,
    Forgotten,
    Unknown,
}

/// How a hold that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// How its last units went.
    pub(super) end: End,
    /// Whether an earlier step, or the end itself, sold any unit.
    pub(super) sold: bool,
    /// The last moment that it might have lived.
    pub(super) expires_at: Timestamp,
    /// What became of its units, where this call has ended it; else its lines are read when somebody
    /// asks.
    units: Option<Units>,
}

impl Over {
    /// What the slot says, which was found in the final phase of `state`; `None` if it has changed.
    pub(super) fn read(slot: &Slot, state: State) -> Option<Self> {
        let end = End::of(slot.end(state)?);
        let sold = matches!(state.phase(), Phase::Confirmed | Phase::Settling);
        Some(Self { end, sold, expires_at: state.expires_at(), units: None })
    }
}

impl Engine {
    pub(super) fn confirm(&self, details: &Details, id: ReservationId) -> Result<(), ConfirmError> {
        let shape = || RequestShape::new("confirm").reservation(id);
        self.keyed(OperationKind::Sell, details, shape, |key| self.confirm_once(details, id, key))
    }

    // A function of its own gets its arguments in registers, not through the closure that calls it.
    #[inline(never)]
    fn confirm_once(
        &self,
        details: &Details,
        id: ReservationId,
        key: Option<KeyUse<'_>>,
    ) -> Result<(), ConfirmError> {
        self.admit()?;
        match self.end_hold(id, End::Sell, details, key.map(|key| (key, Answer::Done))) {
            Met::Done(recorded) => Ok(recorded?),
            Met::Over(over) => Err(self.gone(id, over).into()),
            Met::InProgress => Err(ConfirmError::Changing),
            Met::Forgotten => Err(Gone::Forgotten.into()),
            Met::Unknown => Err(Gone::Unknown.into()),
        }
    }

    pub(super) fn release(
        &self,
        details: &Details,
        id: ReservationId,
    ) -> Result<Release, ReleaseError> {
        let shape = || RequestShape::new("release").reservation(id);
        self.keyed(OperationKind::Release, details, shape, |key| {
            self.admit()?;
            let answer = key.map(|key| (key, Release::Released.into()));
            let outcome = match self.end_hold(id, End::Release, details, answer) {
                Met::Done(recorded) => {
                    recorded?;
                    return Ok(Release::Released);
                }
                Met::Over(over) => match over.end {
                    End::Sell => match self.gone(id, over) {
                        Gone::Sold { units } => return Err(ReleaseError::Sold { units }),
                        _ => Release::Forgotten,
                    },
                    End::Expire => Release::Expired,
                    End::Release => Release::AlreadyReleased,
                },
                Met::InProgress => return Err(ReleaseError::Changing),
                Met::Forgotten => Release::Forgotten,
                Met::Unknown => Release::Unknown,
            };
            self.record_key_use(key, outcome)?;
            Ok(outcome)
        })
    }

    fn extend(
        &self,
        details: &Details,
        id: ReservationId,
        ttl: Duration,
    ) -> Result<Timestamp, ExtendError> {
        let shape = || RequestShape::new("extend").reservation(id).span(ttl);
        self.keyed(OperationKind::Extend, details, shape, |key| {
            self.settings.check_extension(ttl)?;
            self.admit()?;
            let now = self.now();
            let asked = now.saturating_add(ttl);
            let latest = id.created_at().saturating_add(self.settings.longest_total());
            loop {
                let (slot, state) = match self.slots.find(id) {
                    Lookup::Found(slot, state) => (slot, state),
                    Lookup::Forgotten => return Err(Gone::Forgotten.into()),
                    Lookup::Unknown => return Err(Gone::Unknown.into()),
                };
                match state.phase() {
                    Phase::Pending if state.is_overdue(now) => {
                        // Where another thread was first, its outcome is looked at.
                        match self.expire_found(id, slot, state, now) {
                            Some(over) => return Err(self.gone(id, over).into()),
                            None => continue,
                        }
                    }
                    Phase::Pending => {}
                    Phase::Ending => return Err(ExtendError::Changing),
                    _ => match Over::read(slot, state) {
                        Some(over) => return Err(self.gone(id, over).into()),
                        None => continue,
                    },
                }
                // A hold is never cut short: an extension that would is answered with what stands.
                let expires_at = asked.max(state.expires_at());
                if expires_at > latest && expires_at > state.expires_at() {
                    return Err(ExtendError::OverCap { asked, latest });
                }
                let draft = self
                    .recorder
                    .event(EventType::Extended)
                    .about(Subject::None)
                    .at(now)
                    .reservation(id, expires_at)
                    .details(details)
                    .key(key, expires_at);
                // Law 3: the whole word, so that no expiry kills a hold that was just extended.
                if slot.swap(state, state.expiring_at(expires_at)).is_ok() {
                    draft.queue()?;
                    return Ok(expires_at);
                }
            }
        })
    }

    /// Ends a pending hold, or says what stands in the way. An overdue one is expired instead.
    #[inline(always)]
    pub(super) fn end_hold(
        &self,
        id: ReservationId,
        end: End,
        details: &Details,
        answer: Option<(KeyUse<'_>, Answer)>,
    ) -> Met {
        let now = self.now();
        loop {
            let (slot, state) = match self.slots.find(id) {
                Lookup::Found(slot, state) => (slot, state),
                Lookup::Forgotten => return Met::Forgotten,
                Lookup::Unknown => return Met::Unknown,
            };
            match state.phase() {
                Phase::Pending => {}
                Phase::Ending => return Met::InProgress,
                _ => match Over::read(slot, state) {
                    Some(over) => return Met::Over(over),
                    None => continue,
                },
            }
            if state.is_overdue(now) {
                if let Some(over) = self.expire_found(id, slot, state, now) {
                    return Met::Over(over);
                }
            } else if slot.swap(state, state.in_phase(Phase::Ending)).is_ok() {
                return Met::Done(self.finish_hold(
                    id.slot(),
                    slot,
                    state,
                    end,
                    now,
                    details,
                    answer,
                ));
            }
            // Another thread stepped on the hold between the look and the swap: look again.
        }
    }

    /// How a hold that is over ended, for its callers. Where a later one of its slots has been used
    /// again, its record is no longer all there.
    #[cold]
    #[inline(never)]
    pub(super) fn gone(&self, id: ReservationId, over: Over) -> Gone {
        match over.units {
            Some(units) => units.gone(over.end.final_phase(), over.expires_at),
            None => self.find_whole(id).map_or(Gone::Forgotten, |found| found.gone()),
        }
    }

    /// Expires the overdue hold found in `state`, and says what became of its units; `None` if
    /// somebody stepped on it first.
    #[cold]
    #[inline(never)]
    fn expire_found(
        &self,
        id: ReservationId,
        slot: &Slot,
        state: State,
        now: Timestamp,
    ) -> Option<Over> {
        // Read before the swap of the state that they belong to: afterwards, the slot may be reused.
        let found = self.find_whole(id).ok().filter(|found| found.state == state)?;
        let units = found.units(Phase::Expired);
        let expires_at = state.expires_at();
        let over = Over { end: End::Expire, sold: units.sold > 0, expires_at, units: Some(units) };
        self.expire(id.slot(), slot, state, now).then_some(over)
    }

    /// Expires the hold found in `state`, if nobody steps on it first.
    #[inline(never)]
    pub(super) fn expire(
        &self,
        number: SlotNumber,
        slot: &Slot,
        state: State,
        now: Timestamp,
    ) -> bool {
        let won = slot.swap(state, state.in_phase(Phase::Ending)).is_ok();
        if won {
            // An entry that can't be recorded any more is no reason to keep the units: the engine
            // is ending, and the hold is over either way.
            let _ =
                self.finish_hold(number, slot, state, End::Expire, now, &Details::default(), None);
        }
        won
    }

    /// The winner's part: log, then give, then let the state and the slots go.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "the winner's whole knowledge")]
    pub(super) fn finish_hold(
        &self,
        number: SlotNumber,
        slot: &Slot,
        state: State,
        end: End,
        now: Timestamp,
        details: &Details,
        answer: Option<(KeyUse<'_>, Answer)>,
    ) -> Result<(), Uncertain> {
        // Law 3: the lines are read after the swap was won, never before.
        let chain = slot.chain();
        if !chain.is_empty() {
            return self.finish_lines(number, slot, state, end, now, details, answer);
        }
        let Tenant { id, owner, line, .. } = slot.read_tenant(state);
        let mut step = Step::new(end.entry_type(), now, line.level, line.held)
            .reservation(id)
            .expires_at(state.expires_at())
            .owner(owner);
        if end == End::Expire {
            step = step.expired();
        }
        let long = (details.lengthen() || answer.is_some())
            .then(|| self.recorder.draft_from(step).details(details).answer(answer));
        let recorded = self.recorder.queue(step, long);
        self.give_line(end, line);
        slot.finish(state.in_phase(end.final_phase()));
        self.slots.retire(number, chain, end == End::Sell, now);
        recorded
    }

    /// The same for a hold with several slots: of several lines, or of one that has seen a step.
    #[allow(clippy::too_many_arguments, reason = "the winner's whole knowledge")]
    #[inline(never)]
    fn finish_lines(
        &self,
        number: SlotNumber,
        slot: &Slot,
        state: State,
        end: End,
        now: Timestamp,
        details: &Details,
        answer: Option<(KeyUse<'_>, Answer)>,
    ) -> Result<(), Uncertain> {
        let tenant = slot.read_tenant(state);
        let (mut lines, mut sold_before, mut unsettled) = (Vec::new(), false, end == End::Sell);
        self.slots.lines_of(number, state, &tenant, |line| {
            sold_before |= line.sold > 0;
            unsettled |= line.is_unsettled();
            if line.held > 0 {
                lines.push(line);
            }
        });
        let mut phase = end.final_phase();
        if sold_before && end != End::Sell {
            // A reservation that sold anything is confirmed at the end; how it ended is noted.
            slot.switch_chain(tenant.chain.ending_as(phase));
            phase = Phase::Confirmed;
        }
        let mut draft = self
            .recorder
            .movement_of(end.entry_type())
            .at(now)
            .reservation(tenant.id, state.expires_at())
            .owner(tenant.owner)
            .details(details)
            .answer(answer);
        if end == End::Expire {
            draft = draft.expired();
        }
        let recorded = self.end_lines(draft, end, &lines);
        slot.finish(state.in_phase(phase));
        self.slots.retire(number, tenant.chain, unsettled, now);
        recorded
    }

    /// Logs and gives what the lines hold.
    fn end_lines(&self, mut draft: Draft<'_>, end: End, lines: &[Line]) -> Result<(), Uncertain> {
        for line in lines {
            draft = draft.line(line.level, line.held);
        }
        if end == End::Sell {
            let recorded = draft.queue();
            lines.iter().for_each(|line| self.give_line(end, *line));
            return recorded;
        }
        // A hold's lines are sorted by level, each level once, as its basket was.
        let gift = |line: &Line| {
            let qty = Quantity::new(line.held).ok()?;
            Some(CommitLine { cell: CellId::level(line.level), delta: Delta::give_back(qty) })
        };
        self.queue_and_give(draft, &lines.iter().filter_map(gift).collect::<Vec<_>>())
    }

    /// Queues the record and then gives all of it at one instant (Law 4). The gifts, sorted by cell,
    /// are such that always fit.
    pub(super) fn queue_and_give(
        &self,
        draft: Draft<'_>,
        gifts: &[CommitLine],
    ) -> Result<(), Uncertain> {
        let commit = if gifts.len() > 1 { self.commit(gifts).ok() } else { None };
        // Law 2: queued before the credit shows.
        #[cfg(not(planted = "credit_before_entry"))]
        let recorded = draft.queue();
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
        let recorded = draft.queue();
        recorded
    }

    /// Sells a line's held units, or makes them available again.
    #[inline]
    fn give_line(&self, end: End, line: Line) {
        // A hold's line names an open level and a legal quantity; both were checked at its reserve.
        let (Some(level), Ok(qty)) = (self.catalog.level(line.level), Quantity::new(line.held))
        else {
            debug_assert!(false, "a live line is legal: {line:?}");
            return;
        };
        match end {
            End::Sell => level.sell(qty),
            End::Release | End::Expire => level.give_back(qty, self),
        }
    }
}

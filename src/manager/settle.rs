//! The ends of a hold, and its prolongation: confirm, release, extend, expire.
//!
//! All of them turn on one compare-and-swap of the head's state word (Law 3). Whoever swaps
//! `Pending` for `Ending` has the hold to itself: it queues the entry, gives what is to be given
//! (Law 2), and then stores the final state. Everybody else gets a typed answer.

use std::time::Duration;

use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record::Subject;
use crate::clock::Timestamp;
use crate::error::{ConfirmError, ExtendError, ReleaseError, Unavailable};
use crate::manager::answer::{Answer, KeyUse, Release};
use crate::manager::details::Details;
use crate::manager::engine::Engine;
use crate::manager::keyed::RequestShape;
use crate::manager::recorder::Draft;
use crate::manager::request::Request;
use crate::quantity::Quantity;
use crate::reservation::id::ReservationId;
use crate::reservation::slot::{Line, NO_SLOT, Slot, SlotNumber};
use crate::reservation::slots::Lookup;
use crate::reservation::state::{Phase, State};
use crate::stock::cell::CellId;
use crate::stock::commit::Line as CommitLine;
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
    Done(Result<(), Unavailable>),
    /// The hold is over, or was found overdue and is over now.
    Over(Phase, Timestamp),
    /// Another thread is ending it at this moment.
    InProgress,
    Forgotten,
    Unknown,
}

impl Engine {
    fn confirm(&self, details: &Details, id: ReservationId) -> Result<(), ConfirmError> {
        let shape = || RequestShape::new("confirm").reservation(id);
        self.keyed(details, shape, |key| {
            self.admit()?;
            match self.end_hold(id, End::Sell, details, key, Answer::Done) {
                Met::Done(recorded) => Ok(recorded.map(|()| Answer::Done)?),
                Met::Over(Phase::Expired, expired_at) => Err(ConfirmError::Expired { expired_at }),
                Met::Over(Phase::Released, _) => Err(ConfirmError::Released),
                Met::Over(..) => Err(ConfirmError::AlreadyConfirmed),
                Met::InProgress => Err(ConfirmError::InProgress),
                Met::Forgotten => Err(ConfirmError::Forgotten),
                Met::Unknown => Err(ConfirmError::Unknown),
            }
        })
        .map(drop)
    }

    fn release(&self, details: &Details, id: ReservationId) -> Result<Release, ReleaseError> {
        let shape = || RequestShape::new("release").reservation(id);
        self.keyed(details, shape, |key: Option<KeyUse<'_>>| {
            self.admit()?;
            let done = Answer::Release(Release::Released);
            let outcome = match self.end_hold(id, End::Release, details, key, done) {
                Met::Done(recorded) => {
                    recorded?;
                    return Ok(done);
                }
                Met::Over(Phase::Confirmed, _) => return Err(ReleaseError::Confirmed),
                Met::Over(Phase::Expired, _) => Release::Expired,
                Met::Over(..) => Release::AlreadyReleased,
                Met::InProgress => return Err(ReleaseError::InProgress),
                Met::Forgotten => Release::Forgotten,
                Met::Unknown => Release::Unknown,
            };
            self.record_key_use(key, Answer::Release(outcome))?;
            Ok(Answer::Release(outcome))
        })
        .map(Answer::release)
    }

    fn extend(
        &self,
        details: &Details,
        id: ReservationId,
        ttl: Duration,
    ) -> Result<Timestamp, ExtendError> {
        let shape = || RequestShape::new("extend").reservation(id).span(ttl);
        self.keyed(details, shape, |key: Option<KeyUse<'_>>| {
            self.settings.check_ttl(ttl)?;
            self.admit()?;
            let now = self.now();
            let asked = now.saturating_add(ttl);
            let latest = id.created_at().saturating_add(self.settings.longest_total());
            loop {
                let (slot, state) = match self.slots.find(id) {
                    Lookup::Found(slot, state) => (slot, state),
                    Lookup::Forgotten => return Err(ExtendError::Forgotten),
                    Lookup::Unknown => return Err(ExtendError::Unknown),
                };
                match state.phase() {
                    Phase::Pending if state.is_overdue(now) => {
                        self.expire(id.slot(), slot, state, now);
                        return Err(ExtendError::Expired { expired_at: state.expires_at() });
                    }
                    Phase::Pending => {}
                    Phase::Expired => {
                        return Err(ExtendError::Expired { expired_at: state.expires_at() });
                    }
                    Phase::Released => return Err(ExtendError::Released),
                    Phase::Confirmed => return Err(ExtendError::AlreadyConfirmed),
                    _ => return Err(ExtendError::InProgress),
                }
                // A hold is never cut short: an extension that would is answered with what stands.
                let expires_at = asked.max(state.expires_at());
                if expires_at > latest && expires_at > state.expires_at() {
                    return Err(ExtendError::OverCap { asked, latest });
                }
                let answer = Answer::ExpiresAt(expires_at);
                let draft = self
                    .recorder
                    .event(EventType::Extended)
                    .about(Subject::None)
                    .at(now)
                    .reservation(id, expires_at)
                    .details(details)
                    .key(key, answer);
                // Law 3: the whole word, so that no expiry kills a hold that was just extended.
                if slot.swap(state, state.expiring_at(expires_at)).is_ok() {
                    draft.queue()?;
                    return Ok(answer);
                }
            }
        })
        .map(Answer::expires_at)
    }

    /// Ends a pending hold, or says what stands in the way. An overdue one is expired instead.
    pub(super) fn end_hold(
        &self,
        id: ReservationId,
        end: End,
        details: &Details,
        key: Option<KeyUse<'_>>,
        answer: Answer,
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
                phase => return Met::Over(phase, state.expires_at()),
            }
            if state.is_overdue(now) {
                if self.expire(id.slot(), slot, state, now) {
                    return Met::Over(Phase::Expired, state.expires_at());
                }
            } else if slot.swap(state, state.in_phase(Phase::Ending)).is_ok() {
                return Met::Done(self.finish_hold(
                    id.slot(),
                    slot,
                    state,
                    end,
                    now,
                    details,
                    Some((key, answer)),
                ));
            }
            // Another thread stepped on the hold between the look and the swap: look again.
        }
    }

    /// Expires the hold found in `state`, if nobody steps on it first.
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

    /// The winner's part: log, then give, then let the state and the slot go.
    #[allow(clippy::too_many_arguments, reason = "the winner's whole knowledge")]
    fn finish_hold(
        &self,
        number: SlotNumber,
        slot: &Slot,
        state: State,
        end: End,
        now: Timestamp,
        details: &Details,
        key: Option<(Option<KeyUse<'_>>, Answer)>,
    ) -> Result<(), Unavailable> {
        // Law 3: the lines are read after the swap was won, never before.
        let tenant = slot.read_tenant();
        let mut draft = self
            .recorder
            .movement_of(end.entry_type())
            .at(now)
            .reservation(tenant.id, state.expires_at())
            .owner(tenant.owner)
            .details(details);
        if end == End::Expire {
            draft = draft.expired();
        }
        if let Some((key, answer)) = key {
            draft = draft.key(key, answer);
        }
        if tenant.next == NO_SLOT {
            draft = draft.line(tenant.line.level, tenant.line.held);
            let recorded = draft.queue();
            self.give_line(end, tenant.line);
            slot.finish(state.in_phase(end.final_phase()));
            self.slots.retire(number, NO_SLOT, now);
            return recorded;
        }
        let mut lines = Vec::new();
        self.slots.lines_of(number, state, &tenant, |line| lines.push(line));
        for line in &lines {
            draft = draft.line(line.level, line.held);
        }
        let recorded = match end {
            End::Sell => {
                let recorded = draft.queue();
                lines.iter().for_each(|line| self.give_line(end, *line));
                recorded
            }
            End::Release | End::Expire => self.give_back_at_once(draft, &lines),
        };
        slot.finish(state.in_phase(end.final_phase()));
        self.slots.retire(number, tenant.next, now);
        recorded
    }

    /// Gives the units of several lines back at one instant (Law 4).
    fn give_back_at_once(&self, draft: Draft<'_>, lines: &[Line]) -> Result<(), Unavailable> {
        let gift = |line: &Line| {
            let qty = Quantity::new(line.held).ok()?;
            Some(CommitLine { cell: CellId::level(line.level), delta: Delta::give_back(qty) })
        };
        // A hold's lines are sorted by level, each level once, as its basket was.
        let gifts: Vec<CommitLine> = lines.iter().filter_map(gift).collect();
        let commit = self.commit(&gifts);
        // Law 2: queued before the credit shows.
        let recorded = draft.queue();
        match commit {
            Ok(commit) => {
                let given = commit.run();
                debug_assert!(given.is_ok(), "a gift always fits");
            }
            // 131,000 commits are under way. The units must come back, if not at one instant.
            Err(_) => lines.iter().for_each(|line| self.give_line(End::Release, *line)),
        }
        recorded
    }

    /// Sells a line's held units, or makes them available again.
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

//! The model's reservations: made, ended, extended and retaken.

use std::time::Duration;

use stockade::{
    AdjustmentType, BasketError, ConfirmError, EventType, ExtendError, Gone, InvalidInput,
    InvalidQuantity, InvalidTtl, NoReservation, Release, ReleaseError, ReservationStatus,
    ReserveError, RetakeError, Timestamp,
};

use super::Model;
use super::call::{Answer, Call, Denied, Entry, Given, Hold, HoldRef, Place, Short};
use super::keys::{Claim, Name};

/// What a step on a hold finds.
enum Found {
    Pending(usize),
    Over(usize, ReservationStatus),
    Forgotten(usize),
    Unknown,
}

impl Model {
    fn check_ttl(&self, ttl: Duration, longest: Duration) -> Result<(), InvalidTtl> {
        if ttl.is_zero() || ttl > longest { Err(InvalidTtl { ttl, longest }) } else { Ok(()) }
    }

    /// The longest time to live that a new hold may have.
    fn longest(&self) -> Duration {
        self.bounds.longest_ttl.min(self.bounds.longest_total)
    }

    pub(super) fn reserve(
        &mut self,
        call: &Call,
        place: Place,
        units: u32,
        ttl: Duration,
    ) -> Answer {
        self.check_ttl(ttl, self.longest()).map_err(ReserveError::from)?;
        let level = self.level_to_sell(call, place, units)?;
        let expires = self.now + ttl.as_millis() as u64;
        let hold = self.make_hold(call, vec![(level, units)], expires, None);
        Ok(Given::Hold(hold))
    }

    pub(super) fn sell(&mut self, call: &Call, place: Place, units: u32) -> Answer {
        let level = self.level_to_sell(call, place, units)?;
        let hold = self.make_hold(call, vec![(level, units)], self.now, None);
        self.sell_lines(hold, Some(call));
        Ok(Given::Hold(hold))
    }

    /// The level from which `units` can be taken, after checking the units and the slot.
    fn level_to_sell(&mut self, call: &Call, place: Place, units: u32) -> Result<usize, Denied> {
        let found = self.find_known(place).map_err(ReserveError::Place)?;
        let suspended = found.and_then(|level| self.is_suspended(level));
        if let Some(warehouse) = suspended {
            self.suspended += 1;
            return Err(ReserveError::Suspended { warehouse }.into());
        }
        if let Some(level) = found {
            self.end_overdue(|model| model.fits(call, &[(level, units)]));
        }
        let Some(level) = found.filter(|level| self.fits(call, &[(*level, units)])) else {
            self.insufficient += 1;
            let short = ReserveError::Insufficient {
                needed: units,
                available: found.map_or(0, |level| self.levels[level].available),
                safety_stock: found.map_or(0, |level| self.kept(call, level)),
                overdue_left: false,
            };
            return Err(short.into());
        };
        if !self.has_slots(1) {
            return Err(ReserveError::Full { slots: self.bounds.slots as u32 }.into());
        }
        Ok(level)
    }

    /// Whether `wanted` slots are free, after expiring all overdue holds if needed.
    fn has_slots(&mut self, wanted: usize) -> bool {
        if self.slots_used() + wanted > self.bounds.slots {
            self.end_overdue(|_| false);
        }
        let enough = self.slots_used() + wanted <= self.bounds.slots;
        self.full += u64::from(!enough);
        enough
    }

    pub(super) fn basket(&mut self, call: &Call, lines: &[(Place, u32)], ttl: Duration) -> Answer {
        self.check_ttl(ttl, self.longest()).map_err(BasketError::from)?;
        let lines = self.basket_lines(call, lines)?;
        self.take_lines(call, &lines, lines.len())?;
        let expires = self.now + ttl.as_millis() as u64;
        Ok(Given::Hold(self.make_hold(call, lines, expires, None)))
    }

    /// A basket's lines, with equal levels merged, ordered by level.
    fn basket_lines(
        &mut self,
        call: &Call,
        lines: &[(Place, u32)],
    ) -> Result<Vec<(usize, u32)>, Denied> {
        let mut merged: Vec<(usize, u32)> = Vec::new();
        let mut not_there: Vec<Short> = Vec::new();
        for (place, units) in lines {
            match (self.find(*place).map_err(BasketError::Place)?, place) {
                (Some(level), _) => match merged.iter_mut().find(|line| line.0 == level) {
                    Some(line) => line.1 = line.1.saturating_add(*units),
                    None => merged.push((level, *units)),
                },
                (None, Place::Names(warehouse, product)) => {
                    let unheard = !self.is_known(product);
                    match not_there
                        .iter_mut()
                        .find(|line| line.0 == *warehouse && line.1 == *product)
                    {
                        Some(line) => line.2 = line.2.saturating_add(*units),
                        None => not_there.push((
                            (*warehouse).into(),
                            (*product).into(),
                            *units,
                            0,
                            0,
                            unheard,
                        )),
                    }
                }
                (None, Place::Level(_)) => unreachable!("a level by number is known"),
            }
        }
        merged.sort_unstable();
        if merged.len() > self.bounds.basket_lines {
            let (lines, most) = (merged.len(), self.bounds.basket_lines);
            return Err(BasketError::Input(InvalidInput::TooManyLines { lines, most }).into());
        }
        for &(level, units) in &merged {
            if units > 2_147_483_647 {
                return Err(
                    BasketError::Input(InvalidInput::Quantity(InvalidQuantity { units })).into()
                );
            }
            if let Some(warehouse) = self.is_suspended(level) {
                self.suspended += 1;
                return Err(BasketError::Suspended { warehouse }.into());
            }
        }
        if !not_there.is_empty() {
            self.end_overdue(|model| model.fits(call, &merged));
            not_there.extend(self.short_lines(call, &merged));
            // A product that was never heard of is no shortage.
            self.insufficient += u64::from(not_there.iter().any(|line| !line.5));
            return Err(Denied::Short { lines: not_there, overdue_left: false });
        }
        Ok(merged)
    }

    fn fits(&self, call: &Call, lines: &[(usize, u32)]) -> bool {
        lines.iter().all(|&(level, units)| {
            let left = self.levels[level].available.checked_sub(units);
            left.is_some_and(|left| left >= self.kept(call, level))
        })
    }

    /// How many units of a level the call has to leave there.
    fn kept(&self, call: &Call, level: usize) -> u32 {
        if call.passes { 0 } else { self.levels[level].safety_stock }
    }

    fn short_lines(&self, call: &Call, lines: &[(usize, u32)]) -> Vec<Short> {
        let short = lines.iter().filter(|line| !self.fits(call, &[**line]));
        let name = |&(level, needed): &(usize, u32)| {
            let (warehouse, product) = self.names_of(level);
            let available = self.levels[level].available;
            let kept = self.kept(call, level);
            (warehouse.to_owned(), product.to_owned(), needed, available, kept, false)
        };
        short.map(name).collect()
    }

    /// Checks that all lines can be taken, and that there are enough slots.
    fn take_lines(
        &mut self,
        call: &Call,
        lines: &[(usize, u32)],
        slots: usize,
    ) -> Result<(), Denied> {
        self.end_overdue(|model| model.fits(call, lines));
        if !self.fits(call, lines) {
            self.insufficient += 1;
            let lines = self.short_lines(call, lines);
            return Err(Denied::Short { lines, overdue_left: false });
        }
        if !self.has_slots(slots) {
            return Err(BasketError::Full { slots: self.bounds.slots as u32 }.into());
        }
        Ok(())
    }

    /// Makes a pending hold. Its units must be available.
    fn make_hold(
        &mut self,
        call: &Call,
        lines: Vec<(usize, u32)>,
        expires: u64,
        retaken_from: Option<usize>,
    ) -> usize {
        for &(level, units) in &lines {
            self.take_units(level, units, true);
        }
        self.holds.push(Hold {
            lines,
            owner: call.owner,
            status: ReservationStatus::Pending,
            created: self.now,
            expires,
            retaken_from,
            retaken_by: None,
            slot: u32::MAX,
            forgotten: false,
        });
        let hold = self.holds.len() - 1;
        self.log_lines(hold, AdjustmentType::Reserved, Some(call));
        hold
    }

    /// Logs an entry for each line of a hold.
    fn log_lines(&mut self, number: usize, kind: AdjustmentType, call: Option<&Call>) {
        let hold = self.holds[number].clone();
        for (level, units) in hold.lines {
            let entry = Entry {
                hold: Some(number),
                owner: hold.owner,
                expires: Some(hold.expires),
                retaken_from: hold.retaken_from,
                ..Entry::movement(kind, self.now, units)
            };
            let entry = self.at_level(entry, level, call);
            self.log.push(entry);
        }
    }

    fn sell_lines(&mut self, hold: usize, call: Option<&Call>) {
        for (level, units) in self.holds[hold].lines.clone() {
            self.levels[level].sold += units;
        }
        self.log_lines(hold, AdjustmentType::Sold, call);
        self.holds[hold].status = ReservationStatus::Confirmed;
    }

    fn give_back(&mut self, hold: usize, status: ReservationStatus, call: Option<&Call>) {
        for (level, units) in self.holds[hold].lines.clone() {
            self.levels[level].reserved -= units;
            self.levels[level].available += units;
        }
        let logged = self.log.len();
        self.log_lines(hold, AdjustmentType::Returned, call);
        if status == ReservationStatus::Expired {
            for entry in &mut self.log[logged..] {
                entry.notes.push(("reason".into(), "expired".into()));
            }
        }
        self.holds[hold].status = status;
    }

    fn expire(&mut self, hold: usize) {
        self.give_back(hold, ReservationStatus::Expired, None);
    }

    fn is_overdue(&self, hold: usize) -> bool {
        self.is_pending(hold) && self.now > self.holds[hold].expires
    }

    /// Expires overdue holds in the order of their slots, until `enough`.
    pub(super) fn end_overdue(&mut self, enough: impl Fn(&Self) -> bool) {
        let mut overdue: Vec<usize> =
            (0..self.holds.len()).filter(|hold| self.is_overdue(*hold)).collect();
        overdue.sort_unstable_by_key(|hold| self.holds[*hold].slot);
        for hold in overdue {
            if enough(self) {
                return;
            }
            self.expire(hold);
        }
    }

    /// What a step on a hold finds. An overdue hold expires here.
    fn look(&mut self, hold: HoldRef) -> Found {
        let Some(hold) = hold else { return Found::Unknown };
        if self.holds[hold].forgotten {
            return Found::Forgotten(hold);
        }
        if self.is_overdue(hold) {
            self.expire(hold);
        }
        match self.holds[hold].status {
            ReservationStatus::Pending => Found::Pending(hold),
            over => Found::Over(hold, over),
        }
    }

    fn units(&self, hold: usize) -> u64 {
        self.holds[hold].lines.iter().map(|line| u64::from(line.1)).sum()
    }

    /// How a hold ended. All of it ended at once, because the model has no partial steps.
    fn gone(&self, hold: usize, status: ReservationStatus) -> Gone {
        let units = self.units(hold);
        let at = Timestamp::from_millis(self.holds[hold].expires);
        match status {
            ReservationStatus::Confirmed => Gone::Sold { units },
            ReservationStatus::Expired => Gone::Expired { at, returned: units },
            _ => Gone::Released { returned: units },
        }
    }

    pub(super) fn confirm(&mut self, call: &Call, hold: HoldRef) -> Answer {
        match self.look(hold) {
            Found::Pending(hold) => {
                self.sell_lines(hold, Some(call));
                Ok(Given::Done)
            }
            Found::Over(hold, status) => Err(ConfirmError::Gone(self.gone(hold, status)).into()),
            Found::Forgotten(_) => Err(ConfirmError::Gone(Gone::Forgotten).into()),
            Found::Unknown => Err(ConfirmError::Gone(Gone::Unknown).into()),
        }
    }

    pub(super) fn release(&mut self, call: &Call, hold: HoldRef) -> Answer {
        use ReservationStatus::{Confirmed, Expired, Released};
        let outcome = match self.look(hold) {
            Found::Pending(hold) => {
                self.give_back(hold, Released, Some(call));
                return Ok(Given::Released(Release::Released));
            }
            Found::Over(hold, Confirmed) => {
                return Err(ReleaseError::Sold { units: self.units(hold) }.into());
            }
            Found::Over(_, Expired) => Release::Expired,
            Found::Over(..) => Release::AlreadyReleased,
            Found::Forgotten(_) => Release::Forgotten,
            Found::Unknown => Release::Unknown,
        };
        self.log_key_use(call);
        Ok(Given::Released(outcome))
    }

    /// A key whose answer moved no units has its own event.
    fn log_key_use(&mut self, call: &Call) {
        if call.key.is_some() {
            self.log.push(Entry::event(EventType::KeyUsed, self.now));
        }
    }

    pub(super) fn extend(&mut self, call: &Call, hold: HoldRef, ttl: Duration) -> Answer {
        self.check_ttl(ttl, self.bounds.longest_ttl).map_err(ExtendError::from)?;
        let hold = match self.look(hold) {
            Found::Pending(hold) => hold,
            Found::Over(hold, status) => {
                return Err(ExtendError::Gone(self.gone(hold, status)).into());
            }
            Found::Forgotten(_) => return Err(ExtendError::Gone(Gone::Forgotten).into()),
            Found::Unknown => return Err(ExtendError::Gone(Gone::Unknown).into()),
        };
        let Hold { created, expires, .. } = self.holds[hold];
        let asked = self.now + ttl.as_millis() as u64;
        let latest = created + self.bounds.longest_total.as_millis() as u64;
        if asked > expires && asked > latest {
            let (asked, latest) = (Timestamp::from_millis(asked), Timestamp::from_millis(latest));
            return Err(ExtendError::OverCap { asked, latest }.into());
        }
        let until = asked.max(expires);
        self.holds[hold].expires = until;
        let entry = Entry::event(EventType::Extended, self.now);
        let entry = Entry { hold: Some(hold), expires: Some(until), ..entry };
        self.log.push(entry.notes_of(call));
        Ok(Given::Until(until))
    }

    pub(super) fn confirm_or_retake(
        &mut self,
        call: &Call,
        hold: HoldRef,
        lines: &[(Place, u32)],
    ) -> Answer {
        if let Some(number) = hold.filter(|hold| self.is_pending(*hold))
            && !self.are_lines_of(number, lines)
        {
            return Err(RetakeError::OtherLines.into());
        }
        let over = match self.look(hold) {
            Found::Pending(hold) => {
                self.sell_lines(hold, Some(call));
                return Ok(Given::ConfirmedInTime);
            }
            Found::Unknown => return Err(RetakeError::NoReservation(NoReservation::Unknown).into()),
            Found::Over(hold, _)
                if self.holds[hold].status != ReservationStatus::Confirmed
                    && !self.are_lines_of(hold, lines) =>
            {
                return Err(RetakeError::OtherLines.into());
            }
            Found::Over(hold, _) | Found::Forgotten(hold) => hold,
        };
        if self.holds[over].status == ReservationStatus::Confirmed {
            let units = self.units(over);
            self.log_key_use(call);
            return Ok(Given::SoldBefore(units));
        }
        let claim = self.keys.claim(Name::Retake(over), &None, self.now);
        if let Some(by) = self.holds[over].retaken_by {
            self.log_key_use(call);
            return Ok(Given::RetakenBefore(by));
        }
        assert!(matches!(claim, Claim::First), "nobody has retaken it");
        let lines = self.basket_lines(call, lines).map_err(retake)?;
        self.take_lines(call, &lines, lines.len() + 1).map_err(retake)?;
        // The owner goes along, unless the call names one.
        let owner = call.owner.or(self.holds[over].owner);
        let new = self.make_hold(&Call { owner, ..call.clone() }, lines, self.now, Some(over));
        self.sell_lines(new, Some(call));
        self.holds[over].retaken_by = Some(new);
        self.keys.publish(Name::Retake(over), None, Given::Retaken(new), self.now);
        Ok(Given::Retaken(new))
    }

    fn are_lines_of(&self, hold: usize, lines: &[(Place, u32)]) -> bool {
        let mut merged: Vec<(usize, u64)> = Vec::new();
        for (place, units) in lines {
            let Some(level) = self.level_at(*place) else { return false };
            match merged.iter_mut().find(|line| line.0 == level) {
                Some(line) => line.1 += u64::from(*units),
                None => merged.push((level, u64::from(*units))),
            }
        }
        merged.sort_unstable();
        let held = self.holds[hold].lines.iter().map(|line| (line.0, u64::from(line.1)));
        merged.into_iter().eq(held)
    }
}

/// A retake is refused for the same reasons as a basket, with its own errors.
fn retake(denied: Denied) -> Denied {
    match denied {
        Denied::Other(stockade::Error::Basket(error)) => RetakeError::from(error).into(),
        other => other,
    }
}

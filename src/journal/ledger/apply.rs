//! Applies records to the ledger, one at a time, and checks each against the laws.

use crate::audit::draw::of_line;
use crate::audit::entry::{AdjustmentType as Move, EntryType, EventType};
use crate::audit::record::{EntryLine, PlainEntry, Subject};
use crate::base::clock::Timestamp;
use crate::base::quantity::MAX_UNITS;
use crate::journal::format::decode::{Decoded, DecodedRecord};
use crate::journal::ledger::allowances::DrawStep;
use crate::journal::ledger::clock::ClockStep;
use crate::journal::ledger::definitions::{capacity, threshold};
use crate::journal::ledger::holds::{Hold, HoldLine, Standing};
use crate::journal::ledger::limits::check_value;
use crate::journal::ledger::transfers::{LawResult, TransferMoves, fact, is_about_a_transfer};
use crate::journal::ledger::{Broken, Ledger, Setting};
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::LevelIndex;

/// What all lines of one record share.
#[derive(Clone, Copy)]
struct RecordContext {
    at: Timestamp,
    reservation: Option<ReservationId>,
    owner: Option<Owner>,
    expires_at: Option<Timestamp>,
    /// A line of this record has created the reservation.
    begun: bool,
    /// A line of this record has sold units.
    sold: bool,
    /// What the record has moved for a transfer so far; `None` if the record neither requests a
    /// transfer nor decides on one.
    transfer: Option<TransferMoves>,
}

impl Ledger {
    /// Applies the next record.
    ///
    /// # Errors
    /// The law that the record breaks, and the sequence number of the entry that breaks it. The
    /// ledger may then be half changed: drop it.
    #[inline]
    pub(crate) fn apply(&mut self, decoded: &Decoded<'_>) -> Result<(), Broken> {
        let first = self.next_sequence;
        self.next_sequence += decoded.entries();
        self.newest_at = self.newest_at.max(decoded.at());
        self.note_time(first, decoded);
        let broken = |sequence, what: &str| Broken { sequence, what: what.to_owned() };
        match decoded {
            Decoded::Plain(entry) => self.apply_plain(entry).map_err(|what| broken(first, what)),
            Decoded::Record(record) => self
                .apply_record(record)
                .map_err(|(line, what)| broken(first.saturating_add(line as u64), what)),
        }
    }

    /// Tells the journal's clock of a record, and whether an opening begins with it.
    #[inline]
    fn note_time(&mut self, first: u64, decoded: &Decoded<'_>) {
        let opens = match decoded {
            Decoded::Plain(_) => false,
            Decoded::Record(record) => {
                let opened = EntryType::Event(EventType::Opened);
                record.steps.lines.first().is_some_and(|line| line.entry_type == opened)
            }
        };
        match opens {
            true => self.clock.open(first, decoded.at()),
            false => self.clock.pass(first, decoded.at()),
        }
    }

    #[inline]
    /// Applies a plain entry: a record of one line without pairs or a key.
    fn apply_plain(&mut self, entry: &PlainEntry) -> LawResult {
        let mut context = RecordContext {
            at: entry.at(),
            reservation: entry.get_reservation(),
            owner: entry.get_owner(),
            expires_at: entry.get_expires_at(),
            begun: false,
            sold: false,
            transfer: None,
        };
        match EntryType::from_code(entry.code()) {
            Some(EntryType::Movement(movement)) => {
                self.apply_movement(movement, entry.level(), entry.quantity(), &mut context)?;
                let returned =
                    (movement == Move::Returned).then(|| (entry.level(), entry.quantity()));
                self.end_if_empty(&context, entry.is_expiry(), returned.into_iter());
                Ok(())
            }
            Some(EntryType::Event(EventType::Extended)) => self.apply_extension(&context),
            _ => Ok(()),
        }
    }

    /// Applies a record of several lines, or of one with pairs or a key. The error bears the index
    /// of the line that breaks a law.
    fn apply_record(&mut self, record: &DecodedRecord) -> Result<(), (usize, &'static str)> {
        let buffer = &record.steps;
        let header = &buffer.header;
        let mut context = RecordContext {
            at: header.at,
            reservation: header.reservation,
            owner: header.owner,
            expires_at: header.expires_at,
            begun: false,
            sold: false,
            transfer: is_about_a_transfer(record).then(TransferMoves::default),
        };
        if !buffer.draws.is_empty() {
            let known = header.reservation.and_then(|id| self.holds.at(id));
            let hold = known.filter(|hold| Some(hold.id) == header.reservation);
            self.limits.check_marks(buffer, hold)?;
        }
        let mut moved = false;
        for (at, line) in buffer.lines.iter().enumerate() {
            let law = match (line.entry_type, line.subject) {
                (EntryType::Movement(movement), Subject::Level(level)) => {
                    moved = true;
                    self.apply_movement(movement, level, line.quantity, &mut context)
                }
                (EntryType::Movement(_), _) => Err("units move nowhere"),
                (EntryType::Event(event), _) => self.apply_event(event, line, record, &context),
            };
            law.map_err(|what| (at, what))?;
            let marks = of_line(&buffer.draws, at);
            if !marks.is_empty() {
                self.take_draws(marks, line, header.reservation).map_err(|what| (at, what))?;
            }
        }
        if moved {
            self.end_if_empty(&context, buffer.expired, record.given_back());
        }
        self.limits.check_drawn(&buffer.draws)?;
        if let Some(EntryType::Event(event)) = buffer.lines.first().map(|line| line.entry_type) {
            self.apply_limit_event(event, record).map_err(|what| (0, what))?;
        }
        if let Some(id) = header.reservation.filter(|_| buffer.keep) {
            self.keep(id).map_err(|what| (0, what))?;
        }
        if let (Some(by), Some(of)) = (header.reservation, header.retaken_from) {
            if let Some(hold) = self.holds.get_mut(by) {
                hold.set_retaken_from(of);
            }
            self.remember_retake((of, by, header.at));
        }
        if let Some(key) = buffer.key {
            self.remember_key((key, header.at));
        }
        Ok(())
    }

    #[inline]
    /// Applies one movement to its level, its warehouse, and its reservation or transfer.
    fn apply_movement(
        &mut self,
        movement: Move,
        handle: LevelIndex,
        units: u32,
        context: &mut RecordContext,
    ) -> LawResult {
        if units == 0 || units > MAX_UNITS {
            return Err("a quantity that can't be");
        }
        let level = self.levels.get_mut(handle.index()).ok_or("a level that was never opened")?;
        let warehouse = self
            .warehouses
            .get_mut(level.warehouse.index())
            .ok_or("a warehouse that was never defined")?;
        match movement {
            Move::Received | Move::TransferredIn => {
                warehouse.take_in(units)?;
                level.receive(units)
            }
            Move::Damaged | Move::TransferredOut => {
                level.withdraw(units)?;
                warehouse.let_out(units)?;
                if let Some(moved) = &mut context.transfer {
                    moved.moved_out = Some((handle, units));
                }
                Ok(())
            }
            Move::Reserved => {
                level.hold(units)?;
                match &mut context.transfer {
                    Some(moved) => moved.held = Some((handle, units)),
                    None => return self.reserve(handle, units, context),
                }
                Ok(())
            }
            Move::Sold => {
                level.sell(units)?;
                context.sold = true;
                self.take_from_hold(handle, units, context, true)
            }
            Move::Returned => {
                level.give_back(units)?;
                match &mut context.transfer {
                    Some(moved) => moved.given_back = Some((handle, units)),
                    None => return self.take_from_hold(handle, units, context, false),
                }
                Ok(())
            }
            Move::SaleCancelled => {
                level.take_sold(units)?;
                level.give_back(units)?;
                self.count_settled(handle, units, context.reservation)?;
                if let Some(hold) = context.reservation.and_then(|id| self.holds.get_mut(id))
                    && hold.has_draws()
                {
                    self.limits.fall(hold, handle, units, DrawStep::SaleCancelled);
                }
                Ok(())
            }
            Move::Shipped => {
                level.take_sold(units)?;
                level.unreserve(units)?;
                warehouse.let_out(units)?;
                self.count_settled(handle, units, context.reservation)
            }
        }
    }

    #[inline]
    /// Creates the reservation with its first line, or adds a further line to it.
    fn reserve(&mut self, level: LevelIndex, units: u32, context: &mut RecordContext) -> LawResult {
        let id = context.reservation.ok_or("a reserve without a reservation")?;
        if context.begun {
            let hold = self.holds.get_mut(id).ok_or("a reservation that vanished")?;
            hold.add_line(level, units);
            return Ok(());
        }
        if let Some(former) = self.holds.at(id) {
            if former.id == id {
                return Err("a reservation is made a second time");
            }
            if former.is_live() {
                return Err("a slot is taken whose reservation has not ended");
            }
            if former.counts_for_a_time() {
                return Err("a slot is taken whose sale still counts under a limit");
            }
            if former.occupies() {
                return Err("a slot is taken whose reservation is kept until it is shipped");
            }
            if former.has_draws() {
                self.limits.keep_for_good(former);
            }
        }
        let expires_at = context.expires_at.ok_or("a reserve that never ends")?;
        self.holds.enter(Hold::new(id, context.owner, expires_at, level, units));
        context.begun = true;
        Ok(())
    }

    #[inline]
    /// Takes units off a live hold: `sold`, or else given back.
    fn take_from_hold(
        &mut self,
        level: LevelIndex,
        units: u32,
        context: &RecordContext,
        sold: bool,
    ) -> LawResult {
        let id = context.reservation.ok_or("the end of a hold without its reservation")?;
        let hold = self.holds.get_mut(id).ok_or("the end of a reservation that is not there")?;
        if !hold.is_live() {
            return Err("a reservation ends a second time");
        }
        let line = hold.line_of(level).ok_or("a reservation without a line of this level")?;
        line.held =
            line.held.checked_sub(units).ok_or("it takes more from a reservation than it holds")?;
        // No overflow: the units come off `held`, so no sum exceeds two times `MAX_UNITS`.
        let (sold, given_back) = if sold { (units, 0) } else { (0, units) };
        *line =
            HoldLine { sold: line.sold + sold, given_back: line.given_back + given_back, ..*line };
        if hold.keep
            && let Some(counts) = self.levels.get_mut(level.index())
        {
            counts.tracked = counts.tracked.saturating_add(sold);
        }
        if hold.has_draws() {
            let step = if sold > 0 { DrawStep::Sold } else { DrawStep::Returned };
            self.limits.fall(hold, level, units, step);
        }
        Ok(())
    }

    #[inline]
    /// Ends the hold if the record took its last units, and drops its draws that are used up.
    /// `returned`: what the record gave back.
    fn end_if_empty(
        &mut self,
        context: &RecordContext,
        expired: bool,
        returned: impl Iterator<Item = (LevelIndex, u32)>,
    ) {
        let Some(hold) = context.reservation.and_then(|id| self.holds.get_mut(id)) else { return };
        if hold.is_live() {
            let end = match () {
                () if context.sold => Standing::Confirmed,
                () if expired => Standing::Expired,
                () => Standing::Released,
            };
            hold.end_if_empty(context.at, end, returned);
        }
        if hold.has_drawn() {
            self.limits.settle(hold);
        }
    }

    /// Applies an extension. The journal may hold operations that commute in another order than
    /// they happened in. So the latest expiry wins, and a hold that has ended stays ended.
    fn apply_extension(&mut self, context: &RecordContext) -> LawResult {
        let id = context.reservation.ok_or("an extension without a reservation")?;
        let expires_at = context.expires_at.ok_or("an extension without an end")?;
        if let Some(hold) = self.holds.get_mut(id).filter(|hold| hold.is_live()) {
            hold.expires_at = hold.expires_at.max(expires_at);
        }
        Ok(())
    }

    /// Applies an event: a definition, a setting, an extension, or a step of a transfer. Other
    /// events change nothing.
    fn apply_event(
        &mut self,
        event: EventType,
        line: &EntryLine,
        record: &DecodedRecord,
        context: &RecordContext,
    ) -> LawResult {
        let fact = |wanted| fact(record, wanted);
        match (event, line.subject) {
            (EventType::Opened, _) => {
                let built = fact("longest_ttl_ms").and_then(|value| value.parse().ok());
                if built.is_some() && built != self.longest_ttl.built {
                    self.longest_ttl = Setting { built, changed: None };
                }
                match fact("tracked") {
                    Some(_) => self.begin_tracking(),
                    None => self.end_tracking(),
                }
                if let Some(text) = fact("subjects") {
                    let value =
                        check_value(text).ok_or("a check value of subjects that is none")?;
                    self.limits.open_with(value);
                }
                // What was under way when the last engine ended will never be recorded.
                self.warehouses.iter_mut().for_each(|warehouse| warehouse.under_way = 0);
                Ok(())
            }
            (EventType::ClockStepped, _) => {
                let from = fact("from").and_then(|from| from.parse().ok());
                let from =
                    from.map(Timestamp::from_millis).ok_or("a step of the clock from nowhere")?;
                self.step_back(ClockStep { from, to: context.at });
                Ok(())
            }
            (EventType::WarehouseDefined, Subject::Warehouse(id)) => {
                let name = fact("name").ok_or("a warehouse without a name")?;
                let capacity = fact("capacity").and_then(capacity);
                let capacity = capacity.ok_or("a warehouse without a capacity")?;
                self.define_warehouse(id, name, capacity, fact("threshold").and_then(threshold))
            }
            (EventType::ProductDefined, Subject::Product(id)) => {
                let name = fact("name").ok_or("a product without a name")?;
                self.define_product(id, name)
            }
            (EventType::LevelOpened, Subject::Level(handle)) => {
                let (warehouse, product) = record.place.ok_or("a level that lies nowhere")?;
                self.open_level(handle, warehouse, product)
            }
            (EventType::SettingChanged, subject) => match (fact("setting"), fact("value")) {
                (Some("capacity"), Some(value)) => {
                    self.change_capacity(subject, value, fact("inside"))
                }
                (Some(setting), Some(value)) => self.change_setting(subject, setting, value),
                _ => Err("a setting without a name or a value"),
            },
            (EventType::Extended, _) => self.apply_extension(context),
            (EventType::TransferRequested, Subject::Level(from)) => {
                let target = line.other.ok_or("a transfer to nowhere")?;
                if from.index() >= self.levels.len() || target.index() >= self.warehouses.len() {
                    return Err("a transfer between places that were never defined");
                }
                let moved = context.transfer.unwrap_or_default();
                self.transfers.request(record, (from, line.quantity), target, moved)
            }
            (EventType::TransferDecided, Subject::Level(_)) => {
                self.transfers.decide(record, context.transfer.unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    /// Applies a step back of the clock: whatever is pending keeps the time that it had left, and
    /// whatever is over was over as long ago as before.
    fn step_back(&mut self, step: ClockStep) {
        self.newest_at = step.to;
        self.clock.step_back(self.next_sequence - 1, step);
        self.holds.shift(step);
        self.keys.iter_mut().for_each(|(_, at)| *at = step.past(*at));
        self.retakes.iter_mut().for_each(|(.., at)| *at = step.past(*at));
        self.transfers.shift(step);
    }
}

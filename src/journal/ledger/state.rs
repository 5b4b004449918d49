//! Encodes a ledger as bytes and decodes it: the content of a checkpoint. `docs/journal-format.md`
//! draws the bytes.
//!
//! Equal ledgers give equal bytes. So a checkpoint can be compared with the ledger that a replay of
//! the journal makes.

use crate::audit::record::DECIDED_KEPT;
use crate::base::bytes::{Cursor, put_difference, put_varint};
use crate::base::quantity::MAX_UNITS;
use crate::journal::format::decode::{
    DecodeResult, NoRecord, OrNoRecord, SHORT, key, moment, reservation, warehouse,
};
use crate::journal::format::encode::{put_halves, put_key};
use crate::journal::ledger::clock::{ClockSpan, ClockStep, JournalClock};
use crate::journal::ledger::holds::{Hold, HoldLine, Standing};
use crate::journal::ledger::levels::{LevelState, WarehouseState};
use crate::journal::ledger::transfers::{Decision, DecisionOutcome, TransferState};
use crate::journal::ledger::{Ledger, Setting};
use crate::reservation::id::Owner;
use crate::stock::handle::{LevelIndex, ProductIndex};

/// The flags in a hold's first byte. Its two lowest bits hold the [`Standing`].
mod has {
    pub(super) const KEEP: u8 = 1 << 2;
    pub(super) const OWNER: u8 = 1 << 3;
    pub(super) const RETAKEN_FROM: u8 = 1 << 4;
}

/// Where the second number lies that shares a varint with another.
const UPPER: u32 = 32;
const LOWER_HALF: u64 = (1 << UPPER) - 1;

const STANDINGS: [Standing; 4] =
    [Standing::Live, Standing::Confirmed, Standing::Released, Standing::Expired];

impl Ledger {
    /// Encodes the whole ledger, but of keys and retakes only the newest `keys` of each.
    pub(crate) fn to_bytes(&self, keys: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let now = self.newest_at.as_millis();
        put_varint(&mut out, self.next_sequence);
        put_difference(&mut out, now, 0);
        put_option(&mut out, self.longest_ttl.built);
        put_option(&mut out, self.longest_ttl.changed);
        self.put_places(&mut out);
        self.put_holds(&mut out, now);
        self.put_keys(&mut out, now, keys);
        put_varint(&mut out, self.transfers.newest);
        put_varint(&mut out, self.transfers.all().count() as u64);
        self.transfers.all().for_each(|request| put_transfer(&mut out, request, now));
        let clock_at = out.len();
        put_clock(&mut out, &self.clock, now);
        out[clock_at] |= if self.tracks { TRACKS } else { 0 };
        if !self.limits.is_empty() {
            out[clock_at] |= LIMITS;
            self.put_limits(&mut out);
        }
        out
    }

    fn put_places(&self, out: &mut Vec<u8>) {
        put_varint(out, self.warehouses.len() as u64);
        for warehouse in &self.warehouses {
            put_text(out, &warehouse.name);
            // Both numbers were of 32 bits at first. What came later lies above them, and is 0 in
            // most warehouses. So most checkpoints have the same bytes as ever.
            let Setting { built, changed } = warehouse.capacity;
            put_varint(out, u64::from(built.unwrap_or(0)) | number_of(changed) << UPPER);
            put_varint(out, warehouse.on_hand | u64::from(warehouse.under_way) << UPPER);
            out.push(u8::from(warehouse.suspended));
            put_option(out, warehouse.threshold.built.map(number_of));
            put_option(out, warehouse.threshold.changed.map(number_of));
        }
        put_varint(out, self.products.len() as u64);
        self.products.iter().for_each(|name| put_text(out, name));
        put_varint(out, self.levels.len() as u64);
        for level in &self.levels {
            put_varint(out, u64::from(level.warehouse.0));
            let counts = [level.product.0, level.available, level.reserved];
            counts.into_iter().for_each(|count| put_varint(out, u64::from(count)));
            // The safety stock came later, and is 0 in most levels.
            put_varint(out, u64::from(level.sold) | u64::from(level.safety_stock) << UPPER);
            put_option(out, level.threshold.map(number_of));
        }
    }

    fn put_holds(&self, out: &mut Vec<u8>, now: u64) {
        let mut holds: Vec<&Hold> = self.holds.all().collect();
        holds.sort_unstable_by_key(|hold| hold.id.slot());
        put_varint(out, holds.len() as u64);
        for hold in holds {
            let (owner, retaken_from) = (hold.owner, hold.retaken_from());
            let flag = |is_there, bit| if is_there { bit } else { 0 };
            out.push(
                hold.standing as u8
                    | flag(hold.keep, has::KEEP)
                    | flag(owner.is_some(), has::OWNER)
                    | flag(retaken_from.is_some(), has::RETAKEN_FROM),
            );
            put_halves(out, hold.id.to_halves());
            out.extend(owner.into_iter().flat_map(|Owner(bytes)| bytes));
            retaken_from.into_iter().for_each(|id| put_halves(out, id.to_halves()));
            put_difference(out, hold.expires_at.as_millis(), now);
            put_difference(out, hold.ended_at.as_millis(), now);
            put_varint(out, hold.lines().count() as u64);
            // A hold that is over holds nothing: then the place tells what its end gave back, if
            // a step before had given something back. Else the end did all that.
            let tells = hold.was_left_in_part();
            for line in hold.lines() {
                let HoldLine { level, held, sold, given_back, settled, .. } = *line;
                let held = if tells { line.left() } else { held };
                let counts = [level.0, held, sold, given_back, settled];
                counts.into_iter().for_each(|count| put_varint(out, u64::from(count)));
            }
        }
    }

    fn put_keys(&self, out: &mut Vec<u8>, now: u64, keys: usize) {
        put_varint(out, self.keys.len().min(keys) as u64);
        for (key, at) in self.keys.iter().skip(self.keys.len().saturating_sub(keys)) {
            put_key(out, key);
            put_difference(out, at.as_millis(), now);
        }
        put_varint(out, self.retakes.len().min(keys) as u64);
        for (of, by, at) in self.retakes.iter().skip(self.retakes.len().saturating_sub(keys)) {
            put_halves(out, of.to_halves());
            put_halves(out, by.to_halves());
            put_difference(out, at.as_millis(), now);
        }
    }

    /// Decodes a ledger, which will remember the newest `keys_kept` keys. The result adds up:
    /// totals are checked. Bytes from any source give an error at worst, never a panic.
    pub(crate) fn from_bytes(bytes: &[u8], keys_kept: usize) -> DecodeResult<Self> {
        let mut cursor = Cursor::new(bytes);
        let from = &mut cursor;
        let mut ledger = Self::new(keys_kept);
        ledger.next_sequence = from.varint().or_no(SHORT)?;
        ledger.newest_at = moment(from, 0)?;
        ledger.longest_ttl = Setting { built: option(from)?, changed: option(from)? };
        ledger.read_places(from)?;
        let now = ledger.newest_at.as_millis();
        for _ in 0..from.varint().or_no(SHORT)? {
            let hold = ledger.read_hold(from, now)?;
            ledger.holds.enter(hold);
        }
        for _ in 0..from.varint().or_no(SHORT)? {
            ledger.keys.push_back((key(from)?, moment(from, now)?));
        }
        for _ in 0..from.varint().or_no(SHORT)? {
            let (of, by) = (reservation(from)?, reservation(from)?);
            ledger.retakes.push_back((of, by, moment(from, now)?));
        }
        let forgotten = ledger.keys.len().saturating_sub(keys_kept);
        ledger.keys.drain(..forgotten);
        let forgotten = ledger.retakes.len().saturating_sub(keys_kept);
        ledger.retakes.drain(..forgotten);
        ledger.transfers.newest = from.varint().or_no(SHORT)?;
        let mut decided = 0;
        for _ in 0..from.varint().or_no(SHORT)? {
            let request = ledger.read_transfer(from, now)?;
            decided += usize::from(request.decision.is_some());
            ledger.transfers.enter(request);
        }
        let kind = from.byte().or_no(SHORT)?;
        ledger.tracks = kind & TRACKS != 0;
        ledger.clock = clock(from, kind & !(TRACKS | LIMITS), ledger.next_sequence, now)?;
        if kind & LIMITS != 0 {
            ledger.read_limits(from)?;
        }
        ledger.count_tracked();
        if decided > DECIDED_KEPT || !cursor.is_empty() || ledger.next_sequence == 0 {
            return Err(NoRecord { what: "more than a ledger has" });
        }
        ledger.check_totals().map_err(|_| NoRecord { what: "a ledger that promises too much" })?;
        Ok(ledger)
    }

    fn read_places(&mut self, from: &mut Cursor<'_>) -> DecodeResult<()> {
        for _ in 0..from.varint().or_no(SHORT)? {
            let name = text(from)?;
            let capacity = capacity(from.varint().or_no(SHORT)?)?;
            let inside = from.varint().or_no(SHORT)?;
            let state = WarehouseState {
                name: name.into(),
                capacity,
                on_hand: inside & LOWER_HALF,
                // The upper half of 64 bits fits.
                under_way: (inside >> UPPER) as u32,
                suspended: from.byte().or_no(SHORT)? != 0,
                threshold: Setting { built: threshold(from)?, changed: threshold(from)? },
            };
            self.warehouses.push(state);
        }
        for _ in 0..from.varint().or_no(SHORT)? {
            self.products.push(text(from)?.into());
        }
        for _ in 0..from.varint().or_no(SHORT)? {
            let warehouse = warehouse(from.varint().or_no(SHORT)?)?;
            let product = ProductIndex(from.varint32().or_no(SHORT)?);
            if warehouse.index() >= self.warehouses.len() || product.index() >= self.products.len()
            {
                return Err(UNDEFINED_PLACE);
            }
            let (available, reserved) = (units(from)?, units(from)?);
            let (sold, safety_stock) = two_counts(from)?;
            let level = LevelState {
                available,
                reserved,
                sold,
                threshold: threshold(from)?,
                safety_stock,
                ..LevelState::new(warehouse, product)
            };
            self.levels.push(level);
        }
        Ok(())
    }

    fn read_hold(&self, from: &mut Cursor<'_>, now: u64) -> DecodeResult<Hold> {
        let flags = from.byte().or_no(SHORT)?;
        let id = reservation(from)?;
        let is_there = |bit: u8| flags & bit != 0;
        let owner = is_there(has::OWNER).then(|| from.array().map(Owner).or_no(SHORT));
        let owner = owner.transpose()?;
        let retaken_from = is_there(has::RETAKEN_FROM).then(|| reservation(from)).transpose()?;
        let (expires_at, ended_at) = (moment(from, now)?, moment(from, now)?);
        let more = from.varint().or_no(SHORT)?.checked_sub(1);
        let more = more.or_no("a hold without a line")?;
        let mut hold = Hold::from_checkpoint(id, owner, expires_at, self.read_line(from)?);
        for _ in 0..more {
            hold.push_line(self.read_line(from)?);
        }
        retaken_from.into_iter().for_each(|id| hold.set_retaken_from(id));
        hold.standing = STANDINGS[usize::from(flags % 4)];
        if !hold.is_live() {
            hold.read_steps();
        }
        (hold.keep, hold.ended_at) = (is_there(has::KEEP), ended_at);
        Ok(hold)
    }

    fn read_line(&self, from: &mut Cursor<'_>) -> DecodeResult<HoldLine> {
        Ok(HoldLine {
            level: self.read_level(from)?,
            held: units(from)?,
            sold: units(from)?,
            given_back: units(from)?,
            taken_out: 0,
            settled: units(from)?,
        })
    }

    fn read_level(&self, from: &mut Cursor<'_>) -> DecodeResult<LevelIndex> {
        let handle = LevelIndex(from.varint32().or_no(SHORT)?);
        if handle.index() < self.levels.len() { Ok(handle) } else { Err(UNDEFINED_PLACE) }
    }

    fn read_transfer(&self, from: &mut Cursor<'_>, now: u64) -> DecodeResult<TransferState> {
        let mut request = TransferState {
            number: from.varint().or_no(SHORT)?,
            from: self.read_level(from)?,
            target: warehouse(from.varint().or_no(SHORT)?)?,
            units: units(from)?,
            held: from.byte().or_no(SHORT)? != 0,
            at: moment(from, now)?,
            decision: None,
        };
        if request.target.index() >= self.warehouses.len() {
            return Err(UNDEFINED_PLACE);
        }
        let outcome = match from.byte().or_no(SHORT)? {
            0 => return Ok(request),
            1 => DecisionOutcome::Approved,
            2 => DecisionOutcome::Rejected,
            3 => DecisionOutcome::Short(from.varint32().or_no(SHORT)?),
            4 => DecisionOutcome::OverCapacity(from.varint32().or_no(SHORT)?),
            _ => return Err(NoRecord { what: "a decision of an unknown kind" }),
        };
        let (by, at) = (text(from)?, moment(from, now)?);
        let has_reason = from.byte().or_no(SHORT)? != 0;
        let reason = has_reason.then(|| text(from)).transpose()?;
        request.decision = Some(Decision { outcome, by, at, reason });
        Ok(request)
    }
}

const UNDEFINED_PLACE: NoRecord = NoRecord { what: "a place that was never defined" };

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn text(from: &mut Cursor<'_>) -> DecodeResult<String> {
    let bytes = from.counted().or_no(SHORT)?;
    String::from_utf8(bytes.to_vec()).ok().or_no("a name that is no text")
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    value.into_iter().for_each(|value| put_varint(out, value));
}

fn option(from: &mut Cursor<'_>) -> DecodeResult<Option<u64>> {
    let is_there = from.byte().or_no(SHORT)? != 0;
    is_there.then(|| from.varint().or_no(SHORT)).transpose()
}

/// Encodes a number that may be none: 0 for none, or else the units plus one.
fn number_of(threshold: Option<u32>) -> u64 {
    threshold.map_or(0, |units| u64::from(units) + 1)
}

fn threshold(from: &mut Cursor<'_>) -> DecodeResult<Option<Option<u32>>> {
    let number = |number: u64| match number.checked_sub(1) {
        None => Ok(None),
        Some(units) => u32::try_from(units).map(Some).ok().or_no("a threshold that can't be"),
    };
    option(from)?.map(number).transpose()
}

/// The builder's capacity in the lower half, and in the upper one what was set since.
fn capacity(number: u64) -> DecodeResult<Setting<u32>> {
    let built = number & LOWER_HALF;
    let changed = (number >> UPPER).checked_sub(1);
    let known = |units: u64| u32::try_from(units).ok().filter(|units| *units <= MAX_UNITS);
    let changed = match changed {
        None => None,
        Some(units) => Some(known(units).filter(|it| *it > 0).or_no("a capacity that can't be")?),
    };
    Ok(Setting { built: Some(known(built).or_no("a capacity that can't be")?), changed })
}

const OUT_OF_BOUNDS: &str = "a count that leaves its bounds";

pub(super) fn units(from: &mut Cursor<'_>) -> DecodeResult<u32> {
    from.varint32().filter(|units| *units <= MAX_UNITS).or_no(OUT_OF_BOUNDS)
}

/// Two counts that share a number; the upper one came later.
fn two_counts(from: &mut Cursor<'_>) -> DecodeResult<(u32, u32)> {
    let both = from.varint().or_no(SHORT)?;
    // Both halves of 64 bits fit.
    let (lower, upper) = ((both & LOWER_HALF) as u32, (both >> UPPER) as u32);
    (lower <= MAX_UNITS && upper <= MAX_UNITS).then_some((lower, upper)).or_no(OUT_OF_BOUNDS)
}

fn put_transfer(out: &mut Vec<u8>, request: &TransferState, now: u64) {
    put_varint(out, request.number);
    put_varint(out, u64::from(request.from.0));
    put_varint(out, u64::from(request.target.0));
    put_varint(out, u64::from(request.units));
    out.push(u8::from(request.held));
    put_difference(out, request.at.as_millis(), now);
    let Some(Decision { outcome, by, at, reason }) = &request.decision else {
        out.push(0);
        return;
    };
    match outcome {
        DecisionOutcome::Approved => out.push(1),
        DecisionOutcome::Rejected => out.push(2),
        DecisionOutcome::Short(units) => {
            out.push(3);
            put_varint(out, u64::from(*units));
        }
        DecisionOutcome::OverCapacity(units) => {
            out.push(4);
            put_varint(out, u64::from(*units));
        }
    }
    put_text(out, by);
    put_difference(out, at.as_millis(), now);
    out.push(u8::from(reason.is_some()));
    reason.iter().for_each(|reason| put_text(out, reason));
}

/// The byte of a state without a clock: of a checkpoint of version 1.
pub(crate) const NO_CLOCK: u8 = 0;
const CLOCK: u8 = 1;
const CLOCK_AND_STEP: u8 = 2;
/// Set in the clock's byte where the law of tracked units holds. Older libraries take such a byte
/// for an unknown clock, pass the checkpoint over, and replay.
const TRACKS: u8 = 1 << 2;
/// Set in the clock's byte where limits follow the clock. Older libraries pass the checkpoint over,
/// too, and then refuse the segments with limits as of a later version.
const LIMITS: u8 = 1 << 3;

fn put_clock(out: &mut Vec<u8>, clock: &JournalClock, now: u64) {
    out.push(if clock.step.is_some() { CLOCK_AND_STEP } else { CLOCK });
    put_varint(out, clock.since);
    put_varint(out, clock.ran);
    put_varint(out, clock.spans.len() as u64);
    for span in &clock.spans {
        put_varint(out, span.first_sequence);
        put_varint(out, span.begun);
        put_difference(out, span.first.as_millis(), now);
        put_difference(out, span.last.as_millis(), now);
    }
    if let Some((step, ran)) = clock.step {
        put_difference(out, step.from.as_millis(), now);
        put_difference(out, step.to.as_millis(), now);
        put_varint(out, ran);
    }
}

/// Reads the clock, of this kind, of a journal whose entry `next` comes next.
fn clock(from: &mut Cursor<'_>, kind: u8, next: u64, now: u64) -> DecodeResult<JournalClock> {
    if kind == NO_CLOCK {
        return Ok(JournalClock::beginning_at(next));
    }
    if kind > CLOCK_AND_STEP {
        return Err(NoRecord { what: "a clock of an unknown kind" });
    }
    let mut clock = JournalClock::beginning_at(from.varint().or_no(SHORT)?);
    clock.ran = from.varint().or_no(SHORT)?;
    for _ in 0..from.varint().or_no(SHORT)? {
        clock.spans.push_back(ClockSpan {
            first_sequence: from.varint().or_no(SHORT)?,
            begun: from.varint().or_no(SHORT)?,
            first: moment(from, now)?,
            last: moment(from, now)?,
        });
    }
    if kind == CLOCK_AND_STEP {
        let step = ClockStep { from: moment(from, now)?, to: moment(from, now)? };
        clock.step = Some((step, from.varint().or_no(SHORT)?));
    }
    Ok(clock)
}

//! The last part of a checkpoint: limits, where there are any. `docs/journal-format.md` draws the
//! bytes.
//!
//! Equal ledgers give equal bytes, and only such bytes are read: whatever is sorted when it is
//! written must be sorted when it is read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::bytes::{Cursor, put_varint};
use crate::base::clock::Timestamp;
use crate::base::quantity::MAX_UNITS;
use crate::journal::format::decode::{
    DecodeResult, NoRecord, OrNoRecord, SHORT, allowance, reservation,
};
use crate::journal::format::encode::{put_allowance, put_halves};
use crate::journal::ledger::Ledger;
use crate::journal::ledger::holds::{Hold, HoldDraw};
use crate::journal::ledger::limits::{AllowanceState, LimitsState, RuleState};
use crate::journal::ledger::state::{put_text, text, units};
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::allowance::rule::{AskedAt, LimitCounts, LimitUnit, RuleDefinition};
use crate::stock::handle::{LevelIndex, ProductIndex};

/// A rule's byte. Bits 4 and 5 say which draws it counts.
mod is {
    pub(super) const OF_RESERVATIONS: u8 = 1;
    pub(super) const ASKED_AT_SALE: u8 = 1 << 1;
    pub(super) const DROPPED: u8 = 1 << 2;
    pub(super) const OF_A_GROUP: u8 = 1 << 3;
    pub(super) const COUNTS: u32 = 4;
    /// Of one that was dropped.
    pub(super) const OF_ANOTHER_SECRET: u8 = 1 << 6;
    pub(super) const ALL: u8 = (1 << 7) - 1;
}

const COUNTS_HOLDS: u8 = 0;
const COUNTS_SALES: u8 = 1;
const COUNTS_SALES_KEPT: u8 = 2;
const COUNTS_SALES_WITHIN: u8 = 3;

const UNSORTED: NoRecord = NoRecord { what: "limits out of order" };
const NO_LIMIT: &str = "a limit that can't be";
const NO_ALLOWANCE: &str = "an allowance that can't be";

/// Allowances by their keys, in order. A draw in a checkpoint names the place of its allowance.
type SortedAllowances<'a> = Vec<(&'a AllowanceKey, &'a AllowanceState)>;

impl Ledger {
    /// Appends all that entries have told of limits.
    pub(super) fn put_limits(&self, out: &mut Vec<u8>) {
        let LimitsState { rules, groups, allowances, subjects } = &self.limits;
        out.push(u8::from(subjects.is_some()));
        out.extend(subjects.iter().flat_map(|it| it.as_bytes()));
        put_varint(out, rules.len() as u64);
        rules.values().for_each(|rule| put_rule(out, rule));
        put_varint(out, groups.len() as u64);
        for (name, products) in groups {
            put_text(out, name);
            put_products(out, products.iter());
        }
        let mut sorted: SortedAllowances<'_> = allowances.iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        put_varint(out, sorted.len() as u64);
        for (key, allowance) in &sorted {
            let AllowanceState { used, permanent, ceiling, passed } = **allowance;
            put_allowance(out, key);
            put_varint(out, u64::from(used));
            put_varint(out, u64::from(permanent));
            put_varint(out, u64::from(ceiling) << 1 | u64::from(passed));
        }
        let mut holds: Vec<&Hold> = self.holds.all().filter(|hold| hold.has_drawn()).collect();
        holds.sort_unstable_by_key(|hold| hold.id.slot());
        put_varint(out, holds.len() as u64);
        holds.iter().for_each(|hold| put_draws(out, hold, &sorted));
    }

    /// Reads all that entries have told of limits. Call it once the holds are read.
    pub(super) fn read_limits(&mut self, from: &mut Cursor<'_>) -> DecodeResult<()> {
        self.limits.subjects = match from.byte().or_no(SHORT)? {
            0 => None,
            1 => Some(SubjectHash(from.array().or_no(SHORT)?)),
            _ => return Err(NoRecord { what: "a check value of an unknown kind" }),
        };
        for _ in 0..from.varint().or_no(SHORT)? {
            let rule = self.read_rule(from)?;
            let number = rule.definition.number;
            if self.limits.rules.last_key_value().is_some_and(|(last, _)| *last >= number) {
                return Err(UNSORTED);
            }
            self.limits.rules.insert(number, rule);
        }
        for _ in 0..from.varint().or_no(SHORT)? {
            let name: Arc<str> = text(from)?.into();
            let products: BTreeSet<ProductIndex> = self.read_products(from)?.into_iter().collect();
            let groups = &mut self.limits.groups;
            if products.is_empty() || groups.last_key_value().is_some_and(|(last, _)| *last >= name)
            {
                return Err(UNSORTED);
            }
            groups.insert(name, products);
        }
        let mut keys: Vec<AllowanceKey> = Vec::new();
        for _ in 0..from.varint().or_no(SHORT)? {
            let (key, state) = self.read_allowance(from)?;
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(UNSORTED);
            }
            keys.push(key);
            self.limits.allowances.insert(key, state);
        }
        let mut before = None;
        for _ in 0..from.varint().or_no(SHORT)? {
            let slot = self.read_draws(from, &keys)?;
            if before.replace(slot).is_some_and(|before| before >= slot) {
                return Err(UNSORTED);
            }
        }
        if self.limits.is_empty() {
            return Err(NoRecord { what: "limits that are none" });
        }
        Ok(())
    }

    fn read_rule(&self, from: &mut Cursor<'_>) -> DecodeResult<RuleState> {
        let flags = from.byte().or_no(SHORT)?;
        let is = |bit: u8| flags & bit != 0;
        let number = RuleNumber(from.varint32().or_no(SHORT)?);
        let version = from.varint32().or_no(SHORT)?;
        let (name, kind, maximum) = (text(from)?.into(), text(from)?.into(), units(from)?);
        let counts = match flags >> is::COUNTS & 3 {
            COUNTS_HOLDS => LimitCounts::Holds,
            COUNTS_SALES => LimitCounts::Sales,
            COUNTS_SALES_KEPT => LimitCounts::SalesKept,
            _ => {
                let millis = from.varint().or_no(SHORT)?;
                let known = (1..=Timestamp::MAX.as_millis()).contains(&millis);
                known.then_some(()).or_no(NO_LIMIT)?;
                LimitCounts::SalesWithin(Duration::from_millis(millis))
            }
        };
        let group = is(is::OF_A_GROUP).then(|| text(from)).transpose()?.map(Into::into);
        let products = self.read_products(from)?;
        let (dropped, of_another_secret) = (is(is::DROPPED), is(is::OF_ANOTHER_SECRET));
        if flags & !is::ALL != 0 || of_another_secret && !dropped {
            return Err(NoRecord { what: NO_LIMIT });
        }
        let unit = if is(is::OF_RESERVATIONS) { LimitUnit::Reservations } else { LimitUnit::Units };
        let asked = if is(is::ASKED_AT_SALE) { AskedAt::Sale } else { AskedAt::Hold };
        let definition = RuleDefinition {
            number,
            version,
            name,
            kind,
            maximum,
            unit,
            counts,
            asked,
            group,
            products,
        };
        Ok(RuleState { definition, dropped, of_another_secret })
    }

    fn read_products(&self, from: &mut Cursor<'_>) -> DecodeResult<Vec<ProductIndex>> {
        let mut products: Vec<ProductIndex> = Vec::new();
        for _ in 0..from.varint().or_no(SHORT)? {
            let product = ProductIndex(from.varint32().or_no(SHORT)?);
            if product.index() >= self.products.len() {
                return Err(NoRecord { what: "a limit of a product that was never defined" });
            }
            if products.last().is_some_and(|last| *last >= product) {
                return Err(UNSORTED);
            }
            products.push(product);
        }
        Ok(products)
    }

    fn read_allowance(
        &self,
        from: &mut Cursor<'_>,
    ) -> DecodeResult<(AllowanceKey, AllowanceState)> {
        let key = allowance(from).or_no(SHORT)?;
        let (used, permanent) = (units(from)?, units(from)?);
        let ceiling = from.varint().or_no(SHORT)?;
        let passed = ceiling & 1 != 0;
        let ceiling = u32::try_from(ceiling >> 1).ok().filter(|units| *units <= MAX_UNITS);
        let ceiling = ceiling.or_no(NO_ALLOWANCE)?;
        let allowance = AllowanceState { used, permanent, ceiling, passed };
        let known = self.limits.rules.contains_key(&key.rule);
        let possible = known && used > 0 && permanent <= used && allowance.is_legal();
        possible.then_some((key, allowance)).or_no(NO_ALLOWANCE)
    }

    /// Reads the draws of a hold and those that it gave back, and returns its slot.
    fn read_draws(&mut self, from: &mut Cursor<'_>, keys: &[AllowanceKey]) -> DecodeResult<u32> {
        const NO_DRAW: &str = "a draw that can't be";
        let id = reservation(from)?;
        let hold = self.holds.get_mut(id).or_no("draws of a hold that is not there")?;
        for _ in 0..from.varint().or_no(SHORT)? {
            let key = usize::try_from(from.varint().or_no(SHORT)?).ok();
            let key = *key.and_then(|place| keys.get(place)).or_no(NO_DRAW)?;
            let level = LevelIndex(from.varint32().or_no(SHORT)?);
            hold.line_of(level).or_no(NO_DRAW)?;
            let drawn = from.varint().or_no(SHORT)?;
            let of_sale = drawn & 1 != 0;
            let drawn = u32::try_from(drawn >> 1).ok();
            let drawn = drawn.filter(|units| (1..=MAX_UNITS).contains(units)).or_no(NO_DRAW)?;
            let rule = self.limits.rules.get(&key.rule).or_no(NO_DRAW)?;
            let for_a_time = rule.definition.counts.window().is_some();
            let draw = HoldDraw { key, level, drawn, of_sale, for_a_time };
            if hold.draws().last().is_some_and(|last| last.place() >= draw.place()) {
                return Err(UNSORTED);
            }
            hold.add_draw(draw).or_no(NO_DRAW)?;
        }
        let mut given_back: Vec<AllowanceKey> = Vec::new();
        for _ in 0..from.varint().or_no(SHORT)? {
            let key = allowance(from).or_no(SHORT)?;
            if given_back.last().is_some_and(|last| *last >= key) {
                return Err(UNSORTED);
            }
            self.limits.is_by_subject(key.rule).then_some(()).or_no(NO_DRAW)?;
            given_back.push(key);
        }
        (given_back.is_empty() || hold.may_be_retaken()).then_some(()).or_no(NO_DRAW)?;
        hold.set_draws_given_back(given_back);
        hold.has_drawn().then_some(id.slot()).or_no(NO_DRAW)
    }
}

fn put_rule(out: &mut Vec<u8>, rule: &RuleState) {
    let RuleState { definition, dropped, of_another_secret } = rule;
    let flag = |is_there, bit| if is_there { bit } else { 0 };
    let counts = match definition.counts {
        LimitCounts::Holds => COUNTS_HOLDS,
        LimitCounts::Sales => COUNTS_SALES,
        LimitCounts::SalesKept => COUNTS_SALES_KEPT,
        LimitCounts::SalesWithin(_) => COUNTS_SALES_WITHIN,
    };
    out.push(
        flag(definition.unit == LimitUnit::Reservations, is::OF_RESERVATIONS)
            | flag(definition.asked == AskedAt::Sale, is::ASKED_AT_SALE)
            | flag(*dropped, is::DROPPED)
            | flag(*of_another_secret, is::OF_ANOTHER_SECRET)
            | flag(definition.group.is_some(), is::OF_A_GROUP)
            | counts << is::COUNTS,
    );
    put_varint(out, u64::from(definition.number.0));
    put_varint(out, u64::from(definition.version));
    put_text(out, &definition.name);
    put_text(out, &definition.kind);
    put_varint(out, u64::from(definition.maximum));
    if let Some(window) = definition.counts.window() {
        // A moment's worth of milliseconds at most.
        put_varint(out, window.as_millis() as u64);
    }
    definition.group.iter().for_each(|group| put_text(out, group));
    put_products(out, definition.products.iter());
}

fn put_products<'p>(out: &mut Vec<u8>, products: impl ExactSizeIterator<Item = &'p ProductIndex>) {
    put_varint(out, products.len() as u64);
    products.for_each(|product| put_varint(out, u64::from(product.0)));
}

fn put_draws(out: &mut Vec<u8>, hold: &Hold, allowances: &SortedAllowances<'_>) {
    put_halves(out, hold.id.to_halves());
    put_varint(out, hold.draws().len() as u64);
    for HoldDraw { key, level, drawn, of_sale, .. } in hold.draws() {
        // Something is used of each allowance that is drawn on, so it is there.
        let place = allowances.partition_point(|(known, _)| *known < key);
        put_varint(out, place as u64);
        put_varint(out, u64::from(level.0));
        put_varint(out, u64::from(*drawn) << 1 | u64::from(*of_sale));
    }
    put_varint(out, hold.draws_given_back().len() as u64);
    hold.draws_given_back().iter().for_each(|key| put_allowance(out, key));
}

//! Restores limits, and what is drawn under them, from the ledger.

use std::collections::HashSet;

use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::base::quantity::Quantity;
use crate::engine::Engine;
use crate::journal::ledger::Ledger;
use crate::journal::ledger::holds::{Hold, HoldDraw};
use crate::journal::ledger::limits::RuleState;
use crate::policy::subject::SubjectHasher;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::draw::{NO_LINE, SlotDraw};
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::handle::{AllowanceIndex, ProductIndex};

/// The allowances that an engine needs, and what is used of each. What was drawn under a rule that
/// was dropped is left out, unless a reservation can still give it back.
pub(super) fn needed_allowances(ledger: &Ledger) -> impl Iterator<Item = (AllowanceKey, Quantity)> {
    let limits = &ledger.limits;
    let mut held = HashSet::new();
    if limits.rules.values().any(|rule| rule.dropped) {
        let may_give_back = ledger.holds.all().filter(|hold| hold.occupies());
        let draws = may_give_back.flat_map(|hold| hold.draws());
        held.extend(draws.map(|draw| draw.key));
    }
    limits.allowances.iter().filter_map(move |(key, state)| {
        let stands = limits.rules.get(&key.rule).is_some_and(|rule| !rule.dropped);
        let used = Quantity::new(state.used).ok()?;
        (stands || held.contains(key)).then_some((*key, used))
    })
}

/// Refuses a journal with limits by subject that was written with another secret. Where no such
/// limit is in force, the secret may be any.
pub(in crate::engine) fn check_secret(
    ledger: &Ledger,
    secret: Option<[u8; 16]>,
) -> Result<(), JournalError> {
    let limits = &ledger.limits;
    let by_subject = |rule: &RuleState| !rule.dropped && !rule.definition.is_by_level();
    let same =
        limits.subjects.is_some() && SubjectHasher::new(secret).check_value() == limits.subjects;
    if same || !limits.rules.values().any(by_subject) {
        Ok(())
    } else {
        Err(JournalError::OtherSecret)
    }
}

impl Engine {
    /// Restores the limits and what is drawn under them.
    pub(super) fn restore_limits(&self, ledger: &Ledger) -> Option<()> {
        let limits = &ledger.limits;
        for state in limits.rules.values() {
            if state.dropped {
                self.rules.enter(&state.definition, state.of_another_secret);
            } else {
                self.rules.define(state.definition.clone());
            }
        }
        for (group, products) in &limits.groups {
            let products: Vec<ProductIndex> = products.iter().copied().collect();
            self.rules.regroup(group, &products, true);
        }
        if !limits.rules.is_empty() {
            self.cover((0..ledger.products.len()).map(|index| ProductIndex(index as u32)));
        }
        for (key, used) in needed_allowances(ledger) {
            self.catalog.allowances().restore(key, used, self).ok()?;
        }
        Some(())
    }

    /// The draws of a hold with these lines, sorted by level.
    pub(super) fn restored_draws(&self, hold: &Hold, lines: &[SlotLine]) -> Vec<SlotDraw> {
        let draw = |draw: &HoldDraw| {
            let line = lines.binary_search_by_key(&draw.level, |line| line.level).ok()?;
            let window = self.rules.rule(draw.key.rule).and_then(|rule| rule.counts.window());
            let until = window.filter(|_| !hold.is_live());
            Some(SlotDraw {
                // No reservation has 2^32 lines.
                line: line as u32,
                key: draw.key,
                allowance: self.catalog.allowances().find(draw.key)?,
                drawn: draw.drawn,
                of_sale: draw.of_sale,
                until: until.map_or_else(Timestamp::default, |it| hold.ended_at.saturating_add(it)),
            })
        };
        // Nothing is drawn there any more, so it matters neither where that was nor by which line.
        let given_back = |key: &AllowanceKey| SlotDraw {
            line: NO_LINE,
            key: *key,
            allowance: AllowanceIndex(0),
            drawn: 0,
            of_sale: false,
            until: Timestamp::default(),
        };
        let given_back = hold.draws_given_back().iter().map(given_back);
        hold.draws().iter().filter_map(draw).chain(given_back).collect()
    }
}

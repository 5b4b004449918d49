//! Limits as the entries define them: rules, groups of products, and the check value of the secret
//! under which subjects are hashed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::audit::entry::EventType;
use crate::audit::record::{EntryLine, Subject};
use crate::journal::format::decode::DecodedRecord;
use crate::journal::ledger::Ledger;
use crate::journal::ledger::transfers::{LawResult, fact};
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::allowance::rule::RuleDefinition;
use crate::stock::handle::ProductIndex;

/// All that entries tell of limits.
#[derive(Debug, Default)]
pub(crate) struct LimitsState {
    /// Every rule that was ever defined. Draws may outlive their rule.
    pub(crate) rules: BTreeMap<RuleNumber, RuleState>,
    /// The groups that have products.
    pub(crate) groups: BTreeMap<Arc<str>, BTreeSet<ProductIndex>>,
    /// What is used of each allowance, if anything is.
    pub(crate) allowances: HashMap<AllowanceKey, AllowanceState>,
    /// A check value of the secret under which the newest opening hashes subjects.
    pub(crate) subjects: Option<SubjectHash>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleState {
    /// Its newest version.
    pub(crate) definition: RuleDefinition,
    pub(crate) dropped: bool,
    /// It was dropped before the secret changed under which subjects are hashed. So the subjects of
    /// its draws are nobody's any more.
    pub(crate) of_another_secret: bool,
}

/// What a subject has drawn under a rule. One of which nothing is used is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowanceState {
    /// In the rule's unit.
    pub(crate) used: u32,
    /// The part of `used` that no reservation gives back any more: its slot went to another one.
    pub(crate) permanent: u32,
    /// The greatest maximum that any draw went by, since nothing was used.
    pub(crate) ceiling: u32,
    /// One of these draws had the right to pass the rule.
    pub(crate) passed: bool,
}

/// A law that is broken by whatever names a rule that was never defined.
pub(super) const UNKNOWN: &str = "a limit that was never defined";

impl LimitsState {
    /// Whether entries have told nothing of limits.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.groups.is_empty() && self.subjects.is_none()
    }

    /// Defines a rule, or changes one. Numbers rise, and none is used again. A rule never changes
    /// what it counts: its draws, and `used`, would mean something else.
    fn define(&mut self, definition: RuleDefinition) -> LawResult {
        let number = definition.number;
        let Some(known) = self.rules.get_mut(&number) else {
            if self.rules.last_key_value().is_some_and(|(newest, _)| *newest > number) {
                return Err("a limit is defined out of turn");
            }
            let rule = RuleState { definition, dropped: false, of_another_secret: false };
            self.rules.insert(number, rule);
            return Ok(());
        };
        let what = |rule: &RuleDefinition| {
            (Arc::clone(&rule.name), Arc::clone(&rule.kind), rule.unit, rule.counts, rule.asked)
        };
        if known.dropped {
            return Err("a limit is changed that was dropped");
        }
        if definition.version <= known.definition.version {
            return Err("a version of a limit that does not rise");
        }
        if what(&definition) != what(&known.definition) {
            return Err("a limit changes what it counts");
        }
        known.definition = definition;
        Ok(())
    }

    /// An opening hashes subjects under the secret with this check value.
    pub(super) fn open_with(&mut self, secret: SubjectHash) {
        if self.subjects.replace(secret).is_some_and(|before| before != secret) {
            // No engine opens a journal with another secret while a limit by subject is in force.
            self.rules.values_mut().for_each(|rule| rule.of_another_secret |= rule.dropped);
        }
    }

    fn drop_rule(&mut self, number: RuleNumber) -> LawResult {
        let rule = self.rules.get_mut(&number).ok_or(UNKNOWN)?;
        if std::mem::replace(&mut rule.dropped, true) {
            return Err("a limit is dropped a second time");
        }
        Ok(())
    }

    fn change_group(&mut self, group: &str, change: &str, products: &[ProductIndex]) -> LawResult {
        match change {
            "add" => self.groups.entry(group.into()).or_default().extend(products),
            "remove" => {
                if let Some(members) = self.groups.get_mut(group) {
                    products.iter().for_each(|product| {
                        members.remove(product);
                    });
                    if members.is_empty() {
                        self.groups.remove(group);
                    }
                }
            }
            _ => return Err("a change of a group that is none"),
        }
        Ok(())
    }
}

impl Ledger {
    /// Applies the event of a record about limits. Other events change nothing.
    pub(super) fn apply_limit_event(
        &mut self,
        event: EventType,
        record: &DecodedRecord,
    ) -> LawResult {
        let fact = |wanted: &str| fact(record, wanted);
        let rule = || fact("rule").and_then(|number| number.parse().ok()).map(RuleNumber);
        match event {
            EventType::LimitDefined => {
                let products = self.products_of(&record.steps.lines)?;
                let rule = RuleDefinition::from_facts(fact, products);
                self.limits.define(rule.ok_or("a limit that can't be")?)
            }
            EventType::LimitDropped => self.limits.drop_rule(rule().ok_or(UNKNOWN)?),
            EventType::GroupChanged => {
                let products = self.products_of(&record.steps.lines)?;
                let group = fact("group").ok_or("a group without a name")?;
                self.limits.change_group(group, fact("change").unwrap_or_default(), &products)
            }
            EventType::AllowanceReturned => {
                let rule = rule().filter(|rule| self.limits.rules.contains_key(rule));
                let rule = rule.ok_or(UNKNOWN)?;
                let id = record.steps.header.reservation;
                let id = id.ok_or("an allowance is given back without its reservation")?;
                // Units whose sale was cancelled meanwhile may have left nothing to give back.
                if let Some(hold) = self.holds.get_mut(id) {
                    self.limits.give_all(hold, rule);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The products that the lines of an event are about. One line about nothing stands for none.
    fn products_of(&self, lines: &[EntryLine]) -> Result<Vec<ProductIndex>, &'static str> {
        if let [EntryLine { subject: Subject::None, .. }] = lines {
            return Ok(Vec::new());
        }
        let known = |line: &EntryLine| match line.subject {
            Subject::Product(id) if id.index() < self.products.len() => Ok(id),
            _ => Err("a limit or a group of something that is no product"),
        };
        lines.iter().map(known).collect()
    }
}

/// The check value of this text: 32 hexadecimal digits.
pub(super) fn check_value(text: &str) -> Option<SubjectHash> {
    let digits = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u128::from_str_radix(text, 16).ok().filter(|_| digits && text.len() == 32)?;
    Some(SubjectHash(value.to_be_bytes()))
}

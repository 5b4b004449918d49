//! The limits of an engine, as calls look at them: which rules cover a product, and what each says
//! now.
//!
//! A call reads without a lock. A rule stays in its place for ever, and only its bound changes. A
//! product bears the number of its *coverage*, a list of rules that never changes: when the limits
//! or the groups change, it gets the number of another one. Equal lists are one, so there are few.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use crate::base::doubling_table::DoublingTable;
use crate::base::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, lock};
use crate::policy::subject::KindTag;
use crate::reservation::slot::draw::MOST_RULES;
use crate::stock::allowance::key::RuleNumber;
use crate::stock::allowance::rule::{AskedAt, LimitCounts, LimitUnit, RuleDefinition};
use crate::stock::handle::ProductIndex;

const FIRST: usize = 8;
type Places<T, const SEGMENTS: usize> = DoublingTable<OnceLock<T>, FIRST, SEGMENTS>;

/// The rules that cover a product: their numbers, rising.
pub(crate) type Coverage = [RuleNumber];

/// The number of a coverage. 0: no rule.
pub(crate) const NOT_COVERED: u32 = 0;

/// A rule, as calls look at it.
#[derive(Debug)]
pub(crate) struct LiveRule {
    pub(crate) number: RuleNumber,
    pub(crate) name: Arc<str>,
    pub(crate) kind: Arc<str>,
    /// What tells the kind of its subjects. `None`: its subjects are the stock levels.
    pub(crate) tag: Option<KindTag>,
    pub(crate) unit: LimitUnit,
    pub(crate) counts: LimitCounts,
    pub(crate) asked: AskedAt,
    /// Its subjects were hashed under another secret: it was dropped before that changed.
    pub(crate) of_another_secret: bool,
    /// Version and maximum, in one word, so that nobody reads the one of one version and the other
    /// of the next.
    bound: AtomicU64,
}

/// A rule's version, and the maximum that it sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleBound {
    pub(crate) version: u32,
    pub(crate) maximum: u32,
}

impl RuleBound {
    fn bits(self) -> u64 {
        u64::from(self.version) << u32::BITS | u64::from(self.maximum)
    }
}

impl LiveRule {
    fn new(rule: &RuleDefinition) -> Self {
        let bound = RuleBound { version: rule.version, maximum: rule.maximum };
        Self {
            number: rule.number,
            name: Arc::clone(&rule.name),
            kind: Arc::clone(&rule.kind),
            tag: if rule.is_by_level() { None } else { KindTag::new(&rule.kind) },
            unit: rule.unit,
            counts: rule.counts,
            asked: rule.asked,
            of_another_secret: false,
            bound: AtomicU64::new(bound.bits()),
        }
    }

    /// What it says now. A call reads it once for each draw, and decides by what it read.
    pub(crate) fn bound(&self) -> RuleBound {
        // Relaxed: a setting, and one word.
        let bits = self.bound.load(Ordering::Relaxed);
        RuleBound { version: (bits >> u32::BITS) as u32, maximum: bits as u32 }
    }

    /// What a reservation of so many units draws.
    pub(crate) fn amount(&self, units: u32) -> u32 {
        match self.unit {
            LimitUnit::Units => units,
            LimitUnit::Reservations => 1,
        }
    }

    pub(crate) fn is_by_level(&self) -> bool {
        self.tag.is_none()
    }
}

/// All rules and groups.
pub(crate) struct RuleBook {
    rules: Places<LiveRule, 20>,
    /// From 1 on.
    coverages: Places<Box<Coverage>, 20>,
    /// Whether some rule asks for its subject when units are sold.
    asks_at_sale: AtomicBool,
    pages: Mutex<Pages>,
}

const _: () = assert!(Places::<LiveRule, 20>::CAPACITY >= MOST_RULES as usize);

/// What only changes look at.
#[derive(Debug, Default)]
struct Pages {
    /// The rules that are in force, by name.
    names: HashMap<Arc<str>, RuleDefinition>,
    groups: BTreeMap<Arc<str>, BTreeSet<ProductIndex>>,
    /// The number of the next rule.
    next: u32,
    interned: HashMap<Box<Coverage>, u32>,
}

impl std::fmt::Debug for RuleBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleBook").field("pages", &*self.pages()).finish_non_exhaustive()
    }
}

impl RuleBook {
    pub(crate) fn new() -> Self {
        Self {
            rules: Places::new(),
            coverages: Places::new(),
            asks_at_sale: AtomicBool::new(false),
            pages: Mutex::new(Pages::default()),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        lock(&self.pages)
    }

    /// The rule of this number, whether it is in force or was dropped.
    pub(crate) fn rule(&self, number: RuleNumber) -> Option<&LiveRule> {
        self.rules.get(number.0 as usize)?.get()
    }

    /// The rules of a coverage.
    pub(crate) fn coverage(&self, number: u32) -> &Coverage {
        let found = self.coverages.get(number as usize).and_then(OnceLock::get);
        found.map_or(&[], |coverage| coverage)
    }

    /// Whether a sale of held units may have to draw. One load.
    #[inline(always)]
    pub(crate) fn asks_at_sale(&self) -> bool {
        // Relaxed: a setting. A sale that begins after the rule was defined sees it.
        self.asks_at_sale.load(Ordering::Relaxed)
    }

    /// The rule in force of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&LiveRule> {
        let number = self.pages().names.get(name)?.number;
        self.rule(number)
    }

    /// The definition in force of this name.
    pub(crate) fn definition(&self, name: &str) -> Option<RuleDefinition> {
        self.pages().names.get(name).cloned()
    }

    /// All definitions in force, by number.
    pub(crate) fn definitions(&self) -> Vec<RuleDefinition> {
        let mut all: Vec<RuleDefinition> = self.pages().names.values().cloned().collect();
        all.sort_unstable_by_key(|rule| rule.number);
        all
    }

    /// The number of the next rule; `None` if all are used up.
    pub(crate) fn next_number(&self) -> Option<RuleNumber> {
        let next = self.pages().next;
        (next < MOST_RULES).then_some(RuleNumber(next))
    }

    /// Takes a rule in, or its change. Returns the products whose coverage may have changed.
    pub(crate) fn define(&self, rule: RuleDefinition) -> BTreeSet<ProductIndex> {
        self.enter(&rule, false);
        let mut pages = self.pages();
        let mut changed = pages.covered_by(&rule);
        if let Some(before) = pages.names.insert(Arc::clone(&rule.name), rule) {
            changed.extend(pages.covered_by(&before));
        }
        self.note_sales(&pages);
        changed
    }

    /// Takes a rule in that is known by number alone: one that was dropped, and whose draws are
    /// still given back.
    pub(crate) fn enter(&self, rule: &RuleDefinition, of_another_secret: bool) {
        let number = rule.number.0;
        self.rules.grow(number as usize + 1, OnceLock::new);
        let Some(place) = self.rules.get(number as usize) else { return };
        let live = place.get_or_init(|| LiveRule { of_another_secret, ..LiveRule::new(rule) });
        let bound = RuleBound { version: rule.version, maximum: rule.maximum };
        live.bound.store(bound.bits(), Ordering::Relaxed);
        let mut pages = self.pages();
        pages.next = pages.next.max(number + 1);
    }

    /// Drops the rule of this name: it binds no call from now on. Returns the products that it
    /// covered.
    pub(crate) fn drop_rule(&self, name: &str) -> BTreeSet<ProductIndex> {
        let mut pages = self.pages();
        let dropped = pages.names.remove(name);
        let changed = dropped.map_or_else(BTreeSet::new, |rule| pages.covered_by(&rule));
        self.note_sales(&pages);
        changed
    }

    fn note_sales(&self, pages: &Pages) {
        let any = pages.names.values().any(|rule| rule.asked == AskedAt::Sale);
        self.asks_at_sale.store(any, Ordering::Relaxed);
    }

    /// Puts products into a group, or takes them out of it.
    pub(crate) fn regroup(&self, group: &str, products: &[ProductIndex], add: bool) {
        let mut pages = self.pages();
        let members = match pages.groups.get_mut(group) {
            Some(members) => members,
            None => pages.groups.entry(group.into()).or_default(),
        };
        if add {
            members.extend(products);
        } else {
            products.iter().for_each(|product| _ = members.remove(product));
        }
        if members.is_empty() {
            pages.groups.remove(group);
        }
    }

    /// The number of the list of rules that cover this product now.
    pub(crate) fn coverage_of(&self, product: ProductIndex) -> u32 {
        let mut pages = self.pages();
        let covers = |rule: &&RuleDefinition| {
            let grouped = rule.group.as_ref().and_then(|group| pages.groups.get(group));
            grouped.is_some_and(|members| members.contains(&product))
                || rule.products.binary_search(&product).is_ok()
        };
        let rules = pages.names.values().filter(covers).map(|rule| rule.number);
        let mut rules: Vec<RuleNumber> = rules.collect();
        if rules.is_empty() {
            return NOT_COVERED;
        }
        rules.sort_unstable();
        let rules = rules.into_boxed_slice();
        if let Some(known) = pages.interned.get(&rules) {
            return *known;
        }
        let number = pages.interned.len() + 1;
        self.coverages.grow(number + 1, OnceLock::new);
        if let Some(place) = self.coverages.get(number) {
            // Only the holder of the lock fills places, each once.
            let _ = place.set(rules.clone());
        }
        pages.interned.insert(rules, number as u32);
        number as u32
    }
}

impl Pages {
    fn covered_by(&self, rule: &RuleDefinition) -> BTreeSet<ProductIndex> {
        let grouped = rule.group.as_ref().and_then(|group| self.groups.get(group));
        grouped.into_iter().flatten().chain(&rule.products).copied().collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stock::allowance::rule::BY_LEVEL;

    fn rule(number: u32, name: &str, products: &[u32], group: Option<&str>) -> RuleDefinition {
        RuleDefinition {
            number: RuleNumber(number),
            version: 1,
            name: name.into(),
            kind: BY_LEVEL.into(),
            maximum: 2,
            unit: LimitUnit::Units,
            counts: LimitCounts::Holds,
            asked: AskedAt::Hold,
            group: group.map(Into::into),
            products: products.iter().copied().map(ProductIndex).collect(),
        }
    }

    fn covering(book: &RuleBook, product: u32) -> Vec<u32> {
        let coverage = book.coverage(book.coverage_of(ProductIndex(product)));
        coverage.iter().map(|rule| rule.0).collect()
    }

    #[test]
    fn a_product_is_covered_once_by_its_own_rules_and_those_of_its_groups() {
        let book = RuleBook::new();
        book.define(rule(0, "one", &[1, 2], Some("drop")));
        book.define(rule(1, "two", &[], Some("drop")));
        book.regroup("drop", &[ProductIndex(2), ProductIndex(3)], true);
        assert_eq!(
            [1, 2, 3, 4].map(|it| covering(&book, it)),
            [vec![0], vec![0, 1], vec![0, 1], vec![]]
        );
        assert_eq!(book.coverage_of(ProductIndex(2)), book.coverage_of(ProductIndex(3)));
        book.regroup("drop", &[ProductIndex(3)], false);
        assert_eq!(covering(&book, 3), Vec::<u32>::new());
        assert_eq!(book.drop_rule("one"), BTreeSet::from([1, 2].map(ProductIndex)));
        assert_eq!((covering(&book, 1), covering(&book, 2)), (vec![], vec![1]));
        assert!(book.rule(RuleNumber(0)).is_some(), "its draws are still given back");
    }

    #[test]
    fn a_change_is_read_whole_and_numbers_rise() {
        let book = RuleBook::new();
        book.define(rule(4, "one", &[1], None));
        assert_eq!(book.next_number(), Some(RuleNumber(5)));
        let changed = RuleDefinition { version: 2, maximum: 9, ..rule(4, "one", &[7], None) };
        let touched = book.define(changed);
        assert_eq!(touched, BTreeSet::from([1, 7].map(ProductIndex)));
        let bound = book.named("one").map(LiveRule::bound);
        assert_eq!(bound, Some(RuleBound { version: 2, maximum: 9 }));
        assert_eq!((covering(&book, 1), covering(&book, 7)), (vec![], vec![4]));
        assert_eq!(book.next_number(), Some(RuleNumber(5)));
    }
}

//! Defining, changing and dropping limits, and the groups that they cover.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{DefineLimitError, InvalidInput};
use crate::base::quantity::MAX_UNITS;
use crate::base::sync::lock;
use crate::engine::durability::OperationKind;
use crate::engine::place::{ProductRef, check_name};
use crate::engine::{Engine, InventoryManager};
use crate::policy::limit_rule::LimitRule;
use crate::policy::rule_book::{LiveRule, RuleBook};
use crate::policy::subject::KindTag;
use crate::reservation::slot::draw::MOST_RULES;
use crate::stock::allowance::rule::{AskedAt, BY_LEVEL, LimitCounts, RuleDefinition};
use crate::stock::handle::ProductIndex;

/// The most products that one call can name: as many as a record has lines.
const MOST_PRODUCTS: usize = u16::MAX as usize;

/// # Limits per subject
impl InventoryManager {
    /// Defines a limit: how much each customer, household or card may hold or buy. It binds every
    /// call that begins after this one: the call has to name the subject
    /// ([`Request::subject`](crate::Request::subject)), and what it draws is checked and taken in
    /// the same instant as the stock.
    ///
    /// What was held or bought before is not counted. A limit of the same name that counts the
    /// same, in the same unit, by the same kind of subject, is changed: its maximum, and what it
    /// covers. What was drawn before stays drawn as it was; a lower maximum takes nothing back, and
    /// refuses the next that would draw more. With a journal, limits last over a restart.
    ///
    /// Waits as [`set_longest_ttl`](Self::set_longest_ttl) does.
    ///
    /// # Errors
    /// [`DefineLimitError::NoSecret`] if the builder gave no
    /// [secret](crate::Builder::subject_secret). [`DefineLimitError::Redefined`] if a limit of this
    /// name counts something else. See [`DefineLimitError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{LimitError, LimitRule, ReserveError};
    /// let builder = stockade::InventoryManager::builder().warehouse("SF");
    /// // In a service: 16 random bytes, kept as a password is.
    /// let manager = builder.subject_secret([7; 16]).build()?;
    /// manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
    /// manager.define_limit(LimitRule::new("two each", "customer", 2).products(["SHOE"]))?;
    ///
    /// let ann = || manager.request().subject("customer", "ann");
    /// let hold = ann().reserve(("SF", "SHOE"), 2, Duration::from_secs(60))?;
    /// let refused = ann().reserve(("SF", "SHOE"), 1, Duration::from_secs(60));
    /// assert!(matches!(
    ///     refused,
    ///     Err(ReserveError::Limit(LimitError::Reached { maximum: 2, used: 2, asked: 1, .. }))
    /// ));
    /// // What comes back may be drawn again; what is bought counts on.
    /// manager.release(hold)?;
    /// ann().sell(("SF", "SHOE"), 2)?;
    /// assert!(ann().sell(("SF", "SHOE"), 1).is_err());
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn define_limit(&self, limit: LimitRule) -> Result<(), DefineLimitError> {
        self.engine.define_limit(&limit)
    }

    /// Raises or lowers the maximum of a limit, and leaves all else as it is. A lower maximum takes
    /// nothing back, and refuses the next that would draw more; 0 refuses everyone. Waits as
    /// [`define_limit`](Self::define_limit) does.
    ///
    /// # Errors
    /// [`DefineLimitError::Unknown`] if there is none of this name.
    /// [`DefineLimitError::OutOfBounds`] if the maximum is above 2^31-1.
    ///
    /// ```
    /// # use stockade::LimitRule;
    /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
    /// # let manager = builder.subject_secret([7; 16]).build()?;
    /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
    /// manager.define_limit(LimitRule::new("each", "customer", 2).products(["SHOE"]))?;
    /// let ann = manager.request().subject("customer", "ann");
    /// ann.sell(("SF", "SHOE"), 2)?;
    /// manager.set_limit_maximum("each", 3)?;
    /// ann.sell(("SF", "SHOE"), 1)?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn set_limit_maximum(&self, name: &str, maximum: u32) -> Result<(), DefineLimitError> {
        self.engine.set_limit_maximum(name, maximum)
    }

    /// Drops a limit: it binds no call that begins after this one. What was drawn is given back as
    /// its rule said, and nobody asks. A limit that is defined under the name later is a new one,
    /// and begins to count at 0. Waits as [`define_limit`](Self::define_limit) does.
    ///
    /// What buyers have drawn stays in memory until the next opening, 40 bytes each.
    ///
    /// # Errors
    /// [`DefineLimitError::Unknown`] if there is none of this name.
    pub fn drop_limit(&self, name: &str) -> Result<(), DefineLimitError> {
        self.engine.drop_limit(name)
    }

    /// Puts products into a group, which limits may cover. A group begins with its first product. A
    /// limit that covers it binds the product from now on; what was drawn before stays as it is.
    /// Waits as [`define_limit`](Self::define_limit) does.
    ///
    /// # Errors
    /// [`PlaceError::NeverStocked`](crate::PlaceError::NeverStocked) if a product was never
    /// stocked. See [`DefineLimitError`] for the rest.
    ///
    /// ```
    /// # use stockade::LimitRule;
    /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
    /// # let manager = builder.subject_secret([7; 16]).build()?;
    /// manager.add_stock(("SF", "SHOE-41"), 10, "SUPPLIER")?;
    /// manager.add_stock(("SF", "SHOE-42"), 10, "SUPPLIER")?;
    /// manager.define_limit(LimitRule::new("one pair", "customer", 1).group("drop"))?;
    /// manager.add_to_group("drop", &["SHOE-41".into(), "SHOE-42".into()])?;
    /// manager.request().subject("customer", "ann").sell(("SF", "SHOE-41"), 1)?;
    /// assert!(manager.request().subject("customer", "ann").sell(("SF", "SHOE-42"), 1).is_err());
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn add_to_group(
        &self,
        group: &str,
        products: &[ProductRef<'_>],
    ) -> Result<(), DefineLimitError> {
        self.engine.regroup(group, products, true)
    }

    /// Takes products out of a group. The limits that cover it bind them no more, unless they cover
    /// them otherwise. What was drawn stays drawn. Waits as [`define_limit`](Self::define_limit)
    /// does.
    ///
    /// # Errors
    /// Same as [`add_to_group`](Self::add_to_group).
    pub fn remove_from_group(
        &self,
        group: &str,
        products: &[ProductRef<'_>],
    ) -> Result<(), DefineLimitError> {
        self.engine.regroup(group, products, false)
    }

    /// All limits in force, in the order in which they were first defined. Allocates.
    pub fn limits(&self) -> Vec<LimitRule> {
        let name = |product: &ProductIndex| self.engine.catalog.product_name(*product);
        let shown = |rule: RuleDefinition| LimitRule {
            name: rule.name.as_ref().to_owned(),
            kind: rule.kind.as_ref().to_owned(),
            by_level: rule.is_by_level(),
            maximum: rule.maximum,
            unit: rule.unit,
            counts: rule.counts,
            asked: rule.asked,
            group: rule.group.map(|group| group.as_ref().to_owned()),
            products: rule.products.iter().filter_map(name).map(|it| (*it).to_owned()).collect(),
        };
        self.engine.rules.definitions().into_iter().map(shown).collect()
    }
}

impl Engine {
    fn define_limit(&self, limit: &LimitRule) -> Result<(), DefineLimitError> {
        check_bounds(limit)?;
        if limit.kind != BY_LEVEL && !self.subjects.has_secret() {
            return Err(DefineLimitError::NoSecret);
        }
        let products: BTreeSet<ProductIndex> =
            limit.products.iter().map(|name| self.known_product(name)).collect::<Result<_, _>>()?;
        check_count(products.len())?;
        self.change_rules(|now, book| {
            let rule = definition(limit, products.into_iter().collect(), book)?;
            Ok((self.definition_record(now, &rule), move |engine: &Self| engine.rules.define(rule)))
        })
    }

    fn set_limit_maximum(&self, name: &str, maximum: u32) -> Result<(), DefineLimitError> {
        check_maximum(maximum)?;
        self.change_rules(|now, book| {
            let known = book.definition(name).ok_or_else(|| unknown(name))?;
            let rule = RuleDefinition { maximum, ..next_version(known) };
            Ok((self.definition_record(now, &rule), move |engine: &Self| engine.rules.define(rule)))
        })
    }

    /// The record of a rule as it is to stand.
    fn definition_record(&self, now: Timestamp, rule: &RuleDefinition) -> RecordBuilder<'_> {
        let record = about(self.recorder.event(EventType::LimitDefined).at(now), &rule.products);
        rule.facts().iter().fold(record, |it, (name, value)| it.text(name, value))
    }

    fn drop_limit(&self, name: &str) -> Result<(), DefineLimitError> {
        self.change_rules(|now, _| {
            let rule = self.rule_named(name)?;
            let record = self.recorder.event(EventType::LimitDropped).about(Subject::None);
            let record = record.at(now).text("rule", &rule.number.0.to_string());
            Ok((record, |engine: &Self| engine.rules.drop_rule(name)))
        })
    }

    fn regroup(
        &self,
        group: &str,
        products: &[ProductRef<'_>],
        add: bool,
    ) -> Result<(), DefineLimitError> {
        check_name(group)?;
        let mut named = Vec::with_capacity(products.len());
        for product in products {
            product.check_name()?;
            named.push(self.product(self.own_product(*product)?)?);
        }
        named.sort_unstable();
        named.dedup();
        if named.is_empty() {
            return Err(InvalidInput::Empty.into());
        }
        check_count(named.len())?;
        self.change_rules(|now, _| {
            let record = about(self.recorder.event(EventType::GroupChanged).at(now), &named);
            let change = if add { "add" } else { "remove" };
            let record = record.text("group", group).text("change", change);
            let changed: BTreeSet<ProductIndex> = named.iter().copied().collect();
            Ok((record, move |engine: &Self| {
                engine.rules.regroup(group, &named, add);
                changed
            }))
        })
    }

    /// Records a change of the rules, then makes it, and tells the products that it touches. One
    /// change at a time, so that the last record of a rule is the rule in force. Recorded first:
    /// whoever draws under a rule is logged after its definition.
    fn change_rules<'a, F>(
        &'a self,
        plan: impl FnOnce(Timestamp, &RuleBook) -> Result<(RecordBuilder<'a>, F), DefineLimitError>,
    ) -> Result<(), DefineLimitError>
    where
        F: FnOnce(&Self) -> BTreeSet<ProductIndex>,
    {
        // The clock is the caller's, and a call may have to write to the caller's sink for room:
        // both under no lock.
        let now = self.now();
        self.admit()?;
        let one_at_a_time = lock(&self.changing);
        let (record, change) = plan(now, &self.rules)?;
        let recorded = record.queue();
        self.cover(change(self));
        drop(one_at_a_time);
        let answer = recorded.map_err(DefineLimitError::from);
        self.once_durable(OperationKind::Setting, None, answer)
    }

    /// The rules that cover a product now, in the order of their numbers.
    #[inline]
    pub(in crate::engine) fn rules_over(
        &self,
        product: ProductIndex,
    ) -> impl Iterator<Item = &LiveRule> {
        let coverage = self.rules.coverage(self.catalog.coverage(product));
        coverage.iter().filter_map(|number| self.rules.rule(*number))
    }

    /// The rule in force of this name.
    pub(super) fn rule_named(&self, limit: &str) -> Result<&LiveRule, DefineLimitError> {
        self.rules.named(limit).ok_or_else(|| unknown(limit))
    }

    /// Tells these products which rules cover them now.
    pub(in crate::engine) fn cover(&self, products: impl IntoIterator<Item = ProductIndex>) {
        for product in products {
            self.catalog.set_coverage(product, self.rules.coverage_of(product));
        }
    }
}

/// A line of the record's type for each product, or one about none.
fn about<'a>(record: RecordBuilder<'a>, products: &[ProductIndex]) -> RecordBuilder<'a> {
    match products {
        [] => record.about(Subject::None),
        some => some.iter().fold(record, |it, product| it.about(Subject::Product(*product))),
    }
}

/// There is no limit of this name.
pub(super) fn unknown(limit: &str) -> DefineLimitError {
    DefineLimitError::Unknown { limit: limit.into() }
}

fn check_count(products: usize) -> Result<(), InvalidInput> {
    if products > MOST_PRODUCTS {
        return Err(InvalidInput::TooManyLines { lines: products, most: MOST_PRODUCTS });
    }
    Ok(())
}

fn check_bounds(limit: &LimitRule) -> Result<(), DefineLimitError> {
    check_name(&limit.name)?;
    limit.group.as_deref().map_or(Ok(()), check_name)?;
    let refuse = |setting, expected| Err(DefineLimitError::OutOfBounds { setting, expected });
    if KindTag::new(&limit.kind).is_none() {
        return refuse("the kind of subject", "1 to 16 bytes");
    }
    match (limit.by_level, limit.kind == BY_LEVEL) {
        (false, true) => {
            return refuse("the kind of subject", "a word other than \"level\": see by_level");
        }
        (true, false) => {
            return refuse("the kind of subject", "\"level\", where a limit is by level");
        }
        _ => {}
    }
    check_maximum(limit.maximum)?;
    let longest = Duration::from_millis(Timestamp::MAX.as_millis());
    match limit.window() {
        Some(window) if window < Duration::from_millis(1) || window > longest => {
            return refuse("the time for which sales count", "a millisecond at least");
        }
        _ => {}
    }
    if limit.by_level && limit.counts != LimitCounts::Holds {
        return refuse("what a limit by level counts", "holds");
    }
    if limit.asked == AskedAt::Sale && limit.counts == LimitCounts::Holds {
        return refuse("what a limit that is asked at the sale counts", "sales");
    }
    Ok(())
}

fn check_maximum(maximum: u32) -> Result<(), DefineLimitError> {
    let (setting, expected) = ("the maximum", "at most 2^31-1");
    if maximum > MAX_UNITS {
        return Err(DefineLimitError::OutOfBounds { setting, expected });
    }
    Ok(())
}

fn next_version(known: RuleDefinition) -> RuleDefinition {
    RuleDefinition { version: known.version.saturating_add(1), ..known }
}

/// The rule as it is to stand: a new one, or the change of one.
fn definition(
    limit: &LimitRule,
    products: Vec<ProductIndex>,
    book: &RuleBook,
) -> Result<RuleDefinition, DefineLimitError> {
    let counts = limit.counts.in_whole_millis();
    let mut rule = match book.definition(&limit.name) {
        Some(known) => {
            let same = (&*known.kind, known.unit, known.counts, known.asked)
                == (&*limit.kind, limit.unit, counts, limit.asked);
            if !same {
                return Err(DefineLimitError::Redefined { limit: known.name });
            }
            next_version(known)
        }
        None => RuleDefinition {
            number: book.next_number().ok_or(DefineLimitError::TooMany { most: MOST_RULES })?,
            version: 1,
            name: limit.name.as_str().into(),
            kind: limit.kind.as_str().into(),
            maximum: 0,
            unit: limit.unit,
            counts,
            asked: limit.asked,
            group: None,
            products: Vec::new(),
        },
    };
    rule.maximum = limit.maximum;
    rule.group = limit.group.as_deref().map(Arc::from);
    rule.products = products;
    Ok(rule)
}

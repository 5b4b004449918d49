//! Looking at limits: what a subject has drawn, how much more it may, and who has drawn most.

use crate::base::error::{DefineLimitError, PlaceError};
use crate::engine::allowances::define::unknown;
use crate::engine::call::Call;
use crate::engine::place::{LevelRef, ProductRef};
use crate::engine::request::{HoldRequest, SaleRequest};
use crate::engine::{Engine, InventoryManager};
use crate::policy::rule_book::LiveRule;
use crate::stock::allowance::key::{AllowanceKey, SubjectHash};
use crate::stock::allowance::rule::LimitUnit;
use crate::stock::handle::ProductIndex;

/// What a subject has drawn under a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimitUsage {
    /// What it has drawn, in what the limit counts. May be above the maximum, if a call passed the
    /// limit or it was lowered.
    pub used: u32,
    /// The limit's maximum now.
    pub maximum: u32,
    /// What the limit counts.
    pub unit: LimitUnit,
}

impl LimitUsage {
    /// What it may still draw.
    pub fn left(&self) -> u32 {
        self.maximum.saturating_sub(self.used)
    }
}

impl InventoryManager {
    /// What a subject has drawn under a limit: the id, of the kind that the limit counts by. Draws
    /// of overdue holds count until they are taken back. Locks one part of the table of allowances
    /// for a look-up.
    ///
    /// # Errors
    /// [`DefineLimitError::Unknown`] if there is no limit of this name. Of a limit by level, ask by
    /// [`usage_of_level`](Self::usage_of_level).
    ///
    /// ```
    /// # use stockade::LimitRule;
    /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
    /// # let manager = builder.subject_secret([7; 16]).build()?;
    /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
    /// manager.define_limit(LimitRule::new("two each", "customer", 2).products(["SHOE"]))?;
    /// manager.request().subject("customer", "ann").sell(("SF", "SHOE"), 1)?;
    /// let usage = manager.usage("two each", "ann")?;
    /// assert_eq!((usage.used, usage.maximum, usage.left()), (1, 2, 1));
    /// assert_eq!(manager.usage("two each", "bob")?.used, 0);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn usage(&self, limit: &str, id: impl AsRef<[u8]>) -> Result<LimitUsage, DefineLimitError> {
        let engine = &*self.engine;
        let rule = engine.rule_named(limit)?;
        let subject = engine.subjects.subject(&rule.kind, id.as_ref());
        Ok(engine.usage(rule, subject.ok_or(DefineLimitError::NoSecret)?.hash))
    }

    /// What is held of a stock level, as a limit [by level](crate::LimitRule::by_level) counts it.
    ///
    /// # Errors
    /// [`DefineLimitError::Unknown`] if there is no such limit; [`DefineLimitError::Place`] if
    /// there is no such level.
    pub fn usage_of_level<'l>(
        &self,
        limit: &str,
        level: impl Into<LevelRef<'l>>,
    ) -> Result<LimitUsage, DefineLimitError> {
        let engine = &*self.engine;
        let level = level.into();
        level.check_names()?;
        let handle = engine.resolve(engine.own_level(level)?)?;
        let rule = engine.rule_named(limit)?;
        if !rule.is_by_level() {
            return Err(unknown(limit));
        }
        Ok(engine.usage(rule, SubjectHash::of_level(handle)))
    }

    /// The subjects that have drawn most under a limit, the most first: their hashes, as entries
    /// show them, and what each has drawn. Costs a visit of all that is drawn under any limit, and
    /// holds no lock for long.
    ///
    /// # Errors
    /// [`DefineLimitError::Unknown`] if there is no limit of this name.
    pub fn most_used(
        &self,
        limit: &str,
        count: usize,
    ) -> Result<Vec<(SubjectHash, u32)>, DefineLimitError> {
        let engine = &*self.engine;
        let rule = engine.rule_named(limit)?.number;
        let mut found = Vec::new();
        engine.catalog.allowances().each(|key, used| {
            if key.rule == rule {
                found.push((key.subject, used));
            }
        });
        found.sort_unstable_by_key(|(subject, used)| (std::cmp::Reverse(*used), *subject));
        found.truncate(count);
        Ok(found)
    }
}

/// Gives the look at what is left to requests that name subjects.
macro_rules! room_on_requests {
    ($($request:ident)+) => {$(
        impl $request<'_> {
            /// How much more of the product the limits let these subjects hold now: the least of
            /// what any of them leaves; `None` if no limit of theirs covers it. Says nothing of
            /// stock, and promises nothing: another call may draw at the same moment. Where a limit
            /// counts reservations, and one more is left, it bounds no units.
            ///
            /// # Errors
            /// [`PlaceError`] if the product was never stocked, or its handle is another engine's.
            ///
            /// ```
            /// # use stockade::LimitRule;
            /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
            /// # let manager = builder.subject_secret([7; 16]).build()?;
            /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
            /// manager.define_limit(LimitRule::new("two each", "customer", 2).products(["SHOE"]))?;
            /// let ann = manager.request().subject("customer", "ann");
            /// assert_eq!(ann.room_for("SHOE")?, Some(2));
            /// ann.sell(("SF", "SHOE"), 2)?;
            /// assert_eq!(ann.room_for("SHOE")?, Some(0));
            /// # Ok::<(), stockade::Error>(())
            /// ```
            pub fn room_for<'p>(
                &self,
                product: impl Into<ProductRef<'p>>,
            ) -> Result<Option<u32>, PlaceError> {
                self.call().room_for(product.into())
            }
        }
    )+};
}

room_on_requests! { SaleRequest HoldRequest }

impl Call<'_> {
    fn room_for(self, product: ProductRef<'_>) -> Result<Option<u32>, PlaceError> {
        let engine = self.engine;
        let product = engine.product(engine.own_product(product)?)?;
        Ok(engine.room_under_limits(self, product))
    }
}

impl Engine {
    fn usage(&self, rule: &LiveRule, subject: SubjectHash) -> LimitUsage {
        let used = self.catalog.allowances().used(AllowanceKey { rule: rule.number, subject });
        LimitUsage { used, maximum: rule.bound().maximum, unit: rule.unit }
    }

    fn room_under_limits(&self, call: Call<'_>, product: ProductIndex) -> Option<u32> {
        let left = |rule: &LiveRule| {
            let usage = self.usage(rule, call.options().limits.subject_of(rule.tag?)?);
            match usage.unit {
                LimitUnit::Units => Some(usage.left()),
                LimitUnit::Reservations => (usage.left() == 0).then_some(0),
            }
        };
        self.rules_over(product).filter_map(left).min()
    }
}

//! Asking the limits over what a call takes: which subjects of the call draw under which rules,
//! and, at the first look, whether a limit refuses.

use std::sync::Arc;

use crate::base::error::LimitError;
use crate::engine::allowances::plan::{Draw, DrawPlan, LimitedLine};
use crate::engine::call::Call;
use crate::policy::rule_book::LiveRule;
use crate::reservation::slot::draw::SlotDraw;
use crate::stock::allowance::key::{AllowanceKey, SubjectHash};
use crate::stock::allowance::rule::{AskedAt, LimitCounts, LimitUnit};
use crate::stock::handle::LevelIndex;

/// What a call takes, as limits see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Taking {
    /// A hold.
    Hold,
    /// A sale of units that nobody held.
    Sale,
    /// The sale of units that are held.
    SaleOfHeld,
}

impl<'a> Call<'a> {
    /// Adds to `plan` what these lines draw: what their products' rules say, of the subjects that
    /// the call names. `has_drawn` tells which rules a line has drawn under before.
    ///
    /// # Errors
    /// [`LimitError::NoSubject`], [`LimitError::Unknown`].
    pub(in crate::engine) fn plan_draws<'l>(
        self,
        taking: Taking,
        lines: impl Iterator<Item = LimitedLine<'l>>,
        has_drawn: &[SlotDraw],
        plan: &mut DrawPlan<'a>,
    ) -> Result<(), LimitError> {
        plan.of_sale = taking == Taking::SaleOfHeld;
        if !self.options().limits.passed().is_empty() {
            self.check_passes()?;
        }
        for line in lines.filter(|line| line.level.bounds().limited) {
            self.plan_line(taking, line, has_drawn, plan)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn plan_line(
        self,
        taking: Taking,
        line: LimitedLine<'_>,
        has_drawn: &[SlotDraw],
        plan: &mut DrawPlan<'a>,
    ) -> Result<(), LimitError> {
        for rule in self.engine.rules_over(line.level.product_index()) {
            let drawn = |draw: &SlotDraw| {
                draw.line == line.line && draw.key.rule == rule.number && !draw.of_sale
            };
            if taking == Taking::SaleOfHeld && has_drawn.iter().any(drawn) {
                continue;
            }
            if let Some(subject) = self.drawer(taking, rule, line.handle)? {
                let passed = self.options().limits.passes(&rule.name);
                let key = AllowanceKey { rule: rule.number, subject };
                // A reservation counts as one, also when it draws for one more line.
                let counts = |draw: &SlotDraw| draw.key == key && draw.drawn > 0;
                let counted = rule.unit == LimitUnit::Reservations && has_drawn.iter().any(counts);
                plan.add(rule, key, line, Draw { passed, counted });
            }
        }
        Ok(())
    }

    /// Which subject of the call draws under a rule that covers a level; `None` if none does.
    #[inline]
    fn drawer(
        self,
        taking: Taking,
        rule: &LiveRule,
        level: LevelIndex,
    ) -> Result<Option<SubjectHash>, LimitError> {
        let is_asked = match taking {
            Taking::Hold => rule.asked == AskedAt::Hold,
            // What is sold at once was never held.
            Taking::Sale if rule.counts == LimitCounts::Holds => return Ok(None),
            Taking::Sale => true,
            // It was held before the rule stood.
            Taking::SaleOfHeld if rule.asked == AskedAt::Hold => return Ok(None),
            Taking::SaleOfHeld => true,
        };
        let subject = match rule.tag {
            None => Some(SubjectHash::of_level(level)),
            Some(kind) => self.options().limits.subject_of(kind),
        };
        if subject.is_none() && is_asked && !self.options().limits.passes(&rule.name) {
            let (limit, kind) = (Arc::clone(&rule.name), Arc::clone(&rule.kind));
            return Err(LimitError::NoSubject { limit, kind });
        }
        Ok(subject)
    }

    /// Whether no limit refuses one line at the first look. False if that is not certain: a limit
    /// would refuse, but something is due that might give back, or the call passes limits. Most
    /// refusals of a drop end here, before anything is planned.
    ///
    /// # Errors
    /// The refusal of a limit.
    #[inline]
    pub(in crate::engine) fn fits_at_once(
        self,
        taking: Taking,
        line: LimitedLine<'_>,
    ) -> Result<bool, LimitError> {
        let engine = self.engine;
        let table = engine.catalog.allowances();
        if !self.options().limits.passed().is_empty() {
            return Ok(false);
        }
        let mut refusal = None;
        for rule in engine.rules_over(line.level.product_index()) {
            let Some(subject) = self.drawer(taking, rule, line.handle)? else { continue };
            let used = table.used(AllowanceKey { rule: rule.number, subject });
            let asked = rule.amount(line.units);
            let maximum = rule.bound().maximum;
            // Both are at most `MAX_UNITS`, so their sum fits.
            if used + asked > maximum && refusal.is_none() {
                refusal = Some((rule, maximum, used, asked));
            }
        }
        let Some((rule, maximum, used, asked)) = refusal else { return Ok(true) };
        if engine.slots.is_due(engine.now()) {
            return Ok(false);
        }
        let limit = Arc::clone(&rule.name);
        Err(LimitError::Reached { limit, maximum, used, asked, overdue_left: false })
    }

    /// Refuses to pass a limit that there is none of: most likely the name is misspelled.
    #[cold]
    fn check_passes(self) -> Result<(), LimitError> {
        let unknown = |name: &&Arc<str>| self.engine.rules.named(name).is_none();
        match self.options().limits.passed().iter().find(unknown) {
            None => Ok(()),
            Some(limit) => Err(LimitError::Unknown { limit: Arc::clone(limit) }),
        }
    }
}

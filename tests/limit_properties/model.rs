//! Limits as plain lists say them: no engine code, no counts that are kept. What is used is added
//! up anew from the draws of all reservations whenever somebody asks.

use std::collections::BTreeSet;

use stockade::SubjectHash;

use super::plan::{Counts, Kind, LEVELS, Spec, Who};

pub(super) const STOCK: u32 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Customer(u8),
    Card(u8),
    Level(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: usize,
    pub(super) spec: Spec,
    pub(super) maximum: u32,
    pub(super) products: [bool; 3],
    pub(super) grouped: bool,
    pub(super) in_force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: usize,
    pub(super) quantity: u32,
    pub(super) held: u32,
    pub(super) sold: u32,
    pub(super) settled: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) line: usize,
    pub(super) rule: usize,
    pub(super) subject: Subject,
    pub(super) drawn: u32,
    /// It was taken when units were sold that were held without it.
    pub(super) of_sale: bool,
    pub(super) until: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Confirmed,
    Released,
    Expired,
}

#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) lines: Vec<Line>,
    pub(super) draws: Vec<Draw>,
    pub(super) phase: Phase,
    pub(super) kept: bool,
    pub(super) expires: u64,
    /// What its end gave back.
    pub(super) at_end: Vec<(usize, u32)>,
    pub(super) retaken_by: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) available: u32,
    /// Sold units that are not kept for their reservation.
    pub(super) free: u32,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Reached { limit: usize, maximum: u32, used: u32, asked: u32 },
    NoSubject { limit: usize },
    UnknownLimit { limit: usize },
    ByLevel { limit: usize },
    NeedsReservation { limit: usize },
    Redefined,
    OutOfBounds,
    Short(Vec<(usize, u32, u32)>),
    ShortSum(u32, u64),
    NotHeld(u32, u32),
    NotSold(u32, u32),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Done,
    /// The hold was over already.
    Over,
    Hold(usize),
    Status(Phase),
    Confirmed,
    Retaken(usize),
    RetakenBefore(usize),
    SoldBefore,
}

pub(super) type Answer = Result<Given, Denied>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    Hold,
    Sale,
    SaleOfHeld,
}

/// What a call is to draw on one allowance.
#[derive(Debug)]
pub(super) struct Planned {
    rule: usize,
    subject: Subject,
    asked: u32,
    passed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    asked: Vec<Planned>,
    pub(super) draws: Vec<Draw>,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) levels: [Level; LEVELS.len()],
    pub(super) rules: Vec<Rule>,
    pub(super) group: BTreeSet<usize>,
    pub(super) holds: Vec<Hold>,
    /// Which of the subjects that drew for a line gives back first.
    pub(super) rank: fn(Subject) -> Option<SubjectHash>,
}

impl Model {
    pub(super) fn new(now: u64, rank: fn(Subject) -> Option<SubjectHash>) -> Self {
        let level = Level { available: STOCK, free: 0 };
        Self {
            now,
            levels: [level; LEVELS.len()],
            rules: Vec::new(),
            group: BTreeSet::new(),
            holds: Vec::new(),
            rank,
        }
    }

    /// What a subject has drawn under a rule.
    pub(super) fn used(&self, rule: usize, subject: Subject) -> u32 {
        let of = |hold: &Hold| -> u32 {
            let draws = hold.draws.iter().filter(|it| (it.rule, it.subject) == (rule, subject));
            let drawn: u32 = draws.map(|draw| draw.drawn).sum();
            if self.rules[rule].spec.reservations { drawn.min(1) } else { drawn }
        };
        self.holds.iter().map(of).sum()
    }

    /// What each subject that has drawn under a rule has drawn, the most first.
    pub(super) fn all_used(&self, rule: usize) -> Vec<u32> {
        let draws = self.holds.iter().flat_map(|hold| &hold.draws);
        let subjects: BTreeSet<Subject> =
            draws.filter(|draw| draw.rule == rule).map(|draw| draw.subject).collect();
        let used = subjects.into_iter().map(|subject| self.used(rule, subject));
        let mut used: Vec<u32> = used.filter(|used| *used > 0).collect();
        used.sort_unstable_by(|one, other| other.cmp(one));
        used
    }

    pub(super) fn named(&self, name: usize) -> Option<usize> {
        self.rules.iter().position(|rule| rule.in_force && rule.name == name)
    }

    /// The rules that cover a product, by number.
    pub(super) fn covering(&self, product: usize) -> Vec<usize> {
        let grouped = self.group.contains(&product);
        let covers =
            |rule: &&Rule| rule.in_force && (rule.products[product] || (rule.grouped && grouped));
        let numbered = self.rules.iter().enumerate();
        numbered.filter(|(_, rule)| covers(rule)).map(|(number, _)| number).collect()
    }

    fn is_limited(&self, level: usize) -> bool {
        !self.covering(LEVELS[level].1).is_empty()
    }

    pub(super) fn asks_at_sale(&self) -> bool {
        self.rules.iter().any(|rule| rule.in_force && rule.spec.at_sale)
    }

    /// How much more of a product a customer and a card may hold, if a limit says.
    pub(super) fn room(&self, product: usize, customer: u8, card: u8) -> Option<u32> {
        let left = |number: usize| {
            let rule = &self.rules[number];
            let subject = match rule.spec.kind {
                Kind::Customer => Subject::Customer(customer),
                Kind::Card => Subject::Card(card),
                Kind::Level => return None,
            };
            let left = rule.maximum.saturating_sub(self.used(number, subject));
            if rule.spec.reservations && left > 0 { None } else { Some(left) }
        };
        self.covering(product).into_iter().filter_map(left).min()
    }

    /// Takes back all that is due.
    pub(super) fn take_back_due(&mut self) {
        let now = self.now;
        for number in 0..self.holds.len() {
            let hold = &mut self.holds[number];
            if hold.phase == Phase::Pending && now > hold.expires {
                self.end(number, Phase::Expired);
            } else {
                let due = |draw: &&mut Draw| draw.until.is_some_and(|until| now > until);
                hold.draws.iter_mut().filter(due).for_each(|draw| draw.drawn = 0);
            }
        }
    }

    // Taking

    /// What these lines draw: the number of the line, its level, its units.
    pub(super) fn plan(
        &self,
        taking: Taking,
        lines: &[(usize, usize, u32)],
        who: Who,
        had: &[Draw],
    ) -> Result<Plan, Denied> {
        if let Some(name) = who.passes
            && self.named(name).is_none()
        {
            return Err(Denied::UnknownLimit { limit: name });
        }
        let mut plan = Plan::default();
        for &(line, level, units) in lines {
            for number in self.covering(LEVELS[level].1) {
                let rule = &self.rules[number];
                let drew_before =
                    had.iter().any(|it| (it.line, it.rule, it.of_sale) == (line, number, false));
                let is_asked = match taking {
                    Taking::Hold => !rule.spec.at_sale,
                    Taking::Sale if rule.spec.counts == Counts::Holds => continue,
                    Taking::Sale => true,
                    Taking::SaleOfHeld if drew_before || !rule.spec.at_sale => continue,
                    Taking::SaleOfHeld => true,
                };
                let passed = who.passes == Some(rule.name);
                let subject = match rule.spec.kind {
                    Kind::Customer => who.customer.map(Subject::Customer),
                    Kind::Card => who.card.map(Subject::Card),
                    Kind::Level => Some(Subject::Level(level)),
                };
                let Some(subject) = subject else {
                    if is_asked && !passed {
                        return Err(Denied::NoSubject { limit: rule.name });
                    }
                    continue;
                };
                let of_sale = taking == Taking::SaleOfHeld;
                let draw = Draw { line, rule: number, subject, drawn: units, of_sale, until: None };
                plan.draws.push(draw);
                let same = |it: &&mut Planned| (it.rule, it.subject) == (number, subject);
                let counted =
                    had.iter().any(|it| (it.rule, it.subject) == (number, subject) && it.drawn > 0);
                match plan.asked.iter_mut().find(same) {
                    Some(_) if rule.spec.reservations => {}
                    Some(planned) => planned.asked += units,
                    None => {
                        let one = u32::from(!counted);
                        let asked = if rule.spec.reservations { one } else { units };
                        plan.asked.push(Planned { rule: number, subject, asked, passed });
                    }
                }
            }
        }
        Ok(plan)
    }

    pub(super) fn check(&self, plan: &Plan) -> Result<(), Denied> {
        for Planned { rule: number, subject, asked, passed } in &plan.asked {
            let (rule, used) = (&self.rules[*number], self.used(*number, *subject));
            if !passed && *asked > 0 && used + asked > rule.maximum {
                let (limit, maximum, asked) = (rule.name, rule.maximum, *asked);
                return Err(Denied::Reached { limit, maximum, used, asked });
            }
        }
        Ok(())
    }

    /// Holds or sells these lines, sorted by level: their levels and units.
    pub(super) fn take(
        &mut self,
        wanted: &[(usize, u32)],
        until: Option<u64>,
        who: Who,
    ) -> Result<usize, Denied> {
        let taking = if until.is_some() { Taking::Hold } else { Taking::Sale };
        let mut plan = Plan::default();
        if wanted.iter().any(|(level, _)| self.is_limited(*level)) {
            plan = self.plan(taking, &numbered(wanted), who, &[])?;
        }
        let short = |&(level, units): &(usize, u32)| {
            let available = self.levels[level].available;
            (available < units).then_some((level, units, available))
        };
        let short: Vec<_> = wanted.iter().filter_map(short).collect();
        if !short.is_empty() {
            return Err(Denied::Short(short));
        }
        self.check(&plan)?;
        Ok(self.make(wanted, plan.draws, until, who))
    }

    /// Holds shoes out of both warehouses.
    pub(super) fn fulfil(&mut self, units: u32, until: u64, who: Who) -> Result<usize, Denied> {
        let mut plan = self.plan(Taking::Hold, &[(0, 0, units)], who, &[])?;
        let by_level = |it: &&Planned| self.rules[it.rule].spec.kind == Kind::Level;
        if let Some(it) = plan.asked.iter().find(by_level) {
            return Err(Denied::ByLevel { limit: self.rules[it.rule].name });
        }
        self.check(&plan)?;
        let here = self.levels[0].available.min(units);
        let sum = u64::from(self.levels[0].available) + u64::from(self.levels[1].available);
        if sum < u64::from(units) {
            return Err(Denied::ShortSum(units, sum));
        }
        let parts: Vec<(usize, u32)> =
            [(0, here), (1, units - here)].into_iter().filter(|it| it.1 > 0).collect();
        let whole = std::mem::take(&mut plan.draws);
        for (line, (_, drawn)) in parts.iter().enumerate() {
            plan.draws.extend(whole.iter().map(|draw| Draw { line, drawn: *drawn, ..*draw }));
        }
        Ok(self.make(&parts, plan.draws, Some(until), who))
    }

    fn make(
        &mut self,
        wanted: &[(usize, u32)],
        draws: Vec<Draw>,
        until: Option<u64>,
        who: Who,
    ) -> usize {
        let line = |&(level, quantity): &(usize, u32)| Line {
            level,
            quantity,
            held: quantity,
            sold: 0,
            settled: 0,
        };
        wanted.iter().for_each(|(level, units)| self.levels[*level].available -= units);
        self.holds.push(Hold {
            lines: wanted.iter().map(line).collect(),
            draws,
            phase: Phase::Pending,
            kept: who.keeps,
            expires: until.unwrap_or(self.now),
            at_end: Vec::new(),
            retaken_by: None,
        });
        let number = self.holds.len() - 1;
        if until.is_none() {
            self.end(number, Phase::Confirmed);
        }
        number
    }

    // Rules

    pub(super) fn define(&mut self, rule: Rule) -> Answer {
        let Spec { kind, counts, at_sale, .. } = rule.spec;
        let holds = counts == Counts::Holds;
        if (kind == Kind::Level && !holds) || (at_sale && holds) {
            return Err(Denied::OutOfBounds);
        }
        match self.named(rule.name) {
            Some(known) if self.rules[known].spec != rule.spec => return Err(Denied::Redefined),
            Some(known) => self.rules[known] = rule,
            None => self.rules.push(rule),
        }
        Ok(Given::Done)
    }

    pub(super) fn drop_limit(&mut self, name: usize) -> Answer {
        let known = self.named(name).ok_or(Denied::UnknownLimit { limit: name })?;
        self.rules[known].in_force = false;
        Ok(Given::Done)
    }
}

fn numbered(wanted: &[(usize, u32)]) -> Vec<(usize, usize, u32)> {
    wanted.iter().enumerate().map(|(line, (level, units))| (line, *level, *units)).collect()
}

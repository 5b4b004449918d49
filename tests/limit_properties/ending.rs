//! How holds end in the model, in part or whole, and what becomes of what they sold.

use super::model::{Answer, Denied, Draw, Given, Model, Phase, Subject, Taking};
use super::plan::{Counts, LEVELS, Part, Who};

impl Model {
    /// Sells so much of each line, and gives so much back.
    fn settle(&mut self, number: usize, sold: &[u32], given_back: &[u32]) {
        let hold = &mut self.holds[number];
        for (at, line) in hold.lines.iter_mut().enumerate() {
            line.held -= sold[at] + given_back[at];
            line.sold += sold[at];
            self.levels[line.level].available += given_back[at];
            self.levels[line.level].free += if hold.kept { 0 } else { sold[at] };
        }
        for draw in &mut hold.draws {
            let counts = self.rules[draw.rule].spec.counts;
            if counts == Counts::Holds {
                draw.drawn -= sold[draw.line];
            }
            if !draw.of_sale {
                draw.drawn -= given_back[draw.line].min(draw.drawn);
            }
        }
    }

    /// Notes that nothing is held any more.
    fn finish(&mut self, number: usize, end: Phase, at_end: Vec<(usize, u32)>) {
        let (now, rules, hold) = (self.now, &self.rules, &mut self.holds[number]);
        let sold = hold.lines.iter().any(|line| line.sold > 0);
        hold.phase = if sold { Phase::Confirmed } else { end };
        hold.at_end = at_end;
        for draw in hold.draws.iter_mut().filter(|draw| draw.drawn > 0) {
            if let Counts::SalesWithin(window) = rules[draw.rule].spec.counts {
                draw.until = Some(now + window);
            }
        }
    }

    /// Ends what is held of it.
    pub(super) fn end(&mut self, number: usize, end: Phase) {
        let held: Vec<u32> = self.holds[number].lines.iter().map(|line| line.held).collect();
        let nothing = vec![0; held.len()];
        let lines = &self.holds[number].lines;
        let at_end = lines.iter().filter(|it| it.held > 0).map(|it| (it.level, it.held)).collect();
        match end {
            Phase::Confirmed => self.settle(number, &held, &nothing),
            _ => self.settle(number, &nothing, &held),
        }
        self.finish(number, end, at_end);
    }

    /// Plans what the sale of held units draws.
    fn plan_sale(&self, number: usize, sold: &[u32], who: Who) -> Result<Vec<Draw>, Denied> {
        if !self.asks_at_sale() || sold.iter().all(|units| *units == 0) {
            return Ok(Vec::new());
        }
        let hold = &self.holds[number];
        let lines = hold.lines.iter().zip(sold).enumerate();
        let lines: Vec<_> = lines
            .filter(|(_, (_, units))| **units > 0)
            .map(|(at, (line, units))| (at, line.level, *units))
            .collect();
        let plan = self.plan(Taking::SaleOfHeld, &lines, who, &hold.draws)?;
        self.check(&plan)?;
        Ok(plan.draws)
    }

    /// Keeps the reservation until it is shipped, if the call asks for it: what it sold before is
    /// its own from now on.
    fn keep(&mut self, number: usize, who: Who) -> Result<(), Denied> {
        let hold = &mut self.holds[number];
        if !who.keeps || hold.kept {
            return Ok(());
        }
        for line in &hold.lines {
            let (needed, free) = (line.sold - line.settled, self.levels[line.level].free);
            if free < needed {
                return Err(Denied::NotSold(needed, free));
            }
        }
        for line in &hold.lines {
            self.levels[line.level].free -= line.sold - line.settled;
        }
        hold.kept = true;
        Ok(())
    }

    fn add_draws(&mut self, number: usize, draws: Vec<Draw>) {
        for draw in draws {
            let same = |it: &&mut Draw| {
                it.of_sale && (it.line, it.rule, it.subject) == (draw.line, draw.rule, draw.subject)
            };
            match self.holds[number].draws.iter_mut().find(same) {
                Some(known) => known.drawn += draw.drawn,
                None => self.holds[number].draws.push(draw),
            }
        }
    }

    pub(super) fn confirm(&mut self, number: usize, who: Who) -> Answer {
        if self.holds[number].phase != Phase::Pending {
            return Err(Denied::Gone);
        }
        let held: Vec<u32> = self.holds[number].lines.iter().map(|line| line.held).collect();
        let draws = self.plan_sale(number, &held, who)?;
        self.keep(number, who)?;
        self.add_draws(number, draws);
        self.end(number, Phase::Confirmed);
        Ok(Given::Done)
    }

    pub(super) fn release(&mut self, number: usize) -> Answer {
        if self.holds[number].phase != Phase::Pending {
            return Ok(Given::Over);
        }
        self.end(number, Phase::Released);
        Ok(Given::Done)
    }

    pub(super) fn extend(&mut self, number: usize, ttl: u64) -> Answer {
        let (now, hold) = (self.now, &mut self.holds[number]);
        if hold.phase != Phase::Pending {
            return Err(Denied::Gone);
        }
        hold.expires = hold.expires.max(now + ttl);
        Ok(Given::Done)
    }

    /// A step on so many units of each line.
    pub(super) fn part(&mut self, part: Part, number: usize, named: &[u32], who: Who) -> Answer {
        if matches!(part, Part::Ship | Part::Cancel) {
            return self.settle_sold(part, number, named);
        }
        let hold = &self.holds[number];
        if hold.phase != Phase::Pending {
            return Err(Denied::Gone);
        }
        if let Some((line, units)) = hold.lines.iter().zip(named).find(|it| *it.1 > it.0.held) {
            return Err(Denied::NotHeld(*units, line.held));
        }
        let rest = hold.lines.iter().zip(named).map(|(line, units)| line.held - units).collect();
        let (sold, given_back) = match part {
            Part::Confirm => (named.to_vec(), vec![0; named.len()]),
            Part::Release => (vec![0; named.len()], named.to_vec()),
            _ => (named.to_vec(), rest),
        };
        let draws = self.plan_sale(number, &sold, who)?;
        if part != Part::Release {
            self.keep(number, who)?;
        }
        let moved = self.holds[number].lines.iter().zip(&given_back);
        let at_end = moved.filter(|it| *it.1 > 0).map(|it| (it.0.level, *it.1)).collect();
        self.settle(number, &sold, &given_back);
        self.add_draws(number, draws);
        if self.holds[number].lines.iter().all(|line| line.held == 0) {
            self.finish(number, Phase::Released, at_end);
        }
        Ok(Given::Status(self.holds[number].phase))
    }

    /// Ships sold units of a reservation, or cancels their sale.
    fn settle_sold(&mut self, part: Part, number: usize, named: &[u32]) -> Answer {
        let hold = &mut self.holds[number];
        for (line, units) in hold.lines.iter().zip(named) {
            if *units > line.sold - line.settled {
                return Err(Denied::NotSold(*units, line.sold - line.settled));
            }
        }
        for (line, units) in hold.lines.iter().zip(named).filter(|it| *it.1 > 0) {
            let free = self.levels[line.level].free;
            if !hold.kept && free < *units {
                return Err(Denied::NotSold(*units, free));
            }
        }
        for (at, units) in named.iter().enumerate() {
            let line = &mut hold.lines[at];
            line.settled += units;
            self.levels[line.level].free -= if hold.kept { 0 } else { *units };
            if part == Part::Cancel {
                self.levels[line.level].available += units;
                // Cards that paid for units of one line give back one after the other.
                let mut draws: Vec<_> =
                    hold.draws.iter_mut().filter(|draw| draw.line == at).collect();
                draws.sort_by_key(|draw| (draw.rule, (self.rank)(draw.subject)));
                for of_rule in draws.chunk_by_mut(|one, next| one.rule == next.rule) {
                    let mut left = *units;
                    let counts = self.rules[of_rule[0].rule].spec.counts;
                    if matches!(counts, Counts::Sales | Counts::SalesWithin(_)) {
                        for draw in of_rule {
                            let gone = draw.drawn.min(left);
                            draw.drawn -= gone;
                            left -= gone;
                        }
                    }
                }
            }
        }
        Ok(Given::Done)
    }

    pub(super) fn retake(&mut self, number: usize, who: Who) -> Answer {
        let hold = &self.holds[number];
        match hold.phase {
            Phase::Pending => return self.confirm(number, who).map(|_| Given::Confirmed),
            Phase::Confirmed => return Ok(Given::SoldBefore),
            Phase::Released | Phase::Expired => {}
        }
        if let Some(by) = hold.retaken_by {
            return Ok(Given::RetakenBefore(by));
        }
        // Whom the hold was for, where the call does not say.
        let customers = hold.draws.iter().find_map(|draw| match draw.subject {
            Subject::Customer(id) => Some(id),
            _ => None,
        });
        let cards = hold.draws.iter().find_map(|draw| match draw.subject {
            Subject::Card(id) => Some(id),
            _ => None,
        });
        let who = Who {
            customer: who.customer.or(customers),
            card: who.card.or(cards),
            keeps: who.keeps || hold.kept,
            ..who
        };
        let wanted = hold.at_end.clone();
        let new = self.take(&wanted, None, who)?;
        self.holds[number].retaken_by = Some(new);
        Ok(Given::Retaken(new))
    }

    /// Ships units of a level, or cancels their sale, without saying whose they are.
    pub(super) fn settle_level(&mut self, level: usize, units: u32, cancel: bool) -> Answer {
        let gives_back = |number: &usize| {
            let counts = self.rules[*number].spec.counts;
            matches!(counts, Counts::Sales | Counts::SalesWithin(_))
        };
        if let Some(rule) = self.covering(LEVELS[level].1).into_iter().find(gives_back) {
            return Err(Denied::NeedsReservation { limit: self.rules[rule].name });
        }
        let counts = &mut self.levels[level];
        if counts.free < units {
            return Err(Denied::NotSold(units, counts.free));
        }
        counts.free -= units;
        counts.available += if cancel { units } else { 0 };
        Ok(Given::Done)
    }
}

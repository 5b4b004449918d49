//! Runs a plan on an engine with a journal and on the model, and compares both after every step.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, DefineLimitError, HoldRequest, InventoryManager, JournalOptions, LimitCounts,
    LimitRule, Limits, ManualClock, ReservationId, ReservationStatus, SaleRequest, SubjectHash,
    Timestamp,
};

use super::model::{Answer, Denied, Given, Line, Model, Phase, Rule, STOCK, Subject};
use super::plan::{Counts, Kind, LEVELS, NAMES, PRODUCTS, Part, SUBJECTS, Step, Take, Who};
use super::translate::{Plain, PlainOf, id_of, level_named, name_of, who_named};

const START: u64 = 1_000_000;
/// A step goes to one of so many of the newest holds.
const RECENT: usize = 8;

/// The engine's hash of a subject that is no level: it gives back in this order.
fn hash_of(subject: Subject) -> Option<SubjectHash> {
    static HASHES: OnceLock<Vec<(Subject, SubjectHash)>> = OnceLock::new();
    let hashes = HASHES.get_or_init(|| {
        let builder = InventoryManager::builder().warehouse("SF").subject_secret([7; 16]);
        let manager = builder.without_threads().build().expect("an engine");
        manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER").expect("room");
        let kinds = [("customer", Kind::Customer), ("card", Kind::Card)];
        for (name, _) in kinds {
            let limit = LimitRule::new(name, name, 1).asked_at_sale().products(["SHOE"]);
            manager.define_limit(limit).expect("a limit");
        }
        let mut hashes = Vec::new();
        for id in 0..SUBJECTS {
            let call = manager.request().subject("customer", id_of(id)).subject("card", id_of(id));
            call.sell(("SF", "SHOE"), 1).expect("one each");
            for (name, kind) in kinds {
                let used = manager.most_used(name, 9).expect("a limit");
                let new = used.iter().find(|it| hashes.iter().all(|(_, hash)| *hash != it.0));
                hashes.push((who_named(kind, id), new.expect("one more").0));
            }
        }
        hashes
    });
    hashes.iter().find(|(known, _)| *known == subject).map(|(_, hash)| *hash)
}

pub(super) struct Driver {
    model: Model,
    manager: Option<InventoryManager>,
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    ids: Vec<ReservationId>,
    numbers: HashMap<ReservationId, usize>,
    story: Vec<String>,
}

impl Driver {
    pub(super) fn new() -> Self {
        let mut driver = Self {
            model: Model::new(START, hash_of),
            manager: None,
            disk: SimulatedDisk::new(),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(START))),
            ids: Vec::new(),
            numbers: HashMap::new(),
            story: Vec::new(),
        };
        driver.open();
        for level in 0..LEVELS.len() {
            driver.manager().add_stock(name_of(level), STOCK, "SUPPLIER").expect("room");
        }
        driver
    }

    fn manager(&self) -> &InventoryManager {
        self.manager.as_ref().expect("it is open")
    }

    fn open(&mut self) {
        let journal = JournalOptions::storage(self.disk.clone())
            .least_free_space(0)
            .recovery_grace(Duration::ZERO);
        let limits = Limits::new().max_reservations(4_096).audit_queue(256).max_allowances(256);
        let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
        let builder = builder.without_threads().limits(limits).seed(7).subject_secret([7; 16]);
        let builder = builder.clock(Arc::clone(&self.clock)).journal(journal);
        self.manager = Some(builder.build().expect("a journal that was closed"));
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.story.push(format!("\n  {step:?}"));
        if let Step::Advance(millis) = step {
            self.clock.advance(Duration::from_millis(*millis));
            self.model.now += millis;
            // Every other time, the next call finds that something is overdue.
            if millis % 2 == 1 {
                return;
            }
        }
        self.model.take_back_due();
        self.call(step);
        self.manager().run_until_idle();
        self.compare();
    }

    pub(super) fn finish(mut self) {
        self.step(&Step::Restart);
        // Whatever is held or counts for a time is given back.
        self.step(&Step::Advance(1_000_000));
        self.assert_sound();
    }

    fn tell(&self) -> String {
        self.story.concat()
    }

    fn assert_sound(&self) {
        let report = self.manager().verify().expect("a journal");
        assert!(report.is_sound(), "{report:?} after {}", self.tell());
    }

    fn call(&mut self, step: &Step) {
        let (expected, answer) = match step {
            Step::Advance(_) => return,
            Step::Restart => {
                self.assert_sound();
                self.manager = None;
                return self.open();
            }
            Step::Restock(level, units) => {
                self.model.levels[*level].available += units;
                self.manager().add_stock(name_of(*level), *units, "SUPPLIER").expect("room");
                return;
            }
            Step::Regroup(product, add) => return self.regroup(*product, *add),
            Step::Take { take, ttl, who } => self.take(take, *ttl, *who),
            Step::Define(name, spec, maximum, products, grouped) => self.define(Rule {
                name: *name,
                spec: *spec,
                maximum: *maximum,
                products: *products,
                grouped: *grouped,
                in_force: true,
            }),
            Step::Drop(name) => {
                let dropped = self.manager().drop_limit(NAMES[*name]);
                (self.model.drop_limit(*name), dropped.map(|()| Given::Done).plain())
            }
            Step::ShipByLevel(level, units) => {
                let done = self.manager().ship(name_of(*level), *units).map(|()| Given::Done);
                (self.model.settle_level(*level, *units, false), done.plain())
            }
            Step::CancelByLevel(level, units) => {
                let done = self.manager().cancel_sale(name_of(*level), *units, "declined");
                let done = done.map(|()| Given::Done);
                (self.model.settle_level(*level, *units, true), done.plain())
            }
            _ if self.ids.is_empty() => return,
            Step::Confirm(hold, who) => {
                let (number, id) = self.hold(*hold);
                let done = sale_request(self.manager(), *who).confirm(id).map(|()| Given::Done);
                (self.model.confirm(number, *who), done.plain())
            }
            Step::Release(hold) => {
                let (number, id) = self.hold(*hold);
                let was_pending = self.model.holds[number].phase == Phase::Pending;
                let given = if was_pending { Given::Done } else { Given::Over };
                let answer = match self.manager().release(id) {
                    Ok(_) | Err(stockade::ReleaseError::Sold { .. }) => Ok(given),
                    Err(error) => panic!("{error} after {}", self.tell()),
                };
                (self.model.release(number), answer)
            }
            Step::Extend(hold, ttl) => {
                let (number, id) = self.hold(*hold);
                let done = self.manager().extend(id, Duration::from_millis(*ttl));
                (self.model.extend(number, *ttl), done.map(|_| Given::Done).plain())
            }
            Step::Part(part, hold, named, who) => self.part(*part, *hold, *named, *who),
            Step::Retake(hold, who) => {
                let (number, id) = self.hold(*hold);
                let expected = self.model.retake(number, *who);
                let answer = hold_request(self.manager(), *who).confirm_or_retake(id);
                let answer = self.late(answer.plain(), &expected);
                (expected, answer)
            }
        };
        assert_eq!(answer, expected, "after {}", self.tell());
    }

    fn regroup(&mut self, product: usize, add: bool) {
        let named = [PRODUCTS[product].into()];
        if add {
            self.model.group.insert(product);
            self.manager().add_to_group("drop", &named).expect("a product");
        } else {
            self.model.group.remove(&product);
            self.manager().remove_from_group("drop", &named).expect("a product");
        }
    }

    fn define(&mut self, rule: Rule) -> (Answer, Answer) {
        let mut limit = match rule.spec.kind {
            Kind::Customer => LimitRule::new(NAMES[rule.name], "customer", rule.maximum),
            Kind::Card => LimitRule::new(NAMES[rule.name], "card", rule.maximum),
            Kind::Level => LimitRule::by_level(NAMES[rule.name], rule.maximum),
        };
        limit = limit.counts(match rule.spec.counts {
            Counts::Holds => LimitCounts::Holds,
            Counts::Sales => LimitCounts::Sales,
            Counts::SalesKept => LimitCounts::SalesKept,
            Counts::SalesWithin(millis) => LimitCounts::SalesWithin(Duration::from_millis(millis)),
        });
        let covered = PRODUCTS.iter().zip(rule.products).filter(|(_, covers)| *covers);
        limit = limit.products(covered.map(|(name, _)| *name));
        if rule.spec.reservations {
            limit = limit.reservations();
        }
        if rule.spec.at_sale {
            limit = limit.asked_at_sale();
        }
        if rule.grouped {
            limit = limit.group("drop");
        }
        let answer = self.manager().define_limit(limit.clone()).map(|()| Given::Done);
        if answer.is_ok() {
            assert!(self.manager().limits().contains(&limit), "after {}", self.tell());
        }
        (self.model.define(rule), answer.plain())
    }

    fn take(&mut self, take: &Take, ttl: u64, who: Who) -> (Answer, Answer) {
        let (until, span) = (self.model.now + ttl, Duration::from_millis(ttl));
        // A handle of its own, so that the request does not borrow the driver.
        let manager = self.manager().clone();
        let request = hold_request(&manager, who);
        let (expected, answer) = match take {
            Take::Reserve(level, units) => {
                let made = request.reserve(name_of(*level), *units, span);
                let made = made.plain_of(*level);
                (self.model.take(&[(*level, *units)], Some(until), who), made)
            }
            Take::Sell(level, units) => {
                let made = request.sell(name_of(*level), *units).plain_of(*level);
                (self.model.take(&[(*level, *units)], None, who), made)
            }
            Take::Basket(lines) => {
                let basket: Vec<BasketLine<'_>> =
                    lines.iter().map(|it| BasketLine::new(name_of(it.0), it.1)).collect();
                let made = request.reserve_basket(&basket, span).plain();
                let mut merged = [0; LEVELS.len()];
                lines.iter().for_each(|(level, units)| merged[*level] += units);
                let merged: Vec<(usize, u32)> =
                    merged.into_iter().enumerate().filter(|it| it.1 > 0).collect();
                (self.model.take(&merged, Some(until), who), made)
            }
            Take::Fulfil(units) => {
                let order = ["SF".into(), "NYC".into()];
                let made = request.fulfill_across_warehouses("SHOE", *units, &order, span);
                (self.model.fulfil(*units, until, who), made.plain())
            }
        };
        let expected = expected.map(Given::Hold);
        let answer = answer.map(|id| Given::Hold(self.number(id, &expected)));
        (expected, answer)
    }

    fn part(&mut self, part: Part, hold: usize, named: [u32; 3], who: Who) -> (Answer, Answer) {
        let (number, id) = self.hold(hold);
        let levels: Vec<usize> =
            self.model.holds[number].lines.iter().map(|line| line.level).collect();
        let mut named = named[..levels.len()].to_vec();
        if named.iter().all(|units| *units == 0) {
            named[0] = 1;
        }
        let lines: Vec<BasketLine<'_>> = levels
            .iter()
            .zip(&named)
            .filter(|it| *it.1 > 0)
            .map(|(level, units)| BasketLine::new(name_of(*level), *units))
            .collect();
        let manager = self.manager().clone();
        let request = sale_request(&manager, who);
        let status = |status| Given::Status(phase_of(status));
        let answer = match part {
            Part::Confirm => request.confirm_lines(id, &lines).map(status).plain(),
            Part::ConfirmAndReleaseRest => {
                request.confirm_lines_and_release_rest(id, &lines).map(status).plain()
            }
            Part::Release => self.manager().release_lines(id, &lines).map(status).plain(),
            Part::Ship => self.manager().ship_lines(id, &lines).map(|()| Given::Done).plain(),
            Part::Cancel => {
                let done = self.manager().cancel_sale_lines(id, &lines, "declined");
                done.map(|()| Given::Done).plain()
            }
        };
        (self.model.part(part, number, &named, who), answer)
    }

    fn late(
        &mut self,
        answer: Result<stockade::ConfirmOrRetake, Denied>,
        expected: &Answer,
    ) -> Answer {
        use stockade::ConfirmOrRetake::{
            AlreadyRetaken, AlreadySold, Confirmed, PartlySold, Retaken,
        };
        Ok(match answer? {
            Confirmed => Given::Confirmed,
            Retaken(id) => Given::Retaken(self.number(id, expected)),
            AlreadyRetaken(id) => Given::RetakenBefore(self.number(id, expected)),
            AlreadySold { .. } | PartlySold { .. } => Given::SoldBefore,
            other => panic!("{other:?} is new to these tests"),
        })
    }

    /// The number of a hold. One that the model has just made gets its id here.
    fn number(&mut self, id: ReservationId, expected: &Answer) -> usize {
        if let Some(known) = self.numbers.get(&id) {
            return *known;
        }
        let fresh = self.ids.len();
        if !matches!(expected, Ok(Given::Hold(new) | Given::Retaken(new)) if *new == fresh) {
            return usize::MAX;
        }
        self.ids.push(id);
        self.numbers.insert(id, fresh);
        fresh
    }

    /// One of the newest holds.
    fn hold(&self, hold: usize) -> (usize, ReservationId) {
        let number = self.ids.len() - 1 - hold % self.ids.len().min(RECENT);
        (number, self.ids[number])
    }

    fn compare(&self) {
        for level in 0..LEVELS.len() {
            self.compare_level(level);
        }
        for (number, rule) in self.model.rules.iter().enumerate() {
            if rule.in_force {
                self.compare_rule(number, rule);
            }
        }
        for (product, name) in PRODUCTS.iter().enumerate() {
            for id in 0..SUBJECTS {
                let both = Who { customer: Some(id), card: Some(id), passes: None, keeps: false };
                let room = hold_request(self.manager(), both).room_for(*name).expect("a product");
                assert_eq!(room, self.model.room(product, id, id), "after {}", self.tell());
            }
        }
        for (number, id) in self.ids.iter().enumerate().rev().take(RECENT) {
            self.compare_hold(number, *id);
        }
    }

    fn compare_level(&self, level: usize) {
        let (mut held, mut kept) = (0, 0);
        for hold in &self.model.holds {
            for line in hold.lines.iter().filter(|line| line.level == level) {
                held += line.held;
                kept += if hold.kept { line.sold - line.settled } else { 0 };
            }
        }
        let model = self.model.levels[level];
        let sold = model.free + kept;
        let seen = self.manager().counts(name_of(level)).expect("open");
        let seen = (seen.available, seen.reserved, seen.sold, seen.tracked);
        let expected = (model.available, held + sold, sold, kept);
        assert_eq!(seen, expected, "{:?} after {}", name_of(level), self.tell());
    }

    fn compare_rule(&self, number: usize, rule: &Rule) {
        let name = NAMES[rule.name];
        let compare = |subject: Subject, seen: Result<stockade::LimitUsage, DefineLimitError>| {
            let seen = seen.map(|it| (it.used, it.maximum)).expect("in force");
            let expected = (self.model.used(number, subject), rule.maximum);
            assert_eq!(seen, expected, "{name}, {subject:?} after {}", self.tell());
        };
        match rule.spec.kind {
            Kind::Level => (0..LEVELS.len()).for_each(|level| {
                let seen = self.manager().usage_of_level(name, name_of(level));
                compare(Subject::Level(level), seen);
            }),
            kind => (0..SUBJECTS).for_each(|id| {
                compare(who_named(kind, id), self.manager().usage(name, id_of(id)));
            }),
        }
        let most = self.manager().most_used(name, usize::MAX).expect("in force");
        let most: Vec<u32> = most.into_iter().map(|(_, used)| used).collect();
        assert_eq!(most, self.model.all_used(number), "{name} after {}", self.tell());
    }

    fn compare_hold(&self, number: usize, id: ReservationId) {
        let expected = &self.model.holds[number];
        let found = match self.manager().reservation(id) {
            Ok(found) => found,
            Err(missing) => panic!("{missing} after {}", self.tell()),
        };
        let line = |it: &stockade::ReservationLine| Line {
            level: level_named(&it.warehouse, &it.product),
            quantity: it.quantity,
            held: it.held,
            sold: it.sold,
            settled: it.settled,
        };
        let lines: Vec<Line> = found.lines.iter().map(line).collect();
        let seen = (phase_of(found.status), &lines, found.keep_until_shipped);
        let expected = (expected.phase, &expected.lines, expected.kept);
        assert_eq!(seen, expected, "hold {number} after {}", self.tell());
    }
}

fn hold_request(manager: &InventoryManager, who: Who) -> HoldRequest<'_> {
    sale_request(manager, who).into()
}

/// For the sale of what is held.
fn sale_request(manager: &InventoryManager, who: Who) -> SaleRequest<'_> {
    let mut request = SaleRequest::from(manager.request());
    if let Some(id) = who.customer {
        request = request.subject("customer", id_of(id));
    }
    if let Some(id) = who.card {
        request = request.subject("card", id_of(id));
    }
    if let Some(name) = who.passes {
        request = request.pass_limit(NAMES[name], "by hand");
    }
    if who.keeps { request.keep_until_shipped() } else { request }
}

fn phase_of(status: ReservationStatus) -> Phase {
    match status {
        ReservationStatus::Pending => Phase::Pending,
        ReservationStatus::Confirmed => Phase::Confirmed,
        ReservationStatus::Released => Phase::Released,
        ReservationStatus::Expired => Phase::Expired,
    }
}

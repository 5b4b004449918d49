//! One customer under limits, served by several threads at once: holds, sales, steps on parts,
//! retakes, cancelled sales, and time that goes by; and somebody who changes a limit.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shuttle::thread;
use stockade::{
    AuditFilter, BasketLine, CallError, ConfirmError, ConfirmOrRetake, InventoryManager,
    LimitCounts, LimitError, LimitRule, Limits, ManualClock, NotStarted, PartialError,
    ReservationId, ReserveError, RetakeError, SoldLinesError, Timestamp,
};

use crate::ledger;
use crate::rng::Rng;

const SHOE: (&str, &str) = ("SF", "SHOE");
const SOCK: (&str, &str) = ("SF", "SOCK");
const MOST: u32 = 2;
const WINDOW: Duration = Duration::from_millis(12);
const LONG: Duration = Duration::from_secs(100_000);
/// Units, and orders.
const LIMITS: [&str; 2] = ["two each", "two orders"];

struct Shop {
    manager: InventoryManager,
    clock: Arc<ManualClock>,
    counts: LimitCounts,
    /// No atomic is touched while this is held.
    holds: Mutex<Vec<ReservationId>>,
}

/// Lets two or three threads make some calls each, then looks at what is left.
pub(crate) fn play(seed: u64) {
    let mut rng = Rng::new(seed, 98);
    let shop = Shop::open(seed);
    let (threads, calls) = (2 + rng.below(2) as usize, 2 + rng.below(3));
    thread::scope(|scope| {
        for thread in 0..threads {
            let (shop, mut rng) = (&shop, Rng::new(seed, thread));
            scope.spawn(move || (0..calls).for_each(|_| shop.call(&mut rng)));
        }
    });
    shop.end();
}

impl Shop {
    fn open(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let manager = InventoryManager::builder()
            .warehouse("SF")
            .clock(Arc::clone(&clock))
            .seed(seed)
            .subject_secret([7; 16])
            .without_threads()
            // One customer fills the table.
            .limits(Limits::new().max_reservations(64).audit_queue(256).max_allowances(2))
            .build()
            .expect("a legal engine");
        for level in [SHOE, SOCK] {
            manager.add_stock(level, 100, "SUPPLIER").expect("room");
        }
        let counts = [
            LimitCounts::Holds,
            LimitCounts::Sales,
            LimitCounts::SalesKept,
            LimitCounts::SalesWithin(WINDOW),
        ][seed as usize % 4];
        let shop = Self { manager, clock, counts, holds: Mutex::default() };
        shop.define(MOST);
        let orders = LimitRule::new(LIMITS[1], "customer", MOST).counts(counts).reservations();
        shop.manager.define_limit(orders.products(["SHOE", "SOCK"])).expect("a limit");
        shop
    }

    fn define(&self, most: u32) {
        let limit = LimitRule::new(LIMITS[0], "customer", most).counts(self.counts);
        self.manager.define_limit(limit.products(["SHOE", "SOCK"])).expect("a limit");
    }

    fn show(&self, id: ReservationId) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn any(&self, rng: &mut Rng) -> Option<ReservationId> {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        (!holds.is_empty()).then(|| *rng.pick_ref(&holds))
    }

    fn call(&self, rng: &mut Rng) {
        let manager = &self.manager;
        let ann = manager.request().subject("customer", "ann").keep_until_shipped();
        let one = [BasketLine::new(rng.pick(&[SHOE, SOCK]), 1)];
        let both = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
        let ttl = Duration::from_millis(rng.below(20) + 1);
        match (rng.below(13), self.any(rng)) {
            (0 | 1, _) | (_, None) => match ann.reserve_basket(&both, ttl) {
                Ok(id) => self.show(id),
                Err(stockade::BasketError::Limit(limit)) => is_true(&limit),
                Err(stockade::BasketError::Call(busy)) => busy_only(busy),
                Err(error) => panic!("{error}"),
            },
            (2, _) => self.made(ann.reserve(SHOE, 1, ttl)),
            (3, _) => self.made(ann.sell(SOCK, 1)),
            (4, Some(id)) => match manager.confirm(id) {
                Err(ConfirmError::Call(busy)) => busy_only(busy),
                Err(error @ ConfirmError::Limit(_)) => panic!("{error}"),
                _ => {}
            },
            (5, Some(id)) => drop(manager.release(id)),
            (6, Some(id)) => self.stepped(manager.confirm_lines(id, &one)),
            (7, Some(id)) => self.stepped(manager.release_lines(id, &one)),
            (8, Some(id)) => {
                let cancelled = manager.cancel_sale_lines(id, &one, "returned");
                if let Err(SoldLinesError::Call(busy)) = cancelled {
                    busy_only(busy);
                }
            }
            (9, Some(id)) => match manager.confirm_or_retake(id) {
                Ok(ConfirmOrRetake::Retaken(new)) => self.show(new),
                Err(RetakeError::Limit(limit)) => is_true(&limit),
                _ => {}
            },
            (10, _) => {
                self.clock.advance(Duration::from_millis(rng.below(15) + 1));
                manager.run_until_idle();
            }
            (11, _) => self.define(1 + rng.below(2) as u32),
            _ => self.look(),
        }
    }

    fn made(&self, made: Result<ReservationId, ReserveError>) {
        match made {
            Ok(id) => self.show(id),
            Err(ReserveError::Limit(limit)) => is_true(&limit),
            Err(ReserveError::Call(busy)) => busy_only(busy),
            Err(error) => panic!("{error}"),
        }
    }

    fn stepped<T>(&self, answer: Result<T, PartialError>) {
        match answer {
            Err(PartialError::Call(busy)) => busy_only(busy),
            Err(error @ PartialError::Limit(_)) => panic!("{error}"),
            _ => {}
        }
    }

    fn used(&self) -> [u32; 2] {
        LIMITS.map(|limit| self.manager.usage(limit, "ann").expect("a limit").used)
    }

    fn look(&self) {
        let used = self.used();
        assert!(used.into_iter().all(|used| used <= MOST), "{used:?} are used");
    }

    fn known(&self) -> BTreeSet<ReservationId> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// What is held and bought, as far as it counts: units, and orders.
    fn drawn(&self) -> [u32; 2] {
        let mut sum = [0, 0];
        for found in self.known().into_iter().filter_map(|id| self.manager.reservation(id).ok()) {
            let counted = found.lines.iter().map(|line| match self.counts {
                LimitCounts::Holds => line.held,
                LimitCounts::SalesKept => line.held + line.sold,
                _ => line.held + line.sold - line.settled,
            });
            let units: u32 = counted.sum();
            let is_over = found.units_held() == 0;
            let counts_on = !matches!(self.counts, LimitCounts::SalesWithin(_)) || !is_over;
            if counts_on {
                sum = [sum[0] + units, sum[1] + units.min(1)];
            }
        }
        sum
    }

    fn end(&self) {
        let manager = &self.manager;
        self.look();
        // Whatever counts for a time from the end of its hold counts no more.
        for _ in 0..2 {
            self.do_the_books();
            self.clock.advance(LONG);
            manager.run_until_idle();
        }
        assert_eq!(self.used(), self.drawn());
        for id in self.known() {
            for level in [SHOE, SOCK] {
                let one = [BasketLine::new(level, 1)];
                while manager.cancel_sale_lines(id, &one, "returned").is_ok() {}
            }
        }
        self.do_the_books();
        if self.counts == LimitCounts::SalesKept {
            assert_eq!(self.used(), self.drawn());
            return;
        }
        assert_eq!(self.used(), [0, 0]);
        // Nothing of her is left in the table: there is room for another customer in both places.
        self.define(MOST);
        let bob = manager.request().subject("customer", "bob");
        bob.reserve(SHOE, 2, WINDOW).expect("nobody else is there");
    }

    /// The log is legal, and says of each draw that it was within the maximum by which it went.
    fn do_the_books(&self) {
        self.manager.flush().wait().expect("a healthy log");
        let log = self.manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
        for draw in log.iter().flat_map(|entry| entry.limits.iter()) {
            assert!(draw.used_after <= draw.maximum, "{draw:?}");
        }
        ledger::assert_legal(&log).assert_ends_as(&self.manager);
    }
}

fn is_true(limit: &LimitError) {
    match limit {
        LimitError::Reached { maximum, used, asked, .. } => {
            assert!(*used <= MOST && used + asked > *maximum, "{limit:?}");
        }
        other => panic!("{other}"),
    }
}

fn busy_only(refusal: CallError) {
    assert_eq!(refusal, NotStarted::Busy.into());
}

/// Two confirms of one card at a limit of one, which both ask to keep what their holds sold before.
/// The one that is refused leaves its hold as it was.
pub(crate) fn two_sales_of_one_card(seed: u64) {
    let shop = Shop::open(seed);
    let manager = &shop.manager;
    LIMITS.iter().for_each(|limit| manager.drop_limit(limit).expect("a limit"));
    let both = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
    let half_sold = |_| {
        let id = manager.reserve_basket(&both, WINDOW).expect("stock");
        manager.confirm_lines(id, &both[..1]).expect("held");
        id
    };
    let holds = [0, 1].map(half_sold);
    let limit = LimitRule::new("one a card", "card", 1).asked_at_sale().products(["SOCK"]);
    manager.define_limit(limit).expect("a limit");
    thread::scope(|scope| {
        for id in holds {
            scope.spawn(move || {
                let card = manager.request().subject("card", "c1").keep_until_shipped();
                match card.confirm(id) {
                    Ok(()) => {}
                    Err(ConfirmError::Limit(limit)) => {
                        assert!(matches!(*limit, LimitError::Reached { used: 1, asked: 1, .. }));
                    }
                    Err(error) => panic!("{error}"),
                }
            });
        }
    });
    let found = holds.map(|id| manager.reservation(id).expect("a record"));
    let kept = found.iter().filter(|found| found.keep_until_shipped).count() as u32;
    let sold = found.iter().filter(|found| found.units_held() == 0).count() as u32;
    assert_eq!((kept, sold), (1, 1), "{found:?}");
    assert_eq!(manager.counts(SHOE).expect("known").tracked, 1);
    shop.do_the_books();
}

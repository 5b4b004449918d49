//! The engine with a limit per customer on all its products: each hold names its customer.

use stockade::{LevelHandle, LimitError, LimitRule, ReservationId, ReserveError};

use super::customers::Customers;
use super::engine::{Engine, EngineSession, name};
use super::ledger::{About, Durability, Ledger, Session, TTL, Writer};

/// An engine whose sessions call it like that.
pub(crate) struct LimitedEngine(Engine);

impl LimitedEngine {
    /// Opens an engine with these units of each product. A customer may have `maximum` of them.
    pub(crate) fn open(durability: Durability, units: &[u32], maximum: u32) -> Self {
        let engine = Engine::open(durability, units);
        let limit = LimitRule::new("each", "customer", maximum);
        let limit = limit.products((0..units.len()).map(name));
        engine.manager.define_limit(limit).expect("a legal limit");
        Self(engine)
    }
}

impl Ledger for LimitedEngine {
    type Session = LimitedSession;

    fn about(&self) -> About {
        self.0.about()
    }

    fn product(&self, index: usize) -> LevelHandle {
        self.0.product(index)
    }

    fn session(&self) -> LimitedSession {
        LimitedSession { plain: self.0.session(), customers: None }
    }

    fn writer(&self) -> Option<Writer> {
        self.0.writer()
    }
}

pub(crate) struct LimitedSession {
    plain: EngineSession,
    customers: Option<Customers>,
}

impl Session for LimitedSession {
    type Product = LevelHandle;
    type Hold = ReservationId;

    fn serve(&mut self, customers: Customers) {
        self.customers = Some(customers);
    }

    #[inline]
    fn reserve(&mut self, product: LevelHandle) -> Option<ReservationId> {
        let customer = self.customers.as_mut().expect("a customer").next();
        let request = self.plain.manager.request().subject("customer", customer.to_le_bytes());
        match request.reserve(product, 1, TTL) {
            Ok(hold) => Some(hold),
            Err(
                ReserveError::Insufficient { .. } | ReserveError::Limit(LimitError::Reached { .. }),
            ) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[inline]
    fn confirm(&mut self, hold: ReservationId) {
        self.plain.confirm(hold);
    }

    #[inline]
    fn release(&mut self, hold: ReservationId) {
        self.plain.release(hold);
    }

    fn flush(&mut self) {
        self.plain.flush();
    }

    fn is_slow(&self) -> bool {
        self.plain.is_slow()
    }
}

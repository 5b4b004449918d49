//! The engine as a shop calls it: each step of an order bears an idempotency key, so that a retry
//! after a lost answer is safe; the hold has an owner, and the order's number stands in the log.

use std::sync::atomic::{AtomicU32, Ordering};

use stockade::{IdempotencyKey, InventoryManager, LevelHandle, Owner, ReservationId};

use super::engine::{Engine, EngineSession};
use super::ledger::{About, Ledger, Session, TTL, Writer};

/// The setup of the rows.
pub(crate) const REAL: &str = "with keys, an owner and a note";

/// The text of an order's key. Counting it up costs less than formatting a number, which is the
/// caller's own business.
pub(crate) struct OrderKey([u8; Self::LENGTH]);

impl OrderKey {
    const LENGTH: usize = 31;
    const ORDER: usize = 23;
    const STEP: usize = Self::ORDER + 1;

    /// The first order of a new session.
    pub(crate) fn new() -> Self {
        static SESSIONS: AtomicU32 = AtomicU32::new(0);
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let text = format!("order-{session:06}-0000000000/reserve");
        Self(text.as_bytes().try_into().expect("a short number"))
    }

    /// Goes on to the next order.
    #[inline]
    fn count_up(&mut self) {
        for digit in self.0[13..Self::ORDER].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }

    fn order(&self) -> &str {
        std::str::from_utf8(&self.0[..Self::ORDER]).expect("plain text")
    }

    fn of_step(&mut self, step: &[u8; 7]) -> IdempotencyKey {
        self.0[Self::STEP..].copy_from_slice(step);
        IdempotencyKey::try_from(&self.0[..]).expect("a legal key")
    }

    /// Reserves a unit for the next order.
    #[inline]
    pub(crate) fn reserve(&mut self, manager: &InventoryManager, at: LevelHandle) -> ReservationId {
        self.count_up();
        let request = manager.request().key(self.of_step(b"reserve")).owner(Owner([7; 16]));
        request.note("order", self.order()).reserve(at, 1, TTL).expect("in stock")
    }

    /// Confirms a hold. What it costs does not depend on whose order the key names.
    #[inline]
    pub(crate) fn confirm(&mut self, manager: &InventoryManager, hold: ReservationId) {
        let request = manager.request().key(self.of_step(b"confirm"));
        request.confirm(hold).expect("a live hold");
    }
}

/// An engine whose sessions call it like that.
pub(crate) struct RealEngine(pub(crate) Engine);

impl Ledger for RealEngine {
    type Session = RealSession;

    fn about(&self) -> About {
        About { setup: REAL.to_owned(), ..self.0.about() }
    }

    fn product(&self, index: usize) -> LevelHandle {
        self.0.product(index)
    }

    fn session(&self) -> RealSession {
        RealSession { plain: self.0.session(), key: OrderKey::new() }
    }

    fn writer(&self) -> Option<Writer> {
        self.0.writer()
    }
}

pub(crate) struct RealSession {
    plain: EngineSession,
    key: OrderKey,
}

impl Session for RealSession {
    type Product = LevelHandle;
    type Hold = ReservationId;

    #[inline]
    fn reserve(&mut self, product: LevelHandle) -> Option<ReservationId> {
        Some(self.key.reserve(&self.plain.manager, product))
    }

    #[inline]
    fn confirm(&mut self, hold: ReservationId) {
        self.key.confirm(&self.plain.manager, hold);
    }

    fn release(&mut self, hold: ReservationId) {
        self.plain.release(hold);
    }

    fn flush(&mut self) {
        self.plain.flush();
    }
}

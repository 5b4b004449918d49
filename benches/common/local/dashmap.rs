//! `DashMap` entry locks: what a service moves on to when the one mutex gets in the way.

use std::sync::Arc;

use dashmap::DashMap;

use super::shared::{Hasher, Hold, Level, Stamp, Status, check};
use super::trail::{Kind, Trail};
use crate::common::ledger::{About, Durability, Ledger, Session, TTL};

/// The peer.
pub(crate) struct DashMapPeer {
    shared: Arc<Shared>,
}

struct Shared {
    levels: DashMap<u32, Level, Hasher>,
    holds: DashMap<u128, Hold, Hasher>,
    trail: Trail,
}

impl DashMapPeer {
    /// Opens the peer with these units of each product.
    pub(crate) fn open(units: &[u32]) -> Self {
        let levels: DashMap<u32, Level, Hasher> = DashMap::default();
        for (index, units) in units.iter().enumerate() {
            levels.insert(index as u32, Level::of(*units));
        }
        let holds = DashMap::default();
        Self { shared: Arc::new(Shared { levels, holds, trail: Trail::open() }) }
    }
}

impl Ledger for DashMapPeer {
    type Session = DashMapSession;

    fn about(&self) -> About {
        About {
            engine: "dashmap",
            setup: String::new(),
            durability: Durability::InMemory,
            guarantees: "never oversells; every movement audited in a legal order by a writer thread; \
                         ids can't be guessed; overdue holds end when they are met, nothing looks for \
                         them",
        }
    }

    fn product(&self, index: usize) -> u32 {
        index as u32
    }

    fn session(&self) -> DashMapSession {
        DashMapSession { shared: Arc::clone(&self.shared), stamp: Stamp::new() }
    }
}

/// A handle to the peer.
pub(crate) struct DashMapSession {
    shared: Arc<Shared>,
    stamp: Stamp,
}

impl DashMapSession {
    /// Whoever removes the hold has it to itself; its entry is queued before its units are given.
    #[inline]
    fn end(&mut self, id: u128, kind: Kind) {
        let now = self.stamp.now();
        let removed = self.shared.holds.remove_if(&id, |_, hold| hold.is_live(now));
        let (_, hold) = removed.expect("a live hold");
        self.shared.trail.push(hold.entry(kind, id, now));
        let mut level = self.shared.levels.get_mut(&hold.product).expect("a known product");
        match kind {
            Kind::Returned => level.give_back(hold.quantity),
            _ => level.sold += hold.quantity,
        }
    }
}

impl Session for DashMapSession {
    type Product = u32;
    type Hold = u128;

    #[inline]
    fn reserve(&mut self, product: u32) -> Option<u128> {
        let quantity = 1;
        check(quantity, TTL);
        let now = self.stamp.now();
        let id = self.stamp.id(now);
        let expires_at = now + TTL.as_millis() as u64;
        let status = Status::Pending;
        let hold = Hold { product, quantity, created_at: now, expires_at, owner: None, status };
        let mut level = self.shared.levels.get_mut(&product).expect("a known product");
        if !level.hold(quantity) {
            return None;
        }
        // Under the level's lock: whoever spends these units later is logged later.
        self.shared.trail.push(hold.entry(Kind::Reserved, id, now));
        drop(level);
        self.shared.holds.insert(id, hold);
        Some(id)
    }

    #[inline]
    fn confirm(&mut self, id: u128) {
        self.end(id, Kind::Sold);
    }

    #[inline]
    fn release(&mut self, id: u128) {
        self.end(id, Kind::Returned);
    }
}

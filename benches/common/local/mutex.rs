//! A mutex around plain maps: what most services begin with.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::shared::{Hasher, Hold, Level, Stamp, Status, check};
use super::trail::{Kind, Trail};
use crate::common::ledger::{About, Durability, Ledger, Session, TTL};

/// The peer.
pub(crate) struct MutexPeer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    trail: Trail,
    /// How many finished holds stay readable.
    kept: usize,
}

#[derive(Default)]
struct State {
    levels: HashMap<u32, Level, Hasher>,
    holds: HashMap<u128, Hold, Hasher>,
    /// The finished holds that are still kept, oldest first.
    finished: VecDeque<u128>,
}

impl MutexPeer {
    /// Opens the peer with these units of each product; `kept` finished holds stay readable.
    pub(crate) fn open(units: &[u32], kept: usize) -> Self {
        let levels = units.iter().enumerate();
        let levels = levels.map(|(index, units)| (index as u32, Level::of(*units))).collect();
        let state = Mutex::new(State { levels, ..State::default() });
        Self { shared: Arc::new(Shared { state, trail: Trail::open(), kept }) }
    }
}

impl Ledger for MutexPeer {
    type Session = MutexSession;

    fn about(&self) -> About {
        let kept = self.shared.kept;
        About {
            engine: "mutex",
            setup: if kept > 0 { format!("{kept} records kept") } else { String::new() },
            durability: Durability::InMemory,
            guarantees: "never oversells; every movement audited in a legal order by a writer thread; \
                         ids can't be guessed; overdue holds end when they are met, nothing looks for \
                         them",
        }
    }

    fn product(&self, index: usize) -> u32 {
        index as u32
    }

    fn session(&self) -> MutexSession {
        MutexSession { shared: Arc::clone(&self.shared), stamp: Stamp::new() }
    }
}

/// A handle to the peer.
pub(crate) struct MutexSession {
    shared: Arc<Shared>,
    stamp: Stamp,
}

impl MutexSession {
    #[inline]
    fn end(&mut self, id: u128, kind: Kind) {
        let now = self.stamp.now();
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { levels, holds, finished } = &mut *state;
        let hold = if self.shared.kept == 0 {
            holds.remove(&id).expect("a live hold")
        } else {
            *holds.get(&id).expect("a known hold")
        };
        assert!(hold.is_live(now), "a live hold");
        self.shared.trail.push(hold.entry(kind, id, now));
        let level = levels.get_mut(&hold.product).expect("a known product");
        let status = match kind {
            Kind::Returned => {
                level.give_back(hold.quantity);
                Status::Released
            }
            _ => {
                level.sold += hold.quantity;
                Status::Confirmed
            }
        };
        if self.shared.kept > 0 {
            holds.get_mut(&id).expect("a known hold").status = status;
            finished.push_back(id);
            if finished.len() > self.shared.kept
                && let Some(oldest) = finished.pop_front()
            {
                holds.remove(&oldest);
            }
        }
    }
}

impl Session for MutexSession {
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
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let level = state.levels.get_mut(&product).expect("a known product");
        if !level.hold(quantity) {
            return None;
        }
        self.shared.trail.push(hold.entry(Kind::Reserved, id, now));
        state.holds.insert(id, hold);
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

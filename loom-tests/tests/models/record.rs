//! The record of what happened, and what makes it legal (Law 2).

use std::collections::HashMap;

use crate::reservation::id::ReservationId;

/// What an operation queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Received(u32),
    Damaged(u32),
    Reserved(ReservationId, u32),
    Extended(ReservationId),
    Sold(ReservationId),
    Returned(ReservationId),
    /// A step on part of a hold: units sold, and units given back.
    Stepped(ReservationId, u32, u32),
    Shipped(u32),
    SaleCancelled(u32),
    /// A larger capacity.
    Raised(u32),
    /// A smaller capacity, and how many units were inside when the room went.
    Lowered(u32, u32),
}

/// The counts that a prefix of the record leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ledger {
    pub capacity: u32,
    /// Units that may come in beyond the capacity: they had taken room before it was lowered.
    excused: u32,
    pub available: u32,
    pub reserved: u32,
    pub sold: u32,
    /// Units of the live holds.
    held: HashMap<ReservationId, u32>,
}

impl Ledger {
    pub fn new(capacity: u32) -> Self {
        let (excused, held) = (0, HashMap::new());
        Self { capacity, excused, available: 0, reserved: 0, sold: 0, held }
    }

    pub fn inside(&self) -> u32 {
        self.available + self.reserved
    }

    /// Plays one entry; panics where the history is not legal from here on: where anything was
    /// spent before it was given.
    pub fn play(&mut self, entry: Entry) {
        match entry {
            Entry::Received(qty) => {
                self.available += qty;
                if self.inside() > self.capacity {
                    spend(&mut self.excused, qty, "room", entry);
                }
            }
            Entry::Damaged(qty) => {
                spend(&mut self.available, qty, "available units", entry);
            }
            Entry::Reserved(id, qty) => {
                spend(&mut self.available, qty, "available units", entry);
                self.reserved += qty;
                let taken = self.held.keys().any(|other| other.slot() == id.slot());
                assert!(!taken, "the slot was given before its hold was over: {entry:?}");
                self.held.insert(id, qty);
            }
            Entry::Extended(_) => {}
            Entry::Sold(id) => self.sold += self.end(id, entry),
            Entry::Returned(id) => {
                let qty = self.end(id, entry);
                self.available += qty;
                self.reserved -= qty;
            }
            Entry::Stepped(id, sold, given_back) => {
                let mut left = self.end(id, entry);
                spend(&mut left, sold + given_back, "held units", entry);
                if left > 0 {
                    self.held.insert(id, left);
                }
                self.sold += sold;
                self.available += given_back;
                self.reserved -= given_back;
            }
            Entry::Shipped(qty) => {
                spend(&mut self.sold, qty, "sold units", entry);
                self.reserved -= qty;
            }
            Entry::SaleCancelled(qty) => {
                spend(&mut self.sold, qty, "sold units", entry);
                self.reserved -= qty;
                self.available += qty;
            }
            Entry::Raised(capacity) => self.capacity = capacity,
            Entry::Lowered(capacity, inside) => {
                self.capacity = capacity;
                let unrecorded = inside.saturating_sub(self.inside());
                self.excused = if inside > capacity { unrecorded } else { 0 };
            }
        }
    }

    fn end(&mut self, id: ReservationId, entry: Entry) -> u32 {
        self.held.remove(&id).unwrap_or_else(|| panic!("no such hold is live: {entry:?}"))
    }
}

fn spend(count: &mut u32, qty: u32, what: &str, entry: Entry) {
    *count = count
        .checked_sub(qty)
        .unwrap_or_else(|| panic!("{what} were spent before they were given: {entry:?}"));
}

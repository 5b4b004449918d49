//! What customers have drawn on a limit. The plain peers have none, and their holds no customer.
//!
//! A customer who has nothing has no entry, so that memory goes with those who have something.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use dashmap::DashMap;

use super::shared::{Hasher, Hold};

/// For the mutex peer, which has it under its lock.
#[derive(Default)]
pub(super) struct Drawn {
    maximum: u32,
    units: HashMap<u64, u32, Hasher>,
}

/// For the `DashMap` peer. The lock of a customer's entry is taken before that of a level, and
/// never after it.
#[derive(Default)]
pub(super) struct SharedDrawn {
    maximum: u32,
    units: DashMap<u64, u32, Hasher>,
}

/// Draws, if the maximum allows it and `take` takes the stock: both, or neither.
#[inline]
fn raise(drawn: &mut u32, hold: &Hold, maximum: u32, take: impl FnOnce() -> bool) -> bool {
    let raised = *drawn + hold.quantity <= maximum && take();
    if raised {
        *drawn += hold.quantity;
    }
    raised
}

impl Drawn {
    pub(super) fn new(maximum: Option<u32>) -> Self {
        Self { maximum: maximum.unwrap_or(0), ..Self::default() }
    }

    /// Takes the stock of a hold with `take`, and draws for its customer: both, or neither.
    #[inline]
    pub(super) fn draw(&mut self, hold: &Hold, take: impl FnOnce() -> bool) -> bool {
        match hold.customer() {
            None => take(),
            Some(customer) => self.draw_for(customer, hold, take),
        }
    }

    // Apart, as everything that only limits need, so that a peer without them pays for one look.
    #[inline(never)]
    fn draw_for(&mut self, customer: u64, hold: &Hold, take: impl FnOnce() -> bool) -> bool {
        let drawn = self.units.entry(customer).or_default();
        let raised = raise(drawn, hold, self.maximum, take);
        if *drawn == 0 {
            self.units.remove(&customer);
        }
        raised
    }

    #[inline]
    pub(super) fn give_back(&mut self, hold: &Hold) {
        if let Some(customer) = hold.customer() {
            self.give_back_to(customer, hold.quantity);
        }
    }

    #[inline(never)]
    fn give_back_to(&mut self, customer: u64, units: u32) {
        let Entry::Occupied(mut drawn) = self.units.entry(customer) else {
            panic!("what is given back was drawn")
        };
        *drawn.get_mut() -= units;
        if *drawn.get() == 0 {
            drawn.remove();
        }
    }
}

impl SharedDrawn {
    pub(super) fn new(maximum: Option<u32>) -> Self {
        Self { maximum: maximum.unwrap_or(0), ..Self::default() }
    }

    /// The same as [`Drawn::draw`], under the lock of the customer's entry.
    #[inline]
    pub(super) fn draw(&self, hold: &Hold, take: impl FnOnce() -> bool) -> bool {
        match hold.customer() {
            None => take(),
            Some(customer) => self.draw_for(customer, hold, take),
        }
    }

    #[inline(never)]
    fn draw_for(&self, customer: u64, hold: &Hold, take: impl FnOnce() -> bool) -> bool {
        let mut drawn = self.units.entry(customer).or_default();
        let raised = raise(&mut drawn, hold, self.maximum, take);
        let is_empty = *drawn == 0;
        drop(drawn);
        if is_empty {
            self.units.remove_if(&customer, |_, drawn| *drawn == 0);
        }
        raised
    }

    #[inline]
    pub(super) fn give_back(&self, hold: &Hold) {
        if let Some(customer) = hold.customer() {
            self.give_back_to(customer, hold.quantity);
        }
    }

    #[inline(never)]
    fn give_back_to(&self, customer: u64, units: u32) {
        let dashmap::Entry::Occupied(mut drawn) = self.units.entry(customer) else {
            panic!("what is given back was drawn")
        };
        *drawn.get_mut() -= units;
        if *drawn.get() == 0 {
            drawn.remove();
        }
    }
}

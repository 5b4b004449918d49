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
    pub(super) fn new(maximum: u32) -> Self {
        Self { maximum, ..Self::default() }
    }

    /// Takes the stock of a hold with `take`, and draws for its customer: both, or neither.
    #[inline]
    pub(super) fn draw(&mut self, hold: &Hold, take: impl FnOnce() -> bool) -> bool {
        let Some(customer) = hold.customer() else { return take() };
        let drawn = self.units.entry(customer).or_default();
        let raised = raise(drawn, hold, self.maximum, take);
        if *drawn == 0 {
            self.units.remove(&customer);
        }
        raised
    }

    #[inline]
    pub(super) fn give_back(&mut self, hold: &Hold) {
        let Some(customer) = hold.customer() else { return };
        let Entry::Occupied(mut drawn) = self.units.entry(customer) else {
            panic!("what is given back was drawn")
        };
        *drawn.get_mut() -= hold.quantity;
        if *drawn.get() == 0 {
            drawn.remove();
        }
    }
}

impl SharedDrawn {
    pub(super) fn new(maximum: u32) -> Self {
        Self { maximum, ..Self::default() }
    }

    /// The same as [`Drawn::draw`], under the lock of the customer's entry.
    #[inline]
    pub(super) fn draw(&self, hold: &Hold, take: impl FnOnce() -> bool) -> bool {
        let Some(customer) = hold.customer() else { return take() };
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
        let Some(customer) = hold.customer() else { return };
        let dashmap::Entry::Occupied(mut drawn) = self.units.entry(customer) else {
            panic!("what is given back was drawn")
        };
        *drawn.get_mut() -= hold.quantity;
        if *drawn.get() == 0 {
            drawn.remove();
        }
    }
}

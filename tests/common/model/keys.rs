//! The model's idempotency keys: what is stored under which key, for how long, and how many.

use std::collections::{BTreeMap, VecDeque};

use super::call::{Given, Op};

/// The key under which an answer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Caller(u8),
    /// A retake, by the hold whose lines it takes again.
    Retake(usize),
}

/// The request behind an answer: everything that the caller passed, except notes.
pub(crate) type Print = Option<(Op, Option<u8>, bool)>;

#[derive(Clone, Debug)]
struct Known {
    print: Print,
    answer: Given,
    at: u64,
    number: u64,
}

pub(crate) struct Keys {
    known: BTreeMap<Name, Known>,
    /// Publications, the oldest first.
    order: VecDeque<(Name, u64, u64)>,
    published: u64,
    lifetime: u64,
    count: usize,
}

pub(crate) enum Claim {
    First,
    Repeat(Given),
    Conflict,
}

impl Keys {
    pub(crate) fn new(lifetime: u64, count: usize) -> Self {
        let (known, order) = (BTreeMap::new(), VecDeque::new());
        Self { known, order, published: 0, lifetime, count }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The answer under a name, if it is still stored.
    pub(crate) fn get(&self, name: Name, now: u64) -> Option<&Given> {
        let known = self.known.get(&name)?;
        (now <= known.at + self.lifetime).then_some(&known.answer)
    }

    pub(crate) fn claim(&mut self, name: Name, print: &Print, now: u64) -> Claim {
        match self.known.get(&name) {
            None => Claim::First,
            Some(known) if now > known.at + self.lifetime => {
                // The expired answer is dropped, even if the claiming call fails.
                let number = known.number;
                self.known.remove(&name);
                self.order.retain(|(_, own, _)| *own != number);
                Claim::First
            }
            Some(known) if known.print != *print => Claim::Conflict,
            Some(known) => Claim::Repeat(known.answer.clone()),
        }
    }

    /// Stores an answer, and drops at most two old ones: those over the limit, and those that have
    /// expired.
    pub(crate) fn publish(&mut self, name: Name, print: Print, answer: Given, at: u64) {
        let number = self.published;
        self.published += 1;
        self.known.insert(name, Known { print, answer, at, number });
        self.order.push_back((name, number, at));
        for _ in 0..2 {
            let Some(&(oldest, number, published)) = self.order.front() else { return };
            if self.order.len() <= self.count && at <= published + self.lifetime {
                return;
            }
            self.order.pop_front();
            if self.known.get(&oldest).is_some_and(|known| known.number == number) {
                self.known.remove(&oldest);
            }
        }
    }
}

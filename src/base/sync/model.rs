//! What both model checkers use in place of crossbeam, which they cannot see into.

use std::collections::VecDeque;

use super::{Mutex, MutexGuard, lock, yield_now};

/// Models have no time: lets the other threads run.
#[derive(Debug)]
pub(crate) struct Backoff;

#[allow(dead_code, reason = "each model uses a part of the interface")]
impl Backoff {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn snooze(&self) {
        yield_now();
    }
}

/// A model has no cache lines.
#[derive(Debug)]
pub(crate) struct CachePadded<T>(T);

#[allow(dead_code, reason = "each model uses a part of the interface")]
impl<T> CachePadded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Replaces crossbeam's bounded queue: a first-in first-out queue under the model's mutex. It has
/// the same interface and is refused in the same way when full.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    items: Mutex<VecDeque<T>>,
    capacity: usize,
}

#[allow(dead_code, reason = "each model uses a part of the interface")]
impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { items: Mutex::new(VecDeque::new()), capacity }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut items = self.lock();
        if items.len() == self.capacity {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.lock().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        lock(&self.items)
    }
}

/// Replaces crossbeam's unbounded queue.
#[derive(Debug)]
pub(crate) struct SegQueue<T>(ArrayQueue<T>);

#[allow(dead_code, reason = "each model uses a part of the interface")]
impl<T> SegQueue<T> {
    pub(crate) fn new() -> Self {
        Self(ArrayQueue::new(usize::MAX))
    }

    pub(crate) fn push(&self, item: T) {
        let pushed = self.0.push(item);
        debug_assert!(pushed.is_ok(), "there is no bound");
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

//! The one door to atomics, fences and shared queues.
//!
//! Every file of this crate takes its atomics from here, so that the very source files that ship
//! also compile on [loom](https://docs.rs/loom)'s atomics (`--cfg loom` with the feature `loom`) and
//! have their interleavings explored. `tests/tidy.rs` keeps the door the only one.

pub(crate) use std::sync::atomic::Ordering;

#[cfg(not(all(loom, feature = "loom")))]
mod backend {
    pub(crate) use crossbeam::queue::ArrayQueue;
    /// Unbounded; for what is bounded by something else. The models stay clear of it.
    pub(crate) use crossbeam::queue::SegQueue;
    /// Waiting for another thread: spins at first, lets others run after.
    pub(crate) use crossbeam::utils::Backoff;
    /// Keeps a value that all threads read or write off its neighbours' cache lines.
    pub(crate) use crossbeam::utils::CachePadded;
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
    };
    pub(crate) use std::sync::{Mutex, MutexGuard};
    pub(crate) use std::thread::{Thread, current, park, yield_now};
    use std::time::Duration;

    /// Sleeps at most `span`, less if somebody unparks this thread.
    pub(crate) fn park_at_most(span: Duration) {
        std::thread::park_timeout(span);
    }

    /// Sleeps for `span`: how a caller waits for a thread that has much to do.
    pub(crate) fn nap(span: Duration) {
        std::thread::sleep(span);
    }
}

#[cfg(all(loom, feature = "loom"))]
mod backend {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::fence;
    #[allow(unused_imports, reason = "each model uses a part of the interface")]
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    #[allow(unused_imports, reason = "each model uses a part of the interface")]
    pub(crate) use loom::thread::{Thread, current, park, yield_now};

    use super::Ordering;
    use std::collections::VecDeque;
    use std::time::Duration;

    /// Models have no time: any span may be over at once.
    pub(crate) fn park_at_most(_span: Duration) {
        yield_now();
    }

    /// Models have no time: lets the others run.
    pub(crate) fn nap(_span: Duration) {
        yield_now();
    }

    /// The number of this thread in the model that runs; all of its threads share one of the system's.
    pub(crate) fn model_thread() -> usize {
        let id = format!("{:?}", loom::thread::current().id());
        id.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
    }

    /// Wraps a loom atomic with a second, *shadow* atomic that every access touches first.
    ///
    /// Stock loom skips interleavings in which a thread loads an atomic before it writes it (its
    /// issues 166 and 392), and that is every compare-and-swap loop. A `Relaxed` read-modify-write
    /// of the shadow orders nothing, but makes any two accesses depend on one another, so that loom
    /// tries both orders.
    macro_rules! shadowed {
        ($name:ident, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name {
                value: loom::sync::atomic::$name,
                shadow: loom::sync::atomic::AtomicUsize,
            }

            #[allow(dead_code, reason = "each model uses a part of the interface")]
            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self {
                        value: loom::sync::atomic::$name::new(value),
                        shadow: loom::sync::atomic::AtomicUsize::new(0),
                    }
                }

                fn touch(&self) -> &loom::sync::atomic::$name {
                    self.shadow.fetch_add(1, Ordering::Relaxed);
                    &self.value
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.touch().load(order)
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.touch().store(value, order);
                }

                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.touch().swap(value, order)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.touch().compare_exchange(current, new, success, failure)
                }

                pub(crate) fn compare_exchange_weak(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.touch().compare_exchange_weak(current, new, success, failure)
                }
            }
        };
    }

    /// The arithmetic read-modify-writes, which loom offers for integers only.
    macro_rules! shadowed_integer {
        ($name:ident, $value:ty) => {
            shadowed!($name, $value);

            #[allow(dead_code, reason = "each model uses a part of the interface")]
            impl $name {
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.touch().fetch_add(value, order)
                }

                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    self.touch().fetch_sub(value, order)
                }

                pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    self.touch().fetch_and(value, order)
                }

                pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    self.touch().fetch_or(value, order)
                }

                pub(crate) fn fetch_min(&self, value: $value, order: Ordering) -> $value {
                    self.touch().fetch_min(value, order)
                }

                pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.touch().fetch_max(value, order)
                }
            }
        };
    }

    shadowed!(AtomicBool, bool);
    shadowed_integer!(AtomicU8, u8);
    shadowed_integer!(AtomicU32, u32);
    shadowed_integer!(AtomicU64, u64);
    shadowed_integer!(AtomicUsize, usize);

    /// Models have no time: lets the others run.
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

    /// Stands in for crossbeam's bounded queue, which loom cannot see into: a first-in first-out
    /// queue under a loom mutex, with the same interface and the same refusal when full.
    #[derive(Debug)]
    pub(crate) struct ArrayQueue<T> {
        items: loom::sync::Mutex<VecDeque<T>>,
        capacity: usize,
    }

    #[allow(dead_code, reason = "each model uses a part of the interface")]
    impl<T> ArrayQueue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self { items: loom::sync::Mutex::new(VecDeque::new()), capacity }
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

        #[allow(clippy::unwrap_used, reason = "a poisoned lock means that the model has failed")]
        fn lock(&self) -> loom::sync::MutexGuard<'_, VecDeque<T>> {
            self.items.lock().unwrap()
        }
    }
}

pub(crate) use backend::*;

/// Locks `mutex`, also when a thread panicked while it held the lock: each of them guards values that
/// are whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

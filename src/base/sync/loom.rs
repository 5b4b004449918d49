//! Loom's side of the door: its atomics, each with a shadow.

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic::fence;
#[allow(unused_imports, reason = "each model uses a part of the interface")]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[allow(unused_imports, reason = "each model uses a part of the interface")]
pub(crate) use loom::thread::{Thread, current, park, yield_now};

use super::Ordering;
use std::time::Duration;

/// Models have no time: any span may be over at once.
pub(crate) fn park_at_most(_span: Duration) {
    yield_now();
}

/// Models have no time: lets the other threads run.
pub(crate) fn nap(_span: Duration) {
    yield_now();
}

/// The number of this thread in the running model. All threads of a model run on one system thread,
/// so a thread-local would be shared.
pub(crate) fn thread_ordinal() -> usize {
    let id = format!("{:?}", loom::thread::current().id());
    id.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

/// The same number.
#[allow(dead_code, reason = "each model uses a part of the interface")]
pub(crate) fn known_ordinal() -> usize {
    thread_ordinal()
}

/// Wraps a loom atomic with a second, *shadow* atomic that every access touches first.
///
/// Stock loom skips interleavings in which a thread loads an atomic before it writes it (its issues
/// 166 and 392), and every compare-and-swap loop does that. A `Relaxed` read-modify-write of the
/// shadow orders nothing. But it makes any two accesses depend on each other, so loom tries both
/// orders.
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
shadowed_integer!(AtomicU16, u16);
shadowed_integer!(AtomicU32, u32);
shadowed_integer!(AtomicU64, u64);
shadowed_integer!(AtomicUsize, usize);

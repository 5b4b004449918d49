//! The settings that every operation may read.

use std::time::Duration;

use crate::error::InvalidTtl;
use crate::sync::{AtomicU64, Ordering};

/// The settings that every operation may read.
#[derive(Debug)]
pub(super) struct Settings {
    /// The longest time to live of one reserve or one extension, in milliseconds.
    pub(super) longest_ttl: AtomicU64,
    /// How long a hold may live in all, in milliseconds.
    longest_total: AtomicU64,
}

impl Settings {
    pub(super) fn new(longest_ttl: Duration, longest_total: Duration) -> Self {
        Self {
            longest_ttl: AtomicU64::new(millis(longest_ttl)),
            longest_total: AtomicU64::new(millis(longest_total)),
        }
    }

    /// Whether a hold may be made for so long.
    pub(super) fn check_ttl(&self, ttl: Duration) -> Result<(), InvalidTtl> {
        in_bounds(ttl, self.longest_ttl().min(self.longest_total()))
    }

    /// Whether an extension may ask for so long; whether the hold can have it is another question.
    pub(super) fn check_extension(&self, ttl: Duration) -> Result<(), InvalidTtl> {
        in_bounds(ttl, self.longest_ttl())
    }

    pub(super) fn longest_ttl(&self) -> Duration {
        // Relaxed, here and below: a setting; a call around the change may use either value.
        Duration::from_millis(self.longest_ttl.load(Ordering::Relaxed))
    }

    pub(super) fn longest_total(&self) -> Duration {
        Duration::from_millis(self.longest_total.load(Ordering::Relaxed))
    }
}

fn in_bounds(ttl: Duration, longest: Duration) -> Result<(), InvalidTtl> {
    if ttl.is_zero() || ttl > longest { Err(InvalidTtl { ttl, longest }) } else { Ok(()) }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

//! How long holds may live.

use std::time::Duration;

use crate::base::clock::whole_millis;
use crate::base::error::InvalidTtl;
use crate::base::sync::{AtomicU64, Ordering};

/// How long holds may live.
#[derive(Debug)]
pub(super) struct TtlLimits {
    /// The longest time to live of one reserve or one extension, in milliseconds.
    pub(super) longest_ttl: AtomicU64,
    /// How long a hold may live in all, in milliseconds.
    longest_total: AtomicU64,
}

impl TtlLimits {
    pub(super) fn new(longest_ttl: Duration, longest_total: Duration) -> Self {
        Self {
            longest_ttl: AtomicU64::new(millis(longest_ttl)),
            longest_total: AtomicU64::new(millis(longest_total)),
        }
    }

    /// The milliseconds of a time to live, if a hold may be made for so long.
    #[inline]
    pub(super) fn checked_ttl(&self, ttl: Duration) -> Result<u64, InvalidTtl> {
        let longest = load(&self.longest_ttl).min(load(&self.longest_total));
        in_bounds(ttl, longest)
    }

    /// Whether an extension may ask for so long; whether the hold can have it is another question.
    pub(super) fn check_extension(&self, ttl: Duration) -> Result<(), InvalidTtl> {
        in_bounds(ttl, load(&self.longest_ttl)).map(drop)
    }

    pub(super) fn longest_ttl(&self) -> Duration {
        Duration::from_millis(load(&self.longest_ttl))
    }

    pub(super) fn longest_total(&self) -> Duration {
        Duration::from_millis(load(&self.longest_total))
    }
}

fn load(setting: &AtomicU64) -> u64 {
    // Relaxed: a setting; a call around the change may use either value.
    setting.load(Ordering::Relaxed)
}

/// The milliseconds of `ttl`, if that is more than nothing and at most `longest` milliseconds.
#[inline]
fn in_bounds(ttl: Duration, longest: u64) -> Result<u64, InvalidTtl> {
    let millis = whole_millis(ttl);
    if millis == 0 || millis > longest {
        return Err(InvalidTtl { ttl, longest: Duration::from_millis(longest) });
    }
    Ok(millis)
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

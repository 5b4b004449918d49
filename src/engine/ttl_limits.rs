//! The limits on how long a hold may live.

use std::time::Duration;

use crate::base::clock::{Timestamp, whole_millis};
use crate::base::error::InvalidTtl;
use crate::base::sync::{AtomicU64, Ordering};

/// The limits on how long a hold may live. The first can change at run time.
#[derive(Debug)]
pub(super) struct TtlLimits {
    /// The longest time to live of one reserve or one extension, in milliseconds.
    pub(super) longest_ttl: AtomicU64,
    /// How long a hold may live in all, in milliseconds.
    longest_total: u64,
}

impl TtlLimits {
    pub(super) fn new(longest_ttl: Duration, longest_total: Duration) -> Self {
        Self {
            longest_ttl: AtomicU64::new(millis(longest_ttl)),
            longest_total: millis(longest_total),
        }
    }

    /// Validates the time to live of a new hold, and returns it in milliseconds.
    #[inline]
    pub(super) fn checked_ttl(&self, ttl: Duration) -> Result<u64, InvalidTtl> {
        let longest = load(&self.longest_ttl).min(self.longest_total);
        in_bounds(ttl, longest)
    }

    /// Validates the time to live that an extension asks for. The total life of the hold is checked
    /// elsewhere.
    pub(super) fn check_extension(&self, ttl: Duration) -> Result<(), InvalidTtl> {
        in_bounds(ttl, load(&self.longest_ttl)).map(drop)
    }

    pub(super) fn longest_ttl(&self) -> Duration {
        Duration::from_millis(load(&self.longest_ttl))
    }

    /// The latest moment to which a call at `now` may extend a hold whose id bears `id_time`. A
    /// time ahead of the clock is no birth, and the hold's slot has no word left for the true
    /// one. Then the hold's longest life counts from this call.
    pub(super) fn latest_end(&self, id_time: Timestamp, now: Timestamp) -> Timestamp {
        id_time.min(now).saturating_add_millis(self.longest_total)
    }
}

fn load(setting: &AtomicU64) -> u64 {
    // Relaxed: it is a setting. A call that runs while it changes may use either value.
    setting.load(Ordering::Relaxed)
}

/// Returns `ttl` in milliseconds if it is at least one millisecond and at most `longest`.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hold_whose_id_lies_ahead_of_the_clock_lives_no_longer_than_one_of_this_moment() {
        let second = Duration::from_secs(1);
        let limits = TtlLimits::new(second, 5 * second);
        let at = Timestamp::from_millis;
        assert_eq!(limits.latest_end(at(1_000), at(3_000)), at(6_000));
        assert_eq!(limits.latest_end(at(3_000), at(3_000)), at(8_000));
        assert_eq!(limits.latest_end(at(9_000), at(3_000)), at(8_000));
    }
}

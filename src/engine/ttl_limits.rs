//! The limits on how long a hold may live.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::error::InvalidTtl;
use crate::base::sync::{AtomicU64, Ordering};

/// The limits on how long a hold may live. The first can change at run time.
#[derive(Debug)]
pub(super) struct TtlLimits {
    /// The longest time to live of one reserve or one extension, in milliseconds.
    longest_ttl: AtomicU64,
    /// The longest time to live of one reserve: the shorter of the two others.
    longest_hold: AtomicU64,
    /// How long a hold may live in all, in milliseconds.
    longest_total: u64,
}

impl TtlLimits {
    pub(super) fn new(longest_ttl: Duration, longest_total: Duration) -> Self {
        let (longest_ttl, longest_total) = (millis(longest_ttl), millis(longest_total));
        Self {
            longest_ttl: AtomicU64::new(longest_ttl),
            longest_hold: AtomicU64::new(longest_ttl.min(longest_total)),
            longest_total,
        }
    }

    /// Sets the longest time to live of one reserve or one extension, in milliseconds.
    pub(super) fn set_longest_ttl(&self, longest: u64) {
        // Relaxed: as in `load`.
        self.longest_ttl.store(longest, Ordering::Relaxed);
        self.longest_hold.store(longest.min(self.longest_total), Ordering::Relaxed);
    }

    /// Validates the time to live of a new hold.
    #[inline]
    pub(super) fn check_hold(&self, ttl: Duration) -> Result<(), InvalidTtl> {
        let longest = load(&self.longest_hold);
        // Nearly all are further from both ends than a second. They need no milliseconds: 1,024 of
        // these are more than a second.
        let seconds = ttl.as_secs();
        if seconds != 0 && seconds < longest >> 10 { Ok(()) } else { check(ttl, longest) }
    }

    /// Validates the time to live that an extension asks for. The total life of the hold is checked
    /// elsewhere.
    pub(super) fn check_extension(&self, ttl: Duration) -> Result<(), InvalidTtl> {
        check(ttl, load(&self.longest_ttl))
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

/// Refuses a `ttl` of nothing, or of more than `longest` milliseconds. The longest of all limits
/// refuses none.
#[cold]
#[inline(never)]
fn check(ttl: Duration, longest: u64) -> Result<(), InvalidTtl> {
    let millis = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    if millis == 0 || millis > longest {
        return Err(InvalidTtl { ttl, longest: Duration::from_millis(longest) });
    }
    Ok(())
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_admitted_up_to_the_last_nanosecond() {
        let nano = Duration::from_nanos(1);
        for longest in [1, 999, 1_000, 1_500, 59_999, 60_000, 86_400_000, 1 << 40, u64::MAX / 2] {
            let longest = Duration::from_millis(longest);
            let limits = TtlLimits::new(longest, longest);
            for right in [longest, longest - nano, nano] {
                assert_eq!(limits.check_hold(right), Ok(()));
            }
            for wrong in [longest + nano, 2 * longest, Duration::MAX, Duration::ZERO] {
                assert_eq!(limits.check_hold(wrong), Err(InvalidTtl { ttl: wrong, longest }));
            }
        }
    }

    #[test]
    fn the_longest_of_all_limits_admits_everything() {
        let limits = TtlLimits::new(Duration::MAX, Duration::MAX);
        assert_eq!(limits.check_hold(Duration::MAX), Ok(()));
        assert!(limits.check_hold(Duration::ZERO).is_err());
    }

    #[test]
    fn a_new_longest_ttl_admits_no_hold_longer_than_the_longest_total() {
        let second = Duration::from_secs(1);
        let limits = TtlLimits::new(5 * second, 9 * second);
        assert!(limits.check_hold(5 * second).is_ok());
        limits.set_longest_ttl(20_000);
        assert_eq!(limits.longest_ttl(), 20 * second);
        assert!(limits.check_hold(9 * second).is_ok());
        assert!(limits.check_hold(10 * second).is_err());
        assert!(limits.check_extension(20 * second).is_ok());
        limits.set_longest_ttl(3_000);
        assert!(limits.check_hold(4 * second).is_err());
    }

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

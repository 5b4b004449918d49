//! Time: moments, and the clocks that give them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::sync::{AtomicU64, Ordering};

/// A moment, in whole milliseconds since the Unix epoch (UTC).
///
/// Converts from and to [`SystemTime`], to be shown to people.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use stockade::Timestamp;
/// let moment = Timestamp::from_millis(1_000);
/// assert_eq!(SystemTime::from(moment), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
/// assert_eq!(Timestamp::from(SystemTime::from(moment)), moment);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that the engine can store: 2^42 - 1 ms, in the year 2109. Later moments
    /// become this one.
    pub const MAX: Self = Self((1 << 42) - 1);

    /// The moment `millis` milliseconds after the Unix epoch, at most [`Timestamp::MAX`].
    ///
    /// ```
    /// use stockade::Timestamp;
    /// assert_eq!(Timestamp::from_millis(1_000).as_millis(), 1_000);
    /// assert_eq!(Timestamp::from_millis(u64::MAX), Timestamp::MAX);
    /// ```
    pub const fn from_millis(millis: u64) -> Self {
        if millis > Self::MAX.0 { Self::MAX } else { Self(millis) }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `span` later, in whole milliseconds rounded up, at most [`Timestamp::MAX`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use stockade::Timestamp;
    /// let later = Timestamp::from_millis(1_000).saturating_add(Duration::from_secs(60));
    /// assert_eq!(later.as_millis(), 61_000);
    /// ```
    #[inline]
    pub fn saturating_add(self, span: Duration) -> Self {
        // It fits into 64 bits by far.
        Self::from_millis(self.0 + whole_millis(span))
    }

    #[inline]
    pub(crate) fn saturating_add_millis(self, millis: u64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this moment is. Zero if it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    /// The millisecond that contains `time`. A time before the epoch becomes the epoch.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(moment: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(moment.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Timestamp {
    /// Writes the milliseconds since 1970.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let millis = u64::deserialize(from)?;
        if millis > Self::MAX.0 {
            return Err(serde::de::Error::custom("a moment after the end of time"));
        }
        Ok(Self(millis))
    }
}

/// So many seconds after any moment, there is none any more.
const LONGER_THAN_TIME: u64 = 1 << 33;

const _: () = assert!(LONGER_THAN_TIME > Timestamp::MAX.0 / 1_000, "time lasts for less");

/// Milliseconds of `span`, rounded up, so that a hold never ends before its time is up. One that
/// lasts longer than time does may count for less, but for as long as that.
#[inline]
pub(crate) fn whole_millis(span: Duration) -> u64 {
    // In 64 bits: the division behind `as_nanos` is a call of some tens of nanoseconds.
    let seconds = span.as_secs().min(LONGER_THAN_TIME);
    // No `div_ceil`, which takes twice as many instructions. The sum fits: nanoseconds are fewer
    // than a thousand million.
    #[allow(clippy::manual_div_ceil, reason = "see above")]
    let begun = (span.subsec_nanos() + 999_999) / 1_000_000;
    seconds * 1_000 + u64::from(begun)
}

/// Where the engine gets its time from.
///
/// [`now`](Clock::now) is on the hot path: it must be cheap, must never wait, must not call the
/// engine, and must never go backwards within one process. If it panics, the call that asked ends
/// with that panic, and has moved nothing.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// How far this clock is from the machine's wall clock; `None` for a clock that has nothing to
    /// do with it, which is the default. [`health`](crate::InventoryManager::health) asks, and the
    /// sweeper does each minute. Of more than five seconds `health` tells, and the audit log has an
    /// [`EventType::ClockApart`](crate::EventType::ClockApart).
    fn apart_from_wall_clock(&self) -> Option<ClockApart> {
        None
    }
}

/// How far a clock is from the machine's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockApart {
    /// It shows a later time, by so much.
    Ahead(Duration),
    /// It shows an earlier time, by so much.
    Behind(Duration),
}

impl ClockApart {
    /// How far a clock that shows `now` is from one that shows `wall`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stockade::{ClockApart, Timestamp};
    /// let at = Timestamp::from_millis;
    /// let apart = ClockApart::between(at(5_000), at(7_000));
    /// assert_eq!(apart, ClockApart::Behind(Duration::from_secs(2)));
    /// ```
    pub fn between(now: Timestamp, wall: Timestamp) -> Self {
        if now < wall {
            Self::Behind(wall.saturating_since(now))
        } else {
            Self::Ahead(now.saturating_since(wall))
        }
    }

    /// By how many milliseconds the clock is ahead; negative if it is behind.
    pub(crate) fn ahead_millis(self) -> i64 {
        let millis = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        match self {
            Self::Ahead(by) => millis(by),
            Self::Behind(by) => -millis(by),
        }
    }

    /// A clock that is ahead by so many milliseconds; if they are negative, it is behind.
    pub(crate) fn of_millis(ahead: i64) -> Self {
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { Self::Behind(by) } else { Self::Ahead(by) }
    }

    /// Whether it is more than drift explains in a few months: over five seconds.
    pub(crate) fn is_far(self) -> bool {
        let (Self::Ahead(by) | Self::Behind(by)) = self;
        by > Duration::from_secs(5)
    }
}

impl fmt::Display for ClockApart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead(by) => write!(f, "{by:?} ahead of the wall clock"),
            Self::Behind(by) => write!(f, "{by:?} behind the wall clock"),
        }
    }
}

/// The machine's clock: wall time at the start, and from then on the processor's steady counter.
///
/// It does not follow a jump of the wall clock (by an administrator or NTP), so a jump expires no
/// hold and revives none. After months, it may differ from the wall clock by the drift of the
/// machine's counter. Reading it costs about 10 ns. It makes no system call if the processor has an
/// invariant time-stamp counter.
#[derive(Debug)]
pub struct SystemClock {
    steady: quanta::Clock,
    /// The counter when the clock was made.
    started: u64,
    /// Milliseconds per tick, times 2^64.
    rate: u64,
    started_at: Timestamp,
    /// Milliseconds from then to the last moment that there is.
    most: u64,
}

impl SystemClock {
    /// A clock that starts at the current wall time.
    pub fn new() -> Self {
        let steady = quanta::Clock::new();
        // Over so many ticks that the rounding error is smaller than the crystal's own error.
        let nanos = u128::from(steady.delta_as_nanos(0, 1 << 40));
        let rate = u64::try_from((nanos << 24) / 1_000_000).unwrap_or(u64::MAX);
        let started = steady.raw();
        let started_at = Timestamp::from(SystemTime::now());
        let most = Timestamp::MAX.0 - started_at.0;
        Self { steady, started, rate, started_at, most }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    // On every call's path, and a dozen instructions.
    #[inline(always)]
    fn now(&self) -> Timestamp {
        let ticks = self.steady.raw().saturating_sub(self.started);
        // Rounded down: the current millisecond has begun, the next one has not.
        let elapsed = (u128::from(ticks) * u128::from(self.rate)) >> 64;
        // It fits: the rate is less than 2^64.
        Timestamp(self.started_at.0 + self.most.min(elapsed as u64))
    }

    fn apart_from_wall_clock(&self) -> Option<ClockApart> {
        Some(ClockApart::between(self.now(), SystemTime::now().into()))
    }
}

/// A clock that stands still until it is told to move: for tests and simulations.
///
/// ```
/// use std::time::Duration;
/// use stockade::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::at(Timestamp::from_millis(1_000));
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now().as_millis(), 1_005);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self { millis: AtomicU64::new(start.0) }
    }

    /// Moves the clock forward by `span`, in whole milliseconds rounded up.
    pub fn advance(&self, span: Duration) {
        let target = self.now().saturating_add(span);
        self.set(target);
    }

    /// Moves the clock to `moment`. Ignores a moment in the past, because time never goes back.
    pub fn set(&self, moment: Timestamp) {
        // Release pairs with the Acquire in `now`: whoever sees the new time sees what came before
        // it.
        self.millis.fetch_max(moment.0, Ordering::Release);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.millis.load(Ordering::Acquire))
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn apart_from_wall_clock(&self) -> Option<ClockApart> {
        (**self).apart_from_wall_clock()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_system_clock_shows_wall_time_and_never_goes_back() {
        let clock = SystemClock::new();
        let wall =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
        let mut last = clock.now();
        assert!(last.as_millis().abs_diff(wall) < 1_000);
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn the_system_clock_runs_as_fast_as_time() {
        let clock = SystemClock::new();
        let (begun, instant) = (clock.now(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(200));
        let (passed, really) = (clock.now().saturating_since(begun), instant.elapsed());
        assert!(passed.abs_diff(really) < Duration::from_millis(20), "{passed:?} of {really:?}");
    }

    #[test]
    fn the_system_clock_tells_that_the_wall_clock_was_set() {
        let mut clock = SystemClock::new();
        assert!(!clock.apart_from_wall_clock().expect("known").is_far());
        clock.started_at = clock.started_at.saturating_add(Duration::from_secs(7));
        let Some(ClockApart::Ahead(by)) = clock.apart_from_wall_clock() else {
            panic!("not ahead")
        };
        assert!(by.abs_diff(Duration::from_secs(7)) < Duration::from_secs(1));
        assert!(ClockApart::Ahead(by).is_far());
        clock.started_at = Timestamp(clock.started_at.0 - 15_000);
        let apart = Arc::new(clock).apart_from_wall_clock().expect("known");
        assert!(matches!(apart, ClockApart::Behind(_)) && apart.is_far(), "{apart}");
    }

    #[test]
    fn a_manual_clock_never_goes_back() {
        let clock = ManualClock::at(Timestamp::from_millis(10));
        clock.set(Timestamp::from_millis(5));
        assert_eq!(clock.now().as_millis(), 10);
    }

    #[test]
    fn part_of_a_millisecond_counts_as_a_whole_one() {
        let moment = Timestamp::from_millis(1).saturating_add(Duration::from_nanos(1));
        assert_eq!(moment.as_millis(), 2);
    }
}

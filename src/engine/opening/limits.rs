//! The limits of an engine: how much it holds, and for how long.

use std::time::Duration;

use crate::base::ceilings::{Ceilings, MOST_ALLOWANCES, MOST_SLOTS};
use crate::base::error::BuildError;
use crate::base::text_limits::{MOST_NOTES, MOST_TEXT, TextLimits};
use crate::engine::answer::AnswerBytes;
#[cfg(feature = "journal")]
use crate::idempotency::MOST_UNSETTLED;
use crate::idempotency::{IdempotencyMap, KeyLimits};
use crate::reservation::free_list::Retention;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The memory for stored keys, if no setting says more or less.
pub(super) const KEY_MEMORY: u64 = 1 << 30;

/// What an engine does that has no room for one more idempotency key ([`Limits::when_full`]), or
/// for one more finished record ([`Limits::records_when_full`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum WhenFull {
    /// It refuses new ones until the time of an older one is up. Of keys, it refuses calls with a
    /// new key ([`KeyError::Full`](crate::KeyError::Full)); retries of earlier calls get their
    /// answers, and calls without a key go on. Of records, it refuses new reservations
    /// ([`ReserveError::Full`](crate::ReserveError::Full)); calls on those that exist go on.
    #[default]
    Refuse,
    /// It drops the oldest one before its time. A retry of that key's call then runs again, and
    /// moves its units a second time. A late payment for that record hears that it is forgotten.
    /// [`Stats`](crate::Stats) counts both, `keys_dropped_early` and `records_dropped_early`, and
    /// [`health`](crate::InventoryManager::health) is `Degraded` while one is missing.
    DropOldest,
}

/// The limits of an engine: how much it holds, and for how long; see
/// [`Builder::limits`](crate::Builder::limits).
///
/// ```
/// use stockade::{InventoryManager, Limits};
/// let limits = Limits::new().max_reservations(100_000).max_basket_lines(50);
/// let manager = InventoryManager::builder().warehouse("SF").limits(limits).build()?;
/// # Ok::<(), stockade::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "they bound nothing until a builder has them"]
pub struct Limits {
    pub(in crate::engine) longest_ttl: Duration,
    /// `None`: the longest time to live, or a day if that is longer.
    pub(super) longest_total: Option<Duration>,
    pub(in crate::engine) max_reservations: u32,
    pub(super) max_allowances: u32,
    pub(in crate::engine) max_basket_lines: usize,
    pub(in crate::engine) text: TextLimits,
    pub(in crate::engine) retention: Retention,
    pub(in crate::engine) keys: KeyLimits,
    pub(in crate::engine) audit_queue: usize,
    pub(in crate::engine) audit_retained: u64,
    pub(in crate::engine) overdue_limit: usize,
    pub(in crate::engine) max_transfer_requests: usize,
    pub(in crate::engine) ceilings: Ceilings,
    /// How many answers may wait for their outcome file.
    #[cfg(feature = "journal")]
    pub(in crate::engine) most_unsettled: usize,
}

impl Limits {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            longest_ttl: DAY,
            longest_total: None,
            max_reservations: 1 << 24,
            max_allowances: (1u64 << 20).min(MOST_ALLOWANCES) as u32,
            max_basket_lines: 10_000,
            text: TextLimits { notes: 64, bytes: 4_096 },
            retention: Retention {
                time: Duration::from_secs(60),
                records: 65_536,
                drop_oldest: true,
            },
            keys: KeyLimits {
                lifetime: 7 * DAY,
                count: keys_in(KEY_MEMORY),
                drop_oldest: false,
                unsettled: None,
            },
            audit_queue: 65_536,
            audit_retained: 1_000_000,
            overdue_limit: 10_000,
            max_transfer_requests: 10_000,
            ceilings: Ceilings::default(),
            #[cfg(feature = "journal")]
            most_unsettled: MOST_UNSETTLED,
        }
    }

    /// Sets the longest time to live that one reserve or one extension may ask for. Default: 24
    /// hours. It can be changed at run time.
    pub fn longest_ttl(mut self, longest: Duration) -> Self {
        self.longest_ttl = longest;
        self
    }

    /// Sets how long a hold may live in total, extensions included. It also limits a single
    /// `reserve`. Default: 24 hours, or [`longest_ttl`](Self::longest_ttl) if that is longer.
    ///
    /// It counts from the time in the hold's id. Where that lies ahead of the clock, because an
    /// earlier run had a wrong one, it counts from the call that extends.
    pub fn longest_total_hold(mut self, longest: Duration) -> Self {
        self.longest_total = Some(longest);
        self
    }

    /// Sets how many lines of live reservations and retained records there may be, 1 to 2^31.
    /// Default: 16,777,216. Memory grows with use, 64 to 70 bytes for each line. At the maximum, a
    /// reserve is refused.
    ///
    /// An engine that opens a journal takes over what lives in it, always if its maximum is that of
    /// the engine that wrote it. With a lower one, the holds live on, and new ones are refused
    /// until enough of them have ended.
    pub fn max_reservations(mut self, slots: u32) -> Self {
        self.max_reservations = slots;
        self
    }

    /// Sets how many distinct lines a basket may have, 1 to 65,535. Default: 10,000.
    pub fn max_basket_lines(mut self, lines: usize) -> Self {
        self.max_basket_lines = lines;
        self
    }

    /// Sets how many [notes](crate::Request::note) a call may have, 0 to 65,535, and how many bytes
    /// of text they make together, names and values, with the source or the reason that the call
    /// takes: 0 to 2^24. Default: 64 notes, 4,096 bytes. A call with more is refused
    /// ([`InvalidText`](crate::InvalidText)), and nothing moves.
    ///
    /// ```
    /// use stockade::{CallError, InvalidText, InventoryManager, Limits};
    /// let limits = Limits::new().notes(1, 20);
    /// let manager = InventoryManager::builder().warehouse("SF").limits(limits).build()?;
    /// let add = |order: &str| {
    ///     manager.request().note("order", order).add_stock(("SF", "LAPTOP"), 5, "SUPPLIER")
    /// };
    /// add("A-1")?;
    /// let refusal = CallError::from(InvalidText::TooLong { bytes: 21, most: 20 });
    /// assert_eq!(add("A-234567"), Err(refusal.into()));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn notes(mut self, notes: u32, bytes: u32) -> Self {
        self.text = TextLimits { notes, bytes };
        self
    }

    /// Sets how long a finished reservation stays readable: at least `time`, while fewer than
    /// `records` are retained. Default: 60 seconds, 65,536 records. What happens at that number is
    /// a setting of its own: [`records_when_full`](Self::records_when_full). With a journal, the
    /// outcome files tell how a reservation ended long after that.
    pub fn retention(mut self, time: Duration, records: usize) -> Self {
        (self.retention.time, self.retention.records) = (time, records);
        self
    }

    /// Sets what happens when finished records find no room, and the time of none is up. Default:
    /// [`WhenFull::DropOldest`]: with more records than [`retention`](Self::retention) says, or if
    /// all slots are in use, the oldest record leaves. Without outcome files
    /// [`health`](crate::InventoryManager::health) is `Degraded` until the time of that record is
    /// up.
    ///
    /// With [`WhenFull::Refuse`] no record leaves before its time: they grow beyond that number,
    /// and take as many slots as [`max_reservations`](Self::max_reservations) allows. When all are
    /// in use, a new reservation is refused ([`ReserveError::Full`](crate::ReserveError::Full)).
    /// Only a record that a session with a wrong clock made, whose id lies ahead of the clock,
    /// still leaves then, and is counted. Where slots are that short, some records stay longer, by
    /// an eighth of their time. From 80 % on, `health` is `Degraded`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{InventoryManager, Limits, ReserveError, WhenFull};
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let limits = Limits::new()
    ///     .max_reservations(2)
    ///     .retention(day, 0)
    ///     .records_when_full(WhenFull::Refuse);
    /// let manager = InventoryManager::builder().warehouse("SF").limits(limits).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let first = manager.sell(("SF", "LAPTOP"), 1)?;
    /// manager.sell(("SF", "LAPTOP"), 1)?;
    /// assert_eq!(manager.sell(("SF", "LAPTOP"), 1), Err(ReserveError::Full { slots: 2 }));
    /// assert_eq!(manager.reservation(first)?.units_sold(), 1);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn records_when_full(mut self, when_full: WhenFull) -> Self {
        self.retention.drop_oldest = when_full == WhenFull::DropOldest;
        self
    }

    /// Sets how long idempotency keys are stored, and how many at most. Retakes count as keys.
    /// Default: 7 days, and as many as fit into 1 GiB ([`key_memory`](Self::key_memory)). What
    /// happens at the maximum is a setting of its own: [`when_full`](Self::when_full).
    pub fn key_retention(mut self, lifetime: Duration, count: usize) -> Self {
        (self.keys.lifetime, self.keys.count) = (lifetime, count);
        self
    }

    /// Sets how much memory stored idempotency keys may take, in bytes: their number is the bytes
    /// divided by the most that a key takes, about 70. It replaces the count of
    /// [`key_retention`](Self::key_retention), or that replaces it: the later call wins. Memory
    /// grows with use. Default: 1 GiB.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stockade::{InventoryManager, Limits, WhenFull};
    /// let limits = Limits::new()
    ///     .key_retention(Duration::from_secs(24 * 60 * 60), 1)
    ///     .key_memory(64 << 20)
    ///     .when_full(WhenFull::Refuse);
    /// let manager = InventoryManager::builder().warehouse("SF").limits(limits).build()?;
    /// assert!(manager.stats().keys_max > 100_000);
    /// # Ok::<(), stockade::BuildError>(())
    /// ```
    pub fn key_memory(mut self, bytes: u64) -> Self {
        self.keys.count = keys_in(bytes);
        self
    }

    /// Sets what happens when as many idempotency keys are stored as the engine has room for, and
    /// the time of none is up. Default: [`WhenFull::Refuse`], so that no key leaves before its time
    /// in silence. From 80 % of the maximum on, [`health`](crate::InventoryManager::health) is
    /// `Degraded`.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.keys.drop_oldest = when_full == WhenFull::DropOldest;
        self
    }

    /// Sets how many records the audit queue holds, 16 to 2^24. Default: 65,536. The queue has its
    /// memory from the start: 80 bytes a record, for the next power of two of them. From the first
    /// call with a key or a note on it has 128 more for each, unless there are over 262,144.
    pub fn audit_queue(mut self, records: usize) -> Self {
        self.audit_queue = records;
        self
    }

    /// Sets how many of the newest entries the audit log keeps in memory. Default: a million.
    pub fn audit_retained(mut self, entries: u64) -> Self {
        self.audit_retained = entries;
        self
    }

    /// Sets how many overdue holds one call may expire to get the units that it needs. Default:
    /// 10,000.
    pub fn overdue_limit(mut self, holds: usize) -> Self {
        self.overdue_limit = holds;
        self
    }

    /// Sets how many transfer requests may wait for approval at the same time. Default: 10,000.
    pub fn max_transfer_requests(mut self, requests: usize) -> Self {
        self.max_transfer_requests = requests;
        self
    }

    /// Lowers the bounds that no setting moves, so that a test can fill an engine to its brim: how
    /// many warehouses, products and levels it holds, and up to which slot it takes over
    /// reservations of an engine with a higher [`max_reservations`](Self::max_reservations).
    #[cfg(feature = "testing")]
    pub fn shrink(mut self, [warehouses, products, levels, slots]: [u32; 4]) -> Self {
        self.ceilings.shrink([warehouses, products, levels, slots].map(u64::from));
        self
    }

    /// Lowers how many answers of idempotency keys may wait for their outcome file, so that a test
    /// sees what comes then: [`KeyError::Behind`](crate::KeyError::Behind).
    #[cfg(all(feature = "testing", feature = "journal"))]
    pub fn most_unsettled(mut self, answers: usize) -> Self {
        self.most_unsettled = answers;
        self
    }

    pub(in crate::engine) fn longest_total(&self) -> Duration {
        self.longest_total.unwrap_or(DAY.max(self.longest_ttl))
    }

    /// Sets for how many subjects the engine counts at a time, under all
    /// [limits](crate::InventoryManager::define_limit) together: 1 to 2^28. Who holds nothing, and
    /// has bought nothing that counts, takes none. Default: 2^20. Each takes 40 to 64 bytes, once
    /// it is used. When all are, whoever would be the next is refused
    /// ([`LimitError::Full`](crate::LimitError::Full)).
    pub fn max_allowances(mut self, subjects: u32) -> Self {
        self.max_allowances = subjects;
        self.ceilings.set_allowances(subjects);
        self
    }

    /// Validates the limits.
    pub(in crate::engine) fn check(&self) -> Result<(), BuildError> {
        let millisecond = Duration::from_millis(1);
        check(self.longest_ttl >= millisecond, "longest_ttl", "at least a millisecond")?;
        check(self.longest_total() >= millisecond, "longest_total_hold", "at least a millisecond")?;
        let slots = 1..=MOST_SLOTS;
        check(slots.contains(&self.max_reservations.into()), "max_reservations", "1 to 2^31")?;
        let allowances = 1..=MOST_ALLOWANCES;
        check(allowances.contains(&self.max_allowances.into()), "max_allowances", "1 to 2^28")?;
        check((1..=65_535).contains(&self.max_basket_lines), "max_basket_lines", "1 to 65,535")?;
        let TextLimits { notes, bytes } = self.text;
        check(notes <= MOST_NOTES, "notes", "at most 65,535 notes")?;
        check(bytes <= MOST_TEXT, "notes", "at most 2^24 bytes of text")?;
        check(self.keys.count > 0, "key_retention", "at least one key")?;
        check((16..=1 << 24).contains(&self.audit_queue), "audit_queue", "16 to 2^24 records")?;
        check(self.max_transfer_requests > 0, "max_transfer_requests", "at least 1")?;
        check(self.overdue_limit > 0, "overdue_limit", "at least 1")
    }
}

/// How many keys surely fit into so much memory.
fn keys_in(bytes: u64) -> usize {
    usize::try_from(bytes / IdempotencyMap::<AnswerBytes>::BYTES_A_KEY).unwrap_or(usize::MAX)
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns an error that names the setting, unless `holds`.
pub(in crate::engine) fn check(
    holds: bool,
    setting: &'static str,
    expected: &'static str,
) -> Result<(), BuildError> {
    if holds { Ok(()) } else { Err(BuildError::Setting { setting, expected }) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Each is what its setter's documentation says.
    #[test]
    fn the_defaults_are_what_their_documentation_says() {
        let it = Limits::new();
        assert_eq!((it.longest_ttl, it.longest_total()), (24 * 60 * 60 * SECOND, DAY));
        assert_eq!((it.max_reservations, it.max_basket_lines), (16_777_216, 10_000));
        assert_eq!((it.text.notes, it.text.bytes), (64, 4_096));
        assert_eq!((it.retention.time, it.retention.records), (60 * SECOND, 65_536));
        assert_eq!((it.keys.lifetime, it.keys.drop_oldest), (7 * DAY, false));
        assert_eq!((it.audit_queue, it.audit_retained), (65_536, 1_000_000));
        assert_eq!((it.overdue_limit, it.max_transfer_requests), (10_000, 10_000));
        assert_eq!(it.check(), Ok(()));
    }

    #[test]
    fn the_least_of_each_is_legal_and_less_is_not() {
        let least = Limits::new().max_reservations(1).max_basket_lines(1).audit_queue(16);
        assert_eq!(least.clone().check(), Ok(()));
        for less in [
            least.clone().max_reservations(0),
            least.clone().max_basket_lines(0),
            least.clone().audit_queue(15),
            least.clone().max_transfer_requests(0),
            least.overdue_limit(0),
        ] {
            assert!(matches!(less.check(), Err(BuildError::Setting { .. })), "{less:?}");
        }
    }
}

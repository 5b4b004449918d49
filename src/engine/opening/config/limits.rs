//! The limits of an engine, as a file says them.

use std::time::Duration;

use crate::base::serialize::{millis, millis_if_any};
use crate::base::text_limits::TextLimits;
use crate::engine::opening::limits::{KEY_MEMORY, Limits, WhenFull};
use crate::idempotency::KeyLimits;
use crate::reservation::free_list::Retention;

/// How much an engine holds, and for how long, in a [`Config`](crate::Config): the settings of
/// [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// See [`Limits::longest_ttl`]. In a file: `longest_ttl_ms`.
    #[serde(rename = "longest_ttl_ms", with = "millis")]
    pub longest_ttl: Duration,
    /// See [`Limits::longest_total_hold`]. `None`: as there. In a file: `longest_total_hold_ms`.
    #[serde(rename = "longest_total_hold_ms", with = "millis_if_any")]
    pub longest_total_hold: Option<Duration>,
    /// See [`Limits::max_reservations`].
    pub max_reservations: u32,
    /// See [`Limits::max_allowances`].
    pub max_allowances: u32,
    /// See [`Limits::max_basket_lines`].
    pub max_basket_lines: usize,
    /// The notes of [`Limits::notes`].
    pub max_notes: u32,
    /// The bytes of [`Limits::notes`].
    pub max_text_bytes: u32,
    /// The time of [`Limits::retention`]. In a file: `record_retention_ms`.
    #[serde(rename = "record_retention_ms", with = "millis")]
    pub record_retention: Duration,
    /// The records of [`Limits::retention`].
    pub retained_records: usize,
    /// See [`Limits::records_when_full`].
    pub records_when_full: WhenFull,
    /// The lifetime of [`Limits::key_retention`]. In a file: `key_retention_ms`.
    #[serde(rename = "key_retention_ms", with = "millis")]
    pub key_retention: Duration,
    /// See [`Limits::key_memory`].
    pub key_memory_bytes: u64,
    /// The count of [`Limits::key_retention`]. If it is given, it replaces
    /// [`key_memory_bytes`](Self::key_memory_bytes).
    pub max_keys: Option<usize>,
    /// See [`Limits::when_full`].
    pub keys_when_full: WhenFull,
    /// See [`Limits::audit_queue`].
    pub audit_queue: usize,
    /// See [`Limits::audit_retained`].
    pub audit_retained: u64,
    /// See [`Limits::overdue_limit`].
    pub overdue_limit: usize,
    /// See [`Limits::max_transfer_requests`].
    pub max_transfer_requests: usize,
}

impl Default for LimitsConfig {
    /// Those of [`Limits::new`].
    fn default() -> Self {
        // Each field by name: who adds a limit decides here whether a file has it.
        let Limits {
            longest_ttl,
            longest_total,
            max_reservations,
            max_allowances,
            max_basket_lines,
            text: TextLimits { notes, bytes },
            retention: Retention { time, records, drop_oldest: records_leave },
            // The count is that of the memory.
            keys: KeyLimits { lifetime, count: _, drop_oldest: keys_leave, unsettled: _ },
            audit_queue,
            audit_retained,
            overdue_limit,
            max_transfer_requests,
            ceilings: _,
            #[cfg(feature = "journal")]
                most_unsettled: _,
        } = Limits::new();
        Self {
            longest_ttl,
            longest_total_hold: longest_total,
            max_reservations,
            max_allowances,
            max_basket_lines,
            max_notes: notes,
            max_text_bytes: bytes,
            record_retention: time,
            retained_records: records,
            records_when_full: when_full(records_leave),
            key_retention: lifetime,
            key_memory_bytes: KEY_MEMORY,
            max_keys: None,
            keys_when_full: when_full(keys_leave),
            audit_queue,
            audit_retained,
            overdue_limit,
            max_transfer_requests,
        }
    }
}

fn when_full(drop_oldest: bool) -> WhenFull {
    if drop_oldest { WhenFull::DropOldest } else { WhenFull::Refuse }
}

impl LimitsConfig {
    pub(super) fn as_limits(&self) -> Limits {
        let mut limits = Limits::new()
            .longest_ttl(self.longest_ttl)
            .max_reservations(self.max_reservations)
            .max_allowances(self.max_allowances)
            .max_basket_lines(self.max_basket_lines)
            .notes(self.max_notes, self.max_text_bytes)
            .retention(self.record_retention, self.retained_records)
            .records_when_full(self.records_when_full)
            .key_retention(self.key_retention, self.max_keys.unwrap_or_default())
            .when_full(self.keys_when_full)
            .audit_queue(self.audit_queue)
            .audit_retained(self.audit_retained)
            .overdue_limit(self.overdue_limit)
            .max_transfer_requests(self.max_transfer_requests);
        if let Some(longest) = self.longest_total_hold {
            limits = limits.longest_total_hold(longest);
        }
        // Of the count and the memory, the later call wins.
        if self.max_keys.is_none() { limits.key_memory(self.key_memory_bytes) } else { limits }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Each has a value that no other has.
    #[test]
    fn every_limit_reaches_the_engines_limits() {
        let text = r#"
            longest_ttl_ms = 1001
            longest_total_hold_ms = 1002
            max_reservations = 1003
            max_allowances = 1004
            max_basket_lines = 1005
            max_notes = 1006
            max_text_bytes = 1007
            record_retention_ms = 1008
            retained_records = 1009
            records_when_full = "refuse"
            key_retention_ms = 1010
            max_keys = 1011
            keys_when_full = "drop_oldest"
            audit_queue = 1012
            audit_retained = 1013
            overdue_limit = 1014
            max_transfer_requests = 1015
        "#;
        let read: LimitsConfig = toml::from_str(text).expect("limits");
        let ms = Duration::from_millis;
        let plain = Limits::new()
            .longest_ttl(ms(1_001))
            .longest_total_hold(ms(1_002))
            .max_reservations(1_003)
            .max_allowances(1_004)
            .max_basket_lines(1_005)
            .notes(1_006, 1_007)
            .retention(ms(1_008), 1_009)
            .records_when_full(WhenFull::Refuse)
            .key_retention(ms(1_010), 1_011)
            .when_full(WhenFull::DropOldest)
            .audit_queue(1_012)
            .audit_retained(1_013)
            .overdue_limit(1_014)
            .max_transfer_requests(1_015);
        assert_eq!(format!("{:?}", read.as_limits()), format!("{plain:?}"));
        let read: LimitsConfig = toml::from_str("key_memory_bytes = 70000").expect("limits");
        let plain = Limits::new().key_memory(70_000);
        assert_eq!(format!("{:?}", read.as_limits()), format!("{plain:?}"));
    }
}

//! What happens to a journal's old segments, as a file says it.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::serialize::{millis, millis_if_any};
use crate::journal::maintenance::retention::JournalRetention;

/// What happens to a journal's old segments, in a [`JournalConfig`](crate::JournalConfig): the
/// settings of [`JournalRetention`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetentionConfig {
    /// Where they go.
    pub old_segments: OldSegmentsConfig,
    /// See [`JournalRetention::older_than`]. In a file: `older_than_ms`.
    #[serde(rename = "older_than_ms", with = "millis_if_any")]
    pub older_than: Option<Duration>,
    /// See [`JournalRetention::over_bytes`].
    pub over_bytes: Option<u64>,
    /// The bytes of [`JournalRetention::max_consumer_lag`].
    pub max_consumer_lag_bytes: u64,
    /// The age of [`JournalRetention::max_consumer_lag`]. In a file: `max_consumer_lag_ms`.
    #[serde(rename = "max_consumer_lag_ms", with = "millis")]
    pub max_consumer_lag: Duration,
}

/// Where a journal's old segments go, in a [`RetentionConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldSegmentsConfig {
    /// They stay: [`JournalRetention::keep_all`]. In a file: `"keep"`.
    #[default]
    Keep,
    /// They are removed: [`JournalRetention::remove`]. In a file: `"remove"`.
    Remove,
    /// They move to this directory: [`JournalRetention::archive`]. In a file of TOML:
    /// `{ archive = "/srv/archive" }`.
    Archive(PathBuf),
}

impl Default for RetentionConfig {
    /// Those of [`JournalRetention::keep_all`].
    fn default() -> Self {
        let (bytes, age) = JournalRetention::keep_all().consumer_lag();
        Self {
            old_segments: OldSegmentsConfig::default(),
            older_than: None,
            over_bytes: None,
            max_consumer_lag_bytes: bytes,
            max_consumer_lag: age,
        }
    }
}

impl RetentionConfig {
    pub(super) fn as_retention(&self) -> JournalRetention {
        let mut retention = match &self.old_segments {
            OldSegmentsConfig::Keep => JournalRetention::keep_all(),
            OldSegmentsConfig::Remove => JournalRetention::remove(),
            OldSegmentsConfig::Archive(directory) => JournalRetention::archive(directory),
        };
        if let Some(age) = self.older_than {
            retention = retention.older_than(age);
        }
        if let Some(bytes) = self.over_bytes {
            retention = retention.over_bytes(bytes);
        }
        retention.max_consumer_lag(self.max_consumer_lag_bytes, self.max_consumer_lag)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn shown(retention: &JournalRetention) -> String {
        format!("{retention:?} {:?}", retention.consumer_lag())
    }

    #[test]
    fn every_setting_of_retention_reaches_the_journals() {
        let plain = JournalRetention::default();
        assert_eq!(shown(&RetentionConfig::default().as_retention()), shown(&plain));
        let text = r#"
            old_segments = { archive = "/srv/archive" }
            older_than_ms = 1001
            over_bytes = 1002
            max_consumer_lag_bytes = 1003
            max_consumer_lag_ms = 1004
        "#;
        let read: RetentionConfig = toml::from_str(text).expect("retention");
        let ms = Duration::from_millis;
        let plain = JournalRetention::archive("/srv/archive")
            .older_than(ms(1_001))
            .over_bytes(1_002)
            .max_consumer_lag(1_003, ms(1_004));
        assert_eq!(shown(&read.as_retention()), shown(&plain));
        let read: RetentionConfig =
            toml::from_str(r#"old_segments = "remove""#).expect("retention");
        assert!(read.as_retention().removes());
    }
}

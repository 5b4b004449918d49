//! The journal's options, as a file says them.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::serialize::millis;
use crate::engine::opening::config::retention::RetentionConfig;
use crate::journal::options::JournalOptions;
use crate::journal::storage::files::OWNER_ONLY;

/// Where an engine's journal lies, and how it is synced, checkpointed and trimmed, in a
/// [`Config`](crate::Config): the settings of [`JournalOptions`]. In a file it needs its directory.
///
/// A [`Storage`](crate::Storage) of your own and a listener of the recovery are no data: give the
/// builder [`JournalOptions`] for these.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct JournalConfig {
    /// See [`JournalOptions::directory`]. A relative path begins at the process's current
    /// directory.
    pub directory: PathBuf,
    /// See [`JournalOptions::file_mode`]. In a file it is a text of octal digits, `"0640"`,
    /// because some formats have no octal numbers.
    #[serde(default = "file_mode", with = "octal")]
    pub file_mode: u32,
    /// See [`JournalOptions::wait_for_lock`]. In a file: `wait_for_lock_ms`.
    #[serde(default = "wait_for_lock", rename = "wait_for_lock_ms", with = "millis")]
    pub wait_for_lock: Duration,
    /// See [`JournalOptions::segment_bytes`].
    #[serde(default = "segment_bytes")]
    pub segment_bytes: u64,
    /// See [`JournalOptions::sync_interval`]. In a file: `sync_interval_ms`.
    #[serde(default = "sync_interval", rename = "sync_interval_ms", with = "millis")]
    pub sync_interval: Duration,
    /// See [`JournalOptions::recovery_grace`]. In a file: `recovery_grace_ms`.
    #[serde(default = "recovery_grace", rename = "recovery_grace_ms", with = "millis")]
    pub recovery_grace: Duration,
    /// See [`JournalOptions::least_free_space`].
    #[serde(default = "least_free_space_bytes")]
    pub least_free_space_bytes: u64,
    /// See [`JournalOptions::auditor`].
    #[serde(default = "auditor")]
    pub auditor: bool,
    /// See [`JournalOptions::checkpoint_every`]. In a file, `None` is 0, because not every format
    /// has a word for nothing.
    #[serde(default = "checkpoint_every", with = "none_is_zero")]
    pub checkpoint_every: Option<u64>,
    /// See [`JournalOptions::retention`].
    #[serde(default = "retention")]
    pub retention: RetentionConfig,
    /// See [`JournalOptions::require_lineage`].
    #[serde(default = "require_lineage")]
    pub require_lineage: bool,
    /// See [`JournalOptions::keep_outcomes`]. In a file: `keep_outcomes_ms`.
    #[serde(default = "keep_outcomes", rename = "keep_outcomes_ms", with = "millis")]
    pub keep_outcomes: Duration,
    /// See [`JournalOptions::outcome_memory`].
    #[serde(default = "outcome_memory_bytes")]
    pub outcome_memory_bytes: usize,
}

/// The default of each field but the directory: `#[serde(default)]` of the whole would make one of
/// that, too, and a journal without a directory would lie wherever the process was started.
macro_rules! defaults {
    ($($field:ident: $type:ty)+) => {$(
        fn $field() -> $type {
            JournalConfig::new("").$field
        }
    )+};
}

defaults! {
    file_mode: u32
    wait_for_lock: Duration
    segment_bytes: u64
    sync_interval: Duration
    recovery_grace: Duration
    least_free_space_bytes: u64
    auditor: bool
    checkpoint_every: Option<u64>
    retention: RetentionConfig
    require_lineage: bool
    keep_outcomes: Duration
    outcome_memory_bytes: usize
}

impl JournalConfig {
    /// A journal in this directory, with the defaults of [`JournalOptions`].
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        // Each field by name: who adds an option decides here whether it is data.
        let JournalOptions {
            storage: _,
            watch: _,
            directory: _,
            file_mode,
            wait_for_lock,
            segment_bytes,
            sync_interval,
            recovery_grace,
            least_free_space,
            auditor,
            checkpoint_every,
            retention: _,
            require_lineage,
            keep_outcomes,
            outcome_memory,
            progress: _,
        } = JournalOptions::directory(&directory);
        Self {
            directory,
            file_mode: file_mode.unwrap_or(OWNER_ONLY),
            wait_for_lock,
            segment_bytes,
            sync_interval,
            recovery_grace,
            least_free_space_bytes: least_free_space,
            auditor,
            checkpoint_every,
            retention: RetentionConfig::default(),
            require_lineage,
            keep_outcomes,
            outcome_memory_bytes: outcome_memory,
        }
    }

    pub(super) fn options(&self) -> JournalOptions {
        let mut options = JournalOptions::directory(&self.directory)
            .wait_for_lock(self.wait_for_lock)
            .segment_bytes(self.segment_bytes)
            .sync_interval(self.sync_interval)
            .recovery_grace(self.recovery_grace)
            .least_free_space(self.least_free_space_bytes)
            .auditor(self.auditor)
            .checkpoint_every(self.checkpoint_every)
            .retention(self.retention.as_retention())
            .keep_outcomes(self.keep_outcomes)
            .outcome_memory(self.outcome_memory_bytes);
        if self.file_mode != OWNER_ONLY {
            options = options.file_mode(self.file_mode);
        }
        if self.require_lineage { options.require_lineage() } else { options }
    }
}

/// A file's mode as octal digits.
mod octal {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        u32::from_str_radix(&text, 8)
            .map_err(|_| D::Error::custom("a file's mode is octal digits, such as \"0640\""))
    }
}

/// A number of which 0 means that there is none.
mod none_is_zero {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(it: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(it.unwrap_or(0))
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<u64>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::<u64>::deserialize(from)?.filter(|it| *it != 0))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::maintenance::retention::JournalRetention;

    /// All that is data; the directory shows in what the storage writes.
    fn shown(options: &JournalOptions) -> String {
        let spans = [options.wait_for_lock, options.sync_interval, options.recovery_grace];
        let sizes = [options.segment_bytes, options.least_free_space];
        let outcomes = (options.keep_outcomes, options.outcome_memory);
        let switches = (options.auditor, options.require_lineage, options.progress.is_none());
        let mode = (options.file_mode, options.checkpoint_every);
        let retention = (&options.retention, options.retention.consumer_lag());
        let directory = &options.directory;
        format!(
            "{spans:?} {sizes:?} {outcomes:?} {switches:?} {mode:?} {retention:?} {directory:?}"
        )
    }

    #[test]
    fn a_journal_of_which_only_the_directory_is_said_has_the_plain_options() {
        let read: JournalConfig =
            toml::from_str(r#"directory = "/srv/journal""#).expect("a journal");
        assert_eq!(read, JournalConfig::new("/srv/journal"));
        assert_eq!(shown(&read.options()), shown(&JournalOptions::directory("/srv/journal")));
    }

    /// Each has a value that no other has.
    #[test]
    fn every_option_of_the_journal_reaches_the_engine() {
        let text = r#"
            directory = "/srv/journal"
            file_mode = "0640"
            wait_for_lock_ms = 1001
            segment_bytes = 1002
            sync_interval_ms = 1003
            recovery_grace_ms = 1004
            least_free_space_bytes = 1005
            auditor = false
            checkpoint_every = 0
            retention = { over_bytes = 1006 }
            require_lineage = true
            keep_outcomes_ms = 1007
            outcome_memory_bytes = 1008
        "#;
        let read: JournalConfig = toml::from_str(text).expect("a journal");
        let ms = Duration::from_millis;
        let plain = JournalOptions::directory("/srv/journal")
            .file_mode(0o640)
            .wait_for_lock(ms(1_001))
            .segment_bytes(1_002)
            .sync_interval(ms(1_003))
            .recovery_grace(ms(1_004))
            .least_free_space(1_005)
            .auditor(false)
            .checkpoint_every(None)
            .retention(JournalRetention::keep_all().over_bytes(1_006))
            .require_lineage()
            .keep_outcomes(ms(1_007))
            .outcome_memory(1_008);
        assert_eq!(shown(&read.options()), shown(&plain));
        let again = toml::to_string(&read).expect("TOML");
        assert_eq!(toml::from_str::<JournalConfig>(&again).expect("as written"), read);
    }
}

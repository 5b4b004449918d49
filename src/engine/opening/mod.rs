//! From a builder's settings to a running engine: one that begins empty, or one that a journal
//! recovers.

pub(super) mod assembly;
pub(super) mod builder;
#[cfg(feature = "serde")]
pub(super) mod config;
pub(super) mod limits;
#[cfg(feature = "journal")]
pub(super) mod open;
#[cfg(feature = "journal")]
mod restore;
#[cfg(feature = "journal")]
mod restore_limits;
pub(super) mod spec;

use crate::base::error::BuildError;
use crate::engine::InventoryManager;

use assembly::Assembly;
use builder::Builder;

impl Builder {
    /// Builds the engine and starts its threads: the audit writer, the sweeper, the alert
    /// dispatcher.
    ///
    /// With a journal, this call also recovers the stock from it. That takes as long as the replay
    /// of what was written since the last checkpoint.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is not valid, and the values that it accepts. With a
    /// journal, it also says why the journal cannot be opened.
    pub fn build(mut self) -> Result<InventoryManager, BuildError> {
        self.check()?;
        match self.journal.take() {
            Some(options) => open::open(self, options),
            None => {
                let (room, now) = (self.limits.max_reservations as usize, self.clock.now());
                Assembly::new(self, now).engine(room).start(|_| {})
            }
        }
    }
}

/// Takes the place of `open.rs` where there is no journal.
#[cfg(not(feature = "journal"))]
mod open {
    use super::{BuildError, Builder, InventoryManager};
    use crate::engine::journal::JournalOptions;

    /// Never called, because no options exist.
    pub(super) fn open(
        _: Builder,
        options: JournalOptions,
    ) -> Result<InventoryManager, BuildError> {
        match options {}
    }
}

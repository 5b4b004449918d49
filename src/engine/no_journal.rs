//! Stands where [`journal`](super::journal) does, for a library without that feature: there is none.

use std::time::Instant;

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::error::{BuildError, RedactError};
use crate::engine::InventoryManager;
use crate::engine::builder::Builder;

/// Nobody can have any.
pub(super) enum JournalOptions {}

/// No engine has one.
#[derive(Debug)]
pub(super) enum JournalLink {}

/// Never called.
pub(super) fn open(_: Builder, options: JournalOptions) -> Result<InventoryManager, BuildError> {
    match options {}
}

impl JournalLink {
    pub(super) fn end_by(&self, _: Instant) {
        match *self {}
    }

    pub(super) fn wait_for_end(&self, _: Instant) {
        match *self {}
    }

    pub(super) fn problem(&self) -> Option<String> {
        match *self {}
    }

    pub(super) fn redact(
        &self,
        _: &InventoryManager,
        _: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Result<Redacted, RedactError> {
        match *self {}
    }
}

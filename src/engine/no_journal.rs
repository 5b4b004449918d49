//! Takes the place of [`journal`](super::journal) without that feature. Its types have no values,
//! so the compiler knows that no engine has a journal.

use std::time::Instant;

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::clock::Timestamp;
use crate::base::error::{KeyError, RedactError};
use crate::engine::InventoryManager;
use crate::engine::answer::Answer;
use crate::engine::request_options::RequestOptions;
use crate::engine::view::filed::FiledOutcome;
use crate::engine::view::stats::{JournalFigures, OutcomeFigures};
use crate::idempotency::KeyName;
use crate::reservation::id::ReservationId;

/// Has no values: nobody can ask for a journal.
pub(super) enum JournalOptions {}

/// Has no values: no engine has a journal.
#[derive(Debug)]
pub(super) enum JournalLink {}

impl JournalLink {
    pub(super) fn end_by(&self, _: Instant) {
        match *self {}
    }

    pub(super) fn wait_for_end(&self, _: Instant) {
        match *self {}
    }

    pub(super) fn tells_of_a_step(&self) -> bool {
        match *self {}
    }

    pub(super) fn forget_step(&self) {
        match *self {}
    }

    pub(super) fn look_at_place(&self) {
        match *self {}
    }

    pub(super) fn kept_answer(
        &self,
        _: &KeyName,
        _: Timestamp,
        _: &RequestOptions,
    ) -> Result<Option<(u128, Answer)>, KeyError> {
        match *self {}
    }

    pub(super) fn outcome_figures(&self, _: Timestamp) -> Option<OutcomeFigures> {
        match *self {}
    }

    pub(super) fn figures(&self) -> JournalFigures {
        match *self {}
    }

    #[cfg(feature = "metrics")]
    pub(super) fn free_space(&self) -> Option<u64> {
        match *self {}
    }

    #[cfg(feature = "metrics")]
    pub(super) fn consumers_behind(&self) -> Option<(usize, u64)> {
        match *self {}
    }

    pub(super) fn keeps_answers(&self) -> bool {
        match *self {}
    }

    pub(super) fn keeps_answers_since(&self, _: Timestamp, _: Timestamp) -> Option<bool> {
        match *self {}
    }

    pub(super) fn hurry_keys(&self) {
        match *self {}
    }

    pub(super) fn kept_outcome(
        &self,
        _: ReservationId,
        _: Timestamp,
        _: &RequestOptions,
        _: impl FnOnce() -> bool,
    ) -> Result<Option<FiledOutcome>, KeyError> {
        match *self {}
    }

    pub(super) fn problem(&self, _: Timestamp) -> Option<String> {
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

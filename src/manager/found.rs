//! A reservation as a call found it: whole, and of one instant.

use crate::error::NoReservation;
use crate::manager::engine::Engine;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{ReservationRecord, Slot};
use crate::reservation::slots::ReadReservation;
use crate::reservation::state::SlotState;
use crate::sync::spin_loop;

/// What a reservation was at one instant. Who swaps `state` has it just as it stands here.
pub(super) struct Found<'a> {
    pub(super) slot: &'a Slot,
    pub(super) state: SlotState,
    pub(super) record: ReservationRecord,
    /// Sorted by level.
    pub(super) lines: Vec<SlotLine>,
    pub(super) retaken_from: Option<ReservationId>,
}

impl Engine {
    /// Reads a reservation, again and again while somebody changes it.
    pub(super) fn find_whole(&self, id: ReservationId) -> Result<Found<'_>, NoReservation> {
        let slot = self.slots.at(id.slot()).ok_or(NoReservation::Unknown)?;
        let mut lines = Vec::new();
        loop {
            match self.slots.read(id, |line| lines.push(line)) {
                ReadReservation::Found { record, state, retaken_from } => {
                    return Ok(Found { slot, state, record, lines, retaken_from });
                }
                ReadReservation::Changed => {
                    lines.clear();
                    spin_loop();
                }
                ReadReservation::Forgotten => return Err(NoReservation::Forgotten),
                ReadReservation::Unknown => return Err(NoReservation::Unknown),
            }
        }
    }
}

//! A reservation as a call found it: whole, and of one instant.

use crate::engine::Engine;
use crate::error::NoReservation;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::Tenant;
use crate::reservation::slots::{HeldSlot, ReadReservation};
use crate::sync::spin_loop;

/// What a reservation was at one instant. Who swaps the state of `head` has it just as it stands
/// here.
pub(in crate::engine) struct ReservationSnapshot<'a> {
    pub(in crate::engine) head: HeldSlot<'a>,
    pub(in crate::engine) tenant: Tenant,
    /// Sorted by level.
    pub(in crate::engine) lines: Vec<Line>,
    pub(in crate::engine) retaken_from: Option<ReservationId>,
}

impl Engine {
    /// Reads a reservation, again and again while somebody changes it.
    pub(in crate::engine) fn snapshot_of(
        &self,
        id: ReservationId,
    ) -> Result<ReservationSnapshot<'_>, NoReservation> {
        let slot = self.slots.at(id.slot()).ok_or(NoReservation::Unknown)?;
        let mut lines = Vec::new();
        loop {
            match self.slots.read(id, |line| lines.push(line)) {
                ReadReservation::Found { tenant, state, retaken_from } => {
                    let head = HeldSlot { number: id.slot(), slot, state };
                    return Ok(ReservationSnapshot { head, tenant, lines, retaken_from });
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

//! A reservation as a call found it: whole, and of one instant.

use crate::clock::Timestamp;
use crate::error::{Gone, NoReservation};
use crate::manager::engine::Engine;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::{Slot, Tenant};
use crate::reservation::slots::ReadReservation;
use crate::reservation::state::{Phase, State};
use crate::sync::spin_loop;

/// What a reservation was at one instant. Who swaps `state` has it just as it stands here.
pub(super) struct Found<'a> {
    pub(super) slot: &'a Slot,
    pub(super) state: State,
    pub(super) tenant: Tenant,
    /// Sorted by level.
    pub(super) lines: Vec<Line>,
    pub(super) retaken_from: Option<ReservationId>,
}

impl Found<'_> {
    /// How a reservation ended that is over.
    pub(super) fn gone(&self) -> Gone {
        self.gone_in(self.tenant.chain.end(self.state.phase()))
    }

    /// How it ended that ends, or ended, in `end`.
    pub(super) fn gone_in(&self, end: Phase) -> Gone {
        self.units(end).gone(end, self.state.expires_at())
    }

    /// What the lines say of a reservation that ended in `end`: units sold, and units given back.
    pub(super) fn units(&self, end: Phase) -> Units {
        self.lines.iter().fold(Units::default(), |sum, line| {
            let sold = line.sold_in(end);
            Units {
                sold: sum.sold + u64::from(sold),
                returned: sum.returned + u64::from(line.quantity() - sold),
            }
        })
    }
}

/// What became of the units of a reservation that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) sold: u64,
    pub(super) returned: u64,
}

impl Units {
    /// How their reservation ended, for its callers.
    pub(super) fn gone(self, end: Phase, at: Timestamp) -> Gone {
        let Self { sold, returned } = self;
        match end {
            Phase::Released => Gone::Released { sold, returned },
            Phase::Expired => Gone::Expired { at, sold, returned },
            _ => Gone::Sold { units: sold },
        }
    }
}

impl Engine {
    /// Reads a reservation, again and again while somebody changes it.
    pub(super) fn find_whole(&self, id: ReservationId) -> Result<Found<'_>, NoReservation> {
        let slot = self.slots.at(id.slot()).ok_or(NoReservation::Unknown)?;
        let mut lines = Vec::new();
        loop {
            match self.slots.read(id, |line| lines.push(line)) {
                ReadReservation::Found { tenant, state, retaken_from } => {
                    return Ok(Found { slot, state, tenant, lines, retaken_from });
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

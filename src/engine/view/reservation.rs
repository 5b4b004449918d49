//! A reservation as a call found it: whole, and of one instant.

use crate::base::clock::Timestamp;
use crate::base::error::{Gone, NoReservation};
use crate::base::sync::spin_loop;
use crate::engine::Engine;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::reservation::slots::{HeldSlot, ReadReservation};
use crate::reservation::state::Phase;

/// What a reservation was at one instant. Who swaps the state of `head` has it just as it stands
/// here.
pub(in crate::engine) struct ReservationSnapshot<'a> {
    pub(in crate::engine) head: HeldSlot<'a>,
    pub(in crate::engine) record: ReservationRecord,
    /// Sorted by level.
    pub(in crate::engine) lines: Vec<SlotLine>,
    pub(in crate::engine) retaken_from: Option<ReservationId>,
}

impl ReservationSnapshot<'_> {
    /// How a reservation ended that is over.
    pub(in crate::engine) fn gone(&self) -> Gone {
        self.gone_in(self.record.chain.end(self.head.state.phase()))
    }

    /// How it ended that ends, or ended, in `end`.
    pub(in crate::engine) fn gone_in(&self, end: Phase) -> Gone {
        self.units(end).gone(end, self.head.state.expires_at())
    }

    /// What the lines say of a reservation that ended in `end`: units sold, and units given back.
    pub(in crate::engine) fn units(&self, end: Phase) -> UnitsEnded {
        self.lines.iter().fold(UnitsEnded::default(), |sum, line| {
            let sold = line.sold_in(end);
            UnitsEnded {
                sold: sum.sold + u64::from(sold),
                returned: sum.returned + u64::from(line.quantity() - sold),
            }
        })
    }
}

/// What became of the units of a reservation that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct UnitsEnded {
    pub(in crate::engine) sold: u64,
    pub(in crate::engine) returned: u64,
}

impl UnitsEnded {
    /// How their reservation ended, for its callers.
    pub(in crate::engine) fn gone(self, end: Phase, at: Timestamp) -> Gone {
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
    pub(in crate::engine) fn snapshot_of(
        &self,
        id: ReservationId,
    ) -> Result<ReservationSnapshot<'_>, NoReservation> {
        let slot = self.slots.at(id.slot()).ok_or(NoReservation::Unknown)?;
        let mut lines = Vec::new();
        loop {
            match self.slots.read(id, |line| lines.push(line)) {
                ReadReservation::Found { record, state, retaken_from } => {
                    let head = HeldSlot { number: id.slot(), slot, state };
                    return Ok(ReservationSnapshot { head, record, lines, retaken_from });
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

//! A reservation as a call reads it: whole, and at one instant.

use crate::base::clock::Timestamp;
use crate::base::error::{Gone, NoReservation};
use crate::base::sync::spin_loop;
use crate::engine::Engine;
use crate::engine::answer::Release;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::reservation::slots::{HeldSlot, Lookup, ReadReservation};
use crate::reservation::state::Phase;

/// A reservation at one instant. A thread that swaps the state of `head` from the state found here
/// knows that nothing else has changed since.
pub(in crate::engine) struct ReservationSnapshot<'a> {
    pub(in crate::engine) head: HeldSlot<'a>,
    pub(in crate::engine) record: ReservationRecord,
    /// Sorted by level.
    pub(in crate::engine) lines: Vec<SlotLine>,
    pub(in crate::engine) retaken_from: Option<ReservationId>,
}

impl ReservationSnapshot<'_> {
    /// How a reservation ended. Call it only for one that has ended.
    pub(in crate::engine) fn gone(&self) -> Gone {
        self.gone_in(self.record.chain.end(self.head.state.phase()))
    }

    /// How a reservation ended, or would end, whose final phase is `end`.
    pub(in crate::engine) fn gone_in(&self, end: Phase) -> Gone {
        self.units(end).gone(end, self.head.state.expires_at())
    }

    /// Sums the units sold and the units returned, over all lines, for the final phase `end`.
    pub(in crate::engine) fn units(&self, end: Phase) -> UnitsEnded {
        self.lines.iter().fold(UnitsEnded::default(), |sum, line| sum.plus(*line, end))
    }
}

/// What became of the units of a reservation that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct UnitsEnded {
    pub(in crate::engine) sold: u64,
    pub(in crate::engine) returned: u64,
}

impl UnitsEnded {
    /// The sums with one more line, of a reservation whose final phase is `end`.
    pub(in crate::engine) fn plus(self, line: SlotLine, end: Phase) -> Self {
        let sold = line.sold_in(end);
        Self {
            sold: self.sold + u64::from(sold),
            returned: self.returned + u64::from(line.quantity() - sold),
        }
    }

    /// The public form of these sums.
    pub(in crate::engine) fn gone(self, end: Phase, at: Timestamp) -> Gone {
        let Self { sold, returned } = self;
        match end {
            _ if sold > 0 && returned > 0 => Gone::PartlySold { sold, returned },
            Phase::Released => Gone::Released { returned },
            Phase::Expired => Gone::Expired { at, returned },
            _ => Gone::Sold { units: sold },
        }
    }
}

/// Of a reservation that sold units and returned the others.
impl From<UnitsEnded> for Release {
    fn from(UnitsEnded { sold, returned }: UnitsEnded) -> Self {
        Self::PartlySold { sold, returned }
    }
}

impl Engine {
    /// Reads a reservation by a seqlock read, and repeats it while another thread changes the
    /// record. It spins, and never sleeps.
    pub(in crate::engine) fn snapshot_of(
        &self,
        id: ReservationId,
    ) -> Result<ReservationSnapshot<'_>, NoReservation> {
        let slot = self.slots.at(id.slot()).ok_or_else(|| self.missing(id, Lookup::Unknown))?;
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
                ReadReservation::Forgotten => return Err(self.missing(id, Lookup::Forgotten)),
                ReadReservation::Unknown => return Err(self.missing(id, Lookup::Unknown)),
            }
        }
    }
}

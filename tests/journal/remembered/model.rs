//! The plain model: what the shop has promised, and until when.

use std::collections::BTreeMap;

use stockade::{ConfirmOrRetake, Release, ReservationId};

use super::plan::Ending;

/// A week, in milliseconds of journal time.
pub(super) const KEEP: u64 = 7 * 24 * 60 * 60 * 1_000;

/// How a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Pending,
    Sold,
    Released,
    Expired,
    /// A crash took it, which ended this opening.
    Lost(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) id: ReservationId,
    pub(super) units: u32,
    /// By the clock.
    pub(super) expires: u64,
    pub(super) stand: Stand,
    /// The journal time of its end.
    pub(super) ended: u64,
    /// Who has retaken it, and at which journal time.
    pub(super) retaken: Option<(ReservationId, u64)>,
    /// The opening that made it.
    pub(super) opening: u64,
    /// Lost, and made in the millisecond of the last entry that was saved. Once its slot is used
    /// again, nobody can tell whether it was saved.
    pub(super) at_edge: bool,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Reserve { units: u32, hours: u64 },
    End { what: Ending, hold: usize },
}

/// What a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reserved(ReservationId),
    Confirmed,
    Release(Release),
    Retake(ConfirmOrRetake),
    /// The reservation is over, as it stands there.
    Gone(Stand),
    Forgotten,
}

/// The answer of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) request: Request,
    pub(super) answer: Answer,
    /// Its journal time.
    pub(super) at: u64,
}

/// All that was promised.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) holds: Vec<Hold>,
    pub(super) keys: BTreeMap<usize, Stored>,
}

/// What the journal has of a change, if it has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trace {
    /// An entry with the note of this call.
    Noted(usize),
    /// That many uses of keys by calls that moved nothing. Their notes are not kept.
    KeyUsed(usize),
    Reserved(ReservationId),
    Sold(ReservationId),
    Returned(ReservationId),
    /// The retake of this hold.
    Retaken(ReservationId),
}

impl Model {
    /// The hold ends so, at this journal time.
    pub(super) fn end(&mut self, hold: usize, stand: Stand, time: u64) {
        let hold = &mut self.holds[hold];
        (hold.stand, hold.ended) = (stand, time);
    }

    /// Units that were sold.
    pub(super) fn sold(&self) -> u32 {
        let sold = self.holds.iter().filter(|hold| hold.stand == Stand::Sold);
        sold.map(|hold| hold.units).sum()
    }

    /// Units that holds hold that have not ended.
    pub(super) fn held(&self) -> u32 {
        let held = self.holds.iter().filter(|hold| hold.stand == Stand::Pending);
        held.map(|hold| hold.units).sum()
    }

    /// The answers that a call may get which is not under a known key, at this journal time. Not
    /// for a hold that is pending.
    pub(super) fn told(&self, what: Ending, hold: usize, time: u64) -> Vec<Answer> {
        let hold = &self.holds[hold];
        let is_over = |since: u64| time > since + KEEP;
        let units = u64::from(hold.units);
        if let Stand::Lost(opening) = hold.stand {
            let (lost, forgotten) = match what {
                Ending::Release => (
                    Answer::Release(Release::Lost { opening }),
                    Answer::Release(Release::Forgotten),
                ),
                Ending::Confirm | Ending::Retake => (Answer::Gone(hold.stand), Answer::Forgotten),
            };
            return if hold.at_edge { vec![lost, forgotten] } else { vec![lost] };
        }
        let known = match (what, hold.stand, hold.retaken) {
            (Ending::Confirm, stand, _) | (Ending::Release, stand @ Stand::Sold, _) => {
                Answer::Gone(stand)
            }
            (Ending::Release, Stand::Released, _) => Answer::Release(Release::AlreadyReleased),
            (Ending::Release, _, _) => Answer::Release(Release::Expired),
            (Ending::Retake, Stand::Sold, _) => {
                Answer::Retake(ConfirmOrRetake::AlreadySold { units })
            }
            (Ending::Retake, _, Some((by, _))) => {
                Answer::Retake(ConfirmOrRetake::AlreadyRetaken(by))
            }
            // The driver puts the new id in.
            (Ending::Retake, _, None) => Answer::Retake(ConfirmOrRetake::Retaken(hold.id)),
        };
        let since = match (what, hold.retaken) {
            (Ending::Retake, Some((_, at))) => at,
            _ => hold.ended,
        };
        match is_over(since) {
            false => vec![known],
            true if what == Ending::Release => vec![known, Answer::Release(Release::Forgotten)],
            true => vec![known, Answer::Forgotten],
        }
    }
}

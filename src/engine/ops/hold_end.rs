//! How holds end: the kinds of ends, and what an attempt to end one found.

use crate::audit::entry::AdjustmentType;
use crate::audit::wake_signal::WriterGone;
use crate::base::clock::Timestamp;
use crate::base::error::{
    ConfirmError, LimitError, NoReservation, NotStarted, PartialError, RetakeError,
};
use crate::engine::allowances::settle::LineStep;
use crate::engine::view::reservation::UnitsEnded;
use crate::reservation::slots::HeldSlot;
use crate::reservation::state::Phase;
use crate::stock::handle::LevelIndex;

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum EndKind {
    Sell,
    Release,
    Expire,
}

impl EndKind {
    /// The end whose phase the chain has noted.
    pub(in crate::engine) fn of(end: Phase) -> Self {
        match end {
            Phase::Released => Self::Release,
            Phase::Expired => Self::Expire,
            _ => Self::Sell,
        }
    }

    pub(in crate::engine) fn final_phase(self) -> Phase {
        match self {
            Self::Sell => Phase::Confirmed,
            Self::Release => Phase::Released,
            Self::Expire => Phase::Expired,
        }
    }

    /// What it does to a line that holds so many units.
    pub(in crate::engine) fn step_on(self, held: u32) -> LineStep {
        match self {
            Self::Sell => LineStep { sold: held, ..LineStep::default() },
            Self::Release | Self::Expire => LineStep { given_back: held, ..LineStep::default() },
        }
    }

    pub(in crate::engine) fn entry_type(self) -> AdjustmentType {
        match self {
            Self::Sell => AdjustmentType::Sold,
            Self::Release | Self::Expire => AdjustmentType::Returned,
        }
    }
}

/// What an attempt to end a hold found or did.
#[derive(Debug)]
pub(in crate::engine) enum EndOutcome {
    /// This call ended it.
    Done(HoldEnd),
    /// The hold was over, or this call found it overdue and expired it.
    Ended(Ended),
    /// The call asks to keep the hold, and units that it sold before are gone. It is still
    /// pending.
    NotSold(NotSold),
    /// A limit refuses the sale. It is still pending.
    Limited(LimitError),
    /// The sale draws under a limit, which needs new slots, and all are in use. It is still
    /// pending.
    Full { slots: u32 },
    /// The call was not started. It is still pending.
    NotStarted(NotStarted),
    /// Another thread is ending it now.
    InProgress,
    /// There is no record of it.
    Missing(NoReservation),
}

/// A level has fewer sold units than a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct NotSold {
    pub(in crate::engine) level: LevelIndex,
    pub(in crate::engine) needed: u32,
    pub(in crate::engine) sold: u32,
}

macro_rules! refusals_to_keep {
    ($($error:ident)+) => {$(
        impl From<NotSold> for $error {
            fn from(NotSold { needed, sold, .. }: NotSold) -> Self {
                Self::NotSold { needed, sold }
            }
        }
    )+};
}

refusals_to_keep! { ConfirmError PartialError RetakeError }

/// What the call that ended a hold did.
#[derive(Debug)]
pub(in crate::engine) struct HoldEnd {
    /// Whether its record was queued.
    pub(in crate::engine) recorded: Result<(), WriterGone>,
    /// Units sold and returned, if earlier steps had sold some and this end returned the rest.
    pub(in crate::engine) in_part: Option<UnitsEnded>,
}

/// How a hold that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Ended {
    /// How the last held units ended.
    pub(in crate::engine) end: EndKind,
    /// Whether a partial step, or the end itself, sold any unit.
    pub(in crate::engine) sold: bool,
    /// The expiry time that the hold had at its end.
    pub(in crate::engine) expires_at: Timestamp,
    /// Units sold and returned, if this call ended the hold. `None`: read the lines when they are
    /// needed.
    pub(in crate::engine) units: Option<UnitsEnded>,
}

impl Ended {
    /// Reads the end from a slot found in a final phase; `None` if it has changed since.
    pub(in crate::engine) fn read(HeldSlot { slot, state, .. }: HeldSlot<'_>) -> Option<Self> {
        let end = EndKind::of(slot.end(state)?);
        let sold = matches!(state.phase(), Phase::Confirmed | Phase::Shipping);
        Some(Self { end, sold, expires_at: state.expires_at(), units: None })
    }
}

//! A reservation as its users see it.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::state::Phase;
use crate::stock::handle::LevelHandle;

/// Where a reservation is in its life. It changes once: from pending to one of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ReservationStatus {
    /// Its units are held.
    Pending,
    /// At least one unit was sold.
    Confirmed,
    /// Its holder gave everything back.
    Released,
    /// Its time was up, and everything was given back.
    Expired,
}

impl ReservationStatus {
    /// What a slot's phase means to users; `None` if there is no reservation. A hold that is being
    /// ended shows as pending until the end is final.
    pub(crate) fn of(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Vacant | Phase::Line => None,
            Phase::Pending | Phase::Ending => Some(Self::Pending),
            Phase::Confirmed | Phase::Shipping => Some(Self::Confirmed),
            Phase::Released => Some(Self::Released),
            Phase::Expired => Some(Self::Expired),
        }
    }
}

/// A hold, or the record of one that is over: a copy, taken at one instant.
///
/// A pending reservation whose `expires_at` has passed is overdue. Nobody can confirm it any more,
/// and the next sweep gives its units back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// Where it is in its life.
    pub status: ReservationStatus,
    /// What it holds, or held, and what became of it.
    pub lines: Vec<ReservationLine>,
    /// Who it is for, if the caller named an owner.
    pub owner: Option<Owner>,
    /// When it was made, as its id tells it ([`ReservationId::created_at`]).
    pub created_at: Timestamp,
    /// The last millisecond of the hold. For a sale in one call: when it was made.
    pub expires_at: Timestamp,
    /// The reservation that this one retook, if it did.
    pub retaken_from: Option<ReservationId>,
    /// Whether its record stays readable until all that it sold is shipped or cancelled by
    /// reservation.
    pub keep_until_shipped: bool,
}

impl Reservation {
    /// Units that it holds at present, over all its lines.
    pub fn units_held(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.held)).sum()
    }

    /// Units that it has sold, over all its lines.
    pub fn units_sold(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.sold)).sum()
    }

    /// Units that it has given back, over all its lines.
    pub fn units_given_back(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.given_back())).sum()
    }
}

/// One line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReservationLine {
    /// The stock level.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub level: LevelHandle,
    /// The name of its warehouse.
    pub warehouse: Arc<str>,
    /// The name of its product.
    pub product: Arc<str>,
    /// How many units the line took at first.
    pub quantity: u32,
    /// Of these, units that are held at present: 0 once the reservation is over.
    pub held: u32,
    /// Of these, units that were sold. Units neither held nor sold have been given back.
    pub sold: u32,
    /// Sold units that were shipped, or whose sale was cancelled, *by this reservation*.
    pub settled: u32,
}

impl ReservationLine {
    /// Units that were given back: released, expired, or left over when the reservation ended.
    pub fn given_back(&self) -> u32 {
        self.quantity - self.held - self.sold
    }
}

//! The vocabulary of the model: calls, answers, and log entries.

use std::time::Duration;

use stockade::{AdjustmentType, EntryType, EventType, ReservationStatus};

/// A level, as the caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Names(&'static str, &'static str),
    /// By handle: the level that was opened as the n-th.
    Level(usize),
}

/// One call of the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Add(Place, u32, &'static str),
    Remove(Place, u32, &'static str),
    Ship(Place, u32),
    CancelSale(Place, u32, &'static str),
    /// From, to, product, units; and whether it names them by handles.
    Transfer(&'static str, &'static str, &'static str, u32, bool),
    Reserve(Place, u32, Duration),
    Sell(Place, u32),
    Basket(Vec<(Place, u32)>, Duration),
    Confirm(HoldRef),
    Release(HoldRef),
    Extend(HoldRef, Duration),
    Retake(HoldRef, Vec<(Place, u32)>),
    OpenLevel(&'static str, &'static str),
    Suspend(&'static str, bool),
    Capacity(&'static str, u32),
    Threshold(&'static str, Option<u32>),
    ProductThreshold(Place, Option<u32>),
    ClearThreshold(Place),
    SafetyStock(Place, u32),
    LongestTtl(Duration),
}

/// A hold, by the number in which it was made; `None` is an id that was never made.
pub(crate) type HoldRef = Option<usize>;

/// A call with its request options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) key: Option<u8>,
    pub(crate) owner: Option<u8>,
    pub(crate) note: Option<&'static str>,
    /// Whether it passes the safety stock.
    pub(crate) passes: bool,
}

impl Op {
    /// Whether the call makes a hold or a sale. Only these take an owner.
    pub(crate) fn takes_an_owner(&self) -> bool {
        matches!(self, Self::Reserve(..) | Self::Sell(..) | Self::Basket(..) | Self::Retake(..))
    }

    /// Whether the call takes an idempotency key. Settings take none.
    pub(crate) fn takes_a_key(&self) -> bool {
        !matches!(
            self,
            Self::OpenLevel(..)
                | Self::Suspend(..)
                | Self::Capacity(..)
                | Self::Threshold(..)
                | Self::ProductThreshold(..)
                | Self::ClearThreshold(..)
                | Self::SafetyStock(..)
                | Self::LongestTtl(..)
        )
    }
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Done,
    /// A level's number.
    Level(usize),
    /// A hold's number.
    Hold(usize),
    Released(stockade::Release),
    Until(u64),
    ConfirmedInTime,
    Retaken(usize),
    RetakenBefore(usize),
    SoldBefore(u64),
}

/// A short line of a basket: warehouse, product, needed, available, kept as safety stock, and
/// whether the engine has never stocked the product.
pub(crate) type Short = (String, String, u32, u32, u32, bool);

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Short { lines: Vec<Short>, overdue_left: bool },
    Other(stockade::Error),
}

impl<E: Into<stockade::Error>> From<E> for Denied {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

pub(crate) type Answer = Result<Given, Denied>;

/// An entry of the log, with numbers for warehouses, products and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: EntryType,
    pub(crate) at: u64,
    pub(crate) warehouse: Option<usize>,
    pub(crate) product: Option<usize>,
    pub(crate) other: Option<usize>,
    pub(crate) units: u32,
    pub(crate) hold: Option<usize>,
    pub(crate) owner: Option<u8>,
    pub(crate) expires: Option<u64>,
    pub(crate) retaken_from: Option<usize>,
    pub(crate) notes: Vec<(String, String)>,
}

impl Entry {
    pub(crate) fn event(kind: EventType, at: u64) -> Self {
        Self::new(kind.into(), at)
    }

    pub(crate) fn movement(kind: AdjustmentType, at: u64, units: u32) -> Self {
        Self { units, ..Self::new(kind.into(), at) }
    }

    fn new(kind: EntryType, at: u64) -> Self {
        Self {
            kind,
            at,
            warehouse: None,
            product: None,
            other: None,
            units: 0,
            hold: None,
            owner: None,
            expires: None,
            retaken_from: None,
            notes: Vec::new(),
        }
    }

    /// With the notes of the call.
    pub(crate) fn notes_of(self, call: &Call) -> Self {
        let notes = call.note.map(|note| ("note", note));
        let reason = call.passes.then_some(("passedSafetyStock", "staff"));
        let notes = notes.into_iter().chain(reason);
        notes.fold(self, |entry, (name, value)| entry.note(name, value))
    }

    pub(crate) fn note(mut self, name: &str, value: impl ToString) -> Self {
        self.notes.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// Levels and units, ordered by level.
    pub(crate) lines: Vec<(usize, u32)>,
    pub(crate) owner: Option<u8>,
    pub(crate) status: ReservationStatus,
    pub(crate) created: u64,
    pub(crate) expires: u64,
    pub(crate) retaken_from: Option<usize>,
    pub(crate) retaken_by: Option<usize>,
    /// The slot in the engine's id. Overdue holds expire in the order of slots.
    pub(crate) slot: u32,
    /// The engine no longer keeps a record of it. It may drop the record once the hold has ended.
    pub(crate) forgotten: bool,
}

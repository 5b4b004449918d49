//! Audit entries: their types, and what each entry says. One entry is one line of the audit log.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::audit::draw::EntryDraw;
use crate::base::clock::Timestamp;
use crate::base::error::error_table;
use crate::idempotency::KeyHash;
use crate::reservation::id::{Owner, ReservationId};

/// Defines a plain enum whose variants are shown and parsed by their own names.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All variants, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The variant's name, as [`Display`](fmt::Display) shows it and [`FromStr`] reads it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = UnknownEntryType;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.name() == text)
                    .ok_or_else(|| UnknownEntryType { text: text.into() })
            }
        }
    };
}

named! {
    /// A movement of units.
    AdjustmentType {
        /// Units came into a warehouse from outside.
        Received,
        /// Available units became held by a pending reservation.
        Reserved,
        /// Held units were sold. They stay in the building until they are shipped.
        Sold,
        /// Held units became available again: the hold was released, or it expired.
        Returned,
        /// Available units were written off.
        Damaged,
        /// Units left for another warehouse.
        TransferredOut,
        /// Units came from another warehouse.
        TransferredIn,
        /// Sold units became available again.
        SaleCancelled,
        /// Sold units left the building.
        Shipped,
    }
}

named! {
    /// Something that moved no units, but that a restart must know.
    EventType {
        /// The engine was opened.
        Opened,
        /// A warehouse got its name, capacity and threshold.
        WarehouseDefined,
        /// A product got its index.
        ProductDefined,
        /// A stock level was opened: a product in a warehouse, for the first time.
        LevelOpened,
        /// A setting was changed at run time.
        SettingChanged,
        /// A hold got a later expiry. The entry holds the new one.
        Extended,
        /// A call with an idempotency key was answered, and nothing moved.
        KeyUsed,
        /// A transfer waits for approval.
        TransferRequested,
        /// A transfer request was approved or rejected, or the approved transfer failed.
        TransferDecided,
        /// The engine was shut down.
        Closed,
        /// An opening found itself behind the newest entry. All that is pending keeps the time
        /// that it had left.
        ClockStepped,
        /// The distance of the engine's clock from the wall clock has changed by more than five
        /// seconds since the last such event. The fact `wall` is what the wall clock showed.
        /// Nothing else changes.
        ClockApart,
        /// A limit was defined, or changed: its facts say how it stands now. A line a product that
        /// it covers.
        LimitDefined,
        /// A limit was dropped.
        LimitDropped,
        /// Products were put into a group, or taken out of it. A line a product.
        GroupChanged,
        /// The time for which a sale counts under a limit is over: its draws are given back.
        AllowanceReturned,
    }
}

/// The type of an audit entry: a movement of units, or an event that moved none.
///
/// ```
/// use stockade::{AdjustmentType, EntryType, EventType};
/// assert_eq!("Sold".parse(), Ok(EntryType::Movement(AdjustmentType::Sold)));
/// assert_eq!(EntryType::Event(EventType::Extended).to_string(), "Extended");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryType {
    /// Units moved.
    Movement(AdjustmentType),
    /// No units moved.
    Event(EventType),
}

impl EntryType {
    /// Events are numbered from here, movements from 0.
    const FIRST_EVENT: u8 = 32;

    /// The type's number, below 64. It is in journals, so it is the same in every version.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Movement(movement) => movement as u8,
            Self::Event(event) => Self::FIRST_EVENT + event as u8,
        }
    }

    /// The type with this number.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code.checked_sub(Self::FIRST_EVENT) {
            None => AdjustmentType::ALL.get(usize::from(code)).copied().map(Self::Movement),
            Some(event) => EventType::ALL.get(usize::from(event)).copied().map(Self::Event),
        }
    }

    /// The name of the movement or event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Movement(movement) => movement.name(),
            Self::Event(event) => event.name(),
        }
    }
}

const _: () = assert!(AdjustmentType::ALL.len() <= EntryType::FIRST_EVENT as usize);
const _: () = assert!(EntryType::FIRST_EVENT as usize + EventType::ALL.len() <= 64);

impl fmt::Display for EntryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EntryType {
    type Err = UnknownEntryType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let movement = text.parse().map(Self::Movement);
        movement.or_else(|_| text.parse().map(Self::Event))
    }
}

impl From<AdjustmentType> for EntryType {
    fn from(movement: AdjustmentType) -> Self {
        Self::Movement(movement)
    }
}

impl From<EventType> for EntryType {
    fn from(event: EventType) -> Self {
        Self::Event(event)
    }
}

/// A text that names no entry type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEntryType {
    /// The text.
    pub text: String,
}

error_table! {
    UnknownEntryType {
        Self { text } => Invalid("unknown_entry_type"),
            "no audit entry is of type {text:?}; expected a name such as \"Received\" or \"Sold\"";
    }
}

/// One line of the audit log: one movement, or one event.
///
/// An owned value: it stays valid when the entry leaves the log. Names and metadata are shared, so
/// a clone costs a few reference counts and no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditEntry {
    /// The sequence number: the entry's id and its place in the log. The first entry has 1, and
    /// there are no gaps.
    pub sequence: u64,
    /// What happened.
    pub entry_type: EntryType,
    /// When the operation took place, by the engine's clock. If operations race, their times and
    /// their sequence numbers can differ in order, by the length of a call.
    pub at: Timestamp,
    /// The warehouse, by name.
    pub warehouse: Option<Arc<str>>,
    /// The product, by name.
    pub product: Option<Arc<str>>,
    /// The warehouse at the other end of a transfer.
    pub other_warehouse: Option<Arc<str>>,
    /// How many units moved, or are to move. 0 for an event that concerns no units.
    pub quantity: u32,
    /// The reservation that the entry belongs to.
    pub reservation: Option<ReservationId>,
    /// The owner of that reservation.
    pub owner: Option<Owner>,
    /// When the hold expires, as of this entry.
    pub expires_at: Option<Timestamp>,
    /// The earlier hold that had ended unsold, if this entry's reservation is a retake of it.
    pub retaken_from: Option<ReservationId>,
    /// The sequence number of the first entry of its record. All entries of one operation are in
    /// one record and share this number: the two ends of a transfer, the lines of a basket, the
    /// reserve and the sale of a `sell`. No other entry has it.
    pub record: u64,
    /// The hash of the idempotency key of the call, if it had one: see
    /// [`IdempotencyKey::hashed`](crate::IdempotencyKey::hashed). The key itself is not shown.
    pub key: Option<KeyHash>,
    /// What the entry's units draw on the allowances of customers, if limits count them: of a
    /// reserve, and of a sale at which a subject was first named.
    pub limits: Arc<[EntryDraw]>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_notes"))]
    pub(crate) metadata: Arc<[(String, String)]>,
}

/// Notes as a map. A name that an entry of an earlier version has twice has a list of its values.
#[cfg(feature = "serde")]
fn serialize_notes<S: serde::Serializer>(
    notes: &Arc<[(String, String)]>,
    to: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;

    let values = |name: &str| -> Vec<&str> {
        let own = notes.iter().filter(|(known, _)| known == name);
        own.map(|(_, value)| value.as_str()).collect()
    };
    let mut map = to.serialize_map(None)?;
    for (at, (name, value)) in notes.iter().enumerate() {
        if notes[..at].iter().all(|(known, _)| known != name) {
            match &*values(name) {
                [_] => map.serialize_entry(name, value)?,
                values => map.serialize_entry(name, values)?,
            }
        }
    }
    map.end()
}

#[cfg(feature = "serde")]
crate::base::serialize::as_text!(AdjustmentType EventType EntryType);

impl AuditEntry {
    /// The notes, in the order in which they were added: source, reason, order number ...
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The first note under `key`. An entry of an earlier version of this library may have several:
    /// whoever looks for a value, as a redaction does, looks through
    /// [`metadata`](Self::metadata).
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether units moved.
    pub fn is_movement(&self) -> bool {
        matches!(self.entry_type, EntryType::Movement(_))
    }

    /// The notes, and after them the typed fields as text: `reservationId`, and for a transfer
    /// `fromWarehouse` and `toWarehouse`. Allocates.
    pub fn metadata_view(&self) -> Vec<(&str, Cow<'_, str>)> {
        let noted = self.metadata.iter().map(|(key, value)| (key.as_str(), value.into()));
        let mut view: Vec<(&str, Cow<'_, str>)> = noted.collect();
        if let Some(reservation) = self.reservation {
            view.push(("reservationId", reservation.to_string().into()));
        }
        if let Some(other) = self.other_warehouse.as_deref() {
            let here = self.warehouse.as_deref();
            let incoming = self.entry_type == AdjustmentType::TransferredIn.into();
            let (from, to) = if incoming { (Some(other), here) } else { (here, Some(other)) };
            view.extend(from.map(|name| ("fromWarehouse", name.into())));
            view.extend(to.map(|name| ("toWarehouse", name.into())));
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = EntryType> {
        let movements = AdjustmentType::ALL.iter().copied().map(EntryType::Movement);
        movements.chain(EventType::ALL.iter().copied().map(EntryType::Event))
    }

    #[test]
    fn every_type_has_a_name_and_a_number_that_lead_back_to_it() {
        assert_eq!(all().count(), 25);
        for known in all() {
            assert_eq!(known.to_string().parse(), Ok(known));
            assert_eq!(EntryType::from_code(known.code()), Some(known));
        }
        let unknown = UnknownEntryType { text: "Stolen".into() };
        assert_eq!("Stolen".parse::<EntryType>(), Err(unknown));
        assert_eq!(EntryType::from_code(9), None);
        assert_eq!(EntryType::from_code(48), None);
    }

    #[test]
    fn the_metadata_view_shows_both_ends_of_a_transfer_the_right_way_round() {
        let reservation = ReservationId::new(Timestamp::from_millis(5), 1, 2);
        let mut entry = AuditEntry {
            sequence: 1,
            entry_type: AdjustmentType::TransferredOut.into(),
            at: Timestamp::from_millis(1_003),
            warehouse: Some("SF".into()),
            product: Some("LAPTOP".into()),
            other_warehouse: Some("NYC".into()),
            quantity: 4,
            reservation: Some(reservation),
            owner: None,
            expires_at: None,
            retaken_from: None,
            record: 1,
            key: None,
            limits: Arc::default(),
            metadata: [("reason".to_owned(), "rebalance".to_owned())].into(),
        };
        let expected = [
            ("reason", "rebalance".to_owned()),
            ("reservationId", reservation.to_string()),
            ("fromWarehouse", "SF".to_owned()),
            ("toWarehouse", "NYC".to_owned()),
        ];
        let shown = |entry: &AuditEntry| {
            let view = entry.metadata_view();
            view.into_iter().map(|(key, value)| (key.to_owned(), value.into_owned())).collect()
        };
        let view: Vec<(String, String)> = shown(&entry);
        assert_eq!(view, expected.clone().map(|(key, value)| (key.to_owned(), value)));

        entry.entry_type = AdjustmentType::TransferredIn.into();
        (entry.warehouse, entry.other_warehouse) = (Some("NYC".into()), Some("SF".into()));
        assert_eq!(shown(&entry), view);
        assert_eq!(entry.note("reason"), Some("rebalance"));
    }
}

//! What one line of the audit log says.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::error::error_table;
use crate::reservation::id::{Owner, ReservationId};

/// A plain enum whose variants are shown and parsed by their own names.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every one of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name, as [`Display`](fmt::Display) shows it and [`FromStr`] reads it.
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
        /// Units came into a warehouse.
        Received,
        /// Available units are held by a pending reservation.
        Reserved,
        /// Held units were sold; they stay in the building until they are shipped.
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
    /// Something that moved no units but must be known after a restart.
    EventType {
        /// The engine was opened.
        Opened,
        /// A warehouse got its name, capacity and threshold.
        WarehouseDefined,
        /// A product got its number.
        ProductDefined,
        /// A product was stocked in a warehouse for the first time.
        LevelOpened,
        /// A setting was changed at run time.
        SettingChanged,
        /// A hold got a later expiry; the entry bears the new one.
        Extended,
        /// A caller's key was answered where nothing moved.
        KeyUsed,
        /// A transfer waits for approval.
        TransferRequested,
        /// A transfer was approved or turned down.
        TransferDecided,
        /// The engine was shut down.
        Closed,
    }
}

/// What an audit entry is about: a movement of units, or an event that moved none.
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
    /// None did.
    Event(EventType),
}

impl EntryType {
    /// Events are numbered from here; movements from 0.
    const FIRST_EVENT: u8 = 32;

    /// A number below 64, the same in every version.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Movement(movement) => movement as u8,
            Self::Event(event) => Self::FIRST_EVENT + event as u8,
        }
    }

    /// The type whose number this is.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code.checked_sub(Self::FIRST_EVENT) {
            None => AdjustmentType::ALL.get(usize::from(code)).copied().map(Self::Movement),
            Some(event) => EventType::ALL.get(usize::from(event)).copied().map(Self::Event),
        }
    }

    /// Its name: that of the movement or event.
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

/// A text that names no type of entry.
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
/// A view with a life of its own; names are shared, so that cloning it costs a few counters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// The entry's id: 1 for the first one, without gaps. The order of the log.
    pub sequence: u64,
    /// What happened.
    pub entry_type: EntryType,
    /// When the operation took place. Entries of racing operations can differ from the order of
    /// their sequence numbers by the length of a call.
    pub at: Timestamp,
    /// Where.
    pub warehouse: Option<Arc<str>>,
    /// Of what.
    pub product: Option<Arc<str>>,
    /// The other end of a transfer.
    pub other_warehouse: Option<Arc<str>>,
    /// How many units moved; 0 for an event that is about none.
    pub quantity: u32,
    /// The hold it belongs to.
    pub reservation: Option<ReservationId>,
    /// Whose hold that is.
    pub owner: Option<Owner>,
    /// When the hold ends by itself, as of this entry.
    pub expires_at: Option<Timestamp>,
    /// The hold that had ended unsold and whose lines this entry's reservation took anew.
    pub retaken_from: Option<ReservationId>,
    pub(crate) metadata: Arc<[(String, String)]>,
}

impl AuditEntry {
    /// What the caller noted, in the caller's order: source, reason, order number ...
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// What the caller noted under `key`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether units moved.
    pub fn is_movement(&self) -> bool {
        matches!(self.entry_type, EntryType::Movement(_))
    }

    /// The metadata, and with it the typed fields as text: `reservationId`, and of a transfer
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
        assert_eq!(all().count(), 19);
        for known in all() {
            assert_eq!(known.to_string().parse(), Ok(known));
            assert_eq!(EntryType::from_code(known.code()), Some(known));
        }
        let unknown = UnknownEntryType { text: "Stolen".into() };
        assert_eq!("Stolen".parse::<EntryType>(), Err(unknown));
        assert_eq!(EntryType::from_code(9), None);
        assert_eq!(EntryType::from_code(42), None);
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

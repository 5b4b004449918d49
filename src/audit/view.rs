//! Views of entries: read a record's entries in place, and make owned entries of those that a
//! caller asked for.

use std::sync::{Arc, OnceLock};

use crate::audit::draw::{DrawMark, shown};
use crate::audit::entry::{AuditEntry, EntryType, EventType};
pub(crate) use crate::audit::pairs::Metadata;
use crate::audit::record::{EntryLine, Header, PlainEntry, RecordBuf, Subject};
use crate::base::clock::Timestamp;
use crate::idempotency::KeyHash;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// Translates the indexes in a record to names, and back. The catalog implements it. A name enters
/// the catalog before its index is given out, so every index in a record has a name.
pub(crate) trait Names: Send + Sync + 'static {
    /// The warehouse and product of a level.
    fn level(&self, level: LevelIndex) -> Option<(WarehouseIndex, ProductIndex)>;
    /// The name of a warehouse.
    fn warehouse_name(&self, warehouse: WarehouseIndex) -> Option<Arc<str>>;
    /// The name of a product.
    fn product_name(&self, product: ProductIndex) -> Option<Arc<str>>;
    /// The warehouse with this name.
    fn warehouse_index(&self, name: &str) -> Option<WarehouseIndex>;
    /// The product with this name.
    fn product_index(&self, name: &str) -> Option<ProductIndex>;
}

/// One entry, borrowed from its record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    /// A plain entry.
    Plain(&'a PlainEntry),
    /// One line of a record in a buffer, with what all its lines share.
    Line(RecordView<'a>, usize, &'a EntryLine),
}

/// A record in a buffer, as all its entries share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) header: &'a Header,
    pub(crate) key: Option<KeyHash>,
    pub(crate) draws: &'a [DrawMark],
}

impl<'a> RecordView<'a> {
    /// Views of the entries of a record with these lines.
    pub(crate) fn entries(
        self,
        lines: &'a [EntryLine],
    ) -> impl Iterator<Item = View<'a>> + use<'a> {
        lines.iter().enumerate().map(move |(at, line)| View::Line(self, at, line))
    }
}

impl RecordBuf {
    /// Views of the record's entries.
    pub(crate) fn views(&self) -> impl Iterator<Item = View<'_>> {
        let key = self.key.map(|mark| KeyHash::of(mark.key.as_bytes()));
        RecordView { header: &self.header, key, draws: &self.draws }.entries(&self.lines)
    }
}

impl View<'_> {
    pub(crate) fn at(self) -> Timestamp {
        match self {
            Self::Plain(entry) => entry.at(),
            Self::Line(record, ..) => record.header.at,
        }
    }

    /// The number of the entry's type; see [`EntryType::code`].
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Plain(entry) => entry.code(),
            Self::Line(.., line) => line.entry_type.code(),
        }
    }

    pub(crate) fn reservation(self) -> Option<ReservationId> {
        match self {
            Self::Plain(entry) => entry.get_reservation(),
            Self::Line(record, ..) => record.header.reservation,
        }
    }

    pub(crate) fn retaken_from(self) -> Option<ReservationId> {
        match self {
            Self::Plain(_) => None,
            Self::Line(record, ..) => record.header.retaken_from,
        }
    }

    pub(crate) fn owner(self) -> Option<Owner> {
        match self {
            Self::Plain(entry) => entry.get_owner(),
            Self::Line(record, ..) => record.header.owner,
        }
    }

    /// The level that the entry is about.
    pub(crate) fn level(self) -> Option<LevelIndex> {
        match self {
            Self::Plain(entry) => Some(entry.level()),
            Self::Line(.., line) => match line.subject {
                Subject::Level(level) => Some(level),
                _ => None,
            },
        }
    }

    pub(crate) fn quantity(self) -> u32 {
        match self {
            Self::Plain(entry) => entry.quantity(),
            Self::Line(.., line) => line.quantity,
        }
    }

    /// The number of the first entry of its record, if this entry has number `sequence`.
    pub(crate) fn record(self, sequence: u64) -> u64 {
        match self {
            Self::Plain(_) => sequence,
            Self::Line(_, at, _) => sequence - at as u64,
        }
    }

    /// The warehouse and the product that the entry is about.
    pub(crate) fn place(self, names: &dyn Names) -> (Option<WarehouseIndex>, Option<ProductIndex>) {
        let subject = match self {
            Self::Plain(entry) => Subject::Level(entry.level()),
            Self::Line(.., line) => line.subject,
        };
        match subject {
            Subject::None => (None, None),
            Subject::Warehouse(warehouse) => (Some(warehouse), None),
            Subject::Product(product) => (None, Some(product)),
            Subject::Level(level) => names.level(level).unzip(),
        }
    }

    /// Makes an owned entry. `metadata` is that of its record.
    pub(crate) fn to_entry(
        self,
        sequence: u64,
        names: &dyn Names,
        metadata: &Metadata,
    ) -> AuditEntry {
        let (warehouse, product) = self.place(names);
        let (quantity, expires_at, other) = match self {
            Self::Plain(entry) => (entry.quantity(), entry.get_expires_at(), None),
            Self::Line(record, _, line) => (line.quantity, record.header.expires_at, line.other),
        };
        let (key, limits) = match self {
            Self::Plain(_) => (None, Arc::default()),
            Self::Line(record, at, _) => (record.key, shown(record.draws, at)),
        };
        let metadata = match self {
            Self::Plain(entry) if entry.is_expiry() => expired(),
            _ => Arc::clone(metadata),
        };
        // Every code in a record was made from an entry type, so the fallback below is never used.
        let entry_type = EntryType::from_code(self.code());
        debug_assert!(entry_type.is_some());
        AuditEntry {
            sequence,
            entry_type: entry_type.unwrap_or(EventType::SettingChanged.into()),
            at: self.at(),
            warehouse: warehouse.and_then(|id| names.warehouse_name(id)),
            product: product.and_then(|id| names.product_name(id)),
            other_warehouse: other.and_then(|id| names.warehouse_name(id)),
            quantity,
            reservation: self.reservation(),
            owner: self.owner(),
            expires_at,
            retaken_from: self.retaken_from(),
            record: self.record(sequence),
            key,
            limits,
            metadata,
        }
    }
}

/// The note of every plain entry of an expiry. All such entries share it.
fn expired() -> Metadata {
    static EXPIRED: OnceLock<Metadata> = OnceLock::new();
    Arc::clone(EXPIRED.get_or_init(|| [("reason".to_owned(), "expired".to_owned())].into()))
}

//! Reading a record's entries where they lie, and making owned entries of those that are asked for.

use std::sync::{Arc, OnceLock};

use crate::audit::entry::{AuditEntry, EntryType, EventType};
use crate::audit::record::{EntryLine, Header, PlainEntry, Subject};
use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// Pairs of metadata, shared by all entries of a record and all views of them.
pub(crate) type Metadata = Arc<[(String, String)]>;

/// What the handles in a record stand for. The catalog of names answers; every name was known before
/// its handle was given out.
pub(crate) trait Names: Send + Sync + 'static {
    /// The warehouse and product of a level.
    fn level(&self, level: LevelIndex) -> Option<(WarehouseIndex, ProductIndex)>;
    /// A warehouse's name.
    fn warehouse_name(&self, warehouse: WarehouseIndex) -> Option<Arc<str>>;
    /// A product's name.
    fn product_name(&self, product: ProductIndex) -> Option<Arc<str>>;
    /// The warehouse of that name.
    fn warehouse_id(&self, name: &str) -> Option<WarehouseIndex>;
    /// The product of that name.
    fn product_id(&self, name: &str) -> Option<ProductIndex>;
}

/// One entry, where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    /// A packed one.
    Plain(&'a PlainEntry),
    /// A line of a longer record.
    Line(&'a Header, &'a EntryLine),
}

impl View<'_> {
    pub(crate) fn at(self) -> Timestamp {
        match self {
            Self::Plain(step) => step.at(),
            Self::Line(header, _) => header.at,
        }
    }

    /// The number of its type.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Plain(step) => step.code(),
            Self::Line(_, line) => line.entry_type.code(),
        }
    }

    pub(crate) fn reservation(self) -> Option<ReservationId> {
        match self {
            Self::Plain(step) => step.get_reservation(),
            Self::Line(header, _) => header.reservation,
        }
    }

    pub(crate) fn retaken_from(self) -> Option<ReservationId> {
        match self {
            Self::Plain(_) => None,
            Self::Line(header, _) => header.retaken_from,
        }
    }

    pub(crate) fn owner(self) -> Option<Owner> {
        match self {
            Self::Plain(step) => step.get_owner(),
            Self::Line(header, _) => header.owner,
        }
    }

    /// Where, and of what.
    pub(crate) fn place(self, names: &dyn Names) -> (Option<WarehouseIndex>, Option<ProductIndex>) {
        let subject = match self {
            Self::Plain(step) => Subject::Level(step.level()),
            Self::Line(_, line) => line.subject,
        };
        match subject {
            Subject::None => (None, None),
            Subject::Warehouse(warehouse) => (Some(warehouse), None),
            Subject::Product(product) => (None, Some(product)),
            Subject::Level(level) => names.level(level).unzip(),
        }
    }

    /// The owned entry. `metadata` is its record's.
    pub(crate) fn to_entry(
        self,
        sequence: u64,
        names: &dyn Names,
        metadata: &Metadata,
    ) -> AuditEntry {
        let (warehouse, product) = self.place(names);
        let (quantity, expires_at, other) = match self {
            Self::Plain(step) => (step.quantity(), step.get_expires_at(), None),
            Self::Line(header, line) => (line.quantity, header.expires_at, line.other),
        };
        let metadata = match self {
            Self::Plain(step) if step.is_expiry() => expired(),
            _ => Arc::clone(metadata),
        };
        // Every code in a record was made from a type.
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
            metadata,
        }
    }
}

/// What the entry of every expiry notes.
fn expired() -> Metadata {
    static EXPIRED: OnceLock<Metadata> = OnceLock::new();
    Arc::clone(EXPIRED.get_or_init(|| [("reason".to_owned(), "expired".to_owned())].into()))
}

//! An embeddable inventory engine: reserve scarce stock for many buyers at once, without locks and
//! without ever overselling.
//!
//! Begin at [`InventoryManager`]: it has all operations, and an example. A [`Request`] adds a retry
//! key, an owner and notes to any of them. The audit log is an [`AuditLog`]; errors are small enums,
//! one for each kind of operation, and those of operations all turn into [`Error`].
//!
//! # The model
//!
//! A [`Warehouse`] has a capacity and stock levels. A [`StockLevel`] counts the units of one product in
//! one warehouse: *available*, which anyone may reserve, and *reserved*, which are spoken for: *held* by
//! pending reservations, or *sold* and still in the building. A [`Reservation`] holds units of one or
//! more levels until it is confirmed, released or expires; its status moves once.
//!
//! # What holds at every instant
//!
//! - No count is negative. `available` and `reserved` are read as one pair; `sold <= reserved`.
//! - Of any race over a hold one call wins; the others hear what became of it.
//! - A refusal is true: at one instant of the call the units were not there.
//! - A basket, a transfer or a split fulfilment is seen in all its levels or in none
//!   ([`snapshot`](InventoryManager::snapshot)).
//! - Every prefix of the audit log is a legal history.
//! - Nothing that moved goes unrecorded: the queue to the log pushes back before anything moves
//!   ([`Backpressure`]).
//!
//! # Features
//!
//! - `testing`: a manual clock, seeded ids, no background threads, a sink that fails on command.
//! - `tracing`: tells the log of the service what somebody has to hear of: a broken law and the entry that
//!   broke it, a disk that fails and is well again, a torn tail that was cut, a checkpoint that failed.
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod audit;
mod clock;
mod error;
mod manager;
mod parking;
mod policy;
mod quantity;
mod reservation;
mod shard;
mod stock;
mod sync;
mod table;
mod trace;

pub use audit::entry::{AdjustmentType, AuditEntry, EntryType, EventType, UnknownEntryType};
pub use audit::flush::Flush;
pub use audit::head::{HeadHash, InvalidHash, JournalHead};
pub use audit::journal::files::FileStorage;
pub use audit::journal::storage::{Storage, StorageFile};
pub use audit::log::{AuditFilter, AuditLog, AuditPage};
pub use audit::queue::Backpressure;
pub use audit::reading::{JournalReader, JournalStock, StockRow, Verified, VerifyError};
pub use audit::recovery::TornTail;
pub use audit::redact::{Redacted, redact, redact_with_archive};
pub use audit::replay::RecoveryProgress;
pub use audit::retention::JournalRetention;
pub use audit::sink::{AuditBatch, AuditSink, SinkError};
pub use audit::subscribe::{InvalidPosition, JournalPosition, NextEntry, Subscription};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use error::{
    AddError, Applied, BasketError, BuildError, ConfirmError, DecisionError, Error, ExtendError,
    FlushError, FulfilError, InvalidKey, InvalidName, InvalidReservationId, InvalidTtl,
    JournalError, KeyError, MAX_NAME_BYTES, NoReservation, NoTransferRequest, PartialError,
    RedactError, ReleaseError, RemoveError, RequestTransferError, ReserveError, RestsOnRecord,
    RetakeError, SettingError, SettleError, ShipError, ShortLine, SnapshotError, TransferError,
    TransferFailure, Unavailable, UnknownPlace,
};
pub use manager::{
    BasketLine, BrokenLevel, Builder, Comparison, ConfirmOrRetake, Durability, Durably, Health,
    InventoryManager, LevelRef, LevelSnapshot, OperationKind, ProductRef, Recovered, Refusals,
    Release, Request, ReservationCursor, ReservationPage, Shutdown, Stats, Totals,
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus, WarehouseLevel,
    WarehouseRef, WarehouseSpec, WeakInventoryManager,
};
pub use policy::alerts::{ListenerId, StockAlert, StockAlertListener};
pub use policy::allocation::{
    AllocationStrategy, Candidate, FewestParcels, LargestStockFirst, PriorityOrder,
};
pub use policy::approval::{ApprovalPolicy, ApproveBelow, ManualApproval, ProposedTransfer};
pub use policy::reorder::{
    FixedLot, PurchaseOrder, ReorderListener, ReorderStrategy, Supplier, TopUpTo,
};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{Owner, ReservationId};
pub use reservation::keys::RequestKey;
pub use reservation::view::{Reservation, ReservationLine, ReservationStatus};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};
pub use stock::level::{Counts, StockLevel};
pub use stock::warehouse::Warehouse;

/// Tools for the tests of services that embed the engine.
#[cfg(feature = "testing")]
pub mod testing {
    pub use crate::audit::faulty::{FaultControl, FaultCounts, FaultySink};
    pub use crate::audit::journal::simulated::SimulatedDisk;
}

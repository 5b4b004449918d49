//! An embeddable inventory engine: many buyers reserve scarce stock at once. No lock guards the
//! counts, and the engine never oversells.
//!
//! Start at [`InventoryManager`]: it has all operations, and an example. A [`Request`] adds an
//! idempotency key and notes to an operation. A [`HoldRequest`] also names the owner of a new hold.
//! [`AuditLog`] is the log of all that happened. Errors are small enums, one for each kind of
//! operation. They share their causes, and all turn into [`Error`].
//!
//! Pages for services are in the folder `docs`: `from-async.md` (what may block, and what to use
//! instead), `errors-to-http.md` (a status for each error), `recipes.md` (whole programs).
//!
//! # The model
//!
//! A [`Warehouse`] has a capacity and stock levels. A [`StockLevel`] counts the units of one
//! product in one warehouse. *Available* units are free for anyone to reserve. *Reserved* units are
//! spoken for: they are *held* by pending reservations, or *sold* and still in the building. A
//! [`Reservation`] holds units of one or more levels until it is confirmed, released or expires. It
//! ends only once.
//!
//! # What holds at every instant
//!
//! - No count is negative. `available` and `reserved` are read together, and `sold <= reserved`.
//! - If calls race to end a hold, exactly one wins. The others are told how the hold ended.
//! - A refusal is true: at one instant during the call, the units were not available.
//! - A basket, a transfer or a split fulfillment shows in all its levels at one instant. A
//!   [`snapshot`](InventoryManager::snapshot) sees it whole or not at all.
//! - Every prefix of the audit log is a legal history.
//! - Every movement is recorded. If the queue to the audit log is nearly full, calls wait or are
//!   refused before anything moves ([`Backpressure`]).
//!
//! # Features
//!
//! - `journal` (default): a write-ahead log on disk, with recovery, checkpoints and an auditor.
//!   Without this feature the engine lives in memory, and does not depend on blake3, rayon and
//!   rustix.
//! - `metrics`: `InventoryManager::publish_metrics` hands the figures of an engine to the
//!   recorder of the `metrics` crate. `docs/metrics.md` lists them.
//! - `serde`: writes what the library shows, and reads what it takes: ids, times, answers, limits,
//!   and the whole engine's settings from a file (`Config`).
//! - `testing`: for tests of services that embed the engine: seeded ids, an engine without
//!   background threads, a sink that fails on command, threads that are refused, and with
//!   `journal` a simulated disk.
//! - `tracing`: sends events to the service's log: a broken law with its entry, a disk that fails
//!   or recovers, a torn tail that was cut, a checkpoint that failed.
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(feature = "journal"),
    allow(
        dead_code,
        reason = "what only a journal asks for: restoring, and reading what was written"
    )
)]

/// Runs the examples of the README as doc tests.
#[cfg(all(doctest, feature = "journal"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the example of the page on limits as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../docs/limits.md")]
struct LimitsPage;

/// Runs the example of the page on serde as a doc test.
#[cfg(all(doctest, feature = "serde"))]
#[doc = include_str!("../docs/serde.md")]
struct SerdePage;

/// Runs the example of the page on errors as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../docs/errors.md")]
struct ErrorsPage;

/// Runs the example of the page on errors as HTTP answers as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../docs/errors-to-http.md")]
struct ErrorsToHttpPage;

/// Runs the examples of the page on async services as doc tests.
#[cfg(all(doctest, feature = "journal"))]
#[doc = include_str!("../docs/from-async.md")]
struct FromAsyncPage;

/// Runs the recipes as doc tests. One of them lets a simulated disk lose a hold.
#[cfg(all(doctest, feature = "journal", feature = "testing"))]
#[doc = include_str!("../docs/recipes.md")]
struct RecipesPage;

mod audit;
mod base;
mod engine;
mod idempotency;
#[cfg(feature = "journal")]
mod journal;
mod policy;
mod reservation;
mod stock;
mod umbrella;

pub use audit::draw::EntryDraw;
pub use audit::entry::{AdjustmentType, AuditEntry, EntryType, EventType, UnknownEntryType};
pub use audit::flush::Flush;
pub use audit::log::{AuditFilter, AuditLog, AuditPage, Redacted};
pub use audit::queue::Backpressure;
pub use audit::sink::{AuditBatch, AuditSink, SinkError};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use audit::tally::EntryCounts;
pub use base::clock::{Clock, ClockApart, ManualClock, SystemClock, Timestamp};
pub use base::error::{
    AddError, Applied, ApproveError, BasketError, BuildError, CallError, ConfirmError,
    DefineLimitError, ErrorKind, ExtendError, FlushError, FulfillError, Gone, InvalidInput,
    InvalidKey, InvalidName, InvalidOwner, InvalidReservationId, InvalidText, InvalidTtl,
    JournalError, KeyError, LimitError, MAX_NAME_BYTES, MutationError, NoReservation,
    NoTransferRequest, NotOpen, NotStarted, PartialError, PlaceError, Reason, RedactError,
    RejectError, ReleaseError, RemoveError, RequestTransferError, ReserveError, RetakeError,
    SettingError, ShipError, ShortLine, SnapshotError, SoldLinesError, TransferError,
    TransferFailure, Uncertain,
};
pub use base::quantity::{InvalidQuantity, MAX_UNITS};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use engine::describe_metrics;
pub use engine::{
    BasketLine, Builder, ConfirmOrRetake, Durability, Health, HoldRequest, InventoryManager,
    JournalFigures, KeyAnswer, KeyLookup, LevelRef, LevelSnapshot, LimitUsage, Limits,
    OperationKind, OutcomeFigures, ProductRef, Refusals, Release, ReleasedHolds, Request,
    ReservationCursor, ReservationPage, SaleRequest, Shutdown, Stats, Totals, TransferDecision,
    TransferRequest, TransferRequestBuilder, TransferRequestId, TransferRequestStatus,
    WarehouseLevel, WarehouseRef, WarehouseSpec, WeakInventoryManager, WhenDurable, WhenFull,
};
#[cfg(feature = "journal")]
#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
pub use engine::{
    BrokenAllowance, BrokenLevel, Consumer, ConsumerStatus, LiveVerifyReport, Prefetch,
    RecoveryReport, Undone,
};
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub use engine::{Config, LimitsConfig};
#[cfg(all(feature = "serde", feature = "journal"))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "serde", feature = "journal"))))]
pub use engine::{JournalConfig, OldSegmentsConfig, RetentionConfig};
pub use idempotency::{IdempotencyKey, KeyHash};
#[cfg(feature = "journal")]
#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
pub use journal::{
    follow::subscribe::{NextBatch, NextEntry, Subscription},
    format::head::{HeadHash, InvalidHash, JournalHead},
    format::position::{InvalidPosition, JournalPosition},
    ledger::clock::ClockStep,
    maintenance::redact::{redact, redact_with_archive},
    maintenance::retention::JournalRetention,
    offline::{
        EntriesAhead, JournalReader, JournalStock, SalvageReport, SeenBatch, StockRow, VerifyError,
        VerifyReport,
    },
    options::JournalOptions,
    recovery::replay::RecoveryProgress,
    recovery::{StrayBytes, TornTail},
    storage::files::FileStorage,
    storage::{PlacePart, Storage, StorageFile, StorageIdentity},
};
pub use policy::alerts::{ListenerId, StockAlert, StockAlertListener};
pub use policy::allocation::{
    AllocationStrategy, Candidate, FewestParcels, LargestStockFirst, PriorityOrder,
};
pub use policy::approval::{ApprovalPolicy, ApproveBelow, ManualApproval, ProposedTransfer};
pub use policy::limit_rule::LimitRule;
pub use policy::reorder::{
    FixedLot, PurchaseOrder, ReorderListener, ReorderStrategy, Supplier, TopUpTo,
};
pub use reservation::id::{Owner, ReservationId};
pub use reservation::view::{Reservation, ReservationLine, ReservationStatus};
pub use stock::allowance::key::SubjectHash;
pub use stock::allowance::rule::{AskedAt, LimitCounts, LimitUnit};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};
pub use stock::level::{Counts, StockLevel};
pub use stock::warehouse::Warehouse;
pub use umbrella::Error;

/// Tools for the tests of services that embed the engine.
#[cfg(feature = "testing")]
pub mod testing {
    pub use crate::audit::faulty::{FaultControl, FaultCounts, FaultySink};
    pub use crate::base::threads::refuse_threads;
    #[cfg(feature = "journal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
    pub use crate::journal::storage::simulated::SimulatedDisk;
}

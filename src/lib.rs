//! An embeddable inventory engine.
#![warn(missing_docs)]

mod clock;
mod error;
mod quantity;
mod reservation;
mod shard;
mod stock;
mod sync;
mod table;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use error::{
    AddError, Applied, BasketError, BuildError, ConfirmError, Error, ExtendError, InvalidName,
    InvalidTtl, KeyError, MAX_NAME_BYTES, ReleaseError, RemoveError, ReserveError, RetakeError,
    SettingError, ShipError, ShortLine, TransferError, Unavailable, UnknownPlace,
};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{InvalidReservationId, Owner, ReservationId};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};
pub use stock::level::{Counts, StockLevel};
pub use stock::warehouse::Warehouse;

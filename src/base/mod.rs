//! Floor 0: what every other floor stands on, and nothing of the domain.

pub(crate) mod clock;
pub(crate) mod error;
pub(crate) mod parking;
pub(crate) mod quantity;
pub(crate) mod shard;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod trace;

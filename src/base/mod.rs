//! Floor 0, base: clock, errors, atomics, parking and other tools. Every other floor may use it; it
//! uses none of them.

pub(crate) mod bytes;
pub(crate) mod ceilings;
pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod doubling_table;
pub(crate) mod early;
pub(crate) mod error;
pub(crate) mod foreign;
pub(crate) mod lines;
pub(crate) mod on_demand;
pub(crate) mod parking;
pub(crate) mod quantity;
#[cfg(feature = "serde")]
pub(crate) mod serialize;
pub(crate) mod shard;
pub(crate) mod short_list;
pub(crate) mod sip;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod text_limits;
pub(crate) mod threads;
pub(crate) mod trace;
pub(crate) mod wake;

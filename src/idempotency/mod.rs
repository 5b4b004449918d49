//! Idempotency keys: a retry gets the first call's answer and moves nothing twice.
//!
//! [`key`] is the caller's key and the name a call is stored under, [`fingerprint`] tells two
//! requests under one key apart, and [`map`] holds keys and answers, and says which leaves next.

mod digest;
mod fingerprint;
mod key;
mod map;

pub(crate) use fingerprint::Fingerprint;
pub(crate) use key::KeyName;
pub use key::{IdempotencyKey, KeyHash};
#[cfg(feature = "journal")]
pub(crate) use map::MOST_UNSETTLED;
pub(crate) use map::{IdempotencyMap, KeyClaim, KeyLimits, OnDuplicate};

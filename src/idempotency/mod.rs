//! Idempotency keys: a retry gets the first call's answer and moves nothing twice.

mod eviction;
mod fingerprint;
mod key;
mod map;

pub(crate) use fingerprint::Fingerprint;
pub use key::IdempotencyKey;
pub(crate) use key::KeyName;
pub(crate) use map::{IdempotencyMap, KeyClaim, KeyLimits, OnDuplicate};

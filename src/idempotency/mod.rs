//! Idempotency keys: a retry gets the first call's answer and moves nothing twice.

mod eviction;
mod fingerprint;
mod key;
mod map;

pub(crate) use fingerprint::Fingerprint;
pub(crate) use key::KeyName;
pub use key::RequestKey;
pub(crate) use map::{Claim, KeyLimits, Keys, Patience};

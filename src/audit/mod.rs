//! Floor 3, audit: everything about the record of what happened.

pub(crate) mod bell;
pub(crate) mod gate;
pub(crate) mod head;
pub(crate) mod queue;

pub(crate) mod auditor;
pub(crate) mod backup;
pub(crate) mod checkpoint;
pub(crate) mod entry;
pub(crate) mod flush;
pub(crate) mod journal;
pub(crate) mod keeper;
pub(crate) mod ledger;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod pool;
pub(crate) mod reading;
pub(crate) mod record;
pub(crate) mod record_builder;
pub(crate) mod recorder;
pub(crate) mod recovery;
pub(crate) mod redact;
pub(crate) mod replay;
pub(crate) mod retention;
pub(crate) mod sink;
pub(crate) mod subscribe;
pub(crate) mod view;
pub(crate) mod writer;

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "public with that feature"))]
pub(crate) mod faulty;

#[cfg(test)]
mod tests;

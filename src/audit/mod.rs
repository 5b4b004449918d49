//! Floor 3, audit: records of what happened, from the call that queues them, over the one writer
//! thread, to the log in memory, the journal and the user's sink.

mod admissions;
pub(crate) mod gate;
mod patience;
pub(crate) mod queue;
mod ring;
pub(crate) mod short_record;
pub(crate) mod wake_signal;

pub(crate) mod draw;
pub(crate) mod durable_sink;
pub(crate) mod entry;
pub(crate) mod flush;
pub(crate) mod log;
pub(crate) mod memory;
mod packed;
pub(crate) mod pairs;
pub(crate) mod pool;
mod queue_item;
pub(crate) mod record;
pub(crate) mod record_builder;
pub(crate) mod recorder;
pub(crate) mod sink;
#[cfg(feature = "metrics")]
pub(crate) mod tally;
pub(crate) mod tickets;
pub(crate) mod view;
pub(crate) mod writer;
pub(crate) mod writer_seat;
pub(crate) mod writer_thread;

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "public with that feature"))]
pub(crate) mod faulty;

#[cfg(test)]
mod tests;

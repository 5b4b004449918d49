//! The journal through the public interface: what survives a restart, a crash or a failing disk,
//! and what counts as damage.

mod behind;
mod capacity;
mod checkpoints;
mod consumers;
mod copies;
mod crash;
mod damage;
mod disks;
mod durable;
mod environment;
mod erase;
mod erase_load;
mod everything;
mod few_threads;
mod follow;
mod futures;
mod gathering;
mod golden;
mod keeping;
mod late;
mod late_payments;
mod limits;
mod limits_cut;
mod lineage;
mod lock_returned;
mod lost;
#[cfg(unix)]
mod no_files;
mod outcomes;
#[path = "../../src/journal/storage/pass_on.rs"]
mod pass_on;
mod place;
mod place_cut;
mod place_kinds;
mod prefetch;
mod reader;
mod redact;
mod remembered;
mod restart;
mod retention;
mod salvage;
mod stalled;
mod state;
mod tail;
mod trimmed;
mod upgrade;
mod watched;
mod windows;

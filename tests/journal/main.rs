//! The journal through the public interface: what survives a restart, a crash or a failing disk,
//! and what counts as damage.

mod checkpoints;
mod crash;
mod damage;
mod disks;
mod durable;
mod erase;
mod erase_load;
mod everything;
mod follow;
mod golden;
mod keeping;
mod reader;
mod redact;
mod restart;
mod retention;
mod salvage;
mod stalled;
mod state;
mod tail;
mod trimmed;
mod upgrade;
mod watched;

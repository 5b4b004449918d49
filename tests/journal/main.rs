//! The journal, from outside: what survives a restart, a crash, a failing disk, and what is damage.

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
mod stalled;
mod state;
mod trimmed;
mod upgrade;
mod watched;

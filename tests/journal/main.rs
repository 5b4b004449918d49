//! The journal, from outside: what survives a restart, a crash, a failing disk, and what is damage.

mod crash;
mod damage;
mod everything;
mod restart;
mod state;

//! The journal, from outside: what survives a restart, a crash, a failing disk, and what is damage.

mod damage;
mod restart;
mod crash;
mod state;

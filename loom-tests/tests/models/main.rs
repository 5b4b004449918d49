//! Models of Stockade's laws, on the source files that ship.
//!
//! The library's files are compiled into this crate, by their paths, rather than linked: so the
//! models see what is `pub(crate)`, and nothing in the library has to be public for their sake.
//! `crate::base::sync` then is loom's side of the library's one door to atomics.
#![cfg(loom)]
#![allow(dead_code, reason = "the models use a part of the library")]
#![allow(unreachable_pub, reason = "a program of models has no callers outside")]
#![allow(clippy::unwrap_used, reason = "a thread that panicked is a model that failed")]

// The rooms behind the queue have threads and files of their own.
#[path = "../../../src/audit"]
mod audit {
    mod admissions;
    pub(crate) mod gate;
    mod patience;
    pub(crate) mod queue;
    pub(crate) mod ring;
    pub(crate) mod wake_signal;
}
#[path = "../../../src/base"]
mod base {
    pub(crate) mod clock;
    pub(crate) mod doubling_table;
    pub(crate) mod early;
    pub(crate) mod error {
        mod lookup;

        pub(crate) use lookup::{InvalidKey, InvalidOwner, InvalidReservationId, MAX_KEY_BYTES};
    }
    pub(crate) mod foreign;
    pub(crate) mod lines;
    pub(crate) mod parking;
    pub(crate) mod quantity;
    pub(crate) mod shard;
    pub(crate) mod sip;
    pub(crate) mod sync;
    pub(crate) mod table;
    pub(crate) mod trace;
}
// Without the fingerprints, which hash.
#[path = "../../../src/idempotency"]
mod idempotency {
    mod digest;
    pub(crate) mod fingerprint;
    pub(crate) mod key;
    pub(crate) mod map;
}
#[path = "../../../src/reservation/mod.rs"]
mod reservation;
#[path = "../../../src/stock/mod.rs"]
mod stock;

// What the models share: a small engine with the manager's order of steps.
mod engine;
mod record;

// The models, a file a law or a room.
mod alerts;
mod allowances;
mod circulation;
mod commit;
mod expiry;
mod holders;
mod keys;
mod law1_one_swap;
mod law2_take_log_give;
mod law3_one_winner;
mod naming;
mod partial;
mod queue;
mod readers;
mod room;
mod settling;
mod sleep;
mod sold;

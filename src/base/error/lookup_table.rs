//! The error tables of `lookup.rs`.

use crate::base::error::facts::error_table;
use crate::base::error::lookup::{
    FlushError, InvalidKey, InvalidOwner, InvalidReservationId, MAX_KEY_BYTES, NoReservation,
};

error_table! {
    InvalidReservationId {
        Self => Invalid("invalid_reservation_id"),
            "not a reservation id: expected a UUID of version 8";
    }
}

error_table! {
    InvalidOwner {
        Self => Invalid("invalid_owner"), "not an owner: expected a UUID";
    }
}

error_table! {
    InvalidKey {
        Self { len } => Invalid("invalid_key"),
            "an idempotency key must be 1 to {MAX_KEY_BYTES} bytes, not {len}";
    }
}

error_table! {
    NoReservation {
        Self::Forgotten => Gone("hold_forgotten"), "the reservation's record is no longer kept";
        Self::Lost { opening } => Gone("hold_lost"),
            "the reservation was lost in the crash that ended opening {opening} of the journal";
        Self::Gathering => Busy("hold_gathering").retry(),
            "it is not known yet how the reservation ended: older answers are gathered";
        Self::Unknown => NotFound("hold_unknown"), "there is no such reservation";
    }
}

error_table! {
    FlushError {
        Self::Stopped { reason } => Unavailable("stopped").retry(),
            "the audit sink refuses entries, which are kept: {reason}";
        Self::Closed => Unavailable("closed"), "the engine has been shut down";
        Self::Poisoned { reason } => Unavailable("poisoned"), "the audit writer died: {reason}";
        Self::TimedOut => Busy("timed_out").retry(),
            "the deadline passed before everything was written";
        Self::InSink => Invalid("flush_in_sink"),
            "the engine's own sink has asked, and the writer would wait for itself";
    }
}

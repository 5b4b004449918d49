//! Messages to the log of the service that embeds the engine: what nobody asked for and somebody
//! must know. Without the feature `tracing` there are none;
//! [`health`](crate::InventoryManager::health) reports the same.
//!
//! A subscriber is another's code: it may panic, and it may call the engine. Whoever sends a
//! message under a lock puts it aside ([`put_aside`](crate::base::foreign::put_aside)).

use std::fmt::Arguments;

#[cfg(feature = "tracing")]
use crate::base::foreign::later;

/// Something is broken, or stands still: a person must look at it.
pub(crate) fn error(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    {
        let what = what.to_string();
        later(move || tracing::error!("{what}"));
    }
    let _ = what;
}

/// Something was lost or failed, and the engine goes on.
pub(crate) fn warn(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    {
        let what = what.to_string();
        later(move || tracing::warn!("{what}"));
    }
    let _ = what;
}

/// An earlier problem is over.
pub(crate) fn info(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    {
        let what = what.to_string();
        later(move || tracing::info!("{what}"));
    }
    let _ = what;
}

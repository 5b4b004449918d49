//! Messages to the log of the service that embeds the engine: what nobody asked for and somebody
//! must know. Without the feature `tracing` there are none;
//! [`health`](crate::InventoryManager::health) reports the same.

use std::fmt::Arguments;

/// Something is broken, or stands still: a person must look at it.
pub(crate) fn error(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    tracing::error!("{what}");
    let _ = what;
}

/// Something was lost or failed, and the engine goes on.
pub(crate) fn warn(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    tracing::warn!("{what}");
    let _ = what;
}

/// An earlier problem is over.
pub(crate) fn info(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    tracing::info!("{what}");
    let _ = what;
}

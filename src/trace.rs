//! What an engine tells the log of the service that it runs in: what nobody has asked for, and somebody
//! has to hear of. Without the feature `tracing`, nobody does, and [`health`](crate::InventoryManager::health)
//! still says it.

use std::fmt::Arguments;

/// Something is broken, or stands still: somebody has to look at it.
pub(crate) fn error(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    tracing::error!("{what}");
    let _ = what;
}

/// Something was lost or did not work out, and the engine goes on.
pub(crate) fn warn(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    tracing::warn!("{what}");
    let _ = what;
}

/// What was wrong is well again.
pub(crate) fn info(what: Arguments<'_>) {
    #[cfg(feature = "tracing")]
    tracing::info!("{what}");
    let _ = what;
}

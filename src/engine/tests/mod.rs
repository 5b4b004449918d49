//! Tests that need access to more of an engine than its public interface.

#[cfg(feature = "journal")]
mod follower_thread;
mod tracing;

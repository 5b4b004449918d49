//! Tests that need access to more of an engine than its public interface.

mod auditor;
mod follower_thread;
#[cfg(feature = "tracing")]
mod tracing;

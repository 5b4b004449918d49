//! Tests that need more of an engine than its public interface.

mod tracing;

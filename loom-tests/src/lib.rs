//! What all models share: how one is run, and the check that it explored anything at all.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p loom-tests --target-dir target/loom`

#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `f` in every interleaving with at most `LOOM_MAX_PREEMPTIONS` (2 unless told) preemptions,
/// and prints how many there were. One interleaving means that loom saw no choice: then the model
/// shows nothing, and fails.
pub fn model(name: &str, f: impl Fn() + Send + Sync + 'static) {
    model_bounded(name, 2, f);
}

/// As [`model`], with another number of preemptions where the environment names none.
pub fn model_bounded(name: &str, preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let told = std::env::var("LOOM_MAX_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok());
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(told.unwrap_or(preemptions));
    builder.max_branches = 20_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        f();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("model {name}: {executions} executions");
    assert!(executions > 1, "model {name} explored nothing");
}

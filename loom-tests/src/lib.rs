//! Runs a model on loom, and makes sure that it explored something.
#![cfg(loom)]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often a model's threads may be interrupted, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 2;

/// Explores every interleaving of `f`'s threads within the preemption bound, prints how many there
/// were, and panics if there was only one: such a model has shown nothing.
pub fn model(name: &str, f: impl Fn() + Send + Sync + 'static) {
    model_bounded(name, PREEMPTIONS, f);
}

/// As [`model`], with another bound where the environment names none: for the widest models.
pub fn model_bounded(name: &str, preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    builder.check({
        let executions = Arc::clone(&executions);
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            f();
        }
    });
    let executions = executions.load(Ordering::Relaxed);
    // Straight to the stream, because the test harness swallows what `println!` says in a test that
    // passes.
    let _ = writeln!(std::io::stderr(), "model {name}: {executions} executions");
    assert!(executions > 1, "model {name} explored nothing: its threads never met at an atomic");
}

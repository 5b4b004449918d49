//! Fails where the models were left out, so that a run in which none executed can't pass.
#![cfg(not(loom))]

#[test]
fn the_models_are_built_for_loom() {
    panic!(
        "no model has run: they need RUSTFLAGS=\"--cfg loom\" cargo test --release -p loom-tests"
    );
}

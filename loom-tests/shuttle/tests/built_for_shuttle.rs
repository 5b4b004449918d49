//! Fails where the programs were left out, so that a run in which none was made can't pass.
#![cfg(not(shuttle))]

#[test]
fn the_programs_are_built_for_shuttle() {
    panic!(
        "nothing has run: they need RUSTFLAGS=\"--cfg shuttle\" cargo test --release -p shuttle-tests"
    );
}

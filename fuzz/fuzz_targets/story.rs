//! Journals that a grammar writes.
#![no_main]
#![allow(dead_code, reason = "each target uses its own part")]

#[path = "../../tests/fuzzed/hostile.rs"]
mod hostile;
#[path = "../../tests/fuzzed/seal.rs"]
mod seal;
#[path = "../../tests/fuzzed/story.rs"]
mod story;

libfuzzer_sys::fuzz_target!(|input: &[u8]| hostile::story(input));

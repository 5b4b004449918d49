//! No input makes a reader, a recovery or an engine panic, hang, or use too much memory. This
//! replays the seeds and the findings of the fuzz targets in `fuzz/`, and a few new random inputs.

mod hostile;
mod seal;
mod seeds;
mod story;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Far more than any of these inputs needs: an engine for a thousand reservations, and some copies.
const MOST_MEMORY: u64 = 96 << 20;
const LONGEST: Duration = Duration::from_secs(20);

type Target = fn(&[u8]);
const TARGETS: [(&str, Target); 2] = [("bytes", hostile::bytes), ("story", hostile::story)];

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

/// The inputs of a target, by name.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(target)).expect("a folder of inputs");
    let mut inputs: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .map(|path| (path.display().to_string(), fs::read(path).expect("a file")))
        .collect();
    inputs.sort();
    assert!(inputs.len() > 10, "only {} inputs of {target}", inputs.len());
    inputs
}

#[track_caller]
fn run(target: Target, name: &str, input: &[u8]) {
    let began = Instant::now();
    let mut outcome = Ok(());
    let took = allocation_counter::measure(|| outcome = catch_unwind(|| target(input)));
    let told = |panic: Box<dyn std::any::Any + Send>| match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => panic.downcast_ref::<&str>().copied().unwrap_or("a panic").to_owned(),
    };
    if let Err(panic) = outcome {
        panic!("{name}: {}\ninput: {input:02x?}", told(panic));
    }
    assert!(took.bytes_max < MOST_MEMORY, "{name} took {} bytes", took.bytes_max);
    assert!(began.elapsed() < LONGEST, "{name} took {:?}", began.elapsed());
}

#[test]
fn whatever_was_found_stays_mended() {
    for (name, target) in TARGETS {
        for (input, bytes) in inputs(name) {
            run(target, &input, &bytes);
        }
    }
}

/// Random mutations of [`inputs`]: a fuzzer without coverage feedback.
#[test]
fn inputs_like_those_do_no_harm_either() {
    let seed = std::env::var("STOCKADE_SEED").ok().and_then(|seed| seed.parse().ok());
    let rounds = std::env::var("STOCKADE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed);
    let mut random = seeds::Random::new(seed);
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        for round in 0..rounds.unwrap_or(400) {
            let (_, input) = &inputs[random.below(inputs.len())];
            let (_, other) = &inputs[random.below(inputs.len())];
            let input = seeds::changed(input, other, &mut random);
            run(target, &format!("{name}, seed {seed}, round {round}"), &input);
        }
    }
}

/// Writes the seed inputs, which are journals of real engines: `cargo test --features testing
/// --test fuzzed seeds -- --ignored`
#[test]
#[ignore = "writes into fuzz/seeds"]
fn make_seeds() {
    for (name, _) in TARGETS {
        fs::create_dir_all(folder(name)).expect("a folder");
    }
    for (name, input) in seeds::of_bytes() {
        fs::write(folder("bytes").join(name), input).expect("a file");
    }
    for (name, input) in seeds::of_stories() {
        fs::write(folder("story").join(name), input).expect("a file");
    }
}

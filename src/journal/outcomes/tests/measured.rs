//! Figures: bytes of memory for an answer, false positives, and how long look-ups take.

use std::time::Instant;

use super::*;
use crate::journal::storage::files::FileStorage;

fn look(outcomes: &Outcomes, name: u64, disk: DiskUse) -> OutcomeLookup<KeptAnswer> {
    let mark = outcomes.mark_of(key_of(name).key.as_bytes());
    outcomes.answer_of(mark, 0, disk).expect("a working disk")
}

/// Installs `segments` segments of `each` keys, and merges as it goes.
fn fill(outcomes: &Outcomes, segments: u64, each: u64) {
    for number in 1..=segments {
        let mut builder = outcomes.builder();
        for name in (number - 1) * each..number * each {
            builder.answered(time(number), &answer(name, name), Timestamp::from_millis(number));
        }
        outcomes.install(range(number), &builder, time(number)).expect("room");
        while outcomes.merge_due(time(number)).expect("room") {}
    }
}

/// Bytes of memory for each record.
fn memory_each(outcomes: &Outcomes) -> f64 {
    let stats = outcomes.stats();
    (stats.filter_memory + stats.index_memory) as f64 / stats.records as f64
}

#[test]
fn an_answer_takes_less_than_three_bytes_of_memory_and_one_miss_in_a_thousand_reads_a_page() {
    let outcomes = open(&SimulatedDisk::new(), 0);
    // A full part, and the beginning of another one; then more runs.
    fill(&outcomes, 7, 10_000);
    let mut one = outcomes.builder();
    for name in 0..66_000 {
        one.answered(time(1), &answer(1_000_000 + name, 1), Timestamp::from_millis(1));
    }
    outcomes.install(SegmentRange { end: point(9), ..range(8) }, &one, time(8)).expect("room");
    let stats = outcomes.stats();
    assert_eq!((stats.runs, stats.records), (8, 136_000));
    assert!(memory_each(&outcomes) < 3.0, "{} bytes an answer", memory_each(&outcomes));
    const MISSES: u64 = 20_000;
    let misses = (0..MISSES)
        .filter(|name| {
            let found = look(&outcomes, 5_000_000 + name, DiskUse::MemoryOnly);
            assert!(!matches!(found, OutcomeLookup::Found(_)));
            found == OutcomeLookup::NeedsDisk
        })
        .count() as u64;
    // Eight filters, of 2^-16 each: two or three are expected.
    assert!(misses * 1_000 < MISSES, "{misses} of {MISSES} misses would read a page");
}

/// Fills files of a real directory, measures, and writes the figures into `outcome-figures.txt`
/// beside it. Fails if an answer takes three bytes of memory, a filter does not fit into the
/// default budget, or half of the look-ups take a millisecond.
fn measure(segments: u64, each: u64) {
    let place = std::env::var_os("STOCKADE_MEASURE_IN").map(std::path::PathBuf::from);
    let place = place.unwrap_or_else(std::env::temp_dir);
    let directory = place.join(format!("stockade-outcomes-{}", std::process::id()));
    let files = FileStorage::new(&directory);
    drop(files.lock().expect("a new directory"));
    let files: Arc<dyn Storage> = Arc::new(files);
    let long = OutcomeLimits { keep: Duration::from_secs(1 << 30), ..OutcomeLimits::default() };
    let open = |finished| {
        Outcomes::open(Arc::clone(&files), &layout(finished), (JOURNAL, 1), long)
            .expect("a working disk")
    };
    let began = Instant::now();
    let outcomes = open(0);
    fill(&outcomes, segments, each);
    let filled = began.elapsed();
    let began = Instant::now();
    let outcomes = open(segments);
    let opened = began.elapsed();
    let (all, stats) = (segments * each, outcomes.stats());
    assert_eq!(stats.records, all);
    let median = |first: u64, stride: u64, wanted: bool| {
        let mut spans: Vec<Duration> = (0..20_000)
            .map(|index| {
                let name = first + index * stride % all;
                let began = Instant::now();
                let found = look(&outcomes, name, DiskUse::MayRead);
                let span = began.elapsed();
                assert_eq!(matches!(found, OutcomeLookup::Found(_)), wanted, "{name}");
                span
            })
            .collect();
        spans.sort_unstable();
        (spans[spans.len() / 2], spans[spans.len() * 99 / 100])
    };
    let (hit, miss) = (median(0, 7_919 * 101, true), median(all, 1, false));
    std::fs::remove_dir_all(&directory).expect("a directory");
    let figures = format!(
        "{all} answers in {} runs: {:.3} bytes of memory each, {} parts without a filter; \
         filled in {filled:?}, opened in {opened:?}; median and 99th: hit {hit:?}, miss {miss:?}\n",
        stats.runs,
        memory_each(&outcomes),
        stats.unfiltered_parts,
    );
    std::fs::write(place.join("outcome-figures.txt"), &figures).expect("room");
    assert!(memory_each(&outcomes) < 3.0 && stats.unfiltered_parts == 0, "{figures}");
    assert!(hit.0.max(miss.0) < Duration::from_millis(1), "{figures}");
}

#[test]
#[ignore = "takes some seconds, in release"]
fn a_million_answers_are_found_quickly() {
    measure(10, 100_000);
}

/// Run it by hand, in release. `STOCKADE_MEASURE_IN` names the directory, which needs 60 bytes for
/// each answer, and twice that during merges. `STOCKADE_MEASURE_MILLIONS` is how many millions of
/// answers.
#[test]
#[ignore = "a measurement: takes minutes, in release"]
fn a_hundred_million_answers_are_found_quickly() {
    let millions = std::env::var("STOCKADE_MEASURE_MILLIONS");
    let millions = millions.map_or(100, |it| it.parse().expect("a number of millions"));
    measure(millions * 2, 500_000);
}

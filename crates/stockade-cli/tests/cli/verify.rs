//! `stockade audit verify` on journals that were tampered with.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use stockade::{HeadHash, InventoryManager, JournalError, JournalOptions, JournalReader, Limits};

use super::{count, files, folder, run, stockade, text};

/// A small journal of several segments and two openings, closed or not.
fn small_journal(name: &str, closed: bool) -> String {
    let folder = folder(name);
    for opening in 0..2 {
        let journal = JournalOptions::directory(&folder).segment_bytes(500);
        let builder = InventoryManager::builder().warehouse("SF").journal(journal);
        let builder = builder.without_threads().limits(Limits::new().max_reservations(64));
        let manager = builder.build().expect("a sound journal");
        let place = ("SF", "LAPTOP");
        manager.add_stock(place, 10, "SUPPLIER").expect("room");
        let hold = manager.reserve(place, 2, Duration::from_secs(60)).expect("stock");
        manager.run_until_idle();
        manager.request().note("customer", "M. Curie").confirm(hold).expect("pending");
        manager.flush().wait().expect("written");
        if opening == 1 && !closed {
            manager.sell(place, 1).expect("stock");
            manager.run_until_idle();
            // As after a kill.
            std::mem::forget(manager);
        }
    }
    folder
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "journal")
}

/// The result of `verify`, and its exit code.
fn verify(folder: &str, args: &[&str]) -> (i32, Value) {
    let output = run(&[&["audit", "verify", folder, "--json"], args].concat());
    assert_eq!(text(&output.stderr), "");
    let found = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code().expect("it ends"), found)
}

fn assert_damaged(folder: &str, what: &str) {
    let (code, found) = verify(folder, &[]);
    assert_eq!((code, &found["sound"]), (1, &Value::Bool(false)), "{what}: {found:#}");
    assert!(found["error"]["what"].as_str().is_some_and(|it| !it.is_empty()), "{found:#}");
}

fn head_of(folder: &str) -> String {
    let (code, found) = verify(folder, &[]);
    assert_eq!(code, 0, "{found:#}");
    found["head"].as_str().expect("a hash").to_owned()
}

#[test]
fn no_flipped_byte_of_a_closed_journal_goes_unseen() {
    let folder = small_journal("verify-flip", true);
    head_of(&folder);
    let mut flipped = 0;
    for (path, bytes) in files(&folder) {
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << (at % 8);
            fs::write(&path, wrong).expect("a file");
            let what = format!("byte {at} of {}", path.display());
            // Run the program for some positions, and the library behind it for all.
            if at % 23 == 0 {
                assert_damaged(&folder, &what);
            }
            let found = JournalReader::new(&folder).verify(None);
            let error = found.expect_err(&what).error;
            assert!(matches!(error, JournalError::Damaged { .. }), "{what}: {error}");
            let sums = JournalReader::new(&folder).verify_checksums(None);
            assert!(sums.is_err(), "{what}: the checksums say nothing");
            flipped += 1;
        }
        fs::write(&path, bytes).expect("a file");
    }
    assert!(flipped > 1_500, "only {flipped} bytes");
    head_of(&folder);
}

#[test]
fn segments_that_were_cut_swapped_or_removed_are_damage() {
    let folder = small_journal("verify-segments", true);
    let mut files = files(&folder);
    files.retain(|(path, _)| is_segment(path));
    assert!(files.len() > 3, "{} segments", files.len());
    let newest = files.len() - 1;
    for (path, bytes) in &files[..newest] {
        for end in [0, 1, 135, 136, 137, bytes.len() / 2, bytes.len() - 1] {
            fs::write(path, &bytes[..end]).expect("a file");
            assert_damaged(&folder, &format!("{end} bytes of {}", path.display()));
        }
        fs::remove_file(path).expect("a file");
        assert_damaged(&folder, &format!("without {}", path.display()));
        fs::write(path, bytes).expect("a file");
    }
    for (first, second) in (0..=newest).flat_map(|one| (0..one).map(move |other| (one, other))) {
        fs::write(&files[first].0, &files[second].1).expect("a file");
        fs::write(&files[second].0, &files[first].1).expect("a file");
        assert_damaged(&folder, &format!("{first} in the place of {second}"));
        fs::write(&files[first].0, &files[first].1).expect("a file");
        fs::write(&files[second].0, &files[second].1).expect("a file");
    }
    let (last, bytes) = &files[newest];
    fs::write(last, [&**bytes, b"x"].concat()).expect("a file");
    assert_damaged(&folder, "a byte behind the end");
    fs::write(last, bytes).expect("a file");
    head_of(&folder);
}

#[test]
fn a_torn_tail_is_sound_and_told() {
    let folder = small_journal("verify-torn", false);
    let (code, whole) = verify(&folder, &[]);
    assert_eq!((code, &whole["torn"], &whole["closed"]), (0, &Value::Null, &Value::Bool(false)));
    let (path, bytes) =
        files(&folder).into_iter().rfind(|(path, _)| is_segment(path)).expect("one");
    let mut torn = 0;
    // The beginning of the newest segment was durable before the file got its name, and says so.
    for end in (bytes.len() - 60)..bytes.len() {
        fs::write(&path, &bytes[..end]).expect("a file");
        let (code, found) = verify(&folder, &[]);
        assert_eq!(code, 0, "{end} bytes: {found:#}");
        assert!(count(&found, "entries") < count(&whole, "entries"));
        torn += usize::from(found["torn"]["what"].is_string());
    }
    assert_eq!(torn, 60);
    fs::write(&path, [&*bytes, &[7; 40]].concat()).expect("a file");
    let output = run(&["audit", "verify", &folder]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Torn tail: "), "{}", text(&output.stdout));
}

#[test]
fn a_head_that_was_kept_elsewhere_shows_what_the_journal_can_not() {
    let folder = small_journal("verify-head", true);
    let head = head_of(&folder);
    let (code, found) = verify(&folder, &["--expect-head", &head]);
    assert_eq!((code, count(&found, "expected_head_at")), (0, count(&found, "entries")));

    // Whole newest batches are removed, with everything that knows of them.
    let all = files(&folder);
    let segments: Vec<_> = all.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    for (path, _) in &segments[1..] {
        fs::remove_file(path).expect("a file");
    }
    let shorter = head_of(&folder);
    let (code, found) = verify(&folder, &["--expect-head", &head]);
    assert_eq!(code, 1, "{found:#}");
    let said = found["error"]["what"].as_str().expect("a reason");
    assert!(said.contains(&head), "{said}");
    let text = text(&run(&["audit", "verify", &folder, "--expect-head", &head]).stdout);
    assert!(text.contains("never had the hash"), "{text}");

    // The journal may have grown since.
    for (path, bytes) in &all {
        fs::write(path, bytes).expect("a file");
    }
    let (code, found) = verify(&folder, &["--expect-head", &shorter]);
    assert_eq!(code, 0, "{found:#}");
    assert!(count(&found, "expected_head_at") < count(&found, "entries"));
    // The head of an empty journal says nothing about one that has entries.
    assert_eq!(verify(&folder, &["--expect-head", &"0".repeat(64)]).0, 1);
    // Another journal with the same calls has another head.
    let other = small_journal("verify-head-other", true);
    assert_eq!(verify(&other, &["--expect-head", &head]).0, 1);
}

#[test]
fn the_head_of_a_running_engine_is_one_to_expect() {
    let folder = folder("verify-live-head");
    let builder = InventoryManager::builder().warehouse("SF").journal(&folder);
    let manager = builder.build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let head = manager.journal_head().expect("a journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    drop(manager);
    let verified = JournalReader::new(&folder).verify(Some(HeadHash(head.hash)));
    assert_eq!(verified.expect("sound").expected_at, Some(head.sequence));
}

#[test]
fn reading_changes_nothing() {
    let folder = small_journal("verify-read-only", false);
    let look = || {
        let changed =
            |path: &Path| fs::metadata(path).and_then(|it| it.modified()).expect("a time");
        let files = files(&folder);
        files.into_iter().map(|(path, bytes)| (changed(&path), path, bytes)).collect::<Vec<_>>()
    };
    let before = look();
    for command in ["verify", "log", "stock"] {
        let output = stockade(&["audit", command, &folder]).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{command}");
    }
    assert_eq!(look(), before);
}

//! `stockade audit` on a journal whose oldest segments were archived, with and without the archive.

use std::time::{Duration, Instant};

use serde_json::Value;
use stockade::{JournalOptions, JournalPosition, JournalRetention, Limits};

use super::random::builder;
use super::{count, files, folder, result_of, run, text};

const PLACE: (&str, &str) = ("SF", "LAPTOP");

/// A closed journal and its archive, and how many units were added.
fn archived(name: &str) -> (String, String, u64) {
    let (here, archive) = (folder(name), folder(&format!("{name}-archive")));
    let journal = JournalOptions::directory(&here).segment_bytes(3_000).checkpoint_every(1);
    let journal = journal.sync_interval(Duration::from_millis(1));
    let builder = builder(journal.retention(JournalRetention::archive(&archive)));
    let manager = builder.limits(Limits::new().audit_retained(8)).build();
    let manager = manager.expect("a new journal");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut added = 0;
    while !std::fs::read_dir(&archive).is_ok_and(|files| files.count() > 4) {
        assert!(Instant::now() < deadline, "nothing is archived: {:?}", manager.health());
        let noted = if added % 2 == 0 { "M. Curie" } else { "L. Meitner" };
        let request = manager.request().note("customer", noted);
        request.add_stock(PLACE, 1, "SUPPLIER").expect("room");
        added += 1;
        if added % 16 == 0 {
            manager.flush().wait().expect("written");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    // The archive serves a subscription to the engine.
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    assert_eq!(entries.wait().expect("sound").map(|entry| entry.sequence), Some(1));
    assert!(manager.shutdown(Duration::from_secs(60)).is_clean());
    (here, archive, added)
}

fn rows(args: &[&str]) -> Vec<Value> {
    let output = run(&[&["audit", "log"], args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn verify_log_and_stock_reach_back_as_far_as_they_are_shown_the_way() {
    let (here, archive, added) = archived("archived");
    let verify = |args: &[&str]| result_of(&[&["audit", "verify", &here], args].concat());
    let (bare, whole) = (verify(&[]), verify(&["--archive", &archive]));
    assert_eq!((count(&whole, "oldest_entry"), &whole["begun_after"]), (1, &Value::Null));
    let oldest = count(&bare, "oldest_entry");
    assert!(1 < oldest && oldest <= count(&bare, "begun_after"));
    assert_eq!((&bare["head"], &bare["entries"]), (&whole["head"], &whole["entries"]));
    let told = text(&run(&["audit", "verify", &here]).stdout);
    assert!(told.contains("archived or removed") && told.contains("Sound"), "{told}");

    let all = rows(&[&here, "--archive", &archive]);
    assert_eq!(all.len() as u64, count(&whole, "entries"));
    assert_eq!(rows(&[&here]), all[oldest as usize - 1..]);
    let told = text(&run(&["audit", "log", &here]).stderr);
    assert!(told.contains(&format!("entries before {oldest} were archived or removed")), "{told}");

    for args in [&["audit", "stock", &*here][..], &["audit", "stock", &here, "--archive", &archive]]
    {
        let output = run(&[args, &["--json"]].concat());
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found[0]["available"].as_u64(), Some(added));
    }
    let early = ["audit", "stock", &here, "--at", "1000"];
    let output = run(&early);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("archived or removed"), "{}", text(&output.stderr));
    assert!(run(&[&early[..], &["--archive", &archive]].concat()).status.success());
    let nowhere = run(&["audit", "verify", &here, "--archive", &format!("{archive}-not")]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("there is no such directory"));

    // A changed byte in the archive is damage, as in the journal.
    let (path, mut bytes) = files(&archive).into_iter().nth(1).expect("an archived segment");
    bytes[200] ^= 1;
    std::fs::write(path, bytes).expect("the test's own file");
    assert_eq!(run(&["audit", "verify", &here, "--archive", &archive]).status.code(), Some(1));
    assert_eq!(run(&["audit", "verify", &here]).status.code(), Some(0));
}

#[test]
fn notes_are_erased_in_the_archive_too() {
    let (here, archive, added) = archived("archived-redact");
    let holds = |noted: &str| {
        let folders = [&here, &archive].into_iter().flat_map(|folder| files(folder));
        let noted = noted.as_bytes();
        folders.filter(|(_, it)| it.windows(noted.len()).any(|part| part == noted)).count()
    };
    let redact = ["audit", "redact", &here, "--note", "customer=M. Curie"];
    let refused = run(&redact);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("archived or removed"), "{}", text(&refused.stderr));
    let result = result_of(&[&redact[..], &["--archive", &archive]].concat());
    assert_eq!(count(&result, "records"), added.div_ceil(2));
    assert_eq!((holds("M. Curie"), holds("L. Meitner") > 3), (0, true));
    let verified = result_of(&["audit", "verify", &here, "--archive", &archive]);
    assert_eq!(count(&verified, "erased"), added.div_ceil(2));
    result_of(&["audit", "verify", &here]);
}

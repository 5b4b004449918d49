//! `stockade audit salvage`: what is sound of a damaged journal becomes a new one.

use std::fs;
use std::path::Path;

use super::random::{builder, journal};
use super::{count, files, folder, result_of, run, text};
use serde_json::Value;

const PLACE: (&str, &str) = ("SF", "LAPTOP");

/// A closed journal with a damaged batch in its midst. Returns its folder, and the head before.
fn damaged_journal(name: &str) -> (String, String) {
    let folder = folder(name);
    let manager = builder(journal(&folder)).build().expect("a new journal");
    manager.add_stock(PLACE, 50, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let early = manager.journal_head().expect("a journal").to_string();
    for _ in 0..6 {
        manager.sell(PLACE, 1).expect("stock");
        manager.flush().wait().expect("written");
    }
    drop(manager);
    let segment = Path::new(&folder).join("0000000001.journal");
    let mut bytes = fs::read(&segment).expect("a segment");
    let second = bytes.windows(4).enumerate().filter(|(_, it)| *it == b"SKB\x01").nth(5);
    // Behind the batch of the head, however the records before it were cut into batches.
    let at = second.expect("six batches").0 + 110;
    bytes[at] ^= 1;
    fs::write(&segment, bytes).expect("a file");
    (folder, early)
}

/// The folder for the new journal. It is not there yet.
fn new_folder(name: &str) -> String {
    let folder = folder(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn what_is_sound_is_saved_and_what_is_lost_is_listed() {
    let (old, early) = damaged_journal("salvage-old");
    let new = new_folder("salvage-new");
    let before = files(&old);
    let output = run(&["audit", "salvage", &old, "--to", &new, "--json"]);
    assert_eq!(output.status.code(), Some(1), "something is lost");
    let saved: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(saved["first_bad"].as_str().is_some_and(|it| it.contains("damaged")), "{saved:#}");
    assert!(count(&saved, "lost_bytes") > 0 && count(&saved, "seen_entries") > 1, "{saved:#}");
    let told = text(&output.stderr);
    assert_eq!(told.lines().count() as u64, count(&saved, "seen_entries"));
    for line in told.lines() {
        let entry = line.strip_prefix("not saved: ").expect("an entry");
        let entry: Value = serde_json::from_str(entry).expect("JSON");
        assert!(count(&entry, "sequence") > count(&saved, "entries"));
    }
    assert_eq!(files(&old), before, "the damaged journal is only read");
    let verified = result_of(&["audit", "verify", &new, "--expect-head", &early]);
    assert_eq!(count(&verified, "entries"), count(&saved, "entries") + 1);
    assert_eq!(verified["head"], saved["head"]);
    let manager = builder(journal(&new)).build().expect("a sound journal");
    assert_eq!(manager.counts(PLACE).map(|it| it.on_hand()), Ok(50));
    manager.sell(PLACE, 2).expect("stock");
    drop(manager);
    result_of(&["audit", "verify", &new]);

    let list = format!("{new}-lost.jsonl");
    let _ = fs::remove_file(&list);
    let again = new_folder("salvage-again");
    let output = run(&["audit", "salvage", &old, "--to", &again, "--lost", &list]);
    assert_eq!((output.status.code(), &*text(&output.stderr)), (Some(1), ""));
    assert!(text(&output.stdout).contains("LOST behind that: "), "{}", text(&output.stdout));
    let listed = fs::read_to_string(&list).expect("a list");
    assert_eq!(listed.lines().count() as u64, count(&saved, "seen_entries"));
    fs::remove_file(&list).expect("a list");
}

#[test]
fn a_sound_journal_is_saved_whole_and_an_engine_beside_it_is_told() {
    let old = folder("salvage-sound");
    let manager = builder(journal(&old)).build().expect("a new journal");
    manager.add_stock(PLACE, 50, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let beside = new_folder("salvage-beside");
    let output = run(&["audit", "salvage", &old, "--to", &beside]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("an engine has this journal open"));
    drop(manager);
    let new = new_folder("salvage-whole");
    let saved = result_of(&["audit", "salvage", &old, "--to", &new]);
    assert_eq!((&saved["first_bad"], count(&saved, "lost_bytes")), (&Value::Null, 0));
    drop(builder(journal(&new)).build().expect("sound"));
}

#[test]
fn a_target_that_is_not_empty_or_lies_in_the_journal_is_refused() {
    let (old, _) = damaged_journal("salvage-refused");
    let before = files(&old);
    let inside = format!("{old}/new");
    let (alias, full) = (new_folder("salvage-alias"), folder("salvage-full"));
    #[cfg(unix)]
    std::os::unix::fs::symlink(fs::canonicalize(&old).expect("a folder"), &alias).expect("a link");
    fs::create_dir_all(&full).expect("a folder");
    fs::write(format!("{full}/notes.txt"), "mine").expect("a file");
    for (to, code) in [(&old, 2), (&inside, 2), (&alias, 2), (&full, 3)] {
        if cfg!(not(unix)) && to == &alias {
            continue;
        }
        let output = run(&["audit", "salvage", &old, "--to", to]);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told.lines().count()), (Some(code), 1), "{to}: {told}");
        assert_eq!(files(&old), before, "{to}");
    }
    let _ = fs::remove_file(&alias);
    assert_eq!(fs::read_dir(&full).expect("a folder").count(), 1);
    let nowhere = run(&["audit", "salvage", "no-such-folder", "--to", &inside]);
    assert_eq!(nowhere.status.code(), Some(2));
}

//! A machine that does not let the program read a journal: too few threads, no permission, a file
//! that says it is longer than any memory.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use stockade::{InventoryManager, JournalOptions, Limits};

use super::{skipped, text};

/// A user with no rights.
const NOBODY: u32 = 65_534;

/// A directory that everybody may read, with a copy of the program and a journal.
struct Place(PathBuf);

impl Place {
    /// The journal is closed, or as after a kill.
    fn new(name: &str, closed: bool) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary directory");
        fs::copy(env!("CARGO_BIN_EXE_stockade"), path.join("stockade")).expect("a copy");
        let place = Self(path);
        let journal = JournalOptions::directory(place.journal());
        let limits = Limits::new().notes(64, 1 << 20);
        let builder = InventoryManager::builder().warehouse("SF").limits(limits).journal(journal);
        let manager = builder.without_threads().build().expect("a new journal");
        for round in 0..30 {
            let note = "a note".repeat(20_000 + round);
            let request = manager.request().note("n", &note);
            request.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
        }
        manager.flush().wait().expect("written");
        match closed {
            true => {
                let _ = manager.shutdown(Duration::from_secs(5));
            }
            false => std::mem::forget(manager),
        }
        for path in [&place.0, &place.journal()] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a folder");
        }
        for file in fs::read_dir(place.journal()).expect("a folder") {
            let file = file.expect("a file").path();
            fs::set_permissions(file, Permissions::from_mode(0o644)).expect("a file");
        }
        place
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    fn segment(&self) -> PathBuf {
        self.journal().join("0000000001.journal")
    }

    /// `audit verify` under a limit of the shell; as a user with no rights, if this one has all.
    fn verify(&self, limit: &str) -> Output {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{limit} && exec \"$0\" audit verify \"$1\"")]);
        command.args([self.0.join("stockade"), self.journal()]);
        if has_all_rights(&self.0) {
            command.uid(NOBODY);
        }
        command.output().expect("bash can be started")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether this user may read what nobody may read.
fn has_all_rights(folder: &Path) -> bool {
    let file = folder.join("closed");
    fs::write(&file, "").expect("a file");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).expect("a file");
    fs::read(&file).is_ok()
}

fn assert_sound(output: &Output) {
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert!(said.contains("Sound: every checksum"), "{said}");
}

#[test]
fn a_journal_is_verified_where_no_thread_can_be_started() {
    let place = Place::new("no-threads", true);
    assert_sound(&place.verify("ulimit -u 1"));
}

#[test]
fn a_file_that_may_not_be_read_is_no_unsound_journal() {
    let place = Place::new("no-rights", true);
    fs::set_permissions(place.segment(), Permissions::from_mode(0o000)).expect("a file");
    let output = place.verify("true");
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{said}{told}");
    assert!(!said.contains("NOT SOUND"), "{said}");
    assert!(told.contains("0000000001.journal") && told.contains("denied"), "{told}");
}

#[test]
fn too_few_open_files_are_no_unsound_journal() {
    let place = Place::new("no-files", true);
    // Three are open, and bash and the loader need one to start the program.
    for most in 4..8 {
        let output = place.verify(&format!("ulimit -n {most}"));
        let said = text(&output.stdout);
        assert!(!said.contains("NOT SOUND"), "{most}: {said}");
    }
}

#[test]
fn a_huge_hole_behind_a_killed_journal_takes_no_memory() {
    let place = Place::new("huge", false);
    let file = OpenOptions::new().write(true).open(place.segment()).expect("a segment");
    if let Err(error) = file.set_len(3 << 30) {
        return skipped(&format!("no sparse files here: {error}"));
    }
    let output = place.verify("ulimit -v 1000000");
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert!(said.contains("Torn tail"), "{said}{told}");
}

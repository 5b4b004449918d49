//! A machine that does not let the program read a journal: too few threads, no permission, a file
//! that says it is longer than any memory.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use stockade::{InventoryManager, JournalOptions, Limits};

use super::text;

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

    /// Puts a hole of 3 GiB behind the segment. Returns `false` where there are no sparse files.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn make_huge(&self) -> bool {
        let file = OpenOptions::new().write(true).open(self.segment()).expect("a segment");
        let made = file.set_len(3 << 30);
        if let Err(error) = &made {
            eprintln!("skipped: no sparse files here: {error}");
        }
        made.is_ok()
    }

    /// `audit verify` under a limit of the shell; as a user with no rights, if this one has all.
    fn verify(&self, limit: &str) -> Output {
        self.run(limit, "audit verify \"$1\"")
    }

    /// A call of the program, which finds the journal in `$1` and this folder in `$2`, under a
    /// limit of the shell; as a user with no rights, if this one has all.
    fn run(&self, limit: &str, call: &str) -> Output {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{limit} && exec \"$0\" {call}")]);
        command.args([self.0.join("stockade"), self.journal(), self.0.clone()]);
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
    fs::set_permissions(&file, Permissions::from_mode(0o0)).expect("a file");
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
    fs::set_permissions(place.segment(), Permissions::from_mode(0o0)).expect("a file");
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
    if !place.make_huge() {
        return;
    }
    let output = place.verify("ulimit -v 1000000");
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert!(said.contains("Torn tail"), "{said}{told}");
}

#[test]
fn a_huge_damaged_segment_is_salvaged_and_takes_no_memory() {
    let place = Place::new("huge-damaged", false);
    let mut bytes = fs::read(place.segment()).expect("a segment");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(place.segment(), &bytes).expect("a segment");
    if !place.make_huge() {
        return;
    }
    fs::create_dir(place.0.join("saved")).expect("a folder");
    fs::set_permissions(place.0.join("saved"), Permissions::from_mode(0o777)).expect("a folder");
    let output = place.run("ulimit -v 1000000", "audit salvage \"$1\" --to \"$2/saved\"");
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(place.0.join("saved/0000000001.journal").is_file(), "{said}{told}");
    let output = place.run("true", "audit verify \"$2/saved\"");
    assert_sound(&output);
}

//! What bears the name of a journal's file and is none: nobody waits for it, and the error names
//! it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{FileStorage, JournalError, JournalReader, Storage};

use crate::disks::Scratch;
use crate::environment::{journal, limits, newest, options};
use crate::state::engine_on;

/// What a file can be besides a file, and the word for it.
type NoFile = (&'static str, fn(&Path));

const NO_FILES: [NoFile; 5] = [
    ("FIFO", |path| {
        let made = Command::new("mkfifo").arg(path).status().expect("mkfifo");
        assert!(made.success());
    }),
    ("device", |path| symlink("/dev/zero", path).expect("a link")),
    ("socket", |path| drop(UnixListener::bind(path).expect("a socket"))),
    ("directory", |path| fs::create_dir(path).expect("a directory")),
    // To a volume that is not mounted, for example.
    ("leads nowhere", |path| symlink("/no-volume/file", path).expect("a link")),
];

/// Runs `call`, which must end by itself.
fn soon<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(call()));
    let answer = receiver.recv_timeout(Duration::from_secs(20));
    answer.unwrap_or_else(|_| panic!("{what} waits for ever"))
}

/// The files of `disk` in a directory, with such a thing in place of the file `name`.
fn with_no_file(
    disk: &SimulatedDisk,
    kind: &str,
    make: fn(&Path),
    name: &str,
) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(&format!("no-file-{kind}-{name}"));
    let folder = scratch.join("j");
    fs::create_dir(&folder).expect("a folder");
    for (file, bytes) in disk.files() {
        fs::write(folder.join(file), bytes).expect("a file");
    }
    let _ = fs::remove_file(folder.join(name));
    make(&folder.join(name));
    (scratch, folder)
}

#[test]
fn what_is_no_file_is_an_error_that_names_it_and_nobody_waits_for_it() {
    let disk = journal(&stockade::JournalRetention::remove());
    let (segment, checkpoint) = (newest(&disk, ".journal"), newest(&disk, ".checkpoint"));
    for (kind, make) in NO_FILES {
        for name in [&*segment, "0000000999.journal", &*checkpoint, "trimmed"] {
            let (_scratch, folder) = with_no_file(&disk, kind, make, name);
            let what = format!("a {kind} in place of {name}");
            let place = folder.clone();
            let verified = soon(&what, move || JournalReader::new(place).verify(None).map(drop));
            let error = verified.expect_err("no file").error;
            let JournalError::Storage { file, reason, .. } = &error else {
                panic!("{what}: {error:?}")
            };
            assert_eq!(file, name, "{what}: {error}");
            assert!(reason.contains(kind), "{what}: {error}");
            let place = folder.clone();
            let built = soon(&what, move || {
                limits(engine_on(options(FileStorage::new(place)))).build().map(drop)
            });
            if let Err(error) = built {
                assert!(error.is_retryable() && error.to_string().contains(kind), "{error}");
            }
            let files = FileStorage::new(&folder);
            assert!(files.length(name).is_err() && files.truncate(name, 0).is_err(), "{what}");
        }
    }
}

#[test]
fn what_is_no_file_and_bears_the_name_of_a_helper_is_replaced_or_the_error_names_it() {
    let disk = journal(&stockade::JournalRetention::remove());
    let unfinished = |name: &str| format!("{name}.new");
    let helpers = [
        ("synced".to_owned(), None),
        (unfinished("synced"), Some("remove")),
        (unfinished("0000000999.journal"), Some("remove")),
        (unfinished("0000000001.journal"), Some("remove")),
        (unfinished("0000000001.checkpoint.1"), Some("remove")),
        (unfinished("trimmed"), None),
        (unfinished("billing.consumer"), None),
    ];
    for (kind, make) in NO_FILES {
        for (name, action) in &helpers {
            let (scratch, folder) = with_no_file(&disk, kind, make, name);
            let what = format!("a {kind} in place of {name}");
            let place = folder.clone();
            let built = soon(&what, move || {
                limits(engine_on(options(FileStorage::new(place)))).build().map(drop)
            });
            let error = match built {
                // What can be removed is. Nobody needs the names of the other two.
                Ok(()) => {
                    assert!(
                        name != "synced" && (kind != "directory" || action.is_none()),
                        "{what}"
                    );
                    continue;
                }
                Err(error) => error.to_string(),
            };
            assert!(error.contains(&format!("{name:?}")), "{what}: {error}");
            if name == "synced" {
                assert!(error.contains(kind) && error.contains("move it away"), "{what}: {error}");
                fs::rename(folder.join(name), scratch.join("away")).expect("a rename");
                let place = FileStorage::new(&folder);
                limits(engine_on(options(place))).build().expect("it opens without its marks");
            } else {
                assert_eq!((kind, action.is_some()), ("directory", true), "{what}: {error}");
            }
        }
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_no_journal() {
    let scratch = Scratch::new("file-for-folder");
    fs::write(scratch.join("j"), "a file").expect("a file");
    let files = FileStorage::new(scratch.join("j"));
    let kinds = [
        files.read("a", 0, 1).expect_err("no file").kind(),
        files.length("a").expect_err("no file").kind(),
        files.remove("a").expect_err("no file").kind(),
        files.truncate("a", 0).expect_err("no file").kind(),
        files.rename("a", "b").expect_err("no file").kind(),
    ];
    assert_eq!(kinds, [std::io::ErrorKind::NotFound; 5]);
}

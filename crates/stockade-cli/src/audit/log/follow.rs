//! `--follow`: lists the entries that an engine writes, until a signal comes or nobody listens.
//!
//! The journal says nothing by itself, so it is looked at again and again: first whether a file has
//! changed, and only then at its entries. A reader checks a journal from its beginning, so a look
//! costs what the whole journal costs. The pauses grow with that cost.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use indicatif::ProgressBar;

use crate::Failure;
use crate::audit::log::{Listing, LogArgs, unwritten};
use crate::interrupt;

/// The shortest pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How many times as long as a look the pause after it is: a fifth of a core at most is busy.
const REST: u32 = 4;

/// The length, and the time of the last change, of each file.
type Files = BTreeMap<OsString, (u64, Option<SystemTime>)>;

/// Lists matching entries after `last`.
pub(super) fn run(args: &LogArgs, mut last: u64, listing: &mut Listing) -> Result<(), Failure> {
    interrupt::listen()?;
    let directory = &args.source.directory;
    let mut known = Files::new();
    let mut rest = Duration::ZERO;
    while pause(rest.max(PAUSE)) {
        let files = files(directory);
        if files == known {
            continue;
        }
        known = files;
        let began = Instant::now();
        let mut written = Ok(());
        let mut journal = args.source.open(&ProgressBar::hidden());
        let read = journal.entries_while(&args.filter().after(last), |entry| {
            last = entry.sequence;
            written = listing.put(&entry);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match written.and_then(|()| listing.flush(true)) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(unwritten)?,
        }
        match read {
            Ok(()) => {}
            // The machine was short of something. Look again.
            Err(error) if error.is_retryable() => known.clear(),
            Err(error) => return Err(args.source.failure(error)),
        }
        rest = began.elapsed() * REST;
    }
    Ok(())
}

/// Sleeps. Returns `false` once a signal has come.
fn pause(span: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < span && !interrupt::heard() {
        thread::sleep(PAUSE / 10);
    }
    !interrupt::heard()
}

/// What tells that a journal has changed. A file that can't be looked at is left out: the reader
/// will say why.
fn files(directory: &Path) -> Files {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let looked = entries.filter_map(|entry| {
        let looked = entry.metadata().ok()?;
        Some((entry.file_name(), (looked.len(), looked.modified().ok())))
    });
    looked.collect()
}

//! What ends a run before its time: Ctrl-C, or a request of the system to end.
//!
//! The first signal lets the run stop what it does, count, and print its result. A second one ends
//! the program at once, as if there were nobody to hear the first.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Failure;

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Listens to signals from now on.
pub(crate) fn listen() -> Result<(), Failure> {
    // AcqRel: only the order of the two signals counts; nothing else hangs on it.
    let heard = || {
        if SIGNALLED.swap(true, Ordering::AcqRel) {
            process::exit(INTERRUPTED);
        }
    };
    ctrlc::set_handler(heard).map_err(|error| Failure::run("signals can't be heard", error))
}

/// Whether a signal has come.
pub(crate) fn heard() -> bool {
    // Relaxed: whoever asks stops a little later, and reads nothing that the handler wrote.
    SIGNALLED.load(Ordering::Relaxed)
}

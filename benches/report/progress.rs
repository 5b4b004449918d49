//! What the report prints while it runs.

use std::time::Instant;

/// Speaks, and remembers what the reader of the page must know too.
pub(crate) struct Progress {
    began: Instant,
    pub(crate) notes: Vec<String>,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), notes: Vec::new() }
    }

    /// Reports what is being done.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Notes how something was started, or why it was skipped.
    pub(crate) fn note(&mut self, what: &str) {
        self.say(what);
        self.notes.push(what.to_owned());
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

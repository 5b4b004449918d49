//! Code that the engine did not write: it panics, it blocks, it calls the engine again. Nobody but
//! whoever brought it may notice. `docs/foreign-code.md` has the table of all places.

#[path = "../common/mod.rs"]
mod common;

mod callers;
mod journal;
mod listeners;
#[path = "../../src/journal/storage/pass_on.rs"]
mod pass_on;
mod policies;
mod sinks;
mod wakers;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use stockade::{Flush, Health, InventoryManager, WeakInventoryManager};

/// Long enough for anything that comes at all.
const SOON: Duration = Duration::from_secs(20);

/// Whether the engine is degraded for a reason that has this word.
fn is_degraded(manager: &InventoryManager, word: &str) -> bool {
    matches!(manager.health(), Health::Degraded { reason } if reason.contains(word))
}

/// The engine, for what is handed to its builder. Set once it is built.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Option<WeakInventoryManager>>>);

impl Later {
    fn set(&self, manager: &InventoryManager) {
        *self.0.lock().expect("no panic") = Some(manager.downgrade());
    }

    /// The engine, to the first who asks after it was set.
    fn take(&self) -> Option<InventoryManager> {
        self.0.lock().expect("no panic").take()?.upgrade()
    }
}

/// An error whose text can't be had.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl Error for Unspeakable {}

/// A waker that runs a function.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Calls(call)))
}

fn poll(flush: &mut Flush, waker: &Waker) -> Poll<Result<(), stockade::FlushError>> {
    Pin::new(flush).poll(&mut Context::from_waker(waker))
}

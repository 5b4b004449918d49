//! The one door to threads. The machine may grant none: then a caller gets the system's error, or
//! its work is done on the thread that it has. No thread pool outlives the call that started it.

use std::io;
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Starts a thread of this name.
///
/// # Errors
/// The system's, if it grants no thread: there are too many, or there is no memory for its stack.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(granted(work)?)
}

/// As [`spawn`], for a thread that ends within `scope`.
pub(crate) fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().name(name.to_owned()).spawn_scoped(scope, granted(work)?)
}

/// The result of a thread that has ended. If it panicked, goes on with its panic, as if its work
/// had been done here: a panic is a fault of the code that ran, and says nothing about what it
/// read.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Applies `each` to all items, in a pool of so many `threads` that ends with the call, and returns
/// the results in the items' order. For fewer than two threads, or if the machine does not grant
/// them, the calling thread does the work. A panic of `each` is the caller's.
///
/// The pool is the call's own: the global one, once it could not be made, stays broken for the life
/// of the process, and its threads keep the niceness of whoever asked first.
#[cfg(feature = "journal")]
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    each: impl Fn(&T) -> R + Send + Sync,
) -> Vec<R> {
    use rayon::prelude::*;
    if threads < 2 {
        return items.iter().map(each).collect();
    }
    let started = |thread: rayon::ThreadBuilder| spawn("stockade-hash", || thread.run()).map(drop);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).spawn_handler(started).build();
    match pool {
        Ok(pool) => pool.install(|| items.par_iter().map(each).collect()),
        Err(_) => items.iter().map(each).collect(),
    }
}

#[cfg(not(any(test, feature = "testing")))]
#[expect(clippy::unnecessary_wraps, reason = "tests refuse threads here")]
fn granted<W>(work: W) -> io::Result<W> {
    Ok(work)
}

#[cfg(any(test, feature = "testing"))]
use refusals::granted;
#[cfg(feature = "testing")]
pub use refusals::refuse_threads;

#[cfg(any(test, feature = "testing"))]
mod refusals {
    use std::cell::RefCell;
    use std::io;
    use std::ops::Range;
    use std::sync::{Arc, Mutex, PoisonError};

    /// How many threads were asked for, and which of these are refused.
    struct ThreadRefusals {
        asked: Mutex<usize>,
        refused: Range<usize>,
    }

    thread_local! {
        /// Of this thread, and of those that it starts.
        static REFUSALS: RefCell<Option<Arc<ThreadRefusals>>> = const { RefCell::new(None) };
    }

    /// Runs `call`, and lets the system refuse some of the threads that the engine asks for in it:
    /// of all that this thread and those that it starts ask for, counted from 0, the ones in
    /// `refused`. Returns what `call` returned, and how many threads were asked for by then.
    /// Threads that `call` left running are still counted.
    ///
    /// ```
    /// use stockade::testing::refuse_threads;
    /// use stockade::{BuildError, InventoryManager};
    /// let build = || InventoryManager::builder().warehouse("SF").build();
    /// let (built, asked) = refuse_threads(0..usize::MAX, build);
    /// assert!(matches!(built, Err(BuildError::Thread { .. })) && asked == 1);
    /// assert!(build().is_ok());
    /// ```
    pub fn refuse_threads<T>(refused: Range<usize>, call: impl FnOnce() -> T) -> (T, usize) {
        let refusals = Arc::new(ThreadRefusals { asked: Mutex::new(0), refused });
        let before = REFUSALS.replace(Some(Arc::clone(&refusals)));
        let returned = call();
        REFUSALS.set(before);
        let asked = *refusals.asked.lock().unwrap_or_else(PoisonError::into_inner);
        (returned, asked)
    }

    /// The work of a thread that is granted. The thread hands the refusals on.
    pub(super) fn granted<T>(work: impl FnOnce() -> T) -> io::Result<impl FnOnce() -> T> {
        let refusals = REFUSALS.try_with(|it| it.borrow().clone()).ok().flatten();
        if let Some(refusals) = &refusals {
            let mut asked = refusals.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let number = *asked;
            *asked += 1;
            if refusals.refused.contains(&number) {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "a test refuses a thread"));
            }
        }
        Ok(move || {
            REFUSALS.set(refusals);
            work()
        })
    }
}

#[cfg(all(test, feature = "journal", not(loom)))]
mod tests {
    use super::refusals::refuse_threads;
    use super::*;

    #[test]
    fn a_map_has_all_results_in_order_however_many_threads_there_are() {
        for items in [0, 1, 7, 1_000] {
            let items: Vec<u64> = (0..items).collect();
            let doubled: Vec<u64> = items.iter().map(|it| it * 2).collect();
            for refused in [0..0, 0..1, 1..2, 0..9] {
                let call = || map(&items, 3, |it| it * 2);
                assert_eq!(refuse_threads(refused, call).0, doubled);
            }
        }
    }

    #[test]
    fn a_panic_of_a_helper_is_the_callers() {
        let all = || map(&[1, 2, 3], 2, |it| assert!(*it != 2, "two"));
        assert!(std::panic::catch_unwind(all).is_err());
    }
}

//! Calls of code that the engine did not write: wakers, sinks, storages, listeners, subscribers.
//! `docs/foreign-code.md` lists all of them.
//!
//! Three things may go wrong there. It panics: [`call`] catches that where it is called, so that no
//! thread of the engine ends and no neighbour waits for ever. It blocks: a [`Watch`] notices, for
//! `health`. It calls the engine again: so it is called under no lock, which [`later`] sees to
//! where the caller can't know.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::base::sync::{Mutex, lock};

/// Calls foreign code, and catches its panic. The error says what the panic said. What the code
/// returns and owns must be dropped in `code`, too: destructors are foreign.
///
/// Unwind safe, because the code sees nothing of the engine's half changed; its own state is its
/// own affair.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(text_of)
}

/// What a panic said.
fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    // The payload is foreign, and may panic when it is dropped. That second payload is leaked.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(second);
    }
    text.unwrap_or_else(|| "no text".to_owned())
}

type LaterCall = Box<dyn FnOnce()>;

thread_local! {
    /// How many [`PutAside`]s this thread has.
    static ASIDE: Cell<usize> = const { Cell::new(0) };
    static CALLS: RefCell<Vec<LaterCall>> = const { RefCell::new(Vec::new()) };
    /// The engine whose sink this thread is in, by the address of its recorder; 0 for none.
    static IN_SINK_OF: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, what this thread calls by [`later`] is put aside. Its drop makes these calls. To
/// be declared before the guards of locks, so that it is dropped after them.
#[must_use = "dropped at once, it puts nothing aside"]
pub(crate) struct PutAside(PhantomData<*const ()>);

/// See [`PutAside`].
pub(crate) fn put_aside() -> PutAside {
    ASIDE.set(ASIDE.get() + 1);
    PutAside(PhantomData)
}

impl Drop for PutAside {
    fn drop(&mut self) {
        ASIDE.set(ASIDE.get() - 1);
        // In a destructor of a thread-local there may be none; then nothing was put aside.
        while ASIDE.get() == 0
            && let Ok(calls) = CALLS.try_with(RefCell::take)
            && !calls.is_empty()
        {
            for call in calls {
                let _ = self::call(call);
            }
        }
    }
}

/// Calls foreign code: now, or once this thread holds no lock any more; see [`PutAside`].
pub(crate) fn later(code: impl FnOnce() + 'static) {
    let mut code: Option<LaterCall> = Some(Box::new(code));
    if ASIDE.get() > 0 {
        let _ = CALLS.try_with(|calls| calls.borrow_mut().extend(code.take()));
    }
    if let Some(code) = code {
        let _ = call(code);
    }
}

/// Runs `code`, which calls the sink of this engine.
pub(crate) fn in_sink_of<T>(engine: usize, code: impl FnOnce() -> T) -> T {
    struct Outside(usize);
    impl Drop for Outside {
        fn drop(&mut self) {
            IN_SINK_OF.set(self.0);
        }
    }
    let _outside = Outside(IN_SINK_OF.replace(engine));
    code()
}

/// Whether this thread is in the sink of this engine: it must not wait for the writer, which is
/// itself.
pub(crate) fn is_in_sink_of(engine: usize) -> bool {
    IN_SINK_OF.get() == engine
}

/// Notices foreign code that takes long.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When each call that is under way began. There is one for each thread at most.
    calls: Mutex<WatchedCalls>,
}

#[derive(Debug, Default)]
struct WatchedCalls {
    newest: u64,
    under_way: Vec<(u64, Instant)>,
}

impl Watch {
    /// Calls `code`, and watches how long it takes.
    pub(crate) fn over<T>(&self, code: impl FnOnce() -> T) -> T {
        struct UnderWay<'a>(&'a Watch, u64);
        impl Drop for UnderWay<'_> {
            fn drop(&mut self) {
                lock(&self.0.calls).under_way.retain(|(number, _)| *number != self.1);
            }
        }
        let number = {
            let mut calls = lock(&self.calls);
            calls.newest += 1;
            let number = calls.newest;
            calls.under_way.push((number, Instant::now()));
            number
        };
        let _under_way = UnderWay(self, number);
        code()
    }

    /// How long the oldest call under way has taken, if that is longer than `limit`.
    pub(crate) fn longer_than(&self, limit: Duration) -> Option<Duration> {
        let oldest = lock(&self.calls).under_way.first().map(|(_, began)| *began)?;
        Some(oldest.elapsed()).filter(|taken| *taken > limit)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::panic_any;
    use std::rc::Rc;
    use std::sync::mpsc::channel;
    use std::{sync::Arc, thread};

    /// A panic that panics again.
    struct Again;

    impl Drop for Again {
        fn drop(&mut self) {
            panic!("a second time");
        }
    }

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(call(|| 7), Ok(7));
        assert_eq!(call(|| panic!("a text")), Err::<(), _>("a text".to_owned()));
        assert_eq!(call(|| panic!("{} texts", 2)), Err::<(), _>("2 texts".to_owned()));
        assert_eq!(call(|| panic_any(Again)), Err::<(), _>("no text".to_owned()));
    }

    #[test]
    fn what_is_put_aside_is_called_once_no_lock_is_held() {
        let calls = Rc::new(Cell::new(0));
        let note = |calls: &Rc<Cell<u32>>| {
            let calls = Rc::clone(calls);
            later(move || calls.set(calls.get() + 1));
        };
        note(&calls);
        assert_eq!(calls.get(), 1);
        let outer = put_aside();
        let inner = put_aside();
        note(&calls);
        later(|| panic!("a bug"));
        let again = Rc::clone(&calls);
        later(move || {
            // A call may put its own calls aside.
            let _aside = put_aside();
            later(move || again.set(again.get() + 10));
        });
        drop(inner);
        assert_eq!(calls.get(), 1);
        drop(outer);
        assert_eq!(calls.get(), 12);
    }

    #[test]
    fn a_sink_knows_that_it_is_one() {
        assert!(!is_in_sink_of(7));
        let caught = call(|| in_sink_of(7, || assert!(!is_in_sink_of(7) || is_in_sink_of(8))));
        assert!(caught.is_err() && !is_in_sink_of(7));
    }

    #[test]
    fn a_watch_tells_of_the_oldest_call_under_way() {
        let watch = Arc::new(Watch::default());
        assert_eq!(watch.longer_than(Duration::ZERO), None);
        let (release, released) = channel::<()>();
        let blocked = thread::spawn({
            let watch = Arc::clone(&watch);
            move || {
                watch.over(|| {
                    let _ = released.recv();
                })
            }
        });
        while watch.longer_than(Duration::from_millis(10)).is_none() {
            thread::yield_now();
        }
        // A later call, and one that panics, change nothing.
        watch.over(|| ());
        assert!(call(|| watch.over(|| panic!("a bug"))).is_err());
        assert!(watch.longer_than(Duration::from_millis(10)).is_some());
        assert_eq!(watch.longer_than(Duration::from_secs(3_600)), None);
        drop(release);
        blocked.join().expect("no panic");
        assert_eq!(watch.longer_than(Duration::ZERO), None);
    }
}

//! Clocks that do something in the middle of a call: they stop a caller before it reads the time or
//! while it does, or make other calls meanwhile.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

use stockade::{Clock, Timestamp};

/// The only time that these clocks show.
const NOW: Timestamp = Timestamp::from_millis(1_000);

/// A clock that makes all callers wait while it is shut.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    shut: bool,
    waiting: usize,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.state.lock().expect("no panic").shut = true;
    }

    /// Opens once `callers` threads wait.
    pub(crate) fn open_for(&self, callers: usize) {
        let state = self.state.lock().expect("no panic");
        let enough = |state: &mut GateState| state.waiting < callers;
        self.changed.wait_while(state, enough).expect("no panic").shut = false;
        self.changed.notify_all();
    }
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        let mut state = self.state.lock().expect("no panic");
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.shut).expect("no panic");
        state.waiting -= 1;
        NOW
    }
}

/// A clock that stops one thread, when that thread reads the time for the second time.
#[derive(Default)]
pub(crate) struct Turnstile {
    state: Mutex<TurnstileState>,
    changed: Condvar,
}

#[derive(Default)]
struct TurnstileState {
    who: Option<ThreadId>,
    looks: u32,
    order: Option<Order>,
}

#[derive(Clone, Copy)]
enum Order {
    GoOn,
    Panic,
}

impl Turnstile {
    /// Selects the calling thread.
    pub(crate) fn stop_my_second_look(&self) {
        self.lock().who = Some(thread::current().id());
    }

    pub(crate) fn wait_until_stopped(&self) {
        let state = self.lock();
        let state = self.changed.wait_while(state, |state| state.looks < 2);
        drop(state.expect("no panic"));
    }

    pub(crate) fn go_on(&self) {
        self.give(Order::GoOn);
    }

    /// Makes the stopped read panic.
    pub(crate) fn blow_up(&self) {
        self.give(Order::Panic);
    }

    fn give(&self, order: Order) {
        self.lock().order = Some(order);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, TurnstileState> {
        self.state.lock().expect("no panic")
    }
}

impl Clock for Turnstile {
    fn now(&self) -> Timestamp {
        let mut state = self.lock();
        if state.who != Some(thread::current().id()) {
            return NOW;
        }
        state.looks += 1;
        self.changed.notify_all();
        let mut order = None;
        if state.looks == 2 {
            let stopped = self.changed.wait_while(state, |state| state.order.is_none());
            order = stopped.expect("no panic").order;
        }
        if let Some(Order::Panic) = order {
            panic!("the clock is broken");
        }
        NOW
    }
}

/// A clock that does something in the middle of a call, once: when it is read the next time after
/// it was armed.
#[derive(Default)]
pub(crate) struct Trap(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Trap {
    pub(crate) fn arm(&self, work: impl FnOnce() + Send + 'static) {
        *self.0.lock().expect("no panic") = Some(Box::new(work));
    }

    /// Whether the clock was not read since it was armed.
    pub(crate) fn is_armed(&self) -> bool {
        self.0.lock().expect("no panic").is_some()
    }
}

impl Clock for Trap {
    fn now(&self) -> Timestamp {
        // The work reads the clock, too.
        let work = self.0.lock().expect("no panic").take();
        if let Some(work) = work {
            work();
        }
        NOW
    }
}

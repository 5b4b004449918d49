use super::*;
use crate::policy::alerts::{Listeners, Scope};
use crate::stock::handle::WarehouseIndex;
use crate::stock::tag::EngineTag;
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

const SOON: Duration = Duration::from_secs(10);

/// An engine that has only alerts: each level has its crossings and whether it is queued.
struct StubEngine {
    dispatcher: AlertDispatcher,
    listeners: Listeners,
    crossings: Mutex<HashMap<u32, u32>>,
}

impl StubEngine {
    fn new() -> Arc<Self> {
        let (dispatcher, listeners) = (AlertDispatcher::new(), Listeners::new(EngineTag::NOBODY));
        Arc::new(Self { dispatcher, listeners, crossings: Mutex::default() })
    }

    fn started() -> Arc<Self> {
        let engine = Self::new();
        engine.start();
        engine
    }

    fn start(self: &Arc<Self>) {
        let engine: Arc<dyn AlertSource> = Arc::<Self>::clone(self);
        self.dispatcher.start(Arc::downgrade(&engine)).expect("a thread");
    }

    fn cross(&self, level: u32) {
        let crossings = {
            let mut levels = self.crossings.lock().expect("no panic");
            let crossings = levels.entry(level).or_default();
            *crossings += 1;
            *crossings
        };
        if crossings == 1 {
            self.dispatcher.raise(LevelIndex(level));
        }
    }

    fn listen(&self, hear: impl Fn(&StockAlert) + Send + Sync + 'static) {
        self.listeners.add(Scope::Everywhere, Arc::new(Hears(hear)));
    }

    /// What the listeners hear from now on: the level (as the product's name) and its crossings.
    fn heard(&self) -> Receiver<(String, u32)> {
        let (sender, receiver): (Sender<_>, _) = mpsc::channel();
        self.listen(move |alert| {
            let _ = sender.send((alert.product.to_string(), alert.crossings));
        });
        receiver
    }
}

impl AlertSource for StubEngine {
    fn take_alert(&self, level: LevelIndex) -> Option<StockAlert> {
        let crossings = self.crossings.lock().expect("no panic").remove(&level.0)?;
        let mut alert = StockAlert::new("SF", level.0.to_string(), 1, 5);
        alert.crossings = crossings;
        Some(alert)
    }

    fn listeners(&self, _: LevelIndex) -> Vec<Arc<dyn StockAlertListener>> {
        self.listeners.of(WarehouseIndex(0))
    }
}

struct Hears<F>(F);

impl<F: Fn(&StockAlert) + Send + Sync + 'static> StockAlertListener for Hears<F> {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {
        unreachable!("the dispatcher calls on_alert");
    }
    fn on_alert(&self, alert: &StockAlert) {
        (self.0)(alert);
    }
}

/// A panic without the default hook's lines.
fn fail() -> ! {
    std::panic::resume_unwind(Box::new("the listener failed"))
}

/// A listener that reports when it begins and returns once the gate is dropped or sent through.
fn gated(engine: &StubEngine) -> (Receiver<()>, Sender<()>) {
    let (began, has_began) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let opened = Mutex::new(opened);
    engine.listen(move |_| {
        let _ = began.send(());
        let _ = opened.lock().expect("no panic").recv();
    });
    (has_began, gate)
}

#[test]
fn an_alert_is_delivered_by_a_thread_of_its_own() {
    let engine = StubEngine::started();
    let (sender, names) = mpsc::channel();
    engine.listen(move |_| {
        let _ = sender.send(thread::current().name().map(String::from));
    });
    let heard = engine.heard();
    for level in 0..100 {
        engine.cross(level);
        assert_eq!(heard.recv_timeout(SOON), Ok((level.to_string(), 1)));
        assert_eq!(names.recv_timeout(SOON), Ok(Some("stockade-alerts".into())));
    }
    assert_eq!(engine.dispatcher.shutdown(SOON), 0);
    assert!(engine.dispatcher.has_ended());
}

#[test]
fn no_alert_is_lost_however_the_thread_sleeps_and_wakes() {
    let engine = StubEngine::started();
    let heard = engine.heard();
    thread::scope(|scope| {
        for thread in 0..3 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..2_000 {
                    engine.cross(thread * 10 + round % 10);
                    // Long enough for the dispatcher to park in between, at times.
                    (0..round % 64 * 8).for_each(|_| crate::base::sync::spin_loop());
                }
            });
        }
    });
    let mut crossings = 0;
    while crossings < 6_000 {
        crossings += heard.recv_timeout(SOON).expect("an alert was lost").1;
    }
    assert_eq!(crossings, 6_000);
}

#[test]
fn the_thread_looks_once_more_before_it_sleeps() {
    let (raised, told) = (AlertDispatcher::new(), AlertDispatcher::new());
    // Both came after the thread's last look, and before it announced that it sleeps: nobody wakes
    // it.
    raised.raise(LevelIndex(1));
    told.shared.order(orders::DRAIN);
    for dispatcher in [raised, told] {
        let (sender, returned) = mpsc::channel();
        thread::spawn(move || {
            dispatcher.shared.park();
            let _ = sender.send(());
        });
        returned.recv_timeout(SOON).expect("it sleeps with something to do");
    }
}

#[test]
fn a_slow_listener_costs_no_more_than_an_entry_a_level() {
    let engine = StubEngine::started();
    let (began, gate) = gated(&engine);
    let heard = engine.heard();
    engine.cross(1);
    began.recv_timeout(SOON).expect("the listener is called");
    for _ in 0..1_000 {
        (1..=3).for_each(|level| engine.cross(level));
    }
    assert_eq!(engine.dispatcher.backlog(), 4, "level 1 in hand, and levels 1 to 3 queued");
    drop(gate);
    let expected = [("1", 1), ("1", 1_000), ("2", 1_000), ("3", 1_000)];
    for (level, crossings) in expected {
        assert_eq!(heard.recv_timeout(SOON), Ok((level.into(), crossings)));
    }
    assert_eq!(engine.dispatcher.shutdown(SOON), 0);
}

#[test]
fn a_listener_that_panics_harms_nobody() {
    let engine = StubEngine::started();
    engine.listen(|_| fail());
    let heard = engine.heard();
    engine.listen(|_| fail());
    for level in 0..3 {
        engine.cross(level);
        assert_eq!(heard.recv_timeout(SOON), Ok((level.to_string(), 1)));
    }
    assert_eq!((engine.dispatcher.shutdown(SOON), engine.dispatcher.panics()), (0, 6));
}

/// Panics again when its payload is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        fail();
    }
}

#[test]
fn not_even_a_panic_that_panics_stops_the_desk() {
    let engine = StubEngine::started();
    engine.listen(|_| std::panic::resume_unwind(Box::new(Bomb)));
    let heard = engine.heard();
    (0..2).for_each(|level| engine.cross(level));
    assert_eq!(heard.recv_timeout(SOON), Ok(("0".into(), 1)));
    assert_eq!(heard.recv_timeout(SOON), Ok(("1".into(), 1)));
}

#[test]
fn a_listener_may_call_the_engine() {
    let engine = StubEngine::started();
    let own = Arc::downgrade(&engine);
    engine.listen(move |alert| {
        let engine = own.upgrade().expect("still there");
        if &*alert.product == "1" {
            // Register, remove and raise, from within.
            let id = engine.listeners.add(Scope::Everywhere, Arc::new(Hears(|_: &_| ())));
            assert_eq!(engine.listeners.remove(id), Some(true));
            engine.cross(1_000);
        }
    });
    let heard = engine.heard();
    engine.cross(1);
    assert_eq!(heard.recv_timeout(SOON), Ok(("1".into(), 1)));
    assert_eq!(heard.recv_timeout(SOON), Ok(("1000".into(), 1)));
    assert_eq!(engine.dispatcher.panics(), 0);
}

#[test]
fn a_shutdown_delivers_what_is_queued() {
    let engine = StubEngine::new();
    let heard = engine.heard();
    (0..50).for_each(|level| engine.cross(level));
    assert_eq!(engine.dispatcher.shutdown(SOON), 50, "without a thread nothing is delivered");
    engine.start();
    assert_eq!(engine.dispatcher.shutdown(SOON), 0);
    assert_eq!(heard.try_iter().count(), 50);
}

#[test]
fn a_desk_starts_once() {
    let engine = StubEngine::started();
    assert_eq!(engine.dispatcher.shutdown(SOON), 0);
    engine.start();
    assert!(engine.dispatcher.has_ended(), "it ran again after its shutdown");
}

#[test]
fn a_shutdown_leaves_a_stuck_listener_behind() {
    let engine = StubEngine::started();
    let (began, gate) = gated(&engine);
    let heard = engine.heard();
    (0..3).for_each(|level| engine.cross(level));
    began.recv_timeout(SOON).expect("the listener is called");
    assert_eq!(engine.dispatcher.shutdown(Duration::from_millis(10)), 3);
    assert!(!engine.dispatcher.has_ended());
    // Once it returns, the alert in hand goes to the other listener, and no other is begun.
    drop(gate);
    assert!(engine.dispatcher.shared.wait_for_end(SOON));
    assert_eq!((heard.try_iter().count(), engine.dispatcher.backlog()), (1, 2));
}

#[test]
fn a_stuck_listener_keeps_neither_the_engine_nor_its_drop() {
    let engine = StubEngine::started();
    let (began, gate) = gated(&engine);
    engine.cross(1);
    began.recv_timeout(SOON).expect("the listener is called");
    let shared = Arc::clone(&engine.dispatcher.shared);
    assert!(Arc::into_inner(engine).is_some(), "the delivery thread holds the engine");
    assert_eq!(*shared.phase(), ThreadPhase::Running);
    drop(gate);
    assert!(shared.wait_for_end(SOON));
}

#[test]
fn an_idle_desk_ends_with_its_engine() {
    let engine = StubEngine::started();
    let shared = Arc::clone(&engine.dispatcher.shared);
    drop(engine);
    assert!(shared.wait_for_end(SOON));
}

#[test]
fn a_listener_that_shuts_the_desk_down_does_not_wait_for_itself() {
    let engine = StubEngine::started();
    let (sender, took) = mpsc::channel();
    let own = Arc::downgrade(&engine);
    engine.listen(move |_| {
        let engine = own.upgrade().expect("still there");
        let began = Instant::now();
        engine.dispatcher.shutdown(SOON);
        let _ = sender.send(began.elapsed());
    });
    engine.cross(1);
    let took = took.recv_timeout(2 * SOON).expect("the listener is called");
    assert!(took < SOON / 2, "{took:?}");
    assert_eq!(engine.dispatcher.shutdown(SOON), 0);
}

#[test]
fn without_a_thread_alerts_are_delivered_step_by_step() {
    let engine = StubEngine::new();
    let own = Arc::downgrade(&engine);
    engine.listen(move |alert| {
        // Raises itself again. That waits for the next step, or this would never end.
        let level = alert.product.parse().expect("a number");
        own.upgrade().expect("still there").cross(level);
    });
    let heard = engine.heard();
    (0..3).for_each(|level| engine.cross(level));
    assert_eq!(engine.dispatcher.backlog(), 3);
    assert_eq!(heard.try_iter().count(), 0);
    assert_eq!(engine.dispatcher.deliver_pending(&*engine), 3);
    assert_eq!(heard.try_iter().count(), 3);
    assert_eq!(engine.dispatcher.backlog(), 3);
    assert_eq!(engine.dispatcher.deliver_pending(&*engine), 3);
}

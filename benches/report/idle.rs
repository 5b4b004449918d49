//! The cost of an idle engine, and of the parts that every engine consists of.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::Scale;
use crate::common::engine::Engine;
use crate::common::floor::PARTS;
use crate::common::ledger::{About, Durability, Ledger};
use crate::common::machine::own_cpu_time;
use crate::common::median::median;
use crate::progress::Progress;
use crate::row::{Row, Section};

/// What an idle engine's row says.
pub(crate) const IDLE: &str = "nobody calls";

/// The parts, each by itself.
pub(crate) fn floor(scale: Scale, progress: &mut Progress) -> Vec<Row> {
    progress.say("the floor");
    let times = scale.pick(1_000, 200_000, 2_000_000);
    let part = |(name, part): &(&'static str, fn(u64) -> Duration)| {
        part(times / 10);
        let spans = (0..5).map(|_| times as f64 / part(times).as_secs_f64());
        let about = About {
            engine: "the machine",
            setup: String::new(),
            durability: Durability::InMemory,
            guarantees: "",
        };
        let per_second = median(&spans.collect::<Vec<_>>());
        Row { per_second, turns: 5, ..Row::new(Section::Floor, *name, &about) }
    };
    PARTS.iter().map(part).collect()
}

/// The fraction of a core that an idle engine uses. In the report's terms, it is a rate of
/// core-seconds.
pub(crate) fn idle(scale: Scale, progress: &mut Progress) -> Vec<Row> {
    progress.say("an idle engine");
    let span = Duration::from_millis(scale.pick(50, 1_000, 5_000));
    let engine = Engine::open(Durability::InMemory, &[10]);
    // An engine counts as idle once its writer sleeps.
    thread::sleep(scale.pick(Duration::ZERO, Duration::from_millis(1_500), Duration::from_secs(2)));
    let (Some(before), began) = (own_cpu_time(), Instant::now()) else { return Vec::new() };
    thread::sleep(span);
    let Some(after) = own_cpu_time() else { return Vec::new() };
    let used = after.saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
    let about = engine.about();
    vec![Row { live: 0, idle_cores: Some(used), ..Row::new(Section::Idle, IDLE, &about) }]
}

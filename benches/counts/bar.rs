//! The checked-in counts, and how far new ones may be from them.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::counts::{Cost, Counts, Work};

/// The file's name, beside the benches.
const FILE: &str = "counts.txt";
/// The change that counts as one.
const SLACK: f64 = 0.02;
/// Where records go through buffers of a pool: whether one is there depends on how far the writer
/// is, and with a journal on how far the disk is.
const SLACK_OF_BUFFERS: f64 = 0.05;
/// A writer naps when there is nothing to do, by the clock, so its count is less steady.
const WRITERS_SLACK: f64 = 0.06;
/// Where two threads take and give memory at once, they meet at the allocator's locks, or don't.
const LOCKED_SLACK: f64 = 0.05;
const WRITERS_LOCKED_SLACK: f64 = 0.12;
/// Changes below that are noise, whatever their part of the whole.
const NOISE: f64 = 0.1;
const WRITERS_NOISE: f64 = 25.0;

/// The counts of an earlier state of the code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bar {
    /// What they were counted with: another compiler makes other instructions.
    made_by: String,
    /// By the name of the work: of the caller and of the writer.
    rows: Vec<(String, [Cost; 2])>,
}

/// A count that is not where it was.
pub(crate) struct Judged {
    pub(crate) text: String,
    pub(crate) worse: bool,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

/// The compiler and the kind of processor.
fn maker() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("-V").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("{}, {}", version.unwrap_or_default(), std::env::consts::ARCH)
}

impl Bar {
    pub(crate) fn of(counted: &[Counts]) -> Self {
        let row = |counts: &Counts| {
            (counts.work.name().to_owned(), [rounded(counts.caller), rounded(counts.writer)])
        };
        Self { made_by: maker(), rows: counted.iter().map(row).collect() }
    }

    /// The file's, or an empty one if there is none.
    pub(crate) fn read() -> Result<Self, String> {
        match fs::read_to_string(path()) {
            Ok(text) => Self::parse(&text),
            Err(_) => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut bar = Self::default();
        for line in text.lines() {
            if let Some(made_by) = line.strip_prefix("# counted with ") {
                made_by.clone_into(&mut bar.made_by);
            } else if !line.starts_with('#') && !line.is_empty() {
                bar.rows.push(row(line).ok_or(format!("{FILE}: not a row: {line}"))?);
            }
        }
        Ok(bar)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "# What calls cost: instructions, locked ones and fences, of the caller and of the writer.\n\
             # Made by `cargo bench --bench counts -- --write`.\n# counted with {}\n",
            self.made_by
        );
        for (name, costs) in &self.rows {
            let _ = write!(text, "{name}:");
            for cost in costs {
                let part = |part: Option<f64>| part.map_or("-".to_owned(), |p| format!("{p:.2}"));
                let (locked, fences) = (part(cost.locked), part(cost.fences));
                let _ = write!(text, " {:.0} {locked} {fences}", cost.instructions);
            }
            text.push('\n');
        }
        text
    }

    /// Writes the file. Rows of `before` that were not counted now stay.
    pub(crate) fn write(mut self, before: &Self) -> Result<(), String> {
        let mut rows = before.rows.clone();
        for (name, costs) in self.rows {
            match rows.iter_mut().find(|row| row.0 == name) {
                Some(row) => row.1 = costs,
                None => rows.push((name, costs)),
            }
        }
        self.rows = rows;
        fs::write(path(), self.text()).map_err(|error| error.to_string())
    }

    /// Why these counts say nothing about those of this build.
    pub(crate) fn does_not_apply(&self) -> Option<String> {
        let maker = maker();
        match () {
            () if self.rows.is_empty() => Some(format!("there is no {FILE}")),
            () if self.made_by != maker => {
                Some(format!("{FILE} was counted with {}, and this is {maker}", self.made_by))
            }
            () => None,
        }
    }

    /// The counts of this work, of the caller and the writer.
    pub(crate) fn of_work(&self, name: &str) -> Option<(Cost, Cost)> {
        let row = self.rows.iter().find(|row| row.0 == name)?;
        Some((row.1[0], row.1[1]))
    }

    /// What is not where it was.
    pub(crate) fn judge(&self, counts: &Counts) -> Vec<Judged> {
        let name = counts.work.name();
        let Some((caller, writer)) = self.of_work(name) else {
            let text = format!("{name}: has no row in {FILE}");
            return vec![Judged { text, worse: true }];
        };
        let steady =
            [Work::LoopAlone, Work::Pair, Work::BufferedPair, Work::Refused, Work::Released];
        let slack = if steady.contains(&counts.work) { SLACK } else { SLACK_OF_BUFFERS };
        let instructions = |cost: Cost| Some(cost.instructions);
        let locked = |cost: Cost| Some(cost.locked? + cost.fences?);
        let of = |part: &dyn Fn(Cost) -> Option<f64>, (slack, noise), before, now| {
            moved(part(before)?, part(now)?, slack, noise)
        };
        let (now, writer_now) = (counts.caller, counts.writer);
        let noise = WRITERS_NOISE;
        [
            ("instructions", of(&instructions, (slack, NOISE), caller, now)),
            ("locked ones and fences", of(&locked, (LOCKED_SLACK, NOISE), caller, now)),
            (
                "writer's instructions",
                of(&instructions, (WRITERS_SLACK, noise), writer, writer_now),
            ),
            (
                "writer's locked ones",
                of(&locked, (WRITERS_LOCKED_SLACK, NOISE), writer, writer_now),
            ),
        ]
        .into_iter()
        .filter_map(|(what, moved)| {
            let (text, worse) = moved?;
            Some(Judged { text: format!("{name}: {what} {text}"), worse })
        })
        .collect()
    }
}

/// What to say of a count that moved, and whether it is worse.
fn moved(before: f64, now: f64, slack: f64, noise: f64) -> Option<(String, bool)> {
    let allowed = (before * slack).max(noise);
    let by = format!("from {before:.2} to {now:.2}");
    match now - before {
        more if more > allowed => Some((format!("GREW {by}"), true)),
        less if less < -allowed => Some((format!("fell {by}: lower the bar"), false)),
        _ => None,
    }
}

/// As the file has it.
fn rounded(cost: Cost) -> Cost {
    let part = |part: f64| (part * 100.0).round() / 100.0;
    Cost {
        instructions: cost.instructions.round(),
        locked: cost.locked.map(part),
        fences: cost.fences.map(part),
    }
}

/// A line such as `refused reserve: 210 1.00 0.00 0 0.00 0.00`.
fn row(line: &str) -> Option<(String, [Cost; 2])> {
    let (name, numbers) = line.rsplit_once(": ")?;
    let mut fields = numbers.split(' ');
    let mut cost = || {
        let instructions = fields.next()?.parse().ok()?;
        let mut part = || fields.next().map(|field| field.parse().ok());
        Some(Cost { instructions, locked: part()?, fences: part()? })
    };
    Some((name.to_owned(), [cost()?, cost()?]))
}

/// Proves that a count that grew is told from one that fell and one that stayed, and that a file is
/// read as it was written.
pub(crate) fn prove() {
    let moved = |now| moved(1_000.0, now, SLACK, NOISE);
    assert!(moved(1_019.0).is_none() && moved(981.0).is_none(), "within 2%");
    assert!(moved(1_021.0).is_some_and(|(_, worse)| worse), "more than 2% more");
    assert!(moved(979.0).is_some_and(|(_, worse)| !worse), "more than 2% less");
    let cost = Cost { instructions: 7.0, locked: Some(1.25), fences: None };
    let bar = Bar { made_by: "x".to_owned(), rows: vec![("a, b".to_owned(), [cost, cost])] };
    let read = Bar::parse(&bar.text()).expect("what was written");
    assert_eq!((&read.made_by, &read.rows), (&bar.made_by, &bar.rows), "as it was written");
}

//! Counts what a call costs: instructions, locked ones and fences, of the caller's thread and the
//! writer's. Other processes change these numbers hardly at all, so a small change of the code
//! shows where no clock would show it.
//!
//! The program runs itself under callgrind, twice, with different numbers of units. The caller is
//! counted from the first unit to the last one. The writer cannot be: what it does before, such as
//! for the warming up, cancels out in the difference of the two runs.

mod callgrind;
mod disassembly;
mod works;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::programs::{Folder, find};
use callgrind::{CALLER, Line, Profile, Run};
use disassembly::{Kinds, Special};
pub(crate) use works::Work;

/// The argument that makes this process the counted one.
const CHILD: &str = "--counted";
/// The longer run makes this many times the units of the shorter one.
const LONGER: u64 = 20;

/// What one thread does for a unit of work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    /// Instructions that lock a cache line, fences apart; `None` if nobody could tell them.
    pub(crate) locked: Option<f64>,
    /// Instructions that order all memory: `mfence`, and a locked one on the own stack.
    pub(crate) fences: Option<f64>,
}

/// What a unit of work costs.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) work: Work,
    pub(crate) caller: Cost,
    /// Of the other threads the one that did most: the audit writer.
    pub(crate) writer: Cost,
    /// Instructions for a unit by the function that they lie in, calls apart and the most first.
    pub(crate) by_function: [Vec<(String, f64)>; 2],
}

impl Counts {
    /// The least of two counts of the same work. Threads that meet, naps that end by the clock and
    /// pools that run dry make a count larger at times, and never smaller than the work is.
    pub(crate) fn least(self, other: Self) -> Self {
        let (less, more) = if self.caller.instructions <= other.caller.instructions {
            (self, other)
        } else {
            (other, self)
        };
        Self {
            caller: less.caller.least(more.caller),
            writer: less.writer.least(more.writer),
            ..less
        }
    }
}

impl Cost {
    fn least(self, other: Self) -> Self {
        let least = |one: Option<f64>, other: Option<f64>| Some(one?.min(other?));
        Self {
            instructions: self.instructions.min(other.instructions),
            locked: least(self.locked, other.locked),
            fences: least(self.fences, other.fences),
        }
    }
}

/// The child's part: does what it is told. Returns `false` if this process is not the child.
pub(crate) fn worked_as_child() -> bool {
    let mut arguments = std::env::args().skip_while(|argument| argument != CHILD).skip(1);
    let (Some(work), Some(units)) = (arguments.next(), arguments.next()) else { return false };
    let work = Work::named(&work).expect("a known work");
    work.run(units.parse().expect("a number"));
    true
}

/// Counts on this machine.
pub(crate) struct Counter {
    valgrind: PathBuf,
    objdump: Option<PathBuf>,
    program: PathBuf,
    folder: Folder,
}

impl Counter {
    /// A counter, or why nothing can be counted here.
    pub(crate) fn new() -> Result<Self, String> {
        let valgrind = find("valgrind", &[]).ok_or("valgrind is not installed")?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = Folder::new(None).map_err(|error| error.to_string())?;
        Ok(Self { valgrind, objdump: find("objdump", &[]), program, folder })
    }

    /// A folder on the disk, for the time of the counting.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Why locked instructions are not told from others, if they are not.
    pub(crate) fn blind_to_locks(&self) -> Option<&'static str> {
        match () {
            () if !cfg!(target_arch = "x86_64") => Some("only those of x86-64 are known"),
            () if self.objdump.is_none() => Some("objdump is not installed"),
            () => None,
        }
    }

    /// Counts a work by two runs, the shorter one with so many units.
    pub(crate) fn count(&self, work: Work, units: u64) -> Result<Counts, String> {
        let shorter = self.run(work, units)?;
        let longer = self.run(work, LONGER * units)?;
        let zero = Profile::default();
        let caller =
            Span { from: &zero, to: &longer.caller, thread: CALLER, units: LONGER * units };
        let others = longer.others.threads().map(|thread| Span {
            from: &shorter.others,
            to: &longer.others,
            thread,
            units: (LONGER - 1) * units,
        });
        let writer = others.max_by_key(|other| other.sum(|_| true));
        let writer = writer.ok_or("the engine has no thread")?;
        let mut kinds = self.blind_to_locks().is_none().then(Kinds::default);
        if let (Some(kinds), Some(objdump)) = (&mut kinds, &self.objdump) {
            kinds.add(objdump, [&longer.caller, &longer.others, &shorter.others])?;
        }
        Ok(Counts {
            work,
            caller: caller.cost(kinds.as_ref()),
            writer: writer.cost(kinds.as_ref()),
            by_function: [caller.by_function(), writer.by_function()],
        })
    }

    fn run(&self, work: Work, units: u64) -> Result<Run, String> {
        let output = self.folder.path().join("profile");
        let lengths = [CHILD.to_owned(), work.name().to_owned(), units.to_string()];
        let between = [works::BEGIN, works::END];
        callgrind::run(&self.valgrind, &self.program, &lengths, between, &output)
    }
}

/// What one thread did in one profile beyond another one.
struct Span<'a> {
    from: &'a Profile,
    to: &'a Profile,
    thread: u32,
    units: u64,
}

impl Span<'_> {
    /// How often those of its instructions ran that `counts` says.
    fn sum(&self, counts: impl Fn(&Line<'_>) -> bool) -> i64 {
        let of = |profile: &Profile| -> i64 {
            let lines = profile.lines(self.thread).filter(|line| counts(line));
            lines.map(|line| line.times as i64).sum()
        };
        of(self.to) - of(self.from)
    }

    fn cost(&self, kinds: Option<&Kinds>) -> Cost {
        // What one run did more of than the other by chance is less than nothing at times.
        let each = |sum: i64| sum.max(0) as f64 / self.units as f64;
        let special = |special: Special| {
            let kinds = kinds?;
            Some(each(self.sum(|line| kinds.of(line.object, line.address) == Some(special))))
        };
        Cost {
            instructions: each(self.sum(|_| true)),
            locked: special(Special::Locked),
            fences: special(Special::Fence),
        }
    }

    fn by_function(&self) -> Vec<(String, f64)> {
        let mut sums: HashMap<&str, i64> = HashMap::new();
        for (profile, sign) in [(self.from, -1), (self.to, 1)] {
            for line in profile.lines(self.thread) {
                *sums.entry(line.function).or_default() += sign * line.times as i64;
            }
        }
        let each = |(name, sum): (&str, i64)| (name.to_owned(), sum as f64 / self.units as f64);
        let mut sums: Vec<_> = sums.into_iter().map(each).collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        sums
    }
}

/// Proves on made-up texts that profiles and disassemblies are read as they are meant.
pub(crate) fn prove(folder: &Path) -> Result<(), String> {
    let path = folder.join("made-up");
    fs::write(&path, callgrind::EXAMPLE).map_err(|error| error.to_string())?;
    let mut profile = Profile::default();
    profile.read(&path)?;
    let own: u64 = profile.lines(4).map(|line| line.times).sum();
    assert_eq!(own, 12, "own instructions, without those of calls");
    let kinds = disassembly::EXAMPLE.map(|(line, _)| disassembly::parse(line));
    let meant = disassembly::EXAMPLE.map(|(_, kind)| kind);
    assert_eq!(kinds, meant, "locked instructions and fences");
    let cost = |instructions, locked| Cost { instructions, locked: Some(locked), fences: None };
    let counts = |caller, writer| {
        let by_function = [vec![("of".to_owned(), caller)], vec![]];
        Counts {
            work: Work::Pair,
            caller: cost(caller, writer),
            writer: cost(writer, 0.0),
            by_function,
        }
    };
    let least = counts(7.0, 3.0).least(counts(5.0, 4.0));
    assert_eq!((least.caller, least.writer), (cost(5.0, 3.0), cost(3.0, 0.0)), "the least of each");
    assert_eq!(least.by_function[0][0].1, 5.0, "and the functions of the less");
    Ok(())
}

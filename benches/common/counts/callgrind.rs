//! Runs a program under callgrind and reads how often each of its instructions ran, by threads.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How often one instruction ran.
pub(crate) struct Line<'a> {
    pub(crate) object: &'a str,
    pub(crate) function: &'a str,
    pub(crate) address: u64,
    pub(crate) times: u64,
}

/// The main thread. Callgrind numbers threads in the order of their start.
pub(crate) const CALLER: u32 = 1;

/// A number that stands for a name.
type NameId = usize;

/// How often the instructions of a program ran.
#[derive(Default)]
pub(crate) struct Profile {
    names: Vec<String>,
    numbers: HashMap<String, NameId>,
    /// By thread: object, function, address, and how often.
    threads: BTreeMap<u32, Vec<(NameId, NameId, u64, u64)>>,
}

impl Profile {
    pub(crate) fn threads(&self) -> impl Iterator<Item = u32> {
        self.threads.keys().copied()
    }

    pub(crate) fn lines(&self, thread: u32) -> impl Iterator<Item = Line<'_>> {
        let lines = self.threads.get(&thread).into_iter().flatten();
        lines.map(|(object, function, address, times)| Line {
            object: &self.names[*object],
            function: &self.names[*function],
            address: *address,
            times: *times,
        })
    }

    /// Adds what callgrind wrote about one thread.
    pub(crate) fn read(&mut self, path: &Path) -> Result<(), String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let (mut object, mut function) = (self.number("?"), self.number("?"));
        let mut lines = Vec::new();
        let mut thread = 1;
        let mut after_call = false;
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("thread: ") {
                thread = number.parse().map_err(|_| format!("a thread's number: {line}"))?;
            } else if let Some(name) = line.strip_prefix("ob=") {
                object = self.number(name);
            } else if let Some(name) = line.strip_prefix("fn=") {
                function = self.number(name);
            } else if line.starts_with("calls=") {
                after_call = true;
            } else if let Some(cost) = line.strip_prefix("0x") {
                // After a call stands what the callee cost in all. It stands with the callee too.
                if !std::mem::take(&mut after_call) {
                    let (address, times) = cost_of(cost).ok_or(format!("a cost: {line}"))?;
                    lines.push((object, function, address, times));
                }
            }
        }
        self.threads.entry(thread).or_default().extend(lines);
        Ok(())
    }

    fn number(&mut self, name: &str) -> NameId {
        let next = self.names.len();
        let number = *self.numbers.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.names.push(name.to_owned());
        }
        number
    }
}

/// Address and number of a line such as `0x1ce120 17`, without the `0x`.
fn cost_of(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let address = u64::from_str_radix(fields.next()?, 16).ok()?;
    Some((address, fields.next()?.parse().ok()?))
}

/// A profile as callgrind writes it: an instruction that ran seven times and one that ran five,
/// and between them a call that cost ninety.
pub(crate) const EXAMPLE: &str = "thread: 4\npositions: instr\nevents: Ir\n\nob=/a\nfn=f\n0x10 7\n\
    cfn=g\ncalls=3 0x90\n0x14 90\n0x18 5\n";

/// What a run of the program did.
pub(crate) struct Run {
    /// The main thread alone, between the two functions.
    pub(crate) caller: Profile,
    /// The other threads, all along.
    pub(crate) others: Profile,
}

/// Runs the program under callgrind. `between` are patterns of two functions that the main thread
/// calls. Files are written to names that begin with `output`.
pub(crate) fn run(
    valgrind: &Path,
    program: &Path,
    arguments: &[String],
    between: [&str; 2],
    output: &Path,
) -> Result<Run, String> {
    let output_flag = format!("--callgrind-out-file={}", output.display());
    let done = Command::new(valgrind)
        // Threads take turns under valgrind. In a fair order, the writer gets its turns as well.
        .args(["--tool=callgrind", "--fair-sched=try", "--separate-threads=yes"])
        .args(["--dump-instr=yes", "--dump-line=no", "--compress-pos=no", "--compress-strings=no"])
        .args(between.map(|function| format!("--dump-before={function}")))
        .arg(output_flag)
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(format!("valgrind failed, {}: {said}", done.status));
    }
    let mut run = Run { caller: Profile::default(), others: Profile::default() };
    for path in files(output).map_err(|error| error.to_string())? {
        // The first part is all before the first function, the second what lies between them.
        // At the end come the other threads, and the rest of the main thread.
        match path.extension().and_then(|part| part.to_str()) {
            Some("2-01") => run.caller.read(&path)?,
            Some(_) => {}
            None => run.others.read(&path)?,
        }
        fs::remove_file(&path).map_err(|error| error.to_string())?;
    }
    run.others.threads.remove(&CALLER);
    if run.caller.threads.is_empty() {
        return Err(format!("the main thread has called none of {between:?}"));
    }
    Ok(run)
}

/// The files whose names begin with `output`: one for each thread and part.
fn files(output: &Path) -> std::io::Result<Vec<PathBuf>> {
    let stem = output.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let entries = fs::read_dir(output.parent().unwrap_or(Path::new(".")))?;
    let paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let is_ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(stem))
    };
    Ok(paths.into_iter().filter(is_ours).collect())
}

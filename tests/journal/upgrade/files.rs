//! The files of a golden set: two journals, and the answers and the state of the code that wrote
//! them.

use std::fs;
use std::path::Path;

use super::given::Given;

/// A journal that was closed cleanly.
pub(crate) const CLOSED: &str = "closed";
/// The same journal, without checkpoints, as a kill during its last batch left it.
pub(crate) const KILLED: &str = "killed";
const ANSWERS: &str = "answers.txt";
const STATE: &str = "state.txt";
const LOG: &str = "log.txt";

/// What the writer of a golden set answered and showed.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Its clock at the end, in milliseconds.
    pub(crate) clock: u64,
    /// The hash of the whole closed journal.
    pub(crate) head: String,
    pub(crate) given: Given,
    /// The rows' names, with their answers.
    pub(crate) answers: Vec<(String, String)>,
    pub(crate) state: String,
    pub(crate) log: Vec<String>,
}

impl Expected {
    pub(crate) fn read(folder: &Path) -> Self {
        let read = |name| fs::read_to_string(folder.join(name)).expect("a file of a golden set");
        let mut expected = Self {
            state: read(STATE),
            log: read(LOG).lines().map(str::to_owned).collect(),
            ..Self::default()
        };
        for line in read(ANSWERS).lines() {
            let mut fields = line.splitn(3, '\t');
            let mut field = || fields.next().expect("three fields").to_owned();
            let (kind, name, value) = (field(), field(), field());
            match &*kind {
                "clock" => expected.clock = value.parse().expect("milliseconds"),
                "head" => expected.head = value,
                "hold" => {
                    expected.given.holds.insert(name, value.parse().expect("an id"));
                }
                "request" => {
                    expected.given.requests.insert(name, value.parse().expect("a number"));
                }
                "answer" => expected.answers.push((name, value)),
                _ => panic!("an unknown line: {line:?}"),
            }
        }
        expected
    }

    pub(crate) fn write(&self, folder: &Path) {
        let mut answers = format!("clock\tms\t{}\n", self.clock);
        answers += &format!("head\tclosed\t{}\n", self.head);
        for (name, id) in &self.given.holds {
            answers += &format!("hold\t{name}\t{id}\n");
        }
        for (name, id) in &self.given.requests {
            answers += &format!("request\t{name}\t{id}\n");
        }
        for (name, answer) in &self.answers {
            answers += &format!("answer\t{name}\t{answer}\n");
        }
        let write = |name, text: &str| fs::write(folder.join(name), text).expect("a file");
        write(ANSWERS, &answers);
        write(STATE, &self.state);
        write(LOG, &(self.log.join("\n") + "\n"));
    }

    #[track_caller]
    pub(crate) fn answer(&self, row: &str) -> &str {
        let answer = self.answers.iter().find(|(name, _)| name == row);
        answer.map(|(_, answer)| &**answer).unwrap_or_else(|| panic!("no answer of {row:?}"))
    }
}

/// Copies the files of a journal, except its lock.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("a journal").flatten() {
        if file.file_name() != "lock" {
            fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    }
}

/// Changes `killed`, a copy of an open journal, into what a kill in the middle of the next batch
/// leaves. `closed` is the same journal after that batch.
pub(crate) fn kill(killed: &Path, closed: &Path) {
    let mut segments = Vec::new();
    for file in fs::read_dir(killed).expect("a journal").flatten() {
        match file.path().extension().and_then(|extension| extension.to_str()) {
            Some("journal") => segments.push(file.file_name()),
            _ => fs::remove_file(file.path()).expect("a checkpoint"),
        }
    }
    let newest = segments.into_iter().max().expect("a segment");
    let before = fs::read(killed.join(&newest)).expect("a segment").len();
    let after = fs::read(closed.join(&newest)).expect("the same segment");
    assert!(before + 2 <= after.len(), "the last batch is in the same segment");
    fs::write(killed.join(&newest), &after[..before.midpoint(after.len())]).expect("a segment");
}

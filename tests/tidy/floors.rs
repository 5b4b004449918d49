//! The floors: which file may name which other file.
//!
//! - A file names its own floor and lower ones, and nothing above. `lib.rs` stands above all
//!   floors, so no file names it, or what is only a re-export of it.
//! - In each folder, the files and folders side by side must not name each other in a circle. A
//!   folder counts as one, whichever file in it names another.
//! - A folder's `mod.rs` and the folder's contents are one family: they may name each other.
//! - The programs under `crates` are packages of their own, so the compiler limits them to the
//!   public interface. Their files must not form circles either.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Named, Source};

/// The contents of each floor, from the ground up: files or folders of `src`.
pub(crate) const FLOORS: &[&[&str]] = &[
    &["base"],
    &["stock"],
    &["idempotency", "reservation"],
    &["audit"],
    &["journal"],
    &["policy"],
    &["engine"],
    &["umbrella"],
];

/// The file above all floors.
const FRONT_DOOR: &str = "src/lib.rs";

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// A file as a module of its crate.
struct Module<'a> {
    source: &'a Source,
    /// The folder that is the crate: `src`, or a program's.
    home: String,
    /// Its path from the crate's root.
    path: Vec<&'a str>,
}

impl<'a> Module<'a> {
    fn new(source: &'a Source) -> Option<Self> {
        let mut path: Vec<_> = source.path.strip_suffix(".rs")?.split('/').collect();
        let root = path.iter().position(|folder| *folder == "src")?;
        let home = path.drain(..=root).collect::<Vec<_>>().join("/");
        path.pop_if(|last| matches!(*last, "mod" | "main" | "lib"));
        Some(Self { source, home, path })
    }

    fn is_program(&self) -> bool {
        self.home != "src"
    }
}

/// Every place where a file names something above it, and every file that stands on no floor.
pub(crate) fn upward_names(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in sources.iter().filter_map(Module::new).filter(|module| !module.is_program()) {
        let file = &module.source.path;
        if file == FRONT_DOOR {
            continue;
        }
        let Some(own) = floor_of(module.path[0]) else {
            wrong.push(format!("{file} stands on no floor: name it in tests/tidy/floors.rs"));
            continue;
        };
        for Named { segments, line } in module.source.paths(&module.path) {
            let path = segments.join("::");
            match segments.first().map(|room| floor_of(room)) {
                Some(Some(floor)) if floor <= own => {}
                Some(Some(floor)) => {
                    wrong.push(format!("{file}:{line} on floor {own} names floor {floor}: {path}"));
                }
                _ => wrong.push(format!("{file}:{line} names the front door: crate::{path}")),
            }
        }
    }
    wrong
}

/// Entries of [`FLOORS`] that do not exist.
pub(crate) fn missing_rooms(sources: &[Source]) -> Vec<String> {
    let rooms: BTreeSet<_> =
        sources.iter().filter_map(Module::new).filter_map(|m| m.path.first().copied()).collect();
    let listed = FLOORS.iter().copied().flatten();
    let missing = listed.filter(|room| !rooms.contains(*room));
    missing.map(|room| format!("tests/tidy/floors.rs lists {room}, which src has not")).collect()
}

/// For each folder: which of its contents names which other.
type Folders = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The circles among contents of one folder; at least one for each name that closes a circle.
pub(crate) fn circles(sources: &[Source]) -> Vec<String> {
    let folders = acquaintances(sources);
    let mut circles = Vec::new();
    for (folder, names) in &folders {
        let mut walk = Walk { names, way: Vec::new(), done: BTreeSet::new(), circles: Vec::new() };
        names.keys().for_each(|room| walk.from(room));
        let described = walk.circles.iter().map(|way| format!("in {folder}: {}", way.join(" -> ")));
        circles.extend(described);
    }
    circles
}

fn acquaintances(sources: &[Source]) -> Folders {
    let modules: Vec<_> = sources.iter().filter_map(Module::new).collect();
    let known: BTreeSet<_> = modules.iter().map(|m| (m.home.clone(), m.path.join("::"))).collect();
    let mut folders = Folders::new();
    for module in modules.iter().filter(|module| module.source.path != FRONT_DOOR) {
        for Named { segments, .. } in module.source.paths(&module.path) {
            // The file that the path leads to: the longest beginning that is a module.
            let file = (0..=segments.len())
                .rev()
                .map(|length| &segments[..length])
                .find(|path| known.contains(&(module.home.clone(), path.join("::"))))
                .unwrap_or_default();
            let shared = module.path.iter().zip(file).take_while(|(own, its)| *own == its).count();
            // At a folder's `mod.rs` one of the two has nothing left that parts them: one family.
            if let (Some(own), Some(its)) = (module.path.get(shared), file.get(shared)) {
                let folder = [&[&*module.home], &module.path[..shared]].concat().join("/");
                let names = folders.entry(folder).or_default();
                names.entry((*own).into()).or_default().insert(its.clone());
            }
        }
    }
    folders
}

/// A depth-first walk from each node along the names, which visits each node once.
struct Walk<'a> {
    names: &'a BTreeMap<String, BTreeSet<String>>,
    way: Vec<&'a str>,
    done: BTreeSet<&'a str>,
    circles: Vec<Vec<&'a str>>,
}

impl<'a> Walk<'a> {
    fn from(&mut self, room: &'a str) {
        if let Some(begin) = self.way.iter().position(|earlier| *earlier == room) {
            self.circles.push([&self.way[begin..], &[room]].concat());
        }
        if !self.done.insert(room) {
            return;
        }
        self.way.push(room);
        for next in self.names.get(room).into_iter().flatten() {
            self.from(next);
        }
        self.way.pop();
    }
}

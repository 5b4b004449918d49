//! The rules that look at one file at a time, and the rule on type names, which looks at all files.

use std::collections::BTreeMap;

use super::source::Source;

/// The only file that may name the standard library's atomics.
const DOOR: &str = "src/base/sync/";

/// Files that may contain `unsafe` code: none.
const UNSAFE_FILES: &[&str] = &[];

/// The maximum number of lines in a file.
const MAX_LINES: usize = 500;

/// What fits beside another file on a screen.
const MAX_COLUMNS: usize = 100;

/// Files that replace others, with the same names: the journal without its feature, and Unix
/// directories on other systems.
const STAND_INS: [&str; 2] =
    ["src/engine/no_journal.rs", "src/journal/storage/directory_elsewhere.rs"];

/// Atomics and related items that do not come through the one allowed file. The programs under
/// `crates` are users of the library, and may use the standard library's.
pub(crate) fn other_doors(source: &Source) -> Vec<String> {
    if source.path.starts_with(DOOR) || source.path.starts_with("crates/") {
        return Vec::new();
    }
    let mut lines = source.lines_with("atomic");
    for guest in ["loom", "crossbeam"] {
        lines.extend(source.lines_with_row(&[guest, "::"]));
        lines.extend(source.lines_with_row(&["use", guest]));
        lines.extend(source.lines_with_row(&["crate", guest]));
    }
    lines.extend(source.tokens.iter().filter(|t| t.text.starts_with("crossbeam_")).map(|t| t.line));
    lines.sort_unstable();
    lines.dedup();
    says(source, lines, "takes from another door than src/base/sync")
}

/// The only file that may start threads. A door of its own, because the machine may grant none: the
/// shorthands of the standard library panic then, and a pool that all share stays broken.
const THREADS: &str = "src/base/threads.rs";

/// Whether the whole file is tests.
pub(crate) fn is_test(source: &Source) -> bool {
    source.path.ends_with("/tests.rs") || source.path.contains("/tests/")
}

/// Threads that do not come through the one allowed file. Tests may start their own.
pub(crate) fn other_threads(source: &Source) -> Vec<String> {
    if source.path == THREADS || source.path.starts_with("crates/") || is_test(source) {
        return Vec::new();
    }
    let tests = source.lines_with_row(&["mod", "tests"]).into_iter().min();
    let mut lines = source.lines_with_row(&["thread", "::", "spawn"]);
    lines.extend(source.lines_with_row(&["thread", "::", "Builder"]));
    lines.extend(source.lines_with_row(&["scope", ".", "spawn"]));
    lines.extend(source.tokens.iter().filter(|it| it.text.starts_with("rayon")).map(|it| it.line));
    lines.retain(|line| tests.is_none_or(|first| *line < first));
    says(source, lines, "starts threads beside src/base/threads.rs")
}

/// `unsafe` code in a file that may have none.
pub(crate) fn unsafe_code(source: &Source) -> Vec<String> {
    let allowed = UNSAFE_FILES.contains(&&*source.path);
    let lines = if allowed { Vec::new() } else { source.lines_with("unsafe") };
    says(source, lines, "holds unsafe code")
}

/// Whether the workspace's manifest forbids `unsafe` code.
pub(crate) fn forbids_unsafe(manifest: &str) -> bool {
    let lints = manifest.lines().skip_while(|line| line.trim() != "[workspace.lints.rust]");
    let mut lints = lints.skip(1);
    lints.by_ref().take_while(|line| !line.starts_with('[')).any(|line| {
        line.split_once('=').is_some_and(|(lint, level)| {
            lint.trim() == "unsafe_code" && level.trim() == "\"forbid\""
        })
    })
}

/// Whether a member's manifest takes over the workspace's lints, and with them what
/// [`forbids_unsafe`] checks.
pub(crate) fn takes_lints(manifest: &str) -> bool {
    let mut lints = manifest.lines().skip_while(|line| line.trim() != "[lints]");
    lints.nth(1).is_some_and(|line| line.trim() == "workspace = true")
}

/// Files whose location differs from what their module name says. The other rules would miss them.
pub(crate) fn hidden_files(source: &Source) -> Vec<String> {
    let mut lines = source.lines_with_row(&["[", "path", "="]);
    lines.extend(source.lines_with_row(&["include", "!"]));
    says(source, lines, "takes in a file from elsewhere")
}

/// A file that is too long.
pub(crate) fn too_long(source: &Source) -> Option<String> {
    let lines = source.lines();
    (lines > MAX_LINES).then(|| format!("{} has {lines} lines, over {MAX_LINES}", source.path))
}

/// Comments that are wider than code may be. The formatter wraps code, and leaves comments alone.
pub(crate) fn wide_comments(source: &Source) -> Vec<String> {
    let lines = source.text.lines().zip(1..);
    let wide = lines.filter(|(line, _)| {
        line.trim_start().starts_with("//") && line.chars().count() > MAX_COLUMNS
    });
    wide.map(|(_, number)| format!("{}:{number} is over {MAX_COLUMNS} columns", source.path))
        .collect()
}

/// A file that does not begin with its purpose. Unit tests in their own file belong to the tested
/// file.
pub(crate) fn unintroduced(source: &Source) -> Option<String> {
    let unit_tests = source.path.contains("src/") && source.path.ends_with("/tests.rs");
    let introduced = source.text.starts_with("//! ");
    (!unit_tests && !introduced).then(|| format!("{} doesn't begin with //!", source.path))
}

/// Names that two types of the library share. A search for a type must find exactly one. The
/// programs under `crates` and the journal's replacement are left out.
pub(crate) fn names_used_twice(sources: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let counts =
        |it: &&Source| it.path.starts_with("src/") && !STAND_INS.contains(&it.path.as_str());
    for source in sources.iter().filter(counts) {
        for pair in source.tokens.windows(2) {
            let declares = matches!(&*pair[0].text, "struct" | "enum" | "trait" | "union");
            // A macro names its types `$name`.
            if declares && pair[1].text.starts_with(char::is_uppercase) {
                let place = format!("{}:{}", source.path, pair[1].line);
                places.entry(&pair[1].text).or_default().push(place);
            }
        }
    }
    let twice = places.iter().filter(|(_, at)| at.len() > 1);
    twice.map(|(name, at)| format!("{name} names {} types: {}", at.len(), at.join(", "))).collect()
}

/// The file in which all errors of the library meet.
const UMBRELLA: &str = "src/umbrella/mod.rs";

/// Errors that do not convert into the umbrella error.
pub(crate) fn errors_outside(sources: &[Source]) -> Vec<String> {
    let words = |source: &Source| -> Vec<String> {
        source.tokens.iter().map(|token| token.text.clone()).collect()
    };
    let library = sources.iter().filter(|source| source.path.starts_with("src/"));
    let (umbrella, rooms): (Vec<_>, Vec<_>) = library.partition(|it| it.path == UMBRELLA);
    let umbrella: Vec<String> = umbrella.into_iter().flat_map(words).collect();
    let covered = |error: &str| {
        let row = |row: &[String]| match row {
            [open, name, close] => {
                name == error && ((open == "(" && close == ")") || (open == ";" && close == ":"))
            }
            _ => false,
        };
        // Nested in a variant, or turned into a part of one.
        umbrella.windows(3).any(row)
            || umbrella.windows(3).any(|it| it[0] == "{" && it[1] == error && it[2] == ":")
    };
    let mut outside = Vec::new();
    for source in rooms {
        let words = words(source);
        let named = words.windows(4).filter_map(|row| match row {
            [table, bang, open, name] if table == "error_table" && bang == "!" && open == "{" => {
                Some(name.clone())
            }
            [error, by, name, _] if error == "Error" && by == "for" && name != "$" => {
                Some(name.clone())
            }
            _ => None,
        });
        let missing = named.filter(|error| !covered(error));
        outside
            .extend(missing.map(|error| format!("{}: {error} is not in {UMBRELLA}", source.path)));
    }
    outside
}

fn says(source: &Source, lines: Vec<usize>, what: &str) -> Vec<String> {
    lines.into_iter().map(|line| format!("{}:{line} {what}", source.path)).collect()
}

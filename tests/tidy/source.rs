//! Reads Rust source as far as the rules need it: its tokens without comments and strings, and the
//! paths that begin with `crate`, `self` or `super`.

use std::fs;
use std::path::Path;

/// A source file of this repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path from the repository's root, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

/// A word, `::`, or another single character of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A path in the code, from the root of its crate. `use crate::a::{b, c}` has two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into(), tokens: tokens(text) }
    }

    /// Every `.rs` file below `folder`, if the folder exists.
    pub(crate) fn all_below(root: &Path, folder: &str) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("a readable folder").path()).collect();
        names.sort();
        let mut sources = Vec::new();
        for path in names {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
            let below = format!("{folder}/{name}");
            if path.is_dir() && name != "target" {
                sources.extend(Self::all_below(root, &below));
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                sources.push(Self::new(&below, &text));
            }
        }
        sources
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// The lines with `word` in the code.
    pub(crate) fn lines_with(&self, word: &str) -> Vec<usize> {
        self.tokens.iter().filter(|token| token.text == word).map(|token| token.line).collect()
    }

    /// The lines with these tokens in sequence.
    pub(crate) fn lines_with_row(&self, sequence: &[&str]) -> Vec<usize> {
        let matches = |row: &&[Token]| row.iter().zip(sequence).all(|(is, want)| is.text == *want);
        self.tokens.windows(sequence.len()).filter(matches).map(|row| row[0].line).collect()
    }

    /// All paths in a file, the module `module`, that begin with `crate`, `self` or `super`.
    pub(crate) fn paths(&self, module: &[&str]) -> Vec<Named> {
        let mut paths = Paths { tokens: &self.tokens, found: Vec::new() };
        // The modules that are open, each with the depth of braces it began at.
        let mut open: Vec<(String, usize)> = Vec::new();
        let mut depth = 0;
        for at in 0..self.tokens.len() {
            match self.tokens[at].text.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    open.pop_if(|(_, began)| *began == depth);
                }
                "mod" if paths.text(at + 2) == "{" => open.push((paths.text(at + 1).into(), depth)),
                "crate" | "self" | "super" if at == 0 || paths.text(at - 1) != "::" => {
                    let here = module.iter().copied().chain(open.iter().map(|(name, _)| &**name));
                    paths.begin(at, here.map(String::from).collect());
                }
                _ => {}
            }
        }
        paths.found
    }
}

struct Paths<'a> {
    tokens: &'a [Token],
    found: Vec<Named>,
}

impl Paths<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// A path whose first word is at `at`, in the module `here`.
    fn begin(&mut self, mut at: usize, here: Vec<String>) {
        let mut prefix = match self.text(at) {
            "crate" if self.text(at + 1) == "as" => return self.find(at, &[]),
            "crate" => Vec::new(),
            _ => here,
        };
        if self.text(at + 1) != "::" {
            return;
        }
        loop {
            if self.text(at) == "super" {
                prefix.pop();
            }
            at += 2;
            if self.text(at) != "super" || self.text(at + 1) != "::" {
                break;
            }
        }
        self.tree(at, &prefix);
    }

    /// What follows `prefix::`. Returns where it ends.
    fn tree(&mut self, mut at: usize, prefix: &[String]) -> usize {
        if self.text(at) == "{" {
            at += 1;
            while !matches!(self.text(at), "}" | "") {
                let end = self.tree(at, prefix);
                // Over a comma, or the words of `as name`.
                at = end.max(at + 1);
            }
            return at + 1;
        }
        if self.text(at) == "*" {
            self.find(at, prefix);
            return at + 1;
        }
        if !is_word(self.text(at)) {
            return at;
        }
        let mut path = prefix.to_vec();
        match self.text(at) {
            "as" => return at + 2,
            "self" => {}
            word => path.push(word.into()),
        }
        let goes_on = is_word(self.text(at + 2)) || matches!(self.text(at + 2), "{" | "*");
        if self.text(at + 1) == "::" && goes_on {
            return self.tree(at + 2, &path);
        }
        self.find(at, &path);
        at + 1
    }

    fn find(&mut self, at: usize, segments: &[String]) {
        self.found.push(Named { segments: segments.to_vec(), line: self.tokens[at].line });
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// The code's tokens, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, wanted: char| chars.get(at) == Some(&wanted);
    let in_word = |at: usize| chars.get(at).is_some_and(|c| *c == '_' || c.is_alphanumeric());
    let (mut tokens, mut line, mut at) = (Vec::new(), 1, 0);
    while at < chars.len() {
        let begin = at;
        at = match chars[at] {
            '/' if is(at + 1, '/') => end_of_line(&chars, at),
            '/' if is(at + 1, '*') => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at),
            '\'' if is(at + 1, '\\') => end_of_quoted(&chars, at + 3, '\''),
            '\'' if is(at + 2, '\'') => at + 3,
            _ if in_word(at) => {
                let end = (at..).find(|at| !in_word(*at)).unwrap_or(chars.len());
                let word: String = chars[at..end].iter().collect();
                match end_of_raw_string(&chars, end) {
                    Some(end) if matches!(&*word, "r" | "br" | "cr") => end,
                    _ => {
                        tokens.push(Token { text: word, line });
                        end
                    }
                }
            }
            ':' if is(at + 1, ':') => {
                tokens.push(Token { text: "::".into(), line });
                at + 2
            }
            other => {
                if !other.is_whitespace() {
                    tokens.push(Token { text: other.into(), line });
                }
                at + 1
            }
        }
        .min(chars.len());
        line += chars[begin..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn end_of_line(chars: &[char], begin: usize) -> usize {
    (begin..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

/// Comments nest.
fn end_of_comment(chars: &[char], begin: usize) -> usize {
    let (mut depth, mut at) = (0, begin);
    while at < chars.len() {
        let step = match chars[at..] {
            ['/', '*', ..] => 1,
            ['*', '/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            break;
        }
    }
    at
}

fn end_of_string(chars: &[char], begin: usize) -> usize {
    end_of_quoted(chars, begin + 1, '"')
}

/// The position after the next `quote` that no backslash escapes.
fn end_of_quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of a raw string whose marks, `#` or quote, begin at `begin`.
fn end_of_raw_string(chars: &[char], begin: usize) -> Option<usize> {
    let marks = chars[begin..].iter().take_while(|c| **c == '#').count();
    if chars.get(begin + marks) != Some(&'"') {
        return None;
    }
    let closes = |at: &usize| {
        chars[*at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= marks
    };
    let end = (begin + marks + 1..chars.len()).find(closes);
    Some(end.map_or(chars.len(), |at| at + 1 + marks))
}

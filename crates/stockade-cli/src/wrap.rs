//! Text in lines that are no wider than the terminal: broken between words, and where a word is
//! longer than a line, within it. Nothing is left out.

use std::mem;

use console::{Style, measure_text_width};

/// How much further than its first line a wrapped line is indented.
const HANG: usize = 4;

/// A line that is being written, and those that it was broken into.
pub(crate) struct Wrapped {
    /// Without a number, nothing is ever broken.
    columns: Option<usize>,
    /// The indent of all lines but the first.
    indent: usize,
    text: String,
    /// The column that is written next.
    at: usize,
    /// Spaces that are due if something follows in the same line.
    due: usize,
}

impl Wrapped {
    pub(crate) fn new(columns: Option<usize>, indent: usize) -> Self {
        Self { columns, indent, text: String::new(), at: 0, due: 0 }
    }

    /// Adds spaces; at the end of a line, nothing.
    pub(crate) fn space(&mut self, columns: usize) {
        self.due += columns;
    }

    /// Adds a word.
    pub(crate) fn word(&mut self, word: &str, style: &Style) {
        let width = measure_text_width(word);
        let Some(columns) = self.columns else {
            return self.write(word, width, style);
        };
        if self.at + self.due + width > columns && self.at > self.indent {
            self.break_line();
        }
        if self.at + self.due + width <= columns {
            return self.write(word, width, style);
        }
        // Longer than a line.
        for letter in word.chars() {
            let mut bytes = [0; 4];
            let letter = &*letter.encode_utf8(&mut bytes);
            let width = measure_text_width(letter);
            if self.at + self.due + width > columns {
                self.break_line();
            }
            self.write(letter, width, style);
        }
    }

    fn break_line(&mut self) {
        self.text.push('\n');
        (self.at, self.due) = (0, self.indent);
    }

    fn write(&mut self, text: &str, width: usize, style: &Style) {
        let due = mem::take(&mut self.due);
        self.text.extend(std::iter::repeat_n(' ', due));
        self.text.push_str(&style.apply_to(text).to_string());
        self.at += due + width;
    }

    /// The lines, with a line break behind the last one.
    pub(crate) fn end(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

/// A text whose lines are broken where they are wider than `columns`.
pub(crate) fn wrapped(text: &str, columns: usize) -> String {
    let line = |line: &str| {
        if measure_text_width(line) <= columns {
            return format!("{line}\n");
        }
        let begin = line.len() - line.trim_start_matches(' ').len();
        let mut lines = Wrapped::new(Some(columns), (begin + HANG).min(columns / 4));
        for (place, word) in line.split(' ').enumerate() {
            lines.space(usize::from(place > 0));
            if !word.is_empty() {
                lines.word(word, &Style::new());
            }
        }
        lines.end()
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_are_too_wide_are_broken() {
        let text = "  short\n\n  a line   that is longer than thirty columns\n";
        let expected = "  short\n\n  a line   that is longer than\n      thirty columns\n";
        assert_eq!(wrapped(text, 30), expected);
        assert_eq!(wrapped(text, 80), text);
        assert_eq!(wrapped("abcdefghij", 4), "abcd\n efg\n hij\n");
    }
}

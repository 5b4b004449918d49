//! The rows of an order file, each with the number of the line on which it begins.

use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use crate::Failure;
use crate::orders::dialect::{OrderText, unreadable};

/// Appended to the file's last row. If the reader does not return it as a row of its own, a quote
/// was never closed.
const END: &[u8] = b"\0";
const AFTER_FILE: &[u8] = b"\n\0";

/// The rows of a file, each with the number of the line on which it begins.
pub(super) struct Rows<'a, R> {
    path: &'a Path,
    reader: Reader<io::Chain<R, &'static [u8]>>,
    record: ByteRecord,
    /// The line on which the current row begins.
    line: u64,
    /// Lines of the file before those that the reader gets.
    before: u64,
}

impl<'a, R: Read> Rows<'a, R> {
    pub(super) fn of(path: &'a Path, file: OrderText<R>) -> Self {
        let OrderText { text, delimiter, lines_before } = file;
        // Only "\n" ends a line, so that lines are counted alike in every file. A "\r" before it is
        // removed from the last field. Rows of any width are accepted here, because `next` checks
        // them.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(text.chain(AFTER_FILE));
        Self { path, reader, record: ByteRecord::new(), line: 0, before: lines_before }
    }

    /// The next row that is not empty; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<&ByteRecord>, Failure> {
        loop {
            if !self.read()? {
                return Ok(None);
            }
            let is_end = self.record.len() == 1 && self.record.get(0) == Some(END);
            if is_end || self.record.as_slice().ends_with(AFTER_FILE) {
                return self.end(is_end).map(|()| None);
            }
            self.drop_carriage_return();
            if self.record.len() > 1 || self.record.get(0).is_some_and(|only| !only.is_empty()) {
                return Ok(Some(&self.record));
            }
        }
    }

    fn read(&mut self) -> Result<bool, Failure> {
        let read = self.reader.read_byte_record(&mut self.record);
        let read = read.map_err(|error| unreadable(self.path, error.into()))?;
        if read {
            // The reader stands on the line after the row's last line. A row can span several
            // lines.
            let breaks = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count();
            let behind = self.reader.position().line() + self.before;
            self.line = behind.saturating_sub(breaks as u64 + 1);
        }
        Ok(read)
    }

    /// Checks what follows a row that ends with the end marker. `alone`: the row has nothing else.
    fn end(&mut self, alone: bool) -> Result<(), Failure> {
        let line = self.line;
        let more = self.read()?;
        // A quoted field that swallowed the end marker has no line break behind it.
        self.line = if more { line } else { line + 1 };
        match (alone, more) {
            (true, false) => Ok(()),
            (false, false) => Err(self.fault("a quoted field in this row is never closed")),
            (_, true) => Err(self.fault("expected text, found a NUL byte")),
        }
    }

    fn drop_carriage_return(&mut self) {
        let Some(last) = self.record.len().checked_sub(1) else { return };
        if let Some([field @ .., b'\r']) = self.record.get(last) {
            let field = field.to_vec();
            self.record.truncate(last);
            self.record.push_field(&field);
        }
    }

    /// The line on which the current row begins, from 1 on.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The number of fields of the current row.
    pub(super) fn width(&self) -> usize {
        self.record.len()
    }

    /// The failure for the current row.
    pub(super) fn fault(&self, problem: impl Into<String>) -> Failure {
        Failure::file(self.path, self.line, problem)
    }
}

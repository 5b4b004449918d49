//! How an order file is written: its encoding, its separator and its line ends. What no flag says
//! is found out from the file's beginning.
//!
//! - Encoding: a byte order mark decides, or else the place of the NUL bytes in the first letters
//!   (UTF-16 without a mark). All other files are bytes, of which only names must be UTF-8.
//! - Separator: the first of comma, semicolon, tab and bar under which the first row has the three
//!   columns. A line `sep=;` before it decides too.
//! - Line ends: `\n` or `\r\n`; in a file whose first row ends with a bare `\r`, each `\r`.

use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use csv::{ByteRecord, ReaderBuilder};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};

use crate::Failure;
use crate::orders::columns::{ColumnNames, find_columns};

/// How much of a file is looked at to find out how it is written. Its first row must fit.
const LOOK_BYTES: usize = 64 << 10;

/// Separators, the likeliest first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// How an order file is written, where the file does not tell.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OrderFormat {
    /// The character between two fields: comma, semicolon, tab or bar; without this flag, found out
    /// from the first row
    #[arg(long, value_name = "NAME", value_parser = delimiter())]
    pub(super) delimiter: Option<u8>,
    /// The encoding, such as windows-1252 or utf-16le (a label of the WHATWG); without this flag,
    /// UTF-16 if the file begins like it, and otherwise UTF-8
    #[arg(long, value_name = "LABEL", value_parser = encoding)]
    pub(super) encoding: Option<&'static Encoding>,
    /// The names of the three columns, separated by commas, if they are others: invoice number,
    /// stock code, quantity
    #[arg(long, value_name = "INVOICE,CODE,QUANTITY")]
    pub(super) columns: Option<ColumnNames>,
    /// Take every code as goods, also those that begin with no digit
    #[arg(long)]
    pub(super) all_codes: bool,
}

fn delimiter() -> impl TypedValueParser<Value = u8> {
    PossibleValuesParser::new(["comma", "semicolon", "tab", "bar"]).map(|name| match &*name {
        "semicolon" => b';',
        "tab" => b'\t',
        "bar" => b'|',
        _ => b',',
    })
}

fn encoding(label: &str) -> Result<&'static Encoding, String> {
    let known = Encoding::for_label(label.as_bytes());
    known.ok_or_else(|| "expected a label such as utf-8, utf-16le or windows-1252".to_owned())
}

/// The text of an order file, without a byte order mark, and with lines that end in `\n`.
pub(super) struct OrderText<R> {
    pub(super) text: R,
    pub(super) delimiter: u8,
    /// Lines of the file that are not part of `text`.
    pub(super) lines_before: u64,
}

/// The bytes of a file whose beginning was looked at.
type Looked<R> = Chain<Cursor<Vec<u8>>, R>;

/// The bytes of a file in UTF-8, or as they are.
pub(super) enum Decoded<R> {
    Plain(Looked<R>),
    Other(Box<DecodeReaderBytes<Looked<R>, Vec<u8>>>),
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(into),
            Self::Other(file) => file.read(into),
        }
    }
}

/// Text whose lines end in `\n`, whatever they ended in.
pub(super) struct Lines<R> {
    text: R,
    /// Whether each `\r` ends a line.
    bare_returns: bool,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(into)?;
        if self.bare_returns {
            let bytes = into.iter_mut().take(read);
            bytes.filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        Ok(read)
    }
}

/// What [`open`] makes of a file.
pub(super) type Opened<R> = OrderText<Lines<Looked<Decoded<BufReader<R>>>>>;

/// The failure for a file that can't be read.
pub(super) fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::file(path, None, format!("can't be read: {error}"))
}

/// Finds out how a file is written.
pub(super) fn open<R: Read>(
    path: &Path,
    file: R,
    format: &OrderFormat,
) -> Result<Opened<R>, Failure> {
    let failed = |error| unreadable(path, error);
    let mut file = BufReader::new(file);
    let mut begin = beginning(&mut file).map_err(failed)?;
    if let Some(found) = no_text(&begin) {
        return Err(Failure::file(path, None, format!("expected a CSV file, found {found}")));
    }
    let (found, mark) = found_encoding(&begin);
    let encoding = format.encoding.unwrap_or(found);
    begin.drain(..if encoding == found { mark } else { 0 });
    let file = Cursor::new(begin).chain(file);
    let mut text = match encoding == UTF_8 {
        true => Decoded::Plain(file),
        false => {
            let mut decoder = DecodeReaderBytesBuilder::new();
            decoder.encoding(Some(encoding)).bom_sniffing(false);
            let decoder = decoder.build_with_buffer(file, vec![0; LOOK_BYTES]);
            Decoded::Other(Box::new(decoder.map_err(failed)?))
        }
    };
    let mut begin = beginning(&mut text).map_err(failed)?;
    let announced = announced_delimiter(&begin);
    if let Some((_, line)) = announced {
        begin.drain(..line);
    }
    let bare_returns = has_bare_returns(&begin);
    let delimiter = format.delimiter.or(announced.map(|(delimiter, _)| delimiter));
    let delimiter = delimiter.unwrap_or_else(|| found_delimiter(&begin, format.columns.as_ref()));
    let text = Lines { text: Cursor::new(begin).chain(text), bare_returns };
    Ok(OrderText { text, delimiter, lines_before: announced.is_some().into() })
}

fn beginning(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    file.take(LOOK_BYTES as u64).read_to_end(&mut begin)?;
    Ok(begin)
}

/// What a file is that can't be an order file, by its first bytes.
fn no_text(begin: &[u8]) -> Option<&'static str> {
    match begin {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("text in UTF-32; save it as UTF-8"),
        [b'P', b'K', 3, 4, ..] => Some("a ZIP archive, such as .xlsx; save it as CSV"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some("a spreadsheet, such as .xls; save it as CSV"),
        [0x1f, 0x8b, ..] => Some("a file that gzip has packed"),
        _ => None,
    }
}

/// The encoding, and the length of the byte order mark that says so.
fn found_encoding(begin: &[u8]) -> (&'static Encoding, usize) {
    match begin {
        [0xef, 0xbb, 0xbf, ..] => (UTF_8, 3),
        [0xff, 0xfe, ..] => (UTF_16LE, 2),
        [0xfe, 0xff, ..] => (UTF_16BE, 2),
        // The first letters are those of a column's name.
        [1..=255, 0, 1..=255, 0, ..] => (UTF_16LE, 0),
        [0, 1..=255, 0, 1..=255, ..] => (UTF_16BE, 0),
        _ => (UTF_8, 0),
    }
}

/// The separator that a first line `sep=` names, as spreadsheets write it, and that line's length.
fn announced_delimiter(begin: &[u8]) -> Option<(u8, usize)> {
    match begin {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter, rest @ ..]
            if delimiter.is_ascii() && !delimiter.is_ascii_control() || *delimiter == b'\t' =>
        {
            match rest {
                [b'\r', b'\n', ..] => Some((*delimiter, 7)),
                [b'\r' | b'\n', ..] => Some((*delimiter, 6)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The first row, without what ends it, and what follows it.
fn first_row(begin: &[u8]) -> (&[u8], &[u8]) {
    let blank = begin.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let row = begin.get(blank..).unwrap_or_default();
    let mut quoted = false;
    let end = row.iter().position(|byte| {
        quoted ^= *byte == b'"';
        !quoted && matches!(byte, b'\r' | b'\n')
    });
    row.split_at(end.unwrap_or(row.len()))
}

fn has_bare_returns(begin: &[u8]) -> bool {
    matches!(first_row(begin).1, [b'\r', rest @ ..] if !rest.starts_with(b"\n"))
}

fn found_delimiter(begin: &[u8], names: Option<&ColumnNames>) -> u8 {
    let (row, _) = first_row(begin);
    let has_all = |delimiter: &u8| {
        let mut reader = ReaderBuilder::new();
        let reader = reader.has_headers(false).delimiter(*delimiter);
        let mut header = ByteRecord::new();
        let read = reader.from_reader(row).read_byte_record(&mut header);
        read.is_ok() && find_columns(&header, names).is_ok()
    };
    DELIMITERS.into_iter().find(has_all).unwrap_or(b',')
}

//! A client for PostgreSQL, as small and fast as possible: prepared statements with binary
//! parameters, one round trip each.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 3 << 16;
const BINARY: i16 = 1;

/// A connection.
pub(super) struct WireClient {
    stream: UnixStream,
    out: Vec<u8>,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl WireClient {
    /// Connects as `user`, to the database with that name, on a server that trusts its socket.
    pub(super) fn open(socket: &Path, user: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        let mut open = Self { stream, out: Vec::new(), input: vec![0; 65_536], start: 0, end: 0 };
        open.out.extend_from_slice(&[0; 4]);
        open.out.extend_from_slice(&PROTOCOL.to_be_bytes());
        for text in ["user", user, ""] {
            open.text(text);
        }
        let length = open.out.len() as i32;
        open.out[..4].copy_from_slice(&length.to_be_bytes());
        open.send()?;
        open.until_ready()?;
        Ok(open)
    }

    /// Statements without parameters.
    pub(super) fn simple(&mut self, statements: &str) -> io::Result<()> {
        self.message(b'Q', |message| message.text(statements));
        self.send()?;
        self.until_ready().map(drop)
    }

    /// Prepares a statement.
    pub(super) fn prepare(&mut self, name: &str, statement: &str) -> io::Result<()> {
        self.message(b'P', |message| {
            message.text(name);
            message.text(statement);
            message.short(0);
        });
        self.message(b'S', |_| {});
        self.send()?;
        self.until_ready().map(drop)
    }

    /// Runs a prepared statement. Returns the number of rows that it wrote.
    pub(super) fn run(&mut self, name: &str, parameters: &[&[u8]]) -> io::Result<u64> {
        self.message(b'B', |message| {
            message.text("");
            message.text(name);
            message.short(1);
            message.short(BINARY);
            message.short(parameters.len() as i16);
            for parameter in parameters {
                message.out.extend_from_slice(&(parameter.len() as i32).to_be_bytes());
                message.out.extend_from_slice(parameter);
            }
            message.short(0);
        });
        self.message(b'E', |message| {
            message.text("");
            message.out.extend_from_slice(&0_i32.to_be_bytes());
        });
        self.message(b'S', |_| {});
        self.send()?;
        self.until_ready()
    }

    fn message(&mut self, kind: u8, fill: impl FnOnce(&mut Self)) {
        self.out.push(kind);
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        fill(self);
        let length = (self.out.len() - start) as i32;
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(0);
    }

    fn short(&mut self, number: i16) {
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads answers until the server is ready for the next query. Returns the rows that were
    /// written.
    fn until_ready(&mut self) -> io::Result<u64> {
        let mut rows = 0;
        let mut error = None;
        loop {
            self.at_least(5)?;
            let head = &self.input[self.start..self.start + 5];
            let kind = head[0];
            let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            self.at_least(1 + length)?;
            let body = &self.input[self.start + 5..self.start + 1 + length];
            match kind {
                b'C' => rows = rows_of(body),
                b'E' => error = Some(String::from_utf8_lossy(body).replace('\0', " ")),
                b'R' if body[..4] != [0; 4] => {
                    error = Some("the server asks for a password".to_owned());
                }
                _ => {}
            }
            self.start += 1 + length;
            match (kind, error.take()) {
                (b'Z', None) => return Ok(rows),
                // An error before the first query is the server's last message.
                (b'Z' | b'R', Some(error)) => return Err(io::Error::other(error)),
                (_, found) => error = found,
            }
        }
    }

    fn at_least(&mut self, count: usize) -> io::Result<()> {
        while self.end - self.start < count {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.end == self.input.len() {
                self.input.resize(2 * self.end, 0);
            }
            match self.stream.read(&mut self.input[self.end..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.end += count,
            }
        }
        Ok(())
    }
}

/// The count in a command's tag, such as `INSERT 0 1`.
fn rows_of(tag: &[u8]) -> u64 {
    let text = std::str::from_utf8(tag).unwrap_or_default().trim_end_matches('\0');
    text.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

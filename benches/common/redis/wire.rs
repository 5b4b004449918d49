//! A client of Redis, as small and as fast as one can be: commands are written into one buffer, and
//! answers are read from another.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection.
pub(super) struct Connection {
    stream: UnixStream,
    out: Vec<u8>,
    input: Vec<u8>,
    /// What of the input was not looked at yet.
    start: usize,
    end: usize,
}

/// An answer, as far as scripts and settings give any.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Number(i64),
    Text(String),
    Nothing,
}

impl Connection {
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        Ok(Self { stream, out: Vec::new(), input: vec![0; 65_536], start: 0, end: 0 })
    }

    /// Adds a command to those that the next [`send`](Self::send) sends.
    pub(super) fn add(&mut self, words: &[&[u8]]) {
        self.head(b'*', words.len());
        for word in words {
            self.head(b'$', word.len());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn head(&mut self, kind: u8, count: usize) {
        let mut digits = [0; 20];
        let mut place = digits.len();
        let mut rest = count;
        loop {
            place -= 1;
            digits[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.push(kind);
        self.out.extend_from_slice(&digits[place..]);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends all commands that were added.
    pub(super) fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The answer to the oldest command that was sent and has not been answered.
    pub(super) fn receive(&mut self) -> io::Result<Answer> {
        let (kind, count) = self.line()?;
        match kind {
            b':' => Ok(Answer::Number(count.parse().map_err(io::Error::other)?)),
            b'+' => Ok(Answer::Text(count)),
            b'-' => Err(io::Error::other(count)),
            b'$' if count == "-1" => Ok(Answer::Nothing),
            b'$' => {
                let length: usize = count.parse().map_err(io::Error::other)?;
                while self.end - self.start < length + 2 {
                    self.fill()?;
                }
                let bytes = &self.input[self.start..self.start + length];
                let text = String::from_utf8_lossy(bytes).into_owned();
                self.start += length + 2;
                Ok(Answer::Text(text))
            }
            _ => Err(io::Error::other(format!("an answer of kind {kind}"))),
        }
    }

    /// One command, and its answer.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> io::Result<Answer> {
        self.add(words);
        self.send()?;
        self.receive()
    }

    fn line(&mut self) -> io::Result<(u8, String)> {
        loop {
            let seen = &self.input[self.start..self.end];
            if let Some(length) = seen.windows(2).position(|pair| pair == b"\r\n") {
                let text = String::from_utf8_lossy(&seen[1..length]).into_owned();
                let kind = seen[0];
                self.start += length + 2;
                return Ok((kind, text));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.input.len() {
            self.input.resize(2 * self.end, 0);
        }
        let count = self.stream.read(&mut self.input[self.end..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end += count;
        Ok(())
    }
}

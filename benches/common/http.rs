//! A ledger behind a small HTTP service, the same for all of them, as buyers of a shop meet it.
//!
//! HTTP/1.1 over the machine's own TCP, connections that stay open, and a thread with a session of
//! the ledger for each. `POST /reserve/17` answers `{"hold":"3"}`, `POST /confirm/3` an empty body.
//! A hold's number is its place in the service's table, so that no ledger has longer ids to read
//! than another.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::ledger::{About, Ledger, Session, Writer};

/// How the setup of the rows begins.
pub(crate) const HTTP: &str = "over HTTP";

/// A ledger whose sessions are connections to the service.
pub(crate) struct HttpLedger<L: Ledger> {
    ledger: L,
    products: Arc<[<L::Session as Session>::Product]>,
}

impl<L: Ledger> HttpLedger<L> {
    /// The service of a ledger with so many products.
    pub(crate) fn new(ledger: L, products: usize) -> Self {
        let products = (0..products).map(|index| ledger.product(index)).collect();
        Self { ledger, products }
    }
}

impl<L: Ledger> Ledger for HttpLedger<L> {
    type Session = HttpSession;

    fn about(&self) -> About {
        let about = self.ledger.about();
        let comma = if about.setup.is_empty() { "" } else { ", " };
        About { setup: format!("{HTTP}{comma}{}", about.setup), ..about }
    }

    fn product(&self, index: usize) -> usize {
        index
    }

    fn session(&self) -> HttpSession {
        let connected = connect(self.ledger.session(), Arc::clone(&self.products));
        connected.expect("a machine with a network of its own")
    }

    fn writer(&self) -> Option<Writer> {
        self.ledger.writer()
    }
}

/// Starts a thread of the service, and connects to it.
fn connect<S: Session>(session: S, products: Arc<[S::Product]>) -> io::Result<HttpSession> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let client = Connection::new(TcpStream::connect(listener.local_addr()?)?)?;
    let (stream, _) = listener.accept()?;
    let service = Service {
        connection: Connection::new(stream)?,
        session,
        products,
        holds: Vec::new(),
        free: Vec::new(),
    };
    let thread = thread::spawn(move || service.serve());
    Ok(HttpSession { client: Some(client), service: Some(thread) })
}

/// One end of a connection.
struct Connection {
    reader: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a message in one piece.
    fn send(&mut self, message: &str) -> io::Result<()> {
        self.reader.get_mut().write_all(message.as_bytes())
    }

    /// Reads a message with its body, and returns the second word of its first line: a request's
    /// path, or an answer's status. `None` if the other end has gone.
    fn receive(&mut self) -> io::Result<Option<String>> {
        self.line.clear();
        if self.reader.read_line(&mut self.line)? == 0 {
            return Ok(None);
        }
        let word = self.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            self.line.clear();
            self.reader.read_line(&mut self.line)?;
            match self.line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => {
                    length = value.parse().map_err(io::Error::other)?;
                }
                Some(_) => {}
                None => break,
            }
        }
        self.body.resize(length, 0);
        io::Read::read_exact(&mut self.reader, &mut self.body)?;
        Ok(Some(word))
    }
}

/// The service's end.
struct Service<S: Session> {
    connection: Connection,
    session: S,
    products: Arc<[S::Product]>,
    holds: Vec<Option<S::Hold>>,
    free: Vec<usize>,
}

impl<S: Session> Service<S> {
    /// Answers until the client has gone.
    fn serve(mut self) {
        while let Ok(Some(path)) = self.connection.receive() {
            let answer = self.answer(&path);
            if self.connection.send(&answer).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, path: &str) -> String {
        let (step, number) = path.rsplit_once('/').expect("a path of this service");
        let number: usize = number.parse().expect("a number");
        match step {
            "/reserve" => match self.session.reserve(self.products[number]) {
                Some(hold) => {
                    let body = format!("{{\"hold\":\"{}\"}}", self.keep(hold));
                    format!(
                        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\
                         Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                }
                None => "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n".to_owned(),
            },
            step => {
                let hold = self.holds[number].take().expect("a live hold");
                self.free.push(number);
                match step {
                    "/confirm" => self.session.confirm(hold),
                    _ => self.session.release(hold),
                }
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
        }
    }

    fn keep(&mut self, hold: S::Hold) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.holds.push(None);
            self.holds.len() - 1
        });
        self.holds[place] = Some(hold);
        place
    }
}

/// The buyer's end.
pub(crate) struct HttpSession {
    client: Option<Connection>,
    service: Option<JoinHandle<()>>,
}

impl HttpSession {
    /// Asks, and returns the status and the body.
    fn post(&mut self, step: &str, number: usize) -> (String, &[u8]) {
        let client = self.client.as_mut().expect("an open connection");
        let request =
            format!("POST /{step}/{number} HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n");
        client.send(&request).expect("a living service");
        let status = client.receive().expect("an answer").expect("a living service");
        (status, &client.body)
    }
}

impl Session for HttpSession {
    type Product = usize;
    type Hold = usize;

    fn reserve(&mut self, product: usize) -> Option<usize> {
        let (status, body) = self.post("reserve", product);
        let hold = std::str::from_utf8(body).ok()?.split('"').nth(3);
        (status == "201").then(|| hold.and_then(|hold| hold.parse().ok()).expect("a hold"))
    }

    fn confirm(&mut self, hold: usize) {
        assert_eq!(self.post("confirm", hold).0, "200", "a live hold");
    }

    fn release(&mut self, hold: usize) {
        assert_eq!(self.post("release", hold).0, "200", "a live hold");
    }

    fn is_slow(&self) -> bool {
        true
    }
}

impl Drop for HttpSession {
    fn drop(&mut self) {
        // The service's thread ends when its client has gone.
        self.client = None;
        if let Some(service) = self.service.take() {
            let _ = service.join();
        }
    }
}

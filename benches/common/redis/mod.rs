//! Redis, with scripts as its users write them: each step checks, moves and records in one.
//!
//! Over a unix socket, by a client of our own that does nothing but what is needed, so that the
//! figure is the server's.

mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

use self::wire::{Answer, Connection};
use super::ledger::{About, Durability, Ledger, Session, TTL};
use super::programs::{Folder, Server, command, find};

/// Programs that speak this protocol, and run these scripts.
pub(crate) const PROGRAMS: &[(&str, &str)] =
    &[("redis", "redis-server"), ("valkey", "valkey-server")];

const RESERVE: &str = include_str!("reserve.lua");
const CONFIRM: &str = include_str!("confirm.lua");
const RELEASE: &str = include_str!("release.lua");

const DUE: &[u8] = b"holds:due";
const RECORD: &[u8] = b"audit";

/// A server that was started from the installed program.
pub(crate) struct RedisServer {
    engine: &'static str,
    server: Server,
    durability: Durability,
    flags: Vec<String>,
}

impl RedisServer {
    /// Starts one; `None` if the program is not installed.
    ///
    /// # Errors
    /// It is, and does not run.
    pub(crate) fn start(
        (engine, program): (&'static str, &str),
        durability: Durability,
    ) -> io::Result<Option<Self>> {
        let Some(program) = find(program, &[PathBuf::from("/usr/sbin")]) else { return Ok(None) };
        let journal: &[&str] = match durability {
            Durability::InMemory => &["--appendonly", "no"],
            Durability::Buffered => &["--appendonly", "yes", "--appendfsync", "everysec"],
            Durability::Synced => &["--appendonly", "yes", "--appendfsync", "always"],
        };
        // The journal of a short run needs no rewriting, which would take a core from the server.
        let usual = ["--port", "0", "--unixsocket", "socket", "--save", "", "--daemonize", "no"];
        let usual = usual.iter().chain(&["--auto-aof-rewrite-percentage", "0"]);
        let flags: Vec<String> = usual.chain(journal).map(|flag| (*flag).to_owned()).collect();
        let folder = Folder::new(None)?;
        let mut command = command(&program, None, &folder);
        command.args(&flags);
        let answers = |folder: &Path| {
            let connection = Connection::open(&folder.join("socket"));
            connection.and_then(|mut open| open.ask(&[b"PING"])).is_ok()
        };
        let server = Server::start(command, folder, answers)?;
        Ok(Some(Self { engine, server, durability, flags }))
    }

    /// How the server was started.
    pub(crate) fn flags(&self) -> String {
        let flags: Vec<&str> =
            self.flags.iter().map(|flag| if flag.is_empty() { "''" } else { flag }).collect();
        flags.join(" ")
    }

    fn socket(&self) -> PathBuf {
        self.server.folder().join("socket")
    }
}

/// The peer: one server, driven over so many connections.
pub(crate) struct RedisPeer {
    server: Arc<RedisServer>,
    connections: usize,
    depth: usize,
    scripts: Arc<Scripts>,
}

/// The names that the server gave the scripts.
struct Scripts {
    reserve: String,
    confirm: String,
    release: String,
}

impl RedisPeer {
    /// Puts these units of each product on the server's shelves.
    ///
    /// # Errors
    /// The server fails.
    pub(crate) fn open(
        server: &Arc<RedisServer>,
        connections: usize,
        depth: usize,
        units: &[u32],
    ) -> io::Result<Self> {
        let mut connection = Connection::open(&server.socket())?;
        for (number, part) in units.chunks(1_000).enumerate() {
            for (place, units) in part.iter().enumerate() {
                let (key, units) = (Product::new(number * 1_000 + place), units.to_string());
                connection.add(&[b"HSET", key.bytes(), b"available", units.as_bytes()]);
            }
            connection.send()?;
            for _ in part {
                connection.receive()?;
            }
        }
        let mut load = |script: &str| match connection.ask(&[b"SCRIPT", b"LOAD", script.as_bytes()])
        {
            Ok(Answer::Text(name)) => Ok(name),
            Ok(other) => Err(io::Error::other(format!("no name of a script: {other:?}"))),
            Err(error) => Err(error),
        };
        let scripts =
            Scripts { reserve: load(RESERVE)?, confirm: load(CONFIRM)?, release: load(RELEASE)? };
        let scripts = Arc::new(scripts);
        Ok(Self { server: Arc::clone(server), connections, depth, scripts })
    }
}

impl Ledger for RedisPeer {
    type Session = RedisSession;

    fn about(&self) -> About {
        let connections = match self.connections {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        let setup = match self.depth {
            1 => connections,
            depth => format!("{connections}, {depth} deep"),
        };
        let guarantees = match self.server.durability {
            Durability::InMemory => {
                "atomic scripts; audited in a stream of the newest million; a crash loses everything; \
                 overdue holds end when they are met; shared by many processes"
            }
            Durability::Buffered => {
                "atomic scripts; audited in a stream; a crash loses the last second; shared by many \
                 processes"
            }
            Durability::Synced => {
                "atomic scripts; audited in a stream; nothing that was answered is lost; shared by \
                 many processes"
            }
        };
        About { engine: self.server.engine, setup, durability: self.server.durability, guarantees }
    }

    fn product(&self, index: usize) -> Product {
        Product::new(index)
    }

    fn session(&self) -> RedisSession {
        RedisSession {
            connection: Connection::open(&self.server.socket()).expect("a running server"),
            depth: self.depth,
            scripts: Arc::clone(&self.scripts),
            random: StdRng::try_from_rng(&mut SysRng).expect("a system with randomness"),
            _server: Arc::clone(&self.server),
        }
    }
}

/// The key of a product's hash.
#[derive(Clone, Copy)]
pub(crate) struct Product([u8; 13]);

impl Product {
    fn new(index: usize) -> Self {
        let mut key = *b"stock:0000000";
        let digits = format!("{index:07}");
        key[6..].copy_from_slice(&digits.as_bytes()[..7]);
        Self(key)
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A hold: its product, and its key, of which the last 32 bytes are its id.
#[derive(Clone, Copy)]
pub(crate) struct Hold {
    product: Product,
    key: [u8; 37],
}

impl Hold {
    fn new(product: Product, random: &mut StdRng) -> Self {
        let mut key = *b"hold:00000000000000000000000000000000";
        for half in key[5..].chunks_exact_mut(16) {
            let mut bits = random.next_u64();
            for digit in half {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        Self { product, key }
    }

    fn id(&self) -> &[u8] {
        &self.key[5..]
    }
}

/// A connection.
pub(crate) struct RedisSession {
    connection: Connection,
    depth: usize,
    scripts: Arc<Scripts>,
    random: StdRng,
    _server: Arc<RedisServer>,
}

impl RedisSession {
    fn add_reserve(&mut self, hold: &Hold) {
        let ttl = TTL.as_millis().to_string();
        let (script, stock) = (self.scripts.reserve.as_bytes(), hold.product.bytes());
        let ttl = ttl.as_bytes();
        let words =
            &[b"EVALSHA", script, b"4", stock, &hold.key, DUE, RECORD, hold.id(), b"1", ttl];
        self.connection.add(words);
    }

    fn add_end(&mut self, sell: bool, hold: &Hold) {
        let script = if sell { &self.scripts.confirm } else { &self.scripts.release };
        let (script, stock) = (script.as_bytes(), hold.product.bytes());
        let words = &[b"EVALSHA", script, b"4", stock, &hold.key, DUE, RECORD, hold.id()];
        self.connection.add(words);
    }

    fn send(&mut self) {
        self.connection.send().expect("a running server");
    }

    /// Whether the oldest script said yes.
    fn receive(&mut self) -> bool {
        self.connection.receive().expect("a script that runs") == Answer::Number(1)
    }

    fn end(&mut self, sell: bool, hold: &Hold) {
        self.add_end(sell, hold);
        self.send();
        assert!(self.receive(), "a live hold");
    }
}

impl Session for RedisSession {
    type Product = Product;
    type Hold = Hold;

    fn reserve(&mut self, product: Product) -> Option<Hold> {
        let hold = Hold::new(product, &mut self.random);
        self.add_reserve(&hold);
        self.send();
        self.receive().then_some(hold)
    }

    fn confirm(&mut self, hold: Hold) {
        self.end(true, &hold);
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn release(&mut self, hold: Hold) {
        self.end(false, &hold);
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn pairs(&mut self, products: &[Product]) {
        let new = products.iter().map(|product| Hold::new(*product, &mut self.random));
        let holds: Vec<Hold> = new.collect();
        holds.iter().for_each(|hold| self.add_reserve(hold));
        self.send();
        let held = holds.iter().filter(|_| self.receive()).count();
        assert_eq!(held, holds.len(), "in stock");
        holds.iter().for_each(|hold| self.add_end(true, hold));
        self.send();
        let sold = holds.iter().filter(|_| self.receive()).count();
        assert_eq!(sold, holds.len(), "live holds");
    }
}

//! The Redis peer, with scripts as its users write them: each step is one script that checks, moves
//! and records.
//!
//! Over a unix socket, by the `redis` crate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use redis::{Connection, RedisResult, Script, ScriptInvocation};

use super::customers::Customers;
use super::ledger::{About, Durability, End, Ledger, REFUSED, Session, TTL};
use super::programs::{Folder, Server, command, find};

/// Programs that speak this protocol and run these scripts.
pub(crate) const PROGRAMS: &[(&str, &str)] =
    &[("redis", "redis-server"), ("valkey", "valkey-server")];

const RESERVE: &str = include_str!("reserve.lua");
const CONFIRM: &str = include_str!("confirm.lua");
const RELEASE: &str = include_str!("release.lua");
const RESERVE_LIMITED: &str = include_str!("reserve_limited.lua");
const RELEASE_LIMITED: &str = include_str!("release_limited.lua");

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
    /// Starts a server; `None` if the program is not installed.
    ///
    /// # Errors
    /// The program is installed, and does not run.
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
        // The journal of a short run needs no rewriting. Rewriting would take a core from the
        // server.
        let usual = ["--port", "0", "--unixsocket", "socket", "--save", "", "--daemonize", "no"];
        let usual = usual.iter().chain(&["--auto-aof-rewrite-percentage", "0"]);
        let flags: Vec<String> = usual.chain(journal).map(|flag| (*flag).to_owned()).collect();
        let folder = Folder::new(None)?;
        let mut command = command(&program, None, &folder);
        command.args(&flags);
        let answers = |folder: &Path| {
            connect(folder).and_then(|mut open| redis::cmd("PING").exec(&mut open)).is_ok()
        };
        let server = Server::start(command, folder, answers)?;
        Ok(Some(Self { engine, server, durability, flags }))
    }

    /// The options with which the server was started.
    pub(crate) fn flags(&self) -> String {
        let flags: Vec<&str> =
            self.flags.iter().map(|flag| if flag.is_empty() { "''" } else { flag }).collect();
        flags.join(" ")
    }

    fn connect(&self) -> RedisResult<Connection> {
        connect(self.server.folder())
    }
}

/// A connection to the server of this folder.
fn connect(folder: &Path) -> RedisResult<Connection> {
    let socket = folder.join("socket");
    redis::Client::open(format!("redis+unix://{}", socket.display()))?.get_connection()
}

/// The peer: one server, used over a number of connections.
pub(crate) struct RedisPeer {
    server: Arc<RedisServer>,
    connections: usize,
    depth: usize,
    scripts: Arc<Scripts>,
}

/// The scripts that the server runs. It knows them by their hashes.
struct Scripts {
    reserve: Script,
    confirm: Script,
    release: Script,
    /// If these are the scripts for limits.
    limit: Option<LimitKey>,
}

/// A limit of the server.
struct LimitKey {
    key: String,
    /// What each customer may have of all products together.
    maximum: u32,
}

impl RedisPeer {
    /// Stores these units of each product on the server.
    ///
    /// # Errors
    /// The server fails.
    pub(crate) fn open(
        server: &Arc<RedisServer>,
        connections: usize,
        depth: usize,
        units: &[u32],
    ) -> RedisResult<Self> {
        Self::open_under(None, server, connections, depth, units)
    }

    /// The same, if there is a maximum: of which each customer may have so many.
    ///
    /// # Errors
    /// The server fails.
    pub(crate) fn open_under(
        maximum: Option<u32>,
        server: &Arc<RedisServer>,
        connections: usize,
        depth: usize,
        units: &[u32],
    ) -> RedisResult<Self> {
        let mut connection = server.connect()?;
        for (number, part) in units.chunks(1_000).enumerate() {
            let mut stock = redis::Pipeline::with_capacity(part.len());
            for (place, units) in part.iter().enumerate() {
                let key = Product::new(number * 1_000 + place);
                stock.hset(key.bytes(), "available", *units).ignore();
            }
            stock.exec(&mut connection)?;
        }
        // One for each way of using the server, because their crews take turns on it. An earlier
        // crew may have left holds behind.
        let key = format!("limit:each:{connections}:{depth}");
        redis::cmd("DEL").arg(&key).exec(&mut connection)?;
        let limit = maximum.map(|maximum| LimitKey { key, maximum });
        let [reserve, release] = match limit {
            None => [RESERVE, RELEASE],
            Some(_) => [RESERVE_LIMITED, RELEASE_LIMITED],
        };
        let scripts = Scripts {
            reserve: Script::new(reserve),
            confirm: Script::new(CONFIRM),
            release: Script::new(release),
            limit,
        };
        for script in [&scripts.reserve, &scripts.confirm, &scripts.release] {
            script.load(&mut connection)?;
        }
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
            connection: self.server.connect().expect("a running server"),
            depth: self.depth,
            scripts: Arc::clone(&self.scripts),
            customers: None,
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

/// A hold: its product and its key. The last 32 bytes of the key are the hold's id.
#[derive(Clone, Copy)]
pub(crate) struct Hold {
    product: Product,
    key: [u8; 37],
    customer: Option<u64>,
}

impl Hold {
    fn new(product: Product, customer: Option<u64>, random: &mut StdRng) -> Self {
        let mut key = *b"hold:00000000000000000000000000000000";
        for half in key[5..].chunks_exact_mut(16) {
            let mut bits = random.next_u64();
            for digit in half {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        Self { product, key, customer }
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
    customers: Option<Customers>,
    random: StdRng,
    _server: Arc<RedisServer>,
}

impl Scripts {
    fn reserve(&self, hold: &Hold) -> ScriptInvocation<'_> {
        let mut call = self.on(&self.reserve, hold);
        call.arg(1).arg(TTL.as_millis() as u64);
        if let Some((customer, limit)) = hold.customer.zip(self.limit.as_ref()) {
            call.arg(customer).arg(limit.maximum);
        }
        call
    }

    fn end(&self, end: End, hold: &Hold) -> ScriptInvocation<'_> {
        let script = match end {
            End::Confirm => &self.confirm,
            End::Release => &self.release,
        };
        self.on(script, hold)
    }

    /// A call of a script, with the keys that all scripts take.
    fn on<'s>(&self, script: &'s Script, hold: &Hold) -> ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        call.key(hold.product.bytes()).key(&hold.key).key(DUE).key(RECORD).arg(hold.id());
        if let Some(limit) = &self.limit {
            call.key(&limit.key);
        }
        call
    }
}

impl RedisSession {
    fn hold(&mut self, product: Product) -> Hold {
        let customer = self.customers.as_mut().map(Customers::next);
        Hold::new(product, customer, &mut self.random)
    }

    fn end(&mut self, end: End, hold: &Hold) {
        let ended = self.scripts.end(end, hold).invoke::<bool>(&mut self.connection);
        assert!(ended.expect("a script that runs"), "a live hold");
    }

    /// Sends all these calls, and returns their answers.
    fn at_once<'s>(&mut self, calls: impl Iterator<Item = ScriptInvocation<'s>>) -> Vec<bool> {
        let mut pipeline = redis::Pipeline::with_capacity(self.depth);
        for call in calls {
            pipeline.invoke_script(&call);
        }
        pipeline.query(&mut self.connection).expect("scripts that run")
    }
}

impl Session for RedisSession {
    type Product = Product;
    type Hold = Hold;

    fn serve(&mut self, customers: Customers) {
        self.customers = Some(customers);
    }

    fn reserve(&mut self, product: Product) -> Option<Hold> {
        let hold = self.hold(product);
        let held = self.scripts.reserve(&hold).invoke::<bool>(&mut self.connection);
        held.expect("a script that runs").then_some(hold)
    }

    fn confirm(&mut self, hold: Hold) {
        self.end(End::Confirm, &hold);
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn release(&mut self, hold: Hold) {
        self.end(End::Release, &hold);
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn pairs(&mut self, products: &[Product], end: End) {
        let holds: Vec<Hold> = products.iter().map(|product| self.hold(*product)).collect();
        let scripts = Arc::clone(&self.scripts);
        let held = self.at_once(holds.iter().map(|hold| scripts.reserve(hold)));
        assert!(held.iter().all(|held| *held), "in stock");
        let ended = self.at_once(holds.iter().map(|hold| scripts.end(end, hold)));
        assert!(ended.iter().all(|ended| *ended), "live holds");
    }

    fn refusals(&mut self, products: &[Product]) {
        let holds: Vec<Hold> = products.iter().map(|product| self.hold(*product)).collect();
        let scripts = Arc::clone(&self.scripts);
        let held = self.at_once(holds.iter().map(|hold| scripts.reserve(hold)));
        assert!(!held.contains(&true), "{REFUSED}");
    }
}

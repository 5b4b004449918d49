//! PostgreSQL: each step is one prepared statement that checks, moves and records.
//!
//! The server is tuned as its users tune it for many short writes; the client is a small one of our
//! own, so that the figure is the server's.

mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

use self::wire::Connection;
use super::ledger::{About, Durability, Ledger, Session};
use super::programs::{Account, Folder, Server, command, find};

const SCHEMA: &str = include_str!("schema.sql");
const RESERVE: &str = include_str!("reserve.sql");
const CONFIRM: &str = include_str!("confirm.sql");
const RELEASE: &str = include_str!("release.sql");

const USER: &str = "postgres";
const SOCKET: &str = ".s.PGSQL.5432";

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "max_connections=128",
    "shared_buffers=512MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "wal_buffers=64MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "jit=off",
    "autovacuum_naptime=5s",
];

/// A server that was started from the installed program.
pub(crate) struct PostgresServer {
    server: Server,
}

impl PostgresServer {
    /// Starts one; `None` if the programs are not installed.
    ///
    /// # Errors
    /// They are, and don't run.
    pub(crate) fn start() -> io::Result<Option<Self>> {
        let places = places();
        let (Some(initdb), Some(postgres)) = (find("initdb", &places), find("postgres", &places))
        else {
            return Ok(None);
        };
        let account = Account::to_drop_to(USER)?;
        let folder = Folder::new(account)?;
        let mut init = command(&initdb, account, &folder);
        init.args(["-D", "data", "-U", USER, "-A", "trust", "--no-locale", "-E", "UTF8", "-N"]);
        let output = init.stdout(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("initdb fails: {said}")));
        }
        let mut command = command(&postgres, account, &folder);
        command.args(["-D", "data", "-k"]).arg(folder.path());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let answers = |folder: &Path| Connection::open(&folder.join(SOCKET), USER).is_ok();
        Ok(Some(Self { server: Server::start(command, folder, answers)? }))
    }

    /// How the server was started.
    pub(crate) fn flags() -> String {
        format!("-c {}", SETTINGS.join(" -c "))
    }

    fn connect(&self) -> io::Result<Connection> {
        Connection::open(&self.server.folder().join(SOCKET), USER)
    }
}

/// Where packages put what is not in `PATH`: the newest version first.
fn places() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    };
    let mut places: Vec<PathBuf> = versions.map(|version| version.path()).collect();
    places.sort_by_key(|path| std::cmp::Reverse(number(path)));
    let mut places: Vec<PathBuf> = places.iter().map(|path| path.join("bin")).collect();
    places.push("/usr/local/pgsql/bin".into());
    places
}

/// The peer: one server, driven over so many connections.
pub(crate) struct PostgresPeer {
    server: Arc<PostgresServer>,
    durability: Durability,
    connections: usize,
}

impl PostgresPeer {
    /// Makes tables with these units of each product, for this durability and number of connections.
    ///
    /// # Errors
    /// The server fails.
    pub(crate) fn open(
        server: &Arc<PostgresServer>,
        durability: Durability,
        connections: usize,
        units: &[u32],
    ) -> io::Result<Self> {
        let unlogged = if durability == Durability::InMemory { "UNLOGGED" } else { "" };
        let peer = Self { server: Arc::clone(server), durability, connections };
        let mut connection = peer.connect()?;
        connection.simple(&SCHEMA.replace("{unlogged}", unlogged))?;
        for (number, units) in units.chunks(1_000).enumerate() {
            let row = |(place, units)| format!("({}, {units})", number * 1_000 + place);
            let rows: Vec<String> = units.iter().enumerate().map(row).collect();
            let rows = rows.join(", ");
            connection.simple(&format!("INSERT INTO stock (product, available) VALUES {rows}"))?;
        }
        connection.simple("VACUUM ANALYZE stock")?;
        connection.simple("CHECKPOINT")?;
        Ok(peer)
    }

    /// A connection to the tables of this peer.
    fn connect(&self) -> io::Result<Connection> {
        let mut connection = self.server.connect()?;
        let schema = format!("{}_{}", self.durability.name(), self.connections).replace(' ', "_");
        connection.simple(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
        connection.simple(&format!("SET search_path = {schema}"))?;
        let on = if self.durability == Durability::Synced { "on" } else { "off" };
        connection.simple(&format!("SET synchronous_commit = {on}"))?;
        Ok(connection)
    }
}

impl Ledger for PostgresPeer {
    type Session = PostgresSession;

    fn about(&self) -> About {
        let setup = match self.connections {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        let guarantees = match self.durability {
            Durability::InMemory => {
                "unlogged tables: atomic statements, audited in a table, but a crash empties them; \
                 SQL; shared by many processes"
            }
            Durability::Buffered => {
                "synchronous_commit=off: atomic statements, audited in a table; a crash loses less \
                 than a second; SQL; shared by many processes"
            }
            Durability::Synced => {
                "synchronous_commit=on: atomic statements, audited in a table; nothing that was \
                 answered is lost; SQL; shared by many processes"
            }
        };
        About { engine: "postgresql", setup, durability: self.durability, guarantees }
    }

    fn product(&self, index: usize) -> u32 {
        index as u32
    }

    fn session(&self) -> PostgresSession {
        let open = || {
            let mut connection = self.connect()?;
            for (name, statement) in [("r", RESERVE), ("c", CONFIRM), ("g", RELEASE)] {
                connection.prepare(name, statement)?;
            }
            Ok::<_, io::Error>(connection)
        };
        PostgresSession {
            connection: open().expect("a running server"),
            random: StdRng::try_from_rng(&mut SysRng).expect("a system with randomness"),
            _server: Arc::clone(&self.server),
        }
    }
}

/// A connection.
pub(crate) struct PostgresSession {
    connection: Connection,
    random: StdRng,
    _server: Arc<PostgresServer>,
}

impl PostgresSession {
    fn end(&mut self, statement: &str, hold: u128) {
        let rows = self.connection.run(statement, &[&hold.to_be_bytes()]);
        assert_eq!(rows.expect("a running server"), 1, "a live hold");
    }
}

impl Session for PostgresSession {
    type Product = u32;
    type Hold = u128;

    fn reserve(&mut self, product: u32) -> Option<u128> {
        let hold = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let (product, units) = (product.to_be_bytes(), 1_u32.to_be_bytes());
        let rows = self.connection.run("r", &[&product, &units, &hold.to_be_bytes()]);
        (rows.expect("a running server") == 1).then_some(hold)
    }

    fn confirm(&mut self, hold: u128) {
        self.end("c", hold);
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn release(&mut self, hold: u128) {
        self.end("g", hold);
    }
}

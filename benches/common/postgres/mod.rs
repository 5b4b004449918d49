//! The PostgreSQL peer: each step is one prepared statement that checks, moves and records.
//!
//! The server is tuned as its users tune it for many short writes. Two clients drive it: the
//! `postgres` crate, as its users call it, and a small client of our own, which is faster. So the
//! server shows what it can do, and no reader has to trust our client.

mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use postgres::error::SqlState;
use postgres::{NoTls, Statement};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use self::wire::WireClient;
use super::customers::Customers;
use super::ledger::{About, Durability, End, Ledger, Session};
use super::programs::{Account, Folder, Server, command, find};

const SCHEMA: &str = include_str!("schema.sql");
const RESERVE: &str = include_str!("reserve.sql");
const CONFIRM: &str = include_str!("confirm.sql");
const RELEASE: &str = include_str!("release.sql");
const RESERVE_LIMITED: &str = include_str!("reserve_limited.sql");
const RELEASE_LIMITED: &str = include_str!("release_limited.sql");

const USER: &str = "postgres";
const SOCKET: &str = ".s.PGSQL.5432";

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "max_connections=256",
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
    /// Starts a server; `None` if the programs are not installed.
    ///
    /// # Errors
    /// The programs are installed, and do not run.
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
        let answers = |folder: &Path| connect(folder).is_ok();
        Ok(Some(Self { server: Server::start(command, folder, answers)? }))
    }

    /// The options with which the server was started.
    pub(crate) fn flags() -> String {
        format!("-c {}", SETTINGS.join(" -c "))
    }
}

/// A connection to the server of this folder.
fn connect(folder: &Path) -> Result<postgres::Client, postgres::Error> {
    postgres::Client::configure().host_path(folder).user(USER).dbname(USER).connect(NoTls)
}

/// Where packages install what is not in `PATH`, the newest version first.
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

/// Which client talks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostgresClient {
    /// The `postgres` crate.
    Crate,
    /// The client in `wire.rs`.
    Own,
}

impl PostgresClient {
    pub(crate) const BOTH: [Self; 2] = [Self::Crate, Self::Own];

    fn name(self) -> &'static str {
        match self {
            Self::Crate => "postgres crate",
            Self::Own => "own client",
        }
    }
}

/// How a server is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drive {
    pub(crate) client: PostgresClient,
    pub(crate) durability: Durability,
    pub(crate) connections: usize,
}

impl Drive {
    /// The schema with the tables of this use alone.
    fn schema(self) -> String {
        let Self { client, durability, connections } = self;
        format!("{}_{}_{connections}", client.name(), durability.name()).replace(' ', "_")
    }

    /// The settings that a connection sends first.
    fn settings(self) -> String {
        let schema = self.schema();
        let on = if self.durability == Durability::Synced { "on" } else { "off" };
        format!(
            "CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema}; \
             SET synchronous_commit = {on}"
        )
    }
}

/// The peer: one server, used over a number of connections.
pub(crate) struct PostgresPeer {
    server: Arc<PostgresServer>,
    drive: Drive,
    /// What each customer may have of all products together, if there is a limit.
    maximum: Option<u32>,
}

impl PostgresPeer {
    /// Creates tables with these units of each product.
    ///
    /// # Errors
    /// The server fails.
    pub(crate) fn open(
        server: &Arc<PostgresServer>,
        drive: Drive,
        units: &[u32],
    ) -> Result<Self, postgres::Error> {
        Self::open_under(None, server, drive, units)
    }

    /// The same, if there is a maximum: of which each customer may have so many.
    ///
    /// # Errors
    /// The server fails.
    pub(crate) fn open_under(
        maximum: Option<u32>,
        server: &Arc<PostgresServer>,
        drive: Drive,
        units: &[u32],
    ) -> Result<Self, postgres::Error> {
        let unlogged = if drive.durability == Durability::InMemory { "UNLOGGED" } else { "" };
        let mut connection = connect(server.server.folder())?;
        connection.batch_execute(&drive.settings())?;
        connection.batch_execute(&SCHEMA.replace("{unlogged}", unlogged))?;
        for (number, units) in units.chunks(1_000).enumerate() {
            let row = |(place, units)| format!("({}, {units})", number * 1_000 + place);
            let rows: Vec<String> = units.iter().enumerate().map(row).collect();
            let rows = rows.join(", ");
            connection
                .batch_execute(&format!("INSERT INTO stock (product, available) VALUES {rows}"))?;
        }
        connection.batch_execute("VACUUM ANALYZE stock")?;
        connection.batch_execute("CHECKPOINT")?;
        Ok(Self { server: Arc::clone(server), drive, maximum })
    }
}

impl Ledger for PostgresPeer {
    type Session = PostgresSession;

    fn about(&self) -> About {
        let Drive { client, durability, connections } = self.drive;
        let plural = if connections == 1 { "" } else { "s" };
        let setup = format!("{connections} connection{plural}, {}", client.name());
        let guarantees = match durability {
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
        About { engine: "postgresql", setup, durability, guarantees }
    }

    fn product(&self, index: usize) -> i32 {
        index as i32
    }

    fn session(&self) -> PostgresSession {
        let folder = self.server.server.folder();
        let [reserve, release] = match self.maximum {
            None => [RESERVE, RELEASE],
            Some(_) => [RESERVE_LIMITED, RELEASE_LIMITED],
        };
        let steps = Steps { reserve, confirm: CONFIRM, release };
        let open = match self.drive.client {
            PostgresClient::Crate => {
                Open::by_crate(folder, self.drive, steps).map_err(io::Error::other)
            }
            PostgresClient::Own => Open::by_own(folder, self.drive, steps),
        };
        PostgresSession {
            open: open.expect("a running server"),
            maximum: self.maximum.unwrap_or(0) as i32,
            customers: None,
            random: StdRng::try_from_rng(&mut SysRng).expect("a system with randomness"),
            _server: Arc::clone(&self.server),
        }
    }
}

/// The statements of the steps: as text, or as a client has prepared them.
struct Steps<S> {
    reserve: S,
    confirm: S,
    release: S,
}

/// An open connection with its prepared statements.
enum Open {
    Crate { client: Box<postgres::Client>, steps: Steps<Statement> },
    Own(WireClient),
}

/// A customer, and what the limit allows each of them.
#[derive(Clone, Copy)]
struct Allowed {
    customer: i64,
    maximum: i32,
}

impl Open {
    fn by_crate(folder: &Path, drive: Drive, texts: Steps<&str>) -> Result<Self, postgres::Error> {
        let mut client = Box::new(connect(folder)?);
        client.batch_execute(&drive.settings())?;
        let reserve = client.prepare(texts.reserve)?;
        let confirm = client.prepare(texts.confirm)?;
        let release = client.prepare(texts.release)?;
        Ok(Self::Crate { client, steps: Steps { reserve, confirm, release } })
    }

    fn by_own(folder: &Path, drive: Drive, texts: Steps<&str>) -> io::Result<Self> {
        let mut client = WireClient::open(&folder.join(SOCKET), USER)?;
        client.simple(&drive.settings())?;
        client.prepare("r", texts.reserve)?;
        client.prepare("c", texts.confirm)?;
        client.prepare("g", texts.release)?;
        Ok(Self::Own(client))
    }

    /// Holds a unit. Returns the number of entries that were written: none also where a check of
    /// the tables undoes the statement, because another caller has just taken the last unit.
    fn reserve(&mut self, product: i32, hold: Uuid, of: Option<Allowed>) -> io::Result<u64> {
        match self {
            Self::Crate { client, steps } => {
                let done = match of {
                    None => client.execute(&steps.reserve, &[&product, &1_i32, &hold]),
                    Some(Allowed { customer, maximum }) => client
                        .execute(&steps.reserve, &[&product, &1_i32, &hold, &customer, &maximum]),
                };
                match done {
                    Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => Ok(0),
                    done => done.map_err(io::Error::other),
                }
            }
            Self::Own(client) => {
                let (product, units) = (product.to_be_bytes(), 1_i32.to_be_bytes());
                let Some(Allowed { customer, maximum }) = of else {
                    return client.run("r", &[&product, &units, hold.as_bytes()]);
                };
                let (customer, maximum) = (customer.to_be_bytes(), maximum.to_be_bytes());
                let parameters: [&[u8]; 5] =
                    [&product, &units, hold.as_bytes(), &customer, &maximum];
                match client.run("r", &parameters) {
                    Err(error) if error.to_string().contains(SqlState::CHECK_VIOLATION.code()) => {
                        Ok(0)
                    }
                    done => done,
                }
            }
        }
    }

    /// Ends a hold. Returns the number of entries that were written.
    fn end(&mut self, end: End, hold: Uuid) -> io::Result<u64> {
        match self {
            Self::Crate { client, steps } => {
                let statement = match end {
                    End::Confirm => &steps.confirm,
                    End::Release => &steps.release,
                };
                client.execute(statement, &[&hold]).map_err(io::Error::other)
            }
            Self::Own(client) => {
                let name = match end {
                    End::Confirm => "c",
                    End::Release => "g",
                };
                client.run(name, &[hold.as_bytes()])
            }
        }
    }
}

/// A connection.
pub(crate) struct PostgresSession {
    open: Open,
    maximum: i32,
    customers: Option<Customers>,
    random: StdRng,
    _server: Arc<PostgresServer>,
}

impl Session for PostgresSession {
    type Product = i32;
    type Hold = Uuid;

    fn serve(&mut self, customers: Customers) {
        self.customers = Some(customers);
    }

    fn reserve(&mut self, product: i32) -> Option<Uuid> {
        let hold = Uuid::from_u64_pair(self.random.next_u64(), self.random.next_u64());
        let maximum = self.maximum;
        let customer = self.customers.as_mut().map(Customers::next);
        let of = customer.map(|customer| Allowed { customer: customer as i64, maximum });
        (self.open.reserve(product, hold, of).expect("a running server") == 1).then_some(hold)
    }

    fn confirm(&mut self, hold: Uuid) {
        let rows = self.open.end(End::Confirm, hold);
        assert_eq!(rows.expect("a running server"), 1, "a live hold");
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn release(&mut self, hold: Uuid) {
        let rows = self.open.end(End::Release, hold);
        assert_eq!(rows.expect("a running server"), 1, "a live hold");
    }
}

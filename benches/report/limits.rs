//! Limits per customer: a hold that draws on one and its release, and the refusal of a customer who
//! has all, by the engine, by its peers in this process and by servers.

use std::time::Duration;

use crate::common::Scale;
use crate::common::crew::{Crew, Plan};
use crate::common::customers::Limit;
use crate::common::ledger::Durability::{self, Buffered, InMemory, Synced};
use crate::common::limit_proof;
use crate::common::limited::LimitedEngine;
use crate::common::local::Job;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::common::machine::cores;
use crate::common::order::{Ask, Turn};
use crate::common::postgres::{Drive, PostgresClient, PostgresPeer};
use crate::common::redis::RedisPeer;
use crate::common::workload::Access;
use crate::local::{SHOP, many, warm};
use crate::numbers::count;
use crate::progress::Progress;
use crate::race::{Pace, Race};
use crate::remote::{Servers, WAITING};
use crate::row::{Row, Section};

/// What each customer may have.
const MAXIMUM: u32 = 2;

/// How the workload's name ends where servers run.
pub(crate) const BESIDE_SERVERS: &str = "beside servers";

/// Against whom.
#[derive(Clone, Copy)]
enum Field {
    InProcess,
    BesideServers,
}

/// A demand under a limit.
#[derive(Clone, Copy)]
struct Case {
    field: Field,
    ask: Ask,
    access: Access,
    /// Live holds of each thread.
    live: usize,
    customers: u64,
}

impl Case {
    /// Holds that pass and are given back. There are so many customers that none comes again while
    /// the hold is alive.
    fn released(field: Field, scale: Scale, access: Access, live: usize) -> Self {
        let customers = scale.pick(10_000, 1_000_000, 1_000_000);
        Self { field, ask: Ask::Released, access, live, customers }
    }

    /// Calls of customers who hold all that they may.
    fn refused(field: Field, customers: u64) -> Self {
        Self { field, ask: Ask::Refused, access: Access::Hot, live: 1, customers }
    }

    fn limit(self) -> Limit {
        Limit { maximum: MAXIMUM, customers: self.customers }
    }

    fn plan(self, threads: usize) -> Plan {
        let limit = self.limit();
        let live = match self.ask {
            // A crew begins with all its live holds but one. So each customer has the maximum.
            Ask::Refused => MAXIMUM as usize * limit.customers_each(threads) as usize + 1,
            _ => self.live,
        };
        Plan { limit: Some(limit), ..Plan::new(self.access, threads, live) }
    }

    fn name(self) -> String {
        let field = match self.field {
            Field::InProcess => "in process",
            Field::BesideServers => BESIDE_SERVERS,
        };
        let what = match self.ask {
            Ask::Refused => "refused by the limit",
            _ => "held and released under a limit",
        };
        let (access, customers) = (self.access.name(), count(self.customers as f64));
        format!("{what}, {access}, {customers} customers, {field}")
    }

    fn race(self, warm: Turn) -> Race {
        Race::new(Section::Limits, self.name(), self.ask, warm)
    }

    fn engine(self, durability: Durability, threads: usize) -> Crew {
        let units = self.access.units();
        Crew::hire(&LimitedEngine::open(durability, &units, MAXIMUM), self.plan(threads))
    }

    /// The peers in this process.
    fn peers(self, job: Job, threads: usize) -> [Crew; 2] {
        let (units, plan) = (self.access.units(), self.plan(threads));
        [
            Crew::hire(&MutexPeer::open_limited(MAXIMUM, &units, job), plan),
            Crew::hire(&DashMapPeer::open_limited(MAXIMUM, &units, job), plan),
        ]
    }
}

/// Panics unless the engine and its peers in this process keep a limit.
pub(crate) fn prove() {
    let (units, maximum) = ([limit_proof::UNITS], limit_proof::MAXIMUM);
    for durability in [InMemory, Buffered, Synced] {
        limit_proof::prove(&LimitedEngine::open(durability, &units, maximum));
    }
    for job in [Job::Whole, Job::Lean] {
        limit_proof::prove(&MutexPeer::open_limited(maximum, &units, job));
        limit_proof::prove(&DashMapPeer::open_limited(maximum, &units, job));
    }
}

/// The same of the servers.
fn prove_servers(servers: &Servers, progress: &mut Progress) {
    let (units, maximum) = ([limit_proof::UNITS], Some(limit_proof::MAXIMUM));
    for (_, server) in &servers.redis {
        match RedisPeer::open_under(maximum, server, 1, 1, &units) {
            Ok(peer) => limit_proof::prove(&peer),
            Err(error) => progress.note(&format!("a redis peer's limit was not proven: {error}")),
        }
    }
    let Some(server) = &servers.postgres else { return };
    for client in PostgresClient::BOTH {
        for durability in [InMemory, Synced] {
            let drive = Drive { client, durability, connections: 1 };
            match PostgresPeer::open_under(maximum, server, drive, &units) {
                Ok(peer) => limit_proof::prove(&peer),
                Err(error) => {
                    progress.note(&format!("a postgres peer's limit was not proven: {error}"));
                }
            }
        }
    }
}

/// The engine and its peers in this process.
pub(crate) fn in_process(scale: Scale, turns: usize, progress: &mut Progress) -> Vec<Row> {
    let pace = Pace { turns, span: Duration::from_millis(scale.pick(5, 30, 200)) };
    let field = Field::InProcess;
    let cases = [
        Case::released(field, scale, Access::Hot, 1),
        Case::released(field, scale, SHOP, many(scale)),
        Case::refused(field, scale.pick(100, 50_000, 50_000)),
    ];
    let jobs = scale.pick(&[Job::Whole][..], &[Job::Whole], &[Job::Whole, Job::Lean]);
    let mut rows = Vec::new();
    for case in cases {
        progress.say(&case.name());
        let mut race = case.race(match case.ask {
            Ask::Refused => Turn::Times(10_000),
            _ => warm(scale),
        });
        for threads in scale.pick(&[2][..], &[1, 2], &[1, 2]) {
            let mut crews = vec![case.engine(InMemory, *threads)];
            crews.extend(jobs.iter().flat_map(|job| case.peers(*job, *threads)));
            race.group(crews);
        }
        rows.extend(race.run(pace));
    }
    rows
}

/// The engine beside servers, at equal durability. A shop's demand, and a drop, where all want the
/// same row.
pub(crate) fn beside_servers(
    scale: Scale,
    turns: usize,
    servers: &Servers,
    progress: &mut Progress,
) -> Vec<Row> {
    let pace = Pace { turns, span: Duration::from_millis(scale.pick(20, 80, 500)) };
    prove_servers(servers, progress);
    let field = Field::BesideServers;
    let shop = Case::released(field, scale, SHOP, 1);
    let hot = Case::released(field, scale, Access::Hot, 1);
    // Not more: every connection begins by making two holds for each.
    let refused = Case::refused(field, scale.pick(100, 1_000, 1_000));
    let cases = [(hot, InMemory), (refused, InMemory), (shop, InMemory), (shop, Synced)];
    let mut rows = Vec::new();
    for (case, durability) in &cases[..scale.pick(2, 2, 4)] {
        let durability = *durability;
        progress.say(&format!("{}, {}", case.name(), durability.name()));
        let threads = if durability == Synced { WAITING } else { cores() };
        let mut race = case.race(Turn::For(pace.span / 3));
        race.group(vec![case.engine(durability, 1)]);
        let mut crews = vec![case.engine(durability, threads)];
        crews.extend(servers.crews(scale, durability, &|threads| case.plan(threads), progress));
        race.group(crews);
        rows.extend(race.run(pace));
    }
    rows
}

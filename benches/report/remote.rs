//! The servers that shops use, against the engine at the same durability.

use std::sync::Arc;

use crate::common::Scale;
use crate::common::crew::{Ask, Crew, Plan, Turn};
use crate::common::ledger::Durability;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::common::machine::cores;
use crate::common::postgres::{PostgresPeer, PostgresServer};
use crate::common::redis::{PROGRAMS, RedisPeer, RedisServer};
use crate::common::workload::Access;
use crate::local::engines_of;
use crate::progress::Progress;
use crate::race::{Pace, Race};
use crate::row::{Row, Section};

const ACCESS: Access = Access::Zipf(10_000);
/// Callers that each wait for the disk.
const WAITING: usize = 64;

const CLIENTS: &str = "clients of redis and postgres: a thread and a unix socket each, scripts loaded and \
    statements prepared once, binary parameters, buffers reused";

/// The servers that could be started.
pub(crate) struct Servers {
    pub(crate) redis: Vec<(Durability, Arc<RedisServer>)>,
    pub(crate) postgres: Option<Arc<PostgresServer>>,
}

impl Servers {
    /// Starts what is installed; says what is not.
    pub(crate) fn start(progress: &mut Progress) -> Self {
        let mut redis = Vec::new();
        for program in PROGRAMS {
            for durability in [Durability::InMemory, Durability::Buffered, Durability::Synced] {
                let name = program.1;
                match RedisServer::start(*program, durability) {
                    Ok(Some(server)) => {
                        progress.note(&format!("{name} {}", server.flags()));
                        redis.push((durability, Arc::new(server)));
                    }
                    Ok(None) => {
                        progress.note(&format!("{name} is not installed: skipped"));
                        break;
                    }
                    Err(error) => progress.note(&format!("{name} skipped: {error}")),
                }
            }
        }
        let postgres = match PostgresServer::start() {
            Ok(Some(server)) => {
                progress.note(&format!("postgres {}", PostgresServer::flags()));
                Some(Arc::new(server))
            }
            Ok(None) => {
                progress.note("postgres is not installed: skipped");
                None
            }
            Err(error) => {
                progress.note(&format!("postgres skipped: {error}"));
                None
            }
        };
        if !redis.is_empty() || postgres.is_some() {
            progress.note(CLIENTS);
        }
        Self { redis, postgres }
    }
}

/// Pairs a second, each durability by itself.
pub(crate) fn peers(
    scale: Scale,
    pace: Pace,
    servers: &Servers,
    progress: &mut Progress,
) -> Vec<Row> {
    let units = ACCESS.units();
    let mut rows = Vec::new();
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Synced] {
        progress.say(&format!("peers, {}", durability.name()));
        let mut crews = engines(durability, &units);
        for (_, server) in servers.redis.iter().filter(|(of, _)| *of == durability) {
            let setups: &[(usize, usize)] = match durability {
                Durability::InMemory => &[(1, 1), (50, 1), (4, 64)],
                Durability::Buffered => scale.pick(&[(4, 64)], &[(4, 64)], &[(50, 1), (4, 64)]),
                Durability::Synced => &[(WAITING, 1)],
            };
            for (connections, depth) in setups {
                match RedisPeer::open(server, *connections, *depth, &units) {
                    Ok(peer) => crews.push(Crew::hire(&peer, Plan::new(ACCESS, *connections, 1))),
                    Err(error) => progress.note(&format!("a redis peer skipped: {error}")),
                }
            }
        }
        if let Some(server) = &servers.postgres {
            let connections: &[usize] = match durability {
                Durability::Synced => scale.pick(&[8], &[WAITING], &[1, 8, 32, WAITING]),
                _ => scale.pick(&[8], &[1, 32], &[1, 8, 32]),
            };
            for connections in connections {
                match PostgresPeer::open(server, durability, *connections, &units) {
                    Ok(peer) => crews.push(Crew::hire(&peer, Plan::new(ACCESS, *connections, 1))),
                    Err(error) => progress.note(&format!("a postgres peer skipped: {error}")),
                }
            }
        }
        if crews.is_empty() {
            continue;
        }
        let workload = ACCESS.name();
        let race = Race {
            section: Section::Peers,
            workload,
            ask: Ask::Pair,
            warm: Turn::For(pace.span / 3),
            crews,
        };
        let mut found = race.run(pace);
        // Without the engine at this durability there is nothing to compare with.
        if found.first().is_some_and(|row| row.engine != "stockade") {
            found.iter_mut().for_each(|row| row.against = None);
        }
        rows.extend(found);
    }
    rows
}

/// The engine as its users would drive it for this durability, and the peers in this process.
fn engines(durability: Durability, units: &[u32]) -> Vec<Crew> {
    let all = Plan::new(ACCESS, cores(), 1);
    let one = Plan::new(ACCESS, 1, 1);
    let plans: &[Plan] = match durability {
        Durability::Synced => &[Plan { settle_every: 1, ..Plan::new(ACCESS, WAITING, 1) }],
        _ => &[all, one],
    };
    let engines = plans.iter().filter_map(|plan| engines_of(durability, *plan, units));
    let mut crews: Vec<Crew> = engines.collect();
    if durability == Durability::InMemory {
        crews.push(Crew::hire(&MutexPeer::open(units, 0), one));
        crews.push(Crew::hire(&DashMapPeer::open(units), one));
    }
    crews
}

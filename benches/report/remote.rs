//! The servers that shops use, against the engine at the same durability.

use std::sync::Arc;

use crate::common::Scale;
use crate::common::crew::{Crew, Plan};
use crate::common::engine::{Engine, Waiting};
use crate::common::ledger::Durability;
use crate::common::local::Job;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::common::machine::cores;
use crate::common::order::{Ask, Turn};
use crate::common::postgres::{Drive, PostgresClient, PostgresPeer, PostgresServer};
use crate::common::redis::{PROGRAMS, RedisPeer, RedisServer};
use crate::local::SHOP;
use crate::progress::Progress;
use crate::race::{Pace, Race};
use crate::row::{Row, Section};

/// Callers that each wait for the disk.
pub(crate) const WAITING: usize = 64;
/// A caller flushes after this many of its own pairs.
pub(crate) const FLUSH_EVERY: u64 = 1_000;

const CLIENTS: &str = "clients: a thread and a unix socket each; the redis crate, scripts called by their \
    hash, pipelines where it says so many deep; the postgres crate, and beside it a small client of our \
    own, which is faster: statements prepared once, binary parameters";

/// The servers that could be started.
pub(crate) struct Servers {
    pub(crate) redis: Vec<(Durability, Arc<RedisServer>)>,
    pub(crate) postgres: Option<Arc<PostgresServer>>,
}

impl Servers {
    /// Starts the installed servers, and notes the missing ones.
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

/// Pairs per second, for each durability by itself.
pub(crate) fn peers(
    scale: Scale,
    pace: Pace,
    servers: &Servers,
    progress: &mut Progress,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Synced] {
        progress.say(&format!("peers, {}", durability.name()));
        let warm = Turn::For(pace.span / 3);
        let mut race = Race::new(Section::Peers, SHOP.name(), Ask::Pair, warm);
        let (first, mut second) = engines(durability);
        race.group(first);
        let plan = |connections| Plan::new(SHOP, connections, 1);
        second.extend(servers.crews(scale, durability, &plan, progress));
        race.group(second);
        rows.extend(race.run(pace));
    }
    rows
}

/// The engine as its users would use it at this durability, and the peers in this process. Servers
/// are compared with the first one of the second group.
fn engines(durability: Durability) -> (Vec<Crew>, Vec<Crew>) {
    let units = SHOP.units();
    let (one, all) = (Plan::new(SHOP, 1, 1), Plan::new(SHOP, cores(), 1));
    let engine = |plan| Crew::hire(&Engine::open(durability, &units), plan);
    match durability {
        Durability::InMemory => {
            let mut second = vec![engine(all)];
            second.push(Crew::hire(&MutexPeer::open(&units, Job::Whole), all));
            second.push(Crew::hire(&DashMapPeer::open(&units, Job::Whole), all));
            (vec![engine(one)], second)
        }
        Durability::Buffered => (vec![engine(one)], vec![engine(all)]),
        Durability::Synced => {
            // First step for step, like the servers. Then as the engine's users would do it, with
            // one wait, at the sale, because the durable part is always a prefix.
            let with = |callers| {
                let plan = Plan::new(SHOP, callers, 1);
                let by_sale = Engine::open_waiting(durability, Waiting::AtTheEnd, &units);
                vec![engine(plan), Crew::hire(&by_sale, plan)]
            };
            (with(1), with(WAITING))
        }
    }
}

/// Callers that flush after many pairs of their own, beside as many that never flush.
pub(crate) fn flushing(pace: Pace, progress: &mut Progress) -> Vec<Row> {
    progress.say("callers that flush now and then");
    let units = SHOP.units();
    let warm = Turn::For(pace.span / 3);
    let mut race = Race::new(Section::Peers, SHOP.name(), Ask::Pair, warm);
    let crews = [0, FLUSH_EVERY].map(|flush_every| {
        let plan = Plan { flush_every, ..Plan::new(SHOP, WAITING, 1) };
        Crew::hire(&Engine::open(Durability::Buffered, &units), plan)
    });
    race.group(crews.into());
    race.run(pace)
}

/// The task of so many connections.
type PlanOf<'p> = &'p dyn Fn(usize) -> Plan;

impl Servers {
    /// All servers of this durability, each in several ways.
    pub(crate) fn crews(
        &self,
        scale: Scale,
        durability: Durability,
        plan: PlanOf<'_>,
        progress: &mut Progress,
    ) -> Vec<Crew> {
        let mut crews = self.redis_crews(scale, durability, plan, progress);
        crews.extend(self.postgres_crews(scale, durability, plan, progress));
        crews
    }

    fn redis_crews(
        &self,
        scale: Scale,
        durability: Durability,
        plan: PlanOf<'_>,
        progress: &mut Progress,
    ) -> Vec<Crew> {
        let setups: &[(usize, usize)] = match durability {
            Durability::InMemory => &[(1, 1), (50, 1), (4, 64)],
            Durability::Buffered => scale.pick(&[(4, 64)], &[(4, 64)], &[(1, 1), (50, 1), (4, 64)]),
            Durability::Synced => scale.pick(&[(8, 1)], &[(WAITING, 1)], &[(1, 1), (WAITING, 1)]),
        };
        let mut crews = Vec::new();
        for (_, server) in self.redis.iter().filter(|(of, _)| *of == durability) {
            for (connections, depth) in setups {
                let plan = plan(*connections);
                let (maximum, units) = (plan.maximum(), plan.access.units());
                match RedisPeer::open_under(maximum, server, *connections, *depth, &units) {
                    Ok(peer) => crews.push(Crew::hire(&peer, plan)),
                    Err(error) => progress.note(&format!("a redis peer skipped: {error}")),
                }
            }
        }
        crews
    }

    fn postgres_crews(
        &self,
        scale: Scale,
        durability: Durability,
        plan: PlanOf<'_>,
        progress: &mut Progress,
    ) -> Vec<Crew> {
        let connections: &[usize] = match durability {
            Durability::Synced => scale.pick(&[8], &[WAITING], &[1, 8, 32, WAITING]),
            Durability::InMemory => scale.pick(&[8], &[1, 8, 32], &[1, 8, 32]),
            Durability::Buffered => scale.pick(&[8], &[32], &[1, 8, 32]),
        };
        let mut crews = Vec::new();
        let Some(server) = &self.postgres else { return crews };
        let drives = connections.iter().flat_map(|connections| {
            PostgresClient::BOTH.map(|client| Drive {
                client,
                durability,
                connections: *connections,
            })
        });
        for drive in drives {
            let plan = plan(drive.connections);
            match PostgresPeer::open_under(plan.maximum(), server, drive, &plan.access.units()) {
                Ok(peer) => crews.push(Crew::hire(&peer, plan)),
                Err(error) => progress.note(&format!("a postgres peer skipped: {error}")),
            }
        }
        crews
    }
}

//! What buyers see: the same small HTTP service over the engine and over the servers.

use crate::common::Scale;
use crate::common::crew::{Crew, Plan};
use crate::common::engine::{Engine, Waiting};
use crate::common::http::HttpLedger;
use crate::common::ledger::{Durability, Ledger};
use crate::common::order::{Ask, Turn};
use crate::common::postgres::{Drive, PostgresClient, PostgresPeer};
use crate::common::redis::RedisPeer;
use crate::local::SHOP;
use crate::progress::Progress;
use crate::race::{Pace, Race};
use crate::remote::Servers;
use crate::row::{Row, Section};

/// Connections of buyers, each with one request under way.
const CONNECTIONS: usize = 32;

/// Pairs per second over HTTP, and beside them of the same callers without it.
pub(crate) fn http(
    scale: Scale,
    pace: Pace,
    servers: &Servers,
    progress: &mut Progress,
) -> Vec<Row> {
    let all = [Durability::InMemory, Durability::Buffered, Durability::Synced];
    let durabilities = scale.pick(&all[1..2], &all[1..], &all[..]);
    let mut rows = Vec::new();
    for durability in durabilities {
        progress.say(&format!("over HTTP, {}", durability.name()));
        let warm = Turn::For(pace.span / 3);
        let mut race = Race::new(Section::Http, SHOP.name(), Ask::Pair, warm);
        let (through, direct) = crews(*durability, servers, progress);
        race.group(through);
        race.group(direct);
        rows.extend(race.run(pace));
    }
    rows
}

/// Crews over HTTP and crews without it, the engine first.
fn crews(
    durability: Durability,
    servers: &Servers,
    progress: &mut Progress,
) -> (Vec<Crew>, Vec<Crew>) {
    let (mut through, mut direct) = (Vec::new(), Vec::new());
    let units = SHOP.units();
    let plan = Plan::new(SHOP, CONNECTIONS, 1);
    let waitings: &[Waiting] = match durability {
        Durability::Synced => &[Waiting::AtEachStep, Waiting::AtTheEnd],
        _ => &[Waiting::AtEachStep],
    };
    fn both<L: Ledger>(ledger: L, plan: Plan) -> (Crew, Crew) {
        let direct = Crew::hire(&ledger, plan);
        (Crew::hire(&HttpLedger::new(ledger, plan.access.products()), plan), direct)
    }
    let mut add = |(one, other)| {
        through.push(one);
        direct.push(other);
    };
    for waiting in waitings {
        add(both(Engine::open_waiting(durability, *waiting, &units), plan));
    }
    for (_, server) in servers.redis.iter().filter(|(of, _)| *of == durability) {
        match RedisPeer::open(server, CONNECTIONS, 1, &units) {
            Ok(peer) => add(both(peer, plan)),
            Err(error) => progress.note(&format!("redis over HTTP skipped: {error}")),
        }
    }
    if let Some(server) = &servers.postgres {
        for client in PostgresClient::BOTH {
            let drive = Drive { client, durability, connections: CONNECTIONS };
            match PostgresPeer::open(server, drive, &units) {
                Ok(peer) => add(both(peer, plan)),
                Err(error) => progress.note(&format!("postgres over HTTP skipped: {error}")),
            }
        }
    }
    (through, direct)
}

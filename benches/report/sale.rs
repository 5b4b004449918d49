//! A flash sale: many buyers, one product, and how its stock falls over time.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::common::Scale;
use crate::common::engine::Engine;
use crate::common::ledger::{About, Durability, Ledger, Session};
use crate::common::local::Job;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::common::machine::hop;
use crate::common::postgres::{Drive, PostgresClient, PostgresPeer};
use crate::common::redis::RedisPeer;
use crate::progress::Progress;
use crate::remote::Servers;
use crate::row::{Burn, Row, Section};

/// Points of a curve.
const POINTS: usize = 200;

/// Sells everything, once with each engine.
pub(crate) fn sale(
    scale: Scale,
    servers: &Servers,
    progress: &mut Progress,
) -> (Vec<Row>, Vec<Burn>) {
    let units = scale.pick(500, 5_000, 50_000);
    progress.say(&format!("a flash sale of {units} units"));
    let (mut rows, mut burns) = (Vec::new(), Vec::new());
    let mut add = |(row, burn)| {
        rows.push(row);
        burns.push(burn);
    };
    for durability in Engine::DURABILITIES {
        add(burn(&Engine::open(*durability, &[units]), units, 8));
    }
    add(burn(&MutexPeer::open(&[units], Job::Whole), units, 8));
    add(burn(&DashMapPeer::open(&[units], Job::Whole), units, 8));
    for (_, server) in servers.redis.iter().filter(|(of, _)| *of != Durability::Buffered) {
        if let Ok(peer) = RedisPeer::open(server, 50, 1, &[units]) {
            add(burn(&peer, units, 50));
        }
    }
    // The faster one of its clients.
    let (client, durability) = (PostgresClient::Own, Durability::Buffered);
    let drive = Drive { client, durability, connections: 32 };
    if let Some(server) = &servers.postgres
        && let Ok(peer) = PostgresPeer::open(server, drive, &[units])
    {
        add(burn(&peer, units, 32));
    }
    (rows, burns)
}

fn burn<L: Ledger>(ledger: &L, units: u32, buyers: usize) -> (Row, Burn) {
    let about = ledger.about();
    let hop = hop();
    let mut moments = moments(ledger, buyers);
    assert_eq!(moments.len(), units as usize, "{}: sold more or less than all", about.title());
    moments.sort_by(f64::total_cmp);
    let stride = (moments.len() / POINTS).max(1);
    let left = |(sold, moment): (usize, &f64)| (*moment, f64::from(units) - sold as f64 - 1.0);
    let points = moments.iter().enumerate().map(left);
    let left = points.enumerate().filter(|(place, _)| (place + 1) % stride == 0);
    let left = left.map(|(_, point)| point).collect();
    let seconds = moments.last().copied().unwrap_or(f64::NAN);
    let row = Row {
        threads: buyers,
        live: units as usize,
        per_second: f64::from(units) / seconds,
        hop,
        ..Row::new(Section::Sale, format!("flash sale of {units} units, reserves only"), &about)
    };
    (row, Burn { title: title(&about), left })
}

fn title(about: &About) -> String {
    format!("{}, {}", about.title(), about.durability.name())
}

/// When each unit was reserved, in seconds since the start of the sale.
fn moments<L: Ledger>(ledger: &L, buyers: usize) -> Vec<f64> {
    let open = Barrier::new(buyers);
    let began = Instant::now();
    let parts: Vec<(f64, Vec<f64>)> = thread::scope(|scope| {
        let threads = (0..buyers).map(|_| {
            let mut session = ledger.session();
            let product = ledger.product(0);
            let open = &open;
            scope.spawn(move || {
                let mut moments = Vec::with_capacity(1 << 16);
                open.wait();
                let start = began.elapsed().as_secs_f64();
                while session.reserve(product).is_some() {
                    moments.push(began.elapsed().as_secs_f64());
                }
                (start, moments)
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let start = parts.iter().map(|(start, _)| *start).fold(f64::INFINITY, f64::min);
    parts.into_iter().flat_map(|(_, moments)| moments).map(|moment| moment - start).collect()
}

//! A server for the router: bounded in connections, in headers and in time.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use stockade::InventoryManager;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::auth::Auth;
use crate::options::HttpOptions;
use crate::routes::router_that_closes;
use crate::shop::Closing;

/// What a server takes at a time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServerLimits {
    /// The most connections. Further ones wait, unaccepted, until one ends. Default: half of the
    /// files that the process may open, which leaves the other half to the journal, and at most
    /// 16,384.
    pub connections: usize,
    /// How long a connection may take to send the head of a request, also of the next one: an idle
    /// connection ends then. Default: 30 s.
    pub header_time: Duration,
    /// How many bytes the head of a request has at most. Default: 16 KiB.
    pub header_bytes: usize,
    /// How long what is under way may take once the server is to end. Default: 10 s.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: connections_allowed(),
            header_time: Duration::from_secs(30),
            header_bytes: 16 << 10,
            drain: Duration::from_secs(10),
        }
    }
}

fn connections_allowed() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = files.map_or(16_384, |files| files / 2);
    usize::try_from(half).unwrap_or(16_384).clamp(1, 16_384)
}

/// A router with what a server has to know of it. [`serve`] takes it.
#[derive(Debug)]
pub struct Service {
    router: Router,
    auth: Auth,
    closing: Closing,
}

impl Service {
    /// The routes of a manager. They keep the engine alive as long as they live.
    pub fn new(manager: InventoryManager, auth: Auth, options: HttpOptions) -> Self {
        let closing = Closing::default();
        let router = router_that_closes(manager, auth.clone(), options, closing.clone());
        Self { router, auth, closing }
    }
}

/// Serves until `ending` resolves. Then it accepts nothing more, and answers what is under
/// way, for [`ServerLimits::drain`] at most. Returns how many connections it had to cut by then.
///
/// # Errors
/// The address is not a loopback one, and the service asks for no tokens. Nothing was accepted.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    limits: ServerLimits,
    ending: impl Future<Output = ()>,
) -> io::Result<usize> {
    let Service { router, auth, closing } = service;
    if auth.is_open() && !listener.local_addr()?.ip().is_loopback() {
        let refused = "without tokens, a server is bound to a loopback address";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header_time);
    let open = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut ending = pin!(ending);
    loop {
        // Taken before accepting: the queue of the system holds those that have no place yet.
        let accepted = async {
            let place = Arc::clone(&open).acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, _)| (stream, place))
        };
        let (stream, place) = tokio::select! {
            () = &mut ending => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                // No more files, most likely: others will end.
                Err(_) => {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // A small answer is not to wait for another one. An error shows when it is read from.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            // A connection that its caller broke off is nobody's error.
            let _ = connection.await;
        });
    }
    drop(listener);
    closing.close();
    let cut = timeout(limits.drain, graceful.shutdown()).await.is_err();
    Ok(if cut { limits.connections - open.available_permits() } else { 0 })
}

//! The server on real sockets: what clients may not do to it, and how it ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stockade::{Backpressure, InventoryManager};
use stockade_http::{Auth, HttpOptions, ServerLimits, Service, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

struct Running {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<usize>>,
    manager: InventoryManager,
}

async fn running(limits: ServerLimits) -> Running {
    let builder = InventoryManager::builder().warehouse("SF").backpressure(Backpressure::Refuse);
    let manager = builder.build().expect("a shop");
    manager.add_stock(("SF", "SHOE"), 10, "S").expect("room");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut options = HttpOptions::default();
    options.longest_request = Duration::from_millis(500);
    let service = Service::new(manager.clone(), Auth::loopback_only(), options);
    let (end, told) = oneshot::channel();
    let ending = async move { drop(told.await) };
    let served = tokio::spawn(serve(listener, service, limits, ending));
    Running { address, end, served, manager }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Ends the server. Returns how many connections it cut, and how long that took.
    async fn ended(self) -> (usize, Duration) {
        let began = Instant::now();
        self.end.send(()).expect("it waits");
        let cut = self.served.await.expect("a task").expect("a server");
        (cut, began.elapsed())
    }
}

const LOOK: &str = "GET /v1/stock/SF/SHOE HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What the server says until it hangs up, within so long.
async fn rest(stream: &mut TcpStream, within: Duration) -> Option<String> {
    let mut text = Vec::new();
    timeout(within, stream.read_to_end(&mut text)).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

async fn answered(stream: &mut TcpStream) -> String {
    stream.write_all(LOOK.as_bytes()).await.expect("a connection");
    let mut bytes = [0; 4_096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut bytes)).await;
    String::from_utf8_lossy(&bytes[..read.expect("an answer").expect("bytes")]).into_owned()
}

#[tokio::test]
async fn who_sends_a_head_too_slowly_is_hung_up_on() {
    let mut limits = ServerLimits::default();
    limits.header_time = Duration::from_millis(200);
    let server = running(limits).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nHo").await.expect("a connection");
    let told = rest(&mut slow, Duration::from_secs(5)).await.expect("it hangs up");
    assert!(told.is_empty() || told.contains("408"), "{told}");
    // An idle connection is, too.
    let mut idle = server.connect().await;
    assert!(answered(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert!(rest(&mut idle, Duration::from_secs(5)).await.is_some());
    assert_eq!(server.ended().await.0, 0);
}

#[tokio::test]
async fn a_slow_body_is_given_up_and_moves_nothing() {
    let server = running(ServerLimits::default()).await;
    let mut slow = server.connect().await;
    let head = "POST /v1/holds HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 500\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("a connection");
    let mut bytes = [0; 64];
    let read = timeout(Duration::from_secs(5), slow.read(&mut bytes)).await.expect("an answer");
    let text = String::from_utf8_lossy(&bytes[..read.expect("bytes")]).into_owned();
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert_eq!(server.manager.available(("SF", "SHOE")), Ok(10));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = running(ServerLimits::default()).await;
    let mut large = server.connect().await;
    let head =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(99_000));
    // It may hang up before all is sent.
    let _ = large.write_all(head.as_bytes()).await;
    let mut bytes = [0; 64];
    let read = timeout(Duration::from_secs(5), large.read(&mut bytes)).await.expect("an answer");
    let text = String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    assert!(answered(&mut server.connect().await).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_too_many_waits_until_there_is_a_place() {
    let mut limits = ServerLimits::default();
    limits.connections = 2;
    let server = running(limits).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    answered(&mut one).await;
    answered(&mut two).await;
    let mut third = server.connect().await;
    third.write_all(LOOK.as_bytes()).await.expect("the system's queue");
    let mut bytes = [0; 64];
    let early = timeout(Duration::from_millis(200), third.read(&mut bytes)).await;
    assert!(early.is_err(), "it was served beside two others");
    drop(one);
    let read = timeout(Duration::from_secs(5), third.read(&mut bytes)).await.expect("an answer");
    assert!(read.expect("bytes") > 0);
}

#[tokio::test]
async fn what_is_under_way_is_answered_and_streams_and_idle_connections_end() {
    let server = running(ServerLimits::default()).await;
    let mut idle = server.connect().await;
    answered(&mut idle).await;
    let mut stream = server.connect().await;
    let events = "GET /v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(events.as_bytes()).await.expect("a connection");
    let mut bytes = [0; 512];
    let read = timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.expect("an event");
    assert!(read.expect("bytes") > 0);
    // A request of which half is there.
    let mut halfway = server.connect().await;
    let body = r#"{"lines":[{"warehouse":"SF","product":"SHOE","quantity":1}],"ttl_ms":60000}"#;
    let head = format!(
        "POST /v1/holds HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    halfway.write_all(head.as_bytes()).await.expect("a connection");
    sleep(Duration::from_millis(50)).await;
    let manager = server.manager.clone();
    let ended = tokio::spawn(server.ended());
    sleep(Duration::from_millis(50)).await;
    halfway.write_all(body.as_bytes()).await.expect("it still reads");
    let told = rest(&mut halfway, Duration::from_secs(5)).await.expect("an answer");
    assert!(told.starts_with("HTTP/1.1 201"), "{told}");
    assert_eq!(manager.available(("SF", "SHOE")), Ok(9));
    let (cut, took) = ended.await.expect("a task");
    assert_eq!(cut, 0);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn without_tokens_only_a_loopback_address_is_served() {
    let builder = InventoryManager::builder().warehouse("SF");
    let manager = builder.build().expect("a shop");
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let service = Service::new(manager, Auth::loopback_only(), HttpOptions::default());
    let served = serve(listener, service, ServerLimits::default(), std::future::pending()).await;
    assert_eq!(served.expect_err("refused").kind(), std::io::ErrorKind::PermissionDenied);
}

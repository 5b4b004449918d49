//! A client of a router, without a socket.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    headers: HeaderMap,
}

impl Answer {
    /// A text of the body; empty if there is none.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A server-sent event.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) data: Value,
}

#[derive(Clone)]
pub(crate) struct Client {
    router: Router,
    headers: HeaderMap,
}

impl Client {
    pub(crate) fn new(router: Router) -> Self {
        let client = Self { router, headers: HeaderMap::new() };
        client.with("host", "localhost:7070").with("content-type", "application/json")
    }

    /// A client that sends this header, too.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        let name = HeaderName::try_from(name).expect("a name");
        client.headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        client
    }

    fn request(&self, method: &str, path: &str, body: String) -> Request<Body> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method.parse().expect("a method");
        *request.uri_mut() = path.parse().expect("a path");
        *request.headers_mut() = self.headers.clone();
        request
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: String) -> Answer {
        let request = self.request(method, path, body);
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), body, headers: head.headers }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body.to_string()).await
    }

    /// So many events of entries from a stream, within five seconds.
    pub(crate) async fn events(&self, path: &str, last: Option<u64>, wanted: usize) -> Vec<Told> {
        let mut client = self.clone();
        if let Some(last) = last {
            client = client.with("last-event-id", &last.to_string());
        }
        let request = client.request("GET", path, String::new());
        let Ok(response) = client.router.clone().oneshot(request).await;
        assert_eq!(response.status(), 200);
        let mut stream = response.into_body().into_data_stream();
        let (mut text, mut told) = (String::new(), Vec::new());
        let reading = async {
            while told.len() < wanted {
                let bytes = stream.next().await.expect("an open stream").expect("bytes");
                text += std::str::from_utf8(&bytes).expect("text");
                while let Some((event, rest)) = text.clone().split_once("\n\n") {
                    text = rest.to_owned();
                    let field = |name: &str| {
                        event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                    };
                    if field("event:") == Some("entry") {
                        let id = field("id:").and_then(|id| id.parse().ok()).expect("an id");
                        let data = field("data:").expect("data");
                        told.push(Told { id, data: serde_json::from_str(data).expect("JSON") });
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reading).await.expect("events");
        told.truncate(wanted);
        told
    }
}

/// A folder for a journal of this test.
pub(crate) fn journal_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

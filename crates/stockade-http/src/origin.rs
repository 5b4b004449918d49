//! Whether a request names this machine: the guard against DNS rebinding and cross-site requests.

use std::net::Ipv4Addr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

/// Whether `Host` is a loopback name, and `Origin` is absent or the same host.
pub(crate) fn is_from_this_machine(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next(), uri.authority()) {
        (Some(host), None, _) => host.to_str().ok(),
        // HTTP/2 has it in the address.
        (None, _, Some(authority)) => Some(authority.as_str()),
        _ => None,
    };
    let Some(host) = host.filter(|host| is_loopback(host)) else { return false };
    let mut origins = headers.get_all(ORIGIN).iter();
    let same = |origin: &str| {
        origin.strip_prefix("http://").is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    };
    origins.all(|origin| origin.to_str().is_ok_and(same))
}

/// Whether `HOST` or `HOST:PORT` is a name of the loopback.
fn is_loopback(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    name.eq_ignore_ascii_case("localhost")
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        is_from_this_machine(&map, &Uri::from_static("/v1/holds"))
    }

    #[test]
    fn only_loopback_names_are_this_machine() {
        for host in ["localhost", "LOCALHOST:7070", "127.0.0.1:7070", "127.0.0.2", "[::1]:7070"] {
            assert!(accepted(&[("host", host)]), "{host}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
            "127.1",
            "localhost:80@evil.example",
            "0.0.0.0",
        ];
        for host in foreign {
            assert!(!accepted(&[("host", host)]), "{host}");
        }
        assert!(!accepted(&[]));
        assert!(!accepted(&[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        let from = |origin: &str| accepted(&[("host", "localhost:7070"), ("origin", origin)]);
        assert!(from("http://localhost:7070"));
        let foreign = [
            "http://evil.example",
            "null",
            "http://localhost:8080",
            "https://localhost:7070",
            "http://localhost:7070.evil.example",
        ];
        for origin in foreign {
            assert!(!from(origin), "{origin}");
        }
    }
}

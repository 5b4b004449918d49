//! `stockade serve` as its clients meet it: over HTTP, from other threads, and killed under load.
//!
//! `STOCKADE_KILLS` sets the number of kills.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

use super::{folder, result_of, run, stockade, text};

const SHOE: &str = "/v1/stock/SF/SHOE";
const CLERKS: u64 = 4;

/// A service in a process of its own.
struct Service {
    process: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

/// What a client gets.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
}

impl Service {
    /// Starts it, and waits until it says that it listens.
    fn start(arguments: &[&str]) -> Self {
        let all = [&["serve", "--listen", "127.0.0.1:0", "--warehouse", "SF", "--json"], arguments];
        Self::run(&all.concat())
    }

    fn run(arguments: &[&str]) -> Self {
        let mut command = stockade(arguments);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut said = String::new();
        while !said.trim_end().ends_with('}') {
            let read = stdout.read_line(&mut said).expect("text");
            assert!(read > 0, "it ended: {}", rest_of(process.stderr.take().expect("a pipe")));
        }
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let address = said["listening"].as_str().expect("an address").to_owned();
        Self { process, stdout, address }
    }

    fn client(&self) -> Client {
        Client::of(&self.address)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.expect("the command kill").success());
    }

    /// Ends it as a system does. Returns its exit code, and what it logged.
    fn end(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let log = rest_of(self.process.stderr.take().expect("a pipe"));
        assert_eq!(rest_of(self.stdout), "", "only one object goes to stdout");
        (self.process.wait().expect("it ends").code(), log)
    }

    fn kill(mut self) {
        self.process.kill().expect("it lives");
        self.process.wait().expect("it ends");
    }
}

fn rest_of(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("text");
    text
}

#[derive(Clone)]
struct Client {
    agent: Agent,
    address: String,
    token: Option<String>,
}

impl Client {
    fn of(address: &str) -> Self {
        let settings = Agent::config_builder().http_status_as_error(false);
        let agent = settings.timeout_global(Some(Duration::from_secs(10))).build().new_agent();
        Self { agent, address: address.to_owned(), token: None }
    }

    /// `None` if there was no whole answer.
    fn get(&self, path: &str) -> Option<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(request.call())
    }

    fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Option<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        answer(request.content_type("application/json").send(body.to_string()))
    }
}

fn answer(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut response = sent.ok()?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    Some(Answer { status, body: serde_json::from_str(&text).ok()? })
}

fn one_shoe() -> Value {
    json!({ "lines": [{ "warehouse": "SF", "product": "SHOE", "quantity": 1 }], "ttl_ms": 600_000 })
}

#[test]
fn a_service_sells_ends_and_goes_on_where_it_was() {
    let journal = folder("serve-life");
    let service = Service::start(&["--journal", &journal]);
    let client = service.client();
    let add = json!({ "quantity": 5, "source": "S" });
    assert_eq!(client.post(&format!("{SHOE}/add"), None, &add).expect("an answer").status, 200);
    let made = client.post("/v1/holds", Some("cart-1"), &one_shoe()).expect("an answer");
    assert_eq!(made.status, 201, "{made:?}");
    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("each line of the log is JSON");
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let service = Service::start(&["--journal", &journal]);
    let again = service.client().post("/v1/holds", Some("cart-1"), &one_shoe()).expect("an answer");
    assert_eq!(again.body["id"], made.body["id"]);
    assert_eq!(service.client().get(SHOE).expect("an answer").body["available"], 4);
    assert_eq!(service.end().0, Some(0));
    assert_eq!(result_of(&["audit", "verify", &journal])["closed"], true);
}

#[test]
fn tokens_come_from_a_file_and_are_read_again_at_a_hang_up() {
    let place = folder("serve-tokens");
    fs::create_dir_all(&place).expect("a folder");
    let file = format!("{place}/tokens");
    let token = |name: &str, role: &str| result_of(&["token", name, "--role", role]);
    let (shop, desk) = (token("shop", "sell"), token("desk", "operate"));
    fs::write(&file, shop["line"].as_str().expect("a line")).expect("a file");
    let service = Service::start(&["--in-memory", "--tokens", &file]);
    let with = |made: &Value| {
        let mut client = service.client();
        client.token = made["token"].as_str().map(str::to_owned);
        client
    };
    let status = |client: &Client| client.get("/v1/warehouses").expect("an answer").status;
    assert_eq!(
        [status(&service.client()), status(&with(&shop)), status(&with(&desk))],
        [401, 200, 401]
    );
    // A slip of the pen locks nobody out.
    fs::write(&file, "shop sell nonsense").expect("a file");
    service.signal("-HUP");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(status(&with(&shop)), 200);
    fs::write(&file, desk["line"].as_str().expect("a line")).expect("a file");
    service.signal("-HUP");
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(&with(&desk)) != 200 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!([status(&with(&shop)), status(&with(&desk))], [401, 200]);
    let (code, log) = service.end();
    assert_eq!(code, Some(0));
    for made in [&shop, &desk] {
        assert!(!log.contains(made["token"].as_str().expect("a token")), "a token is in the log");
    }
}

#[test]
fn what_can_not_be_served_is_said_in_one_line() {
    let open = run(&["serve", "--in-memory", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.status.code(), Some(2));
    assert!(text(&open.stderr).contains("--tokens"), "{}", text(&open.stderr));
    let none = run(&["serve", "--in-memory", "--tokens", "/nonexistent/tokens"]);
    assert_eq!(none.status.code(), Some(2), "{}", text(&none.stderr));
    let taken = Service::start(&["--in-memory"]);
    let address = taken.address.trim_start_matches("http://");
    let second = run(&["serve", "--in-memory", "--listen", address]);
    assert_eq!(second.status.code(), Some(1), "{}", text(&second.stderr));
    taken.kill();
    let wrong = run(&["token", "two words", "--role", "sell"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

#[test]
fn settings_come_from_a_file() {
    let place = folder("serve-config");
    fs::create_dir_all(&place).expect("a folder");
    let file = format!("{place}/stockade.toml");
    let settings = |more: &str| {
        let journal = format!("{place}/journal");
        let text = format!(
            "backpressure = \"refuse\"\n{more}\n[[warehouses]]\nname = \"SF\"\ncapacity = 5\n\
             [journal]\ndirectory = \"{journal}\"\n"
        );
        fs::write(&file, text).expect("a file");
    };
    settings("");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--json", "--config", &file];
    let service = Service::run(&arguments);
    let add = json!({ "quantity": 6, "source": "S" });
    let full = service.client().post(&format!("{SHOE}/add"), None, &add).expect("an answer");
    assert_eq!((full.status, full.body["figures"]["room"].as_u64()), (409, Some(5)), "{full:?}");
    assert_eq!(service.end().0, Some(0));
    assert_eq!(result_of(&["audit", "verify", &format!("{place}/journal")])["closed"], true);
    settings("subject_secret = \"hush\"");
    let wrong = run(&arguments);
    let told = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    assert!(
        told.contains("subject_secret") && told.contains("line 2") && !told.contains("hush"),
        "{told}"
    );
}

#[test]
fn the_demo_sells_by_itself() {
    let service = Service::start(&["--demo"]);
    let client = service.client();
    let newest = || {
        let page = client.get("/v1/audit?newest=true&limit=1").expect("an answer").body;
        page["entries"][0]["sequence"].as_u64().unwrap_or(0)
    };
    let (before, deadline) = (newest(), Instant::now() + Duration::from_secs(30));
    while newest() < before + 200 {
        assert!(Instant::now() < deadline, "it does not sell");
        thread::sleep(Duration::from_millis(50));
    }
    let agent = &client.agent;
    let figures = agent.get(format!("{}/metrics", client.address)).call().expect("figures");
    let figures = figures.into_body().read_to_string().expect("text");
    let figure = |name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(figure(r#"stockade_entries_total{type="Reserved"}"#) > 50.0, "{figures}");
    assert!((figure("stockade_ready") - 1.0).abs() < 0.1);
    assert_eq!(service.end().0, Some(0));
}

/// What a clerk was told, and must be so for ever.
#[derive(Default)]
struct Told {
    /// Key and id of each hold.
    holds: Vec<(String, String)>,
    sold: HashSet<String>,
    /// Keys of holds to which no answer came.
    open: Vec<String>,
}

/// Sells until the service is gone.
fn sell(client: &Client, clerk: u64, numbers: &AtomicU64, told: &mut Told, ended: &AtomicBool) {
    // Relaxed: it may sell a little longer.
    while !ended.load(Ordering::Relaxed) {
        // Relaxed: only that no number comes twice.
        let key = format!("{clerk}-{}", numbers.fetch_add(1, Ordering::Relaxed));
        let Some(made) = client.post("/v1/holds", Some(&key), &one_shoe()) else {
            told.open.push(key);
            return;
        };
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.body["id"].as_str().expect("an id").to_owned();
        told.holds.push((key, id.clone()));
        let confirm = format!("/v1/holds/{id}/confirm");
        match client.post(&confirm, Some(&format!("pay-{id}")), &json!({})) {
            Some(sale) if sale.status == 200 => drop(told.sold.insert(id)),
            Some(refused) => panic!("{refused:?}"),
            None => return,
        }
    }
}

/// Kills a service under load, again and again. What its clients were told is true afterwards.
fn kill_services(name: &str, kills: u64) {
    let journal = folder(name);
    let arguments = ["--journal", &journal, "--durable", "all"];
    let numbers = AtomicU64::new(0);
    let mut told: Vec<Told> = (0..CLERKS).map(|_| Told::default()).collect();
    let service = Service::start(&arguments);
    let add = json!({ "quantity": 1_000_000, "source": "S" });
    let added = service.client().post(&format!("{SHOE}/add"), None, &add).expect("an answer");
    assert_eq!(added.status, 200);
    service.kill();
    for round in 0..kills {
        let service = Service::start(&arguments);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for (clerk, told) in told.iter_mut().enumerate() {
                let (client, numbers, ended) = (service.client(), &numbers, &ended);
                scope.spawn(move || sell(&client, clerk as u64, numbers, told, ended));
            }
            thread::sleep(Duration::from_millis(50 + round * 37 % 200));
            service.kill();
            ended.store(true, Ordering::Relaxed);
        });
    }
    let service = Service::start(&arguments);
    let client = service.client();
    let (mut sold, mut held) = (0, HashSet::new());
    for told in &mut told {
        // A retry finds the hold that was made, or makes it now.
        for key in std::mem::take(&mut told.open) {
            let made = client.post("/v1/holds", Some(&key), &one_shoe()).expect("an answer");
            told.holds.push((key, made.body["id"].as_str().expect("an id").to_owned()));
        }
        for (key, id) in &told.holds {
            let again = client.post("/v1/holds", Some(key), &one_shoe()).expect("an answer");
            assert_eq!(again.body["id"].as_str(), Some(&**id), "{key} has another hold now");
            assert!(held.insert(id.clone()), "two keys have the hold {id}");
            let confirm = format!("/v1/holds/{id}/confirm");
            let key = format!("pay-{id}");
            let paid = client.post(&confirm, Some(&key), &json!({})).expect("an answer");
            assert_eq!(paid.status, 200, "{id}: {paid:?}, told sold: {}", told.sold.contains(id));
            sold += 1;
        }
    }
    assert!(sold > kills, "only {sold} sales");
    // Every hold that was ever made is one that a client knows: nothing was taken twice.
    let counts = client.get(SHOE).expect("an answer").body;
    let expected = json!({
        "available": 1_000_000 - sold, "reserved": sold, "sold": sold, "held": 0,
        "on_hand": 1_000_000,
    });
    assert_eq!(counts, expected);
    let verified = client.post("/v1/verify", None, &json!({})).expect("an answer");
    assert_eq!(verified.body["sound"], true);
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn what_a_killed_service_told_its_clients_is_true() {
    let kills = std::env::var("STOCKADE_KILLS").ok().and_then(|text| text.parse().ok());
    kill_services("serve-kills", kills.unwrap_or(20));
}

//! `stockade serve`: the engine over HTTP, on one machine, for services in any language.

mod demo;
mod secret;
mod token;

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use stockade::{Backpressure, BuildError, Config, InventoryManager, JournalConfig, WarehouseSpec};
use stockade_http::{Auth, HttpOptions, ServerLimits, Service, Tokens, Waits, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::report::{Output, Report, path};
use crate::{Failure, Verdict, audit};

pub(crate) use token::{TokenArgs, run as make_token};

/// How long the engine may take to write what is queued, once no caller is left.
const CLOSING: Duration = Duration::from_secs(30);
/// How long a start waits for another process to let go of the journal: a rolling restart.
const LOCK: Duration = Duration::from_secs(10);

/// Serves the engine over HTTP until it is told to stop (SIGTERM, or Ctrl-C)
///
/// The journal in a directory survives restarts and power cuts. Without tokens, only programs on
/// this machine may call, and may do everything. The paths are described at /openapi.json.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on. One that is no loopback address needs --tokens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Read the engine's settings from this file, in TOML: warehouses, limits, the journal and all
    /// else that docs/config.toml lists. --warehouse and --journal then stand there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["warehouses", "journal", "in_memory", "demo"])]
    config: Option<PathBuf>,
    /// A warehouse; give it once for each. A journal's warehouses must all be named again
    #[arg(long = "warehouse", value_name = "NAME", default_value = "MAIN")]
    warehouses: Vec<String>,
    /// Keep the journal in this directory, which is created if it does not exist
    #[arg(long, value_name = "DIR", default_value = "stockade-data")]
    journal: PathBuf,
    /// Keep no journal: what was sold is forgotten when the service stops
    #[arg(long, conflicts_with = "journal")]
    in_memory: bool,
    /// The tokens of callers, a line for each, as `stockade token` prints it. Read again at SIGHUP.
    /// The service can't be reached without one then
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// The secret under which customers are hashed for limits: 32 hexadecimal digits. The file is
    /// made if it does not exist; keep it as long as the journal
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Which answers wait until they are on the disk
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Durable::Sales)]
    durable: Durable,
    /// Fill an engine in memory with a flash sale that goes on and on, to look at
    #[arg(long, conflicts_with = "journal")]
    demo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Durable {
    #[value(help = "none: a power cut can take the last 100 ms")]
    None,
    #[value(help = "all but those to holds")]
    Sales,
    #[value(help = "all")]
    All,
}

/// What is printed once the service can be called. Its field names are part of the program's
/// interface.
#[derive(Debug, Serialize)]
struct Started {
    listening: String,
    journal: Option<String>,
    /// Entries that were there already.
    found: u64,
    tokens: Option<usize>,
}

impl Report for Started {}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Stockade listens on {}", self.listening)?;
        match &self.journal {
            Some(journal) => writeln!(f, "  journal in {journal}, {} entries", self.found)?,
            None => writeln!(f, "  no journal: what is sold is forgotten at the end")?,
        }
        match self.tokens {
            Some(tokens) => writeln!(f, "  for the holders of {tokens} tokens")?,
            None => writeln!(f, "  for everybody on this machine, without a token")?,
        }
        writeln!(
            f,
            "  {0}/openapi.json says what it takes; {0}/v1/events and {0}/metrics what happens",
            self.listening
        )
    }
}

pub(crate) fn run(args: &ServeArgs, output: Output) -> Result<Verdict, Failure> {
    let filter = EnvFilter::try_from_env("STOCKADE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    // It can only be set already.
    let _ = if output.is_json() { log.json().try_init() } else { log.try_init() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::run("the runtime can't be started", error))?;
    runtime.block_on(serve_until_told(args, output))
}

async fn serve_until_told(args: &ServeArgs, output: Output) -> Result<Verdict, Failure> {
    let auth = args.auth()?;
    if auth.is_open() && !args.listen.ip().is_loopback() {
        return Err(Failure::Call(format!(
            "{} can be reached from elsewhere, so callers need tokens: --tokens FILE",
            args.listen
        )));
    }
    // Before the engine: an address that is taken is no reason to open a journal.
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| {
        Failure::run(format_args!("{} can't be listened on", args.listen), error)
    })?;
    let mut ends = Ends::new()?;
    let config = args.settings()?;
    let manager = args.build(&config)?;
    let demo = args.demo.then(|| demo::start(&manager)).transpose()?;
    let mut options = HttpOptions::default();
    options.waits = match args.durable {
        Durable::None => Waits::Buffered,
        Durable::Sales => Waits::AllButHolds,
        Durable::All => Waits::All,
    };
    let recorder = PrometheusBuilder::new().install_recorder();
    options.metrics =
        Some(recorder.map_err(|error| Failure::run("figures can't be recorded", error))?);
    stockade::describe_metrics();
    let service = Service::new(manager.clone(), auth.clone(), options);
    let address = listener.local_addr().unwrap_or(args.listen);
    output.show(&started(&config, &manager, address, &auth))?;
    info!(%address, "serving");
    let served = serve(listener, service, ServerLimits::default(), ends.told(args, &auth));
    let cut = served.await.map_err(|error| Failure::run("the service failed", error))?;
    if cut > 0 {
        warn!(connections = cut, "cut off: they did not end in time");
    }
    drop(demo);
    let shut_down = tokio::task::spawn_blocking(move || manager.shutdown(CLOSING)).await;
    match shut_down {
        Ok(left) if left.is_clean() => {
            info!("closed");
            Ok(Verdict::Kept)
        }
        Ok(left) => Err(Failure::Run(format!(
            "{} entries could not be written before the end",
            left.unwritten
        ))),
        Err(error) => Err(Failure::run("the engine could not be closed", error)),
    }
}

impl ServeArgs {
    fn auth(&self) -> Result<Auth, Failure> {
        match &self.tokens {
            None => Ok(Auth::loopback_only()),
            Some(_) => self.read_tokens().map(Auth::tokens),
        }
    }

    fn read_tokens(&self) -> Result<Tokens, Failure> {
        let Some(file) = &self.tokens else { return Ok(Tokens::default()) };
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::file(file, None, error.to_string()))?;
        text.parse::<Tokens>()
            .map_err(|wrong| Failure::file(file, wrong.line as u64, wrong.problem))
    }

    /// The settings: those of the file, or what stands for them on the command line.
    fn settings(&self) -> Result<Config, Failure> {
        let Some(file) = &self.config else {
            let mut config = Config::default();
            config.warehouses =
                self.warehouses.iter().map(|it| WarehouseSpec::new(&**it)).collect();
            // A call that would have to wait for the queue is answered at once: it may try again.
            config.backpressure = Backpressure::Refuse;
            if !self.in_memory && !self.demo {
                let mut journal = JournalConfig::new(&self.journal);
                journal.wait_for_lock = LOCK;
                config.journal = Some(journal);
            }
            return Ok(config);
        };
        let wrong = |problem: String| Failure::file(file, None, problem);
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let config: Config = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() as u64 + 1);
            // Its own text repeats the line, in which a secret may stand by mistake.
            Failure::file(file, line, error.message())
        })?;
        if config.backpressure == Backpressure::Wait {
            let refused = "backpressure must be \"refuse\": a call that waits holds up the service";
            return Err(wrong(refused.to_owned()));
        }
        Ok(config)
    }

    fn build(&self, config: &Config) -> Result<InventoryManager, Failure> {
        let mut builder = config.builder();
        if let Some(file) = &self.secret {
            builder = builder.subject_secret(secret::of(file)?);
        }
        let manager = builder.build().map_err(|error| match (error, &config.journal) {
            (BuildError::Journal(error), Some(journal)) => {
                audit::failure(&journal.directory, error)
            }
            (error, _) => Failure::run("the engine can't be built", error),
        })?;
        let limits = config.define_limits(&manager);
        limits.map_err(|error| Failure::run("the limits of the file can't be defined", error))?;
        Ok(manager)
    }
}

fn started(
    config: &Config,
    manager: &InventoryManager,
    address: SocketAddr,
    auth: &Auth,
) -> Started {
    Started {
        listening: format!("http://{address}"),
        journal: config.journal.as_ref().map(|journal| path(&journal.directory).to_string()),
        found: manager.recovery_report().map_or(0, |report| report.entries),
        tokens: auth.known(),
    }
}

/// The signals that a service hears.
struct Ends {
    term: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::run("signals can't be heard", error));
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Resolves when the service is to end. Reads the tokens again meanwhile, when it is told to.
    async fn told(&mut self, args: &ServeArgs, auth: &Auth) {
        loop {
            tokio::select! {
                _ = self.term.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => match args.read_tokens() {
                    Ok(_) if auth.is_open() => info!("there are no tokens to read again"),
                    Ok(tokens) => {
                        info!(tokens = tokens.len(), "tokens read again");
                        auth.replace(tokens);
                    }
                    // The old ones stay in force: a slip of the pen must not lock all callers out.
                    Err(failure) => error!(%failure, "the tokens were not read again"),
                },
            }
        }
        info!("ending: what is under way is answered");
    }
}

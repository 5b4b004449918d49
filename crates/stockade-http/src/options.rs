//! How the routes behave.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use stockade::OperationKind;

/// Which answers wait until their record is on the disk. A request can ask for another one by the
/// header `Stockade-Durability: buffered` or `synced`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    /// None does. A killed process can lose the last milliseconds, a power cut the last interval of
    /// the journal.
    Buffered,
    /// All but those to holds do: a lost hold costs a buyer a second try, a lost sale costs more.
    #[default]
    AllButHolds,
    /// All do.
    All,
}

impl Waits {
    pub(crate) fn for_kind(self, kind: OperationKind) -> bool {
        match self {
            Self::Buffered => false,
            Self::AllButHolds => !matches!(
                kind,
                OperationKind::Reserve | OperationKind::Release | OperationKind::Extend
            ),
            Self::All => true,
        }
    }
}

/// How the routes behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Which answers wait for the disk. Default: all but those to holds.
    pub waits: Waits,
    /// The largest body, in bytes; a longer one is answered with 413. Default: 256 KiB.
    pub body_bytes: usize,
    /// How long a request may take, its body included, until its answer begins. Default: 30 s.
    /// What was applied by then stays applied: send it again with the same key.
    pub longest_request: Duration,
    /// How many streams of events may be open. Default: 64.
    pub streams: usize,
    /// The recorder of the process, if `/metrics` is to be there: what it knows is told, with the
    /// engine's figures as of the request ([`stockade::describe_metrics`] names them). Default:
    /// none.
    pub metrics: Option<PrometheusHandle>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            waits: Waits::default(),
            body_bytes: 256 << 10,
            longest_request: Duration::from_secs(30),
            streams: 64,
            metrics: None,
        }
    }
}

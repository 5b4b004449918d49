//! What the handlers share.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use stockade::{InventoryManager, OperationKind};
use tokio::sync::{Semaphore, watch};

use crate::options::{HttpOptions, Waits};
use crate::problem::Problem;

/// Tells streams that the service ends.
#[derive(Clone, Debug)]
pub(crate) struct Closing(watch::Sender<bool>);

impl Default for Closing {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Closing {
    pub(crate) fn close(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when the service ends.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut told = self.0.subscribe();
        // Whoever waits has a handle on the sender, so it is there.
        async move { drop(told.wait_for(|closed| *closed).await.map(|_| ())) }
    }
}

/// The engine, and what is counted beside it.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) manager: InventoryManager,
    waits: Waits,
    /// For reads that look through much: one at a time.
    expensive: Arc<Semaphore>,
    /// For streams of events.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) closing: Closing,
    pub(crate) metrics: Option<PrometheusHandle>,
}

impl Shop {
    pub(crate) fn new(manager: InventoryManager, options: &HttpOptions, closing: Closing) -> Self {
        let HttpOptions { waits, streams, ref metrics, .. } = *options;
        let (streams, expensive) = (Semaphore::new(streams).into(), Semaphore::new(1).into());
        Self { manager, waits, expensive, streams, closing, metrics: metrics.clone() }
    }

    pub(crate) fn waits_for(&self, kind: OperationKind) -> bool {
        self.waits.for_kind(kind)
    }

    /// Runs what may read the disk or look through much, in a thread that may wait.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&InventoryManager) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let manager = self.manager.clone();
        tokio::task::spawn_blocking(move || work(&manager)).await.map_err(|_| Problem::internal())
    }

    /// As [`apart`](Self::apart), and refuses while another one is at work.
    pub(crate) async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&InventoryManager) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.expensive).try_acquire_owned().map_err(|_| {
            let detail = "another expensive read is at work; they are made one at a time";
            Problem::busy("expensive_read_running", detail)
        })?;
        // The permit goes with the work: who hangs up does not let the next one begin beside it.
        self.apart(move |manager| {
            let _permit = permit;
            work(manager)
        })
        .await
    }
}

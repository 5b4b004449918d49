//! What the handlers share.

use std::sync::Arc;

use stockade::{InventoryManager, OperationKind};
use tokio::sync::Semaphore;

use crate::problem::Problem;

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
    fn for_kind(self, kind: OperationKind) -> bool {
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

/// The engine, and what is counted beside it.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) manager: InventoryManager,
    waits: Waits,
    /// For reads that look through much: one at a time.
    expensive: Arc<Semaphore>,
    /// For streams of events.
    pub(crate) streams: Arc<Semaphore>,
}

impl Shop {
    pub(crate) fn new(manager: InventoryManager, waits: Waits, streams: usize) -> Self {
        let streams = Arc::new(Semaphore::new(streams));
        Self { manager, waits, expensive: Arc::new(Semaphore::new(1)), streams }
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

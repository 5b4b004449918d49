//! The gate: whether the engine takes new mutations, in one word that each of them reads once.

use std::sync::Arc;

use crate::base::sync::{AtomicU32, Mutex, Ordering, lock};
use crate::base::trace;

const CLOSED: u32 = 1;
const STOPPED: u32 = 1 << 1;
const POISONED: u32 = 1 << 2;

/// Open, or shut for one or more reasons.
#[derive(Debug)]
pub(crate) struct Gate {
    bits: AtomicU32,
    /// Why it is stopped or poisoned; read by the refused only.
    reason: Mutex<Option<Arc<str>>>,
}

/// Why the gate is shut; if several reasons hold, the one that lasts longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// The engine was shut down.
    Closed,
    /// The audit sink refuses entries; it is retried, and the gate may open again.
    Stopped {
        /// What the sink said.
        reason: Arc<str>,
    },
    /// The audit writer died, of a bug of the engine's own; only a new engine helps.
    Poisoned {
        /// What the panic said.
        reason: Arc<str>,
    },
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Self {
        Self { bits: AtomicU32::new(0), reason: Mutex::new(None) }
    }

    /// Whether a mutation may begin, at a glance.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // Relaxed: as in `check`.
        self.bits.load(Ordering::Relaxed) == 0
    }

    /// Whether a mutation may begin.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Shut> {
        // Relaxed: the gate hands over nothing. One that shuts at this moment does not call back
        // operations under way; they finish, and the queue takes their entries.
        match self.bits.load(Ordering::Relaxed) {
            0 => Ok(()),
            bits => Err(self.explain(bits)),
        }
    }

    #[cold]
    fn explain(&self, bits: u32) -> Shut {
        let reason = || lock(&self.reason).clone().unwrap_or_else(|| "unknown".into());
        if bits & POISONED != 0 {
            Shut::Poisoned { reason: reason() }
        } else if bits & CLOSED != 0 {
            Shut::Closed
        } else {
            Shut::Stopped { reason: reason() }
        }
    }

    /// Shuts for good: the engine is being shut down. Says whether this call was the first.
    pub(crate) fn close(&self) -> bool {
        self.bits.fetch_or(CLOSED, Ordering::Relaxed) & CLOSED == 0
    }

    /// Shuts until [`resume`](Gate::resume).
    pub(crate) fn stop(&self, reason: &str) {
        *lock(&self.reason) = Some(reason.into());
        if self.bits.fetch_or(STOPPED, Ordering::Relaxed) & STOPPED == 0 {
            trace::error(format_args!("nothing may move: {reason}"));
        }
    }

    /// Takes back what `stop` did.
    pub(crate) fn resume(&self) {
        if self.bits.fetch_and(!STOPPED, Ordering::Relaxed) & STOPPED != 0 {
            trace::info(format_args!("the audit log is written again, and stock may move"));
        }
    }

    /// Shuts for good: the writer died.
    pub(crate) fn poison(&self, reason: &str) {
        *lock(&self.reason) = Some(reason.into());
        self.bits.fetch_or(POISONED, Ordering::Relaxed);
        trace::error(format_args!(
            "nothing may move any more, the audit writer has died: {reason}"
        ));
    }

    /// What the sink or the panic said, while one of them holds the gate shut.
    pub(crate) fn failure(&self) -> Option<Shut> {
        let bits = self.bits.load(Ordering::Relaxed) & !CLOSED;
        (bits != 0).then(|| self.explain(bits))
    }

    /// Whether the engine was shut down.
    pub(crate) fn is_closed(&self) -> bool {
        self.bits.load(Ordering::Relaxed) & CLOSED != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_gate_opens_again_and_a_closed_one_does_not() {
        let gate = Gate::new();
        assert_eq!(gate.check(), Ok(()));
        assert!(gate.is_open());
        gate.stop("disk full");
        assert_eq!(gate.check(), Err(Shut::Stopped { reason: "disk full".into() }));
        assert!(!gate.is_open());
        gate.resume();
        assert_eq!(gate.check(), Ok(()));
        assert!(gate.is_open());
        assert!(gate.close());
        assert!(!gate.is_open());
        assert!(!gate.close());
        gate.resume();
        assert_eq!(gate.check(), Err(Shut::Closed));
    }

    #[test]
    fn poison_outlasts_all_else() {
        let gate = Gate::new();
        gate.stop("disk full");
        gate.close();
        gate.poison("boom");
        gate.resume();
        assert_eq!(gate.check(), Err(Shut::Poisoned { reason: "boom".into() }));
        assert_eq!(gate.failure(), gate.check().err());
    }
}

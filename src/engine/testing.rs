//! For users' own tests: an engine without threads, whose background work runs on demand.

use crate::engine::InventoryManager;

impl InventoryManager {
    /// Does all background work that is due, until nothing is left: expires overdue holds, writes
    /// the audit log, delivers alerts. For engines built
    /// [`without_threads`](crate::Builder::without_threads).
    pub fn run_until_idle(&self) {
        loop {
            let swept = self.engine.sweep();
            let wrote = self.engine.write_now();
            let delivered = self.engine.dispatcher.deliver_pending(&*self.engine);
            if swept == 0 && !wrote && delivered == 0 {
                return;
            }
        }
    }
}

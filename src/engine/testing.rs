//! For users' own tests: an engine without threads, which does its background work when told to.

use crate::engine::InventoryManager;

impl InventoryManager {
    /// Does all background work that is due: ends overdue holds, has the audit log written, delivers
    /// alerts; again, until nothing is left. For engines built
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

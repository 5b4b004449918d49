//! Answers of keys that wait for their outcome file, and keep new keys out.

use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::sync::{Ordering, lock};
use crate::base::trace;
use crate::journal::follow::auditor::Auditing;
use crate::journal::follow::thread::Served;
use crate::journal::layout::Layout;

impl Auditing {
    /// Has the answers that wait for their run looked after: a run that failed is tried again, and
    /// a segment that is not full ends. New keys are refused because of what waits, so nothing else
    /// may come that would do it.
    pub(crate) fn hurry(self: &Arc<Self>) {
        let Some(upkeep) = &self.upkeep else { return };
        upkeep.ask_once(&self.hurried, &(Arc::clone(self) as _));
    }

    /// Takes an empty newest segment for the end of the one before it. If there is none, and the
    /// newest one keeps answers waiting, asks for another.
    fn end_segment(&self) -> Result<(), JournalError> {
        let mut auditor = lock(&self.auditor);
        let at = auditor.at();
        let dir = Layout::find_back_to(auditor.follower.storage(), |_| true)?;
        let Some(collector) = &mut auditor.collector else { return Ok(()) };
        let Some(head) = dir.head().map(|head| &head.header) else { return Ok(()) };
        if head.base.batch == at.batch {
            collector.enter(head, &at);
        } else if head.base.batch < at.batch && collector.waits_for_its_end() {
            self.progress.request_rotation();
        }
        Ok(())
    }
}

impl Served for Auditing {
    fn serve(&self) {
        self.hurried.store(false, Ordering::Relaxed);
        let looked = self.catch_up(self.progress.durable(), &mut |_| {});
        if let Err(error) = looked.and_then(|_| self.end_segment()) {
            trace::warn(format_args!("answers wait for their outcome file: {error}"));
        }
        self.maintain(None);
    }
}

//! The upkeep of the outcome files: installs the run of each finished segment, makes lost runs
//! anew, and merges runs.
//!
//! The auditor installs, since it has read the segment anyway. All that may take long is done by a
//! thread of its own, `stockade-outcomes`.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::base::foreign::put_aside;
use crate::base::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::base::threads;
use crate::base::trace;
use crate::journal::follow::follower::{Followed, Follower};
use crate::journal::follow::thread::{FollowerThread, Served};
use crate::journal::format::segment::{Point, SegmentHeader};
use crate::journal::group_commit::SyncState;
use crate::journal::layout::JournalDir;
use crate::journal::layout::checkpoint_file;
use crate::journal::ledger::Ledger;
use crate::journal::outcomes::collector::{FinishedSegment, OutcomeCollector, SettledName};
use crate::journal::outcomes::record::JournalTime;
use crate::journal::outcomes::store::Outcomes;
use crate::journal::recovery::replay::{broken, decode_batch};
use crate::journal::recovery::start;
use crate::journal::storage::Storage;

/// How long work that failed is left alone. It reads the journal, so a storage that goes on failing
/// is not asked after each batch.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Tells the engine which names memory may let go of.
pub(crate) type Settle = Box<dyn Fn(&[(SettledName, Timestamp)]) + Send + Sync>;

/// Keeps the outcome files of an open journal complete.
pub(crate) struct OutcomeUpkeep {
    pub(crate) outcomes: Arc<Outcomes>,
    /// All segments, the archived ones too.
    whole: Arc<dyn Storage>,
    progress: Arc<SyncState>,
    /// The journal's lock. Once it is released, no file may change.
    held: Weak<dyn Any + Send + Sync>,
    settle: Settle,
    /// `None` in an engine without threads: whoever asks does the work.
    thread: Option<Arc<FollowerThread>>,
    /// The auditor gathers what comes after this batch. What came before and is in no run is made
    /// anew here.
    gathered_from: AtomicU64,
    /// The newest journal time of anything that was installed, in milliseconds.
    newest: AtomicU64,
    /// The thread was asked, and has not begun. A refused call asks, and there may be many.
    asked: AtomicBool,
    /// One rebuilding at a time.
    rebuilding: Mutex<()>,
    /// Why the newest work failed, and when.
    neglected: Mutex<Option<(String, Instant)>>,
}

impl OutcomeUpkeep {
    pub(crate) fn new(
        outcomes: Arc<Outcomes>,
        whole: Arc<dyn Storage>,
        progress: Arc<SyncState>,
        held: Weak<dyn Any + Send + Sync>,
        settle: Settle,
    ) -> Self {
        Self {
            outcomes,
            whole,
            progress,
            held,
            settle,
            thread: None,
            gathered_from: AtomicU64::new(u64::MAX),
            newest: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            rebuilding: Mutex::default(),
            neglected: Mutex::default(),
        }
    }

    /// The same, with a thread of its own, which starts when it has something to do.
    pub(crate) fn threaded(mut self) -> Self {
        self.thread = Some(FollowerThread::with(|work| threads::spawn("stockade-outcomes", work)));
        self
    }

    /// Notes from which batch on the auditor gathers.
    pub(crate) fn note_gathered(&self, collector: &OutcomeCollector) {
        // Relaxed: a late look makes a run anew that the auditor installs as well, and the second
        // of the two finds it there.
        self.gathered_from.store(collector.gathered_from(), Ordering::Relaxed);
    }

    /// Writes the run of a finished segment. Then, and only then, memory may let go of what is in
    /// it.
    ///
    /// # Errors
    /// As [`Outcomes::install`].
    pub(crate) fn install(&self, segment: &FinishedSegment) -> Result<(), JournalError> {
        let FinishedSegment { range, gathered } = segment;
        self.newest.fetch_max(gathered.newest.as_millis(), Ordering::Relaxed);
        self.outcomes.install(*range, &gathered.builder, self.now())?;
        // A claim that finds the key gone from memory has taken the lock of its part after this
        // took it. So it sees the run, which was installed before.
        (self.settle)(&gathered.names);
        Ok(())
    }

    /// Whether the runs reach as far as this batch.
    pub(crate) fn reaches(&self, batch: u64) -> bool {
        self.outcomes.covered_to().map_or(0, |end| end.batch) >= batch
    }

    /// Has lost runs made anew and due merges done: by the thread, or here if there is none.
    pub(crate) fn wake(self: &Arc<Self>) {
        self.ask_once(&self.asked, &(Arc::clone(self) as _));
    }

    /// Has the thread serve, or serves here if there is none. Does nothing if that was asked for
    /// and has not begun, as `asked` says, which `serve` takes back.
    pub(super) fn ask_once(&self, asked: &AtomicBool, served: &Arc<dyn Served>) {
        // Relaxed: whoever finds it set finds a thread that has not begun to look.
        if asked.swap(true, Ordering::Relaxed) {
            return;
        }
        match &self.thread {
            None => served.serve(),
            Some(thread) => {
                if let Err(error) = thread.ask(Arc::downgrade(served)) {
                    asked.store(false, Ordering::Relaxed);
                    self.note(Err(error));
                }
            }
        }
    }

    /// Ends the thread, and waits for it until `deadline` at most.
    pub(crate) fn end(&self, deadline: Instant) {
        self.outcomes.end();
        self.thread.iter().for_each(|thread| thread.end(deadline));
    }

    /// What is wrong: answers are missing for now, or the newest work failed.
    pub(crate) fn problem(&self) -> Option<String> {
        if let Some((neglected, _)) = lock(&self.neglected).clone() {
            return Some(neglected);
        }
        let missing = "the outcome files are being made anew from the journal: calls with a key \
                       that memory does not have are refused meanwhile";
        (!self.outcomes.is_complete()).then(|| missing.to_owned())
    }

    fn now(&self) -> JournalTime {
        JournalTime::from_millis(self.newest.load(Ordering::Relaxed))
    }

    fn note(&self, done: Result<(), JournalError>) {
        if let Err(error) = &done {
            trace::warn(format_args!("the outcome files are not looked after: {error}"));
        }
        *lock(&self.neglected) = done.err().map(|error| (error.to_string(), Instant::now()));
    }

    /// Whether the newest work failed, and is to be tried again by now.
    pub(crate) fn is_to_be_tried_again(&self) -> bool {
        lock(&self.neglected).as_ref().is_some_and(|(_, since)| since.elapsed() >= TRY_AGAIN)
    }

    /// Makes the runs anew that are missing.
    fn rebuild(&self) -> Result<(), JournalError> {
        let _alone = lock(&self.rebuilding);
        let dir = JournalDir::find(&*self.whole)?;
        self.give_up_what_is_gone(&dir)?;
        let before = self.gathered_from.load(Ordering::Relaxed);
        let mut missing = self.outcomes.missing(&dir.layout);
        missing.retain(|range| range.end.batch <= before);
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else { return Ok(()) };
        let (mut ledger, at) = match self.state_before(&dir, &first.base)? {
            Some((ledger, at)) => (Some(ledger), at),
            // No state is left from which the segments could be replayed. Their records still say
            // which keys were answered, and how.
            None => (None, first.base),
        };
        let journal = self.outcomes.journal();
        let mut collector = OutcomeCollector::new(journal, first.base.batch);
        let mut follower = Follower::new(Arc::clone(&self.whole), at);
        loop {
            let end = follower.at();
            let Some(followed) = follower.next(last.end.batch)? else { break };
            if self.progress.is_ending() {
                return Ok(());
            }
            self.gather(&followed, &end, &mut collector, ledger.as_mut())?;
            self.install_from(&mut collector)?;
        }
        let behind = SegmentHeader { number: u64::MAX, base: last.end, ..SegmentHeader::default() };
        collector.enter(&behind, &follower.at());
        self.install_from(&mut collector)?;
        // What lies before the first segment is seen to be gone only now.
        self.give_up_what_is_gone(&dir)
    }

    fn gather(
        &self,
        followed: &Followed,
        end: &Point,
        collector: &mut OutcomeCollector,
        mut ledger: Option<&mut Ledger>,
    ) -> Result<(), JournalError> {
        let part = &followed.part;
        collector.enter(&part.header, end);
        for found in &part.batches {
            let _ = decode_batch(part, found, |decoded| {
                match &mut ledger {
                    Some(ledger) => {
                        ledger.apply(&decoded).map_err(broken)?;
                        collector.record(ledger, &decoded, part.header.opening);
                    }
                    None => collector.record_names(self.now(), &decoded),
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    fn install_from(&self, collector: &mut OutcomeCollector) -> Result<(), JournalError> {
        while let Some(segment) = collector.oldest() {
            if self.held.upgrade().is_none() {
                return Ok(());
            }
            self.install(&segment)?;
            collector.installed(&segment);
        }
        Ok(())
    }

    /// Gaps of which no segment is left are given up: what they held is gone.
    fn give_up_what_is_gone(&self, dir: &JournalDir<'_>) -> Result<(), JournalError> {
        let Some(first) = dir.layout.path.first() else { return Ok(()) };
        for gap in self.outcomes.stats().gaps {
            if gap.end.batch <= first.header.base.batch {
                trace::error(format_args!(
                    "the outcomes of entries up to {} are lost",
                    gap.end.sequence
                ));
                self.outcomes.install(gap, &self.outcomes.builder(), self.now())?;
            }
        }
        Ok(())
    }

    /// The newest state of the journal that lies before `end`, and where; `None` if there is none.
    fn state_before(
        &self,
        dir: &JournalDir<'_>,
        end: &Point,
    ) -> Result<Option<(Ledger, Point)>, JournalError> {
        for name in checkpoint_file::list(dir.storage)? {
            let is_before = checkpoint_file::read_header(dir.storage, &name)
                .is_ok_and(|header| header.batch <= end.batch);
            if is_before && let Ok((header, ledger, _)) = start::usable(dir, &name, 0) {
                return Ok(Some((ledger, header.point())));
            }
        }
        Ok(dir.layout.trimmed.is_none().then(|| (Ledger::new(0), Point::START)))
    }
}

impl Served for OutcomeUpkeep {
    fn serve(&self) {
        // What is traced below is traced under locks.
        let _aside = put_aside();
        self.asked.store(false, Ordering::Relaxed);
        // While this is held, no other process can open the journal.
        let Some(_held) = self.held.upgrade() else { return };
        let mut done = self.rebuild();
        while done.is_ok() && !self.progress.is_ending() {
            match self.outcomes.merge_due(self.now()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => done = Err(error),
            }
        }
        self.note(done);
    }
}

impl std::fmt::Debug for OutcomeUpkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutcomeUpkeep").field("outcomes", &self.outcomes).finish_non_exhaustive()
    }
}

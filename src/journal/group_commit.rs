//! What is on the disk, and who waits for it.
//!
//! The writer appends and goes on; a thread of its own syncs. So one sync serves all who asked while
//! the one before ran (group commit), and the writer never waits for a disk that takes its time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use crate::audit::flush::FlushTicket;
use crate::base::error::FlushError;
use crate::base::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, lock, nap};
use crate::journal::format::segment::Point;
use crate::journal::storage::{Storage, StorageFile};

/// How often it is looked whether the writer has come so far.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// How far the disk is behind the writer.
pub(crate) struct SyncState {
    storage: Arc<dyn Storage>,
    state: Mutex<SyncFields>,
    changed: Condvar,
    /// What is not asked for is synced after so long.
    interval: Duration,
    /// Held by whoever syncs: a second one could say that the disk has what the first one, who took
    /// over the directory, has not synced yet.
    syncing: Mutex<()>,
    /// How often notes were erased in what was read before. Release by whoever has erased them, Acquire
    /// by who has read on: it then reads files without them.
    erasures: AtomicU64,
    /// Told when a sync has failed, by the thread that synced.
    on_failure: Box<dyn Fn(SyncFailure<'_>) + Send + Sync>,
}

/// A sync that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncFailure<'a> {
    /// Nobody knows of it yet: whoever is to be stopped, is stopped now. Later would be too late: the
    /// writer could have begun afresh by then, and would not let anybody go on a second time.
    Begins(&'a str),
    /// The writer would find it, if it looked.
    Known,
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It is written.
    File,
    /// It is on the disk.
    Disk,
}

impl SyncFields {
    fn reached(&self, reached: Reached) -> u64 {
        match reached {
            Reached::File => self.written.batch,
            Reached::Disk => self.durable.batch,
        }
    }
}

#[derive(Default)]
struct SyncFields {
    /// Files with bytes that may not be on the disk, each with its segment's number, the oldest first.
    files: Vec<(u64, Arc<dyn StorageFile>)>,
    /// Somebody wants the writer to go on in a fresh segment.
    wants_fresh: bool,
    /// A file's name may not be on the disk.
    directory: bool,
    /// Raised when the files are given up for a fresh one: a sync under way then says nothing.
    epoch: u64,
    /// The end of what was written, and of what is on the disk.
    written: Point,
    durable: Point,
    failed: Option<Arc<str>>,
    waiting: Vec<(u64, Arc<FlushTicket>)>,
    /// Futures that wait for more to be written, or to be on the disk.
    wakers: Vec<Waker>,
    /// Threads and futures that want to hear of what is only written.
    followers: usize,
    /// Someone wants what is written to be on the disk at once.
    hurry: bool,
    /// The thread sleeps without an end, and has to be woken.
    asleep: bool,
    ending: bool,
}

impl SyncState {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        interval: Duration,
        on_failure: impl Fn(SyncFailure<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            storage,
            state: Mutex::new(SyncFields::default()),
            changed: Condvar::new(),
            interval,
            syncing: Mutex::new(()),
            erasures: AtomicU64::new(0),
            on_failure: Box::new(on_failure),
        }
    }

    /// A fresh file takes the place of all others; everything up to `durable` is on the disk.
    pub(crate) fn begin(&self, file: Arc<dyn StorageFile>, durable: Point) {
        let mut state = self.lock();
        state.files = vec![(durable.segment, file)];
        (state.directory, state.failed) = (false, None);
        state.epoch += 1;
        (state.written, state.durable) = (durable, durable);
        self.tell(state);
    }

    /// The file of segment `number` follows those that there are. Nothing in it counts before they are
    /// synced.
    pub(crate) fn add(&self, number: u64, file: Arc<dyn StorageFile>) {
        let mut state = self.lock();
        state.files.push((number, file));
        state.directory = true;
    }

    /// Everything up to `end` is written.
    pub(crate) fn wrote(&self, end: Point) {
        let mut state = self.lock();
        state.written = end;
        if state.asleep || state.followers > 0 {
            state.followers = 0;
            let wakers = mem::take(&mut state.wakers);
            drop(state);
            self.changed.notify_all();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// The newest batch that is on the disk.
    pub(crate) fn durable(&self) -> u64 {
        self.lock().durable.batch
    }

    /// The end of what is on the disk.
    pub(crate) fn durable_point(&self) -> Point {
        self.lock().durable
    }

    /// Why nothing that was written and not synced may be trusted any more.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.lock().failed.clone()
    }

    /// Tells each of `tickets` once everything that is written now is on the disk.
    pub(crate) fn when_durable(&self, tickets: &[Arc<FlushTicket>]) {
        if tickets.is_empty() {
            return;
        }
        #[cfg(planted = "acknowledged_before_sync")]
        tickets.iter().for_each(|ticket| ticket.complete(Ok(())));
        let mut state = self.lock();
        let target = state.written.batch;
        state.waiting.extend(tickets.iter().map(|ticket| (target, Arc::clone(ticket))));
        state.hurry = true;
        self.tell(state);
    }

    /// Whether nothing more will be written.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// The newest batch that has come so far.
    pub(crate) fn reached(&self, reached: Reached) -> u64 {
        self.lock().reached(reached)
    }

    /// Waits until a batch after `batch` has come so far; `false` if none will, or none did until
    /// `deadline`.
    pub(crate) fn wait_past(
        &self,
        reached: Reached,
        batch: u64,
        deadline: Option<Instant>,
    ) -> bool {
        let mut state = self.lock();
        while state.reached(reached) <= batch {
            if state.ending {
                return false;
            }
            state.followers += usize::from(reached == Reached::File);
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// As [`wait_past`](Self::wait_past), for futures.
    pub(crate) fn poll_past(&self, reached: Reached, batch: u64, waker: &Waker) -> Poll<bool> {
        let mut state = self.lock();
        if state.reached(reached) > batch {
            return Poll::Ready(true);
        }
        if state.ending {
            return Poll::Ready(false);
        }
        state.followers += usize::from(reached == Reached::File);
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Asks for a sync before its time.
    pub(crate) fn hurry(&self) {
        let mut state = self.lock();
        state.hurry = true;
        self.tell(state);
    }

    /// Waits for the disk until it has come to `batch`, or has failed.
    pub(crate) fn wait_for(&self, batch: u64) {
        let mut state = self.lock();
        while state.durable.batch < batch && state.failed.is_none() && !state.ending {
            state.hurry = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Completes those whose batches are on the disk, and wakes the thread.
    fn tell(&self, mut state: MutexGuard<'_, SyncFields>) {
        let (durable, failed) = (state.durable.batch, state.failed.clone());
        let (done, waiting) =
            mem::take(&mut state.waiting).into_iter().partition(|(target, _)| *target <= durable);
        state.waiting = waiting;
        let wakers = mem::take(&mut state.wakers);
        let lost = if failed.is_some() { mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        let done: Vec<_> = done;
        done.iter().for_each(|(_, ticket): &(u64, Arc<FlushTicket>)| ticket.complete(Ok(())));
        if let Some(reason) = failed {
            let error = FlushError::Stopped { reason };
            lost.iter().for_each(|(_, ticket)| ticket.complete(Err(error.clone())));
        }
    }

    /// Syncs what is written now.
    ///
    /// A sync that fails is never tried again: the system may have dropped what it could not write,
    /// and would say that all is well.
    ///
    /// # Errors
    /// What the storage says, now or at an earlier failure.
    pub(crate) fn sync_now(&self) -> io::Result<()> {
        let _alone = lock(&self.syncing);
        let (files, directory, epoch, target) = {
            let mut state = self.lock();
            if let Some(reason) = &state.failed {
                return Err(io::Error::other(reason.as_ref()));
            }
            state.hurry = false;
            if state.durable.batch == state.written.batch && !state.directory {
                self.tell(state);
                return Ok(());
            }
            (state.files.clone(), mem::take(&mut state.directory), state.epoch, state.written)
        };
        let synced = files.iter().try_for_each(|(_, file)| file.sync());
        let synced =
            synced.and_then(|()| if directory { self.storage.sync_directory() } else { Ok(()) });
        let mut state = self.lock();
        if state.epoch != epoch {
            return Ok(());
        }
        match &synced {
            Ok(()) => {
                if target.batch > state.durable.batch {
                    state.durable = target;
                }
                // All but the newest are finished: nothing was added to them since.
                let finished = files.len().saturating_sub(1).min(state.files.len());
                state.files.drain(..finished);
                self.tell(state);
            }
            Err(error) => self.fail(state, &format!("the journal could not be synced: {error}")),
        }
        synced
    }

    /// Nothing that was not synced before may be trusted, until the writer begins afresh.
    fn fail(&self, mut state: MutexGuard<'_, SyncFields>, reason: &str) {
        #[cfg(not(planted = "stopped_after_the_writer_knows"))]
        (self.on_failure)(SyncFailure::Begins(reason));
        state.failed = Some(reason.into());
        self.tell(state);
        #[cfg(planted = "stopped_after_the_writer_knows")]
        std::thread::sleep(std::time::Duration::from_millis(30));
        #[cfg(planted = "stopped_after_the_writer_knows")]
        (self.on_failure)(SyncFailure::Begins(reason));
        (self.on_failure)(SyncFailure::Known);
    }

    /// Asks the writer to go on in a fresh segment when it has written all it has, at its next turn.
    pub(crate) fn ask_for_fresh(&self) {
        self.lock().wants_fresh = true;
    }

    /// Whether somebody asked for that. For the writer, who then does it.
    pub(crate) fn take_wish(&self) -> bool {
        mem::take(&mut self.lock().wants_fresh)
    }

    /// Syncs until everything up to batch `last` is on the disk, and no segment before `number` is synced
    /// by anybody any more: their files may be replaced then.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn finish_before(&self, number: u64, last: u64) -> io::Result<()> {
        if cfg!(planted = "replaced_while_synced") {
            return Ok(());
        }
        loop {
            // One that syncs at this moment may have an older list of files.
            self.sync_now()?;
            let state = self.lock();
            if state.durable.batch >= last && state.files.iter().all(|(it, _)| *it >= number) {
                return Ok(());
            }
            if state.ending {
                return Err(io::Error::other("the journal has ended"));
            }
            drop(state);
            // The writer has begun a segment, and has not yet said what it wrote before.
            nap(LOOK_AGAIN);
        }
    }

    /// How often notes were erased so far.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures.load(Ordering::Acquire)
    }

    /// Notes were erased: whoever has read ahead reads it again.
    pub(crate) fn erased(&self) {
        self.erasures.fetch_add(1, Ordering::Release);
    }

    /// Ends the thread; those who wait are told.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        let waiting = mem::take(&mut state.waiting);
        let wakers = mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        waiting.iter().for_each(|(_, ticket)| ticket.complete(Err(FlushError::Closed)));
    }

    /// Starts the thread that syncs.
    pub(crate) fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let progress = Arc::clone(self);
        let named = thread::Builder::new().name("stockade-sync".to_owned());
        named.spawn(move || progress.run()).map(drop)
    }

    fn run(&self) {
        // A storage is the user's own code. Whatever it does: who waits for this thread gets an answer.
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.fail(self.lock(), "the journal's storage panicked");
        }
    }

    fn work(&self) {
        while self.wait_for_work() {
            // A failure is told where it is found; the writer starts afresh.
            let _ = self.sync_now();
        }
    }

    /// Waits until there is something to sync; `false` at the end.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock();
        let mut since: Option<Instant> = None;
        loop {
            if state.ending {
                return false;
            }
            let dirty = state.written.batch > state.durable.batch && state.failed.is_none();
            if dirty && state.hurry {
                return true;
            }
            if !dirty {
                since = None;
                state.asleep = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                continue;
            }
            let left =
                self.interval.saturating_sub(since.get_or_insert_with(Instant::now).elapsed());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, SyncFields> {
        lock(&self.state)
    }
}

//! Group commit: one sync of the disk serves all callers who wait at that time.
//!
//! The audit writer appends and does not wait for the disk. A caller that blocks syncs itself, for
//! all that wait with it; a sync thread does for futures, and for what nobody waits for. While one
//! sync runs, further callers queue up for the next one. [`SyncState`] knows which batches are
//! written, which are durable, and who waits for which.
//!
//! Group commit goes back to DeWitt et al., "Implementation Techniques for Main Memory Database
//! Systems" (SIGMOD 1984).

mod figures;
mod sync_thread;
mod waiting;

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::audit::durable_sink::SharedSync;
use crate::audit::flush::FlushTicket;
use crate::base::error::{FlushError, JournalError};
use crate::base::foreign::put_aside;
use crate::base::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, lock, nap};
use crate::base::wake::Wakers;
use crate::journal::format::segment::Point;
use crate::journal::layout::sync_mark::SyncMarks;
use crate::journal::storage::place::JournalPlace;
use crate::journal::storage::{Storage, StorageFile};

pub(crate) use waiting::Reached;

use figures::SyncCounters;

/// Pause between two looks at how far the writer has come.
const WRITER_POLL: Duration = Duration::from_micros(200);

/// What is written, what is durable, and who waits. Shared by the writer and the sync thread.
pub(crate) struct SyncState {
    storage: Arc<dyn Storage>,
    /// Where the journal lies. It is compared after each sync, before anybody gets an answer.
    place: JournalPlace,
    state: Mutex<SyncFields>,
    /// For those that wait until a batch is written or durable.
    changed: Condvar,
    /// For the sync thread.
    work: Condvar,
    /// Unsynced batches that nobody waits for are synced after this time.
    interval: Duration,
    /// Held during a sync. Without it, a second thread could report batches as durable while the
    /// first one, which took over the sync of the directory, has not done it yet.
    syncing: Mutex<()>,
    /// Tells the next opening what was synced.
    marks: Mutex<SyncMarks>,
    /// How often notes were erased from segments. Readers compare it to notice that they read ahead
    /// of a redaction. Release in `erased`, Acquire in `erasures`: a reader that sees the new count
    /// reads files without the erased text.
    erasures: AtomicU64,
    /// Who wakes the futures that wait.
    wakers: Arc<Wakers>,
    counters: SyncCounters,
    /// Called by the thread that synced, when a sync has failed.
    on_failure: Box<dyn Fn(SyncFailure<'_>) + Send + Sync>,
}

/// The two moments at which a sync failure is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncFailure<'a> {
    /// The failure is not yet visible to anyone else. Stop callers now. Later would be too late:
    /// the writer could already have started a new segment and reopened the gate, and would not
    /// reopen it again.
    Begins(&'a str),
    /// The failure is visible. Wake the writer, which will start a new segment.
    Known,
}

#[derive(Default)]
struct SyncFields {
    /// Files with unsynced bytes, each with the number of its segment, oldest first.
    files: Vec<(u64, Arc<dyn StorageFile>)>,
    /// Somebody asked the writer to rotate to a new segment.
    rotation_requested: bool,
    /// A new file name may not be durable, so the directory must be synced.
    directory: bool,
    /// Counts how often the writer has abandoned its segments for a new one. A sync that ran
    /// meanwhile was of the old files, so its result is ignored.
    epoch: u64,
    /// The ends of the last written batch, and of the last durable one.
    written: Point,
    durable: Point,
    /// The moment before which nothing was written that is not durable; `None` if all is.
    unsynced_since: Option<Instant>,
    /// Why the last sync failed. Cleared when the writer starts a new segment.
    failed: Option<Arc<str>>,
    /// Flush tickets, each with the batch that must be durable before it completes.
    waiting: Vec<(u64, Arc<FlushTicket>)>,
    /// Futures that wait for a batch to be written or durable.
    wakers: Vec<Waker>,
    /// How many threads and futures wait for a batch to be written. At 0, `note_written` need not
    /// wake anyone for them.
    write_waiters: usize,
    /// Somebody waits: sync at once, without waiting for the interval.
    sync_requested: bool,
    /// The sync thread sleeps without a timeout, so `note_written` must wake it.
    thread_sleeps: bool,
    /// Callers that will sync what is written next, so `note_written` need not.
    announced: usize,
    ending: bool,
}

impl SyncState {
    /// The caller must hold the lock of `storage`, so that what stands there now is the journal.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        place: JournalPlace,
        interval: Duration,
        wakers: Arc<Wakers>,
        on_failure: impl Fn(SyncFailure<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            storage,
            place,
            state: Mutex::new(SyncFields::default()),
            changed: Condvar::new(),
            work: Condvar::new(),
            interval,
            syncing: Mutex::new(()),
            marks: Mutex::new(SyncMarks::default()),
            erasures: AtomicU64::new(0),
            wakers,
            counters: SyncCounters::new(),
            on_failure: Box::new(on_failure),
        }
    }

    /// Who wakes the futures that wait.
    pub(crate) fn wakers(&self) -> &Wakers {
        &self.wakers
    }

    /// Replaces all files by that of a new segment, and clears a failure. Everything up to
    /// `durable` is on the disk.
    pub(crate) fn restart_with(&self, file: Arc<dyn StorageFile>, durable: Point) {
        let mut state = self.lock();
        if state.failed.is_some() {
            self.counters.failed();
        }
        state.files = vec![(durable.segment, file)];
        (state.directory, state.failed) = (false, None);
        state.epoch += 1;
        (state.written, state.durable, state.unsynced_since) = (durable, durable, None);
        self.work.notify_one();
        self.notify(state);
    }

    /// Begins the sync marks of this opening.
    pub(crate) fn begin_marks(&self, journal: u128, opening: u64) {
        lock(&self.marks).begin(journal, opening);
    }

    /// Marks that all up to `durable` is on the disk. It must be, before this is called: a mark may
    /// survive a power cut that takes what is not synced.
    pub(crate) fn mark_synced(&self, durable: Point) {
        lock(&self.marks).put(&*self.storage, durable);
    }

    /// Leaves one mark, and syncs it. For the journal's close.
    pub(crate) fn seal_marks(&self) {
        lock(&self.marks).seal(&*self.storage);
    }

    /// Adds the file of the next segment. A sync goes through the files from the oldest to the
    /// newest, so no batch of it counts as durable before those ahead of it are synced.
    pub(crate) fn add_file(&self, number: u64, file: Arc<dyn StorageFile>) {
        let mut state = self.lock();
        state.files.push((number, file));
        state.directory = true;
    }

    /// Notes that everything up to `end` is written, and wakes those who wait for that.
    pub(crate) fn note_written(&self, end: Point) {
        let mut state = self.lock();
        if end.batch > state.durable.batch {
            state.unsynced_since.get_or_insert_with(Instant::now);
        }
        state.written = end;
        if state.thread_sleeps && state.announced == 0 {
            self.work.notify_one();
        }
        if state.write_waiters > 0 {
            state.write_waiters = 0;
            let wakers = mem::take(&mut state.wakers);
            drop(state);
            self.changed.notify_all();
            wakers.into_iter().for_each(|waker| self.wakers.wake(waker));
        }
    }

    /// The newest durable batch.
    pub(crate) fn durable(&self) -> u64 {
        self.lock().durable.batch
    }

    /// The end of the newest durable batch.
    pub(crate) fn durable_point(&self) -> Point {
        self.lock().durable
    }

    /// The ends of the newest durable batch, and of the newest written one.
    pub(crate) fn ends(&self) -> (Point, Point) {
        let state = self.lock();
        (state.durable, state.written)
    }

    /// Why the last sync failed, until the writer has started a new segment.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.lock().failed.clone()
    }

    /// Completes each of `tickets` once everything that is written now is durable, and asks for a
    /// sync. Does not wait.
    pub(crate) fn when_durable(&self, tickets: &[Arc<FlushTicket>]) {
        if tickets.is_empty() {
            return;
        }
        // Without a sync to come, nobody else would compare the place before the answer.
        if let Err(error) = if self.is_synced() { self.notice_place() } else { Ok(()) } {
            let error = FlushError::Stopped { reason: error.to_string().into() };
            tickets.iter().for_each(|ticket| ticket.complete(Err(error.clone())));
            return;
        }
        let mut state = self.lock();
        let target = state.written.batch;
        state.waiting.extend(tickets.iter().map(|ticket| (target, Arc::clone(ticket))));
        state.sync_requested = true;
        self.work.notify_one();
        self.notify(state);
    }

    /// The same for a caller that will sync: it asks nobody, and is told what the sync comes to.
    pub(crate) fn when_synced(&self, tickets: &[Arc<FlushTicket>]) {
        let mut state = self.lock();
        let target = state.written.batch;
        state.waiting.extend(tickets.iter().map(|ticket| (target, Arc::clone(ticket))));
        if state.failed.is_some() || state.ending {
            self.notify(state);
        }
    }

    /// Whether all that is written is durable.
    fn is_synced(&self) -> bool {
        let state = self.lock();
        state.failed.is_none() && state.durable.batch == state.written.batch
    }

    /// Whether the journal is ending: no further batch will be written.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Asks the sync thread to sync at once. Does not wait.
    pub(crate) fn request_sync(&self) {
        self.lock().sync_requested = true;
        self.work.notify_one();
    }

    /// Completes the tickets whose batches are durable; after a failure, completes the others with
    /// an error. Wakes all waiting threads and futures. It calls nobody under the lock.
    fn notify(&self, state: MutexGuard<'_, SyncFields>) {
        self.notify_after(state, || {});
    }

    /// The same, once `first` was called without the lock.
    fn notify_after(&self, mut state: MutexGuard<'_, SyncFields>, first: impl FnOnce()) {
        // All are told before the first future's waker is called.
        let _aside = put_aside();
        let (durable, failed) = (state.durable.batch, state.failed.clone());
        let (done, waiting) =
            mem::take(&mut state.waiting).into_iter().partition(|(target, _)| *target <= durable);
        state.waiting = waiting;
        let wakers = mem::take(&mut state.wakers);
        let lost = if failed.is_some() { mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        first();
        self.changed.notify_all();
        wakers.into_iter().for_each(|waker| self.wakers.wake(waker));
        let done: Vec<_> = done;
        done.iter().for_each(|(_, ticket): &(u64, Arc<FlushTicket>)| ticket.complete(Ok(())));
        if let Some(reason) = failed {
            let error = FlushError::Stopped { reason };
            lost.iter().for_each(|(_, ticket)| ticket.complete(Err(error.clone())));
        }
    }

    /// Syncs everything that is written now, and waits for the disk.
    ///
    /// A failed sync is never tried again. The operating system may have dropped the pages that it
    /// could not write, and would report success.
    ///
    /// # Errors
    /// The storage's error, of this sync or of an earlier one that failed.
    pub(crate) fn sync_now(&self) -> io::Result<()> {
        self.sync_then(&mut || {})
    }

    /// The same. Calls `freed` once the next sync may begin, before anybody is told; not at all if
    /// there was nothing to sync, or if it failed.
    fn sync_then(&self, freed: &mut dyn FnMut()) -> io::Result<()> {
        let _aside = put_aside();
        let alone = lock(&self.syncing);
        let began = Instant::now();
        let (files, directory, epoch, target) = {
            let mut state = self.lock();
            if let Some(reason) = &state.failed {
                return Err(io::Error::other(reason.as_ref()));
            }
            state.sync_requested = false;
            if state.durable.batch == state.written.batch && !state.directory {
                drop(state);
                self.notice_place().map_err(io::Error::other)?;
                self.notify(self.lock());
                return Ok(());
            }
            (state.files.clone(), mem::take(&mut state.directory), state.epoch, state.written)
        };
        let synced = files.iter().try_for_each(|(_, file)| file.sync());
        let synced =
            synced.and_then(|()| if directory { self.storage.sync_directory() } else { Ok(()) });
        let synced = self.compare_place(&files).map_err(io::Error::other).and(synced);
        if synced.is_ok() {
            // Before anyone is answered, so that a kill right after the answer finds the mark. If
            // the writer has begun anew meanwhile, it has synced these batches once more.
            self.mark_synced(target);
        }
        let mut state = self.lock();
        if state.epoch != epoch {
            return Ok(());
        }
        match &synced {
            Ok(()) => {
                let entries = target.sequence.saturating_sub(state.durable.sequence);
                if target.batch > state.durable.batch {
                    state.durable = target;
                }
                // What was written meanwhile is not older than this sync.
                let is_all = state.durable.batch >= state.written.batch;
                state.unsynced_since = (!is_all).then_some(began);
                self.counters.synced(began, entries);
                // All files but the newest are complete: the writer appends only to the newest.
                let finished = files.len().saturating_sub(1).min(state.files.len());
                state.files.drain(..finished);
                self.notify_after(state, || {
                    drop(alone);
                    freed();
                });
            }
            Err(error) => self.fail(state, &format!("the journal could not be synced: {error}")),
        }
        synced
    }

    /// Compares the journal's place with what stands there now; see [`JournalPlace::check`].
    ///
    /// # Errors
    /// [`JournalError::PlaceChanged`]; the storage's error.
    pub(crate) fn compare_place(
        &self,
        files: &[(u64, Arc<dyn StorageFile>)],
    ) -> Result<(), JournalError> {
        let segments = files.iter().map(|(number, file)| (*number, &**file));
        self.place.check(&*self.storage, segments)
    }

    /// As [`compare_place`](Self::compare_place), with the segments that the writer has open.
    pub(crate) fn compare_place_now(&self) -> Result<(), JournalError> {
        let files = self.lock().files.clone();
        self.compare_place(&files)
    }

    /// Notes that the writer is about to create this segment.
    pub(crate) fn announce(&self, number: u64) {
        self.place.announce(number);
    }

    /// Compares the place without a sync. If it has changed, the engine stops, as after a sync that
    /// failed.
    pub(crate) fn notice_place(&self) -> Result<(), JournalError> {
        let _aside = put_aside();
        let (files, epoch) = {
            let state = self.lock();
            (state.files.clone(), state.epoch)
        };
        let compared = self.compare_place(&files);
        let state = self.lock();
        if state.epoch != epoch || state.ending {
            return Ok(());
        }
        if let (Err(error), None) = (&compared, &state.failed) {
            self.fail(state, &error.to_string());
        }
        compared
    }

    /// Marks the sync as failed: no unsynced batch is trusted until the writer has started a new
    /// segment.
    fn fail(&self, mut state: MutexGuard<'_, SyncFields>, reason: &str) {
        (self.on_failure)(SyncFailure::Begins(reason));
        state.failed = Some(reason.into());
        self.notify(state);
        (self.on_failure)(SyncFailure::Known);
    }

    /// Asks the writer to rotate to a new segment at its next turn, once it has written all that it
    /// has.
    pub(crate) fn request_rotation(&self) {
        self.lock().rotation_requested = true;
    }

    /// Takes the request for a rotation, if there is one. For the writer, which then rotates.
    pub(crate) fn take_rotation_request(&self) -> bool {
        mem::take(&mut self.lock().rotation_requested)
    }

    /// Syncs until everything up to batch `last` is durable and no sync touches a segment before
    /// `number` any more. Then the files of those segments may be replaced. Waits for the disk and
    /// for the writer.
    ///
    /// # Errors
    /// The storage's error; an error if the journal ends first.
    pub(crate) fn finish_before(&self, number: u64, last: u64) -> io::Result<()> {
        loop {
            // A sync that runs at this moment may use an older list of files. This one waits for
            // it.
            self.sync_now()?;
            let state = self.lock();
            if state.durable.batch >= last && state.files.iter().all(|(it, _)| *it >= number) {
                return Ok(());
            }
            if state.ending {
                return Err(io::Error::other("the journal has ended"));
            }
            drop(state);
            // The writer has started a segment, but has not yet called `note_written` for the
            // batches before it.
            nap(WRITER_POLL);
        }
    }

    /// How often notes were erased so far.
    pub(crate) fn erasures(&self) -> u64 {
        // Acquire pairs with the Release in `erased`.
        self.erasures.load(Ordering::Acquire)
    }

    /// Notes that text was erased: whoever has read ahead must read again.
    pub(crate) fn erased(&self) {
        // Release pairs with the Acquire in `erasures`: who sees the count sees that the files were
        // replaced before it.
        self.erasures.fetch_add(1, Ordering::Release);
    }

    /// Ends the sync thread. Tickets that still wait complete with [`FlushError::Closed`].
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        let waiting = mem::take(&mut state.waiting);
        let wakers = mem::take(&mut state.wakers);
        drop(state);
        self.work.notify_one();
        self.changed.notify_all();
        wakers.into_iter().for_each(|waker| self.wakers.wake(waker));
        waiting.iter().for_each(|(_, ticket)| ticket.complete(Err(FlushError::Closed)));
    }

    fn lock(&self) -> MutexGuard<'_, SyncFields> {
        lock(&self.state)
    }
}

impl SharedSync for SyncState {
    fn announce(&self) {
        self.lock().announced += 1;
    }

    fn sync_announced(&self, freed: &mut dyn FnMut()) {
        self.lock().announced -= 1;
        // A failure was told to all that waited.
        let _ = self.sync_then(freed);
    }
}

//! A feed: the entries that were read ahead for one subscription, and the means to read more.
//!
//! Two may read for it: the subscriber, in a call that may block, and the follower thread. Reading
//! happens under the reader's lock. What is ready lies behind a lock of its own, which nobody holds
//! while a file is read. So a future looks at what is ready and never waits for a disk.

use std::collections::VecDeque;
use std::mem;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::vec::IntoIter;

use crate::audit::entry::AuditEntry;
use crate::audit::view::Names;
use crate::base::error::JournalError;
use crate::base::foreign;
use crate::base::sync::{Mutex, lock};
use crate::journal::follow::follower::Follower;
use crate::journal::follow::resume::follower_after;
use crate::journal::follow::thread::{FollowerThread, Served};
use crate::journal::format::position::lineage_of;
use crate::journal::group_commit::{Reached, SyncState};
use crate::journal::layout::failed;
use crate::journal::reader::Segment;
use crate::journal::recovery::replay::decode_batch;
use crate::journal::storage::Storage;

/// How many bytes of entries are read ahead, unless the subscriber says otherwise.
const READ_AHEAD: usize = 4 << 20;
/// With less room than this, a batch would be decoded many times over.
const LEAST_READ_AHEAD: usize = 64 << 10;

/// An entry that was read ahead.
pub(crate) struct ReadyEntry {
    pub(crate) entry: AuditEntry,
    pub(crate) lineage: u64,
    bytes: usize,
}

/// The entries that were read ahead for one subscription, and the means to read more.
pub(crate) struct Feed {
    progress: Arc<SyncState>,
    reader: Mutex<FeedReader>,
    ready: Mutex<ReadyEntries>,
}

/// What is needed to read more.
struct FeedReader {
    storage: Arc<dyn Storage>,
    names: Arc<dyn Names>,
    follower: Follower,
    /// What was read of a segment and is not yet decoded: from this batch on.
    rest: Option<(Segment, usize)>,
    /// The last entry that was decoded; `None` if the follower stands anywhere.
    decoded: Option<u64>,
    /// The erasure epoch at which `rest` was read.
    erasures: u64,
}

struct ReadyEntries {
    /// What each step has read; none is empty. To add a step's entries takes no time, so a poll
    /// that needs this lock does not wait for the copying of thousands.
    entries: VecDeque<IntoIter<ReadyEntry>>,
    bytes: usize,
    most_bytes: usize,
    reached: Reached,
    /// The last entry that was taken.
    taken: u64,
    /// The last batch whose entries are all among `entries`, or before them.
    batch: u64,
    /// The erasure epoch at which the entries were read.
    erasures: u64,
    /// What the follower thread met instead of an entry.
    error: Option<JournalError>,
    /// The follower thread was asked to read.
    is_asked: bool,
    waker: Option<Waker>,
    /// The subscription was dropped.
    is_over: bool,
}

/// What one step of reading has brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something is ready, or nobody wants it any more.
    Ready,
    /// It read on, and no entry is ready yet.
    Onward,
    /// There is nothing more to read now.
    AtEnd,
}

impl Feed {
    /// A feed of the entries after `sequence`; `follower` stands at most one batch before them.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        progress: Arc<SyncState>,
        names: Arc<dyn Names>,
        follower: Follower,
        sequence: u64,
    ) -> Self {
        let batch = follower.at().batch;
        let decoded = Some(sequence);
        let erasures = progress.erasures();
        Self {
            progress,
            reader: Mutex::new(FeedReader {
                storage,
                names,
                follower,
                rest: None,
                decoded,
                erasures,
            }),
            ready: Mutex::new(ReadyEntries {
                entries: VecDeque::new(),
                bytes: 0,
                most_bytes: READ_AHEAD,
                reached: Reached::Disk,
                taken: sequence,
                batch,
                erasures,
                error: None,
                is_asked: false,
                waker: None,
                is_over: false,
            }),
        }
    }

    /// Sets the stage at which entries are returned.
    pub(crate) fn set_reached(&self, reached: Reached) {
        lock(&self.ready).reached = reached;
    }

    /// How many bytes of entries are ready.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn ready_bytes(&self) -> usize {
        lock(&self.ready).bytes
    }

    /// Sets how many bytes of entries are read ahead.
    pub(crate) fn set_read_ahead(&self, bytes: usize) {
        lock(&self.ready).most_bytes = bytes.max(LEAST_READ_AHEAD);
    }

    /// Takes the next entry that is ready.
    pub(crate) fn take(&self) -> Option<ReadyEntry> {
        let erasures = self.progress.erasures();
        let mut ready = lock(&self.ready);
        ready.renew(erasures);
        let step = ready.entries.front_mut()?;
        let taken = step.next()?;
        if step.len() == 0 {
            ready.entries.pop_front();
        }
        ready.bytes -= taken.bytes;
        ready.taken = taken.entry.sequence;
        Some(taken)
    }

    /// Makes an entry ready, if there is one. Reads files in this thread. Returns whether there is.
    ///
    /// # Errors
    /// As [`Follower::next`].
    pub(crate) fn fill(&self) -> Result<bool, JournalError> {
        loop {
            match self.step()? {
                Step::Ready => return Ok(true),
                Step::Onward => {}
                Step::AtEnd => return Ok(false),
            }
        }
    }

    /// The stage that is waited for, and the last batch whose entries are ready or taken.
    pub(crate) fn reached(&self) -> (Reached, u64) {
        let ready = lock(&self.ready);
        (ready.reached, ready.batch)
    }

    /// Whether an entry is ready, for a future; `false` if the journal has ended. Reads no file: it
    /// asks `thread` to.
    pub(crate) fn poll(
        self: &Arc<Self>,
        thread: &Arc<FollowerThread>,
        context: &Context<'_>,
    ) -> Poll<Result<bool, JournalError>> {
        self.progress.wakers().prepare();
        let erasures = self.progress.erasures();
        // A waker is another's code. It is cloned, called and dropped under no lock.
        let waker = context.waker().clone();
        let replaced;
        let (reached, batch) = {
            let mut ready = lock(&self.ready);
            ready.renew(erasures);
            if !ready.entries.is_empty() {
                return Poll::Ready(Ok(true));
            }
            if let Some(error) = ready.error.take() {
                return Poll::Ready(Err(error));
            }
            replaced = ready.waker.replace(waker);
            if ready.is_asked {
                return Poll::Pending;
            }
            (ready.reached, ready.batch)
        };
        drop(replaced);
        match self.progress.poll_past(reached, batch, context.waker()) {
            Poll::Ready(false) => Poll::Ready(Ok(false)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(true) => match self.ask(thread) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    /// Asks `thread` to read ahead, if less than half of what may be ready is, and more is written.
    /// Whether the thread can be had shows at the next poll that needs it.
    pub(crate) fn read_ahead(self: &Arc<Self>, thread: &Arc<FollowerThread>) {
        let (reached, batch) = {
            let ready = lock(&self.ready);
            if ready.is_asked || ready.bytes * 2 >= ready.most_bytes {
                return;
            }
            (ready.reached, ready.batch)
        };
        if self.progress.reached(reached) > batch {
            let _ = self.ask(thread);
        }
    }

    fn ask(self: &Arc<Self>, thread: &Arc<FollowerThread>) -> Result<(), JournalError> {
        lock(&self.ready).is_asked = true;
        let feed: Weak<Self> = Arc::downgrade(self);
        let asked = thread.ask(feed);
        if asked.is_err() {
            lock(&self.ready).is_asked = false;
        }
        asked
    }

    /// The subscription is dropped: frees what was read ahead, and reads no more.
    pub(crate) fn end(&self) {
        let (entries, waker) = {
            let mut ready = lock(&self.ready);
            ready.is_over = true;
            ready.bytes = 0;
            (mem::take(&mut ready.entries), ready.waker.take())
        };
        drop((entries, waker));
    }

    /// Reads and decodes on, up to the room there is.
    fn step(&self) -> Result<Step, JournalError> {
        let mut reader = lock(&self.reader);
        // Before anything is read: what is read now is without the text of these erasures.
        let erasures = self.progress.erasures();
        let (reached, from, room) = {
            let mut ready = lock(&self.ready);
            ready.renew(erasures);
            if ready.is_over || ready.bytes >= ready.most_bytes {
                return Ok(Step::Ready);
            }
            (ready.reached, ready.last(), ready.most_bytes - ready.bytes)
        };
        let last = self.progress.reached(reached);
        if reader.decoded != Some(from) || reader.erasures != erasures {
            reader.rest = None;
            reader.follower = follower_after(&reader.storage, from, last)?;
        }
        // After an error or a panic the follower may stand anywhere.
        (reader.decoded, reader.erasures) = (None, erasures);
        let read = reader.read(from, last, room)?;
        let mut ready = lock(&self.ready);
        if ready.is_over {
            return Ok(Step::Ready);
        }
        if ready.erasures != erasures {
            // Text was erased since, and the entries before these were dropped.
            return Ok(Step::Onward);
        }
        let Some(read) = read else {
            reader.decoded = Some(from);
            ready.batch = reader.follower.at().batch;
            return Ok(if ready.entries.is_empty() { Step::AtEnd } else { Step::Ready });
        };
        reader.decoded = Some(read.entries.last().map_or(from, |it| it.entry.sequence));
        (ready.batch, ready.error) = (read.batch, None);
        ready.bytes += read.bytes;
        if !read.entries.is_empty() {
            ready.entries.push_back(read.entries.into_iter());
        }
        Ok(if ready.entries.is_empty() { Step::Onward } else { Step::Ready })
    }
}

impl Served for Feed {
    // A storage that panics hurts this subscription alone.
    fn serve(&self) {
        let filled = foreign::call(|| self.fill());
        let panicked = || failed("read", "", &std::io::Error::other("the storage panicked"));
        let error = filled.unwrap_or_else(|_| Err(panicked())).err();
        let waker = {
            let mut ready = lock(&self.ready);
            ready.is_asked = false;
            ready.error = error;
            ready.waker.take()
        };
        waker.into_iter().for_each(|waker| self.progress.wakers().wake(waker));
    }
}

/// What was read at once.
struct ReadStep {
    entries: Vec<ReadyEntry>,
    bytes: usize,
    /// The last batch that is decoded to its end.
    batch: u64,
}

impl FeedReader {
    /// Decodes the entries after `from`, up to batch `last`, until they take `room` bytes or a
    /// chunk of the segment is used up; `None` if there is nothing to read.
    fn read(
        &mut self,
        from: u64,
        last: u64,
        room: usize,
    ) -> Result<Option<ReadStep>, JournalError> {
        let before = match &self.rest {
            None => self.follower.at().batch,
            Some((part, next)) => part.batches[*next].header.number - 1,
        };
        let (part, mut next) = match self.rest.take() {
            Some(rest) => rest,
            None => match self.follower.next(last)? {
                Some(followed) => (followed.part, 0),
                None => return Ok(None),
            },
        };
        let mut read = ReadStep { entries: Vec::new(), bytes: 0, batch: before };
        let mut from = from;
        while let Some(found) = part.batches.get(next) {
            let lineage = lineage_of(&found.header.hash);
            let mut first = found.header.first_sequence;
            let flow = decode_batch(&part, found, |decoded| {
                let end = first + decoded.entries();
                if end - 1 > from {
                    if read.bytes >= room {
                        return Ok(ControlFlow::Break(()));
                    }
                    let metadata = decoded.metadata();
                    for (view, sequence) in decoded.views().zip(first..) {
                        if sequence > from {
                            let entry = view.to_entry(sequence, &*self.names, &metadata);
                            let size = size_of_entry(&entry);
                            read.bytes += size;
                            read.entries.push(ReadyEntry { entry, lineage, bytes: size });
                        }
                    }
                    from = end - 1;
                }
                first = end;
                Ok(ControlFlow::Continue(()))
            })?;
            if flow.is_break() {
                // The rest of this batch is decoded once there is room: from its start, and what is
                // ready already is passed over.
                self.rest = Some((part, next));
                break;
            }
            read.batch = found.header.number;
            next += 1;
        }
        Ok(Some(read))
    }
}

/// About how many bytes of memory an entry takes.
fn size_of_entry(entry: &AuditEntry) -> usize {
    let pair = size_of::<(String, String)>();
    let notes = entry.metadata().iter().map(|(name, value)| pair + name.len() + value.len());
    size_of::<ReadyEntry>() + notes.sum::<usize>()
}

impl ReadyEntries {
    /// If text was erased since the entries were read, drops them. They are read again.
    fn renew(&mut self, erasures: u64) {
        if self.erasures != erasures {
            self.erasures = erasures;
            if !self.entries.is_empty() {
                self.entries.clear();
                self.bytes = 0;
                // Batches that were read are to be read again.
                self.batch = 0;
            }
        }
    }

    /// The last entry that is ready or taken.
    fn last(&self) -> u64 {
        let newest = self.entries.back().and_then(|step| step.as_slice().last());
        newest.map_or(self.taken, |it| it.entry.sequence)
    }
}

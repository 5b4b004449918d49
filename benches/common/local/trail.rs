//! The peers' audit trail. It is the same bounded queue as the engine's, with back-pressure at the
//! same depth, and a writer with the same work: it drains the queue, appends to a log in memory
//! that keeps the newest million entries, and naps.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use crate::common::ledger::Writer;
use crate::common::machine::own_number;

const QUEUE: usize = 65_536;
/// Above this depth the writer is woken; above the next one, new operations wait.
const HALF: usize = QUEUE / 2;
const THREE_QUARTERS: usize = QUEUE / 4 * 3;
const KEPT: usize = 1_000_000;
const CHUNK: usize = 1_024;
const SHORTEST_NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(2);
const IDLE_BEFORE_PARK: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reserved,
    Sold,
    Returned,
}

/// One entry of the trail, as large as the engine's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) warehouse: u16,
    pub(super) product: u32,
    pub(super) quantity: u32,
    pub(super) at: u64,
    pub(super) hold: [u64; 2],
    pub(super) owner: Option<[u8; 8]>,
    pub(super) expires_at: u64,
}

const _: () = assert!(size_of::<Entry>() == 56);

/// The queue, and the log behind it.
struct TrailQueue {
    queue: ArrayQueue<Entry>,
    log: Mutex<Log>,
    closing: AtomicBool,
    /// Set while the writer sleeps until it is woken, or for a short time.
    parked: AtomicBool,
    napping: AtomicBool,
}

#[derive(Default)]
struct Log {
    chunks: VecDeque<Vec<Entry>>,
    written: u64,
}

/// The trail. It ends its writer when it is dropped.
pub(super) struct Trail {
    shared: Arc<TrailQueue>,
    writer: Option<JoinHandle<()>>,
    /// The system's number of the writer's thread.
    thread: Option<u32>,
}

impl Trail {
    pub(super) fn open() -> Self {
        let shared = Arc::new(TrailQueue {
            queue: ArrayQueue::new(QUEUE),
            log: Mutex::default(),
            closing: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            napping: AtomicBool::new(false),
        });
        let (tell, told) = channel();
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                // Whoever opened the trail waits for it.
                let _ = tell.send(own_number());
                write(&shared);
            }
        });
        let thread = told.recv().ok().flatten();
        Self { shared, writer: Some(writer), thread }
    }

    /// The thread that writes the trail.
    pub(super) fn writer(&self) -> Option<Writer> {
        let shared = Arc::clone(&self.shared);
        // What it has taken off the queue it has appended a moment later.
        let is_idle = Box::new(move || shared.queue.is_empty());
        Some(Writer { thread: self.thread?, is_idle })
    }

    /// Admits an operation: waits, before anything moves, while the queue is nearly full.
    #[inline]
    pub(super) fn admit(&self) {
        assert!(!self.shared.closing.load(Ordering::Relaxed), "an open ledger");
        if self.shared.queue.len() > HALF {
            self.wait_for_room();
        }
    }

    #[cold]
    fn wait_for_room(&self) {
        if self.shared.napping.load(Ordering::Relaxed) {
            self.wake();
        }
        while self.shared.queue.len() >= THREE_QUARTERS {
            thread::sleep(SHORTEST_NAP);
        }
    }

    /// Queues an entry, in the order of the calls. If callers call it before anyone can spend the
    /// units, every prefix of the log is a legal history.
    #[inline]
    pub(super) fn push(&self, entry: Entry) {
        if let Err(entry) = self.shared.queue.push(entry) {
            self.press(entry);
        }
        if self.shared.parked.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn press(&self, mut entry: Entry) {
        while let Err(refused) = self.shared.queue.push(entry) {
            entry = refused;
            thread::yield_now();
        }
    }

    #[cold]
    fn wake(&self) {
        self.shared.parked.store(false, Ordering::Relaxed);
        self.shared.napping.store(false, Ordering::Relaxed);
        if let Some(writer) = &self.writer {
            writer.thread().unpark();
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.wake();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write(shared: &TrailQueue) {
    let mut batch = Vec::new();
    let mut nap = SHORTEST_NAP;
    let mut idle_since: Option<Instant> = None;
    while !shared.closing.load(Ordering::Relaxed) {
        while batch.len() < QUEUE
            && let Some(entry) = shared.queue.pop()
        {
            batch.push(entry);
        }
        if batch.is_empty() {
            nap = (nap * 2).min(LONGEST_NAP);
            let since = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() > IDLE_BEFORE_PARK {
                shared.parked.store(true, Ordering::Relaxed);
                // With a limit: then a peer needs no proof that it never misses a wake-up.
                thread::park_timeout(Duration::from_millis(100));
                continue;
            }
        } else {
            (nap, idle_since) = (SHORTEST_NAP, None);
            append(&shared.log, &mut batch);
        }
        shared.napping.store(true, Ordering::Relaxed);
        thread::park_timeout(nap);
        shared.napping.store(false, Ordering::Relaxed);
    }
}

fn append(log: &Mutex<Log>, batch: &mut Vec<Entry>) {
    let mut entries = batch.drain(..);
    while !entries.as_slice().is_empty() {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let room = CHUNK - log.chunks.back().map_or(CHUNK, Vec::len);
        if room == 0 {
            // Reuse the memory of the oldest chunk.
            let spare = (log.chunks.len() > KEPT / CHUNK).then(|| log.chunks.pop_front()).flatten();
            let mut chunk = spare.unwrap_or_else(|| Vec::with_capacity(CHUNK));
            chunk.clear();
            log.chunks.push_back(chunk);
            continue;
        }
        if let Some(chunk) = log.chunks.back_mut() {
            let before = chunk.len();
            chunk.extend(entries.by_ref().take(room));
            let written = (chunk.len() - before) as u64;
            log.written += written;
        }
    }
}

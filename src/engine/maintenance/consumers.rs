//! Named consumers, for which retention waits; and what a lost tail means for a subscriber.

use std::ops::Range;
use std::time::Duration;

use crate::base::error::JournalError;
use crate::base::sync::lock;
use crate::engine::journal::JournalLink;
use crate::engine::{InventoryManager, WeakInventoryManager};
use crate::journal::follow::headers::place_of;
use crate::journal::follow::resume::resume;
use crate::journal::follow::subscribe::{JournalFeeds, Subscription};
use crate::journal::format::position::JournalPosition;
use crate::journal::layout::consumer_file::{self, StoredConsumer};
use crate::journal::layout::{Layout, begin_mark, failed};

/// A named consumer of a journal's entries; see [`consumer`](InventoryManager::consumer). It keeps
/// no engine alive.
#[derive(Clone, Debug)]
pub struct Consumer {
    manager: WeakInventoryManager,
    name: String,
    file: String,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The position that it has acknowledged last. Reads a small file.
    ///
    /// # Errors
    /// [`JournalError::Ended`] if the engine is gone; [`JournalError::NoJournal`] if the consumer
    /// was removed; otherwise the storage's error.
    pub fn position(&self) -> Result<JournalPosition, JournalError> {
        let manager = self.manager()?;
        let journal = manager.journal_link()?;
        consumer_file::read(&*journal.storage, &self.file)?.ok_or(JournalError::NoJournal)
    }

    /// Follows the journal from the position that it has acknowledged last.
    ///
    /// A crash between your own transaction and [`acknowledge`](Self::acknowledge) returns some
    /// entries again. And a restored backup brings back the consumer's position of that time. So a
    /// consumer that keeps a store of its own should keep its position there, and pass that to
    /// [`subscribe`](InventoryManager::subscribe): only it tells what the store has seen. The
    /// stored position then serves the retention alone.
    ///
    /// # Errors
    /// As [`subscribe`](InventoryManager::subscribe) and [`position`](Self::position).
    pub fn subscribe(&self) -> Result<Subscription, JournalError> {
        self.manager()?.subscribe(self.position()?)
    }

    /// Stores a position: all entries up to it are handled. It is durable when the call returns,
    /// and waits for the disk: it syncs a small file and the directory. Acknowledge seldom, for
    /// example once a second. If the entry is not on the disk yet, the journal is synced first.
    ///
    /// A position before the stored one is taken, too; retention may have gone on since.
    ///
    /// # Errors
    /// Those of [`subscribe`](InventoryManager::subscribe), if the position is not one of this
    /// journal's; [`JournalError::Ended`] if the engine has ended; otherwise the storage's error.
    /// After an error of the storage the old position or the new one is stored.
    pub fn acknowledge(&self, position: JournalPosition) -> Result<(), JournalError> {
        let manager = self.manager()?;
        let (journal, feeds) = (manager.journal_link()?, manager.journal_feeds()?);
        if position.sequence > feeds.reach().durable.sequence {
            let synced = journal.progress.sync_now();
            synced.map_err(|error| failed("sync", "", &error))?;
        }
        let reach = feeds.reach();
        let is_own = position.opening == reach.opening
            && position.lineage.is_some()
            && position.sequence <= reach.durable.sequence;
        // Positions of this engine's subscriptions need no look at the files.
        let position = if is_own { position } else { resume(&feeds.storage, reach, position)?.1 };
        journal.write_consumer(|| consumer_file::write(&*journal.storage, &self.file, position))
    }

    fn manager(&self) -> Result<InventoryManager, JournalError> {
        self.manager.upgrade().ok_or(JournalError::Ended)
    }
}

/// How far a named consumer is behind; see [`consumers`](InventoryManager::consumers).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// The position that it has acknowledged last.
    pub position: JournalPosition,
    /// How many durable entries it has not acknowledged.
    pub entries_behind: u64,
    /// How many bytes of the journal's segments lie behind its position.
    pub bytes_behind: u64,
    /// How long ago the first entry was made that it has not acknowledged; zero if there is none.
    pub time_behind: Duration,
    /// Entries that it has not acknowledged were removed. Its next subscription returns
    /// [`JournalError::Trimmed`].
    pub is_left_behind: bool,
}

/// What a crash or a restored backup has undone of what a subscriber has seen; see
/// [`undone_since`](InventoryManager::undone_since).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// The sequence numbers of the entries that the subscriber has seen, and that are not part of
    /// this journal; empty if all are.
    pub entries: Range<u64>,
    /// The position to subscribe from once they are undone.
    pub go_on_after: JournalPosition,
}

/// # Consumers of the journal
#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
impl InventoryManager {
    /// The consumer of this name, which is created if there is none: then it begins before the
    /// first entry. A name takes 1 to 64 lowercase ASCII letters, digits and, between them, dots.
    ///
    /// Retention that removes segments waits for consumers: a segment stays until all of them have
    /// acknowledged its entries, or are too far behind
    /// ([`max_consumer_lag`](crate::JournalRetention::max_consumer_lag)). The position lies in a
    /// file beside the journal, and a backup copies it. May wait for the disk.
    ///
    /// # Errors
    /// [`JournalError::InvalidConsumer`]; [`JournalError::NoJournal`] without a journal;
    /// [`JournalError::Ended`] if the engine has ended; otherwise the storage's error.
    ///
    /// ```
    /// # let name = format!("stockade-consumer-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// use stockade::InventoryManager;
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let billing = manager.consumer("billing")?;
    /// let mut entries = billing.subscribe()?;
    /// while let Some(entry) = entries.try_next()? {
    ///     // Handle it.
    /// }
    /// billing.acknowledge(entries.position())?;
    /// assert_eq!(manager.consumers()?[0].entries_behind, 0);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn consumer(&self, name: &str) -> Result<Consumer, JournalError> {
        let (journal, file) = (self.journal_link()?, file_of(name)?);
        journal.write_consumer(|| match consumer_file::read(&*journal.storage, &file)? {
            Some(_) => Ok(()),
            None => consumer_file::write(&*journal.storage, &file, JournalPosition::default()),
        })?;
        Ok(Consumer { manager: self.downgrade(), name: name.to_owned(), file })
    }

    /// Removes a consumer, so that retention waits for it no more. Without one of this name it does
    /// nothing. It is durable when the call returns.
    ///
    /// # Errors
    /// As [`consumer`](Self::consumer).
    pub fn remove_consumer(&self, name: &str) -> Result<(), JournalError> {
        let (journal, file) = (self.journal_link()?, file_of(name)?);
        journal.write_consumer(|| consumer_file::remove(&*journal.storage, &file))
    }

    /// All consumers, by name, and how far each is behind. Reads the headers of the segment in
    /// which each one stands, so it may wait for the disk.
    ///
    /// # Errors
    /// [`JournalError::NoJournal`] without a journal; otherwise the storage's error.
    pub fn consumers(&self) -> Result<Vec<ConsumerStatus>, JournalError> {
        let (journal, feeds) = (self.journal_link()?, self.journal_feeds()?);
        let consumers = consumer_file::list(&*journal.storage)?;
        consumers.into_iter().map(|it| self.status_of(&feeds, it)).collect()
    }

    fn status_of(
        &self,
        feeds: &JournalFeeds,
        consumer: StoredConsumer,
    ) -> Result<ConsumerStatus, JournalError> {
        let StoredConsumer { name, position } = consumer;
        let (sequence, durable) = (position.sequence, feeds.reach().durable);
        let storage = &*feeds.storage;
        let layout = Layout::find_back_to(storage, |it| it.base.sequence <= sequence)?;
        let next = place_of(storage, &layout, sequence.saturating_add(1), durable.batch)?;
        // The segment and the offset from which on it has not acknowledged.
        let (first, offset) = match &next {
            Some(place) => (place.segment.header.number, place.before.length),
            None if layout.oldest() > sequence.saturating_add(1) => (0, 0),
            None => (u64::MAX, 0),
        };
        let mut bytes = 0;
        for it in layout.path.iter().filter(|it| it.header.number >= first) {
            let length = storage.length(&it.name);
            bytes += length.map_err(|error| failed("read", &it.name, &error))?.min(it.limit);
        }
        let made = next.map(|place| place.at);
        Ok(ConsumerStatus {
            name,
            position,
            entries_behind: durable.sequence.saturating_sub(sequence),
            bytes_behind: bytes.saturating_sub(offset),
            time_behind: made.map_or(Duration::ZERO, |it| self.engine.now().saturating_since(it)),
            is_left_behind: layout.oldest() > sequence.saturating_add(1),
        })
    }

    /// What must be undone of what a subscriber has seen, after `subscribe` has refused its
    /// position as [`Rewound`](JournalError::Rewound). `kept` are positions that it has stored, in
    /// any order; the newest says how far it had come.
    ///
    /// The entries that are undone are not in this journal any more, so the engine can't return
    /// them: only the subscriber can know what it made of them. It goes on after the newest of the
    /// kept positions that belongs to this journal. If none does, it goes on where the histories
    /// part as far as the oldest tells; see [`Rewound`](JournalError::Rewound). So keep some older
    /// positions, too. `docs/followers.md` has the whole recipe. Reads the journal's headers.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), but never `Rewound`.
    ///
    /// ```
    /// # let name = format!("stockade-undone-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// use stockade::InventoryManager;
    /// let (here, copy) = (directory.join("journal"), directory.join("copy"));
    /// let open = |at| InventoryManager::builder().warehouse("SF").journal(at).build();
    /// let manager = open(&here)?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let shared = manager.backup(&copy)?.sequence;
    /// manager.sell(("SF", "LAPTOP"), 1)?;
    /// manager.flush().wait()?;
    /// let mut entries = manager.subscribe(Default::default())?;
    /// while entries.try_next()?.is_some() {}
    /// let seen = entries.position();
    ///
    /// let restored = open(&copy)?;
    /// assert!(restored.subscribe(seen).is_err());
    /// let undone = restored.undone_since(&[seen])?;
    /// assert_eq!(undone.entries, shared + 1..seen.sequence + 1);
    /// let entries = restored.subscribe(undone.go_on_after)?;
    /// # drop((manager, restored, entries));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn undone_since(&self, kept: &[JournalPosition]) -> Result<Undone, JournalError> {
        let feeds = self.journal_feeds()?;
        let mut kept = kept.to_vec();
        kept.sort_by_key(|it| it.sequence);
        let seen = kept.last().map_or(0, |it| it.sequence);
        let mut shared = 0;
        for position in kept.into_iter().rev() {
            match resume(&feeds.storage, feeds.reach(), position) {
                Ok((_, full)) => return Ok(undone(full, seen)),
                Err(JournalError::Rewound { to }) => shared = to,
                Err(error) => return Err(error),
            }
        }
        let to = JournalPosition::new(shared, 0);
        resume(&feeds.storage, feeds.reach(), to).map(|(_, full)| undone(full, seen))
    }
}

fn undone(go_on_after: JournalPosition, seen: u64) -> Undone {
    let next = |sequence: u64| sequence.saturating_add(1);
    Undone { entries: next(go_on_after.sequence)..next(seen), go_on_after }
}

fn file_of(name: &str) -> Result<String, JournalError> {
    let wrong = || JournalError::InvalidConsumer { name: name.to_owned() };
    consumer_file::file_of(name).ok_or_else(wrong)
}

impl JournalLink {
    /// Writes the file of a consumer, alone and under the journal's lock.
    fn write_consumer(
        &self,
        write: impl FnOnce() -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let _alone = lock(&self.consumers);
        let _held = self.hold().ok_or(JournalError::Ended)?;
        write()
    }

    /// How many named consumers there are, and how many durable entries the last of them has not
    /// acknowledged. `None` if their files can't be read.
    #[cfg(feature = "metrics")]
    pub(in crate::engine) fn consumers_behind(&self) -> Option<(usize, u64)> {
        let durable = self.progress.durable_point().sequence;
        let consumers = consumer_file::list(&*self.storage).ok()?;
        let behind = consumers.iter().map(|it| durable.saturating_sub(it.position.sequence));
        Some((consumers.len(), behind.max().unwrap_or(0)))
    }

    /// The consumers that were left behind, for `health`. Reads their files, if segments are
    /// removed at all.
    pub(in crate::engine) fn left_behind(&self) -> Option<String> {
        if !self.retention.removes() {
            return None;
        }
        let began = match begin_mark::read(&*self.storage) {
            Ok(mark) => mark?.sequence,
            Err(error) => return Some(format!("the journal's beginning is unknown: {error}")),
        };
        let consumers = match consumer_file::list(&*self.storage) {
            Ok(consumers) => consumers,
            Err(error) => return Some(format!("the consumers are unknown: {error}")),
        };
        let left: Vec<_> = consumers
            .iter()
            .filter(|it| it.position.sequence < began)
            .map(|it| format!("{:?}", it.name))
            .collect();
        let names = left.join(", ");
        (!left.is_empty()).then(|| format!("entries were removed before these had them: {names}"))
    }
}

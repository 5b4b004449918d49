//! The items of the audit queue, as the writer takes them.

use crate::audit::pool::BufferPool;
use crate::audit::record::{ItemWords, PlainEntry, RecordBuf};
use crate::audit::ring::{FoundBeside, Row};
use crate::audit::short_record::ROW_WORDS;
use crate::stock::mcas::recorder::CommitName;

/// One item of the queue, as the writer takes it. In the queue it is [`ItemWords`], and beside them
/// lies the buffer, or the words of a [short record](crate::audit::short_record).
#[derive(Debug)]
pub(crate) enum QueueItem {
    /// A record of one entry without metadata or key, to be written at this place in the order. The
    /// most common case.
    Plain(PlainEntry),
    /// A record of several entries, or with metadata or a key, to be written at this place in the
    /// order.
    Buffered(Box<RecordBuf>),
    /// The record of a multi-word CAS, sent ahead before the operation is decided. The writer keeps
    /// it, and writes it where the first `Committed` of this name is in the order. If the operation
    /// is refused, the record is never written.
    Ahead(CommitName, Box<RecordBuf>),
    /// The multi-word CAS of this name is decided. Each thread that helped may queue this; the
    /// writer drops the repeats.
    Committed(CommitName),
}

impl QueueItem {
    /// The words of an item that has no commit's name.
    pub(crate) const UNNAMED: ItemWords = [0; 7];
    const NAMED: u64 = 1;

    /// The words of an item about this commit.
    pub(crate) fn named(name: CommitName) -> ItemWords {
        let CommitName { slot, sequence } = name;
        let mut words = Self::UNNAMED;
        (words[0], words[1], words[2]) = (Self::NAMED, u64::from(slot), sequence);
        words
    }

    /// The item from its words, and what lay beside them. A short record goes into a buffer of the
    /// pool.
    #[inline]
    pub(crate) fn new(
        words: ItemWords,
        found: FoundBeside<'_, Box<RecordBuf>, ROW_WORDS>,
        pool: &BufferPool,
    ) -> Self {
        let buffer = match (PlainEntry::from_words(words), found) {
            (Some(entry), FoundBeside::Words(row)) => {
                return Self::Buffered(filled(pool, &entry, row));
            }
            (Some(entry), _) => return Self::Plain(entry),
            (None, FoundBeside::Other(buffer)) => Some(buffer),
            (None, _) => None,
        };
        let [named, slot, sequence, ..] = words;
        // The slot's number was widened, so nothing is cut off.
        let name = CommitName { slot: slot as u32, sequence };
        match buffer {
            Some(buffer) if named == Self::NAMED => Self::Ahead(name, buffer),
            Some(buffer) => Self::Buffered(buffer),
            None => Self::Committed(name),
        }
    }
}

/// A short record in a buffer. Not inlined: plain entries are most, and this would slow them.
#[inline(never)]
fn filled(pool: &BufferPool, entry: &PlainEntry, row: &Row<ROW_WORDS>) -> Box<RecordBuf> {
    let mut buffer = pool.take();
    buffer.fill(entry, row);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::EventType;
    use crate::base::clock::Timestamp;
    use crate::reservation::id::{Owner, ReservationId};
    use crate::stock::handle::LevelIndex;

    #[test]
    fn an_item_comes_out_of_its_words_as_it_went_in() {
        let id = ReservationId::new(Timestamp::from_millis(7), u32::MAX, u64::MAX);
        let entry = PlainEntry::new(EventType::Extended, Timestamp::MAX, LevelIndex(u32::MAX), 9)
            .reservation(id)
            .owner(Some(Owner([7; 16])))
            .expires_at(Timestamp::MAX);
        let name = CommitName { slot: u32::MAX, sequence: u64::MAX };
        let is = |item: &QueueItem| match item {
            QueueItem::Plain(own) => *own == entry,
            QueueItem::Buffered(buffer) => buffer.expired,
            QueueItem::Ahead(own, buffer) => *own == name && buffer.expired,
            QueueItem::Committed(own) => *own == name,
        };
        let buffer =
            || FoundBeside::Other(Box::new(RecordBuf { expired: true, ..RecordBuf::default() }));
        let pool = BufferPool::new(1);
        let plain = QueueItem::new(entry.to_words(), FoundBeside::Nothing, &pool);
        assert!(matches!(plain, QueueItem::Plain(_)) && is(&plain));
        let buffered = QueueItem::new(QueueItem::UNNAMED, buffer(), &pool);
        assert!(matches!(buffered, QueueItem::Buffered(_)) && is(&buffered));
        let ahead = QueueItem::new(QueueItem::named(name), buffer(), &pool);
        assert!(matches!(ahead, QueueItem::Ahead(..)) && is(&ahead));
        let committed = QueueItem::new(QueueItem::named(name), FoundBeside::Nothing, &pool);
        assert!(matches!(committed, QueueItem::Committed(_)) && is(&committed));
    }
}

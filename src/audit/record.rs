//! What goes through the queue: one record for each operation, however many lines it has.

use std::num::NonZeroU64;

use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};
use crate::stock::mcas::recorder::CommitName;

/// One item of the queue. With the stamp of its place it fills one cache line.
#[derive(Debug)]
pub(crate) enum QueueItem {
    /// One entry without metadata, to be written here: most of what a shop does.
    Plain(PlainEntry),
    /// Anything else.
    OutOfLine(OutOfLine),
}

const _: () = assert!(size_of::<QueueItem>() == 56);

/// An item that does not lie in the queue itself, or is none of its own. Apart from [`QueueItem`], because a
/// step has one value to spare that tells the two apart, and no more.
#[derive(Debug)]
pub(crate) enum OutOfLine {
    /// A record of several entries, or with metadata, to be written here.
    Buffered(Box<RecordBuf>),
    /// The record of a commit that may still be refused, or that any thread may bring to its end: sent
    /// ahead, and written where the first `Committed` of this name stands.
    Ahead(CommitName, Box<RecordBuf>),
    /// The commit of this name is decided. Every thread that helped it may queue this; the writer
    /// heeds the first.
    Committed(CommitName),
}

/// One operation's record.
#[derive(Debug)]
pub(crate) enum Record {
    /// One entry without metadata: most of what a shop does.
    Plain(PlainEntry),
    /// Anything else, in a pooled buffer.
    Buffered(Box<RecordBuf>),
}

impl Record {
    /// How many entries, and so sequence numbers, the record makes.
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Self::Plain(_) => 1,
            Self::Buffered(steps) => steps.lines.len() as u64,
        }
    }
}

/// One entry about one stock level, packed into whole words: a step is made in registers and written
/// down once, in its place in the queue, and words of odd sizes would be written in pieces and read
/// back before the pieces are together.
///
/// ```text
///   63   57   56   55 .... 48   47 ............ 0
/// +---+-----+-----+-----------+------------------+
/// | 1 | exp | own | type code | expires at, ms   |   the word `about`
/// +---+-----+-----+-----------+------------------+
/// ```
///
/// `exp`: units came back because the hold expired, shown as `reason` = `expired`; `own`: it has an
/// owner. An expiry of all ones is none. The top bit makes the word never zero, so that zero is left to
/// tell a step from whatever else lies in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlainEntry {
    at: Timestamp,
    /// Two zeros for none: no id has version 0.
    reservation: [u64; 2],
    owner: [u64; 2],
    level: LevelIndex,
    quantity: u32,
    about: NonZeroU64,
}

const EXPIRY_BITS: u32 = 48;
const NO_EXPIRY: u64 = (1 << EXPIRY_BITS) - 1;
const CODE_SHIFT: u32 = EXPIRY_BITS;
const HAS_OWNER: u64 = 1 << 56;
const IS_EXPIRY: u64 = 1 << 57;
const ALWAYS: NonZeroU64 = NonZeroU64::new(1 << 63).unwrap();

const _: () = assert!(Timestamp::MAX.as_millis() < NO_EXPIRY, "every moment fits, and is not none");
const _: () =
    assert!(CODE_SHIFT + u8::BITS <= HAS_OWNER.trailing_zeros(), "a code fits below the flags");

impl PlainEntry {
    /// `quantity` units moved on `level`, or an event about it.
    #[inline]
    pub(crate) fn new(
        entry_type: impl Into<EntryType>,
        at: Timestamp,
        level: LevelIndex,
        quantity: u32,
    ) -> Self {
        let code = u64::from(entry_type.into().code());
        let about = ALWAYS | code << CODE_SHIFT | NO_EXPIRY;
        Self { at, reservation: [0; 2], owner: [0; 2], level, quantity, about }
    }

    /// It belongs to this hold.
    #[inline]
    pub(crate) fn reservation(mut self, id: ReservationId) -> Self {
        self.reservation = id.to_halves();
        self
    }

    /// Whose hold it is.
    #[inline]
    pub(crate) fn owner(mut self, owner: Option<Owner>) -> Self {
        if let Some(owner) = owner {
            self.owner = owner.to_halves();
            self.about |= HAS_OWNER;
        }
        self
    }

    /// When the hold ends by itself.
    #[inline]
    pub(crate) fn expires_at(mut self, moment: Timestamp) -> Self {
        self.about = ALWAYS | self.about.get() & !NO_EXPIRY | moment.as_millis();
        self
    }

    /// The units came back because nobody ended the hold in time.
    #[inline]
    pub(crate) fn expired(mut self) -> Self {
        debug_assert_eq!(self.code(), EntryType::from(AdjustmentType::Returned).code());
        self.about |= IS_EXPIRY;
        self
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn entry_type(&self) -> EntryType {
        // The code was made from a type.
        EntryType::from_code(self.code()).unwrap_or(EntryType::Event(EventType::KeyUsed))
    }

    pub(crate) fn level(&self) -> LevelIndex {
        self.level
    }

    pub(crate) fn quantity(&self) -> u32 {
        self.quantity
    }

    pub(crate) fn code(&self) -> u8 {
        (self.about.get() >> CODE_SHIFT) as u8
    }

    pub(crate) fn is_expiry(&self) -> bool {
        self.about.get() & IS_EXPIRY != 0
    }

    pub(crate) fn get_reservation(&self) -> Option<ReservationId> {
        (self.reservation != [0; 2]).then(|| ReservationId::from_halves(self.reservation))
    }

    pub(crate) fn get_owner(&self) -> Option<Owner> {
        (self.about.get() & HAS_OWNER != 0).then(|| Owner::from_halves(self.owner))
    }

    pub(crate) fn get_expires_at(&self) -> Option<Timestamp> {
        let millis = self.about.get() & NO_EXPIRY;
        (millis != NO_EXPIRY).then(|| Timestamp::from_millis(millis))
    }
}

/// How many decided transfer requests an engine remembers, and so does the ledger of its journal.
pub(crate) const DECIDED_KEPT: usize = 1_000;

/// What a line is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The engine as a whole.
    #[default]
    None,
    /// A warehouse.
    Warehouse(WarehouseIndex),
    /// A product, wherever it lies.
    Product(ProductIndex),
    /// A product in a warehouse.
    Level(LevelIndex),
}

/// One entry of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryLine {
    pub(crate) entry_type: EntryType,
    pub(crate) subject: Subject,
    pub(crate) quantity: u32,
    /// The other end of a transfer.
    pub(crate) other: Option<WarehouseIndex>,
}

/// What all entries of one record share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) at: Timestamp,
    pub(crate) reservation: Option<ReservationId>,
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) retaken_from: Option<ReservationId>,
}

/// A record of several entries, or of one that bears metadata or a key: written whole or not at all.
#[derive(Debug, Default)]
pub(crate) struct RecordBuf {
    pub(crate) header: Header,
    pub(crate) lines: Vec<EntryLine>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) key: Option<KeyMark>,
    /// The units came back because nobody ended the hold in time.
    pub(crate) expired: bool,
    /// The reservation keeps its record until all that it sold is shipped or cancelled.
    pub(crate) keep: bool,
}

/// A buffer that grew beyond this many lines gives the room back: one huge basket must not cost
/// every pooled buffer its size.
const KEPT_LINES: usize = 256;
/// The same for pairs of metadata.
const KEPT_PAIRS: usize = 16;

impl RecordBuf {
    /// Adds an entry.
    pub(crate) fn line(
        &mut self,
        entry_type: impl Into<EntryType>,
        subject: Subject,
        quantity: u32,
        other: Option<WarehouseIndex>,
    ) {
        self.lines.push(EntryLine { entry_type: entry_type.into(), subject, quantity, other });
    }

    /// Adds a pair of metadata, shown with every entry of the record. Allocates.
    pub(crate) fn note(&mut self, key: &str, value: &str) {
        self.metadata.push((key.to_owned(), value.to_owned()));
    }

    /// Empty again, with its room kept unless that is huge.
    pub(crate) fn clear(&mut self) {
        self.header = Header::default();
        (self.key, self.expired, self.keep) = (None, false, false);
        self.lines.clear();
        self.lines.shrink_to(KEPT_LINES);
        self.metadata.clear();
        self.metadata.shrink_to(KEPT_PAIRS);
    }
}

/// What a recovery has to know of a transfer's request: the other pairs of such a record are notes.
const FACTS_OF_TRANSFERS: [&str; 5] =
    ["transferRequestId", "outcome", "decidedAt", "available", "room"];

/// Whether all pairs of such an entry are *facts*, which a recovery needs and nobody may erase,
/// rather than a caller's notes.
fn has_facts_only(entry_type: EntryType) -> bool {
    matches!(
        entry_type,
        EntryType::Event(
            EventType::Opened
                | EventType::WarehouseDefined
                | EventType::ProductDefined
                | EventType::LevelOpened
                | EventType::SettingChanged
                | EventType::Closed
        )
    )
}

/// Whether the pair of this name is a fact in a record of these lines.
pub(crate) fn is_fact(lines: &[EntryLine], name: &str) -> bool {
    let transfer = |line: &EntryLine| {
        matches!(
            line.entry_type,
            EntryType::Event(EventType::TransferRequested | EventType::TransferDecided)
        )
    };
    lines.first().is_some_and(|line| has_facts_only(line.entry_type))
        || (FACTS_OF_TRANSFERS.contains(&name) && lines.iter().any(transfer))
}

/// A caller's key, in the same record as what it moved, so that no lost tail parts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyMark {
    pub(crate) key: ShortBytes<64>,
    /// Of the request: the same key with another one is a conflict.
    pub(crate) fingerprint: u128,
    /// What the first caller was told, as the floor above packs it.
    pub(crate) answer: ShortBytes<32>,
}

/// At most `N` bytes, in place. `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortBytes<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> ShortBytes<N> {
    /// The bytes, or `None` if they are too many.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        const { assert!(N <= u8::MAX as usize) };
        let mut short = Self { bytes: [0; N], len: u8::try_from(bytes.len()).ok()? };
        short.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(short)
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<const N: usize> std::fmt::Debug for ShortBytes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_gives_back_what_was_packed_into_it() {
        let id = ReservationId::new(Timestamp::from_millis(7), u32::MAX, u64::MAX);
        for moment in [0, 0xffff, 0x1_0002_0003, Timestamp::MAX.as_millis()] {
            let moment = Timestamp::from_millis(moment);
            let step = PlainEntry::new(EventType::Extended, moment, LevelIndex(3), 9)
                .reservation(id)
                .owner(Some(Owner([0; 16])))
                .expires_at(moment);
            assert_eq!(step.get_expires_at(), Some(moment));
            assert_eq!(step.get_reservation(), Some(id));
            assert_eq!(step.get_owner(), Some(Owner([0; 16])));
            assert_eq!(EntryType::from_code(step.code()), Some(EventType::Extended.into()));
            assert_eq!((step.at(), step.level(), step.quantity()), (moment, LevelIndex(3), 9));
        }
    }

    #[test]
    fn a_plain_step_has_no_hold_no_owner_and_no_expiry() {
        let step = PlainEntry::new(AdjustmentType::Returned, Timestamp::MAX, LevelIndex(0), 1);
        assert_eq!(step.get_reservation(), None);
        assert_eq!(step.get_owner(), None);
        assert_eq!(step.get_expires_at(), None);
        assert!(!step.is_expiry());
        assert!(step.expired().is_expiry());
        assert_eq!(step.expired().code(), step.code());
    }

    #[test]
    fn short_bytes_have_a_bound() {
        assert_eq!(ShortBytes::<64>::new(&[7; 64]).map(|key| key.as_bytes().len()), Some(64));
        assert_eq!(ShortBytes::<64>::new(&[7; 65]), None);
        assert_eq!(ShortBytes::<64>::new(&[7; 300]), None);
        assert_eq!(format!("{:?}", ShortBytes::<8>::new(b"key").expect("fits")), "key");
    }
}

//! Records: what goes through the audit queue. Each operation queues one record with all its
//! entries.

use std::num::NonZeroU64;

use crate::audit::draw::DrawMark;
use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::pairs::Pairs;
use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// How many words an item of the queue has. With the stamp of its place they fill one cache line.
pub(crate) const ITEM_WORDS: usize = 7;
/// The words of one item of the queue.
pub(crate) type ItemWords = [u64; ITEM_WORDS];

/// One operation's record, as the writer stores it.
#[derive(Debug)]
pub(crate) enum Record {
    /// One entry without metadata or key. The most common case.
    Plain(PlainEntry),
    /// Any other record, in a pooled buffer.
    Buffered(Box<RecordBuf>),
}

impl Record {
    /// When the operation took effect: the moment of all its entries.
    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Plain(entry) => entry.at(),
            Self::Buffered(buffer) => buffer.header.at,
        }
    }

    /// How many entries the record has. Each takes one sequence number.
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Self::Plain(_) => 1,
            Self::Buffered(buffer) => buffer.lines.len() as u64,
        }
    }
}

/// One entry about one stock level, packed into whole words. The caller builds it in registers and
/// stores it once, into its place in the queue.
///
/// ```text
///   63   57   56   55 .... 48   47 ............ 0
/// +---+-----+-----+-----------+------------------+
/// | 1 | exp | own | type code | expires at, ms   |   the word `about`
/// +---+-----+-----+-----------+------------------+
/// ```
///
/// `exp`: units came back because the hold expired; a view shows it as `reason` = `expired`. `own`:
/// the entry has an owner. An expiry of all ones means none. The top bit is always set, so the word
/// is never zero. Zero marks the other items of the queue, and is the niche that [`Record`] uses
/// for its other variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlainEntry {
    at: Timestamp,
    /// Two zeros for none. No id is zero, because each has a UUID version.
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
    /// A movement of `quantity` units on `level`, or an event about that level.
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

    /// The entry as it goes through the queue.
    #[inline]
    pub(crate) fn to_words(self) -> ItemWords {
        let Self { at, reservation: [first, second], owner, level, quantity, about } = self;
        let units = u64::from(level.0) << u32::BITS | u64::from(quantity);
        [at.as_millis(), first, second, owner[0], owner[1], units, about.get()]
    }

    /// The entry of these words; `None` if they are no plain entry's.
    #[inline]
    pub(super) fn from_words(
        [at, first, second, own, er, units, about]: ItemWords,
    ) -> Option<Self> {
        Some(Self {
            at: Timestamp::from_millis(at),
            reservation: [first, second],
            owner: [own, er],
            level: LevelIndex((units >> u32::BITS) as u32),
            quantity: units as u32,
            about: NonZeroU64::new(about)?,
        })
    }

    /// Sets the hold that the entry belongs to.
    #[inline]
    pub(crate) fn reservation(mut self, id: ReservationId) -> Self {
        self.reservation = id.to_halves();
        self
    }

    /// Sets the owner of that hold.
    #[inline]
    pub(crate) fn owner(mut self, owner: Option<Owner>) -> Self {
        if let Some(owner) = owner {
            self.owner = owner.to_halves();
            self.about |= HAS_OWNER;
        }
        self
    }

    /// Sets when the hold expires.
    #[inline]
    pub(crate) fn expires_at(mut self, moment: Timestamp) -> Self {
        self.about = ALWAYS | self.about.get() & !NO_EXPIRY | moment.as_millis();
        self
    }

    /// The units came back because the hold expired.
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
        // The code was made from an entry type, so the fallback is never used.
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

    /// What it shares with the other entries of its record, as a longer record has it.
    pub(crate) fn header(&self) -> Header {
        Header {
            at: self.at,
            reservation: self.get_reservation(),
            owner: self.get_owner(),
            expires_at: self.get_expires_at(),
            retaken_from: None,
        }
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

/// How many decided transfer requests an engine remembers. The ledger of its journal keeps as many.
pub(crate) const DECIDED_KEPT: usize = 1_000;

/// What a line of a record is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The engine as a whole.
    #[default]
    None,
    /// A warehouse.
    Warehouse(WarehouseIndex),
    /// A product, in all warehouses.
    Product(ProductIndex),
    /// A product in a warehouse.
    Level(LevelIndex),
}

/// One entry of a record that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryLine {
    pub(crate) entry_type: EntryType,
    pub(crate) subject: Subject,
    pub(crate) quantity: u32,
    /// The warehouse at the other end of a transfer.
    pub(crate) other: Option<WarehouseIndex>,
}

/// The fields that all entries of one record share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) at: Timestamp,
    pub(crate) reservation: Option<ReservationId>,
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) retaken_from: Option<ReservationId>,
}

/// A record of several entries, or of one entry with metadata or a key. The writer writes it whole
/// or not at all.
#[derive(Debug, Default)]
pub(crate) struct RecordBuf {
    pub(crate) header: Header,
    pub(crate) lines: Vec<EntryLine>,
    /// What the lines draw on allowances, in the order of their lines.
    pub(crate) draws: Vec<DrawMark>,
    pub(crate) metadata: Pairs,
    pub(crate) key: Option<KeyMark>,
    /// The units came back because the hold expired.
    pub(crate) expired: bool,
    /// The reservation's slot keeps its record until all sold units are shipped or cancelled.
    pub(crate) keep: bool,
}

/// A buffer that grew beyond this many lines gives the memory back. Otherwise a few huge baskets
/// would leave the pool full of huge buffers.
const KEPT_LINES: usize = 256;
/// The same bound for draws.
const KEPT_DRAWS: usize = 64;
/// The same bound for metadata pairs.
const KEPT_PAIRS: usize = 16;
/// The same bound for their bytes.
const KEPT_TEXT: usize = 512;

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

    /// Adds a metadata pair, which every entry of the record shows. Allocates if the buffer is new,
    /// or the text long.
    pub(crate) fn note(&mut self, key: &str, value: &str) {
        self.metadata.push(key, value);
    }

    /// Empties the buffer. It keeps its memory, unless that is more than the bounds above.
    pub(crate) fn clear(&mut self) {
        self.header = Header::default();
        (self.key, self.expired, self.keep) = (None, false, false);
        self.lines.clear();
        self.lines.shrink_to(KEPT_LINES);
        self.draws.clear();
        self.draws.shrink_to(KEPT_DRAWS);
        self.metadata.clear(KEPT_TEXT, KEPT_PAIRS);
    }
}

/// The note that tells people that a reservation is kept until it is shipped, and its value. It is
/// no fact: what counts in a journal is a flag of the record.
pub(crate) const KEEP_NOTE: &str = "keep";
pub(crate) const KEPT_UNTIL_SHIPPED: &str = "until-shipped";

/// The names of facts in the record of a transfer request or decision: pairs that a recovery needs.
/// All other pairs of such a record are notes.
pub(crate) const FACTS_OF_TRANSFERS: [&str; 5] =
    ["transferRequestId", "outcome", "decidedAt", "available", "room"];

/// Whether all pairs of this entry type are *facts*: pairs that a recovery needs, so that a
/// redaction must not erase them. Other pairs are notes, which can be erased.
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
                | EventType::ClockStepped
                | EventType::ClockApart
                | EventType::LimitDefined
                | EventType::LimitDropped
                | EventType::GroupChanged
                | EventType::AllowanceReturned
        )
    )
}

/// Whether the pair of this name is a fact in a record with these lines.
pub(crate) fn is_fact(lines: &[EntryLine], name: &str) -> bool {
    let transfer = |line: &EntryLine| {
        matches!(
            line.entry_type,
            EntryType::Event(EventType::TransferRequested | EventType::TransferDecided)
        )
    };
    lines.first().is_some_and(|line| has_facts_only(line.entry_type))
        || (lines.iter().any(transfer) && FACTS_OF_TRANSFERS.contains(&name))
}

/// An idempotency key with its answer. It is in the same record as the movements, so that a torn
/// tail loses both or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyMark {
    pub(crate) key: ShortBytes<64>,
    /// The fingerprint of the request. The same key with another fingerprint is a conflict.
    pub(crate) fingerprint: u128,
    /// The first answer, as the engine packs it.
    pub(crate) answer: ShortBytes<32>,
}

/// At most `N` bytes, stored inline. `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortBytes<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> ShortBytes<N> {
    /// Copies the bytes. `None` if there are more than `N`.
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
    fn a_plain_entry_gives_back_what_was_packed_into_it() {
        let id = ReservationId::new(Timestamp::from_millis(7), u32::MAX, u64::MAX);
        for moment in [0, 0xffff, 0x1_0002_0003, Timestamp::MAX.as_millis()] {
            let moment = Timestamp::from_millis(moment);
            let entry = PlainEntry::new(EventType::Extended, moment, LevelIndex(3), 9)
                .reservation(id)
                .owner(Some(Owner([0; 16])))
                .expires_at(moment);
            assert_eq!(entry.get_expires_at(), Some(moment));
            assert_eq!(entry.get_reservation(), Some(id));
            assert_eq!(entry.get_owner(), Some(Owner([0; 16])));
            assert_eq!(EntryType::from_code(entry.code()), Some(EventType::Extended.into()));
            assert_eq!((entry.at(), entry.level(), entry.quantity()), (moment, LevelIndex(3), 9));
        }
    }

    #[test]
    fn a_new_plain_entry_has_no_hold_no_owner_and_no_expiry() {
        let entry = PlainEntry::new(AdjustmentType::Returned, Timestamp::MAX, LevelIndex(0), 1);
        assert_eq!(entry.get_reservation(), None);
        assert_eq!(entry.get_owner(), None);
        assert_eq!(entry.get_expires_at(), None);
        assert!(!entry.is_expiry());
        assert!(entry.expired().is_expiry());
        assert_eq!(entry.expired().code(), entry.code());
    }

    #[test]
    fn short_bytes_have_a_bound() {
        assert_eq!(ShortBytes::<64>::new(&[7; 64]).map(|key| key.as_bytes().len()), Some(64));
        assert_eq!(ShortBytes::<64>::new(&[7; 65]), None);
        assert_eq!(ShortBytes::<64>::new(&[7; 300]), None);
        assert_eq!(format!("{:?}", ShortBytes::<8>::new(b"key").expect("fits")), "key");
    }
}

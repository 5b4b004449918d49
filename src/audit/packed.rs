//! Records of buffers in as few bytes as they need: how the log in memory keeps them.
//!
//! They never leave the process, so this is no format: any version may pack them otherwise.

use std::cell::OnceCell;

use crate::audit::draw::{DrawMark, put_draws, read_draws};
use crate::audit::entry::EntryType;
use crate::audit::pairs::{Pairs, put_pairs};
use crate::audit::record::{EntryLine, Header, Subject};
use crate::audit::view::{Metadata, RecordView, View};
use crate::base::bytes::{Cursor, put_difference, put_varint};
use crate::base::clock::Timestamp;
use crate::idempotency::KeyHash;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// Which optional parts a packed record has.
mod has {
    pub(super) const RESERVATION: u8 = 1;
    pub(super) const OWNER: u8 = 1 << 1;
    pub(super) const EXPIRY: u8 = 1 << 2;
    pub(super) const RETAKEN_FROM: u8 = 1 << 3;
    pub(super) const KEY: u8 = 1 << 4;
    pub(super) const PAIRS: u8 = 1 << 5;
    pub(super) const OTHERS: u8 = 1 << 6;
    pub(super) const DRAWS: u8 = 1 << 7;
}

/// The two top bits of a line's first byte: what it is about.
mod about {
    pub(super) const WAREHOUSE: u8 = 1 << 6;
    pub(super) const PRODUCT: u8 = 2 << 6;
    pub(super) const LEVEL: u8 = 3 << 6;
    pub(super) const MASK: u8 = 3 << 6;
}

/// Bits of an id's first half below the moment.
const ID_REST: u32 = u16::BITS;

/// Appends a record. `base` is any moment near its own, the same when it is unpacked.
pub(super) fn pack<'p>(
    out: &mut Vec<u8>,
    base: Timestamp,
    RecordView { header, key, draws }: RecordView<'_>,
    lines: &[EntryLine],
    pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
) {
    let flag = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
    let count = pairs.clone().count();
    let others = lines.iter().any(|line| line.other.is_some());
    out.push(
        flag(header.reservation.is_some(), has::RESERVATION)
            | flag(header.owner.is_some(), has::OWNER)
            | flag(header.expires_at.is_some(), has::EXPIRY)
            | flag(header.retaken_from.is_some(), has::RETAKEN_FROM)
            | flag(key.is_some(), has::KEY)
            | flag(count > 0, has::PAIRS)
            | flag(others, has::OTHERS)
            | flag(!draws.is_empty(), has::DRAWS),
    );
    put_difference(out, header.at.as_millis(), base.as_millis());
    if let Some(id) = header.reservation {
        put_id(out, id, header.at);
    }
    if let Some(owner) = header.owner {
        out.extend_from_slice(&owner.0);
    }
    if let Some(expiry) = header.expires_at {
        put_difference(out, expiry.as_millis(), header.at.as_millis());
    }
    if let Some(id) = header.retaken_from {
        put_id(out, id, header.at);
    }
    if let Some(key) = key {
        out.extend_from_slice(&key.to_bytes());
    }
    put_varint(out, lines.len() as u64);
    for line in lines {
        put_line(out, line, others);
    }
    if !draws.is_empty() {
        put_draws(out, draws);
    }
    if count > 0 {
        put_pairs(out, count, pairs);
    }
}

/// Appends an id: the moment in it, counted from that of the record, then the rest.
fn put_id(out: &mut Vec<u8>, id: ReservationId, at: Timestamp) {
    let [high, low] = id.to_halves();
    put_difference(out, high >> ID_REST, at.as_millis());
    out.extend_from_slice(&(high as u16).to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
}

fn put_line(out: &mut Vec<u8>, line: &EntryLine, others: bool) {
    let (kind, number) = match line.subject {
        Subject::None => (0, None),
        Subject::Warehouse(id) => (about::WAREHOUSE, Some(u64::from(id.0))),
        Subject::Product(id) => (about::PRODUCT, Some(u64::from(id.0))),
        Subject::Level(id) => (about::LEVEL, Some(u64::from(id.0))),
    };
    out.push(line.entry_type.code() | kind);
    if let Some(number) = number {
        put_varint(out, number);
    }
    put_varint(out, u64::from(line.quantity));
    if others {
        put_varint(out, line.other.map_or(0, |other| u64::from(other.0) + 1));
    }
}

/// A record that was unpacked. Its memory serves for the next one.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pub(super) header: Header,
    pub(super) lines: Vec<EntryLine>,
    draws: Vec<DrawMark>,
    key: Option<KeyHash>,
    pairs: Pairs,
    metadata: OnceCell<Metadata>,
}

impl Unpacked {
    /// Reads the next record. `None` at the end.
    pub(super) fn read(&mut self, bytes: &mut Cursor<'_>, base: Timestamp) -> Option<()> {
        let flags = bytes.byte()?;
        let has = |bit: u8| flags & bit != 0;
        let at = moment(bytes, base)?;
        self.header = Header { at, ..Header::default() };
        if has(has::RESERVATION) {
            self.header.reservation = Some(id(bytes, at)?);
        }
        if has(has::OWNER) {
            self.header.owner = Some(Owner(bytes.array()?));
        }
        if has(has::EXPIRY) {
            self.header.expires_at = Some(moment(bytes, at)?);
        }
        if has(has::RETAKEN_FROM) {
            self.header.retaken_from = Some(id(bytes, at)?);
        }
        self.key = if has(has::KEY) { Some(KeyHash::from_bytes(bytes.array()?)) } else { None };
        self.lines.clear();
        for _ in 0..bytes.varint()? {
            self.lines.push(line(bytes, has(has::OTHERS))?);
        }
        self.draws.clear();
        if has(has::DRAWS) {
            read_draws(bytes, &mut self.draws)?;
        }
        self.pairs.clear(usize::MAX, usize::MAX);
        self.metadata.take();
        if has(has::PAIRS) {
            self.pairs.read(bytes)?;
        }
        Some(())
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.view().entries(&self.lines)
    }

    fn view(&self) -> RecordView<'_> {
        RecordView { header: &self.header, key: self.key, draws: &self.draws }
    }

    /// The pairs.
    pub(super) fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// The pairs as entries show them, made when the first entry asks.
    pub(super) fn metadata(&self) -> &Metadata {
        self.metadata.get_or_init(|| self.pairs.to_metadata())
    }

    /// Appends the record again, with those of its pairs that `keep` names.
    pub(super) fn pack_with(
        &self,
        out: &mut Vec<u8>,
        base: Timestamp,
        keep: impl Fn(&str) -> bool + Copy,
    ) {
        let pairs = self.pairs.iter().filter(move |(name, _)| keep(name));
        pack(out, base, self.view(), &self.lines, pairs);
    }
}

fn moment(bytes: &mut Cursor<'_>, base: Timestamp) -> Option<Timestamp> {
    bytes.difference(base.as_millis()).map(Timestamp::from_millis)
}

fn id(bytes: &mut Cursor<'_>, at: Timestamp) -> Option<ReservationId> {
    let high = bytes.difference(at.as_millis())? << ID_REST | u64::from(bytes.u16()?);
    Some(ReservationId::from_halves([high, bytes.u64()?]))
}

fn line(bytes: &mut Cursor<'_>, others: bool) -> Option<EntryLine> {
    let first = bytes.byte()?;
    let entry_type = EntryType::from_code(first & !about::MASK)?;
    let warehouse = |number: u64| u16::try_from(number).ok().map(WarehouseIndex);
    let subject = match first & about::MASK {
        about::WAREHOUSE => Subject::Warehouse(warehouse(bytes.varint()?)?),
        about::PRODUCT => Subject::Product(ProductIndex(bytes.varint32()?)),
        about::LEVEL => Subject::Level(LevelIndex(bytes.varint32()?)),
        _ => Subject::None,
    };
    let quantity = bytes.varint32()?;
    let other = match if others { bytes.varint()? } else { 0 } {
        0 => None,
        number => Some(warehouse(number - 1)?),
    };
    Some(EntryLine { entry_type, subject, quantity, other })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::audit::draw::tests::marks;
    use proptest::prelude::*;

    fn subjects() -> impl Strategy<Value = Subject> {
        prop_oneof![
            Just(Subject::None),
            any::<u16>().prop_map(|id| Subject::Warehouse(WarehouseIndex(id))),
            any::<u32>().prop_map(|id| Subject::Product(ProductIndex(id))),
            any::<u32>().prop_map(|id| Subject::Level(LevelIndex(id))),
        ]
    }

    fn lines() -> impl Strategy<Value = Vec<EntryLine>> {
        let other = prop::option::of(any::<u16>().prop_map(WarehouseIndex));
        let types = (0_u8..64).prop_filter_map("no such type", EntryType::from_code);
        let line = (types, subjects(), any::<u32>(), other).prop_map(
            |(entry_type, subject, quantity, other)| EntryLine {
                entry_type,
                subject,
                quantity,
                other,
            },
        );
        prop::collection::vec(line, 1..5)
    }

    prop_compose! {
        fn headers()(
            times in [0..=Timestamp::MAX.as_millis(), 0..=Timestamp::MAX.as_millis()],
            ids in any::<[Option<[u64; 2]>; 2]>(),
            owner in any::<Option<[u8; 16]>>(),
            expires: bool,
        ) -> Header {
            let [at, expiry] = times.map(Timestamp::from_millis);
            let [reservation, retaken_from] = ids.map(|id| id.map(ReservationId::from_halves));
            let expires_at = expires.then_some(expiry);
            Header { at, reservation, owner: owner.map(Owner), expires_at, retaken_from }
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read_back(
            records in prop::collection::vec(
                (
                    (headers(), lines(), marks(4)),
                    any::<Option<[u8; 16]>>(),
                    any::<Vec<(String, String)>>(),
                ),
                0..4,
            ),
            base in 0..=Timestamp::MAX.as_millis(),
        ) {
            let (base, mut bytes) = (Timestamp::from_millis(base), Vec::new());
            for ((header, lines, draws), key, pairs) in &records {
                let pairs = pairs.iter().map(|(name, value)| (&**name, &**value));
                let record = RecordView { header, key: key.map(KeyHash::from_bytes), draws };
                pack(&mut bytes, base, record, lines, pairs);
            }
            let (mut cursor, mut read) = (Cursor::new(&bytes), Unpacked::default());
            for ((header, lines, draws), key, pairs) in &records {
                prop_assert_eq!(read.read(&mut cursor, base), Some(()));
                prop_assert_eq!((&read.header, &read.lines), (header, lines));
                prop_assert_eq!(&read.draws, draws);
                prop_assert_eq!(read.key, key.map(KeyHash::from_bytes));
                prop_assert_eq!(&read.metadata()[..], &pairs[..]);
                let mut again = Vec::new();
                read.pack_with(&mut again, base, |_| false);
                let mut without = Unpacked::default();
                prop_assert_eq!(without.read(&mut Cursor::new(&again), base), Some(()));
                prop_assert_eq!((&without.header, &without.lines), (header, lines));
                prop_assert_eq!(&without.draws, draws, "hashes are no notes");
                prop_assert!(without.pairs().is_empty());
            }
            prop_assert_eq!(read.read(&mut cursor, base), None);
        }
    }
}

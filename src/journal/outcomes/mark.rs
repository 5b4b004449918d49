//! Marks: the salted hashes under which outcomes lie in the files. A mark is as good as random, so
//! sorted marks spread evenly, and a few first bits of one tell its page.

use crate::base::error::MAX_KEY_BYTES;
use crate::reservation::id::ReservationId;

/// Bytes of a mark.
pub(crate) const MARK: usize = 16;

/// What the salt is derived for. Part of what is stored: never change it.
const CONTEXT: &str = "stockade outcome files, marks, version 1";

/// What a record is about. Persisted, as the first byte of a record and within its mark: never
/// change a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OutcomeKind {
    /// The answer of an idempotency key.
    Answer = 1,
    /// How a reservation ended.
    Reservation = 2,
    /// Which reservation took an ended one's lines again.
    Retake = 3,
}

/// The name of a record in the outcome files. The kind is part of the hash, so a mark has one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OutcomeMark(pub(crate) [u8; MARK]);

impl OutcomeMark {
    /// The highest bits, by which its page is found.
    pub(crate) fn prefix(self) -> u32 {
        (u128::from_be_bytes(self.0) >> 96) as u32
    }

    /// The lowest bits, which the filter stores. They have nothing to do with the order of marks.
    pub(crate) fn filter_hash(self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }
}

/// Makes the marks of one journal.
///
/// The salt comes from the journal's random number. So files of two journals can't be compared, and
/// no table made in advance finds a key. It is no secret, though: who has the files can check a
/// guess.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    salt: [u8; 32],
}

impl Marker {
    /// The marks of the journal with this number.
    pub(crate) fn new(journal: u128) -> Self {
        Self { salt: blake3::derive_key(CONTEXT, &journal.to_le_bytes()) }
    }

    /// The mark of the answer of a key, given the key's bytes.
    pub(crate) fn answer(&self, key: &[u8]) -> OutcomeMark {
        self.mark(OutcomeKind::Answer, key)
    }

    /// The mark of how a reservation ended.
    pub(crate) fn reservation(&self, id: ReservationId) -> OutcomeMark {
        self.mark(OutcomeKind::Reservation, id.as_uuid().as_bytes())
    }

    /// The mark of the retake of a reservation.
    pub(crate) fn retake(&self, of: ReservationId) -> OutcomeMark {
        self.mark(OutcomeKind::Retake, of.as_uuid().as_bytes())
    }

    /// The name is a key, or an id, which is shorter.
    fn mark(&self, kind: OutcomeKind, name: &[u8]) -> OutcomeMark {
        // In one piece, which takes half as long as a hasher that is fed.
        let mut bytes = [kind as u8; 1 + MAX_KEY_BYTES];
        let (_, place) = bytes[..=name.len()].split_at_mut(1);
        place.copy_from_slice(name);
        let hash = blake3::keyed_hash(&self.salt, &bytes[..=name.len()]);
        let mut mark = [0; MARK];
        mark.copy_from_slice(&hash.as_bytes()[..MARK]);
        OutcomeMark(mark)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_mark_depends_on_journal_kind_and_name_and_never_changes() {
        let id = ReservationId::from_halves([1, 2]);
        let marker = Marker::new(7);
        let marks = [
            marker.answer(b"order-1"),
            marker.answer(b"order-2"),
            marker.answer(id.as_uuid().as_bytes()),
            marker.reservation(id),
            marker.retake(id),
            Marker::new(8).answer(b"order-1"),
        ];
        for (index, mark) in marks.iter().enumerate() {
            assert!(!marks[..index].contains(mark), "mark {index} is taken for another");
        }
        // Files hold marks: with other marks, no answer of an older file would be found.
        assert_eq!(marker.answer(b"order-1"), Marker::new(7).answer(b"order-1"));
        assert_eq!(marks[0].0, GOLDEN);
    }

    const GOLDEN: [u8; MARK] =
        [107, 76, 123, 19, 210, 186, 100, 175, 57, 163, 68, 87, 15, 206, 149, 156];
}

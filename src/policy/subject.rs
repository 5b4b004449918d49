//! Subjects: whom a call is for, as limits count them. What the engine keeps is a hash, keyed by a
//! secret of the builder: ids of customers are personal data, and belong in no record.

use std::num::NonZeroU128;

use crate::base::sip::Sip;
use crate::stock::allowance::key::SubjectHash;

/// The longest name of a kind, in bytes.
pub(crate) const MAX_KIND_BYTES: usize = 16;

/// A kind of subject: its name, with zeros behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KindTag(NonZeroU128);

impl KindTag {
    /// The kind of this name; `None` if it is empty or too long, so that no rule has it.
    #[inline]
    pub(crate) fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; MAX_KIND_BYTES];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        NonZeroU128::new(u128::from_le_bytes(bytes)).map(Self)
    }
}

/// A subject that a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamedSubject {
    pub(crate) kind: KindTag,
    pub(crate) hash: SubjectHash,
}

/// Hashes subjects with the engine's secret.
#[derive(Clone, Copy)]
pub(crate) struct SubjectHasher {
    secret: Option<[u64; 2]>,
}

impl std::fmt::Debug for SubjectHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubjectHasher(has a secret: {})", self.has_secret())
    }
}

impl SubjectHasher {
    pub(crate) fn new(secret: Option<[u8; 16]>) -> Self {
        let halves = |secret| {
            let all = u128::from_le_bytes(secret);
            [all as u64, (all >> 64) as u64]
        };
        Self { secret: secret.map(halves) }
    }

    pub(crate) fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// The hash of a subject. `None` without a secret, or if no rule can have the kind.
    #[inline]
    pub(crate) fn subject(&self, kind: &str, id: &[u8]) -> Option<NamedSubject> {
        let kind = KindTag::new(kind)?;
        let mut sip = Sip::<2, 4>::of_128(self.secret?);
        let name = kind.0.get();
        sip.word(name as u64);
        sip.word((name >> u64::BITS) as u64);
        sip.padded(id);
        sip.word(id.len() as u64);
        Some(NamedSubject { kind, hash: SubjectHash::from_halves(sip.finish_128()) })
    }

    /// What a journal keeps to tell whether a later builder has the same secret.
    pub(crate) fn check_value(&self) -> Option<SubjectHash> {
        self.subject("the secret", b"of this journal").map(|check| check.hash)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn subjects_differ_by_secret_kind_and_id_and_without_a_secret_there_is_none() {
        let hash = |secret: u8, kind: &str, id: &[u8]| {
            SubjectHasher::new(Some([secret; 16])).subject(kind, id).expect("a secret").hash
        };
        let all = [
            hash(1, "customer", b"7"),
            hash(2, "customer", b"7"),
            hash(1, "card", b"7"),
            hash(1, "customer", b"8"),
            hash(1, "customer", b"7\0"),
            hash(1, "customer", b""),
            hash(1, "customer", &[7; 300]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "subject {place} is taken for another");
        }
        assert_eq!(hash(1, "customer", b"7"), all[0]);
        assert_eq!(SubjectHasher::new(None).subject("customer", b"7"), None);
    }

    #[test]
    fn a_kind_is_its_name_and_one_that_is_too_long_is_none() {
        assert_eq!(KindTag::new("customer"), KindTag::new("customer"));
        assert_ne!(KindTag::new("customer"), KindTag::new("customers"));
        assert!(KindTag::new(&"k".repeat(MAX_KIND_BYTES)).is_some());
        assert_eq!((KindTag::new(""), KindTag::new(&"k".repeat(MAX_KIND_BYTES + 1))), (None, None));
    }

    #[test]
    fn a_secret_is_told_by_its_check_value_and_shown_nowhere() {
        let check = |secret: u8| SubjectHasher::new(Some([secret; 16])).check_value();
        assert!(check(1).is_some() && check(1) == check(1) && check(1) != check(2));
        let shown = format!("{:?}", SubjectHasher::new(Some([0xab; 16])));
        assert_eq!(shown, "SubjectHasher(has a secret: true)");
    }
}

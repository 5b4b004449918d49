//! What names an allowance: a rule and a subject.

use std::fmt;

use crate::stock::handle::LevelIndex;

/// The number of a rule. Numbers rise, and none is used again: a rule that is defined anew after it
/// was dropped has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RuleNumber(pub(crate) u32);

/// What stands for a subject: the hash of its kind and its id, keyed by the secret of the engine's
/// builder. Nobody without the secret can tell whose it is, or try ids until one fits.
///
/// [`Display`](fmt::Display) shows it as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectHash(pub(crate) [u8; 16]);

impl SubjectHash {
    pub(crate) fn from_halves([first, second]: [u64; 2]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&second.to_le_bytes());
        Self(bytes)
    }

    pub(crate) fn to_halves(self) -> [u64; 2] {
        let all = u128::from_le_bytes(self.0);
        [all as u64, (all >> 64) as u64]
    }

    /// What stands for a stock level where that is the subject. It is no secret.
    pub(crate) fn of_level(level: LevelIndex) -> Self {
        Self::from_halves([u64::from(level.0), u64::MAX])
    }

    /// Whether it stands for a level. No hash of a subject does: that would be a guess of 96 bits.
    pub(crate) fn is_level(self) -> bool {
        let [level, mark] = self.to_halves();
        mark == u64::MAX && level <= u64::from(u32::MAX)
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(feature = "serde")]
crate::base::serialize::written_as_text!(SubjectHash);

impl fmt::Debug for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectHash({self})")
    }
}

/// An allowance: what this subject has drawn under this rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AllowanceKey {
    pub(crate) rule: RuleNumber,
    pub(crate) subject: SubjectHash,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_halves_and_is_shown_as_digits() {
        let hash = SubjectHash::from_halves([0x0807_0605_0403_0201, 0x100f_0e0d_0c0b_0a09]);
        assert_eq!(SubjectHash::from_halves(hash.to_halves()), hash);
        assert_eq!(hash.to_string(), "0102030405060708090a0b0c0d0e0f10");
    }
}

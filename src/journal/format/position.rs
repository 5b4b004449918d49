//! Positions among a journal's entries, which subscribers store.

use std::fmt;
use std::str::FromStr;

use crate::base::error::error_table;
use crate::journal::format::batch::Hash;

/// A position among a journal's entries, which a subscriber stores: the last entry that it has
/// handled, the opening of the journal in which it saw that entry, and the entry's lineage.
/// `Default` is the position before the first entry.
///
/// The *lineage* names the history that the entry belongs to: the first 8 bytes of the chain hash
/// of the batch that holds it. After a backup was restored, or a crash took the newest entries,
/// another entry may have the same sequence number. Its lineage differs, so the position is
/// refused. Inside one batch all positions have the same lineage.
///
/// `Display` writes `sequence@opening.lineage`, with the lineage as 16 hexadecimal digits, and
/// `FromStr` reads that. It also reads `sequence@opening`, the form of earlier releases. Such a
/// position is checked by its numbers alone, as far as these tell.
///
/// ```
/// use stockade::JournalPosition;
/// let position: JournalPosition = "1024@3.9f3c21ab77e0d412".parse()?;
/// assert_eq!((position.sequence, position.opening), (1_024, 3));
/// assert_eq!(position.lineage, Some(0x9f3c_21ab_77e0_d412));
/// assert_eq!(position.to_string(), "1024@3.9f3c21ab77e0d412");
/// assert_eq!("1024@3".parse(), Ok(JournalPosition::new(1_024, 3)));
/// # Ok::<(), stockade::InvalidPosition>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct JournalPosition {
    /// The entry's sequence number; 0 before the first entry.
    pub sequence: u64,
    /// The number of the opening, counted from 1; 0 if unknown.
    pub opening: u64,
    /// The entry's lineage; `None` if unknown, and before the first entry.
    pub lineage: Option<u64>,
}

impl JournalPosition {
    /// A position without a lineage. Use it for numbers that an earlier release has stored.
    pub const fn new(sequence: u64, opening: u64) -> Self {
        Self { sequence, opening, lineage: None }
    }

    /// The same position with this lineage, for callers who store the three numbers apart.
    #[must_use]
    pub const fn with_lineage(self, lineage: u64) -> Self {
        Self { lineage: Some(lineage), ..self }
    }
}

/// The lineage of the entries in the batch with this chain hash.
pub(crate) fn lineage_of(hash: &Hash) -> u64 {
    let (first, _) = hash.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*first)
}

impl fmt::Display for JournalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.sequence, self.opening)?;
        self.lineage.map_or(Ok(()), |lineage| write!(f, ".{lineage:016x}"))
    }
}

/// The text is not a position in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPosition;

error_table! {
    InvalidPosition {
        Self => Invalid("invalid_position"),
            "not a position in a journal: expected a text such as \"1024@3.9f3c21ab77e0d412\"";
    }
}

impl FromStr for JournalPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, rest) = text.split_once('@').ok_or(InvalidPosition)?;
        let (opening, lineage) = match rest.split_once('.') {
            None => (rest, None),
            Some((opening, lineage)) => (opening, Some(read_lineage(lineage)?)),
        };
        Ok(Self { sequence: read_number(sequence)?, opening: read_number(opening)?, lineage })
    }
}

/// Reads what `Display` writes: digits alone. `u64::from_str` would also take a sign.
fn read_number(text: &str) -> Result<u64, InvalidPosition> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(InvalidPosition)
}

fn read_lineage(text: &str) -> Result<u64, InvalidPosition> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != 16 || !plain {
        return Err(InvalidPosition);
    }
    u64::from_str_radix(text, 16).map_err(|_| InvalidPosition)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_position_or_none() {
        for text in ["0@0", "1024@3", "1024@3.9f3c21ab77e0d412", "7@1.0000000000000000"] {
            let position: JournalPosition = text.parse().expect("a position");
            assert_eq!(position.to_string(), text);
        }
        let wrong = [
            "",
            "@",
            "1",
            "1@",
            "@1",
            "+1@1",
            "1@+1",
            "-1@1",
            "1@1.",
            "1@1.9f3c21ab77e0d41",
            "1@1.9f3c21ab77e0d4123",
            "1@1.9F3C21AB77E0D412",
            "1@1.+f3c21ab77e0d412",
            " 1@1",
            "1@1 ",
            "1@1@1",
            "1@1.9f3c21ab77e0d412.9f3c21ab77e0d412",
            "18446744073709551616@1",
        ];
        for text in wrong {
            assert_eq!(text.parse::<JournalPosition>(), Err(InvalidPosition), "{text:?}");
        }
    }

    #[test]
    fn no_changed_byte_reads_as_the_same_position() {
        let text = "1024@3.9f3c21ab77e0d412";
        let position: JournalPosition = text.parse().expect("a position");
        for (place, byte) in (0..text.len()).flat_map(|at| (0..128_u8).map(move |it| (at, it))) {
            let mut forged = text.as_bytes().to_vec();
            forged[place] = byte;
            let forged = String::from_utf8(forged).expect("ascii");
            let read = forged.parse::<JournalPosition>();
            assert!(forged == text || read != Ok(position), "{forged:?}");
        }
    }
}

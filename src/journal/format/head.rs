//! The head of a journal: its end, for the user to keep in another place.

use std::fmt;
use std::str::FromStr;

use crate::base::error::error_table;

/// The head of a journal: its newest entry, and the chain hash up to the batch that this entry
/// ends. Keep it in another place, and a later verification proves that the journal up to here was
/// not rewritten.
///
/// `Display` shows the hash alone, as 64 hexadecimal digits. Parse it as a [`HeadHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalHead {
    /// The sequence number of the newest entry; 0 if there is none.
    pub sequence: u64,
    /// The chain hash, which covers every record up to that entry. It covers notes only by their
    /// salted hashes, so they can be erased.
    pub hash: [u8; 32],
}

impl fmt::Display for JournalHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HeadHash(self.hash).fmt(f)
    }
}

/// The hash of a [`JournalHead`], as it was noted in another place. `Display` writes 64 lowercase
/// hexadecimal digits; `FromStr` also reads uppercase ones.
///
/// ```
/// use stockade::HeadHash;
/// let noted = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// let hash: HeadHash = noted.parse()?;
/// assert_eq!(hash.to_string(), noted);
/// assert!("0011".parse::<HeadHash>().is_err());
/// # Ok::<(), stockade::InvalidHash>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadHash(pub [u8; 32]);

impl fmt::Display for HeadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The error of parsing a [`HeadHash`]: the text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHash;

error_table! {
    InvalidHash {
        Self => Invalid("invalid_hash"), "not a hash: expected 64 hexadecimal digits";
    }
}

impl FromStr for HeadHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidHash);
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| InvalidHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidHash)?;
        }
        Ok(Self(hash))
    }
}

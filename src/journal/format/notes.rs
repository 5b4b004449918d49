//! What callers note may be personal data, which must be erasable. So the chain covers only a
//! *hash* of the notes. The text lies apart, in the second part of the batch. A redaction replaces
//! it with zeros, and the chain still holds. The hash is salted, and the salt is erased with the
//! text, so nobody who guesses an erased text can check the guess.

use crate::journal::format::bytes::{Cursor, put_varint};

/// Bytes of a salt.
pub(crate) const SALT: usize = 16;
/// Bytes of a block before its text: one of state, then the salt.
pub(crate) const BLOCK_HEAD: usize = 1 + SALT;

/// State of a block whose text is present.
pub(crate) const PRESENT: u8 = 0;
/// State of a block whose text was erased: salt and text are zeros.
pub(crate) const ERASED: u8 = 1;

/// A name and its value.
pub(crate) type Pair = (String, String);

/// Appends the encoded pairs: their count, then each text with its length.
pub(crate) fn put_pairs(out: &mut Vec<u8>, pairs: &[&Pair]) {
    put_varint(out, pairs.len() as u64);
    for text in pairs.iter().flat_map(|pair| [&pair.0, &pair.1]) {
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Decodes pairs and appends them to `pairs`. Returns `None` if `bytes` are anything but whole
/// pairs; some may have been appended by then.
pub(crate) fn read_pairs(bytes: &[u8], pairs: &mut Vec<(String, String)>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.varint()?;
    for _ in 0..count {
        let mut text = || String::from_utf8(cursor.counted()?.to_vec()).ok();
        let pair = (text()?, text()?);
        pairs.push(pair);
    }
    cursor.is_empty().then_some(())
}

/// The hash that stands for a block of text in the hash chain.
pub(crate) fn salted_hash(salt: &[u8], text: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(salt);
    hasher.update(text);
    *hasher.finalize().as_bytes()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_back_and_half_of_them_are_not() {
        let pairs = vec![("source".to_owned(), "SUPPLIER".to_owned()), (String::new(), "é".into())];
        let mut bytes = Vec::new();
        put_pairs(&mut bytes, &pairs.iter().collect::<Vec<_>>());
        let mut read = Vec::new();
        assert_eq!(read_pairs(&bytes, &mut read), Some(()));
        assert_eq!(read, pairs);
        for cut in 0..bytes.len() {
            assert_eq!(read_pairs(&bytes[..cut], &mut Vec::new()), None);
        }
    }

    #[test]
    fn a_count_that_lies_takes_no_memory() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(read_pairs(&bytes, &mut Vec::new()), None);
    }
}

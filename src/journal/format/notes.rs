//! What callers note may be personal data, which must be erasable. So the chain covers only a
//! *hash* of the notes. The text lies apart, in the second part of the batch. A redaction replaces
//! it with zeros, and the chain still holds. The hash is salted, and the salt is erased with the
//! text, so nobody who guesses an erased text can check the guess.

use crate::audit::pairs::Pairs;
use crate::base::bytes::Cursor;

/// Bytes of a salt.
pub(crate) const SALT: usize = 16;
/// Bytes of a block before its text: one of state, then the salt.
pub(crate) const BLOCK_HEAD: usize = 1 + SALT;

/// State of a block whose text is present.
pub(crate) const PRESENT: u8 = 0;
/// State of a block whose text was erased: salt and text are zeros.
pub(crate) const ERASED: u8 = 1;

/// Decodes pairs and appends them to `pairs`. Returns `None` if `bytes` are anything but whole
/// pairs; some may have been appended by then.
pub(crate) fn read_pairs(bytes: &[u8], pairs: &mut Pairs) -> Option<()> {
    // The text of a record has 32-bit places.
    u32::try_from(pairs.bytes() + bytes.len()).ok()?;
    let mut cursor = Cursor::new(bytes);
    pairs.read(&mut cursor)?;
    cursor.is_empty().then_some(())
}

/// The hash that stands for a text, behind its salt, in the hash chain.
pub(crate) fn salted_hash(salt_and_text: &[u8]) -> [u8; 32] {
    *blake3::hash(salt_and_text).as_bytes()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::audit::pairs::put_pairs;
    use crate::base::bytes::put_varint;

    #[test]
    fn pairs_are_read_back_and_half_of_them_are_not() {
        let mut pairs = Pairs::new();
        pairs.push("source", "SUPPLIER");
        pairs.push("", "é");
        let mut bytes = Vec::new();
        put_pairs(&mut bytes, pairs.len(), pairs.iter());
        let mut read = Pairs::new();
        assert_eq!(read_pairs(&bytes, &mut read), Some(()));
        assert_eq!(read, pairs);
        for cut in 0..bytes.len() {
            assert_eq!(read_pairs(&bytes[..cut], &mut Pairs::new()), None);
        }
    }

    #[test]
    fn a_count_that_lies_takes_no_memory() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(read_pairs(&bytes, &mut Pairs::new()), None);
    }
}

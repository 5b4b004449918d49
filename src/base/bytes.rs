//! Numbers as bytes: fixed-width integers in little-endian order, and varints for values that are
//! mostly small.
//!
//! A *varint* (LEB128) has seven bits a byte, lowest bits first. The top bit of a byte says that
//! another byte follows. A signed number is *zigzag-encoded* first: 0, -1, 1, -2 become 0, 1, 2, 3.

/// The most bytes that a varint of 64 bits takes.
pub(crate) const VARINT_MAX: usize = 10;

/// Appends `value` as a varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the difference `value - base`, zigzag-encoded, as a varint.
#[inline]
pub(crate) fn put_difference(out: &mut Vec<u8>, value: u64, base: u64) {
    let difference = value.wrapping_sub(base).cast_signed();
    put_varint(out, (difference << 1 ^ difference >> 63).cast_unsigned());
}

/// Reads encoded bytes from the front. Every method returns `None` if the bytes end too early, or
/// do not encode the value that was asked for. No method panics, whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (place, byte) in self.rest.iter().enumerate().take(VARINT_MAX) {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte may hold only the highest of the 64 bits.
            if place == VARINT_MAX - 1 && bits > 1 {
                return None;
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[place + 1..];
                return Some(value);
            }
        }
        None
    }

    /// A varint whose value must fit into 32 bits.
    #[inline]
    pub(crate) fn varint32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// A number that was encoded as its difference from `base`.
    #[inline]
    pub(crate) fn difference(&mut self, base: u64) -> Option<u64> {
        let zigzag = self.varint()?;
        let difference = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
        Some(base.wrapping_add(difference.cast_unsigned()))
    }

    /// A varint length, and that many bytes.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_read_back(value: u64, base: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert!(bytes.len() <= VARINT_MAX);
            put_difference(&mut bytes, value, base);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.varint(), Some(value));
            prop_assert_eq!(cursor.difference(base), Some(value));
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn no_bytes_make_a_cursor_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes);
            while cursor.varint().is_some() && cursor.counted().is_some() {}
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(Cursor::new(&[0xff; 10]).varint(), None);
        assert_eq!(Cursor::new(&[0x80]).varint(), None);
        assert_eq!(Cursor::new(&[0x80; 9]).varint32(), None);
    }
}

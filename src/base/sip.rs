//! SipHash (Aumasson and Bernstein, 2012): a hash keyed by a secret, so that nobody without the
//! secret can say what it gives.

/// SipHash with `WORD` rounds a word and `END` rounds at the end. The standard library's maps use 1
/// and 3, which suffice where nobody sees the hash. 2 and 4 are the authors' own, for a hash that
/// others may see.
pub(crate) struct Sip<const WORD: u32, const END: u32>([u64; 4]);

impl<const WORD: u32, const END: u32> Sip<WORD, END> {
    /// The variant of 64 bits.
    #[inline(always)]
    pub(crate) fn new([low, high]: [u64; 2]) -> Self {
        Self([
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ])
    }

    /// The variant of 128 bits.
    #[inline(always)]
    pub(crate) fn of_128([low, high]: [u64; 2]) -> Self {
        Self::new([low, high]).marked()
    }

    #[inline(always)]
    fn marked(mut self) -> Self {
        self.0[1] ^= 0xee;
        self
    }

    #[inline(always)]
    fn rounds(&mut self, rounds: u32) {
        let [a, b, c, d] = &mut self.0;
        for _ in 0..rounds {
            *a = a.wrapping_add(*b);
            *c = c.wrapping_add(*d);
            *b = b.rotate_left(13) ^ *a;
            *d = d.rotate_left(16) ^ *c;
            *a = a.rotate_left(32).wrapping_add(*d);
            *c = c.wrapping_add(*b);
            *d = d.rotate_left(21) ^ *a;
            *b = b.rotate_left(17) ^ *c;
            *c = c.rotate_left(32);
        }
    }

    /// Takes the next word in.
    #[inline(always)]
    pub(crate) fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        self.rounds(WORD);
        self.0[0] ^= word;
    }

    /// Takes the bytes in, with zeros up to whole words. The caller takes in how many there were.
    #[inline]
    pub(crate) fn padded(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last));
        }
    }

    #[inline(always)]
    fn end(&mut self) -> u64 {
        self.rounds(END);
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    /// The hash, of the variant of 64 bits.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        self.end()
    }

    /// The hash, of the variant of 128 bits.
    #[inline(always)]
    pub(crate) fn finish_128(mut self) -> [u64; 2] {
        self.0[2] ^= 0xee;
        let first = self.end();
        self.0[1] ^= 0xdd;
        [first, self.end()]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The authors' own test: the key is the bytes 0 to 15, the text the bytes 0 to 14.
    #[test]
    fn the_hash_is_that_of_the_authors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let text: Vec<u8> = (0..15).collect();
        let last = 15_u64 << 56 | 0x000e_0d0c_0b0a_0908;
        let mut sip = Sip::<2, 4>::new(key);
        sip.padded(&text[..8]);
        sip.word(last);
        assert_eq!(sip.finish(), 0xa129_ca61_49be_45e5);
    }
}

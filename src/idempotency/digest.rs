//! The digest of a name: what stands for the name in memory.

use crate::base::sip::Sip;
use crate::idempotency::key::KeyName;

/// 128 bits that stand for a name, of any length, in 16 bytes.
///
/// They are the SipHash of the name under a secret of this map, the variant of 128 bits (Aumasson
/// and Bernstein, 2012; 1 round a word and 3 at the end, as the standard library's maps use it). So
/// nobody who chooses names, however many, can make two of them meet; and by chance two of a
/// thousand million names do so once in 10^20 maps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameDigest([u64; 2]);

impl NameDigest {
    /// What tells the part. The other half tells the home within it.
    pub(crate) fn part(self) -> usize {
        self.0[1] as usize
    }

    /// Where the search for the name begins.
    pub(crate) fn home(self) -> usize {
        self.0[0] as usize
    }

    /// Bits of neither.
    pub(crate) fn bits(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn from_halves(halves: [u64; 2]) -> Self {
        Self(halves)
    }
}

/// Makes the digests of one map.
pub(crate) struct Digester {
    secret: [u64; 2],
}

impl Digester {
    /// A digester with a secret of its own.
    pub(crate) fn new() -> Self {
        // Models have no secrets: the same model meets the same locks.
        #[cfg(any(loom, shuttle))]
        let secret = [1, 2];
        #[cfg(not(any(loom, shuttle)))]
        let secret = [(); 2].map(|()| {
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(0_u8)
        });
        Self { secret }
    }

    #[inline]
    pub(crate) fn digest(&self, name: &KeyName) -> NameDigest {
        let digest =
            |kind, padded: &[[u8; 8]], len| NameDigest(sip_128(self.secret, kind, padded, len));
        match name {
            KeyName::Caller(key) => digest(0, key.padded(), key.as_bytes().len()),
            KeyName::Retake(of) => digest(1, &of.to_halves().map(u64::to_le_bytes), 16),
        }
    }
}

/// The digest of a text with zeros up to whole words, then two bytes: what kind of text it is, and
/// how long without the zeros.
fn sip_128(secret: [u64; 2], kind: u8, padded: &[[u8; 8]], len: usize) -> [u64; 2] {
    let mut sip = Sip::<1, 3>::of_128(secret);
    take_in(&mut sip, kind, padded, len);
    sip.finish_128()
}

#[inline(always)]
fn take_in(sip: &mut Sip<1, 3>, kind: u8, padded: &[[u8; 8]], len: usize) {
    padded.iter().for_each(|word| sip.word(u64::from_le_bytes(*word)));
    // The last byte of the last word is how many bytes there were.
    let bytes = (padded.len() * 8 + 2) as u8;
    sip.word(u64::from_le_bytes([kind, len as u8, 0, 0, 0, 0, 0, bytes]));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::idempotency::key::IdempotencyKey;
    use crate::reservation::id::ReservationId;

    #[test]
    fn names_differ_by_kind_length_and_every_byte() {
        let key =
            |bytes: &[u8]| KeyName::Caller(IdempotencyKey::from_bytes(bytes).expect("a legal key"));
        let id = ReservationId::from_halves([1, 2]);
        let names = [
            key(b"a"),
            key(b"b"),
            key(b"a\0"),
            key(&[7; 63]),
            key(&[7; 64]),
            key(id.as_uuid().as_bytes()),
            KeyName::Retake(id),
        ];
        let digester = Digester::new();
        let digests = names.each_ref().map(|name| digester.digest(name));
        for (place, digest) in digests.iter().enumerate() {
            assert!(*digest == digester.digest(&names[place]), "it stays the same");
            assert!(!digests[..place].contains(digest), "name {place} is taken for another");
        }
    }

    /// The standard library's own hasher, with the secret that it has if it has none.
    #[test]
    fn the_rounds_are_those_of_sip_hash() {
        use std::hash::{DefaultHasher, Hasher};
        let text = [0x5a; IdempotencyKey::MAX_LEN];
        for len in 1..=text.len() {
            let key = IdempotencyKey::from_bytes(&text[..len]).expect("a legal key");
            let mut known = DefaultHasher::new();
            known.write(key.padded().as_flattened());
            known.write(&[3, len as u8]);
            let mut own = Sip::new([0, 0]);
            take_in(&mut own, 3, key.padded(), len);
            assert_eq!(own.finish(), known.finish(), "{len} bytes");
        }
    }

    #[test]
    fn each_map_has_secrets_of_its_own() {
        let name = KeyName::Retake(ReservationId::from_halves([1, 2]));
        let [NameDigest(one), NameDigest(other)] = [(); 2].map(|()| Digester::new().digest(&name));
        assert!(one[0] != other[0] && one[1] != other[1] && one[0] != one[1]);
    }
}

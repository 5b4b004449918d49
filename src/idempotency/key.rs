//! The idempotency key, and the name under which a call's answer is stored.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

use crate::base::error::{InvalidKey, MAX_KEY_BYTES};
use crate::idempotency::fingerprint::Fingerprint;
use crate::reservation::id::ReservationId;

/// An idempotency key: the caller's own name for one request. It makes a retry after a lost answer
/// safe.
///
/// A key is a UUID or 1 to 64 bytes: the number of an order or payment, or a random UUID that the
/// caller makes before the first try. If a call bears a key that the engine remembers, with the
/// same request, it gives the first call's answer and moves nothing. With another request it is
/// refused as a conflict.
///
/// Only the bytes count: a UUID is the same key as its 16 bytes, but not the same as its text. A
/// key is stored inline. Making, copying and comparing one allocates nothing and never waits.
///
/// ```
/// use stockade::IdempotencyKey;
/// use uuid::Uuid;
///
/// let key = IdempotencyKey::try_from("order-4711")?;
/// assert_eq!(key.to_string(), "order-4711");
///
/// let uuid = Uuid::from_u128(0x0199_d2c4_8a10_7000_8000_1234_5678_90ab);
/// assert_eq!(IdempotencyKey::from(uuid), IdempotencyKey::try_from(&uuid.as_bytes()[..])?);
/// assert_ne!(IdempotencyKey::from(uuid), IdempotencyKey::try_from(uuid.to_string().as_str())?);
/// # Ok::<(), stockade::InvalidKey>(())
/// ```
#[derive(Clone, Copy)]
pub struct IdempotencyKey {
    /// How many of `bytes` belong to the key: 1 to 64.
    len: u8,
    /// The key's bytes, then zeros.
    bytes: [u8; Self::MAX_LEN],
}

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = MAX_KEY_BYTES;

    /// The key's bytes, 1 to 64 of them.
    ///
    /// ```
    /// use stockade::IdempotencyKey;
    /// let key = IdempotencyKey::try_from("order-4711")?;
    /// assert_eq!(key.as_bytes(), b"order-4711");
    /// # Ok::<(), stockade::InvalidKey>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The key's bytes in words, with zeros up to the end of the last one.
    #[inline]
    pub(crate) fn padded(&self) -> &[[u8; 8]] {
        let (words, _) = self.bytes.as_chunks();
        &words[..usize::from(self.len).div_ceil(8)]
    }

    /// The key's hash, as [audit entries](crate::AuditEntry::key) show it. The same key always has
    /// the same hash, in every engine and version. It is no secret: whoever can guess a key can
    /// tell its entries.
    ///
    /// ```
    /// use stockade::{AuditFilter, IdempotencyKey, InventoryManager};
    /// let manager = InventoryManager::builder().warehouse("SF").build()?;
    /// let key = IdempotencyKey::try_from("delivery-7")?;
    /// manager.request().key(key).add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let log = manager.audit_log().query(&AuditFilter::new());
    /// assert_eq!(log.entries.last().and_then(|entry| entry.key), Some(key.hashed()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hashed(&self) -> KeyHash {
        KeyHash::of(self.as_bytes())
    }

    /// The key with exactly these bytes, as [`as_bytes`](Self::as_bytes) returned them.
    #[inline]
    pub(crate) fn from_bytes(key: &[u8]) -> Result<Self, InvalidKey> {
        if key.is_empty() || key.len() > Self::MAX_LEN {
            return Err(InvalidKey { len: key.len() });
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..key.len()].copy_from_slice(key);
        Ok(Self { len: key.len() as u8, bytes })
    }
}

impl From<Uuid> for IdempotencyKey {
    #[inline]
    fn from(uuid: Uuid) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..16].copy_from_slice(uuid.as_bytes());
        Self { len: 16, bytes }
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = InvalidKey;

    #[inline]
    fn try_from(key: &str) -> Result<Self, InvalidKey> {
        Self::from_bytes(key.as_bytes())
    }
}

impl TryFrom<&[u8]> for IdempotencyKey {
    type Error = InvalidKey;

    #[inline]
    fn try_from(key: &[u8]) -> Result<Self, InvalidKey> {
        Self::from_bytes(key)
    }
}

impl PartialEq for IdempotencyKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for IdempotencyKey {}

impl Hash for IdempotencyKey {
    // Hash as the slice does: `Borrow` promises that.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for IdempotencyKey {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for IdempotencyKey {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Text as text, other 16 bytes as a UUID, and anything else in hexadecimal.
impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        if let Ok(text) = std::str::from_utf8(bytes)
            && !text.contains(char::is_control)
        {
            return f.write_str(text);
        }
        if let Ok(uuid) = Uuid::from_slice(bytes) {
            return uuid.fmt(f);
        }
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({self})")
    }
}

/// The hash of an [`IdempotencyKey`]: 128 bits, by which an audit entry tells whose call it records
/// without showing the key. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u128);

impl KeyHash {
    /// The hash of the key with these bytes. Auditors store it: it must never change.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Fingerprint::new().named("key").bytes(key).finish())
    }

    /// Its bytes, for [`from_bytes`](Self::from_bytes).
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The hash with these bytes.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(feature = "serde")]
crate::base::serialize::written_as_text!(KeyHash);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// The name under which a call's answer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyName {
    /// The key that the caller brought.
    Caller(IdempotencyKey),
    /// The hold that a retake replaces. So two callers with different keys still retake it only
    /// once.
    Retake(ReservationId),
}

impl KeyName {
    /// The fingerprint that the answer of a retake of this hold is stored with. A repeat, a restart
    /// and the outcome files must give the same.
    pub(crate) fn retake_fingerprint(of: ReservationId) -> u128 {
        Fingerprint::new().named("retake").id(of).finish()
    }
}

const _: () = assert!(size_of::<IdempotencyKey>() == 65 && size_of::<KeyName>() == 72);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_key_is_one_to_sixty_four_bytes() {
        let long = [7_u8; 65];
        assert_eq!(IdempotencyKey::try_from(&long[..0]), Err(InvalidKey { len: 0 }));
        assert_eq!(IdempotencyKey::try_from(&long[..]), Err(InvalidKey { len: 65 }));
        for len in 1..=64 {
            let key = IdempotencyKey::try_from(&long[..len]).expect("a legal length");
            assert_eq!(key.as_bytes(), &long[..len]);
            assert_eq!(IdempotencyKey::from_bytes(key.as_bytes()), Ok(key));
        }
    }

    #[test]
    fn trailing_zeros_are_part_of_a_key() {
        let short = IdempotencyKey::from_bytes(b"a").expect("a legal key");
        let zero = IdempotencyKey::from_bytes(b"a\0").expect("a legal key");
        assert_ne!(short, zero);
    }

    #[test]
    fn a_key_is_found_by_its_bytes() {
        let key = IdempotencyKey::try_from("order-1").expect("a legal key");
        let keys = HashSet::from([key]);
        assert!(keys.contains(&b"order-1"[..]));
        assert!(!keys.contains(&b"order-2"[..]));
    }

    #[test]
    fn a_key_shows_itself_as_what_it_most_likely_is() {
        let show =
            |bytes: &[u8]| IdempotencyKey::from_bytes(bytes).expect("a legal key").to_string();
        assert_eq!(show("Größe 7".as_bytes()), "Größe 7");
        assert_eq!(show(b"\n\x01"), "0a01");
        let uuid = Uuid::from_u128(0xff);
        assert_eq!(IdempotencyKey::from(uuid).to_string(), uuid.to_string());
        assert_eq!(format!("{:?}", IdempotencyKey::from(uuid)), format!("IdempotencyKey({uuid})"));
    }

    #[test]
    fn a_retake_is_never_taken_for_a_callers_key() {
        let id = ReservationId::from_halves([1, 2]);
        assert_ne!(KeyName::Caller(id.as_uuid().into()), KeyName::Retake(id));
    }
}

//! The fingerprint of a request: a hash that tells two requests under one key apart.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::reservation::id::ReservationId;

/// Builds the fingerprint of one request: the operation's name, then each of its fields in order.
///
/// The kind and the length precede every field, so two different requests never give the same
/// bytes: `"ab", "c"` is not `"a", "bc"`, and a number is not the text of the same bytes. The
/// result depends on nothing else. So it may be stored and compared after a restart, or on another
/// machine. It guards against a key used twice by mistake. It does not guard against someone who
/// searches for collisions: whoever can choose requests can already choose keys.
pub(crate) struct Fingerprint {
    /// The fields so far; nothing any more once `long` has them.
    short: [u8; SHORT],
    len: usize,
    /// Of a request that is longer.
    long: Option<Box<Xxh3>>,
}

/// Nearly all requests are shorter than this, and are hashed in one go: the hasher that takes its
/// bytes piece by piece is 576 bytes large, and costs five times as much for them.
const SHORT: usize = 240;

/// What precedes a field. These bytes are part of what is stored: never change one.
#[derive(Clone, Copy)]
#[repr(u8)]
enum FieldKind {
    Operation = 1,
    Bytes = 2,
    Text = 3,
    Number = 4,
    Id = 5,
    Absent = 6,
}

impl Fingerprint {
    /// Of nothing yet.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { short: [0; SHORT], len: 0, long: None }
    }

    /// Begins the fingerprint of a request for `operation`. Journals store the result: never change
    /// the name of an operation.
    #[inline(always)]
    pub(crate) fn named(&mut self, operation: &str) -> &mut Self {
        self.field(FieldKind::Operation, operation.as_bytes())
    }

    /// Adds a field of bytes, such as an owner.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.field(FieldKind::Bytes, bytes)
    }

    /// Adds a field of text, such as a name or a reason.
    #[inline(always)]
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.field(FieldKind::Text, text.as_bytes())
    }

    /// Adds a number: a quantity, a handle, a duration, or how many fields of a list follow.
    #[inline(always)]
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.field(FieldKind::Number, &number.to_le_bytes())
    }

    /// Adds a reservation's id.
    #[inline(always)]
    pub(crate) fn id(&mut self, id: ReservationId) -> &mut Self {
        self.field(FieldKind::Id, id.as_uuid().as_bytes())
    }

    /// Adds an optional field that this request leaves out.
    #[inline(always)]
    pub(crate) fn absent(&mut self) -> &mut Self {
        self.field(FieldKind::Absent, &[])
    }

    /// The fingerprint.
    pub(crate) fn finish(&self) -> u128 {
        match &self.long {
            Some(hasher) => hasher.digest128(),
            None => xxh3_128(&self.short[..self.len]),
        }
    }

    #[inline(always)]
    fn field(&mut self, kind: FieldKind, bytes: &[u8]) -> &mut Self {
        let mut head = [kind as u8; 9];
        head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.put(&head);
        self.put(bytes);
        self
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        let place = self.short.get_mut(self.len..).and_then(|it| it.get_mut(..bytes.len()));
        match place.filter(|_| self.long.is_none()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.put_long(bytes),
        }
    }

    #[cold]
    fn put_long(&mut self, bytes: &[u8]) {
        let Self { short, len, long } = self;
        let hasher = long.get_or_insert_with(|| {
            let mut hasher = Box::new(Xxh3::new());
            hasher.update(&short[..*len]);
            hasher
        });
        hasher.update(bytes);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_has_the_same_fingerprint_for_ever() {
        let print =
            || Fingerprint::new().named("reserve").text("SF").text("LAPTOP").number(3).finish();
        assert_eq!(print(), print());
        // Journals hold fingerprints: a change of this number would make old keys conflict.
        assert_eq!(print(), 0x2527b22f_1a2c0707_a65f0d6b_7353dd7f);
    }

    /// The same bytes have the same fingerprint, wherever the short ones end.
    #[test]
    fn a_long_request_is_hashed_as_a_short_one_is() {
        let text = "x".repeat(3 * SHORT);
        for len in 0..text.len() {
            let print = Fingerprint::new().named("sell").text(&text[..len]).number(7).finish();
            let mut whole = Xxh3::new();
            let fields = [
                (1, "sell".as_bytes()),
                (3, &text.as_bytes()[..len]),
                (4, &[7, 0, 0, 0, 0, 0, 0, 0]),
            ];
            for (kind, field) in fields {
                whole.update(&[kind]);
                whole.update(&(field.len() as u64).to_le_bytes());
                whole.update(field);
            }
            assert_eq!(print, whole.digest128(), "{len} bytes of text");
        }
    }

    #[test]
    fn different_requests_differ() {
        let id = ReservationId::from_halves([1, 2]);
        let prints = [
            Fingerprint::new().named("reserve").finish(),
            Fingerprint::new().named("release").finish(),
            Fingerprint::new().named("reserve").text("ab").text("c").finish(),
            Fingerprint::new().named("reserve").text("a").text("bc").finish(),
            Fingerprint::new().named("reserve").text("abc").finish(),
            // A text that imitates the beginning of the next field.
            Fingerprint::new().named("reserve").text("ab\x03c").finish(),
            Fingerprint::new().named("reserve").bytes(b"abc").finish(),
            Fingerprint::new().named("reserve").text("").finish(),
            Fingerprint::new().named("reserve").absent().finish(),
            Fingerprint::new().named("reserve").number(0x61).finish(),
            Fingerprint::new().named("reserve").text("a\0\0\0\0\0\0\0").finish(),
            Fingerprint::new().named("reserve").bytes(id.as_uuid().as_bytes()).finish(),
            Fingerprint::new().named("reserve").id(id).finish(),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "request {index} is taken for another");
        }
    }
}

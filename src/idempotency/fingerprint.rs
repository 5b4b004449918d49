//! The fingerprint of a request: a hash that tells two requests under one key apart.

use xxhash_rust::xxh3::Xxh3;

use crate::reservation::id::ReservationId;

/// Builds the fingerprint of one request: the operation's name, then each of its fields in order.
///
/// The kind and the length precede every field, so two different requests never give the same
/// bytes: `"ab", "c"` is not `"a", "bc"`, and a number is not the text of the same bytes. The
/// result depends on nothing else. So it may be stored and compared after a restart, or on another
/// machine. It guards against a key used twice by mistake. It does not guard against someone who
/// searches for collisions: whoever can choose requests can already choose keys.
pub(crate) struct Fingerprint(Xxh3);

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
    /// Begins the fingerprint of a request for `operation`. Journals store the result: never change
    /// the name of an operation.
    pub(crate) fn of(operation: &str) -> Self {
        Self(Xxh3::new()).field(FieldKind::Operation, operation.as_bytes())
    }

    /// Adds a field of bytes, such as an owner.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.field(FieldKind::Bytes, bytes)
    }

    /// Adds a field of text, such as a name or a reason.
    pub(crate) fn text(self, text: &str) -> Self {
        self.field(FieldKind::Text, text.as_bytes())
    }

    /// Adds a number: a quantity, a handle, a duration, or how many fields of a list follow.
    pub(crate) fn number(self, number: u64) -> Self {
        self.field(FieldKind::Number, &number.to_le_bytes())
    }

    /// Adds a reservation's id.
    pub(crate) fn id(self, id: ReservationId) -> Self {
        self.field(FieldKind::Id, id.as_uuid().as_bytes())
    }

    /// Adds an optional field that this request leaves out.
    pub(crate) fn absent(self) -> Self {
        self.field(FieldKind::Absent, &[])
    }

    /// The fingerprint.
    pub(crate) fn finish(self) -> u128 {
        self.0.digest128()
    }

    fn field(mut self, kind: FieldKind, bytes: &[u8]) -> Self {
        self.0.update(&[kind as u8]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_has_the_same_fingerprint_for_ever() {
        let print = || Fingerprint::of("reserve").text("SF").text("LAPTOP").number(3).finish();
        assert_eq!(print(), print());
        // Journals hold fingerprints: a change of this number would make old keys conflict.
        assert_eq!(print(), 0x2527b22f_1a2c0707_a65f0d6b_7353dd7f);
    }

    #[test]
    fn different_requests_differ() {
        let id = ReservationId::from_halves([1, 2]);
        let prints = [
            Fingerprint::of("reserve").finish(),
            Fingerprint::of("release").finish(),
            Fingerprint::of("reserve").text("ab").text("c").finish(),
            Fingerprint::of("reserve").text("a").text("bc").finish(),
            Fingerprint::of("reserve").text("abc").finish(),
            // A text that imitates the beginning of the next field.
            Fingerprint::of("reserve").text("ab\x03c").finish(),
            Fingerprint::of("reserve").bytes(b"abc").finish(),
            Fingerprint::of("reserve").text("").finish(),
            Fingerprint::of("reserve").absent().finish(),
            Fingerprint::of("reserve").number(0x61).finish(),
            Fingerprint::of("reserve").text("a\0\0\0\0\0\0\0").finish(),
            Fingerprint::of("reserve").bytes(id.as_uuid().as_bytes()).finish(),
            Fingerprint::of("reserve").id(id).finish(),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "request {index} is taken for another");
        }
    }
}

//! Between the terms of the engine and those of the model.

use stockade::{BasketError, IdempotencyKey, Request, ReservationId, ShortLine};
use uuid::Uuid;

use crate::common::model::call::{Answer, Call, Denied, Given};

pub(super) fn with_options<'a>(request: Request<'a>, call: &Call) -> Request<'a> {
    let request = match call.key {
        Some(key) => request.key(request_key(key)),
        None => request,
    };
    match call.note {
        Some(note) => request.note("note", note),
        None => request,
    }
}

pub(super) fn done<E: Into<stockade::Error>>(answer: Result<(), E>) -> Answer {
    answer.map(|()| Given::Done).map_err(|error| Denied::Other(error.into()))
}

pub(super) fn basket_denied(error: BasketError) -> Denied {
    match error {
        BasketError::Insufficient { lines, overdue_left } => short(lines, overdue_left),
        other => other.into(),
    }
}

pub(super) fn short(lines: Vec<ShortLine>, overdue_left: bool) -> Denied {
    let plain = |it: ShortLine| {
        let counts = (it.needed, it.available, it.safety_stock);
        (it.warehouse, it.product, counts.0, counts.1, counts.2, it.never_stocked)
    };
    Denied::Short { lines: lines.into_iter().map(plain).collect(), overdue_left }
}

pub(super) fn request_key(number: u8) -> IdempotencyKey {
    IdempotencyKey::try_from(&[b'k', number][..]).expect("two bytes")
}

/// The slot in an id: twelve bits of the high half, twenty of the low half.
pub(super) fn slot_of(id: ReservationId) -> u32 {
    let bits = id.as_uuid().as_u128();
    let (high, low) = (bits >> 64 & 0xfff, bits >> 42 & 0xf_ffff);
    (high << 20 | low) as u32
}

/// An id in the engine's format, of a slot that is never reached.
pub(super) fn never_made() -> ReservationId {
    let uuid = Uuid::from_u128(0x0200_0000_0000_8fff_bfff_fc00_0000_0001);
    ReservationId::from_uuid(uuid).expect("a UUID of version 8")
}

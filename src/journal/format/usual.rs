//! What the record of a usual call under a key need not say, because its other fields tell it: the
//! fingerprint of a confirm, or of a reserve by handle, and the answer that the reservation was
//! made. A shop's calls are such calls, and these are a third of their bytes.

use crate::audit::entry::{AdjustmentType, EntryType};
use crate::audit::record::{RecordBuf, ShortBytes, Subject};
use crate::idempotency::Fingerprint;

/// The tag of the answer that a reservation was made; its number is the reservation's id. See
/// `docs/persisted-words.md`.
const RESERVED: u8 = 1;
/// Bytes of a whole answer: a tag and a number.
const WHOLE: usize = 17;

/// The fingerprint of the call that this record is likely of; `None` if it is of no such call.
/// Journals rest on it: it must never change, as the fingerprints of the calls must not.
pub(crate) fn usual_fingerprint(record: &RecordBuf) -> Option<u128> {
    let [line] = &*record.lines else { return None };
    let header = &record.header;
    match line.entry_type {
        EntryType::Movement(AdjustmentType::Sold) => {
            let mut print = Fingerprint::new();
            Some(print.named("confirm").id(header.reservation?).absent().finish())
        }
        EntryType::Movement(AdjustmentType::Reserved) => {
            let Subject::Level(level) = line.subject else { return None };
            let ttl = header.expires_at?.saturating_since(header.at);
            let mut print = Fingerprint::new();
            print
                .named("reserve")
                .number(u64::from(level.0))
                .number(u64::from(line.quantity))
                .number(ttl.as_secs())
                .number(u64::from(ttl.subsec_nanos()));
            Some(match header.owner {
                Some(owner) => print.bytes(&owner.0).finish(),
                None => print.absent().finish(),
            })
        }
        _ => None,
    }
}

/// The number that says that the record's own reservation was made.
fn reserved(record: &RecordBuf) -> Option<[u8; 16]> {
    Some(record.header.reservation?.as_uuid().as_u128().to_le_bytes())
}

/// The short form of an answer: without the zeros at its end, and only the tag if it says that the
/// record's own reservation was made. `None` if the answer has no short form.
pub(crate) fn short_answer<'a>(answer: &'a [u8], record: &RecordBuf) -> Option<&'a [u8]> {
    if answer.len() != WHOLE {
        return None;
    }
    let (tag, number) = answer.split_at(1);
    if tag == [RESERVED] {
        return (reserved(record)? == number).then_some(tag);
    }
    let zeros = number.iter().rev().take_while(|byte| **byte == 0).count();
    answer.get(..WHOLE - zeros)
}

/// The answer of this short form; `None` if it is none.
pub(crate) fn whole_answer(short: &[u8], record: &RecordBuf) -> Option<ShortBytes<32>> {
    let mut answer = [0; WHOLE];
    answer.get_mut(..short.len())?.copy_from_slice(short);
    match short {
        [] => return None,
        [RESERVED] => answer[1..].copy_from_slice(&reserved(record)?),
        _ => {}
    }
    ShortBytes::new(&answer)
}

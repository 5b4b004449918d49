//! Law 3 for readers: what is read of a reservation belongs to it, whoever comes after it.

use std::sync::Arc;

use loom_tests::model;

use crate::base::clock::Timestamp;
use crate::engine::{at, race, slots_of};
use crate::reservation::chain::Chain;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{LinkContent, ReservationRecord};
use crate::reservation::slots::vacant_chain::VacantChain;
use crate::reservation::slots::{ReadReservation, Slots};
use crate::reservation::state::{Phase, SlotState};
use crate::stock::handle::LevelIndex;

/// A reservation of which every field can be told from any other's.
pub fn record(slot: u32, number: u32) -> ReservationRecord {
    ReservationRecord {
        id: ReservationId::new(at(u64::from(number)), slot, u64::from(number)),
        owner: Some(Owner([number as u8; 16])),
        line: line(number, 0),
        chain: Chain::NONE,
    }
}

/// The line at one place of reservation `number`. Only later slots tell of earlier steps.
pub fn line(number: u32, place: u32) -> SlotLine {
    let mark = number * 10 + place;
    let stepped = if place == 0 { 0 } else { mark };
    SlotLine {
        level: LevelIndex(mark),
        held: mark,
        sold: stepped,
        given_back: stepped,
        settled: mark,
    }
}

/// Publishes reservation `number` of as many lines as there are slots in `max_slots`.
pub fn publish(slots: &Slots, number: u32, lines: u32, expires_at: Timestamp) -> ReservationId {
    let take = || slots.take(at(1), || at(1)).expect("a slot");
    let mut taken = VacantChain::new(take());
    (1..lines).for_each(|_| taken.push(take()));
    let record = record(taken.head().number(), number);
    let rest = (1..lines).map(|place| LinkContent::Line(line(number, place)));
    slots.publish_lines(taken, rest, record, expires_at);
    record.id
}

/// Ends a hold and gives its slots back.
pub fn end(slots: &Slots, id: ReservationId) {
    let slot = slots.at(id.slot()).expect("a slot");
    let state = slot.state();
    slot.swap(state, state.in_phase(Phase::Ending)).expect("nobody else ends it");
    let chain = slot.read_record(state).chain;
    slot.finish(state.in_phase(Phase::Released));
    slots.retire(id.slot(), chain, false, at(1));
}

/// Reads once; whatever is said to be the reservation must be it, whole.
fn read(slots: &Slots, id: ReservationId, number: u32, lines: u32) -> Option<SlotState> {
    let mut read = Vec::new();
    let ReadReservation::Found { record: found, state, .. } =
        slots.read(id, |line| read.push(line))
    else {
        return None;
    };
    let expected = record(id.slot(), number);
    assert_eq!((found.id, found.owner), (id, expected.owner));
    assert_eq!(read, (0..lines).map(|place| line(number, place)).collect::<Vec<_>>());
    Some(state)
}

#[test]
fn a_reader_never_takes_a_stranger_for_the_tenant() {
    model("a reader against reuse", || {
        let slots = Arc::new(slots_of(1));
        let old = publish(&slots, 1, 1, at(100));
        let (young, _) = race(
            &slots,
            move |slots| {
                end(slots, old);
                publish(slots, 2, 1, at(100))
            },
            |slots| read(slots, old, 1, 1),
        );
        assert!(read(&slots, young, 2, 1).is_some());
        assert!(matches!(slots.read(old, drop), ReadReservation::Forgotten));
    });
}

#[test]
fn who_learns_an_id_reads_its_whole_reservation() {
    model("a reader against publication", || {
        let slots = Arc::new(slots_of(1));
        let old = publish(&slots, 1, 1, at(100));
        end(&slots, old);
        let id = record(0, 2).id;
        let (_, _) =
            race(&slots, |slots| publish(slots, 2, 1, at(100)), move |slots| read(slots, id, 2, 1));
    });
}

#[test]
fn a_reader_of_a_basket_never_follows_its_chain_into_another() {
    model("a basket's reader against reuse", || {
        let slots = Arc::new(slots_of(2));
        let old = publish(&slots, 1, 2, at(100));
        let (young, _) = race(
            &slots,
            move |slots| {
                end(slots, old);
                publish(slots, 2, 2, at(100))
            },
            |slots| read(slots, old, 1, 2),
        );
        assert!(read(&slots, young, 2, 2).is_some());
    });
}

/// A later line bears no id: what stands in its place must not be taken for one.
#[test]
fn an_id_whose_slot_became_a_later_line_was_made_all_the_same() {
    model("a reader against reuse as a later line", || {
        let slots = Arc::new(slots_of(2));
        // Younger than the birth that the line's name would spell.
        let old = publish(&slots, 1_000_000, 1, at(2_000_000));
        let (young, read) = race(
            &slots,
            move |slots| {
                end(slots, old);
                publish(slots, 1_000_001, 2, at(2_000_000))
            },
            move |slots| slots.read(old, drop),
        );
        assert_ne!(young.slot(), old.slot(), "the old slot is the later line's");
        assert!(!matches!(read, ReadReservation::Unknown), "{read:?}");
        assert!(matches!(slots.read(old, drop), ReadReservation::Forgotten));
    });
}

#[test]
fn a_hold_just_made_is_never_answered_with_its_forerunners_end() {
    model("a look at a new hold's state against reuse", || {
        let slots = Arc::new(slots_of(1));
        let old = publish(&slots, 1, 1, at(100));
        end(&slots, old);
        let id = record(0, 2).id;
        let (_, state) = race(
            &slots,
            |slots| publish(slots, 2, 1, at(100)),
            move |slots| slots.at(0).expect("a slot").state_of(id),
        );
        let phase = state.map(SlotState::phase);
        assert!(matches!(phase, None | Some(Phase::Pending)), "{phase:?}");
    });
}

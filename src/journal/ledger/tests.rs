use super::*;
use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::record::{EntryLine, PlainEntry, RecordBuf, Subject};
use crate::journal::format::decode::{Decoded, DecodedRecord};
use crate::journal::ledger::holds::HoldLine;
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

mod limits;
mod tracked;

const SF: WarehouseIndex = WarehouseIndex(0);
const LAPTOP: LevelIndex = LevelIndex(0);

fn moment(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn id(slot: u32, born: u64) -> ReservationId {
    ReservationId::new(moment(born), slot, 7)
}

fn event(event: EventType, subject: Subject, facts: &[(&str, &str)]) -> DecodedRecord {
    let mut record = DecodedRecord::default();
    record.steps.lines.push(EntryLine {
        entry_type: event.into(),
        subject,
        quantity: 0,
        other: None,
    });
    facts.iter().for_each(|(name, value)| record.steps.note(name, value));
    record
}

/// A ledger with ten laptops, in a warehouse with room for twenty.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(10);
    let warehouse = [("name", "SF"), ("capacity", "20"), ("threshold", "none")];
    let mut opened = event(EventType::LevelOpened, Subject::Level(LAPTOP), &[]);
    opened.place = Some((SF, ProductIndex(0)));
    for record in [
        event(EventType::WarehouseDefined, Subject::Warehouse(SF), &warehouse),
        event(EventType::ProductDefined, Subject::Product(ProductIndex(0)), &[("name", "LAPTOP")]),
        opened,
    ] {
        ledger.apply(&Decoded::Record(&record)).expect("legal");
    }
    take(&mut ledger, AdjustmentType::Received, 10, None).expect("room");
    ledger
}

fn take(
    ledger: &mut Ledger,
    movement: AdjustmentType,
    units: u32,
    hold: Option<ReservationId>,
) -> Result<(), Broken> {
    let mut entry = PlainEntry::new(movement, moment(5), LAPTOP, units).expires_at(moment(100));
    if let Some(id) = hold {
        entry = entry.reservation(id);
    }
    ledger.apply(&Decoded::Plain(entry))
}

/// A movement, its units, and its hold.
type Moved = (AdjustmentType, u32, Option<ReservationId>);

fn what(result: Result<(), Broken>) -> Result<(), String> {
    result.map_err(|broken| broken.what)
}

#[test]
fn a_legal_history_adds_up() {
    use AdjustmentType::{Damaged, Reserved, Returned, SaleCancelled, Shipped, Sold};
    let mut ledger = ledger();
    for (movement, units, hold) in [
        (Reserved, 6, Some(id(1, 1))),
        (Sold, 2, Some(id(1, 1))),
        (Returned, 1, Some(id(1, 1))),
        (Sold, 3, Some(id(1, 1))),
        (Shipped, 4, None),
        (SaleCancelled, 1, None),
        (Damaged, 2, None),
        (Reserved, 1, Some(id(1, 2))),
    ] {
        take(&mut ledger, movement, units, hold).expect("legal");
        ledger.check_totals().expect("every unit is accounted for");
    }
    let level = ledger.levels[0];
    assert_eq!((level.available, level.reserved, level.sold), (3, 1, 0));
    assert_eq!(ledger.warehouses[0].on_hand, 4);
    assert_eq!(ledger.holds.live().count(), 1);
}

#[test]
fn what_can_not_have_happened_is_told() {
    use AdjustmentType::{Received, Reserved, Returned, SaleCancelled, Shipped, Sold};
    let broken: [(&[Moved], &str); 11] = [
        (&[(Reserved, 11, Some(id(1, 1)))], "it takes more than was available"),
        (&[(Reserved, 1, None)], "a reserve without a reservation"),
        (&[(Received, 11, None)], "the warehouse holds more than its capacity"),
        (&[(Received, 0, None)], "a quantity that can't be"),
        (&[(Shipped, 1, None)], "it takes more than was sold"),
        (&[(SaleCancelled, 1, None)], "it takes more than was sold"),
        (&[(Sold, 1, Some(id(1, 1)))], "it sells more than was reserved"),
        (
            &[(Reserved, 2, Some(id(1, 1))), (Sold, 1, Some(id(2, 1)))],
            "the end of a reservation that is not there",
        ),
        (
            &[(Reserved, 2, Some(id(1, 1))), (Reserved, 2, Some(id(1, 2)))],
            "a slot is taken whose reservation has not ended",
        ),
        (
            &[
                (Reserved, 2, Some(id(1, 1))),
                (Reserved, 2, Some(id(2, 1))),
                (Returned, 3, Some(id(1, 1))),
            ],
            "it takes more from a reservation than it holds",
        ),
        (
            &[
                (Reserved, 2, Some(id(1, 1))),
                (Reserved, 2, Some(id(2, 1))),
                (Returned, 2, Some(id(1, 1))),
                (Returned, 2, Some(id(1, 1))),
            ],
            "a reservation ends a second time",
        ),
    ];
    for (steps, expected) in broken {
        let mut ledger = ledger();
        let (last, before) = steps.split_last().expect("steps");
        for (movement, units, hold) in before {
            take(&mut ledger, *movement, *units, *hold).expect("legal");
        }
        let result = take(&mut ledger, last.0, last.1, last.2);
        assert_eq!(what(result), Err(expected.to_owned()), "{steps:?}");
    }
}

/// A record of several movements of one level, under one reservation.
fn long(steps: &[(AdjustmentType, u32)], hold: Option<ReservationId>) -> DecodedRecord {
    let mut record = DecodedRecord::default();
    record.steps.header.at = moment(5);
    record.steps.header.reservation = hold;
    record.steps.header.expires_at = Some(moment(100));
    for (movement, units) in steps {
        record.steps.lines.push(EntryLine {
            entry_type: (*movement).into(),
            subject: Subject::Level(LAPTOP),
            quantity: *units,
            other: None,
        });
    }
    record
}

/// A long record is looked at line by line, as plain entries are. The error bears the number of the
/// line that breaks the law.
#[test]
fn what_can_not_have_happened_in_a_long_record_is_told_with_its_line() {
    use AdjustmentType::{
        Damaged, Received, Reserved, Returned, SaleCancelled, Shipped, Sold, TransferredIn,
        TransferredOut,
    };
    let hold = Some(id(1, 1));
    type Case<'a> = (&'a [(AdjustmentType, u32)], Option<ReservationId>, u64, &'a str);
    let broken: [Case<'_>; 13] = [
        (&[(Reserved, 5), (Reserved, 6)], hold, 1, "it takes more than was available"),
        (&[(Reserved, 11)], hold, 0, "it takes more than was available"),
        (&[(Reserved, 1)], None, 0, "a reserve without a reservation"),
        (&[(Reserved, 2), (Sold, 3)], hold, 1, "it sells more than was reserved"),
        (&[(Reserved, 2), (Sold, 2), (Returned, 1)], hold, 2, "it gives back what was sold"),
        (&[(Reserved, 2), (Sold, 1), (Shipped, 2)], hold, 2, "it takes more than was sold"),
        (&[(Reserved, 2), (SaleCancelled, 1)], hold, 1, "it takes more than was sold"),
        (&[(Received, 5), (Received, 6)], None, 1, FULL),
        (&[(TransferredIn, 5), (TransferredIn, 6)], None, 1, FULL),
        (&[(Damaged, 5), (Damaged, 6)], None, 1, "it takes more than was available"),
        (&[(TransferredOut, 11)], None, 0, "it takes more than was available"),
        (&[(Reserved, 1), (Reserved, 0)], hold, 1, "a quantity that can't be"),
        (&[(Sold, 1)], hold, 0, "it sells more than was reserved"),
    ];
    for (steps, hold, line, expected) in broken {
        let mut ledger = ledger();
        let first = ledger.next_sequence;
        let found = ledger.apply(&Decoded::Record(&long(steps, hold)));
        let expected = Broken { sequence: first + line, what: expected.to_owned() };
        assert_eq!(found, Err(expected), "{steps:?}");
    }
}

#[test]
fn a_reservation_is_made_once_even_after_its_end() {
    use AdjustmentType::{Reserved, Returned, Sold};
    for end in [Sold, Returned] {
        for again in [id(1, 1), id(1, 2)] {
            let mut ledger = ledger();
            take(&mut ledger, Reserved, 2, Some(id(1, 1))).expect("stock");
            take(&mut ledger, end, 2, Some(id(1, 1))).expect("held");
            let plain = what(take(&mut ledger, Reserved, 2, Some(again)));
            let expected = if again == id(1, 1) {
                Err("a reservation is made a second time".to_owned())
            } else {
                Ok(())
            };
            assert_eq!(plain, expected, "{end}");
        }
        let mut ledger = ledger();
        let made = long(&[(Reserved, 2), (end, 2)], Some(id(1, 1)));
        ledger.apply(&Decoded::Record(&made)).expect("stock");
        let twice = what(ledger.apply(&Decoded::Record(&made)));
        assert_eq!(twice, Err("a reservation is made a second time".to_owned()), "{end}");
    }
}

#[test]
fn a_hold_stays_over_and_keeps_its_latest_expiry() {
    let mut ledger = ledger();
    take(&mut ledger, AdjustmentType::Reserved, 2, Some(id(1, 1))).expect("stock");
    let extend = |ledger: &mut Ledger, millis| {
        let entry =
            PlainEntry::new(EventType::Extended, moment(6), LAPTOP, 0).reservation(id(1, 1));
        ledger.apply(&Decoded::Plain(entry.expires_at(moment(millis)))).expect("legal");
        ledger.holds.at(id(1, 1)).expect("a hold").expires_at
    };
    assert_eq!(extend(&mut ledger, 300), moment(300));
    assert_eq!(extend(&mut ledger, 200), moment(300));
    take(&mut ledger, AdjustmentType::Returned, 2, Some(id(1, 1))).expect("held");
    assert_eq!(extend(&mut ledger, 400), moment(300));
}

#[test]
fn a_ledger_is_read_back_from_its_bytes_and_no_bytes_make_it_panic() {
    let mut ledger = ledger();
    for (movement, units, hold) in [
        (AdjustmentType::Reserved, 4, Some(id(70_000, 1))),
        (AdjustmentType::Reserved, 2, Some(id(u32::MAX, 1))),
        (AdjustmentType::Sold, 3, Some(id(70_000, 1))),
        (AdjustmentType::Shipped, 1, Some(id(70_000, 1))),
        (AdjustmentType::Returned, 2, Some(id(u32::MAX, 1))),
        (AdjustmentType::Reserved, 3, Some(id(5, 1))),
        (AdjustmentType::Returned, 1, Some(id(5, 1))),
        (AdjustmentType::Returned, 2, Some(id(5, 1))),
    ] {
        take(&mut ledger, movement, units, hold).expect("legal");
    }
    let left = |slot| ledger.holds.at(id(slot, 1)).map(|it| it.lines().map(HoldLine::left).sum());
    assert_eq!([5, u32::MAX].map(left), [Some(2), Some(2_u32)], "what the end gave back");
    let bytes = ledger.to_bytes(10);
    let again = Ledger::from_bytes(&bytes, 10).expect("a ledger");
    assert_eq!(again.to_bytes(10), bytes);
    assert_eq!((&again.levels, &again.warehouses), (&ledger.levels, &ledger.warehouses));
    assert!(ledger.holds.all().all(|hold| again.holds.at(hold.id) == Some(hold)));
    for place in 0..bytes.len() {
        assert!(Ledger::from_bytes(&bytes[..place], 10).is_err(), "cut at {place}");
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let _ = Ledger::from_bytes(&flipped, 10);
        }
    }
}

/// Sets the warehouse's capacity, as a call does. Of a lower one, `inside` is what was inside.
fn resize(ledger: &mut Ledger, units: &str, inside: Option<&str>) -> Result<(), Broken> {
    let facts = [("setting", "capacity"), ("value", units)];
    let inside = inside.map(|units| ("inside", units));
    let facts: Vec<_> = facts.into_iter().chain(inside).collect();
    let change = event(EventType::SettingChanged, Subject::Warehouse(SF), &facts);
    ledger.apply(&Decoded::Record(&change))
}

const FULL: &str = "the warehouse holds more than its capacity";

#[test]
fn more_may_lie_inside_than_a_lowered_capacity_but_no_more_may_come_in() {
    use AdjustmentType::{Damaged, Received};
    let mut ledger = ledger();
    resize(&mut ledger, "8", Some("10")).expect("legal");
    let full = |ledger: &Ledger| {
        let mut again = Ledger::from_bytes(&ledger.to_bytes(10), 10).expect("a ledger");
        what(take(&mut again, Received, 1, None)) == Err(FULL.to_owned())
    };
    assert!(full(&ledger), "10 of 8 units");
    take(&mut ledger, Damaged, 1, None).expect("stock");
    assert!(full(&ledger), "9 of 8 units");
    take(&mut ledger, Damaged, 1, None).expect("stock");
    assert!(full(&ledger), "8 of 8 units");
    resize(&mut ledger, "9", None).expect("legal");
    take(&mut ledger, Received, 1, None).expect("room for one");
    assert!(full(&ledger), "9 of 9 units");
}

#[test]
fn units_that_took_their_room_before_the_capacity_was_lowered_may_be_recorded_after() {
    use AdjustmentType::{Damaged, Received};
    // Of 17 units inside, 7 are in no record yet.
    let lowered = || {
        let mut ledger = ledger();
        resize(&mut ledger, "8", Some("17")).expect("legal");
        Ledger::from_bytes(&ledger.to_bytes(10), 10).expect("a ledger")
    };
    let mut ledger = lowered();
    take(&mut ledger, Received, 4, None).expect("under way");
    resize(&mut ledger, "9", None).expect("legal");
    take(&mut ledger, Received, 3, None).expect("under way");
    assert_eq!(what(take(&mut ledger, Received, 1, None)), Err(FULL.to_owned()));
    // What fits needs no excuse, and uses none up.
    let mut ledger = lowered();
    take(&mut ledger, Damaged, 10, None).expect("stock");
    take(&mut ledger, Received, 8, None).expect("room");
    take(&mut ledger, Received, 7, None).expect("under way");
    // Once all that is inside fits, nothing is excused any more.
    let mut ledger = lowered();
    resize(&mut ledger, "7", Some("7")).expect("legal");
    assert_eq!(what(take(&mut ledger, Received, 1, None)), Err(FULL.to_owned()));
    // An engine that has ended records nothing any more.
    let mut ledger = lowered();
    let opened = event(EventType::Opened, Subject::None, &[]);
    ledger.apply(&Decoded::Record(&opened)).expect("legal");
    assert_eq!(what(take(&mut ledger, Received, 1, None)), Err(FULL.to_owned()));
}

#[test]
fn a_capacity_that_can_not_be_is_refused() {
    for (units, inside) in [("0", None), ("2147483648", None), ("many", None), ("8", Some("-1"))] {
        resize(&mut ledger(), units, inside).expect_err(units);
    }
    resize(&mut ledger(), "8", Some("2147483648")).expect_err("more than any warehouse holds");
}

#[test]
fn a_capacity_that_was_changed_stays_until_the_builder_gives_another() {
    let mut ledger = ledger();
    resize(&mut ledger, "30", None).expect("legal");
    let define = |ledger: &mut Ledger, units| {
        let facts = [("name", "SF"), ("capacity", units), ("threshold", "3")];
        let defined = event(EventType::WarehouseDefined, Subject::Warehouse(SF), &facts);
        ledger.apply(&Decoded::Record(&defined)).expect("legal");
        *ledger = Ledger::from_bytes(&ledger.to_bytes(10), 10).expect("a ledger");
        ledger.warehouses[0].capacity()
    };
    assert_eq!(define(&mut ledger, "20"), 30, "the builder repeats itself");
    assert_eq!(define(&mut ledger, "5"), 5, "less than what is inside");
    assert_eq!(define(&mut ledger, "20"), 20);
}

/// Adds an entry of this moment.
fn pass(ledger: &mut Ledger, millis: u64) {
    let entry = PlainEntry::new(EventType::KeyUsed, moment(millis), LAPTOP, 0);
    ledger.apply(&Decoded::Plain(entry)).expect("legal");
}

/// Opens at this moment, behind the newest entry or not.
fn open(ledger: &mut Ledger, millis: u64) {
    let at = moment(millis);
    if let Some(step) = clock::ClockStep::between(ledger.newest_at, at) {
        let from = step.from.as_millis().to_string();
        let mut stepped = event(EventType::ClockStepped, Subject::None, &[("from", &from)]);
        stepped.steps.header.at = at;
        ledger.apply(&Decoded::Record(&stepped)).expect("legal");
    }
    let mut opened = event(EventType::Opened, Subject::None, &[]);
    opened.steps.header.at = at;
    ledger.apply(&Decoded::Record(&opened)).expect("legal");
}

const DAY: u64 = 24 * 60 * 60 * 1_000;

#[test]
fn a_ledger_after_a_step_of_the_clock_is_read_back_from_its_bytes() {
    let mut ledger = ledger();
    take(&mut ledger, AdjustmentType::Reserved, 4, Some(id(3, 1))).expect("stock");
    pass(&mut ledger, 90 * DAY);
    open(&mut ledger, DAY);
    pass(&mut ledger, DAY + 5);
    let bytes = ledger.to_bytes(10);
    let again = Ledger::from_bytes(&bytes, 10).expect("a ledger");
    assert_eq!((again.to_bytes(10), &again.clock), (bytes.clone(), &ledger.clock));
    assert_eq!(again.newest_at, moment(DAY + 5));
    let (step, left) = again.clock.unsettled_step().expect("new");
    assert_eq!((step.from, step.to), (moment(90 * DAY), moment(DAY)));
    assert_eq!(left.as_millis() as u64, DAY - 5);
    for place in 0..bytes.len() {
        assert!(Ledger::from_bytes(&bytes[..place], 10).is_err(), "cut at {place}");
    }
    // As a checkpoint of version 1 has it.
    let clock = {
        let mut without = Ledger::from_bytes(&bytes, 10).expect("a ledger");
        let whole = without.to_bytes(10).len();
        without.take_clock();
        whole - (without.to_bytes(10).len() - 4)
    };
    let mut old = bytes[..bytes.len() - clock].to_vec();
    old.push(state::NO_CLOCK);
    let old = Ledger::from_bytes(&old, 10).expect("a ledger");
    assert!(old.clock.agrees(&ledger.clock) && old.clock != ledger.clock);
    assert_eq!(old.levels, ledger.levels);
}

#[test]
fn what_is_pending_keeps_its_time_and_what_is_over_was_over_as_long_ago() {
    let mut ledger = ledger();
    take(&mut ledger, AdjustmentType::Reserved, 2, Some(id(1, 1))).expect("stock");
    take(&mut ledger, AdjustmentType::Reserved, 2, Some(id(70_000, 1))).expect("stock");
    take(&mut ledger, AdjustmentType::Returned, 2, Some(id(70_000, 1))).expect("held");
    pass(&mut ledger, 5_040);
    // Overdue by 4,940 ms, and ended 5,035 ms ago.
    open(&mut ledger, 3_000);
    let hold = |ledger: &Ledger, slot| ledger.holds.at(id(slot, 1)).expect("a hold").clone();
    assert_eq!(hold(&ledger, 1).expires_at, moment(3_000));
    assert_eq!(hold(&ledger, 70_000).ended_at, moment(0), "before 1970 is 1970");
    // A step is more than a second.
    let before = hold(&ledger, 1);
    open(&mut ledger, 2_000);
    assert_eq!(hold(&ledger, 1), before);
    assert_eq!(ledger.newest_at, moment(3_000));
}

#[test]
fn journal_time_counts_what_ran_and_a_day_of_what_did_not() {
    let mut ledger = ledger();
    let first = ledger.next_sequence;
    open(&mut ledger, 10);
    pass(&mut ledger, 10 + 2 * DAY);
    let age = |ledger: &Ledger, next, at| {
        ledger.clock.since_entry_before(next, moment(at)).as_millis() as u64
    };
    assert_eq!(age(&ledger, first + 1, 10), 2 * DAY);
    assert_eq!(age(&ledger, first + 2, 10 + 2 * DAY), 0);
    let second = ledger.next_sequence;
    // An hour of DAY / 24 later, thirteen years later, and back.
    open(&mut ledger, 10 + 2 * DAY + DAY / 24);
    assert_eq!(age(&ledger, second, 10 + 2 * DAY), DAY / 24);
    open(&mut ledger, 13 * 365 * DAY);
    pass(&mut ledger, 13 * 365 * DAY + 7);
    assert_eq!(age(&ledger, second, 10 + 2 * DAY), DAY / 24 + DAY + 7);
    let back = ledger.next_sequence;
    open(&mut ledger, 4 * DAY);
    assert_eq!(age(&ledger, second, 10 + 2 * DAY), DAY / 24 + DAY + 7);
    // What follows an entry says when it was made at the latest, unless another opening wrote that.
    assert_eq!(age(&ledger, back, 4 * DAY), 0);
    pass(&mut ledger, 5 * DAY);
    assert_eq!(age(&ledger, back, 4 * DAY), DAY);
    assert_eq!(age(&ledger, first + 1, 10), 2 * DAY + DAY / 24 + DAY + 7 + DAY);
    // A ledger that began later never says more than it knows.
    let state = ledger.to_bytes(10);
    let mut late = Ledger::from_bytes(&state, 10).expect("a ledger");
    late.clock = clock::JournalClock::beginning_at(late.next_sequence);
    assert_eq!(age(&late, first, 10), 0);
    pass(&mut late, 5 * DAY);
    pass(&mut late, 5 * DAY + 9);
    assert_eq!(age(&late, first, 10), 9);
}

#[test]
fn openings_without_number_take_a_bounded_room() {
    let mut ledger = ledger();
    for minute in 1..10_000 {
        open(&mut ledger, minute * 60_000);
        pass(&mut ledger, minute * 60_000 + 1);
    }
    let age = ledger.clock.since_entry_before(6, moment(60_000)).as_millis() as u64;
    assert_eq!(age, 4_095 * 60_000 + 1, "the oldest that is remembered");
    assert!(ledger.to_bytes(10).len() < 100_000);
}

#[test]
fn a_setting_of_the_builder_is_the_last_word_only_if_it_is_new() {
    let changed = Setting { built: Some(20), changed: Some(30) };
    assert_eq!((changed.under(20), changed.under(25)), (30, 25));
    assert_eq!(Setting::default().under(7), 7);
}

#[test]
fn a_slot_far_beyond_all_others_takes_no_room() {
    let mut ledger = ledger();
    take(&mut ledger, AdjustmentType::Reserved, 1, Some(id(u32::MAX, 1))).expect("stock");
    take(&mut ledger, AdjustmentType::Reserved, 1, Some(id(70_000, 1))).expect("stock");
    take(&mut ledger, AdjustmentType::Reserved, 1, Some(id(0, 1))).expect("stock");
    assert_eq!(ledger.holds.live().count(), 3);
    take(&mut ledger, AdjustmentType::Sold, 1, Some(id(u32::MAX, 1))).expect("held");
    assert_eq!(ledger.holds.live().count(), 2);
}

#[test]
fn every_type_of_entry_has_its_place_in_a_replay() {
    for code in 0..64 {
        if let Some(EntryType::Event(event)) = EntryType::from_code(code) {
            // An event on a level that carries no facts changes nothing, or says what it lacks.
            let entry = PlainEntry::new(event, moment(1), LAPTOP, 0);
            let extended = event == EventType::Extended;
            assert_eq!(ledger().apply(&Decoded::Plain(entry)).is_err(), extended, "{event}");
        }
    }
}

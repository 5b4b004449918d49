use super::*;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

type Small = Ring<String, 2, 2>;

fn push(ring: &Small, word: u64, beside: Option<&str>) {
    let ticket = ring.ticket();
    assert!(ring.has_room(&ticket));
    let beside = beside.map_or(Beside::Nothing, |it| Beside::Other(it.to_owned()));
    let _ = ring.publish(ticket, [word, !word], beside);
}

fn push_row(ring: &Small, word: u64, row: &[u64]) {
    assert!(ring.make_rows());
    let ticket = ring.ticket();
    assert!(ring.has_room(&ticket));
    let _ = ring.publish(ticket, [word, !word], Beside::Words(row));
}

fn drain(ring: &Small, limit: u64) -> Vec<(u64, Option<String>)> {
    let mut taken = Vec::new();
    ring.drain(limit, |[word, inverse], beside| {
        assert_eq!(word, !inverse, "words of one push");
        let beside = match beside {
            FoundBeside::Nothing => None,
            FoundBeside::Words(row) => Some(format!("{} {}", row.word(0), row.word(1))),
            FoundBeside::Other(text) => Some(text),
        };
        taken.push((word, beside));
        Wants::More
    });
    taken
}

#[test]
fn entries_come_out_in_order_lap_after_lap_with_what_lies_beside_them() {
    let ring = Small::new(3);
    for lap in 0..5 {
        push(&ring, lap, None);
        push(&ring, 10 + lap, Some("beside"));
        push(&ring, 20 + lap, None);
        assert_eq!((ring.len(), ring.capacity()), (3, 3));
        let beside = Some("beside".to_owned());
        assert_eq!(drain(&ring, 2), [(lap, None), (10 + lap, beside)]);
        assert_eq!(ring.len(), 1);
        assert_eq!(drain(&ring, u64::MAX), [(20 + lap, None)]);
        assert!(ring.is_empty());
    }
}

#[test]
fn the_reader_takes_no_more_than_it_wants() {
    let ring = Small::new(8);
    (0..6).for_each(|word| push(&ring, word, None));
    let second = ring.ticket();
    ring.give_up(second);
    let mut taken = Vec::new();
    let mut until = |last, limit| {
        ring.drain(limit, |[word, _], _| {
            taken.push(word);
            if word == last { Wants::NoMore } else { Wants::More }
        })
    };
    assert_eq!((until(2, u64::MAX), ring.len()), (3, 4));
    assert_eq!((until(4, 1), ring.len()), (1, 3));
    assert_eq!((until(9, u64::MAX), ring.len()), (3, 0), "one of them was given up");
    assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_words_beside_a_place_are_those_of_its_own_push() {
    let ring = Small::new(2);
    push(&ring, 1, None);
    assert!(ring.rows.get().is_none(), "nobody needed them");
    push_row(&ring, 2, &[20, 21]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(drain(&ring, 9), [(1, None), (2, text("20 21"))]);
    for lap in 10..15 {
        push_row(&ring, lap, &[lap]);
        push(&ring, 2 * lap, [None, Some("other")][lap as usize % 2]);
        let taken = drain(&ring, 9);
        assert_eq!(taken[0].1, Some(format!("{lap} 0")), "what was there is wiped out");
        assert_eq!(taken[1].1.is_some(), lap % 2 == 1, "a row of an earlier lap");
    }
}

#[test]
fn the_capacity_is_the_callers_and_not_the_number_of_places() {
    let ring = Small::new(3);
    (0..3).for_each(|word| push(&ring, word, None));
    assert!(ring.ticket_if_room().is_none());
    let fourth = ring.ticket();
    assert!(!ring.has_room(&fourth));
    assert_eq!(drain(&ring, 1), [(0, None)]);
    assert!(ring.has_room(&fourth));
    let _ = ring.publish(fourth, [3, !3], Beside::Nothing);
    assert!(ring.ticket_if_room().is_none());
    assert_eq!(drain(&ring, u64::MAX).len(), 3);
    let fifth = ring.ticket_if_room().expect("there is room");
    let _ = ring.publish(fifth, [4, !4], Beside::Nothing);
    assert_eq!(drain(&ring, u64::MAX), [(4, None)]);
}

#[test]
fn a_ticket_that_was_given_up_is_skipped() {
    let ring = Small::new(1);
    push(&ring, 0, None);
    let (second, third) = (ring.ticket(), ring.ticket());
    assert!(!ring.has_room(&second));
    ring.give_up(second);
    ring.give_up(third);
    assert_eq!(ring.len(), 3);
    assert_eq!(drain(&ring, u64::MAX), [(0, None)]);
    assert!(ring.is_empty());
    push(&ring, 3, None);
    assert_eq!(drain(&ring, u64::MAX), [(3, None)]);
}

#[test]
fn the_reader_waits_at_a_hole_and_passes_nobody() {
    let ring = Arc::new(Small::new(4));
    let hole = ring.ticket();
    push(&ring, 1, None);
    let reading = thread::spawn({
        let ring = Arc::clone(&ring);
        move || drain(&ring, u64::MAX)
    });
    thread::sleep(Duration::from_millis(5));
    assert!(!reading.is_finished());
    let _ = ring.publish(hole, [0, !0], Beside::Nothing);
    assert_eq!(reading.join().expect("no panic"), [(0, None), (1, None)]);
}

#[test]
fn who_waits_for_room_behind_a_hole_gets_it_although_the_reader_waits_too() {
    // The head is published each 8 entries only; what was taken before the hole makes room.
    let ring = Arc::new(Small::new(128));
    push(&ring, 0, None);
    let hole = ring.ticket();
    (2..128).for_each(|word| push(&ring, word, None));
    let waiting = ring.ticket();
    assert!(!ring.has_room(&waiting));
    let reading = thread::spawn({
        let ring = Arc::clone(&ring);
        move || drain(&ring, u64::MAX).len()
    });
    let until = Instant::now() + Duration::from_secs(10);
    while !ring.has_room(&waiting) {
        assert!(Instant::now() < until, "both wait for ever");
        thread::yield_now();
    }
    let _ = ring.publish(waiting, [128, !128], Beside::Nothing);
    let _ = ring.publish(hole, [1, !1], Beside::Nothing);
    assert_eq!(reading.join().expect("no panic"), 129);
}

#[test]
fn what_nobody_took_is_dropped_with_the_ring() {
    let beside = Arc::new(());
    let ring: Ring<Arc<()>, 1, 1> = Ring::new(4);
    let _ = ring.publish(ring.ticket(), [0], Beside::Other(Arc::clone(&beside)));
    drop(ring);
    assert_eq!(Arc::strong_count(&beside), 1);
}

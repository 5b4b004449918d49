//! Draws on their way through the queue, into the log and to the sink.

use super::*;
use crate::audit::draw::{DrawMark, EntryDraw};
use crate::base::quantity::Quantity;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};

fn mark(rule: u32, line: u32, used_after: u32) -> DrawMark {
    let key = AllowanceKey { rule: RuleNumber(rule), subject: SubjectHash([rule as u8; 16]) };
    DrawMark { key, version: 1, maximum: 5, used_after, passed: false, line }
}

/// The rules of an entry's draws, with what was used after each.
fn limits_of(entry: &AuditEntry) -> Vec<(u32, u32)> {
    entry.limits.iter().map(|draw| (draw.rule, draw.used_after)).collect()
}

#[test]
fn each_entry_shows_the_draws_of_its_own_line_in_the_log_and_to_the_sink() {
    struct Shown(Arc<Mutex<Vec<AuditEntry>>>);
    impl AuditSink for Shown {
        fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
            self.0.lock().expect("no panic").extend(batch.entries());
            Ok(())
        }
    }
    let shown = Arc::new(Mutex::new(Vec::new()));
    let sink: Box<dyn AuditSink> = Box::new(Shown(Arc::clone(&shown)));
    let (recorder, mut writer) =
        open(RecorderSettings { sink: Some(sink), ..RecorderSettings::default() });
    assert!(recorder.queue.make_rows());
    let two = Quantity::new(2).expect("a quantity");

    let basket = recorder.movement(AdjustmentType::Reserved, LevelIndex(0), two);
    let basket = basket.line(LevelIndex(1), 1).line(LevelIndex(2), 3).text("cart", "17");
    let mut basket = basket.draws([mark(1, 0, 0), mark(2, 0, 0), mark(1, 2, 0)].into_iter());
    // What the commit found, which came after the record was made.
    (0..3).for_each(|at| basket.set_used_after(at, 2 + at as u32));
    basket.queue().expect("lives");
    // The buffer of that record is used again.
    writer.turn(false);
    recorder.movement(AdjustmentType::Reserved, LevelIndex(0), two).queue().expect("lives");

    let short = Extras::new(None, &Pairs::new(), &[mark(3, 0, 1), mark(4, 0, 5)]).expect("two");
    recorder.record_short(received(0, 2), &short).expect("lives");
    recorder.record(received(0, 1)).expect("lives");
    writer.turn(true);

    let entries = all(&recorder);
    let expected =
        vec![vec![(1, 2), (2, 3)], vec![], vec![(1, 4)], vec![], vec![(3, 1), (4, 5)], vec![]];
    assert_eq!(entries.iter().map(limits_of).collect::<Vec<_>>(), expected);
    assert_eq!(*shown.lock().expect("no panic"), entries);
    let draw: EntryDraw = entries[4].limits[1];
    assert_eq!((draw.version, draw.maximum, draw.passed), (1, 5, false));
    assert_eq!(draw.subject, SubjectHash([4; 16]));

    // Hashes are no notes: an erasure leaves them.
    recorder.log().erase_notes(&BTreeSet::from([1]));
    let erased = all(&recorder);
    assert_eq!((entries[0].note("cart"), erased[0].note("cart")), (Some("17"), None));
    assert_eq!(erased.iter().map(limits_of).collect::<Vec<_>>(), expected);
}

#[test]
fn a_buffer_gives_the_memory_of_many_draws_back() {
    let (recorder, _writer) = open(RecorderSettings::default());
    let mut buffer = recorder.buffer();
    for (draws, kept) in [(10, 10), (10_000, 64)] {
        buffer.draws.extend((0..draws).map(|line| mark(1, line, 1)));
        buffer.clear();
        assert!(buffer.draws.is_empty() && buffer.draws.capacity() >= kept.min(10));
        assert!(buffer.draws.capacity() <= 64, "{}", buffer.draws.capacity());
    }
}

//! The journal's clock: how far the entries' times go, how often they stepped back, and how long
//! the journal has run.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long engines that run tell of a step back of the clock.
pub(crate) const TOLD_FOR: Duration = DAY;
/// A clock this little behind the journal is no step: two calls that race may be as far apart.
const TOLERANCE: Duration = Duration::from_secs(1);
/// The most spans that are remembered. What an older one tells is then told by the oldest that is
/// left.
const MOST_SPANS: usize = 4_096;

/// A step back of the clock: an opening found itself behind the journal's newest entry by more than
/// a second.
///
/// Every hold, idempotency key, record and request then keeps the time that it had left, counted
/// from the journal's newest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockStep {
    /// The time of the journal's newest entry.
    pub from: Timestamp,
    /// The time at the opening.
    pub to: Timestamp,
}

impl ClockStep {
    /// By how much the clock stepped back.
    pub fn by(&self) -> Duration {
        self.from.saturating_since(self.to)
    }

    /// The step of an opening at `now` of a journal whose newest entry bears `newest`, if it is
    /// one.
    pub(crate) fn between(newest: Timestamp, now: Timestamp) -> Option<Self> {
        (newest.saturating_since(now) > TOLERANCE).then_some(Self { from: newest, to: now })
    }

    /// When something falls due that was to fall due at `due`: after the time that it had left.
    pub(crate) fn due(self, due: Timestamp) -> Timestamp {
        self.to.saturating_add(due.saturating_since(self.from))
    }

    /// When something happened that bears the time `moment`: as long ago as it was.
    pub(crate) fn past(self, moment: Timestamp) -> Timestamp {
        let ago = self.from.saturating_since(moment).as_millis() as u64;
        Timestamp::from_millis(self.to.as_millis().saturating_sub(ago))
    }
}

/// Entries of one opening, in which the clock never went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockSpan {
    pub(super) first_sequence: u64,
    /// The journal time at which it began, in milliseconds.
    pub(super) begun: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

impl ClockSpan {
    fn ran(&self) -> u64 {
        self.last.saturating_since(self.first).as_millis() as u64
    }

    /// The journal time at its end.
    fn ended(&self) -> u64 {
        self.begun.saturating_add(self.ran())
    }
}

/// What the entries tell of the clock that dated them.
///
/// *Journal time* counts what an engine has run, and the time between two openings, of that a day
/// at most. So a session with a wrong clock adds a day at most, and no clock that steps back takes
/// anything away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalClock {
    /// Oldest first.
    pub(super) spans: VecDeque<ClockSpan>,
    /// The first entry that it knows of: 1, unless it began with a checkpoint that knew nothing.
    pub(super) since: u64,
    /// How long engines had run before the newest span, in milliseconds.
    pub(super) ran: u64,
    /// The newest step back, and how long engines had run by then. `None` once an operator has
    /// acknowledged it.
    pub(super) step: Option<(ClockStep, u64)>,
}

impl JournalClock {
    /// Of a journal whose entry `sequence` comes next; all before are unknown.
    pub(super) fn beginning_at(sequence: u64) -> Self {
        Self { spans: VecDeque::new(), since: sequence, ran: 0, step: None }
    }

    /// Notes an entry.
    #[inline]
    pub(super) fn pass(&mut self, sequence: u64, at: Timestamp) {
        match self.spans.back_mut() {
            Some(span) => span.last = span.last.max(at),
            None => self.begin_span(sequence, 0, at),
        }
    }

    /// Notes the first entry of an opening.
    pub(super) fn open(&mut self, sequence: u64, at: Timestamp) {
        let Some(span) = self.spans.back().copied() else {
            return self.begin_span(sequence, 0, at);
        };
        if at == span.last {
            return;
        }
        let between = at.saturating_since(span.last).min(DAY).as_millis() as u64;
        self.ran = self.ran.saturating_add(span.ran());
        self.begin_span(sequence, span.ended().saturating_add(between), at);
    }

    fn begin_span(&mut self, first_sequence: u64, begun: u64, at: Timestamp) {
        self.spans.push_back(ClockSpan { first_sequence, begun, first: at, last: at });
        if self.spans.len() > MOST_SPANS {
            self.spans.pop_front();
        }
    }

    /// Notes a step back.
    pub(super) fn step_back(&mut self, sequence: u64, step: ClockStep) {
        self.open(sequence, step.to);
        self.step = Some((step, self.ran));
    }

    /// Notes that an operator knows of the newest step back.
    pub(super) fn acknowledge(&mut self) {
        self.step = None;
    }

    /// The times of the first and the last entry of each opening, oldest first. Openings that began
    /// in the millisecond in which the one before ended count as one with it.
    pub(crate) fn spans(&self) -> Vec<(Timestamp, Timestamp)> {
        self.spans.iter().map(|span| (span.first, span.last)).collect()
    }

    /// The times after `now` in which entries were made: the first and the last of each opening.
    pub(super) fn spans_ahead(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let ahead = self.spans.iter().filter(|span| span.last > now);
        ahead.map(|span| (span.first.max(now), span.last)).collect()
    }

    /// Whether it knows every opening.
    pub(super) fn is_whole(&self) -> bool {
        self.since == 1 && self.spans.front().is_none_or(|span| span.begun == 0)
    }

    /// The journal time of an entry of the newest opening that bears `at`, in milliseconds.
    pub(crate) fn journal_time(&self, at: Timestamp) -> u64 {
        self.spans.back().map_or(0, |span| {
            span.begun.saturating_add(at.saturating_since(span.first).as_millis() as u64)
        })
    }

    /// The least journal time that an entry can have which bears `at`, in milliseconds. There are
    /// several only where the clock went back.
    pub(crate) fn earliest_time_of(&self, at: Timestamp) -> u64 {
        let mut before = 0;
        for span in &self.spans {
            if span.first <= at && at <= span.last {
                let since = at.saturating_since(span.first).as_millis() as u64;
                return span.begun.saturating_add(since);
            }
            if at < span.first {
                break;
            }
            before = span.ended();
        }
        before
    }

    /// The journal time of an opening at `now`, which has recorded nothing yet, in milliseconds.
    pub(crate) fn time_of_opening(&self, now: Timestamp) -> u64 {
        self.spans.back().map_or(0, |span| {
            let between = now.saturating_since(span.last).min(DAY).as_millis() as u64;
            span.ended().saturating_add(between)
        })
    }

    /// How long engines have run, in milliseconds.
    fn running(&self) -> u64 {
        self.ran.saturating_add(self.spans.back().map_or(0, ClockSpan::ran))
    }

    /// The newest step back that still counts, and for how long an engine must run until it does
    /// not.
    pub(crate) fn unsettled_step(&self) -> Option<(ClockStep, Duration)> {
        let (step, at) = self.step?;
        let since = Duration::from_millis(self.running().saturating_sub(at));
        let left = TOLD_FOR.saturating_sub(since);
        (!left.is_zero()).then_some((step, left))
    }

    /// How much journal time has passed since the entry before `next`. `at` is the time of `next`.
    /// It is never said to be more than it was.
    pub(crate) fn since_entry_before(&self, next: u64, at: Timestamp) -> Duration {
        let now = self.spans.back().map_or(0, ClockSpan::ended);
        let after = self.spans.partition_point(|span| span.first_sequence < next);
        let then = match after.checked_sub(1).and_then(|index| self.spans.get(index)) {
            // Another opening wrote `next`: the entry before it is the last of this span.
            Some(span) if self.spans.get(after).is_some_and(|it| it.first_sequence == next) => {
                span.ended()
            }
            Some(span) => {
                let ran = at.saturating_since(span.first).as_millis() as u64;
                span.begun.saturating_add(ran.min(span.ran()))
            }
            // Before all that is known.
            None => self.spans.front().map_or(now, |span| span.begun),
        };
        Duration::from_millis(now.saturating_sub(then))
    }

    /// Whether both tell the same, as far as both know: one may have begun with a checkpoint that
    /// knew nothing.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self == other || self.since != other.since
    }
}

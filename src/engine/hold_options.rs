//! The options of a call that makes or ends one hold, as its path is compiled for: a call with any
//! options, or one without. Most calls have none, and their path has no trace of what options need.

use crate::audit::record::PlainEntry;
use crate::base::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::answer::Answer;
use crate::engine::call::{Call, NOT_READ};
use crate::engine::recording::{Beyond, LongerRecord, PlainOnly};
use crate::reservation::id::Owner;

/// What a step on one hold needs of its call: a [`Call`], or [`NoOptions`].
pub(super) trait HoldOptions<'a>: Copy {
    /// What [`record_of_hold`](Self::record_of_hold) makes.
    type Record: LongerRecord;

    /// The whole call: for what is rare.
    fn call(self, engine: &'a Engine) -> Call<'a>;

    /// The same, with its one reading of the clock; see [`Call::timed`].
    fn timed(self, engine: &'a Engine) -> Self;

    /// That reading; see [`Call::now`].
    fn now(self) -> Timestamp;

    /// The buyer of a new hold.
    fn owner(self) -> Option<Owner>;

    /// Whether a new hold is kept until it is shipped.
    fn keeps_until_shipped(self) -> bool;

    /// What the record of a new hold, or of its end, has beside `entry`.
    fn record_of_hold(
        self,
        engine: &'a Engine,
        entry: PlainEntry,
        answer: impl Into<Answer>,
    ) -> Self::Record;
}

/// A call without options and without a key, and its one reading of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoOptions(Timestamp);

impl NoOptions {
    /// It has not read the clock.
    pub(super) const UNDATED: Self = Self(NOT_READ);
}

impl<'a> HoldOptions<'a> for NoOptions {
    type Record = PlainOnly;

    #[inline(always)]
    fn call(self, engine: &'a Engine) -> Call<'a> {
        Call::plain(engine).at(self.0)
    }

    #[inline(always)]
    fn timed(self, engine: &'a Engine) -> Self {
        Self(engine.now())
    }

    #[inline(always)]
    fn now(self) -> Timestamp {
        self.0
    }

    #[inline(always)]
    fn owner(self) -> Option<Owner> {
        None
    }

    #[inline(always)]
    fn keeps_until_shipped(self) -> bool {
        false
    }

    #[inline(always)]
    fn record_of_hold(self, _: &'a Engine, _: PlainEntry, _: impl Into<Answer>) -> PlainOnly {
        PlainOnly
    }
}

impl<'a> HoldOptions<'a> for Call<'a> {
    type Record = Beyond<'a>;

    fn call(self, _: &'a Engine) -> Self {
        self
    }

    fn timed(self, _: &'a Engine) -> Self {
        Call::timed(self)
    }

    fn now(self) -> Timestamp {
        Call::now(self)
    }

    fn owner(self) -> Option<Owner> {
        Call::owner(self)
    }

    fn keeps_until_shipped(self) -> bool {
        Call::keeps_until_shipped(self)
    }

    fn record_of_hold(
        self,
        engine: &'a Engine,
        entry: PlainEntry,
        answer: impl Into<Answer>,
    ) -> Beyond<'a> {
        if self.keeps_until_shipped() {
            return Beyond::Record(engine.recorder.record_from(entry).of_hold(self, answer));
        }
        self.beyond(engine, entry, answer.into())
    }
}

//! What a target wants, and what is said of the measurements.

use crate::numbers::{percent, times};
use crate::row::Spread;

/// The condition on a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

/// What the turns say of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// This run has no such measurement.
    NotMeasured,
    /// Some turns meet it and some do not.
    Unclear,
    /// Every turn meets it.
    Met,
    /// No turn meets it. The median divided by the limit.
    Missed(f64),
}

impl Wanted {
    pub(crate) fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    pub(crate) fn judge(self, measured: Option<Spread>) -> Verdict {
        let Some(Spread { median, lowest, highest }) = measured else {
            return Verdict::NotMeasured;
        };
        match (self.is_met_by(lowest), self.is_met_by(highest)) {
            (true, true) => Verdict::Met,
            (false, false) => Verdict::Missed(median / self.limit()),
            _ => Verdict::Unclear,
        }
    }
}

impl Verdict {
    /// The class of its cell on the page.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::NotMeasured => "",
            Self::Unclear => "unclear",
            Self::Met => "met",
            Self::Missed(_) => "missed",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::NotMeasured => f.pad("not measured"),
            Self::Unclear => f.pad("unclear: the range straddles the limit"),
            Self::Met => f.pad("met"),
            Self::Missed(over) if over > 2.0 => write!(f, "missed: {} the limit", times(over)),
            Self::Missed(over) => write!(f, "missed by {}", percent((over - 1.0).abs())),
        }
    }
}

/// Panics unless each kind of range gets its verdict, for limits of both kinds.
pub(crate) fn prove() {
    let of = |lowest, median, highest| Some(Spread { median, lowest, highest });
    for (wanted, measured, verdict, said) in [
        (Wanted::AtMost(10.0), None, Verdict::NotMeasured, "not measured"),
        (Wanted::AtMost(10.0), of(7.0, 9.0, 10.0), Verdict::Met, "met"),
        // A median on the good side is no proof while a turn lies on the other, and the reverse.
        (
            Wanted::AtMost(10.0),
            of(7.0, 9.0, 11.0),
            Verdict::Unclear,
            "unclear: the range straddles the limit",
        ),
        (
            Wanted::AtLeast(10.0),
            of(9.0, 9.5, 11.0),
            Verdict::Unclear,
            "unclear: the range straddles the limit",
        ),
        (Wanted::AtMost(10.0), of(11.0, 12.0, 13.0), Verdict::Missed(1.2), "missed by 20%"),
        (
            Wanted::AtMost(10.0),
            of(11.0, 35.0, 40.0),
            Verdict::Missed(3.5),
            "missed: 3.50 times the limit",
        ),
        (Wanted::AtLeast(10.0), of(4.0, 5.0, 9.0), Verdict::Missed(0.5), "missed by 50%"),
        (Wanted::AtLeast(10.0), of(10.0, 20.0, 30.0), Verdict::Met, "met"),
    ] {
        assert_eq!(wanted.judge(measured), verdict, "{wanted:?} of {measured:?}");
        assert_eq!(verdict.to_string(), said);
    }
    let own = Spread { median: 4.0, lowest: 2.0, highest: 8.0 };
    assert_eq!(own.inverse(), Spread { median: 0.25, lowest: 0.125, highest: 0.5 });
}

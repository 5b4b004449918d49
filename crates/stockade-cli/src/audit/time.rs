//! Points in time, as people and other programs write them.

use std::str::FromStr;

use stockade::Timestamp;

/// A point in time that a caller gave. The engine's own timestamps are whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    millis: u64,
    /// Whether it lies after that millisecond and before the next one.
    between: bool,
}

impl Moment {
    /// The latest timestamp that is not after this point.
    pub(super) fn or_before(self) -> Timestamp {
        Timestamp::from_millis(self.millis)
    }

    /// The earliest timestamp that is not before this point.
    pub(super) fn or_after(self) -> Timestamp {
        Timestamp::from_millis(self.millis + u64::from(self.between))
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || {
            format!(
                "expected RFC 3339, such as 2026-11-24T10:00:00Z, or milliseconds since 1970{}",
                if text.contains('T') {
                    "; without an offset or a Z nobody knows the zone"
                } else {
                    ""
                }
            )
        };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let millis = text.parse().map_err(|_| expected())?;
            return Ok(Self { millis: Timestamp::from_millis(millis).as_millis(), between: false });
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| expected())?;
        // No entry is older than 1970.
        let nanos = u128::try_from(moment.as_nanosecond()).unwrap_or(0);
        let millis = u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX);
        let millis = Timestamp::from_millis(millis).as_millis();
        Ok(Self { millis, between: !nanos.is_multiple_of(1_000_000) })
    }
}

/// Formats a timestamp as RFC 3339, in UTC, to the millisecond.
pub(super) fn shown(moment: Timestamp) -> String {
    let millis = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(moment) => format!("{moment:.3}"),
        Err(_) => moment.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> (u64, u64) {
        let moment: Moment = text.parse().expect("a moment");
        (moment.or_before().as_millis(), moment.or_after().as_millis())
    }

    #[test]
    fn a_moment_is_read_in_either_spelling() {
        assert_eq!(millis("1700000000123"), (1_700_000_000_123, 1_700_000_000_123));
        assert_eq!(millis("2023-11-14T22:13:20.123Z"), (1_700_000_000_123, 1_700_000_000_123));
        assert_eq!(millis("2023-11-14T23:13:20.123+01:00"), (1_700_000_000_123, 1_700_000_000_123));
        assert_eq!(millis("2023-11-14 22:13:20Z").0, 1_700_000_000_000);
    }

    #[test]
    fn a_moment_between_two_milliseconds_is_rounded_to_the_side_that_was_asked_for() {
        assert_eq!(millis("1970-01-01T00:00:05.0005Z"), (5_000, 5_001));
        assert_eq!(millis("1960-01-01T00:00:00.0005Z").0, 0);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "yesterday", "2023-11-14", "2023-11-14T22:13:20", "-5", "1e9"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_shown_as_it_is_read() {
        let moment = Timestamp::from_millis(1_700_000_000_120);
        assert_eq!(shown(moment), "2023-11-14T22:13:20.120Z");
        assert_eq!(millis(&shown(moment)).0, moment.as_millis());
        assert!(millis(&shown(Timestamp::MAX)).0 == Timestamp::MAX.as_millis());
    }
}

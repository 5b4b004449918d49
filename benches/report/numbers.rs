//! Formats numbers for people.

/// A count, short.
pub(crate) fn count(value: f64) -> String {
    match value {
        value if value >= 999_500.0 => format!("{} M", digits(value / 1e6)),
        value if value >= 999.5 => format!("{} k", digits(value / 1e3)),
        value => digits(value),
    }
}

/// A time in nanoseconds, in short.
pub(crate) fn nanos(value: f64) -> String {
    match value {
        value if value >= 999_500_000.0 => format!("{} s", digits(value / 1e9)),
        value if value >= 999_500.0 => format!("{} ms", digits(value / 1e6)),
        value if value >= 999.5 => format!("{} us", digits(value / 1e3)),
        value => format!("{} ns", digits(value)),
    }
}

/// Three digits, or fewer if there are fewer.
pub(crate) fn digits(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 99.95 => return format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() { "0".to_owned() } else { short.to_owned() }
}

/// A ratio.
pub(crate) fn times(value: f64) -> String {
    match value {
        large if large >= 99.5 => format!("{large:.0} times"),
        middle if middle >= 9.95 => format!("{middle:.1} times"),
        small => format!("{small:.2} times"),
    }
}

/// A fraction of one, in hundredths.
pub(crate) fn percent(value: f64) -> String {
    let value = value * 100.0;
    if value < 9.95 { format!("{value:.1}%") } else { format!("{value:.0}%") }
}

//! Arguments of programs that people run by hand: `name=value`.

/// The value of an argument `name=value`; empty if it is not given.
pub(crate) fn text(name: &str) -> String {
    let value =
        |argument: String| argument.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    std::env::args().find_map(value).unwrap_or_default()
}

/// The same for a number, or `default` if it is not given.
pub(crate) fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    let given = text(name);
    if given.is_empty() { default } else { given.parse().ok().expect("a number") }
}

//! A flash sale with bots, and a limit for each customer.

use serde_json::Value;

use super::{count, folder, result_of};

/// A sale of few units to many bots.
fn sale(more: &[&str]) -> Value {
    let base = ["flash-sale", "--attempts", "40000", "--products", "4", "--stock", "500"];
    let result = result_of(&[&base[..], more].concat());
    assert_eq!(result["conserved"], true, "{result:#}");
    assert_eq!(count(&result, "oversold_units"), 0, "{result:#}");
    result
}

#[test]
fn bots_get_no_more_than_their_share_of_a_limited_sale() {
    let free = sale(&["--bots", "0.5"]);
    assert!(count(&free["customers"], "bot_units") > 200, "{free:#}");
    assert!(count(&free["customers"], "most") > 2, "{free:#}");
    let limited = sale(&["--bots", "0.5", "--limit", "2"]);
    assert!(count(&limited["customers"], "bot_units") <= 20, "ten bots, two each: {limited:#}");
    assert_eq!(count(&limited["customers"], "most"), 2, "{limited:#}");
    assert!(count(&limited, "refused_limit") > 1_000, "{limited:#}");
}

#[test]
fn a_limit_lasts_as_long_as_the_journal_and_a_sale_without_one_drops_it() {
    let journal = folder("customers");
    let units = |more: &[&str]| {
        let sold = sale(&[&["--bots", "1", "--journal", &*journal], more].concat());
        count(&sold["customers"], "bot_units")
    };
    assert_eq!(units(&["--limit", "3"]), 30);
    assert_eq!(units(&["--limit", "5"]), 20, "what they have bought before counts");
    assert!(units(&[]) > 100);
}

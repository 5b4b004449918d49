//! `stockade audit redact`: the notes are erased, and the journal is still sound.

use std::path::Path;

use super::random::{builder, journal, owner};
use super::{count, files, folder, result_of, run, text};

fn holds(folder: &str, noted: &str) -> bool {
    let noted = noted.as_bytes();
    files(folder).iter().any(|(_, bytes)| bytes.windows(noted.len()).any(|part| part == noted))
}

#[test]
fn notes_are_erased_and_the_head_stays() {
    let folder = folder("redact");
    let manager = builder(journal(&folder)).build().expect("a new journal");
    let place = ("SF", "LAPTOP");
    manager.add_stock(place, 50, "SUPPLIER").expect("room");
    let mut last = None;
    for (customer, number) in [("M. Curie", 1), ("L. Meitner", 2), ("E. Noether", 3)] {
        let request = manager.request().note("customer", customer).owner(owner(number));
        last = Some(request.reserve(place, 1, std::time::Duration::from_secs(60)).expect("stock"));
    }
    let refused = run(&["audit", "redact", &folder, "--note", "customer=M. Curie"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("the journal is open elsewhere"));
    drop(manager);

    let redact = |condition: &[&str]| {
        let result = result_of(&[&["audit", "redact", &folder], condition].concat());
        count(&result, "records")
    };
    let head = result_of(&["audit", "verify", &folder])["head"].to_string();
    let by_owner = owner(2).to_string();
    assert_eq!(redact(&["--note", "customer=M. Curie", "--owner", &by_owner]), 0, "both hold");
    assert_eq!(redact(&["--note", "customer=M. Curie"]), 1);
    assert!(!holds(&folder, "M. Curie") && holds(&folder, "L. Meitner"));
    assert_eq!(redact(&["--owner", &by_owner]), 1);
    assert!(!holds(&folder, "L. Meitner") && holds(&folder, "E. Noether"));
    assert_eq!(redact(&["--reservation", &last.expect("a hold").to_string()]), 1);
    assert!(!holds(&folder, "E. Noether") && holds(&folder, "SUPPLIER"));

    let verified =
        result_of(&["audit", "verify", &folder, "--expect-head", head.trim_matches('"')]);
    assert_eq!(count(&verified, "erased"), 3);
    let log = text(&run(&["audit", "log", &folder]).stdout);
    assert!(log.contains("SUPPLIER") && !log.contains("customer"), "{log}");
}

#[test]
fn nothing_is_erased_without_a_condition_and_nothing_made_without_a_journal() {
    let folder = folder("redact-nothing");
    for (args, expected) in [
        (&["audit", "redact", &*folder][..], "required arguments were not provided"),
        (&["audit", "redact", &folder, "--note", "customer"], "expected a name, =, and a value"),
        (&["audit", "redact", &folder, "--note", "a=b"], "there is no journal"),
    ] {
        let output = run(args);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
        assert!(told.contains(expected), "{told}");
    }
    assert!(!Path::new(&folder).exists());
}

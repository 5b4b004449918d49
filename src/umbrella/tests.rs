use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::time::Duration;

use super::*;
use crate::base::clock::Timestamp;
use crate::base::error::{Applied, ErrorKind, ShortLine};
use crate::journal::format::head::JournalHead;

/// One error value: the answers of its own type, and the name of its variant.
struct Sample {
    name: &'static str,
    error: Error,
    answers: (&'static str, ErrorKind, bool, Applied),
    text: String,
    variant: String,
}

/// Samples of all variants of all errors that have a table.
struct Samples {
    all: Vec<Sample>,
    /// The rows of each type's table: code and kind.
    rows: BTreeMap<&'static str, Vec<(&'static str, ErrorKind)>>,
    /// The variants of each type that nest another error.
    nests: BTreeMap<&'static str, Vec<&'static str>>,
}

macro_rules! samples {
    ($($error:ident: [$($sample:expr),+ $(,)?];)+) => {{
        let mut samples =
            Samples { all: Vec::new(), rows: BTreeMap::new(), nests: BTreeMap::new() };
        $(
            samples.rows.insert(stringify!($error), $error::ROWS.to_vec());
            samples.nests.insert(stringify!($error), $error::NESTS.to_vec());
            for error in [$($error::from($sample)),+] {
                samples.all.push(Sample {
                    name: stringify!($error),
                    answers: (error.code(), error.kind(), error.is_retryable(), error.applied()),
                    text: error.to_string(),
                    variant: format!("{error:?}"),
                    error: error.into(),
                });
            }
        )+
        samples
    }};
}

fn samples() -> Samples {
    let (warehouse, product, file) =
        (|| "SF".to_owned(), || "LAPTOP".to_owned(), || "f".to_owned());
    let limit = || -> std::sync::Arc<str> { "two each".into() };
    let refused = || LimitError::Unknown { limit: limit() };
    let at = Timestamp::from_millis(1);
    let (short, full) = ((2, 1), 9);
    let (needed, available) = short;
    let reason = || "disk full".into();
    let ttl = InvalidTtl { ttl: Duration::ZERO, longest: Duration::MAX };
    let lines = || {
        let (warehouse, product) = (warehouse(), product());
        vec![ShortLine {
            warehouse,
            product,
            needed,
            available,
            safety_stock: 0,
            never_stocked: false,
        }]
    };
    let input = InvalidInput::Empty;
    let place = PlaceError::ForeignHandle;
    let call = CallError::from(NotStarted::Closed);
    samples! {
        NotStarted: [
            NotStarted::Closed, NotStarted::Stopped { reason: reason() }, NotStarted::Poisoned,
            NotStarted::Busy,
        ];
        KeyError: [
            KeyError::Conflict, KeyError::InProgress, KeyError::Undecided, KeyError::Gathering,
            KeyError::Behind, KeyError::Full { keys: 3 },
        ];
        InvalidText: [
            InvalidText::TooManyNotes { notes: 3, most: 2 },
            InvalidText::TooLong { bytes: 3, most: 2 },
            InvalidText::NameTwice { first: 0, second: 2 }, InvalidText::NameTaken { note: 1 },
        ];
        Uncertain: [Uncertain::NotDurable { reason: reason() }, Uncertain::Unrecorded];
        CallError: [
            CallError::NotStarted(NotStarted::Busy), CallError::Key(KeyError::Conflict),
            CallError::Text(InvalidText::TooLong { bytes: 3, most: 2 }),
            CallError::Uncertain(Uncertain::Unrecorded),
        ];
        InvalidQuantity: [InvalidQuantity { units: 0 }];
        InvalidTtl: [ttl];
        InvalidName: [InvalidName { bytes: 0 }];
        InvalidInput: [
            InvalidInput::Quantity(InvalidQuantity { units: 0 }), InvalidInput::Ttl(ttl),
            InvalidInput::Name(InvalidName { bytes: 256 }), InvalidInput::Empty,
            InvalidInput::TooManyLines { lines: 3, most: 2 },
        ];
        PlaceError: [
            PlaceError::UnknownWarehouse { warehouse: warehouse() },
            PlaceError::NeverStocked { product: product() },
            PlaceError::NotStockedHere { warehouse: warehouse(), product: product() },
            PlaceError::ForeignHandle,
        ];
        Gone: [
            Gone::Sold { units: 3 }, Gone::PartlySold { sold: 1, returned: 2 },
            Gone::Released { returned: 2 }, Gone::Expired { at, returned: 2 }, Gone::Forgotten,
            Gone::Lost { opening: 4 }, Gone::Unknown,
        ];
        ReserveError: [
            ReserveError::Limit(refused()),
            ReserveError::Insufficient { needed, available, safety_stock: 1, overdue_left: false },
            ReserveError::Full { slots: full },
            ReserveError::Suspended { warehouse: warehouse() },
            ReserveError::Input(input), ReserveError::Place(place.clone()),
            ReserveError::Call(call.clone()),
        ];
        BasketError: [
            BasketError::Limit(refused()),
            BasketError::Insufficient { lines: lines(), overdue_left: true },
            BasketError::Full { slots: full },
            BasketError::Suspended { warehouse: warehouse() },
            BasketError::Input(input), BasketError::Place(place.clone()),
            BasketError::Call(call.clone()),
        ];
        FulfillError: [
            FulfillError::Limit(refused()),
            FulfillError::Insufficient { needed, available: 1 },
            FulfillError::Full { slots: full },
            FulfillError::Input(input), FulfillError::Place(place.clone()),
            FulfillError::Call(call.clone()),
        ];
        ConfirmError: [
            ConfirmError::Limit(refused().into()), ConfirmError::Full { slots: full },
            ConfirmError::Gone(Gone::Unknown), ConfirmError::Changing,
            ConfirmError::NotSold { needed, sold: available }, ConfirmError::Call(call.clone()),
        ];
        ReleaseError: [
            ReleaseError::Sold { units: 3 }, ReleaseError::Changing,
            ReleaseError::Call(call.clone()),
        ];
        ExtendError: [
            ExtendError::OverCap { asked: at, latest: at }, ExtendError::Gone(Gone::Forgotten),
            ExtendError::Changing, ExtendError::Input(input), ExtendError::Call(call.clone()),
        ];
        RetakeError: [
            RetakeError::Limit(refused()),
            RetakeError::Insufficient { lines: lines(), overdue_left: false },
            RetakeError::Full { slots: full },
            RetakeError::Suspended { warehouse: warehouse() },
            RetakeError::OtherLines, RetakeError::Changing,
            RetakeError::NotSold { needed, sold: available },
            RetakeError::NoReservation(NoReservation::Forgotten),
            RetakeError::Input(input), RetakeError::Place(place.clone()),
            RetakeError::Call(call.clone()),
        ];
        PartialError: [
            PartialError::Limit(refused()),
            PartialError::NotHeld {
                warehouse: warehouse(), product: product(), needed, held: available,
            },
            PartialError::NotSold { needed, sold: available },
            PartialError::Full { slots: full }, PartialError::Gone(Gone::Unknown),
            PartialError::Changing, PartialError::Input(input),
            PartialError::Place(place.clone()), PartialError::Call(call.clone()),
        ];
        SoldLinesError: [
            SoldLinesError::NotSold {
                warehouse: warehouse(), product: product(), needed, sold: available,
            },
            SoldLinesError::Changing, SoldLinesError::NoReservation(NoReservation::Unknown),
            SoldLinesError::Input(input), SoldLinesError::Place(place.clone()),
            SoldLinesError::Call(call.clone()),
        ];
        AddError: [
            AddError::OverCapacity { needed, room: 1 },
            AddError::Suspended { warehouse: warehouse() }, AddError::TooManyNames,
            AddError::Input(input), AddError::Place(place.clone()), AddError::Call(call.clone()),
        ];
        RemoveError: [
            RemoveError::Insufficient { needed, available },
            RemoveError::Suspended { warehouse: warehouse() },
            RemoveError::Input(input), RemoveError::Place(place.clone()),
            RemoveError::Call(call.clone()),
        ];
        ShipError: [
            ShipError::NotSold { needed, sold: 1, tracked: 1 }, ShipError::Input(input),
            ShipError::NeedsReservation { limit: limit() },
            ShipError::Place(place.clone()), ShipError::Call(call.clone()),
        ];
        TransferError: [
            TransferError::SameWarehouse, TransferError::Insufficient { needed, available },
            TransferError::OverCapacity { needed, room: 1 },
            TransferError::Suspended { warehouse: warehouse() }, TransferError::TooManyNames,
            TransferError::Input(input), TransferError::Place(place.clone()),
            TransferError::Call(call.clone()),
        ];
        RequestTransferError: [
            RequestTransferError::SameWarehouse,
            RequestTransferError::Insufficient { needed, available, overdue_left: true },
            RequestTransferError::Suspended { warehouse: warehouse() },
            RequestTransferError::TooManyOpen { most: 2 },
            RequestTransferError::Input(input), RequestTransferError::Place(place.clone()),
            RequestTransferError::Call(call.clone()),
        ];
        TransferFailure: [
            TransferFailure::Insufficient { needed, available },
            TransferFailure::OverCapacity { needed, room: 1 },
        ];
        NotOpen: [
            NotOpen::Approved, NotOpen::Rejected, NotOpen::Failed, NotOpen::Deciding,
            NotOpen::Forgotten, NotOpen::Unknown,
        ];
        NoTransferRequest: [NoTransferRequest::Forgotten, NoTransferRequest::Unknown];
        ApproveError: [
            ApproveError::Failed(TransferFailure::Insufficient { needed, available }),
            ApproveError::NotOpen(NotOpen::Deciding),
            ApproveError::Suspended { warehouse: warehouse() }, ApproveError::TooManyNames,
            ApproveError::Input(input), ApproveError::Call(call.clone()),
        ];
        RejectError: [
            RejectError::NotOpen(NotOpen::Approved), RejectError::Input(input),
            RejectError::Call(call.clone()),
        ];
        LimitError: [
            LimitError::Reached {
                limit: limit(), maximum: 2, used: 1, asked: 2, overdue_left: true,
            },
            LimitError::Reached {
                limit: limit(), maximum: 2, used: 1, asked: 2, overdue_left: false,
            },
            LimitError::NoSubject { limit: limit(), kind: "customer".into() },
            LimitError::Full { most: 9 }, LimitError::Unknown { limit: limit() },
            LimitError::ByLevel { limit: limit() },
        ];
        DefineLimitError: [
            DefineLimitError::Redefined { limit: limit() },
            DefineLimitError::Unknown { limit: limit() }, DefineLimitError::NoSecret,
            DefineLimitError::OutOfBounds { setting: "the maximum", expected: "less" },
            DefineLimitError::TooMany { most: 9 }, DefineLimitError::Input(input),
            DefineLimitError::Place(place.clone()), DefineLimitError::Call(call.clone()),
        ];
        SettingError: [
            SettingError::Threshold { units: u32::MAX }, SettingError::Capacity { units: 0 },
            SettingError::SafetyStock { units: u32::MAX }, SettingError::LongestTtl,
            SettingError::TooManyNames,
            SettingError::Name(InvalidName { bytes: 0 }),
            SettingError::Place(place.clone()), SettingError::NotStarted(NotStarted::Poisoned),
            SettingError::Uncertain(Uncertain::Unrecorded),
        ];
        SnapshotError: [
            SnapshotError::TooManyLevels { levels: 3, most: 2 }, SnapshotError::Place(place),
        ];
        BuildError: [
            BuildError::Warehouses { warehouses: 0 }, BuildError::Twice { warehouse: warehouse() },
            BuildError::Name(InvalidName { bytes: 0 }),
            BuildError::Capacity { warehouse: warehouse(), units: 0 },
            BuildError::Setting { setting: "max_keys", expected: "1 or more" },
            BuildError::Journal(JournalError::Locked),
            BuildError::Thread { reason: "no memory".to_owned() },
        ];
        JournalError: [
            JournalError::Storage { action: "sync", file: file(), reason: "full".to_owned() },
            JournalError::Locked,
            JournalError::Damaged { file: file(), offset: 7, what: "a checksum".to_owned() },
            JournalError::Version { file: file(), found: 3, newest: 2 },
            JournalError::BrokenLaw { sequence: 7, what: "a debt".to_owned() },
            JournalError::Trimmed { oldest: 7 }, JournalError::OtherJournal { file: file() },
            JournalError::PlaceChanged { what: "lock", path: file() },
            JournalError::SamePlace { what: "archive" },
            JournalError::Rewound { to: 7 }, JournalError::NoJournal, JournalError::OtherSecret,
            JournalError::NoFollower { reason: "no room".into() },
            JournalError::NoLineage { sequence: 7 },
            JournalError::InvalidConsumer { name: "A".into() }, JournalError::Ended,
            JournalError::InHand,
            JournalError::OtherHead { expected: "00".to_owned(), entries: 7 },
            JournalError::MissingWarehouse { warehouse: warehouse() },
            JournalError::TooMany {
                what: "products", needed: 3, most: 2, setting: Some("max_products"),
            },
        ];
        FlushError: [
            FlushError::Stopped { reason: "full".into() }, FlushError::Closed,
            FlushError::Poisoned { reason: "panic".into() }, FlushError::TimedOut,
            FlushError::InSink,
        ];
        NoReservation: [
            NoReservation::Forgotten, NoReservation::Lost { opening: 4 }, NoReservation::Unknown,
            NoReservation::Gathering,
        ];
        InvalidReservationId: [InvalidReservationId];
        InvalidOwner: [InvalidOwner];
        InvalidKey: [InvalidKey { len: 0 }];
        InvalidHash: [InvalidHash];
        InvalidPosition: [InvalidPosition];
        UnknownEntryType: [UnknownEntryType { text: "Lost".to_owned() }];
    }
}

/// Errors without a table. Their answers are written by hand, or are those of an inner error.
fn others() -> Vec<Error> {
    let sound = JournalHead { sequence: 7, hash: [0; 32] };
    vec![
        VerifyError { error: JournalError::NoJournal, sound }.into(),
        RedactError::Unwritten(FlushError::Closed).into(),
        RedactError::Journal(JournalError::Locked).into(),
        SinkError::new("disk full").into(),
    ]
}

#[test]
fn every_row_of_every_table_has_its_variant_and_answers_as_it_says() {
    let Samples { all, rows, nests } = samples();
    for (name, nested) in &nests {
        for variant in nested {
            let of_it =
                |it: &&Sample| it.name == *name && it.variant.starts_with(&format!("{variant}("));
            assert!(all.iter().any(|it| of_it(&it)), "{name} has no sample of {variant}");
        }
    }
    assert!(Error::ROWS.is_empty(), "the umbrella has nothing of its own");
    for variant in Error::NESTS {
        let nested = |error: &Error| format!("{error:?}").starts_with(&format!("{variant}("));
        let all = all.iter().map(|sample| sample.error.clone()).chain(others());
        assert!(all.into_iter().any(|error| nested(&error)), "no sample turns into {variant}");
    }
    for (name, rows) in &rows {
        let of_type: BTreeSet<_> =
            all.iter().filter(|it| it.name == *name).map(|it| it.answers.0).collect();
        let missing: Vec<_> = rows.iter().filter(|(code, _)| !of_type.contains(code)).collect();
        assert!(missing.is_empty(), "{name} has no sample of {missing:?}");
        for (code, kind) in rows {
            let samples = all.iter().filter(|it| it.name == *name && it.answers.0 == *code);
            samples.for_each(|it| assert_eq!(it.answers.1, *kind, "{name}: {code}"));
        }
    }
}

#[test]
fn the_umbrella_answers_what_the_error_in_it_does() {
    for Sample { name, error, answers, text, .. } in samples().all {
        let of_umbrella = (error.code(), error.kind(), error.is_retryable(), error.applied());
        assert_eq!(of_umbrella, answers, "{name}");
        assert_eq!(error.to_string(), text, "{name}");
    }
}

#[test]
fn exactly_what_is_uncertain_was_applied_in_memory() {
    let all = samples().all.into_iter().map(|sample| sample.error).chain(others());
    for error in all {
        let uncertain = error.kind() == ErrorKind::Uncertain;
        assert_eq!(error.applied() == Applied::InMemory, uncertain, "{error}");
        assert!(!(uncertain && error.is_retryable()), "{error}: a retry would move twice");
        assert!(error.kind() != ErrorKind::Busy || error.is_retryable(), "{error}");
        assert!(error.kind() != ErrorKind::Invalid || !error.is_retryable(), "{error}");
    }
}

#[test]
fn an_error_is_a_sentence_that_no_source_repeats() {
    for error in samples().all.into_iter().map(|sample| sample.error).chain(others()) {
        let text = error.to_string();
        assert!(text.len() >= 9 && !text.ends_with('.'), "{text:?}");
        assert!(!text.contains("  ") && !text.contains('\n'), "{text:?}");
        assert!(error.source().is_none(), "{text:?}");
    }
    let io = std::io::Error::other(SinkError::new("the disk itself"));
    let failed = Error::from(SinkError::new(io));
    assert_eq!(failed.to_string(), "the disk itself");
}

#[test]
fn errors_say_the_numbers() {
    let error = AddError::OverCapacity { needed: 5, room: 2 };
    assert_eq!(error.to_string(), "the warehouse has room for 2 more units, not 5");
    let error = Error::from(AddError::from(InvalidQuantity { units: 0 }));
    assert_eq!(error.to_string(), "a quantity must be 1 to 2147483647 units, not 0");
    let gone = Gone::PartlySold { sold: 1, returned: 2 };
    let text = "the reservation is over: 1 units were sold, 2 came back";
    assert_eq!(ConfirmError::from(gone).to_string(), text);
    let lines = |never_stocked| {
        let (warehouse, product) = ("SF".to_owned(), "LAPTOP".to_owned());
        vec![ShortLine {
            warehouse,
            product,
            needed: 2,
            available: 1,
            safety_stock: 0,
            never_stocked,
        }]
    };
    let error = BasketError::Insufficient { lines: lines(false), overdue_left: false };
    let text = "1 of the basket's lines short, first \"LAPTOP\": 2 needed, 1 available";
    assert_eq!(error.to_string(), text);
    let error =
        RetakeError::from(BasketError::Insufficient { lines: lines(true), overdue_left: false });
    let text = "1 of the basket's lines short, first \"LAPTOP\": never stocked in any warehouse";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_retry_is_worth_it_where_overdue_holds_are_left() {
    let short = |overdue_left| ReserveError::Insufficient {
        needed: 2,
        available: 0,
        safety_stock: 0,
        overdue_left,
    };
    assert!(short(true).is_retryable() && !short(false).is_retryable());
    assert!(ReserveError::from(NotStarted::Busy).is_retryable());
    assert!(!ReserveError::from(KeyError::Conflict).is_retryable());
}

/// The tables of `docs/errors.md`: the kind of each code.
fn listed() -> BTreeMap<String, String> {
    let docs = include_str!("../../docs/errors.md");
    let mut listed = BTreeMap::new();
    for line in docs.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [code, kind, meaning, next] = cells[..] else { panic!("not four cells: {line}") };
        assert!(!meaning.is_empty() && !next.is_empty(), "{line}");
        let known = listed.insert(code.trim_matches('`').to_owned(), kind.to_owned());
        assert_eq!(known, None, "{code} is listed twice");
    }
    listed
}

#[test]
fn the_docs_list_every_code_and_none_vanishes() {
    let mut codes = BTreeMap::new();
    let all = samples().all.into_iter().map(|sample| sample.error).chain(others());
    for error in all {
        let code = error.code();
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        let kind = codes.entry(code.to_owned()).or_insert_with(|| format!("{:?}", error.kind()));
        assert_eq!(*kind, format!("{:?}", error.kind()), "{code} is of two kinds");
    }
    assert_eq!(listed(), codes, "docs/errors.md (left) and the errors (right) differ");
}

/// The words of `docs/errors-to-http.md` on a retry of the same call, for each code's samples.
fn again(kind: ErrorKind, retryable: &BTreeSet<bool>) -> &'static str {
    match (kind, retryable.contains(&true), retryable.contains(&false)) {
        (ErrorKind::Uncertain, ..) => "only under its key",
        (_, true, true) => "at times",
        (_, true, false) => "yes",
        (_, false, _) => "no",
    }
}

#[test]
fn the_page_on_http_has_a_row_for_every_code() {
    let mut facts = BTreeMap::<_, (ErrorKind, BTreeSet<bool>)>::new();
    for error in samples().all.into_iter().map(|sample| sample.error).chain(others()) {
        let known = facts.entry(error.code()).or_insert_with(|| (error.kind(), BTreeSet::new()));
        known.1.insert(error.is_retryable());
    }
    let answers: BTreeMap<_, _> = facts
        .into_iter()
        .map(|(code, (kind, retryable))| {
            (code.to_owned(), (format!("{kind:?}"), again(kind, &retryable).to_owned()))
        })
        .collect();
    let mut listed = BTreeMap::new();
    let docs = include_str!("../../docs/errors-to-http.md");
    for line in docs.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [code, kind, status, again, after, tell] = cells[..] else {
            panic!("not six cells: {line}")
        };
        let status: u16 = status.parse().expect("a status");
        assert!((400..600).contains(&status) && !tell.is_empty(), "{line}");
        assert!(after == "-" || after.parse::<u32>().is_ok(), "{line}");
        let code = code.trim_matches('`').to_owned();
        let known = listed.insert(code, (kind.to_owned(), again.to_owned()));
        assert_eq!(known, None, "listed twice: {line}");
    }
    assert_eq!(listed, answers, "docs/errors-to-http.md (left) and the errors (right) differ");
}

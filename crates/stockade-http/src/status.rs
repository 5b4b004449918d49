//! The status of an answer, by an error's kind and code: as `docs/errors-to-http.md` has it, where
//! the reasons are.

use std::time::Duration;

use axum::http::StatusCode;
use stockade::ErrorKind;

/// The status, and when it makes sense to try again.
pub(crate) fn status_of(kind: ErrorKind, code: &str) -> (StatusCode, Option<Duration>) {
    use ErrorKind as Kind;
    use StatusCode as Status;

    let (status, seconds) = match (kind, code) {
        // It was applied: nobody may repeat it by himself.
        (Kind::Uncertain, _) | (Kind::NotFound, "no_journal") => (Status::INTERNAL_SERVER_ERROR, 0),
        (Kind::NotFound, _) => (Status::NOT_FOUND, 0),
        (Kind::Short | Kind::NoRoom, _) => (Status::CONFLICT, 0),
        (Kind::Suspended, _) => (Status::CONFLICT, 60),
        (Kind::Conflict, "key_conflict") => (Status::UNPROCESSABLE_ENTITY, 0),
        (Kind::Conflict, "other_subject_secret" | "other_journal") => {
            (Status::INTERNAL_SERVER_ERROR, 0)
        }
        (Kind::Conflict, _) => (Status::CONFLICT, 0),
        (
            Kind::Gone,
            "hold_sold" | "hold_partly_sold" | "hold_released" | "transfer_approved"
            | "transfer_rejected" | "transfer_failed",
        ) => (Status::CONFLICT, 0),
        (Kind::Gone, _) => (Status::GONE, 0),
        (Kind::Limit, "limit_reached") => (Status::CONFLICT, 0),
        (Kind::Limit, "over_longest_hold") => (Status::UNPROCESSABLE_ENTITY, 0),
        (Kind::Limit, "too_many_names" | "too_many_limits" | "journal_too_large") => {
            (Status::INTERNAL_SERVER_ERROR, 0)
        }
        (Kind::Limit, _) => (Status::SERVICE_UNAVAILABLE, 10),
        (Kind::Busy, "busy") => (Status::TOO_MANY_REQUESTS, 1),
        (Kind::Busy, "key_in_progress" | "hold_changing" | "transfer_deciding") => {
            (Status::CONFLICT, 1)
        }
        (Kind::Busy, _) => (Status::SERVICE_UNAVAILABLE, 5),
        (Kind::Unavailable, _) => (Status::SERVICE_UNAVAILABLE, 10),
        (
            Kind::Invalid,
            "foreign_handle"
            | "no_subject_secret"
            | "flush_in_sink"
            | "journal_in_hand"
            | "invalid_warehouse_count"
            | "duplicate_warehouse"
            | "invalid_setting"
            | "missing_warehouse"
            | "journal_version"
            | "position_without_lineage"
            | "same_place",
        ) => (Status::INTERNAL_SERVER_ERROR, 0),
        (Kind::Invalid, _) => (Status::UNPROCESSABLE_ENTITY, 0),
        // `Damaged`, and kinds that are yet to come.
        _ => (Status::INTERNAL_SERVER_ERROR, 0),
    };
    (status, (seconds > 0).then(|| Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 12] = [
        ErrorKind::Short,
        ErrorKind::NoRoom,
        ErrorKind::NotFound,
        ErrorKind::Gone,
        ErrorKind::Conflict,
        ErrorKind::Busy,
        ErrorKind::Limit,
        ErrorKind::Invalid,
        ErrorKind::Suspended,
        ErrorKind::Unavailable,
        ErrorKind::Uncertain,
        ErrorKind::Damaged,
    ];

    #[test]
    fn the_service_answers_what_the_page_says() {
        let page = include_str!("../../../docs/errors-to-http.md");
        let mut rows = 0;
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let kind = KINDS.into_iter().find(|kind| format!("{kind:?}") == cells[2]);
            let (status, after) = status_of(kind.expect("a kind"), cells[1]);
            let told = (status.as_u16().to_string(), after.map(|after| after.as_secs()));
            assert_eq!(told, (cells[3].to_owned(), cells[5].parse().ok()), "{row}");
            rows += 1;
        }
        assert!(rows > 90, "{rows} rows");
    }
}

//! What an engine shows, as text that does not depend on any name of a type, field or variant.

use std::fmt::Write;

use stockade::{
    AuditEntry, AuditFilter, InventoryManager, LimitRule, NoReservation, NoTransferRequest,
    ReservationId, ReservationStatus, TransferFailure, TransferRequestStatus,
};

use super::calls::Row;
use super::given::{MUGS, PRODUCTS, WAREHOUSES};

/// Counts, settings, reservations and transfer requests, one on each line.
pub(crate) fn state(manager: &InventoryManager, ids: &[ReservationId], rows: &[&Row]) -> String {
    let mut text = String::new();
    let mut line = |shown: String| writeln!(text, "{shown}").expect("a string takes any text");
    line(format!("longest-ttl {}", manager.longest_ttl().as_millis()));
    for name in WAREHOUSES {
        let it = manager.warehouse(name).expect("a warehouse");
        let (room, suspended) = (it.room_left(), it.is_suspended());
        line(format!("{name} room {room} suspended {suspended} threshold {:?}", it.threshold()));
        for product in PRODUCTS {
            let counts = manager.counts((name, product)).unwrap_or_default();
            let level = manager.stock_level((name, product)).ok();
            let threshold = level.map(|level| level.threshold());
            let (available, reserved, sold) = (counts.available, counts.reserved, counts.sold);
            line(format!(
                "{name} {product} available {available} reserved {reserved} sold {sold} \
                 threshold {threshold:?}"
            ));
        }
    }
    for limit in manager.limits() {
        line(format!("limit {} maximum {}{}", limit.name, limit.maximum, drawn(manager, &limit)));
    }
    for id in ids {
        line(reservation(manager, *id));
    }
    for row in rows {
        let found = manager.reservation_by_key(&row.key());
        line(format!("key {:?} {:?}", row.name, found.map(|it| it.id.to_string()).ok()));
    }
    for number in 1.. {
        match request(manager, number) {
            Some(shown) => line(shown),
            None => break,
        }
    }
    text
}

/// What those who are named in the rows have drawn.
fn drawn(manager: &InventoryManager, limit: &LimitRule) -> String {
    let name = &limit.name;
    if limit.by_level {
        let used = manager.usage_of_level(name, MUGS).expect("a level").used;
        return format!(" {} {} {used}", MUGS.0, MUGS.1);
    }
    let mut text = String::new();
    for who in ["ann", "bob", "c1", "c2"] {
        let used = manager.usage(name, who).expect("a limit").used;
        write!(text, " {who} {used}").expect("a string takes any text");
    }
    text
}

fn reservation(manager: &InventoryManager, id: ReservationId) -> String {
    let found = match manager.reservation(id) {
        Ok(found) => found,
        Err(NoReservation::Forgotten) => return format!("{id} forgotten"),
        Err(NoReservation::Unknown) => return format!("{id} unknown"),
        Err(new) => return format!("{id} {new:?}"),
    };
    let status = match found.status {
        ReservationStatus::Pending => "pending",
        ReservationStatus::Confirmed => "confirmed",
        ReservationStatus::Released => "released",
        ReservationStatus::Expired => "expired",
    };
    let mut text = format!(
        "{id} {status} created {} expires {} owner {:?} retaken from {:?} keep {}",
        found.created_at.as_millis(),
        found.expires_at.as_millis(),
        found.owner.map(|owner| owner.0[0]),
        found.retaken_from.map(|of| of.to_string()),
        found.keep_until_shipped,
    );
    for it in &found.lines {
        let (place, product, units) = (&it.warehouse, &it.product, it.quantity);
        write!(
            text,
            " | {place} {product} {units} held {} sold {} settled {}",
            it.held, it.sold, it.settled
        )
        .expect("a string takes any text");
    }
    text
}

fn request(manager: &InventoryManager, number: u64) -> Option<String> {
    let found = match manager.transfer_request(number.into()) {
        Ok(found) => found,
        Err(NoTransferRequest::Forgotten) => return Some(format!("request {number} forgotten")),
        Err(_) => return None,
    };
    let status = match found.status {
        TransferRequestStatus::PendingApproval => "pending",
        TransferRequestStatus::Approved => "approved",
        TransferRequestStatus::Rejected => "rejected",
        TransferRequestStatus::Failed => "failed",
        _ => "new",
    };
    let decision = found.decision.map(|it| {
        let failure = it.failure.map(|failure| match failure {
            TransferFailure::Insufficient { needed, available } => {
                format!("insufficient {needed} {available}")
            }
            TransferFailure::OverCapacity { needed, room } => {
                format!("over capacity {needed} {room}")
            }
            _ => "new".to_owned(),
        });
        (it.by.to_string(), it.at.as_millis(), it.reason.map(|reason| reason.to_string()), failure)
    });
    Some(format!(
        "request {number} {status} {} to {} {} {} holds {} at {} {decision:?}",
        found.from,
        found.to,
        found.product,
        found.quantity,
        found.holds_units,
        found.requested_at.as_millis(),
    ))
}

/// The log in memory, one entry on each line, with its type's name, its facts and its notes.
pub(crate) fn log(manager: &InventoryManager) -> Vec<String> {
    manager.flush().wait().expect("a healthy disk");
    let page = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX));
    page.entries.iter().map(entry).collect()
}

fn entry(it: &AuditEntry) -> String {
    // Facts and notes are kept apart in a journal, so that their order among each other is lost.
    let mut pairs: Vec<String> =
        it.metadata().iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    pairs.sort();
    let mut text = format!("{} {} at {}", it.sequence, it.entry_type, it.at.as_millis());
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(text, " {name} {value}").expect("a string takes any text");
        }
    };
    field("in", it.warehouse.as_deref().map(str::to_owned));
    field("of", it.product.as_deref().map(str::to_owned));
    field("other", it.other_warehouse.as_deref().map(str::to_owned));
    field("units", Some(it.quantity.to_string()));
    field("reservation", it.reservation.map(|id| id.to_string()));
    field("owner", it.owner.map(|owner| owner.0[0].to_string()));
    field("expires", it.expires_at.map(|moment| moment.as_millis().to_string()));
    field("from", it.retaken_from.map(|id| id.to_string()));
    for draw in it.limits.iter() {
        let (used, most) = (draw.used_after, draw.maximum);
        let shown = format!("{} version {} {used} of {most}", draw.rule, draw.version);
        field("draws", Some(format!("{} under {shown} passed {}", draw.subject, draw.passed)));
    }
    field("noted", (!pairs.is_empty()).then(|| pairs.join(" ")));
    text
}

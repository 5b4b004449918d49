//! Proves that the peers which claim to do the engine's whole job really do it.

use super::dashmap::DashMapPeer;
use super::mutex::MutexPeer;
use super::shared::{Refused, Status};
use super::{Job, Whole};
use crate::common::ledger::Session;

/// Long after every hold of this process has fallen due.
const MUCH_LATER: u64 = u64::MAX / 2;

/// Panics unless overdue holds end, give their units back and report it, and a repeated confirm is
/// answered again.
pub(crate) fn prove() {
    of(&MutexPeer::open(&[1], Job::Whole));
    of(&DashMapPeer::open(&[1], Job::Whole));
}

fn of(peer: &impl Whole) {
    let title = peer.about().title();
    let mut session = peer.session();
    let product = peer.product(0);
    let first = session.reserve(product).expect("in stock");
    assert_eq!(session.reserve(product), None, "{title}: sold out");
    peer.sweep(MUCH_LATER);
    let late = peer.try_confirm(first);
    assert_eq!(late, Err(Refused::Over(Status::Expired)), "{title}: an overdue hold is over");
    let second = session.reserve(product).expect("the unit is back");
    session.confirm(second);
    let again = peer.try_confirm(second);
    assert_eq!(again, Err(Refused::Over(Status::Confirmed)), "{title}: a sale stays readable");
    peer.sweep(MUCH_LATER);
    assert_eq!(peer.try_confirm(7), Err(Refused::Unknown), "{title}: nobody's hold");
    assert_eq!(session.reserve(product), None, "{title}: what is sold does not come back");
}

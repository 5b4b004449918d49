//! Proves of each contender that it keeps a limit per customer, before its figures count.

use std::sync::Barrier;
use std::thread;

use super::customers::Limit;
use super::ledger::{Ledger, Session};

/// What each customer may have in the proof.
pub(crate) const MAXIMUM: u32 = 2;
/// The units that the ledger to be proven has of its first product.
pub(crate) const UNITS: u32 = 3;

/// Callers of one customer at once, and the calls of each.
const CALLERS: usize = 8;
const CALLS: usize = 8;

/// Panics unless a customer gets two holds and no third, a refused call moves nothing, and a
/// release gives back to the stock and to the limit.
pub(crate) fn prove<L: Ledger>(ledger: &L) {
    one_after_another(ledger);
    // All callers for one customer: the limit decides. Each for one of their own: the stock does.
    at_once(ledger, 1, MAXIMUM);
    at_once(ledger, CALLERS, UNITS);
    // Nothing is left behind by the calls that were refused.
    one_after_another(ledger);
}

fn one_after_another<L: Ledger>(ledger: &L) {
    let title = ledger.about().title();
    let limit = Limit { maximum: MAXIMUM, customers: 2 };
    let [mut ann, mut bob] = [0, 1].map(|customer| {
        let mut session = ledger.session();
        session.serve(limit.customers_of(customer, 2));
        session
    });
    let product = ledger.product(0);
    let passes = |session: &mut L::Session, what: &str| {
        session.reserve(product).unwrap_or_else(|| panic!("{title}: not so: {what}"))
    };
    let anns = [(); 2].map(|()| passes(&mut ann, "what the limit allows passes"));
    assert!(ann.reserve(product).is_none(), "{title}: a third hold");
    let first = passes(&mut bob, "a refused call takes no stock");
    assert!(bob.reserve(product).is_none(), "{title}: sold out");
    ann.release(anns[0]);
    let second = passes(&mut bob, "a call that finds no stock draws nothing");
    bob.release(second);
    let again = passes(&mut ann, "what is given back may be drawn again");
    assert!(ann.reserve(product).is_none(), "{title}: a third hold after a release");
    for hold in [anns[1], again] {
        ann.release(hold);
    }
    bob.release(first);
}

/// Many callers, for so many customers, get so many holds. Gives them back.
fn at_once<L: Ledger>(ledger: &L, customers: usize, expected: u32) {
    let title = ledger.about().title();
    let limit = Limit { maximum: MAXIMUM, customers: customers as u64 };
    let product = ledger.product(0);
    let start = Barrier::new(CALLERS);
    let holds: Vec<_> = thread::scope(|scope| {
        let callers = (0..CALLERS).map(|caller| {
            let mut session = ledger.session();
            session.serve(limit.customers_of(caller % customers, customers));
            let start = &start;
            scope.spawn(move || {
                start.wait();
                (0..CALLS).filter_map(|_| session.reserve(product)).collect::<Vec<_>>()
            })
        });
        let callers: Vec<_> = callers.collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("no panic")).collect()
    });
    assert_eq!(holds.len(), expected as usize, "{title}: holds of {customers} customers at once");
    let mut session = ledger.session();
    holds.into_iter().for_each(|hold| session.release(hold));
}

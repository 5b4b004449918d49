//! A shop that embeds the engine. Customers race for a product. Payments arrive in time, late or
//! twice. The last units raise an alert, which orders more.
//!
//! `cargo run --release --example service`

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use stockade::{
    AuditFilter, ConfirmError, Gone, IdempotencyKey, InventoryManager, LevelHandle, Owner,
    PurchaseOrder, ReorderListener, ReservationId, ReserveError, TopUpTo, WarehouseSpec,
};

const HOLD: Duration = Duration::from_millis(200);
const CUSTOMERS: u32 = 400;
const STOCK: u32 = 250;

/// How an order ended.
enum Outcome {
    Sold,
    SoldOut,
    Abandoned,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (orders, ordered) = channel();
    let manager = InventoryManager::builder()
        .warehouse(WarehouseSpec::new("MAIN").capacity(1_000).threshold(20))
        .listener(ReorderListener::new(TopUpTo::new(100)?, Purchasing(orders)))
        .build()?;

    // Resolve the handle once. A call by handle computes no hash.
    let sneakers = manager.open_level("MAIN", "SNEAKERS")?;
    manager.add_stock(sneakers, STOCK, "factory")?;

    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let shoppers: Vec<_> = (0..8)
            .map(|shopper| {
                let manager = &manager;
                scope.spawn(move || -> Vec<Outcome> {
                    let customers = (0..CUSTOMERS).filter(|customer| customer % 8 == shopper);
                    customers.map(|customer| serve(manager, sneakers, customer)).collect()
                })
            })
            .collect();
        shoppers.into_iter().flat_map(|shopper| shopper.join().unwrap_or_default()).collect()
    });
    // Abandoned holds expire now, and the sweeper returns their units.
    thread::sleep(HOLD * 2);

    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|it| wanted(it)).count();
    say(&format!(
        "{} sold, {} abandoned, {} too late",
        count(|outcome| matches!(outcome, Outcome::Sold)),
        count(|outcome| matches!(outcome, Outcome::Abandoned)),
        count(|outcome| matches!(outcome, Outcome::SoldOut)),
    ));
    let counts = manager.counts(sneakers).expect("known");
    say(&format!("{} on hand, of those {} sold and to be shipped", counts.on_hand(), counts.sold));
    manager.ship(sneakers, counts.sold)?;

    manager.flush().wait()?;
    let page = manager.audit_log().query(&AuditFilter::new().product("SNEAKERS").limit(3));
    page.entries.iter().for_each(|entry| {
        say(&format!(
            "  {} {} {} at {}",
            entry.sequence, entry.entry_type, entry.quantity, entry.at
        ));
    });

    let ending = manager.shutdown(Duration::from_secs(5));
    say(&format!("shut down cleanly: {}", ending.is_clean()));
    say(&format!("purchase orders: {:?}", units_ordered(&ordered)));
    Ok(())
}

/// One customer: a hold, then a payment that the provider reports twice, or no payment at all.
fn serve(manager: &InventoryManager, level: LevelHandle, customer: u32) -> Outcome {
    let owner = Owner(u128::from(customer).to_be_bytes());
    let held = manager.request().owner(owner).note("channel", "app").reserve(level, 1, HOLD);
    let hold = match held {
        Ok(hold) => hold,
        Err(ReserveError::Insufficient { .. }) => return Outcome::SoldOut,
        Err(other) => unreachable!("the engine is healthy: {other}"),
    };
    if customer.is_multiple_of(5) {
        return Outcome::Abandoned;
    }
    // The same idempotency key with the same request gives the same answer, and sells only once.
    let reported = [pay(manager, hold, customer), pay(manager, hold, customer)];
    match reported {
        [Ok(()), Ok(())] => Outcome::Sold,
        [Err(ConfirmError::Gone(Gone::Expired { .. })), _] => Outcome::Abandoned,
        [first, second] => unreachable!("both answers are the same: {first:?}, {second:?}"),
    }
}

fn pay(manager: &InventoryManager, hold: ReservationId, customer: u32) -> Result<(), ConfirmError> {
    let key = format!("payment-of-{customer}");
    let key =
        IdempotencyKey::try_from(key.as_str()).unwrap_or_else(|_| unreachable!("a short key"));
    manager.request().key(key).confirm(hold)
}

/// Sends purchase orders to the reader of the channel.
struct Purchasing(Sender<PurchaseOrder>);

impl stockade::Supplier for Purchasing {
    fn order(&self, order: &PurchaseOrder) {
        // The reader is gone: the shop is closing.
        let _ = self.0.send(order.clone());
    }
}

fn units_ordered(orders: &Receiver<PurchaseOrder>) -> Vec<u32> {
    orders.try_iter().map(|order| order.quantity).collect()
}

#[allow(clippy::print_stdout, reason = "an example talks")]
fn say(line: &str) {
    println!("{line}");
}

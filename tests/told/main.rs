//! What calls, reports and entries tell: the whole truth about what is short, overdue, tracked and
//! written.

#[path = "../common/mod.rs"]
mod common;

mod entries;
mod notes;
mod overdue;
mod shortage;
mod took;
mod tracked;

use stockade::{BasketLine, Builder, Clock, InventoryManager, ManualClock};

const SF: (&str, &str) = ("SF", "LAPTOP");
const NYC: (&str, &str) = ("NYC", "LAPTOP");

/// An engine with ten laptops in either warehouse.
fn shop(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("legal settings");
    manager.add_stock(SF, 10, "SUPPLIER").expect("room");
    manager.add_stock(NYC, 10, "SUPPLIER").expect("room");
    manager
}

fn line((warehouse, product): (&'static str, &'static str), units: u32) -> BasketLine<'static> {
    BasketLine::new((warehouse, product), units)
}

/// Lets so many milliseconds pass.
fn pass(clock: &ManualClock, millis: u64) {
    clock.set(clock.now().saturating_add(common::ms(millis)));
}

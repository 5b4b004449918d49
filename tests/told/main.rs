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

use common::scratch::Scratch;
use common::{clock, ms, quiet};
use stockade::{BasketLine, Builder, InventoryManager};

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

/// The builder of an engine whose journal is in this directory.
fn journalled(directory: &Scratch) -> Builder {
    quiet(&clock()).journal(directory.join("journal"))
}

/// The engine of a shop in which a hold of so many laptops in SF is overdue.
fn with_overdue(units: u32) -> InventoryManager {
    let clock = clock();
    let manager = shop(quiet(&clock));
    manager.reserve(SF, units, ms(5)).expect("stock");
    clock.advance(ms(6));
    manager
}

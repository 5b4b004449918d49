//! Transfers between warehouses, at once or with approval.

pub(super) mod book;
mod decide;
pub(super) mod transfer;

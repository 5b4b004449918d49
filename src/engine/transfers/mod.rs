//! Transfers between warehouses, either at once or after an approval.

pub(super) mod book;
mod decide;
mod request;
pub(super) mod transfer;

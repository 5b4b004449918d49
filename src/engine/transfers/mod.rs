//! Transfers between warehouses, at once or with approval.

pub(super) mod book;
mod decide;
mod request;
pub(super) mod transfer;

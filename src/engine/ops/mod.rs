//! Operations that move units or end holds, and those that change settings: a file for each kind.

pub(super) mod basket;
pub(super) mod end_hold;
mod fulfill;
mod partial;
pub(super) mod reserve;
mod retake;
mod settings;
mod ship_lines;
mod stock;

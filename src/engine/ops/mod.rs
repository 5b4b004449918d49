//! Operations that move units, end holds or change settings: one file for each kind.

pub(super) mod basket;
mod drawing_line;
pub(super) mod end_hold;
mod fulfill;
pub(super) mod hold_end;
mod partial;
pub(super) mod release_holds;
pub(super) mod reserve;
pub(super) mod resolved_line;
mod retake;
mod settings;
mod ship_lines;
mod step;
mod stock;
pub(super) mod taken_basket;
pub(super) mod taking;
mod units;

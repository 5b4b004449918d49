//! Allowances: how much each subject of a limit has drawn.
//!
//! A *rule* limits what each *subject* may have: two units a customer, say. A subject's *allowance*
//! under a rule counts its *draws*, the units that it holds or has bought. An allowance is a word
//! as a level is. So a commit takes stock and allowance at one instant (Law 4).

pub(crate) mod key;
mod place;
pub(crate) mod rule;
mod shard;
pub(crate) mod table;
#[cfg(any(test, all(loom, feature = "loom")))]
pub(crate) mod testbed;
#[cfg(all(test, not(loom)))]
mod tests;
pub(crate) mod word;

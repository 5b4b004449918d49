//! What a record says of its draws on allowances.

use crate::stock::allowance::key::AllowanceKey;

/// A draw: a line of a record took units of an allowance, in the same commit as those of its level.
/// It says all that a replay needs, so that no replay has to know which rule covered which product
/// at that moment.
///
/// A rule that counts reservations draws 1 for all lines of a reservation together; its marks are
/// on each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DrawMark {
    pub(crate) key: AllowanceKey,
    /// The rule's version that the call went by.
    pub(crate) version: u32,
    /// That version's maximum.
    pub(crate) maximum: u32,
    /// What was used after the commit, this draw included.
    pub(crate) used_after: u32,
    /// The call had the right to pass the rule, so `used_after` may be above the maximum.
    pub(crate) passed: bool,
    /// Which line of the record draws.
    pub(crate) line: u32,
}

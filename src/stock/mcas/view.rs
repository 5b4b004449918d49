//! An operation as its drivers and its recorder see it.

use super::descriptor::{Descriptor, Head};
use super::mark::Mark;
use super::pool::DescriptorPool;
use crate::stock::cell::{CellId, Change};
use crate::stock::mcas::recorder::{CommitName, CommitView};
use crate::stock::word::{Delta, Word};

/// An operation that the caller drives. While the caller drives it, its descriptors stay what they
/// are.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperationView<'p> {
    pub(super) pool: &'p DescriptorPool,
    pub(super) operation: Mark,
    pub(super) descriptor: &'p Descriptor,
    pub(super) head: Head,
}

impl<'p> OperationView<'p> {
    /// The operation of this name in `descriptor`. The caller must be counted in it.
    pub(super) fn new(
        pool: &'p DescriptorPool,
        operation: Mark,
        descriptor: &'p Descriptor,
    ) -> Self {
        Self { pool, operation, descriptor, head: descriptor.head() }
    }

    /// The word that the winning mark of line `at` replaced. It cannot change any more once every
    /// line is marked.
    #[inline]
    pub(super) fn replaced(&self, at: usize) -> Word {
        match self.descriptor.line(at).winner() {
            Some(winner) if winner != self.operation => {
                let holder = self.pool.descriptor(winner.slot());
                debug_assert!(holder.is_some(), "helpers' live as long as the operation");
                holder.unwrap_or(self.descriptor).line(at).replaced()
            }
            // Unclaimed: nobody helped.
            _ => self.descriptor.line(at).replaced(),
        }
    }
}

impl CommitView for OperationView<'_> {
    fn name(&self) -> CommitName {
        self.operation.name()
    }

    #[inline]
    fn lines(&self) -> usize {
        self.head.lines
    }

    #[inline]
    fn line(&self, line: usize) -> (CellId, Delta) {
        let line = self.descriptor.line(line);
        (line.cell(), line.delta())
    }

    #[inline]
    fn change(&self, line: usize) -> Change {
        let before = self.replaced(line);
        let after = before.apply(self.descriptor.line(line).delta());
        debug_assert!(after.is_some(), "a decided delta fits");
        Change { before, after: after.unwrap_or(before) }
    }
}

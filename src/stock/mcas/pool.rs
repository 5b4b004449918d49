//! The pool of descriptors: who takes one, who gives it back, and in which order.
//!
//! A slot of the pool is free when it has no drivers. The swap of its control word that begins an
//! operation also takes it, so there is no free list to contend for. Each thread starts its search
//! at a place of its own, and so takes the same warm slot again and again.

use super::descriptor::Descriptor;
use super::mark::{Mark, SLOT_BITS};
use crate::base::doubling_table::DoublingTable;
use crate::base::shard::lane;
use crate::base::sync::{AtomicU32, MODELLED, Ordering};

const FIRST: usize = if MODELLED { 4 } else { 64 };
const SEGMENTS: usize = 11;
type Descriptors = DoublingTable<Descriptor, FIRST, SEGMENTS>;

const _: () = assert!(Descriptors::CAPACITY < 1 << SLOT_BITS, "a mark can name every descriptor");

/// The descriptors of one engine.
#[derive(Debug)]
pub(crate) struct DescriptorPool {
    slots: Descriptors,
    /// How many slots lie in segments that exist.
    open: AtomicU32,
}

/// A descriptor that the caller has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakenDescriptor<'p> {
    pub(super) number: u32,
    pub(super) sequence: u64,
    pub(super) descriptor: &'p Descriptor,
}

/// Every descriptor is in use by some unfinished commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolExhausted;

impl DescriptorPool {
    /// A pool with its first segment.
    pub(crate) fn new() -> Self {
        let slots = Descriptors::new();
        slots.grow(FIRST, Descriptor::new);
        Self { slots, open: AtomicU32::new(FIRST as u32) }
    }

    /// The descriptor of this number. One that a mark names always exists.
    #[inline]
    pub(super) fn descriptor(&self, number: u32) -> Option<&Descriptor> {
        self.slots.get(number as usize)
    }

    /// Takes a free descriptor; adds a segment if all are in use.
    #[inline]
    pub(super) fn take(&self) -> Result<TakenDescriptor<'_>, PoolExhausted> {
        // The thread's own place is nearly always free.
        match self.try_take(lane() as u32) {
            Some(taken) => Ok(taken),
            None => self.search(),
        }
    }

    #[inline]
    fn try_take(&self, number: u32) -> Option<TakenDescriptor<'_>> {
        let descriptor = self.descriptor(number)?;
        let sequence = descriptor.try_begin()?;
        Some(TakenDescriptor { number, sequence, descriptor })
    }

    #[cold]
    #[inline(never)]
    fn search(&self) -> Result<TakenDescriptor<'_>, PoolExhausted> {
        let mut passed = 0;
        loop {
            // Acquire pairs with the Release below: the segment exists before its slots are
            // counted.
            let open = self.open.load(Ordering::Acquire);
            let lane = lane() as u32;
            // A division costs as much as a swap. Threads are few, so the second branch is rare.
            let start = if lane < open { lane } else { lane % open };
            for number in (start..open).chain(0..start) {
                if let Some(taken) = self.try_take(number) {
                    return Ok(taken);
                }
            }
            // Another thread may have added a segment meanwhile. Then search its slots first.
            if passed == open {
                let more = open as usize * 2 + FIRST;
                if more > Descriptors::CAPACITY {
                    return Err(PoolExhausted);
                }
                self.slots.grow(more, Descriptor::new);
                self.open.fetch_max(more as u32, Ordering::Release);
            }
            passed = open;
        }
    }

    /// One driver leaves a final operation, after it has taken all its own marks off. The last one
    /// retires the descriptors: *the helpers' first, then the operation's*. A reader may still read
    /// through a helper's mark. If it finds the operation gone, or its descriptor rewritten, the
    /// helper's sequence has moved on before. So one check of the descriptor that the mark names is
    /// enough.
    #[inline]
    pub(super) fn leave(&self, operation: Mark, descriptor: &Descriptor) {
        if descriptor.control.leave_unless_last() {
            return;
        }
        let helper = descriptor.newest_helper();
        if helper.is_some() {
            self.retire_helpers(helper);
        }
        descriptor.control.retire(operation.sequence());
    }

    #[cold]
    #[inline(never)]
    fn retire_helpers(&self, mut helper: Option<u32>) {
        while let Some(helpers_descriptor) = helper.and_then(|number| self.descriptor(number)) {
            // Read this before the retirement: the next thread to take the descriptor may write it
            // at once.
            helper = helpers_descriptor.elder_helper();
            helpers_descriptor.control.retire(helpers_descriptor.control.load().sequence());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_pool_grows_when_all_slots_are_taken_and_reuses_what_is_given_back() {
        let pool = DescriptorPool::new();
        let taken: Vec<_> = (0..FIRST * 4).map(|_| pool.take().expect("there are more")).collect();
        let mut numbers: Vec<_> = taken.iter().map(|taken| taken.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), taken.len(), "no descriptor is taken twice");
        for taken in &taken {
            taken.descriptor.control.retire(taken.sequence);
        }
        let again = pool.take().expect("they are all free");
        assert_eq!(again.sequence, taken[0].sequence + 1);
    }
}

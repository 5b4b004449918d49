//! Engine tags: how a handle of one engine is told from a handle of another.
//!
//! Inside an engine, levels, products and warehouses are plain indexes. What leaves it bears the
//! engine's tag beside the index, and is checked once, where it comes back in. A tag is only for
//! the life of a process: it never reaches a fingerprint, the journal or a checkpoint.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which engine a handle belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EngineTag(u32);

impl EngineTag {
    /// The tag of no engine: what bears it is refused by every engine.
    pub(crate) const NOBODY: Self = Self(0);

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }
}

/// A tag in use. While it lives, no other engine of this process has the same tag.
#[derive(Debug)]
pub(crate) struct TagLease(EngineTag);

impl TagLease {
    /// A tag that no live engine has, and that no engine had for the four billion draws before.
    pub(crate) fn draw() -> Self {
        Self(EngineTag(tags().draw()))
    }

    #[inline]
    pub(crate) fn tag(&self) -> EngineTag {
        self.0
    }
}

impl Drop for TagLease {
    fn drop(&mut self) {
        tags().live.remove(&self.0.0);
    }
}

/// The tags of this process.
#[derive(Debug)]
struct Tags {
    newest: u32,
    live: BTreeSet<u32>,
}

impl Tags {
    const fn new() -> Self {
        Self { newest: EngineTag::NOBODY.0, live: BTreeSet::new() }
    }

    /// The next number round the circle that is free. There is one: an engine takes more memory
    /// than its tag.
    fn draw(&mut self) -> u32 {
        loop {
            self.newest = self.newest.wrapping_add(1);
            if self.newest != EngineTag::NOBODY.0 && self.live.insert(self.newest) {
                return self.newest;
            }
        }
    }
}

/// Not through the door to the atomics: it outlives every model's run, and orders nothing.
static TAGS: Mutex<Tags> = Mutex::new(Tags::new());

fn tags() -> MutexGuard<'static, Tags> {
    TAGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value that means something to one engine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tagged<T> {
    // First, so that handles of one engine are in the order of their indexes.
    value: T,
    tag: EngineTag,
}

impl<T: Copy> Tagged<T> {
    pub(crate) fn new(value: T, tag: EngineTag) -> Self {
        Self { value, tag }
    }

    /// The value, for the engine with this tag; `None` if it is another engine's.
    #[inline]
    pub(crate) fn of(self, engine: EngineTag) -> Option<T> {
        (self.tag == engine).then_some(self.value)
    }

    /// What `{:?}` shows of a handle: two that differ look different.
    pub(crate) fn show(self, name: &str, index: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}({index} of engine {})", self.tag.0)
    }

    /// The value, whosever it is: for what only shows or compares it.
    pub(crate) fn value(self) -> T {
        self.value
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_is_in_use_is_passed_over_when_the_numbers_come_round() {
        let mut tags = Tags { newest: u32::MAX - 1, live: BTreeSet::from([u32::MAX, 1, 2, 4]) };
        assert_eq!([tags.draw(), tags.draw()], [3, 5]);
    }

    #[test]
    fn a_tag_is_free_again_only_after_its_engine_has_gone() {
        let lease = TagLease::draw();
        let tag = lease.tag();
        assert!(tags().live.contains(&tag.0));
        drop(lease);
        assert!(!tags().live.contains(&tag.0));
        assert_ne!(TagLease::draw().tag(), tag, "not the next one's either");
    }

    #[test]
    fn a_value_is_for_the_engine_that_gave_it_and_for_no_other() {
        let (ours, theirs) = (TagLease::draw(), TagLease::draw());
        let value = Tagged::new(7, ours.tag());
        assert_eq!((value.of(ours.tag()), value.of(theirs.tag())), (Some(7), None));
        assert_eq!(Tagged::new(7, EngineTag::NOBODY).of(ours.tag()), None);
    }
}

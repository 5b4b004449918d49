//! Buffers for long records, used again and again, so that a basket allocates nothing.

use crate::audit::record::RecordBuf;
use crate::base::sync::ArrayQueue;

/// A bounded store of empty buffers. Neither side ever waits: an empty store allocates, a full one
/// drops.
#[derive(Debug)]
pub(crate) struct BufferPool {
    buffers: ArrayQueue<Box<RecordBuf>>,
}

impl BufferPool {
    /// A store of at most `capacity` buffers, empty at first.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { buffers: ArrayQueue::new(capacity.max(1)) }
    }

    /// An empty buffer, to be obtained before anything moves.
    pub(crate) fn take(&self) -> Box<RecordBuf> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Takes a buffer back: the writer's part, or that of an operation that was refused.
    pub(crate) fn give_back(&self, mut buffer: Box<RecordBuf>) {
        buffer.clear();
        // Full: this one is dropped, and that is the bound.
        let _ = self.buffers.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::AdjustmentType;
    use crate::audit::record::Subject;

    fn used(pool: &BufferPool, lines: u32) -> Box<RecordBuf> {
        let mut buffer = pool.take();
        (0..lines).for_each(|qty| buffer.line(AdjustmentType::Sold, Subject::None, qty, None));
        buffer.note("order", "17");
        buffer
    }

    #[test]
    fn a_buffer_comes_back_empty_with_its_room() {
        let pool = BufferPool::new(2);
        pool.give_back(used(&pool, 21));
        let again = pool.take();
        assert!(again.lines.is_empty() && again.metadata.is_empty());
        assert!(again.lines.capacity() >= 21);
    }

    #[test]
    fn a_huge_buffer_gives_its_room_back_and_a_full_pool_keeps_no_more() {
        let pool = BufferPool::new(1);
        let (huge, small) = (used(&pool, 5_000), used(&pool, 1));
        pool.give_back(huge);
        pool.give_back(small);
        assert!(pool.take().lines.capacity() < 5_000);
        assert_eq!(pool.take().lines.capacity(), 0);
    }
}

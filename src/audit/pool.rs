//! The pool of record buffers. Buffers are reused, so that a basket allocates nothing.

use crate::audit::record::RecordBuf;
use crate::base::sync::ArrayQueue;

/// A bounded pool of empty record buffers. Neither side ever waits: an empty pool allocates a
/// buffer, a full pool drops one.
#[derive(Debug)]
pub(crate) struct BufferPool {
    buffers: ArrayQueue<Box<RecordBuf>>,
}

impl BufferPool {
    /// A pool of at most `capacity` buffers. It starts without any.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { buffers: ArrayQueue::new(capacity.max(1)) }
    }

    /// An empty buffer. An operation takes it before anything moves, because this may allocate.
    pub(crate) fn take(&self) -> Box<RecordBuf> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Clears a buffer and takes it back: from the writer, or from an operation that was refused.
    pub(crate) fn give_back(&self, mut buffer: Box<RecordBuf>) {
        buffer.clear();
        // A full pool drops the buffer, which bounds the pool's memory.
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

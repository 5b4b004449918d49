//! The eviction queue: stored answers in the order of their publication. Old keys leave by it.

use std::collections::VecDeque;

use crate::base::clock::Timestamp;
use crate::idempotency::digest::NameDigest;

/// How many publications one piece of memory holds. One long buffer would have to be copied as it
/// grows, while every publisher waits.
const CHUNK: usize = 1_024;

/// One answer that was published.
pub(super) struct Publication {
    pub(super) name: NameDigest,
    /// The number of this publication. If a name is published again, the new answer has another
    /// number, so the old place in the queue cannot drop the new answer.
    pub(super) number: u64,
    pub(super) at: Timestamp,
}

/// A first-in first-out queue of publications.
#[derive(Default)]
pub(super) struct EvictionQueue {
    /// Only the last chunk has room, and only the first may have lost its oldest; none is empty.
    chunks: VecDeque<VecDeque<Publication>>,
    len: usize,
}

impl EvictionQueue {
    pub(super) fn push(&mut self, publication: Publication) {
        self.len += 1;
        if let Some(chunk) = self.chunks.back_mut()
            && chunk.len() < chunk.capacity()
        {
            return chunk.push_back(publication);
        }
        // The first chunk is small: a handful of keys should not cost a whole one.
        let room = if self.chunks.is_empty() { 4 } else { CHUNK };
        let mut chunk = VecDeque::with_capacity(room);
        chunk.push_back(publication);
        self.chunks.push_back(chunk);
    }

    /// Takes the oldest publication if `leaves` says so. `leaves` gets the queue's length and that
    /// publication.
    pub(super) fn pop_if(
        &mut self,
        leaves: impl FnOnce(usize, &Publication) -> bool,
    ) -> Option<Publication> {
        let chunk = self.chunks.front_mut()?;
        if !leaves(self.len, chunk.front()?) {
            return None;
        }
        let publication = chunk.pop_front();
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= 1;
        publication
    }

    /// When the oldest was published.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        Some(self.chunks.front()?.front()?.at)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many publications the queue's memory has room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.chunks.iter().map(VecDeque::capacity).sum()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn publication(number: u64) -> Publication {
        let name = NameDigest::from_halves([0, number]);
        Publication { name, number, at: Timestamp::from_millis(number) }
    }

    #[test]
    fn publications_leave_in_the_order_in_which_they_came() {
        let mut order = EvictionQueue::default();
        let (mut came, mut left) = (0, 0);
        for round in 0..5_000 {
            for _ in 0..round % 7 {
                order.push(publication(came));
                came += 1;
            }
            for _ in 0..round % 5 {
                if let Some(publication) = order.pop_if(|_, _| true) {
                    assert_eq!(publication.number, left);
                    left += 1;
                }
            }
            assert_eq!(order.len() as u64, came - left);
            assert!(order.room() <= order.len() + 2 * CHUNK);
        }
        assert!(order.len() > 2 * CHUNK);
        while order.pop_if(|_, _| true).is_some() {
            left += 1;
        }
        assert_eq!((came, order.len(), order.room()), (left, 0, 0));
    }

    #[test]
    fn only_the_oldest_is_asked_and_it_may_stay() {
        let mut order = EvictionQueue::default();
        assert!(order.pop_if(|_, _| true).is_none());
        order.push(publication(1));
        order.push(publication(2));
        assert!(order.pop_if(|len, oldest| len != 2 || oldest.number != 1).is_none());
        assert_eq!(order.len(), 2);
    }
}

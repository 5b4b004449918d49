//! A part of the index of allowances: which number has the allowance of a key, and which is free.

use crate::base::sync::MODELLED;
use crate::base::table::Table;
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::allowance::place::{AllowancePlace, NO_PLACE};

/// How many parts the index has. A model has one, so that its subjects share numbers.
pub(super) const SHARDS: u32 = if MODELLED { 1 } else { 64 };

/// One part of the index. Its lock guards it, and the places of its numbers but for their words.
///
/// Allowances of one *bucket* are chained through their places. Each time that there are more of
/// them than ever before, one bucket is added, and one of the older ones is split between itself
/// and the new one (linear hashing: Litwin, "Linear Hashing", VLDB 1980). So nobody ever has to
/// wait while all are sorted anew.
#[derive(Debug)]
pub(super) struct AllowanceShard {
    /// The first place of each bucket.
    heads: Vec<u32>,
    /// The first of the places that are free, and chained as well.
    free: u32,
    /// The first number that was never used.
    fresh: u32,
    allowances: usize,
}

type Places = Table<AllowancePlace>;

/// Where a key belongs. Its subject may be the number of a stock level, and all allowances of one
/// subject are not to lie in one bucket: so its bits and the rule's are mixed.
fn spread(key: AllowanceKey) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let [bits, _] = key.subject.to_halves();
    let mixed = (bits ^ u64::from(key.rule.0).wrapping_mul(ODD)).wrapping_mul(ODD);
    // The low bits say the shard. Of a product they depend on the low bits of the factors alone.
    mixed ^ (mixed >> 32)
}

/// Which shard has the allowances of this key.
pub(super) fn shard_of(key: AllowanceKey) -> u32 {
    // A remainder of a `u32` fits.
    (spread(key) % u64::from(SHARDS)) as u32
}

/// Which of so many buckets a key falls into. The first buckets have been split already in this
/// round, and are told apart by one bit more than the others.
fn bucket_of(key: AllowanceKey, buckets: usize) -> usize {
    let bits = (spread(key) / u64::from(SHARDS)) as usize;
    let after_the_round = buckets.next_power_of_two();
    let bucket = bits & (after_the_round - 1);
    if bucket < buckets { bucket } else { bucket & (after_the_round / 2 - 1) }
}

/// The places of a chain.
fn chain(places: &Places, first: u32) -> impl Iterator<Item = (u32, &AllowancePlace)> {
    let at = |number: u32| Some((number, places.get(number as usize)?));
    // No table is so large that the end of a chain is a number in it.
    std::iter::successors(at(first), move |(_, place)| at(place.next()))
}

impl AllowanceShard {
    pub(super) fn new(first_number: u32) -> Self {
        Self { heads: Vec::new(), free: NO_PLACE, fresh: first_number, allowances: 0 }
    }

    /// The allowance of this key.
    pub(super) fn find<'p>(
        &self,
        places: &'p Places,
        key: AllowanceKey,
    ) -> Option<(u32, &'p AllowancePlace)> {
        let bucket = self.heads.get(bucket_of(key, self.heads.len().max(1)))?;
        chain(places, *bucket).find(|(_, place)| place.key() == key)
    }

    /// Makes the allowance of a key that has none. `None` if no number is left.
    pub(super) fn make<'p>(
        &mut self,
        places: &'p Places,
        key: AllowanceKey,
    ) -> Option<(u32, &'p AllowancePlace)> {
        let (number, place) = self.take_number(places)?;
        place.open(key);
        self.allowances += 1;
        if self.allowances > self.heads.len() {
            self.add_bucket(places);
        }
        self.link(number, place, key);
        Some((number, place))
    }

    /// Takes an allowance out of the index, and frees its number.
    pub(super) fn retire(&mut self, places: &Places, number: u32, place: &AllowancePlace) {
        let bucket = bucket_of(place.key(), self.heads.len());
        if self.heads[bucket] == number {
            self.heads[bucket] = place.next();
        } else if let Some((_, before)) =
            chain(places, self.heads[bucket]).find(|(_, before)| before.next() == number)
        {
            before.set_next(place.next());
        }
        self.allowances -= 1;
        place.close();
        place.set_next(self.free);
        self.free = number;
    }

    /// All allowances of this part.
    pub(super) fn all<'p>(
        &self,
        places: &'p Places,
    ) -> impl Iterator<Item = (u32, &'p AllowancePlace)> {
        self.heads.iter().flat_map(|first| chain(places, *first))
    }

    /// How many bytes the index of this part takes.
    #[cfg(test)]
    pub(super) fn index_bytes(&self) -> usize {
        self.heads.capacity() * size_of::<u32>()
    }

    /// The most allowances that share a bucket.
    #[cfg(test)]
    pub(super) fn longest_chain(&self, places: &Places) -> usize {
        let length = |first: &u32| chain(places, *first).count();
        self.heads.iter().map(length).max().unwrap_or_default()
    }

    fn take_number<'p>(&mut self, places: &'p Places) -> Option<(u32, &'p AllowancePlace)> {
        let number = self.free;
        if let Some(place) = places.get(number as usize) {
            self.free = place.next();
            return Some((number, place));
        }
        let number = self.fresh;
        let place = places.ensure(number as usize)?;
        self.fresh += SHARDS;
        Some((number, place))
    }

    fn link(&mut self, number: u32, place: &AllowancePlace, key: AllowanceKey) {
        let bucket = bucket_of(key, self.heads.len());
        place.set_next(self.heads[bucket]);
        self.heads[bucket] = number;
    }

    fn add_bucket(&mut self, places: &Places) {
        let added = self.heads.len();
        self.heads.push(NO_PLACE);
        // The new bucket is an older one's with one bit more. The first has none to share with.
        let Some(bit) = added.checked_ilog2() else { return };
        let shared = added - (1 << bit);
        let mut number = std::mem::replace(&mut self.heads[shared], NO_PLACE);
        while let Some(place) = places.get(number as usize) {
            let next = place.next();
            self.link(number, place, place.key());
            number = next;
        }
    }
}

//! The filter of a part of a run: says of a mark that it is not there, or that it may be. It takes
//! 2.3 to 2.4 bytes a mark. One look-up in 65,536 says "may be" of a mark that is not there.
//!
//! A binary fuse filter of 16 bits: Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than
//! Xor Filters", ACM Journal of Experimental Algorithmics 27 (2022). Each mark has three *cells*,
//! one in each of three segments that follow one another. The exclusive or of the three is the
//! mark's fingerprint.

/// With the sizes of the paper, one seed in a few fails, if any. For very few marks more do, so
/// that after some seeds the array grows.
const ATTEMPTS: u32 = 64;
const ATTEMPTS_PER_SIZE: u32 = 8;
/// The longest segment, as a power of two.
const MAX_SEGMENT_BITS: u8 = 18;

/// The sizes and the seed of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FilterShape {
    pub(super) seed: u64,
    /// The length of a segment, as a power of two.
    pub(super) segment_bits: u8,
    /// How many segments a mark's first cell may lie in; 0: there is no filter.
    pub(super) segments: u32,
}

/// A filter over some marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FuseFilter {
    pub(super) shape: FilterShape,
    cells: Box<[u16]>,
}

impl FilterShape {
    /// The sizes of section 4 of the paper, for `count` marks, enlarged by an eighth for each of
    /// `growth`.
    fn of(count: usize, growth: u32) -> Self {
        let size = count.max(2) as f64;
        let bits = (size.ln() / 3.33_f64.ln() + 2.25).floor() as u8;
        let segment_bits = bits.min(MAX_SEGMENT_BITS);
        let factor = (0.875 + 0.25 * 1e6_f64.ln() / size.ln()).max(1.125);
        let cells = size * factor * (1.0 + f64::from(growth) / 8.0);
        let segments = (cells as u32).div_ceil(1 << segment_bits).saturating_sub(2).max(1);
        Self { seed: 0, segment_bits, segments }
    }

    /// Whether a file may hold it. Larger ones are never written.
    pub(super) fn is_possible(self) -> bool {
        self.segment_bits <= MAX_SEGMENT_BITS && self.segments <= 1 << 24
    }

    /// How many cells the filter has.
    pub(super) fn cells(self) -> usize {
        if self.segments == 0 { 0 } else { (self.segments as usize + 2) << self.segment_bits }
    }

    /// The three cells of a mixed hash. They are different cells, because they lie in different
    /// segments.
    fn cells_of(self, mixed: u64) -> [usize; 3] {
        let span = u128::from(self.segments) << self.segment_bits;
        let first = ((u128::from(mixed) * span) >> 64) as usize;
        let segment = 1_usize << self.segment_bits;
        let within = segment - 1;
        let second = (first + segment) ^ ((mixed >> 18) as usize & within);
        let third = (first + 2 * segment) ^ (mixed as usize & within);
        [first, second, third]
    }

    fn mix(self, hash: u64) -> u64 {
        // The finalizer of MurmurHash3 (Appleby).
        let mut mixed = hash.wrapping_add(self.seed);
        mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ mixed >> 33
    }
}

fn fingerprint(mixed: u64) -> u16 {
    (mixed ^ mixed >> 32) as u16
}

impl FuseFilter {
    /// A filter over these hashes. `None` if there are none, or if no seed fits, which practically
    /// does not happen; then look-ups do without. Takes about 20 bytes a hash meanwhile.
    pub(super) fn build(hashes: &mut Vec<u64>, seed: u64) -> Option<Self> {
        // Equal hashes would undo each other. One stands for both.
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.is_empty() {
            return None;
        }
        (0..ATTEMPTS).find_map(|attempt| {
            let shape = FilterShape::of(hashes.len(), attempt / ATTEMPTS_PER_SIZE);
            let seed = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Self::try_build(hashes, FilterShape { seed, ..shape })
        })
    }

    /// Peels the hypergraph whose edges are the hashes: takes away, again and again, a hash that is
    /// alone in one of its cells. Then each hash gets its fingerprint through that cell, in the
    /// reverse order.
    fn try_build(hashes: &[u64], shape: FilterShape) -> Option<Self> {
        #[derive(Clone, Copy, Default)]
        struct PeelCell {
            count: u32,
            /// The exclusive or of the hashes here: the hash itself once only one is left.
            hashes: u64,
        }
        let mut peel = vec![PeelCell::default(); shape.cells()];
        for hash in hashes {
            let mixed = shape.mix(*hash);
            for cell in shape.cells_of(mixed) {
                peel[cell].count += 1;
                peel[cell].hashes ^= mixed;
            }
        }
        let mut alone: Vec<usize> = (0..peel.len()).filter(|at| peel[*at].count == 1).collect();
        let mut order = Vec::with_capacity(hashes.len());
        while let Some(at) = alone.pop() {
            let PeelCell { count, hashes: mixed } = peel[at];
            if count != 1 {
                continue;
            }
            order.push((mixed, at));
            for cell in shape.cells_of(mixed) {
                peel[cell].count -= 1;
                peel[cell].hashes ^= mixed;
                if peel[cell].count == 1 {
                    alone.push(cell);
                }
            }
        }
        if order.len() < hashes.len() {
            return None;
        }
        let mut cells = vec![0_u16; shape.cells()].into_boxed_slice();
        for (mixed, own) in order.into_iter().rev() {
            // The own cell is still 0 here, so it may take part in the sum.
            let sum = shape.cells_of(mixed).iter().fold(0, |sum, cell| sum ^ cells[*cell]);
            cells[own] = sum ^ fingerprint(mixed);
        }
        Some(Self { shape, cells })
    }

    /// `false` if no mark with this hash is there. `true` if one is, and about once in 65,536 times
    /// if none is.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let mixed = self.shape.mix(hash);
        let sum = self.shape.cells_of(mixed).iter().fold(0, |sum, cell| sum ^ self.cells[*cell]);
        sum == fingerprint(mixed)
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.cells.len() * 2
    }

    /// The cells as bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.cells.iter().flat_map(|cell| cell.to_le_bytes()).collect()
    }

    /// The filter of this shape with these cells; `None` if the bytes are too few.
    pub(super) fn from_bytes(shape: FilterShape, bytes: &[u8]) -> Option<Self> {
        let (cells, _) = bytes.get(..shape.cells() * 2)?.as_chunks::<2>();
        let cells = cells.iter().map(|cell| u16::from_le_bytes(*cell)).collect();
        (shape.segments > 0).then_some(Self { shape, cells })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn hashes(count: usize, seed: u64) -> Vec<u64> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..count).map(|_| random.next_u64()).collect()
    }

    #[test]
    fn a_filter_contains_all_that_it_was_built_over_whatever_their_number() {
        let sizes = (1..200).chain([1_000, 4_097, 65_536]);
        for size in sizes {
            let mut all = hashes(size, size as u64);
            // Twice the same hash, as two marks may have.
            all.push(all[0]);
            let filter = FuseFilter::build(&mut all, 7).expect("a seed that fits");
            assert!(all.iter().all(|hash| filter.may_contain(*hash)), "{size} marks");
            let again = FuseFilter::from_bytes(filter.shape, &filter.to_bytes());
            assert_eq!(again.as_ref(), Some(&filter));
            assert_eq!(FuseFilter::from_bytes(filter.shape, &filter.to_bytes()[1..]), None);
        }
        assert_eq!(FuseFilter::build(&mut Vec::new(), 7), None);
    }

    #[test]
    fn one_in_65536_others_passes_and_a_mark_takes_less_than_two_and_a_half_bytes() {
        let mut all = hashes(65_536, 1);
        let filter = FuseFilter::build(&mut all, 7).expect("a seed that fits");
        let others = hashes(2_000_000, 2);
        let passed = others.iter().filter(|hash| filter.may_contain(**hash)).count();
        // 30 are expected; 80 are nine standard deviations more.
        assert!((1..80).contains(&passed), "{passed} of two million passed");
        let each = filter.memory() as f64 / 65_536.0;
        assert!(each < 2.5, "{each} bytes a mark");
    }
}

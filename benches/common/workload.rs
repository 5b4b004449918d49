//! Workloads: which products are bought, how often each, and how many holds are alive meanwhile.

/// Units that one warehouse can hold, less a little.
const ALL_UNITS: u32 = 2_000_000_000;
/// How many draws are made in advance: enough to include the rare products of a skewed shop.
const DRAWS: usize = 65_536;
/// The skew of web shops, and of the usual store benchmarks.
const SKEW: f64 = 0.99;

/// The demand: which products are bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// Always the same product: a flash sale.
    Hot,
    /// The product of rank n is bought n^0.99 times less often than the first one.
    Zipf(usize),
    /// All products equally often, so that a cache helps little.
    Uniform(usize),
}

impl Access {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Hot => "one hot product".to_owned(),
            Self::Zipf(products) => format!("zipf 0.99 over {products}"),
            Self::Uniform(products) => format!("uniform over {products}"),
        }
    }

    pub(crate) fn products(self) -> usize {
        match self {
            Self::Hot => 1,
            Self::Zipf(products) | Self::Uniform(products) => products,
        }
    }

    /// Units of each product: the whole capacity of a warehouse, in proportion to the demand. So no
    /// product runs out before hundreds of millions of sales.
    pub(crate) fn units(self) -> Vec<u32> {
        match self {
            Self::Hot => vec![ALL_UNITS],
            Self::Zipf(products) => {
                let shares = shares(products);
                shares.iter().map(|share| (share * f64::from(ALL_UNITS)) as u32).collect()
            }
            Self::Uniform(products) => vec![ALL_UNITS / products as u32; products],
        }
    }

    /// The demand of one caller. `seed` makes it differ from the others'.
    pub(crate) fn picks<P: Copy>(self, product: impl Fn(usize) -> P, seed: u64) -> Picks<P> {
        let mut random = Random::new(seed);
        match self {
            Self::Hot => Picks::One(product(0)),
            Self::Uniform(products) => {
                Picks::Any { products: (0..products).map(product).collect(), random }
            }
            Self::Zipf(products) => {
                let mut sum = 0.0;
                let until: Vec<f64> = shares(products)
                    .iter()
                    .map(|share| {
                        sum += share;
                        sum
                    })
                    .collect();
                let draw = |_| {
                    let point = random.unit() * sum;
                    product(until.partition_point(|end| *end <= point).min(products - 1))
                };
                Picks::Drawn { sequence: (0..DRAWS).map(draw).collect(), next: 0 }
            }
        }
    }
}

/// Each product's share of the demand. Best-sellers are spread, not side by side.
fn shares(products: usize) -> Vec<f64> {
    let mut shares: Vec<f64> = (1..=products).map(|rank| (rank as f64).powf(-SKEW)).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    let mut random = Random::new(1);
    for end in (1..products).rev() {
        shares.swap(end, random.below(end + 1));
    }
    shares
}

/// An endless demand.
pub(crate) enum Picks<P> {
    One(P),
    /// Drawn in advance, so that drawing costs nothing while the clock runs.
    Drawn {
        sequence: Box<[P]>,
        next: usize,
    },
    Any {
        products: Box<[P]>,
        random: Random,
    },
}

impl<P: Copy> Picks<P> {
    #[inline]
    pub(crate) fn next(&mut self) -> P {
        match self {
            Self::One(product) => *product,
            Self::Drawn { sequence, next } => {
                let product = sequence[*next % DRAWS];
                *next += 1;
                product
            }
            Self::Any { products, random } => products[random.below(products.len())],
        }
    }
}

/// A small generator (SplitMix64), so that drawing does not show in the figures.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    #[inline]
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// A number from 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The order in which holds end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// The oldest first, as if all buyers took about as long to pay.
    InOrder,
    /// In random order.
    AtRandom,
}

/// How many holds are read ahead, so that their ids are at hand when they end.
const IN_HAND: usize = 16;

/// The live holds of one caller. Their number is constant.
pub(crate) struct Holds<H> {
    alive: Vec<H>,
    ending: Ending,
    /// The next hold to end; or, at random, the place in each stratum.
    next: usize,
    /// Places and ids of the next holds to end, read ahead. A real caller has the id at hand when
    /// it ends a hold, so the look-up here must not count for the ledger.
    in_hand: [(usize, Option<H>); IN_HAND],
    random: Random,
}

impl<H: Copy> Holds<H> {
    /// `alive` holds, made by `make`.
    pub(crate) fn fill(
        alive: usize,
        ending: Ending,
        seed: u64,
        make: impl FnMut(usize) -> H,
    ) -> Self {
        Self {
            alive: (0..alive).map(make).collect(),
            ending: if alive < IN_HAND { Ending::InOrder } else { ending },
            next: 0,
            in_hand: [(0, None); IN_HAND],
            random: Random::new(seed),
        }
    }

    /// Adds a new hold, and removes the one that ends in its place.
    #[inline]
    pub(crate) fn exchange(&mut self, new: H) -> H {
        if self.alive.is_empty() {
            return new;
        }
        match self.ending {
            Ending::InOrder => {
                let old = std::mem::replace(&mut self.alive[self.next], new);
                self.next = if self.next + 1 == self.alive.len() { 0 } else { self.next + 1 };
                old
            }
            Ending::AtRandom => {
                if self.next.is_multiple_of(IN_HAND) {
                    self.take_in_hand();
                }
                let (place, old) = self.in_hand[self.next % IN_HAND];
                self.next += 1;
                self.alive[place] = new;
                old.unwrap_or(new)
            }
        }
    }

    /// One from each stratum, so that none is taken twice.
    fn take_in_hand(&mut self) {
        let width = self.alive.len() / IN_HAND;
        for (stratum, hand) in self.in_hand.iter_mut().enumerate() {
            let place = stratum * width + self.random.below(width);
            *hand = (place, Some(self.alive[place]));
        }
    }

    /// Removes all holds.
    pub(crate) fn drain(&mut self) -> Vec<H> {
        std::mem::take(&mut self.alive)
    }
}

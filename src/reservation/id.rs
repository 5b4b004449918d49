//! Reservation ids: a UUID that holds the creation time and the number of the slot.
//!
//! ```text
//!  127 ........ 80 79 .. 76 75 .......... 64 63 62 61 ....... 42 41 ....... 40 39 .... 0
//! +---------------+--------+----------------+-----+--------------+-------------+--------+
//! |created, ms(48)| ver: 8 | slot, high (12)| 0b10|slot, low (20)| opening (2) |rnd (40)|
//! +---------------+--------+----------------+-----+--------------+-------------+--------+
//! ```
//!
//! A UUID of version 8 (RFC 9562, section 5.8). The time comes first, so ids sort by creation time.
//! The slot's number makes a look-up one index and one comparison, whatever the number of live
//! holds. The random bits come from a cryptographic generator, so nobody can guess the id of
//! another caller's reservation. *Opening* is the number of the journal's opening that made the
//! id, modulo 4: it tells an id whose record was lost in a crash from one that was never made. Ids
//! of earlier versions have random bits there; they are as good as ever, since an id is always
//! compared as a whole.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::error::{InvalidOwner, InvalidReservationId};

const RANDOM_BITS: u32 = 40;
const OPENING_BITS: u32 = 2;
const OPENING_MASK: u64 = (1 << OPENING_BITS) - 1;
/// Where the slot's low bits begin.
const SLOT_SHIFT: u32 = RANDOM_BITS + OPENING_BITS;
const LOWEST_MASK: u64 = (1 << SLOT_SHIFT) - 1;
const SLOT_LOW_BITS: u32 = 20;
const SLOT_LOW_MASK: u64 = (1 << SLOT_LOW_BITS) - 1;
const SLOT_HIGH_MASK: u64 = (1 << 12) - 1;
const CREATED_SHIFT: u32 = 16;
const VERSION: u64 = 8 << 12;
const VERSION_MASK: u64 = 0xf << 12;
const VARIANT: u64 = 0b10 << 62;
const VARIANT_MASK: u64 = 0b11 << 62;

const _: () = assert!(RANDOM_BITS >= 40, "ids must not be guessable");
const _: () = assert!(SLOT_SHIFT + SLOT_LOW_BITS + 2 == 64, "the low half is full");

/// The id of one reservation: a UUID that the engine made.
///
/// Ids sort by creation time. Store and parse them as any UUID. An id that this engine did not make
/// names nothing.
///
/// ```
/// use stockade::ReservationId;
/// let text = "0199d2c4-8a10-8000-8000-1234567890ab";
/// let id: ReservationId = text.parse()?;
/// assert_eq!(id.to_string(), text);
/// # Ok::<(), stockade::InvalidReservationId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId {
    high: u64,
    low: u64,
}

impl ReservationId {
    /// The id of a hold created at `created_at` in slot number `slot`, with the low 42 bits of
    /// `lowest`: the opening and the random part.
    pub(crate) fn new(created_at: Timestamp, slot: u32, lowest: u64) -> Self {
        let slot = u64::from(slot);
        Self {
            high: created_at.as_millis() << CREATED_SHIFT | VERSION | slot >> SLOT_LOW_BITS,
            low: VARIANT | (slot & SLOT_LOW_MASK) << SLOT_SHIFT | lowest & LOWEST_MASK,
        }
    }

    /// The lowest bits of an id that this opening of the journal makes, with 40 of `random`'s bits.
    #[inline]
    pub(crate) fn lowest(opening: u64, random: u64) -> u64 {
        random & !(OPENING_MASK << RANDOM_BITS) | (opening & OPENING_MASK) << RANDOM_BITS
    }

    /// Whether this opening of the journal may have made it.
    pub(crate) fn may_be_of(self, opening: u64) -> bool {
        self.low >> RANDOM_BITS & OPENING_MASK == opening & OPENING_MASK
    }

    /// The two halves, most significant first.
    pub(crate) fn to_halves(self) -> [u64; 2] {
        [self.high, self.low]
    }

    /// The id of these two halves.
    pub(crate) fn from_halves([high, low]: [u64; 2]) -> Self {
        Self { high, low }
    }

    /// The number of the reservation's slot.
    pub(crate) fn slot(self) -> u32 {
        let high = self.high & SLOT_HIGH_MASK;
        let low = self.low >> SLOT_SHIFT & SLOT_LOW_MASK;
        (high << SLOT_LOW_BITS | low) as u32
    }

    /// When a reservation was made whose id has this upper half.
    #[inline]
    pub(crate) fn created_at_of(high: u64) -> Timestamp {
        Timestamp::from_millis(high >> CREATED_SHIFT)
    }

    /// When the reservation was made, by the engine's clock. If every slot was in use, and the one
    /// it got had been used under a clock that was ahead, it is the time of that use.
    pub fn created_at(self) -> Timestamp {
        Self::created_at_of(self.high)
    }

    /// The id as a UUID.
    pub fn as_uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.high, self.low)
    }

    /// The id that `uuid` spells. `None` if no engine can have made it: wrong version or variant.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        let (high, low) = uuid.as_u64_pair();
        let ours = high & VERSION_MASK == VERSION && low & VARIANT_MASK == VARIANT;
        ours.then_some(Self { high, low })
    }
}

impl fmt::Debug for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReservationId({self})")
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_uuid().fmt(f)
    }
}

impl From<ReservationId> for Uuid {
    fn from(id: ReservationId) -> Self {
        id.as_uuid()
    }
}

impl FromStr for ReservationId {
    type Err = InvalidReservationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::parse_str(text).map_err(|_| InvalidReservationId)?;
        Self::from_uuid(uuid).ok_or(InvalidReservationId)
    }
}

impl TryFrom<Uuid> for ReservationId {
    type Error = InvalidReservationId;

    fn try_from(uuid: Uuid) -> Result<Self, Self::Error> {
        Self::from_uuid(uuid).ok_or(InvalidReservationId)
    }
}

#[cfg(feature = "serde")]
crate::base::serialize::as_text!(ReservationId Owner);

/// Who a reservation is for: 16 bytes of the caller's own, such as a customer's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub [u8; 16]);

impl Owner {
    /// The two halves, for storage in words.
    #[inline]
    pub(crate) fn to_halves(self) -> [u64; 2] {
        let whole = u128::from_be_bytes(self.0);
        [(whole >> 64) as u64, whole as u64]
    }

    /// The owner of these two halves.
    #[inline]
    pub(crate) fn from_halves([high, low]: [u64; 2]) -> Self {
        Self((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

impl From<Uuid> for Owner {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl FromStr for Owner {
    type Err = InvalidOwner;

    /// Reads a UUID, as [`Display`](fmt::Display) writes it, or with other punctuation.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from).map_err(|_| InvalidOwner)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

/// Where an id's random bits come from.
#[derive(Debug)]
pub(crate) enum Randomness {
    /// A cryptographic generator in each thread, seeded once by the system.
    Secure,
    /// One seeded generator for all threads, for users' own tests: the same calls give the same
    /// ids.
    #[cfg(feature = "testing")]
    Seeded(Box<std::sync::Mutex<StdRng>>),
}

impl Randomness {
    /// A reproducible source.
    #[cfg(feature = "testing")]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Box::new(std::sync::Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// 64 random bits. Makes a system call once a thread, never after.
    #[inline(always)]
    pub(crate) fn next(&self) -> u64 {
        match self {
            Self::Secure => DrawnWords::next(),
            #[cfg(feature = "testing")]
            Self::Seeded(generator) => {
                generator.lock().unwrap_or_else(std::sync::PoisonError::into_inner).random()
            }
        }
    }
}

thread_local! {
    // Without a destructor, so that it is there as long as the thread is, and at no cost.
    static DRAWN: DrawnWords = const { DrawnWords::none() };
    static GENERATOR: RefCell<StdRng> = RefCell::new(secure_generator());
}

/// Random words of this thread, drawn ahead. Each is wiped when it is used, so that memory says
/// nothing of the ids that were made.
struct DrawnWords {
    words: [Cell<u64>; Self::COUNT],
    left: Cell<usize>,
}

impl DrawnWords {
    const COUNT: usize = 32;

    const fn none() -> Self {
        Self { words: [const { Cell::new(0) }; Self::COUNT], left: Cell::new(0) }
    }

    // A function of its own, in which the access to the thread-local is inlined.
    #[inline(never)]
    fn next() -> u64 {
        let word = DRAWN.with(|drawn| {
            let left = drawn.left.get().checked_sub(1)?;
            drawn.left.set(left);
            drawn.words.get(left).map(Cell::take)
        });
        word.unwrap_or_else(Self::draw)
    }

    /// Draws words ahead, and one more, which it returns.
    #[cold]
    #[inline(never)]
    fn draw() -> u64 {
        let mut words = [0_u64; Self::COUNT];
        // In the destructor of another thread-local it may be gone already. All words at once: one
        // by one they cost four times as much.
        if GENERATOR.try_with(|generator| generator.borrow_mut().fill(&mut words)).is_err() {
            secure_generator().fill(&mut words);
        }
        let [first, ahead @ ..] = words;
        DRAWN.with(|drawn| {
            drawn.words.iter().zip(ahead).for_each(|(own, word)| own.set(word));
            drawn.left.set(ahead.len());
        });
        first
    }
}

/// A generator seeded by the system. If that fails, the seed comes from the hasher keys of std.
fn secure_generator() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| {
        use std::hash::{BuildHasher, RandomState};
        let mut seed = [0; 32];
        for (index, part) in seed.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&RandomState::new().hash_one(index).to_le_bytes());
        }
        StdRng::from_seed(seed)
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_bears_its_creation_time_and_its_slot(
            created_at in 0..1_u64 << 42, slot: u32, random: u64,
        ) {
            let id = ReservationId::new(Timestamp::from_millis(created_at), slot, random);
            prop_assert_eq!(id.created_at().as_millis(), created_at);
            prop_assert_eq!(id.slot(), slot);
            prop_assert_eq!(id.as_uuid().get_version_num(), 8);
            prop_assert_eq!(id.as_uuid().get_variant(), uuid::Variant::RFC4122);
            prop_assert_eq!(ReservationId::from_uuid(id.as_uuid()), Some(id));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(ReservationId::from_halves(id.to_halves()), id);
        }
    }

    #[test]
    fn words_that_were_drawn_ahead_are_used_once_and_wiped() {
        let random = Randomness::Secure;
        let mut seen: Vec<u64> = (0..10 * DrawnWords::COUNT).map(|_| random.next()).collect();
        let draw = || (0..100).map(|_| Randomness::Secure.next()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw);
        seen.extend(other.join().expect("no panic"));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "a word came twice");
        DRAWN.with(|drawn| {
            let (left, used) = drawn.words.split_at(drawn.left.get());
            assert!(left.iter().all(|word| word.get() != 0));
            assert!(used.iter().all(|word| word.get() == 0), "a word is still there");
        });
    }

    #[test]
    fn an_id_bears_the_opening_that_made_it() {
        for opening in 0..9 {
            for random in [0, u64::MAX] {
                let lowest = ReservationId::lowest(opening, random);
                let id = ReservationId::new(Timestamp::from_millis(7), u32::MAX, lowest);
                let of: Vec<u64> = (0..4).filter(|it| id.may_be_of(*it)).collect();
                assert_eq!((of, id.slot()), (vec![opening % 4], u32::MAX));
                let random = random & ((1 << 40) - 1);
                assert_eq!(id.to_halves()[1] & ((1 << 40) - 1), random, "40 random bits");
            }
        }
    }

    #[test]
    fn ids_sort_by_creation_time() {
        let early = ReservationId::new(Timestamp::from_millis(1), u32::MAX, u64::MAX);
        let late = ReservationId::new(Timestamp::from_millis(2), 0, 0);
        assert!(early < late);
        assert!(early.as_uuid() < late.as_uuid());
    }

    #[test]
    fn a_uuid_of_another_version_is_no_reservation_id() {
        assert_eq!(ReservationId::from_uuid(Uuid::nil()), None);
        assert_eq!("laptop".parse::<ReservationId>(), Err(InvalidReservationId));
    }
}

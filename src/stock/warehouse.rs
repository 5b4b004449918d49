//! A warehouse: one fixed location with a name, a capacity, its room and its stock levels.

use std::sync::{Arc, PoisonError, RwLock};

use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::base::sync::{AtomicBool, AtomicU32, Ordering};
use crate::stock::cell::{Cell, CellId, ResolveMark};
use crate::stock::handle::{LevelIndex, WarehouseId, WarehouseIndex};
use crate::stock::mcas::MarkReader;
use crate::stock::tag::EngineTag;
use crate::stock::word::{Delta, Word};

/// A threshold that is not set.
const NO_THRESHOLD: u32 = u32::MAX;

/// One fixed location: its name, its capacity in units, its reorder threshold.
///
/// *Room left* is a cell like a stock level. Units that come in take room first, and units that go
/// out give it back last. So a warehouse takes no unit in beyond its capacity. If the capacity is
/// lowered below what lies inside, the rest is *over* the capacity: it may stay, nothing comes in,
/// and what leaves makes no room until all that is inside fits again.
#[derive(Debug)]
pub struct Warehouse {
    index: WarehouseIndex,
    /// Whose warehouse it is.
    tag: EngineTag,
    name: Arc<str>,
    capacity: AtomicU32,
    room: Room,
    threshold: AtomicU32,
    suspended: AtomicBool,
    levels: RwLock<Vec<LevelIndex>>,
    marks: MarkReader,
}

/// Room changes with every arrival and departure. It has a cache line of its own, so that these
/// writes do not disturb readers of the settings.
#[derive(Debug)]
#[repr(align(64))]
struct Room(Cell);

impl Warehouse {
    pub(crate) fn new(
        index: WarehouseIndex,
        name: Arc<str>,
        capacity: u32,
        threshold: Option<u32>,
    ) -> Self {
        debug_assert!((1..=MAX_UNITS).contains(&capacity));
        Self {
            index,
            tag: EngineTag::NOBODY,
            name,
            capacity: AtomicU32::new(capacity),
            room: Room(Cell::new(Word::new(capacity, 0))),
            threshold: AtomicU32::new(threshold.unwrap_or(NO_THRESHOLD)),
            suspended: AtomicBool::new(false),
            levels: RwLock::new(Vec::new()),
            marks: MarkReader::default(),
        }
    }

    /// Sets the tag that its handles bear. Called before anybody else knows the warehouse.
    pub(crate) fn belong_to(&mut self, engine: EngineTag) {
        self.tag = engine;
    }

    /// The warehouse's handle.
    pub fn id(&self) -> WarehouseId {
        WarehouseId::new(self.index, self.tag)
    }

    pub(crate) fn index(&self) -> WarehouseIndex {
        self.index
    }

    /// The warehouse's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// How many units it can hold. [`set_capacity`](crate::InventoryManager::set_capacity) changes
    /// it.
    pub fn capacity(&self) -> u32 {
        // Acquire pairs with the Release in `raise_capacity` and `lower_capacity`: whoever sees a
        // capacity sees the room that came, or went, with it.
        self.capacity.load(Ordering::Acquire)
    }

    /// How many more units it can hold at this moment: 0 while it is
    /// [over its capacity](Self::over_capacity). Units on their way in or out count as inside.
    pub fn room_left(&self) -> u32 {
        self.room_word().available()
    }

    /// How many units lie inside beyond the capacity at this moment. 0 unless the capacity was
    /// lowered below what lay inside. Units on their way in or out count as inside.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.set_capacity("SF", 8)?;
    /// let sf = manager.warehouse("SF")?;
    /// assert_eq!((sf.capacity(), sf.room_left(), sf.over_capacity()), (8, 0, 2));
    /// manager.remove_stock(("SF", "LAPTOP"), 3, "sent back")?;
    /// assert_eq!((sf.room_left(), sf.over_capacity()), (1, 0));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn over_capacity(&self) -> u32 {
        self.room_word().reserved()
    }

    fn room_word(&self) -> Word {
        self.room.0.read(CellId::room(self.index), &self.marks)
    }

    /// The reorder threshold of its products that have none of their own: a product is low at this
    /// many available units or fewer. `None` if there is no threshold.
    pub fn threshold(&self) -> Option<u32> {
        let threshold = self.threshold.load(Ordering::Relaxed);
        (threshold != NO_THRESHOLD).then_some(threshold)
    }

    /// Whether the warehouse is suspended: it refuses every new add, remove, reserve, basket and
    /// transfer.
    pub fn is_suspended(&self) -> bool {
        // Acquire pairs with the Release in `set_suspended`.
        self.suspended.load(Ordering::Acquire)
    }

    /// Tells what the marks of commits in the room mean.
    pub(crate) fn marks(&self) -> &MarkReader {
        &self.marks
    }

    /// The word that counts the room, for a commit that covers it.
    pub(crate) fn room(&self) -> &Cell {
        &self.room.0
    }

    /// Takes room for units that will come in. `Err` holds the room left.
    pub(crate) fn take_room<S: ResolveMark + ?Sized>(
        &self,
        qty: Quantity,
        commits: &S,
    ) -> Result<(), u32> {
        self.room
            .0
            .apply(CellId::room(self.index), Delta::take_room(qty), commits)
            .map(drop)
            .map_err(Word::available)
    }

    /// Gives back the room of units that have left. Law 2: the caller has queued their entry.
    pub(crate) fn give_room<S: ResolveMark + ?Sized>(&self, qty: Quantity, commits: &S) {
        let room = CellId::room(self.index);
        let given = self.room.0.apply(room, Delta::give_room(qty), commits);
        debug_assert!(given.is_ok(), "no more room is given than was taken");
    }

    /// Takes room for units that lie inside already, whether they fit or not. `None` if they are
    /// more than a warehouse can be over its capacity.
    pub(crate) fn occupy<S: ResolveMark + ?Sized>(&self, qty: Quantity, commits: &S) -> Option<()> {
        self.room.0.take_room_by_force(CellId::room(self.index), qty, commits).ok().map(drop)
    }

    /// Makes the capacity larger, and gives the room that comes with it. Law 2: the caller has
    /// queued the change. One call at a time may change the capacity.
    pub(crate) fn raise_capacity<S: ResolveMark + ?Sized>(&self, capacity: u32, commits: &S) {
        let before = self.capacity();
        debug_assert!((before..=MAX_UNITS).contains(&capacity));
        if let Ok(more) = Quantity::new(capacity.saturating_sub(before)) {
            self.give_room(more, commits);
        }
        // Release pairs with `capacity`.
        self.capacity.store(capacity, Ordering::Release);
    }

    /// Makes the capacity smaller, and takes the room that goes with it, whether it is left or not.
    /// Returns how many units were inside at the instant at which it went. Law 2: the caller queues
    /// the change after. One call at a time may change the capacity.
    pub(crate) fn lower_capacity<S: ResolveMark + ?Sized>(
        &self,
        capacity: u32,
        commits: &S,
    ) -> u32 {
        let before = self.capacity();
        debug_assert!(capacity <= before);
        let word = match Quantity::new(before.saturating_sub(capacity)) {
            Ok(less) => {
                let room = CellId::room(self.index);
                let taken = self.room.0.take_room_by_force(room, less, commits);
                debug_assert!(taken.is_ok(), "no more is over than lies inside");
                taken.map_or_else(|word| word, |change| change.before)
            }
            Err(_) => self.room_word(),
        };
        // Release pairs with `capacity`.
        self.capacity.store(capacity, Ordering::Release);
        // At most `MAX_UNITS`: no more ever came in than some capacity had room for.
        (i64::from(before) - word.balance()) as u32
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.suspended.store(suspended, Ordering::Release);
    }

    pub(crate) fn set_threshold(&self, threshold: Option<u32>) {
        self.threshold.store(threshold.unwrap_or(NO_THRESHOLD), Ordering::Relaxed);
    }

    /// The handles of its levels, in the order in which they were opened.
    pub(crate) fn levels(&self) -> Vec<LevelIndex> {
        self.levels.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_level(&self, level: LevelIndex) {
        self.levels.write().unwrap_or_else(PoisonError::into_inner).push(level);
    }
}

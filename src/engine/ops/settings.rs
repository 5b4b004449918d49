//! Settings that can change while the engine runs: times to live, thresholds, safety stock,
//! suspension, capacities.

use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::audit::record_builder::RecordBuilder;
use crate::base::error::{SettingError, Uncertain};
use crate::base::quantity::MAX_UNITS;
use crate::base::sync::lock;
use crate::engine::durability::OperationKind;
use crate::engine::place::{LevelRef, WarehouseRef};
use crate::engine::ttl_limits::millis;
use crate::engine::{Engine, InventoryManager};
use crate::stock::handle::LevelIndex;
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

impl InventoryManager {
    /// The longest time to live that one reserve or one extension may ask for. Never waits.
    pub fn longest_ttl(&self) -> Duration {
        self.engine.ttl_limits.longest_ttl()
    }

    /// Sets the longest time to live for calls from now on. Live holds keep theirs. May wait for
    /// another change of a setting, for room in the audit queue, and for the disk.
    ///
    /// With a journal, the change also holds after a restart, unless the builder then sets another
    /// value than before.
    ///
    /// # Errors
    /// [`SettingError::LongestTtl`] if it is less than a millisecond. See [`SettingError`] for the
    /// rest.
    pub fn set_longest_ttl(&self, longest: Duration) -> Result<(), SettingError> {
        if millis(longest) == 0 {
            return Err(SettingError::LongestTtl);
        }
        self.engine.change(Subject::None, "longest_ttl_ms", &millis(longest).to_string(), || {
            self.engine.ttl_limits.set_longest_ttl(millis(longest));
        })
    }

    /// Suspends a warehouse: until it is resumed, it refuses to add, remove, reserve, sell,
    /// transfer, or take a line of a basket, and split fulfillment skips it. Holds there can still
    /// be confirmed, released and extended, and they expire. Sold units can still be shipped, and
    /// their sale cancelled. Waits as [`set_longest_ttl`](Self::set_longest_ttl) does. With a
    /// journal, the suspension lasts over a restart.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn suspend<'a>(&self, warehouse: impl Into<WarehouseRef<'a>>) -> Result<(), SettingError> {
        self.set_suspended(warehouse.into(), true)
    }

    /// Resumes a suspended warehouse.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn resume<'a>(&self, warehouse: impl Into<WarehouseRef<'a>>) -> Result<(), SettingError> {
        self.set_suspended(warehouse.into(), false)
    }

    fn set_suspended(
        &self,
        warehouse: WarehouseRef<'_>,
        suspended: bool,
    ) -> Result<(), SettingError> {
        let warehouse = self.engine.warehouse(warehouse)?;
        let place = Subject::Warehouse(warehouse.index());
        self.engine.change(place, "suspended", &suspended.to_string(), || {
            self.engine.catalog.set_suspended(warehouse, suspended);
        })
    }

    /// Sets how many units a warehouse can hold, 1 to [`MAX_UNITS`]. Waits as
    /// [`set_longest_ttl`](Self::set_longest_ttl) does.
    ///
    /// May be less than what lies inside. Then nothing moves out by itself: all that is inside can
    /// be reserved, sold, shipped, removed and transferred away as before. But nothing comes in,
    /// and units that leave make no room until all that is inside fits. Stops no other call, and
    /// each of them finds either the room before the change or the room after it.
    ///
    /// With a journal, the change also holds after a restart, unless the builder then gives another
    /// capacity than before.
    ///
    /// # Errors
    /// [`SettingError::Capacity`] if it is 0 or more than [`MAX_UNITS`]. See [`SettingError`] for
    /// the rest.
    ///
    /// ```
    /// # use stockade::{AddError, InventoryManager, WarehouseSpec};
    /// # let sf = WarehouseSpec::new("SF").capacity(15);
    /// # let manager = InventoryManager::builder().warehouse(sf).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.set_capacity("SF", 8)?;
    /// let refused = manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER");
    /// assert_eq!(refused, Err(AddError::OverCapacity { needed: 1, room: 0 }));
    /// manager.remove_stock(("SF", "LAPTOP"), 3, "sent back")?;
    /// manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER")?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn set_capacity<'a>(
        &self,
        warehouse: impl Into<WarehouseRef<'a>>,
        units: u32,
    ) -> Result<(), SettingError> {
        if !(1..=MAX_UNITS).contains(&units) {
            return Err(SettingError::Capacity { units });
        }
        let engine = &*self.engine;
        let warehouse = engine.warehouse(warehouse.into())?;
        let place = Subject::Warehouse(warehouse.index());
        engine.record_change(place, "capacity", &units.to_string(), |record| {
            // Room is a count like any other (Law 2): less capacity takes room, and is recorded
            // after; more capacity gives room, and is recorded before.
            if units < warehouse.capacity() {
                let inside = warehouse.lower_capacity(units, engine);
                return record.text("inside", &inside.to_string()).queue();
            }
            let recorded = record.queue();
            warehouse.raise_capacity(units, engine);
            recorded
        })
    }

    /// Sets the reorder point of a warehouse, in available units, for all its products that have
    /// none of their own. `None`: those products raise no alerts. Waits as
    /// [`set_longest_ttl`](Self::set_longest_ttl) does. Costs a visit of each level of the
    /// warehouse.
    ///
    /// # Errors
    /// [`SettingError::Threshold`] if it is [`MAX_UNITS`] or more. See [`SettingError`] for the
    /// rest.
    pub fn set_threshold<'a>(
        &self,
        warehouse: impl Into<WarehouseRef<'a>>,
        threshold: Option<u32>,
    ) -> Result<(), SettingError> {
        check_threshold(threshold)?;
        let warehouse = self.engine.warehouse(warehouse.into())?;
        let place = Subject::Warehouse(warehouse.index());
        self.engine.change(place, "threshold", &as_text(threshold), || {
            warehouse.set_threshold(threshold);
            for level in
                warehouse.levels().into_iter().filter_map(|level| self.engine.catalog.level(level))
            {
                level.set_shared_threshold(threshold);
            }
        })
    }

    /// Sets the reorder point of one product in one warehouse, in available units. Overrides the
    /// warehouse's own. `None`: this product raises no alerts there.
    ///
    /// # Errors
    /// [`SettingError::Threshold`] if it is [`MAX_UNITS`] or more. See [`SettingError`] for the
    /// rest.
    pub fn set_product_threshold<'a>(
        &self,
        level: impl Into<LevelRef<'a>>,
        threshold: Option<u32>,
    ) -> Result<(), SettingError> {
        check_threshold(threshold)?;
        let (handle, level, _) = self.engine.level_to_set(level.into())?;
        self.engine.change(Subject::Level(handle), "threshold", &as_text(threshold), || {
            level.set_own_threshold(threshold);
        })
    }

    /// Removes a product's own reorder point, so that the warehouse's applies again.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn clear_product_threshold<'a>(
        &self,
        level: impl Into<LevelRef<'a>>,
    ) -> Result<(), SettingError> {
        let (handle, level, warehouse) = self.engine.level_to_set(level.into())?;
        self.engine.change(Subject::Level(handle), "threshold", "of the warehouse", || {
            level.clear_own_threshold(warehouse.threshold());
        })
    }
}

impl InventoryManager {
    /// Sets the safety stock of one product in one warehouse: so many of its available units are
    /// kept back. `reserve`, `sell`, baskets, split fulfilment and retakes leave them there, unless
    /// the call [passes it](crate::Request::pass_safety_stock). No unit moves by this call. Where
    /// fewer are there than it says, the next that come in or back are safety stock, too. 0 keeps
    /// none back, and is the default. Waits as [`set_longest_ttl`](Self::set_longest_ttl) does.
    ///
    /// It binds sales alone. Units that are held can be confirmed whatever it is. `remove_stock`
    /// and transfers take what is available: broken units are broken, and where stock lies is for
    /// the warehouse to say. A call that is under way when the setting changes may still go by the
    /// old value; each call reads it once.
    ///
    /// With a journal, the setting lasts over a restart.
    ///
    /// # Errors
    /// [`SettingError::SafetyStock`] if it is more than [`MAX_UNITS`]. See [`SettingError`] for the
    /// rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::ReserveError;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.set_safety_stock(("SF", "LAPTOP"), 4)?;
    /// assert_eq!(manager.stock_level(("SF", "LAPTOP"))?.for_sale(), 6);
    /// let refused = manager.sell(("SF", "LAPTOP"), 7);
    /// assert!(matches!(
    ///     refused,
    ///     Err(ReserveError::Insufficient { needed: 7, available: 10, safety_stock: 4, .. })
    /// ));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn set_safety_stock<'a>(
        &self,
        level: impl Into<LevelRef<'a>>,
        units: u32,
    ) -> Result<(), SettingError> {
        if units > MAX_UNITS {
            return Err(SettingError::SafetyStock { units });
        }
        let (handle, level, _) = self.engine.level_to_set(level.into())?;
        self.engine.change(Subject::Level(handle), "safety_stock", &units.to_string(), || {
            level.set_safety_stock(units);
        })
    }
}

impl InventoryManager {
    /// Notes that an operator knows of the newest step back of the clock, which
    /// [`health`](Self::health) and the recovery report tell of: from here on they do not, nor
    /// after a restart. Does nothing if there is none. Waits as
    /// [`set_longest_ttl`](Self::set_longest_ttl) does.
    ///
    /// # Errors
    /// See [`SettingError`].
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.acknowledge_clock_step()?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn acknowledge_clock_step(&self) -> Result<(), SettingError> {
        let Some(journal) = self.engine.journal.as_ref().filter(|it| it.tells_of_a_step()) else {
            return Ok(());
        };
        self.engine.change(Subject::None, "clock_step", "acknowledged", || journal.forget_step())
    }
}

fn check_threshold(threshold: Option<u32>) -> Result<(), SettingError> {
    match threshold {
        Some(units) if units >= MAX_UNITS => Err(SettingError::Threshold { units }),
        _ => Ok(()),
    }
}

fn as_text(threshold: Option<u32>) -> String {
    threshold.map_or_else(|| "none".to_owned(), |units| units.to_string())
}

impl Engine {
    /// The level that a setting is about, which must be open, and its warehouse.
    fn level_to_set(
        &self,
        level: LevelRef<'_>,
    ) -> Result<(LevelIndex, &StockLevel, &Warehouse), SettingError> {
        level.check_names()?;
        let handle = self.resolve(self.own_level(level)?)?;
        let (level, warehouse) = self.level_and_warehouse(handle)?;
        Ok((handle, level, warehouse))
    }

    /// Records a change of a setting, then makes it.
    fn change(
        &self,
        place: Subject,
        setting: &str,
        value: &str,
        set: impl FnOnce(),
    ) -> Result<(), SettingError> {
        self.record_change(place, setting, value, |record| {
            let recorded = record.queue();
            set();
            recorded
        })
    }

    /// Has `step` queue the record of a change, and make the change. One change at a time, so that
    /// the last record of a setting is the setting in force.
    fn record_change(
        &self,
        place: Subject,
        setting: &str,
        value: &str,
        step: impl FnOnce(RecordBuilder<'_>) -> Result<(), Uncertain>,
    ) -> Result<(), SettingError> {
        // The clock is the caller's, and a call may have to write to the caller's sink for room:
        // both under no lock.
        let now = self.now();
        self.admit()?;
        let one_at_a_time = lock(&self.changing);
        let record = self
            .recorder
            .event(EventType::SettingChanged)
            .about(place)
            .at(now)
            .text("setting", setting)
            .text("value", value);
        let recorded = step(record);
        drop(one_at_a_time);
        let answer = recorded.map_err(SettingError::from);
        self.once_durable(OperationKind::Setting, None, answer)
    }
}

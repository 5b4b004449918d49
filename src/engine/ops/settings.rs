//! What can change while the engine runs: times to live, thresholds, a warehouse's suspension.

use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::record::Subject;
use crate::base::error::SettingError;
use crate::base::quantity::MAX_UNITS;
use crate::base::sync::{Ordering, lock};
use crate::engine::call::RequestOptions;
use crate::engine::durability::OperationKind;
use crate::engine::place::{LevelRef, WarehouseRef};
use crate::engine::ttl_limits::millis;
use crate::engine::{Engine, InventoryManager};

impl InventoryManager {
    /// The longest time to live that one reserve or one extension may ask for.
    pub fn longest_ttl(&self) -> Duration {
        self.engine.ttl_limits.longest_ttl()
    }

    /// Changes the longest time to live, for calls from now on; live holds keep theirs.
    ///
    /// # Errors
    /// [`SettingError::LongestTtl`] if it is less than a millisecond; see [`SettingError`] for the
    /// rest.
    pub fn set_longest_ttl(&self, longest: Duration) -> Result<(), SettingError> {
        if millis(longest) == 0 {
            return Err(SettingError::LongestTtl);
        }
        self.engine.change(Subject::None, "longest_ttl_ms", &millis(longest).to_string(), || {
            self.engine.ttl_limits.longest_ttl.store(millis(longest), Ordering::Relaxed);
        })
    }

    /// Suspends a warehouse: it takes no add, remove, reserve, basket or transfer until it is
    /// resumed. Holds there can still be confirmed, released, extended, expired, shipped and
    /// cancelled.
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
            warehouse.set_suspended(suspended)
        })
    }

    /// Sets the threshold of a warehouse, for all its products that have none of their own. `None`:
    /// they raise no alerts.
    ///
    /// # Errors
    /// [`SettingError::Threshold`] if it is [`MAX_UNITS`] or more; see [`SettingError`] for the
    /// rest.
    pub fn set_threshold<'a>(
        &self,
        warehouse: impl Into<WarehouseRef<'a>>,
        threshold: Option<u32>,
    ) -> Result<(), SettingError> {
        check_threshold(threshold)?;
        let warehouse = self.engine.warehouse(warehouse.into())?;
        let place = Subject::Warehouse(warehouse.index());
        self.engine.change(place, "threshold", &shown(threshold), || {
            warehouse.set_threshold(threshold);
            for level in
                warehouse.levels().into_iter().filter_map(|level| self.engine.catalog.level(level))
            {
                level.set_shared_threshold(threshold);
            }
        })
    }

    /// Sets a threshold for one product in one warehouse, whatever the warehouse's own; `None`
    /// silences it.
    ///
    /// # Errors
    /// [`SettingError::Threshold`] if it is [`MAX_UNITS`] or more; see [`SettingError`] for the
    /// rest.
    pub fn set_product_threshold<'a>(
        &self,
        level: impl Into<LevelRef<'a>>,
        threshold: Option<u32>,
    ) -> Result<(), SettingError> {
        check_threshold(threshold)?;
        let level = level.into();
        level.check_names()?;
        let handle = self.engine.resolve(self.engine.own_level(level)?)?;
        let (level, _) = self.engine.level_and_warehouse(handle)?;
        self.engine.change(Subject::Level(handle), "threshold", &shown(threshold), || {
            level.set_own_threshold(threshold);
        })
    }

    /// Lets a product follow its warehouse's threshold again.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn clear_product_threshold<'a>(
        &self,
        level: impl Into<LevelRef<'a>>,
    ) -> Result<(), SettingError> {
        let level = level.into();
        level.check_names()?;
        let handle = self.engine.resolve(self.engine.own_level(level)?)?;
        let (level, warehouse) = self.engine.level_and_warehouse(handle)?;
        self.engine.change(Subject::Level(handle), "threshold", "of the warehouse", || {
            level.clear_own_threshold(warehouse.threshold());
        })
    }
}

fn check_threshold(threshold: Option<u32>) -> Result<(), SettingError> {
    match threshold {
        Some(units) if units >= MAX_UNITS => Err(SettingError::Threshold { units }),
        _ => Ok(()),
    }
}

fn shown(threshold: Option<u32>) -> String {
    threshold.map_or_else(|| "none".to_owned(), |units| units.to_string())
}

impl Engine {
    /// Records a change of a setting, and makes it. One at a time, so that the record's last word
    /// is the setting that stands.
    fn change(
        &self,
        place: Subject,
        setting: &str,
        value: &str,
        set: impl FnOnce(),
    ) -> Result<(), SettingError> {
        let one_at_a_time = lock(&self.changing);
        self.admit()?;
        let record = self
            .recorder
            .event(EventType::SettingChanged)
            .about(place)
            .at(self.now())
            .text("setting", setting)
            .text("value", value);
        let recorded = record.queue();
        set();
        drop(one_at_a_time);
        let answer = recorded.map_err(SettingError::from);
        self.once_durable(OperationKind::Setting, RequestOptions::DEFAULT, answer)
    }
}

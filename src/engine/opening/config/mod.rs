//! The settings of an engine as a file says them, and the builder that is made of them.

#[cfg(feature = "journal")]
pub(in crate::engine) mod journal;
pub(in crate::engine) mod limits;
#[cfg(feature = "journal")]
pub(in crate::engine) mod retention;

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::queue::Backpressure;
use crate::base::error::DefineLimitError;
use crate::engine::InventoryManager;
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::opening::builder::Builder;
use crate::engine::opening::spec::WarehouseSpec;
use crate::policy::limit_rule::LimitRule;

use limits::LimitsConfig;

/// The settings of an engine that are data, so that a service can read them from a file: TOML,
/// JSON, YAML, whatever serde reads. [`builder`](Self::builder) makes a [`Builder`] of them.
///
/// What the file leaves out has the [`Builder`]'s default. A name that is no setting is an error.
/// Spans of time are whole milliseconds, in fields whose names end in `_ms`. `docs/config.toml` has
/// every setting, with its default.
///
/// What is no data stays with the builder: the clock, the sink, listeners, the approval policy. So
/// does the secret of limits: a file of settings is copied, sent and committed, and a secret must
/// not be. Give it with [`Builder::subject_secret`].
///
/// ```
/// use stockade::Config;
/// let config: Config = toml::from_str(
///     r#"
///     [[warehouses]]
///     name = "SF"
///     capacity = 50_000
///
///     [limits]
///     longest_ttl_ms = 600_000
///
///     [[customer_limits]]
///     name = "two each"
///     kind = "customer"
///     maximum = 2
///     products = ["SHOE"]
///     "#,
/// )?;
/// // In a service: 16 random bytes, kept as a password is.
/// let manager = config.builder().subject_secret([7; 16]).build()?;
/// manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
/// // Once the products are stocked, and before the first customer comes.
/// config.define_limits(&manager)?;
/// assert_eq!(manager.limits(), config.customer_limits);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The warehouses: see [`Builder::warehouse`]. An engine needs at least one. In a file, each
    /// needs its `name`; `capacity` and `threshold` are units. Thresholds of single products are
    /// set at run time
    /// ([`set_product_threshold`](crate::InventoryManager::set_product_threshold)): a product has
    /// to be stocked first.
    pub warehouses: Vec<WarehouseSpec>,
    /// What a call does while the audit queue is nearly full, or while another call with the same
    /// idempotency key is in progress: see [`Builder::backpressure`].
    pub backpressure: Backpressure,
    /// Whether a thread expires overdue holds: see [`Builder::sweeper`].
    pub sweeper: bool,
    /// Whether the engine keeps an index of who has which holds: see [`Builder::index_holders`].
    pub index_holders: bool,
    /// The durability of all operations: see [`Builder::durability`].
    pub durability: Durability,
    /// The durability of kinds of operations for which it is another: see
    /// [`Builder::durability_of`].
    pub durability_of: BTreeMap<OperationKind, Durability>,
    /// How much the engine holds, and for how long: see [`Builder::limits`].
    pub limits: LimitsConfig,
    /// The journal: see [`Builder::journal`]. `None`: the engine lives in memory. Without the
    /// feature `journal` there is no such setting, and a file that has it is refused.
    #[cfg(feature = "journal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
    pub journal: Option<journal::JournalConfig>,
    /// Limits per customer, household or card, for [`define_limits`](Self::define_limits). The
    /// builder takes none.
    pub customer_limits: Vec<LimitRule>,
}

impl Default for Config {
    /// The builder's defaults. There are no warehouses yet.
    fn default() -> Self {
        // Each field by name: who adds a setting to the builder decides here whether it is data.
        let Builder {
            warehouses,
            limits: _,
            clock: _,
            randomness: _,
            backpressure,
            sink: _,
            approval_policy: _,
            listeners: _,
            durabilities: _,
            journal: _,
            sweeper,
            threads: _,
            subject_secret: _,
            index_holders,
        } = Builder::new();
        Self {
            warehouses,
            backpressure,
            sweeper,
            index_holders,
            durability: Durability::default(),
            durability_of: BTreeMap::new(),
            limits: LimitsConfig::default(),
            #[cfg(feature = "journal")]
            journal: None,
            customer_limits: Vec::new(),
        }
    }
}

impl Config {
    /// A builder with these settings. It can be given more, and has the last word: a setting that
    /// is made on it replaces the file's. Nothing is checked here:
    /// [`build`](Builder::build) names the setting that is not valid
    /// ([`BuildError`](crate::BuildError)).
    ///
    /// [`customer_limits`](Self::customer_limits) are not in it: see
    /// [`define_limits`](Self::define_limits).
    pub fn builder(&self) -> Builder {
        let mut builder = Builder::new()
            .backpressure(self.backpressure)
            .sweeper(self.sweeper)
            .index_holders(self.index_holders)
            .durability(self.durability)
            .limits(self.limits.as_limits());
        for warehouse in &self.warehouses {
            builder = builder.warehouse(warehouse.clone());
        }
        for (kind, durability) in &self.durability_of {
            builder = builder.durability_of(*kind, *durability);
        }
        #[cfg(feature = "journal")]
        if let Some(journal) = &self.journal {
            builder = builder.journal(journal.options());
        }
        builder
    }

    /// Defines the [`customer_limits`](Self::customer_limits) on a running engine, and says how
    /// many of them were new or had changed. Call it at each start, before the first customer
    /// comes: until a limit is defined, it binds nobody. A limit that a journal has brought back
    /// as the file says it is left alone. So a restart records nothing, and what customers have
    /// drawn counts on. Of two limits of one name, the last counts.
    ///
    /// The file has the last word: a maximum that was
    /// [changed](crate::InventoryManager::set_limit_maximum) at run time is set back. A limit that
    /// is no longer in the file stays in force, because it may have been defined by other means:
    /// see [`drop_limit`](crate::InventoryManager::drop_limit).
    ///
    /// Products must have been stocked before a limit can name them. At the very first start, add
    /// the stock first; or let the limit cover a `group`, and put products into the group as they
    /// are stocked ([`add_to_group`](crate::InventoryManager::add_to_group)). A product is free of
    /// the limit until then.
    ///
    /// # Errors
    /// As [`define_limit`](crate::InventoryManager::define_limit), for the first limit that is
    /// refused. Those before it are in force, those after it are not. Another call goes on.
    pub fn define_limits(&self, manager: &InventoryManager) -> Result<usize, DefineLimitError> {
        let in_force = manager.limits();
        let mut defined = 0;
        for (index, rule) in self.customer_limits.iter().enumerate() {
            let is_last = self.customer_limits[index + 1..].iter().all(|it| it.name != rule.name);
            if is_last && !in_force.iter().any(|it| says_the_same(it, rule)) {
                manager.define_limit(rule.clone())?;
                defined += 1;
            }
        }
        Ok(defined)
    }
}

/// Whether two rules are the same to an engine, which sorts the products and rounds times.
fn says_the_same(one: &LimitRule, other: &LimitRule) -> bool {
    let products = |rule: &LimitRule| rule.products.iter().cloned().collect::<BTreeSet<String>>();
    let plain = |rule: &LimitRule| {
        let counts = rule.counts.in_whole_millis();
        LimitRule { products: Vec::new(), counts, ..rule.clone() }
    };
    plain(one) == plain(other) && products(one) == products(other)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What a builder says, without what is no data.
    fn shown(builder: &Builder) -> String {
        let Builder { warehouses, limits, backpressure, durabilities, .. } = builder;
        let switches = (builder.sweeper, builder.threads, builder.index_holders);
        let absent = (builder.sink.is_none(), builder.listeners.len(), builder.journal.is_none());
        let rest = (switches, absent, builder.subject_secret);
        format!("{warehouses:?} {limits:?} {backpressure:?} {durabilities:?} {rest:?}")
    }

    #[test]
    fn a_config_of_nothing_is_a_plain_builder() {
        let read: Config = toml::from_str("").expect("nothing is needed");
        assert_eq!(read, Config::default());
        assert_eq!(shown(&read.builder()), shown(&Builder::new()));
    }

    #[test]
    fn every_setting_reaches_the_builder() {
        let config: Config = toml::from_str(
            r#"
            warehouses = [{ name = "SF" }, { name = "NYC", capacity = 9, threshold = 3 }]
            backpressure = "refuse"
            sweeper = false
            index_holders = true
            durability = "synced"
            durability_of = { reserve = "buffered" }
            limits = { max_basket_lines = 7 }
            "#,
        )
        .expect("settings");
        let plain = Builder::new()
            .warehouse("SF")
            .warehouse(WarehouseSpec::new("NYC").capacity(9).threshold(3))
            .backpressure(Backpressure::Refuse)
            .sweeper(false)
            .index_holders(true)
            .durability(Durability::Synced)
            .durability_of(OperationKind::Reserve, Durability::Buffered)
            .limits(crate::engine::Limits::new().max_basket_lines(7));
        assert_eq!(shown(&config.builder()), shown(&plain));
    }

    #[test]
    fn the_order_of_products_makes_no_other_limit() {
        let rule = |products: &[&str]| LimitRule::new("two", "card", 2).products(products.to_vec());
        assert!(says_the_same(&rule(&["A", "B"]), &rule(&["B", "A", "B"])));
        assert!(!says_the_same(&rule(&["A", "B"]), &rule(&["A"])));
        assert!(!says_the_same(&rule(&["A"]), &rule(&["A"]).group("drop")));
        assert!(!says_the_same(&rule(&["A"]), &LimitRule { maximum: 3, ..rule(&["A"]) }));
    }
}

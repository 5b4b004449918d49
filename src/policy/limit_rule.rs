//! What a business may limit: how much one customer, household or card may hold or buy.

use std::time::Duration;

use crate::stock::allowance::rule::{AskedAt, BY_LEVEL, LimitCounts, LimitUnit};

/// A limit, to be [defined](crate::InventoryManager::define_limit): how much each *subject* may
/// draw, of all the products together that the limit covers, in all warehouses.
///
/// ```
/// use std::time::Duration;
/// use stockade::{LimitCounts, LimitRule};
/// // Two units of the drop a customer, over the whole campaign.
/// let each = LimitRule::new("two each", "customer", 2).products(["SHOE-41", "SHOE-42"]);
/// // One purchase a household within a day.
/// let day = LimitRule::new("one a day", "household", 1)
///     .counts(LimitCounts::SalesWithin(Duration::from_secs(86_400)))
///     .reservations()
///     .group("drop");
/// # let _ = (each, day);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[must_use = "a limit binds once it is defined"]
#[non_exhaustive]
pub struct LimitRule {
    /// Its name. One limit of a name is in force at a time.
    pub name: String,
    /// The kind of its subjects.
    #[cfg_attr(feature = "serde", serde(default = "of_levels"))]
    pub kind: String,
    /// The subject is the stock level. Then the kind is `level`, and else another word.
    #[cfg_attr(feature = "serde", serde(default))]
    pub by_level: bool,
    /// The most that a subject may have.
    pub maximum: u32,
    /// In what it counts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub unit: LimitUnit,
    /// Which draws count.
    #[cfg_attr(feature = "serde", serde(default))]
    pub counts: LimitCounts,
    /// When a call has to name the subject.
    #[cfg_attr(feature = "serde", serde(default))]
    pub asked: AskedAt,
    /// The group of products that it covers.
    #[cfg_attr(feature = "serde", serde(default))]
    pub group: Option<String>,
    /// The products that it covers besides those of the group.
    #[cfg_attr(feature = "serde", serde(default))]
    pub products: Vec<String>,
}

/// Where no kind is given, the limit is by level.
#[cfg(feature = "serde")]
fn of_levels() -> String {
    BY_LEVEL.to_owned()
}

impl LimitRule {
    /// A limit of this name: each subject of this kind may draw `maximum` at most. The kind is the
    /// caller's word of 1 to 16 bytes, and not `level`: `customer`, `household`, `card`. Counts
    /// [`LimitCounts::Sales`] in units, and covers nothing yet.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, maximum: u32) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            by_level: false,
            maximum,
            unit: LimitUnit::default(),
            counts: LimitCounts::default(),
            asked: AskedAt::default(),
            group: None,
            products: Vec::new(),
        }
    }

    /// A cap of live holds: each stock level that the limit covers may have `maximum` units in
    /// holds at most. Its subject is the level, so calls name none, and it needs no secret.
    pub fn by_level(name: impl Into<String>, maximum: u32) -> Self {
        let counts = LimitCounts::Holds;
        Self { counts, by_level: true, ..Self::new(name, BY_LEVEL, maximum) }
    }

    /// Sets which draws count, and so when each is given back.
    pub fn counts(mut self, counts: LimitCounts) -> Self {
        self.counts = counts.in_whole_millis();
        self
    }

    /// Counts reservations, however many units and lines each has, and not units.
    pub fn reservations(mut self) -> Self {
        self.unit = LimitUnit::Reservations;
        self
    }

    /// Asks for the subject, and draws, when units are sold, and not before: for what is known only
    /// then, as a card. A hold whose call names the subject draws at once.
    pub fn asked_at_sale(mut self) -> Self {
        self.asked = AskedAt::Sale;
        self
    }

    /// Covers these products, besides the group's. Each must have been stocked somewhere.
    pub fn products<P: Into<String>>(mut self, products: impl IntoIterator<Item = P>) -> Self {
        self.products.extend(products.into_iter().map(Into::into));
        self
    }

    /// Covers the products of this group: see
    /// [`add_to_group`](crate::InventoryManager::add_to_group).
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    pub(crate) fn window(&self) -> Option<Duration> {
        self.counts.window()
    }
}

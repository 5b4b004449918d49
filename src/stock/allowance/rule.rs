//! What a rule says, and the words with which a record says it.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::quantity::MAX_UNITS;
use crate::stock::allowance::key::RuleNumber;
use crate::stock::handle::ProductIndex;

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LimitUnit {
    /// Units.
    #[default]
    Units,
    /// Reservations, however many units and lines each has.
    Reservations,
}

/// Which draws a limit counts, and so when each is given back.
///
/// | | release, expiry | confirm | cancelled sale | shipment |
/// | --- | --- | --- | --- | --- |
/// | `Holds` | given back | given back | | |
/// | `Sales` | given back | stays | given back | stays |
/// | `SalesKept` | given back | stays | stays | stays |
/// | `SalesWithin` | given back | stays for so long, then given back | given back | stays |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LimitCounts {
    /// What is held: at most so much in the checkout at a time.
    Holds,
    /// What is held or was bought, for as long as the rule stands: a limit of a campaign.
    #[default]
    Sales,
    /// The same, and a cancelled sale counts on.
    SalesKept,
    /// What is held, or was bought within so long: two a day. The time runs from the end of the
    /// hold that was bought, and in whole milliseconds.
    SalesWithin(
        #[cfg_attr(feature = "serde", serde(with = "crate::base::serialize::millis"))] Duration,
    ),
}

impl LimitCounts {
    /// Whether a draw stays when its units are sold.
    pub(crate) fn counts_sales(self) -> bool {
        self != Self::Holds
    }

    /// Whether a draw is given back when the sale of its units is cancelled.
    pub(crate) fn gives_back_on_cancel(self) -> bool {
        matches!(self, Self::Sales | Self::SalesWithin(_))
    }

    /// The same, with a time in whole milliseconds: journals have no finer ones.
    pub(crate) fn in_whole_millis(self) -> Self {
        match self {
            Self::SalesWithin(window) => {
                // The longest are refused when the limit is defined.
                let millis = window.as_millis().min(u64::MAX.into());
                Self::SalesWithin(Duration::from_millis(millis as u64))
            }
            other => other,
        }
    }

    /// How long a draw counts after the end of its hold, if not for ever.
    pub(crate) fn window(self) -> Option<Duration> {
        if let Self::SalesWithin(window) = self { Some(window) } else { None }
    }
}

/// When a call has to name the subject, and the draw is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum AskedAt {
    /// When the units are held, or sold at once.
    #[default]
    Hold,
    /// When they are sold: a card, which is known only then. A hold that names it draws at once.
    Sale,
}

/// The kind of subject of a limit that counts by stock level: the level itself.
pub(crate) const BY_LEVEL: &str = "level";

/// A rule, as it stands now. What it counts, its unit, its kind of subject and when it asks for one
/// never change; a rule that has others is another rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleDefinition {
    pub(crate) number: RuleNumber,
    /// Rises with each change.
    pub(crate) version: u32,
    pub(crate) name: Arc<str>,
    /// The kind of its subjects.
    pub(crate) kind: Arc<str>,
    pub(crate) maximum: u32,
    pub(crate) unit: LimitUnit,
    pub(crate) counts: LimitCounts,
    pub(crate) asked: AskedAt,
    /// It covers the products of this group, besides its own.
    pub(crate) group: Option<Arc<str>>,
    /// Sorted, each once.
    pub(crate) products: Vec<ProductIndex>,
}

// Words of journals: they never change (`docs/persisted-words.md`).
const UNITS: &str = "units";
const RESERVATIONS: &str = "reservations";
const HOLDS: &str = "holds";
const SALES: &str = "sales";
const SALES_KEPT: &str = "sales_kept";
const SALES_WITHIN: &str = "sales_within:";
const AT_HOLD: &str = "hold";
const AT_SALE: &str = "sale";

impl RuleDefinition {
    /// Whether it counts by stock level, and not by a subject that the call names.
    pub(crate) fn is_by_level(&self) -> bool {
        &*self.kind == BY_LEVEL
    }

    /// The facts of the record that defines the rule. The products are its lines.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let unit = match self.unit {
            LimitUnit::Units => UNITS,
            LimitUnit::Reservations => RESERVATIONS,
        };
        let counts = match self.counts {
            LimitCounts::Holds => HOLDS.to_owned(),
            LimitCounts::Sales => SALES.to_owned(),
            LimitCounts::SalesKept => SALES_KEPT.to_owned(),
            LimitCounts::SalesWithin(window) => format!("{SALES_WITHIN}{}", window.as_millis()),
        };
        let asked = match self.asked {
            AskedAt::Hold => AT_HOLD,
            AskedAt::Sale => AT_SALE,
        };
        let mut facts = vec![
            ("rule", self.number.0.to_string()),
            ("version", self.version.to_string()),
            ("name", self.name.as_ref().to_owned()),
            ("subject", self.kind.as_ref().to_owned()),
            ("maximum", self.maximum.to_string()),
            ("unit", unit.to_owned()),
            ("counts", counts),
            ("asked", asked.to_owned()),
        ];
        facts.extend(self.group.iter().map(|group| ("group", group.as_ref().to_owned())));
        facts
    }

    /// The rule of these facts and products; `None` if they are no rule's.
    pub(crate) fn from_facts<'f>(
        fact: impl Fn(&str) -> Option<&'f str>,
        mut products: Vec<ProductIndex>,
    ) -> Option<Self> {
        products.sort_unstable();
        products.dedup();
        Some(Self {
            number: RuleNumber(fact("rule")?.parse().ok()?),
            version: fact("version")?.parse().ok()?,
            name: fact("name")?.into(),
            kind: fact("subject")?.into(),
            maximum: fact("maximum")?.parse().ok().filter(|maximum| *maximum <= MAX_UNITS)?,
            unit: match fact("unit")? {
                UNITS => LimitUnit::Units,
                RESERVATIONS => LimitUnit::Reservations,
                _ => return None,
            },
            counts: counts(fact("counts")?)?,
            asked: match fact("asked")? {
                AT_HOLD => AskedAt::Hold,
                AT_SALE => AskedAt::Sale,
                _ => return None,
            },
            group: fact("group").map(Into::into),
            products,
        })
    }
}

fn counts(word: &str) -> Option<LimitCounts> {
    Some(match word {
        HOLDS => LimitCounts::Holds,
        SALES => LimitCounts::Sales,
        SALES_KEPT => LimitCounts::SalesKept,
        other => {
            let millis: u64 = other.strip_prefix(SALES_WITHIN)?.parse().ok()?;
            let known = (1..=Timestamp::MAX.as_millis()).contains(&millis);
            known.then(|| LimitCounts::SalesWithin(Duration::from_millis(millis)))?
        }
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_rule_survives_its_facts() {
        let day = Duration::from_secs(86_400);
        let all = [
            LimitCounts::Holds,
            LimitCounts::Sales,
            LimitCounts::SalesKept,
            LimitCounts::SalesWithin(day),
        ];
        for counts in all {
            for unit in [LimitUnit::Units, LimitUnit::Reservations] {
                for (asked, group) in [(AskedAt::Hold, None), (AskedAt::Sale, Some("drop"))] {
                    let rule = RuleDefinition {
                        number: RuleNumber(7),
                        version: 3,
                        name: "two each".into(),
                        kind: "customer".into(),
                        maximum: 2,
                        unit,
                        counts,
                        asked,
                        group: group.map(Into::into),
                        products: vec![ProductIndex(1), ProductIndex(9)],
                    };
                    let facts = rule.facts();
                    let fact = |name: &str| {
                        facts.iter().find(|(known, _)| *known == name).map(|(_, it)| &**it)
                    };
                    let products = vec![ProductIndex(9), ProductIndex(1), ProductIndex(9)];
                    assert_eq!(RuleDefinition::from_facts(fact, products), Some(rule));
                }
            }
        }
    }

    #[test]
    fn words_that_no_rule_has_are_none() {
        for word in ["", "hold", "sales_within:", "sales_within:0", "sales_within:99999999999999"] {
            assert_eq!(counts(word), None, "{word}");
        }
    }
}

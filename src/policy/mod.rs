//! Floor 5, policies: what a business may choose.

pub(crate) mod alert_dispatcher;
pub(crate) mod alerts;
pub(crate) mod allocation;
pub(crate) mod approval;
pub(crate) mod limit_rule;
pub(crate) mod reorder;
pub(crate) mod rule_book;
pub(crate) mod subject;

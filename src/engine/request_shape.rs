//! What the fingerprint of a request is made of.

use std::time::Duration;

use crate::base::quantity::Quantity;
use crate::engine::limit_options::LimitOptions;
use crate::engine::place::{OwnLevel, OwnProduct, OwnWarehouse};
use crate::engine::request_options::{RequestOptions, SafetyStock};
use crate::idempotency::Fingerprint;
use crate::reservation::id::ReservationId;

/// Builds the fingerprint of a request from everything that the caller passed.
///
/// Fingerprints are stored in journals. The operation's word, and the order and kind of the fields,
/// must never change: a retry over an upgrade would become a conflict.
///
/// It is filled in place: it is large.
pub(super) struct RequestShape(Fingerprint);

impl RequestShape {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self(Fingerprint::new())
    }

    /// Begins with the operation's word.
    #[inline(always)]
    pub(super) fn named(&mut self, operation: &str) -> &mut Self {
        self.0.named(operation);
        self
    }

    /// Adds a level as the caller named it: by names and by handle are different requests.
    #[inline(always)]
    pub(super) fn level(&mut self, level: OwnLevel<'_>) -> &mut Self {
        match level {
            OwnLevel::Names(warehouse, product) => self.0.text(warehouse).text(product),
            OwnLevel::Index(index) => self.0.number(u64::from(index.0)),
        };
        self
    }

    #[inline(always)]
    pub(super) fn warehouse(&mut self, warehouse: OwnWarehouse<'_>) -> &mut Self {
        match warehouse {
            OwnWarehouse::Name(name) => self.0.text(name),
            OwnWarehouse::Index(index) => self.0.number(u64::from(index.0)),
        };
        self
    }

    #[inline(always)]
    pub(super) fn product(&mut self, product: OwnProduct<'_>) -> &mut Self {
        match product {
            OwnProduct::Name(name) => self.0.text(name),
            OwnProduct::Index(index) => self.0.number(u64::from(index.0)),
        };
        self
    }

    #[inline(always)]
    pub(super) fn units(&mut self, qty: Quantity) -> &mut Self {
        self.0.number(u64::from(qty.get()));
        self
    }

    /// Adds the number of lines that follow, or the units that a line asks for.
    #[inline(always)]
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.0.number(count as u64);
        self
    }

    #[inline(always)]
    pub(super) fn span(&mut self, span: Duration) -> &mut Self {
        self.0.number(span.as_secs()).number(u64::from(span.subsec_nanos()));
        self
    }

    #[inline(always)]
    pub(super) fn reservation(&mut self, id: ReservationId) -> &mut Self {
        self.0.id(id);
        self
    }

    #[inline(always)]
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.text(text);
        self
    }

    /// Adds the options of a new hold. They are part of every request's fingerprint, even if it
    /// makes no hold.
    #[inline(always)]
    pub(super) fn of_hold(&mut self, options: &RequestOptions) -> &mut Self {
        match options.owner {
            Some(owner) => self.0.bytes(&owner.0),
            None => self.0.absent(),
        };
        if options.keep_until_shipped {
            self.text("keep-until-shipped");
        }
        if options.safety_stock == SafetyStock::Pass {
            self.text("pass-safety-stock");
        }
        if !options.limits.is_empty() {
            self.of_limits(&options.limits);
        }
        self
    }

    #[inline(never)]
    fn of_limits(&mut self, limits: &LimitOptions) {
        for subject in limits.subjects() {
            self.text("subject");
            self.0.bytes(subject.hash.as_bytes());
        }
        for limit in limits.passed() {
            self.text("pass-limit").text(limit);
        }
    }

    /// Ends a chain of calls, for closures that return nothing.
    #[inline(always)]
    pub(super) fn end(&mut self) {}

    #[inline(always)]
    pub(super) fn finish(&self) -> u128 {
        self.0.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Records leave out the fingerprints of these calls.
    #[cfg(feature = "journal")]
    #[test]
    fn usual_fingerprints_are_those_of_the_calls() {
        use crate::audit::entry::AdjustmentType;
        use crate::audit::record::{RecordBuf, Subject};
        use crate::base::clock::Timestamp;
        use crate::journal::format::usual::usual_fingerprint;
        use crate::reservation::id::Owner;
        use crate::stock::handle::LevelIndex;

        let id = ReservationId::from_halves([1, 2]);
        for (millis, owner) in [(90_250, Some(Owner([5; 16]))), (1, None)] {
            let options = RequestOptions { owner, ..RequestOptions::default() };
            let (ttl, at) = (Duration::from_millis(millis), Timestamp::from_millis(77));
            let level = OwnLevel::Index(LevelIndex(9));
            let qty = Quantity::new(3).expect("legal");
            let mut record = RecordBuf::default();
            record.header.at = at;
            (record.header.reservation, record.header.owner) = (Some(id), owner);
            record.header.expires_at = Some(at.saturating_add(ttl));
            record.line(AdjustmentType::Reserved, Subject::Level(LevelIndex(9)), 3, None);
            let mut shape = RequestShape::new();
            shape.named("reserve").level(level).units(qty).span(ttl).of_hold(&options);
            assert_eq!(usual_fingerprint(&record), Some(shape.finish()));
            record.lines[0].entry_type = AdjustmentType::Sold.into();
            let mut shape = RequestShape::new();
            shape.named("confirm").reservation(id).of_hold(RequestOptions::DEFAULT);
            assert_eq!(usual_fingerprint(&record), Some(shape.finish()));
            record.line(AdjustmentType::Sold, Subject::Level(LevelIndex(9)), 3, None);
            assert_eq!(usual_fingerprint(&record), None);
        }
    }

    /// Words that came after the newest golden set. Journals hold their fingerprints.
    #[test]
    fn the_fingerprints_of_later_words_stay_for_ever() {
        let id = ReservationId::from_halves([1, 2]);
        let print = |options: &RequestOptions| {
            let mut shape = RequestShape::new();
            shape.named("confirm-or-retake-whole").reservation(id).of_hold(options).finish()
        };
        let keep = RequestOptions { keep_until_shipped: true, ..RequestOptions::default() };
        assert_eq!(print(RequestOptions::DEFAULT), 0xfcfc2862_ac98041c_f171bed5_78d0c152);
        assert_eq!(print(&keep), 0xc794f64a_c59cd1d0_c52938ca_4ff1ee9b);
        // A `confirm` that asks for nothing more has the fingerprint that it always had.
        let mut confirm = RequestShape::new();
        confirm.named("confirm").reservation(id);
        let plain = Fingerprint::new().named("confirm").id(id).absent().finish();
        assert_eq!(confirm.of_hold(RequestOptions::DEFAULT).finish(), plain);
    }
}

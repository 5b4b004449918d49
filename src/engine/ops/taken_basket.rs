//! What a call is to take at one instant, and the record of it: in words, if it is short, or else
//! in a buffer.

use std::time::Duration;

use crate::audit::draw::DrawMark;
use crate::audit::entry::AdjustmentType;
use crate::audit::record::PlainEntry;
use crate::audit::record_builder::RecordBuilder;
use crate::audit::wake_signal::WriterGone;
use crate::base::clock::Timestamp;
use crate::base::short_list::ShortList;
use crate::engine::allowances::plan::DrawPlan;
use crate::engine::answer::{Answer, ConfirmOrRetake};
use crate::engine::call::Call;
use crate::engine::ops::resolved_line::ResolvedLine;
use crate::reservation::id::ReservationId;

/// Whether a basket is held, or sold at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Purpose {
    Hold {
        ttl: Duration,
    },
    /// Sold at once; maybe in place of a hold that ended without a sale.
    Sale {
        retaken_from: Option<ReservationId>,
    },
}

impl Purpose {
    /// When the hold expires that is made `now`. A basket that is sold at once expires then.
    pub(super) fn expires_at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Hold { ttl } => now.saturating_add(ttl),
            Self::Sale { .. } => now,
        }
    }

    /// The hold that it takes anew.
    pub(super) fn retaken_from(self) -> Option<ReservationId> {
        if let Self::Sale { retaken_from } = self { retaken_from } else { None }
    }
}

/// What a call is to take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Basket<'w> {
    pub(super) wanted: &'w [ResolvedLine<'w>],
    pub(super) purpose: Purpose,
}

impl<'a> Call<'a> {
    pub(super) fn basket_record(
        self,
        basket: Basket<'_>,
        plan: Option<&DrawPlan<'_>>,
        id: ReservationId,
    ) -> RecordBuilder<'a> {
        let Basket { wanted, purpose } = basket;
        let answer = match purpose.retaken_from() {
            None => Answer::Reservation(id),
            Some(_) => ConfirmOrRetake::Retaken(id).into(),
        };
        let mut record = self
            .engine
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(self, id, purpose.expires_at(self.now()))
            .of_hold(self, answer);
        record = record.lines(wanted.iter().map(|line| (line.handle, line.qty.get())));
        if let Some(plan) = plan {
            // The record's first lines are those of the call.
            record = record.draws(plan.marks(|line| line));
        }
        if let Purpose::Sale { retaken_from } = purpose {
            record = retaken_from.into_iter().fold(record, RecordBuilder::retaken_from);
            for line in wanted {
                record = record.and(AdjustmentType::Sold, line.handle, line.qty);
            }
        }
        record
    }

    /// Whether the record of a hold that draws goes through the queue in words: of one line, with
    /// no more than those hold.
    #[inline]
    pub(super) fn draws_in_words(self, basket: Basket<'_>, plan: &DrawPlan<'_>) -> bool {
        basket.wanted.len() == 1
            && matches!(basket.purpose, Purpose::Hold { .. })
            && !self.keeps_until_shipped()
            && self.fits_in_words(plan.len())
    }

    #[inline]
    pub(super) fn queue_in_words(
        self,
        basket: Basket<'_>,
        plan: Option<&DrawPlan<'_>>,
        id: ReservationId,
    ) -> Result<(), WriterGone> {
        let engine = self.engine;
        let mut marks = ShortList::<DrawMark, 2>::new();
        if let Some(plan) = plan {
            plan.marks(|line| line).for_each(|mark| marks.push(mark));
        }
        match (basket.wanted, self.extras(Answer::Reservation(id), &marks)) {
            ([line], Some(extras)) => {
                let (now, units) = (self.now(), line.qty.get());
                let entry = PlainEntry::new(AdjustmentType::Reserved, now, line.handle, units)
                    .reservation(id)
                    .expires_at(basket.purpose.expires_at(now))
                    .owner(self.owner());
                engine.recorder.record_short(entry, &extras)
            }
            // It was asked before whether they fit.
            _ => self.basket_record(basket, plan, id).queue_while_written(),
        }
    }
}

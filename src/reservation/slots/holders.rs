//! When holds are entered into the index of holders, and leave it.

use crate::reservation::chain::Chain;
use crate::reservation::holders::{Holder, HolderIndex};
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::slots::{HeldSlot, Slots};

impl Slots {
    /// With an index of holders, for about so many threads.
    pub(crate) fn with_holder_index(self, threads: usize) -> Self {
        Self { holders: Some(HolderIndex::new(threads)), ..self }
    }

    /// Who has which live holds; `None` if no builder asked for it.
    pub(crate) fn holders(&self) -> Option<&HolderIndex> {
        self.holders.as_ref()
    }

    /// Enters a hold that is about to show. This thread has its chain to itself.
    #[cold]
    #[inline(never)]
    pub(in crate::reservation) fn enter_holders(
        &self,
        id: ReservationId,
        owner: Option<Owner>,
        chain: Chain,
    ) {
        if let Some(index) = &self.holders {
            self.each_holder(owner, chain, |holder| index.enter(holder, id));
        }
    }

    /// Takes a hold out that this thread has in `Ending`, before its end shows: afterwards its
    /// slots may be another hold's.
    #[cold]
    #[inline(never)]
    pub(in crate::reservation) fn leave_holders(&self, head: HeldSlot<'_>, chain: Chain) {
        if let Some(index) = &self.holders {
            let record = head.slot.read_record(head.state);
            self.each_holder(record.owner, chain, |holder| index.leave(holder, record.id));
        }
    }

    /// All who have a hold. One may come twice. A level that a limit counts by is nobody.
    fn each_holder(&self, owner: Option<Owner>, chain: Chain, mut each: impl FnMut(Holder)) {
        owner.map(Holder::Owner).into_iter().for_each(&mut each);
        self.draws_of(chain, |draw| {
            if !draw.key.subject.is_level() {
                each(Holder::Subject(draw.key.subject));
            }
        });
    }
}

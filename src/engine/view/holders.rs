//! The live holds of an owner or a subject.

use crate::base::sync::spin_loop;
use crate::engine::{Engine, InventoryManager};
use crate::reservation::chain::SlotNumber;
use crate::reservation::holders::Holder;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::slots::{HeldSlot, ReadReservation};
use crate::reservation::view::Reservation;

impl InventoryManager {
    /// The live holds of an owner, those made in earlier milliseconds first. One that some call
    /// returned before, and that is live all the while, is among them. Overdue ones count until
    /// they are taken back.
    ///
    /// Looks into the index of holders, under a lock that this owner's next hold waits for
    /// ([`Builder::index_holders`](crate::Builder::index_holders)). Without the index, it goes
    /// through all slots: some tens of nanoseconds for each.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::Owner;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
    /// let ann = Owner([7; 16]);
    /// let request = manager.request().owner(ann);
    /// let hold = request.reserve(("SF", "SHOE"), 2, Duration::from_secs(60))?;
    /// let found = manager.holds_of(ann);
    /// assert_eq!((found.len(), found[0].id), (1, hold));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn holds_of(&self, owner: Owner) -> Vec<Reservation> {
        self.engine.holds_of(Holder::Owner(owner))
    }

    /// The live holds that have drawn for a subject under a [limit](Self::define_limit), as
    /// [`holds_of`](Self::holds_of) has those of an owner; also if a partial step has given back
    /// what was drawn. A hold that no limit covered has drawn for nobody, so give it an
    /// [owner](crate::Request::owner). Empty without a
    /// [secret](crate::Builder::subject_secret).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stockade::LimitRule;
    /// # let builder = stockade::InventoryManager::builder().warehouse("SF");
    /// # let manager = builder.subject_secret([7; 16]).index_holders(true).build()?;
    /// # manager.add_stock(("SF", "SHOE"), 100, "SUPPLIER")?;
    /// manager.define_limit(LimitRule::new("two each", "customer", 2).products(["SHOE"]))?;
    /// let ann = manager.request().subject("customer", "ann");
    /// let hold = ann.reserve(("SF", "SHOE"), 2, Duration::from_secs(60))?;
    /// assert_eq!(manager.holds_of_subject("customer", "ann")[0].id, hold);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn holds_of_subject(&self, kind: &str, id: impl AsRef<[u8]>) -> Vec<Reservation> {
        let subject = self.engine.subjects.subject(kind, id.as_ref());
        let holds = |it| self.engine.holds_of(Holder::Subject(it));
        subject.map(|it| holds(it.hash)).unwrap_or_default()
    }
}

impl Engine {
    fn holds_of(&self, holder: Holder) -> Vec<Reservation> {
        self.hold_ids_of(holder).into_iter().filter_map(|id| self.live(id)).collect()
    }

    /// The holds of a holder, in the order of their ids. Some may be over by now.
    pub(in crate::engine) fn hold_ids_of(&self, holder: Holder) -> Vec<ReservationId> {
        if let Some(index) = self.slots.holders() {
            return index.holds_of(holder);
        }
        let found = (0..self.slots.used()).filter_map(|number| self.hold_in(number, holder));
        let mut found: Vec<ReservationId> = found.collect();
        found.sort_unstable();
        found
    }

    /// The live hold in this slot, if it is this holder's.
    fn hold_in(&self, number: SlotNumber, holder: Holder) -> Option<ReservationId> {
        let slot = self.slots.at(number)?;
        loop {
            let state = slot.state();
            if !state.phase().is_live() {
                return None;
            }
            // Of a hold that is live all the while, neither the id nor the owner changes.
            let record = slot.read_record(state);
            let is_own = match holder {
                Holder::Owner(owner) => record.owner == Some(owner),
                Holder::Subject(subject) => {
                    let head = HeldSlot { number, slot, state };
                    let Some(drawn) = self.slots.allowances_of(head, record.chain) else {
                        // A step has changed it meanwhile: look again.
                        spin_loop();
                        continue;
                    };
                    drawn.iter().any(|key| key.subject == subject)
                }
            };
            if !is_own {
                return None;
            }
            // Another hold may have come into the slot during the look.
            match self.slots.read(record.id, |_| {}) {
                ReadReservation::Found { record: again, .. } => {
                    return (again.owner == record.owner).then_some(record.id);
                }
                ReadReservation::Changed => spin_loop(),
                ReadReservation::Forgotten | ReadReservation::Unknown => return None,
            }
        }
    }
}

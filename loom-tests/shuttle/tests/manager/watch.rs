//! What must hold at any moment, whoever looks.

use std::collections::HashMap;

use stockade::{LevelRef, NoReservation, ReservationId, ReservationStatus};

use crate::stage::{CLOSED, CLOSED_UNITS, Stage, WAREHOUSES};

impl Stage {
    /// Looks so many times, from beside.
    pub(crate) fn watch(&self, looks: u64) {
        let mut over = HashMap::new();
        for _ in 0..looks {
            assert_eq!(self.closed_on_hand(), CLOSED_UNITS, "units are missing, or twice there");
            self.look_at_levels();
            self.look_at_holds(&mut over);
        }
    }

    /// Law 4: whatever moves them, the units of this product are all there at every instant.
    pub(crate) fn closed_on_hand(&self) -> u32 {
        let levels = WAREHOUSES.map(|warehouse| LevelRef::from((warehouse, CLOSED)));
        let seen = self.manager.snapshot(&levels).expect("open");
        seen.iter().map(|level| level.available + level.reserved).sum()
    }

    /// Law 1.
    fn look_at_levels(&self) {
        for warehouse in WAREHOUSES {
            for level in self.manager.levels(warehouse).expect("known") {
                let counts = level.counts;
                assert!(
                    counts.sold <= counts.reserved && counts.tracked <= counts.sold,
                    "{level:?}"
                );
            }
        }
    }

    /// Law 3: a hold ends once.
    fn look_at_holds(&self, over: &mut HashMap<ReservationId, ReservationStatus>) {
        let holds = self.known().holds.clone();
        for hold in holds {
            match self.manager.reservation(hold.id) {
                Ok(found) if found.status == ReservationStatus::Pending => {
                    assert!(!over.contains_key(&hold.id), "a hold came back: {found:?}");
                }
                Ok(found) => {
                    let first = *over.entry(hold.id).or_insert(found.status);
                    assert_eq!(first, found.status, "a hold ended twice: {found:?}");
                }
                Err(missing) => assert_eq!(missing, NoReservation::Forgotten),
            }
        }
    }
}

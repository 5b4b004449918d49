//! The mutex peer's holds. The lean peer has a plain map. The whole one has slots, found through a
//! map, so that finished holds stay readable and overdue ones are found cheaply.

use std::collections::{HashMap, VecDeque};

use super::Job;
use super::due::Due;
use super::shared::{Hasher, Hold, KEPT, Refused, Status};

pub(super) enum HoldMap {
    Lean(HashMap<u128, Hold, Hasher>),
    Whole(Box<Kept>),
}

impl HoldMap {
    pub(super) fn new(job: Job) -> Self {
        match job {
            Job::Lean => Self::Lean(HashMap::default()),
            Job::Whole => Self::Whole(Box::default()),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, id: u128, hold: Hold) {
        match self {
            Self::Lean(holds) => _ = holds.insert(id, hold),
            Self::Whole(kept) => kept.add(id, hold),
        }
    }

    /// Ends a hold as asked, or as overdue. Returns the hold, and how it ended.
    #[inline]
    pub(super) fn end(
        &mut self,
        id: u128,
        asked: Status,
        now: u64,
    ) -> Result<(Hold, Status), Refused> {
        match self {
            Self::Lean(holds) => {
                let mut hold = holds.remove(&id).ok_or(Refused::Unknown)?;
                let status = hold.end(asked, now)?;
                Ok((hold, status))
            }
            Self::Whole(kept) => kept.end(id, asked, now),
        }
    }

    /// An overdue hold, if the peer looks for them and there is one.
    #[inline]
    pub(super) fn overdue(&mut self, now: u64) -> Option<u128> {
        match self {
            Self::Lean(_) => None,
            Self::Whole(kept) => kept.overdue(now),
        }
    }
}

/// Live holds, and the newest finished ones.
#[derive(Default)]
pub(super) struct Kept {
    slots: Vec<Slot>,
    by_id: HashMap<u128, u32, Hasher>,
    /// The slots of finished holds, the oldest first. They are reused once enough are retained.
    finished: VecDeque<u32>,
    /// Slots, and the numbers of the holds in them.
    due: Due<(u32, u32), 16_384>,
}

struct Slot {
    id: u128,
    hold: Hold,
    /// How many holds there have been.
    tenants: u32,
}

impl Kept {
    #[inline]
    fn add(&mut self, id: u128, hold: Hold) {
        let oldest = if self.finished.len() < KEPT { None } else { self.finished.pop_front() };
        let (number, tenants) = match oldest {
            Some(number) => {
                let slot = &mut self.slots[number as usize];
                self.by_id.remove(&slot.id);
                let tenants = slot.tenants.wrapping_add(1);
                *slot = Slot { id, hold, tenants };
                (number, tenants)
            }
            None => {
                self.slots.push(Slot { id, hold, tenants: 0 });
                (self.slots.len() as u32 - 1, 0)
            }
        };
        self.by_id.insert(id, number);
        let slots = &self.slots;
        self.due.add(hold.expires_at, (number, tenants), |hold| is_live(slots, hold));
    }

    #[inline]
    fn end(&mut self, id: u128, asked: Status, now: u64) -> Result<(Hold, Status), Refused> {
        let number = *self.by_id.get(&id).ok_or(Refused::Unknown)?;
        let hold = &mut self.slots[number as usize].hold;
        let status = hold.end(asked, now)?;
        let hold = *hold;
        self.finished.push_back(number);
        Ok((hold, status))
    }

    fn overdue(&mut self, now: u64) -> Option<u128> {
        let (number, _) = self.due.overdue(now, |hold| is_live(&self.slots, hold))?;
        Some(self.slots[number as usize].id)
    }
}

fn is_live(slots: &[Slot], (number, tenants): (u32, u32)) -> bool {
    let slot = &slots[number as usize];
    slot.tenants == tenants && slot.hold.is_pending()
}

//! The sequential model: the answers of calls that run one after another.

/// A call and its answer. Levels are numbers; lines are levels with units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Reserved {
        hold: usize,
        lines: Vec<(usize, u32)>,
    },
    ReserveShort {
        level: usize,
        needed: u32,
        available: u32,
    },
    Released {
        hold: usize,
        lines: Vec<(usize, u32)>,
    },
    Confirmed {
        hold: usize,
    },
    /// Neither confirmed nor released, because the hold had ended before.
    Over {
        hold: usize,
        sold: bool,
    },
    /// Neither confirmed nor released, because another call was ending the hold.
    InProgress {
        hold: usize,
    },
    Transferred {
        from: usize,
        to: usize,
        units: u32,
    },
    TransferShort {
        from: usize,
        units: u32,
        available: u32,
    },
    TransferFull {
        to: usize,
        units: u32,
        room: u32,
    },
    /// Out of several levels, greedily in their order.
    Fulfilled {
        hold: usize,
        order: Vec<usize>,
        units: u32,
        lines: Vec<(usize, u32)>,
    },
    FulfilShort {
        order: Vec<usize>,
        units: u32,
        available: u64,
    },
    /// A warehouse has another capacity.
    Resized {
        warehouse: usize,
        units: u32,
    },
    /// What is left of a warehouse's room.
    SeenRoom {
        warehouse: usize,
        left: u32,
    },
    /// Available and reserved units of each level.
    Seen {
        levels: Vec<(usize, (u32, u32))>,
    },
}

/// The stock and the holds between two calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    levels: Vec<(u32, u32)>,
    /// Capacity minus what is inside, of each warehouse; below 0 if more is inside.
    rooms: Vec<i64>,
    capacities: Vec<u32>,
    /// The warehouse of each level.
    warehouses: Vec<usize>,
    /// Pending holds.
    pending: Vec<usize>,
    /// Released holds, and confirmed holds.
    released: Vec<usize>,
    confirmed: Vec<usize>,
}

impl State {
    pub(crate) fn new(
        levels: Vec<(u32, u32)>,
        capacities: Vec<u32>,
        warehouses: Vec<usize>,
    ) -> Self {
        let (pending, released, confirmed) = Default::default();
        let mut rooms: Vec<i64> = capacities.iter().map(|units| i64::from(*units)).collect();
        for ((available, reserved), warehouse) in levels.iter().zip(&warehouses) {
            rooms[*warehouse] -= i64::from(available + reserved);
        }
        Self { levels, rooms, capacities, warehouses, pending, released, confirmed }
    }

    /// The capacity of each warehouse.
    pub(crate) fn capacities(&self) -> &[u32] {
        &self.capacities
    }

    fn room(&self, warehouse: usize) -> u32 {
        self.rooms[warehouse].max(0) as u32
    }

    /// The state after this call, if this state gives this answer.
    pub(crate) fn after(&self, call: &Answered) -> Option<Self> {
        let mut next = self.clone();
        let is_true = match call {
            Answered::Reserved { hold, lines } => next.hold(*hold, lines),
            Answered::ReserveShort { level, needed, available } => {
                self.available(*level) == *available && available < needed
            }
            Answered::Released { hold, lines } => next.release(*hold, lines),
            Answered::Confirmed { hold } => next.end(*hold, true),
            Answered::Over { hold, sold: true } => self.confirmed.contains(hold),
            Answered::Over { hold, sold: false } => self.released.contains(hold),
            // Whether it was open is for the checker; the winner may stand before it or after.
            Answered::InProgress { .. } => true,
            Answered::Transferred { from, to, units } => next.transfer(*from, *to, *units),
            Answered::TransferShort { from, units, available } => {
                self.available(*from) == *available && available < units
            }
            Answered::TransferFull { to, units, room } => {
                self.room(self.warehouses[*to]) == *room && room < units
            }
            Answered::Resized { warehouse, units } => {
                next.rooms[*warehouse] +=
                    i64::from(*units) - i64::from(self.capacities[*warehouse]);
                next.capacities[*warehouse] = *units;
                true
            }
            Answered::SeenRoom { warehouse, left } => self.room(*warehouse) == *left,
            Answered::Fulfilled { hold, order, units, lines } => {
                self.fill(order, *units).as_ref() == Some(lines) && next.hold(*hold, lines)
            }
            Answered::FulfilShort { order, units, available } => {
                let sum: u64 = order.iter().map(|level| u64::from(self.available(*level))).sum();
                sum == *available && sum < u64::from(*units)
            }
            Answered::Seen { levels } => {
                levels.iter().all(|(level, counts)| self.levels[*level] == *counts)
            }
        };
        is_true.then_some(next)
    }

    fn available(&self, level: usize) -> u32 {
        self.levels[level].0
    }

    fn hold(&mut self, hold: usize, lines: &[(usize, u32)]) -> bool {
        self.pending.push(hold);
        lines.iter().all(|(level, units)| {
            let (available, reserved) = &mut self.levels[*level];
            let left = available.checked_sub(*units);
            (*available, *reserved) = (left.unwrap_or_default(), *reserved + units);
            left.is_some()
        })
    }

    fn end(&mut self, hold: usize, sold: bool) -> bool {
        let Some(at) = self.pending.iter().position(|pending| *pending == hold) else {
            return false;
        };
        self.pending.swap_remove(at);
        if sold {
            self.confirmed.push(hold)
        } else {
            self.released.push(hold)
        }
        true
    }

    fn release(&mut self, hold: usize, lines: &[(usize, u32)]) -> bool {
        if !self.end(hold, false) {
            return false;
        }
        for (level, units) in lines {
            let (available, reserved) = &mut self.levels[*level];
            (*available, *reserved) = (*available + units, *reserved - units);
        }
        true
    }

    fn transfer(&mut self, from: usize, to: usize, units: u32) -> bool {
        let (source, target) = (self.warehouses[from], self.warehouses[to]);
        if self.available(from) < units || self.room(target) < units {
            return false;
        }
        self.levels[from].0 -= units;
        self.levels[to].0 += units;
        self.rooms[source] += i64::from(units);
        self.rooms[target] -= i64::from(units);
        true
    }

    /// What each level gives, in ascending order of levels.
    fn fill(&self, order: &[usize], units: u32) -> Option<Vec<(usize, u32)>> {
        let mut missing = units;
        let mut lines = Vec::new();
        for level in order {
            let part = missing.min(self.available(*level));
            if part > 0 {
                lines.push((*level, part));
                missing -= part;
            }
        }
        lines.sort_unstable();
        (missing == 0).then_some(lines)
    }
}

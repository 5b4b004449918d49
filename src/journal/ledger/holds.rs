//! Reservations, as the entries tell of them: each at the slot that its id names.
//!
//! A slot is a unit like any other (Law 2): its next tenant's entry comes after the entry that ended
//! the one before. So the newest reservation of each slot is all that has to be kept, and finding
//! one is an index, not a hash.

use std::collections::HashMap;

use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::LevelIndex;

/// How a reservation stands: live, or how its last units went. One that sold something in an earlier
/// step may have been released or expired in its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Live,
    Confirmed,
    Released,
    Expired,
}

/// A line of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldLine {
    pub(crate) level: LevelIndex,
    /// Units still held.
    pub(crate) held: u32,
    /// Units sold so far.
    pub(crate) sold: u32,
    /// Units given back so far.
    pub(crate) given_back: u32,
    /// Sold units that have since been shipped or cancelled by reservation.
    pub(crate) settled: u32,
}

/// The newest reservation of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Timestamp,
    pub(crate) standing: Standing,
    /// Its record is kept until all that it sold is shipped or cancelled.
    pub(crate) keep: bool,
    /// When it ended.
    pub(crate) ended_at: Timestamp,
    first: HoldLine,
    /// Its other lines, and what it took anew: most have neither.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    lines: Vec<HoldLine>,
    retaken_from: Option<ReservationId>,
}

impl Hold {
    pub(crate) fn new(
        id: ReservationId,
        owner: Option<Owner>,
        expires_at: Timestamp,
        level: LevelIndex,
        units: u32,
    ) -> Self {
        let first = line(level, units);
        let ended_at = Timestamp::default();
        let standing = Standing::Live;
        Self { id, owner, expires_at, standing, keep: false, ended_at, first, more: None }
    }

    /// A hold as it was once found, with the line that it began with.
    pub(super) fn found(
        id: ReservationId,
        owner: Option<Owner>,
        expires_at: Timestamp,
        first: HoldLine,
    ) -> Self {
        Self { first, ..Self::new(id, owner, expires_at, first.level, first.held) }
    }

    /// Adds a line as it was once found.
    pub(super) fn add_found(&mut self, line: HoldLine) {
        self.more.get_or_insert_default().lines.push(line);
    }

    pub(crate) fn add_line(&mut self, level: LevelIndex, units: u32) {
        self.add_found(line(level, units));
    }

    pub(crate) fn set_retaken_from(&mut self, id: ReservationId) {
        self.more.get_or_insert_default().retaken_from = Some(id);
    }

    pub(crate) fn retaken_from(&self) -> Option<ReservationId> {
        self.more.as_ref()?.retaken_from
    }

    pub(crate) fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// Whether its slot is spoken for: it is live, or its record is kept for what it has sold.
    pub(crate) fn occupies(&self) -> bool {
        self.is_live() || (self.keep && self.lines().any(|line| line.sold > line.settled))
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &HoldLine> {
        let more = self.more.iter().flat_map(|more| &more.lines);
        std::iter::once(&self.first).chain(more)
    }

    /// The line of a level. A hold's lines are sorted by level, each level once.
    pub(crate) fn line_of(&mut self, level: LevelIndex) -> Option<&mut HoldLine> {
        if self.first.level == level {
            return Some(&mut self.first);
        }
        let lines = &mut self.more.as_mut()?.lines;
        match lines.binary_search_by_key(&level, |line| line.level) {
            Ok(at) => lines.get_mut(at),
            // A journal that sorts them otherwise is strange, not wrong.
            Err(_) => lines.iter_mut().find(|line| line.level == level),
        }
    }

    /// Ends the hold if nothing is held any more; its last units went so.
    pub(crate) fn end_if_empty(&mut self, at: Timestamp, end: Standing) {
        if self.lines().all(|line| line.held == 0) {
            (self.ended_at, self.standing) = (at, end);
        }
    }
}

fn line(level: LevelIndex, units: u32) -> HoldLine {
    HoldLine { level, held: units, sold: 0, given_back: 0, settled: 0 }
}

/// The newest reservation of each slot.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    dense: Vec<Option<Hold>>,
    /// Slots far beyond all others: a journal that names one must not make us fill the room between.
    sparse: HashMap<u32, Hold>,
    entered: usize,
}

/// Slots come into use in order, some hundreds at a time for each thread; room up to here, and to a
/// multiple of the reservations seen, is given without a second thought.
const ROOM: usize = 1 << 16;

impl Holds {
    fn dense_up_to(&self) -> usize {
        ROOM + 4 * self.entered
    }

    /// The newest reservation of the slot that `id` names, whoever it is.
    #[inline]
    pub(crate) fn at(&self, id: ReservationId) -> Option<&Hold> {
        match self.dense.get(id.slot() as usize) {
            Some(hold) => hold.as_ref(),
            None => self.sparse.get(&id.slot()),
        }
    }

    /// The reservation of this id, if its slot has had no later one.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: ReservationId) -> Option<&mut Hold> {
        let hold = match self.dense.get_mut(id.slot() as usize) {
            Some(hold) => hold.as_mut(),
            None => self.sparse.get_mut(&id.slot()),
        };
        hold.filter(|hold| hold.id == id)
    }

    /// Enters a reservation in place of its slot's former one.
    #[inline]
    pub(crate) fn enter(&mut self, hold: Hold) -> Option<&mut Hold> {
        self.entered += 1;
        let slot = hold.id.slot();
        let index = slot as usize;
        if index >= self.dense.len() && index < self.dense_up_to() {
            self.grow(index + 1);
        }
        match self.dense.get_mut(index) {
            Some(place) => Some(place.insert(hold)),
            None => {
                self.sparse.insert(slot, hold);
                self.sparse.get_mut(&slot)
            }
        }
    }

    #[cold]
    fn grow(&mut self, least: usize) {
        self.dense.resize_with(least.next_power_of_two(), || None);
        let reached = self.dense.len();
        for (slot, hold) in self.sparse.extract_if(|slot, _| (*slot as usize) < reached) {
            self.dense[slot as usize] = Some(hold);
        }
    }

    /// The newest reservation of every slot.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Hold> {
        self.dense.iter().flatten().chain(self.sparse.values())
    }

    /// Those whose slots are spoken for.
    pub(crate) fn occupying(&self) -> impl Iterator<Item = &Hold> {
        self.all().filter(|hold| hold.occupies())
    }

    /// Those that hold units.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Hold> {
        self.all().filter(|hold| hold.is_live())
    }
}

//! What lies on the disk between two openings.

use std::collections::BTreeSet;

use stockade::testing::SimulatedDisk;
use stockade::{AdjustmentType, AuditFilter, EventType, JournalReader, ReservationId};

use super::model::Trace;
use super::plan::Harm;

/// What a journal has.
#[derive(Default)]
pub(super) struct Found {
    /// When the newest entry was made before the opening.
    pub(super) last: u64,
    pub(super) uses: usize,
    calls: BTreeSet<usize>,
    reserved: BTreeSet<ReservationId>,
    sold: BTreeSet<ReservationId>,
    returned: BTreeSet<ReservationId>,
    retaken: BTreeSet<ReservationId>,
}

impl Found {
    /// Reads a journal that was opened at this moment.
    pub(super) fn read(disk: &SimulatedDisk, opened_at: u64) -> Self {
        let mut found = Self::default();
        let every = AuditFilter::new().limit(usize::MAX);
        let read = JournalReader::on(disk.clone()).entries(&every, |entry| {
            if entry.at.as_millis() < opened_at {
                found.last = entry.at.as_millis();
            }
            found.calls.extend(entry.note("call").and_then(|call| call.parse::<usize>().ok()));
            found.retaken.extend(entry.retaken_from);
            found.uses += usize::from(entry.entry_type == EventType::KeyUsed.into());
            if let Some(id) = entry.reservation {
                let is = |movement: AdjustmentType| entry.entry_type == movement.into();
                found.reserved.extend(is(AdjustmentType::Reserved).then_some(id));
                found.sold.extend(is(AdjustmentType::Sold).then_some(id));
                found.returned.extend(is(AdjustmentType::Returned).then_some(id));
            }
        });
        read.expect("a sound journal");
        found
    }

    pub(super) fn has(&self, trace: Trace) -> bool {
        match trace {
            Trace::Noted(call) => self.calls.contains(&call),
            Trace::KeyUsed(uses) => uses <= self.uses,
            Trace::Reserved(id) => self.reserved.contains(&id),
            Trace::Sold(id) => self.sold.contains(&id),
            Trace::Returned(id) => self.returned.contains(&id),
            Trace::Retaken(id) => self.retaken.contains(&id),
        }
    }
}

/// The files after what happened to the outcome files.
pub(super) fn harmed(files: Vec<(String, Vec<u8>)>, harm: Harm) -> Vec<(String, Vec<u8>)> {
    let is_run = |name: &str| name.ends_with(".outcomes");
    let count = files.iter().filter(|(name, _)| is_run(name)).count();
    let (chosen, flips) = match harm {
        Harm::Nothing => return files,
        Harm::Lost(chosen) => (chosen, false),
        Harm::Flipped(chosen) => (chosen, true),
    };
    let (mut left, mut run) = (Vec::new(), 0);
    for (name, mut bytes) in files {
        if is_run(&name) {
            run += 1;
            if chosen.is_none_or(|chosen| chosen % count == run - 1) {
                if !flips {
                    continue;
                }
                let middle = bytes.len() / 2;
                bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            }
        }
        left.push((name, bytes));
    }
    left
}

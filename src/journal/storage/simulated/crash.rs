//! What a power cut leaves of a file of a simulated disk, and of its directory.

use std::collections::BTreeMap;

use super::DiskStep;

/// The bytes that the disk writes whole or not at all.
const SECTOR: usize = 512;

/// The state of a file at the moment of a crash.
#[derive(Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// The ranges that are durable.
    pub(super) synced: Vec<std::ops::Range<usize>>,
    /// The offset from which a successful sync is effective. Bytes ahead of it were dirty when a
    /// sync failed, and the system may have dropped them.
    pub(super) trusted_from: usize,
    /// The length that the file was cut to, if it was. The cut may not be durable.
    pub(super) cut: Option<usize>,
}

impl Content {
    /// The bytes that a crash leaves; `survives` decides for each unsynced sector.
    pub(super) fn after_crash(&self, survives: &mut impl FnMut() -> bool) -> Vec<u8> {
        let synced_to = self.synced.iter().map(|range| range.end).max().unwrap_or(0);
        let mut bytes = vec![0; self.bytes.len()];
        let mut length = synced_to;
        for range in &self.synced {
            bytes[range.clone()].copy_from_slice(&self.bytes[range.clone()]);
        }
        for sector in (0..self.bytes.len()).step_by(SECTOR) {
            let end = (sector + SECTOR).min(self.bytes.len());
            let is_synced = |at: usize| self.synced.iter().any(|range| range.contains(&at));
            if (sector..end).all(is_synced) {
                continue;
            }
            if survives() {
                bytes[sector..end].copy_from_slice(&self.bytes[sector..end]);
                length = length.max(end);
            }
        }
        bytes.truncate(length);
        // This holds because no file is appended to or synced after a cut.
        if let Some(cut) = self.cut.filter(|_| survives()) {
            bytes.truncate(cut);
        }
        bytes
    }
}

/// Makes one change of the directory.
pub(super) fn apply_change(names: &mut BTreeMap<String, usize>, change: &DiskStep) {
    match change {
        DiskStep::Create(name, file) => drop(names.insert(name.clone(), *file)),
        DiskStep::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        DiskStep::Remove(name) => drop(names.remove(name)),
        _ => {}
    }
}

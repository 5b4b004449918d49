//! The set of runs that counts: which files cover which segments, and which of them are due for a
//! merge. A set never changes; a change makes another set. So a look-up works on one set and waits
//! for nobody.

use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::format::segment::Point;
use crate::journal::outcomes::foot::{SegmentRange, is_same_place};
use crate::journal::outcomes::mark::OutcomeMark;
use crate::journal::outcomes::record::JournalTime;
use crate::journal::outcomes::run::{DiskUse, OutcomeRun, RunSearch};
use crate::journal::storage::Storage;

/// How many runs are merged into one.
pub(super) const FAN: usize = 8;

/// Runs that follow one another.
#[derive(Clone, Debug, Default)]
pub(super) struct RunSet {
    /// The oldest first. No two overlap; where one does not continue the one before, there is a
    /// gap.
    pub(super) runs: Vec<Arc<OutcomeRun>>,
    /// Where the oldest run begins, or began before it got lost. If there was never one: where the
    /// oldest segment begins that is left. `None` before that is looked up.
    pub(super) since: Option<Point>,
    /// The serial number of the next run.
    pub(super) next_serial: u64,
}

/// What a search of all runs found.
pub(super) enum SetSearch {
    /// The record's bytes, and the run that has it.
    Found(Arc<OutcomeRun>, Vec<u8>),
    Absent,
    NeedsDisk,
    /// A gap lies before any run that may have it.
    Incomplete,
}

impl RunSet {
    /// Chooses, among all sound runs of a directory, those that count. `is_of_journal` says whether
    /// a point may lie on the journal's chain.
    ///
    /// A crash may leave a merged run beside the runs it was made of. Then the merged one counts.
    pub(super) fn choose(found: Vec<OutcomeRun>, is_of_journal: impl Fn(&Point) -> bool) -> Self {
        let mut found: Vec<_> = found.into_iter().map(Arc::new).collect();
        found.retain(|run| is_of_journal(&run.index.foot.range.end));
        let newest = found.iter().map(|run| run.index.foot).max_by_key(|foot| foot.serial);
        let since = newest.map(|foot| foot.since);
        let next_serial = newest.map_or(0, |foot| foot.serial) + 1;
        // The newest end first, and of these the longest.
        found.sort_by_key(|run| {
            let range = &run.index.foot.range;
            (std::cmp::Reverse(range.end.batch), range.base.batch)
        });
        let mut runs: Vec<Arc<OutcomeRun>> = Vec::new();
        for run in found {
            let range = &run.index.foot.range;
            let follows = runs.last().is_none_or(|it| range.end.batch <= it.base().batch);
            let is_nothing = runs.last().is_some() && range.base.batch == range.end.batch;
            let is_over = since.is_some_and(|since| range.end.batch <= since.batch);
            if follows && !is_nothing && !is_over {
                runs.push(run);
            }
        }
        runs.reverse();
        Self { runs, since, next_serial }
    }

    /// The end of what the runs cover, gaps or not.
    pub(super) fn end(&self) -> Option<Point> {
        self.runs.last().map(|run| run.index.foot.range.end).or(self.since)
    }

    /// Whether a usable run covers these segments.
    pub(super) fn covers(&self, range: &SegmentRange) -> bool {
        self.runs.iter().filter(|run| run.is_usable()).any(|run| {
            let own = &run.index.foot.range;
            own.base.batch <= range.base.batch && range.end.batch <= own.end.batch
        })
    }

    /// Whether the run at `at` continues the one before it, or is the first and nothing is lost
    /// before it.
    fn continues(&self, at: usize) -> bool {
        let base = self.runs[at].base();
        match at.checked_sub(1) {
            Some(before) => is_same_place(&self.runs[before].index.foot.range.end, base),
            None => self.since.is_none_or(|since| base.batch <= since.batch),
        }
    }

    /// The segments between the first and the last run that no usable run covers.
    pub(super) fn gaps(&self) -> Vec<SegmentRange> {
        let mut gaps = Vec::new();
        let mut end = self.since.unwrap_or(Point::START);
        for (at, run) in self.runs.iter().enumerate() {
            let range = run.index.foot.range;
            if !self.continues(at) {
                gaps.push(SegmentRange { first: end.segment + 1, base: end, end: range.base });
            }
            if !run.is_usable() {
                gaps.push(range);
            }
            end = range.end;
        }
        gaps
    }

    /// Searches the runs that end after batch `after`, the newest first.
    ///
    /// # Errors
    /// The error of a run, with that run.
    pub(super) fn search_after(
        &self,
        after: u64,
        storage: &dyn Storage,
        mark: OutcomeMark,
        disk: DiskUse,
    ) -> Result<SetSearch, (Arc<OutcomeRun>, JournalError)> {
        for (at, run) in self.runs.iter().enumerate().rev() {
            if run.index.foot.range.end.batch <= after {
                break;
            }
            if !run.is_usable() {
                return Ok(SetSearch::Incomplete);
            }
            let found = run.search(storage, mark, disk);
            match found.map_err(|error| (Arc::clone(run), error))? {
                RunSearch::Found(bytes) => return Ok(SetSearch::Found(Arc::clone(run), bytes)),
                RunSearch::NeedsDisk => return Ok(SetSearch::NeedsDisk),
                // An older run may have an older record; what the gap has is newer.
                RunSearch::Absent if !self.continues(at) => return Ok(SetSearch::Incomplete),
                RunSearch::Absent => {}
            }
        }
        Ok(SetSearch::Absent)
    }

    /// Whether this very run is in the set, with whatever filters.
    pub(super) fn has(&self, run: &OutcomeRun) -> bool {
        self.runs.iter().any(|own| Arc::ptr_eq(&own.index, &run.index))
    }

    /// The set with `run` in place of the unusable runs and of those that it covers.
    pub(super) fn with(&self, run: OutcomeRun) -> Self {
        let mut set = self.clone();
        let range = run.index.foot.range;
        set.runs.retain(|own| {
            let own_range = own.index.foot.range;
            let is_covered =
                range.base.batch <= own_range.base.batch && own_range.end.batch <= range.end.batch;
            own.is_usable() && !is_covered
        });
        let at = set.runs.partition_point(|own| own.base().batch < range.base.batch);
        set.runs.insert(at, Arc::new(run));
        set
    }

    /// How many of the oldest runs can go because all their records are older than `cut`. The
    /// newest is never one. What is in a gap before records that are over is over, too; what is in
    /// a gap behind the last of them may not be, so that one run stays and the gap is not
    /// forgotten. A run without records says nothing of the age of what lies before it.
    pub(super) fn over(&self, cut: JournalTime) -> usize {
        let older = &self.runs[..self.runs.len().saturating_sub(1)];
        let is_over = |run: &&Arc<OutcomeRun>| run.index.foot.newest < cut;
        let over = older.iter().take_while(is_over).count();
        let dated = older[..over].iter().rposition(|run| run.index.foot.entries > 0);
        let dated = dated.map_or(0, |last| last + 1);
        let over = (dated..over).find(|at| !self.continues(*at)).unwrap_or(over);
        if over == 0 || self.continues(over) { over } else { over - 1 }
    }

    /// The oldest runs that are due for a merge: some of one level that follow one another, and
    /// whose records span at most `span` milliseconds. Without that limit old records would stay
    /// because they share a file with new ones.
    pub(super) fn due(&self, span: u64) -> Option<&[Arc<OutcomeRun>]> {
        let is_due = |start: usize, runs: &[Arc<OutcomeRun>]| {
            let level = runs.first().map(|run| run.index.foot.level);
            let are_alike =
                runs.iter().all(|it| it.is_usable() && Some(it.index.foot.level) == level);
            let in_a_row = (start + 1..start + FAN).all(|at| self.continues(at));
            let feet = || runs.iter().map(|run| run.index.foot).filter(|foot| foot.entries > 0);
            let oldest = feet().map(|foot| foot.oldest.as_millis()).min().unwrap_or(0);
            let newest = feet().map(|foot| foot.newest.as_millis()).max().unwrap_or(0);
            are_alike && in_a_row && newest - oldest <= span
        };
        let mut windows = self.runs.windows(FAN).enumerate();
        windows.find(|(start, runs)| is_due(*start, runs)).map(|(_, runs)| runs)
    }
}

impl OutcomeRun {
    /// The point that its first segment continues from.
    fn base(&self) -> &Point {
        &self.index.foot.range.base
    }
}

//! The outcome files of a journal: opens them, adds a run for each finished segment, merges runs,
//! lets old ones go, and looks records up.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::whole_millis;
use crate::base::error::JournalError;
use crate::base::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::base::trace;
use crate::journal::format::segment::Point;
use crate::journal::layout::{Layout, damaged, failed, remove_file};
use crate::journal::outcomes::builder::OutcomesBuilder;
use crate::journal::outcomes::foot::{RunFoot, SegmentRange, is_run, is_same_place, is_unfinished};
use crate::journal::outcomes::mark::{Marker, OutcomeMark};
use crate::journal::outcomes::merge::feed_merged;
use crate::journal::outcomes::record::{
    JournalTime, Kept, KeptAnswer, OutcomeRecord, ReservationOutcome, RetakenAs, read_record,
};
use crate::journal::outcomes::run::{DiskUse, OutcomeRun};
use crate::journal::outcomes::run_writer::write_run;
use crate::journal::outcomes::set::{RunSet, SetSearch};
use crate::journal::storage::Storage;
use crate::reservation::id::ReservationId;

/// How long outcomes are kept, and how much memory their filters may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutcomeLimits {
    /// Of journal time. Records may stay up to half as long again.
    pub(crate) keep: Duration,
    /// Bytes for filters and indexes. The filters of the oldest records are dropped first; then
    /// a look-up reads a page instead of asking the filter.
    pub(crate) memory: usize,
}

impl Default for OutcomeLimits {
    fn default() -> Self {
        Self { keep: Duration::from_secs(7 * 24 * 60 * 60), memory: 256 << 20 }
    }
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutcomeLookup<T> {
    /// The newest record. It may be older than the limit: compare its time.
    Found(Kept<T>),
    /// Nothing in all the segments that are covered.
    Absent,
    /// Only the disk knows, and the look-up may not read it.
    NeedsDisk,
    /// Nobody knows until the gaps are filled.
    Incomplete,
}

/// What the files hold, and what they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutcomeStats {
    pub(crate) runs: usize,
    /// Records. What was replaced by a newer one or is too old counts until the next merge.
    pub(crate) records: u64,
    /// The journal time of the oldest record.
    pub(crate) oldest: Option<JournalTime>,
    /// Bytes of all files.
    pub(crate) disk_bytes: u64,
    /// Bytes of memory of filters and of indexes.
    pub(crate) filter_memory: usize,
    pub(crate) index_memory: usize,
    /// Parts, of 65,536 records at most, whose filter did not fit into the memory.
    pub(crate) unfiltered_parts: usize,
    /// Segments that must be read again. See [`Outcomes::missing`].
    pub(crate) gaps: Vec<SegmentRange>,
    /// The end of what is covered.
    pub(crate) end: Option<Point>,
}

/// The outcome files of a journal. Look-ups may come from any thread. They wait for no change of
/// the files, only for their own read.
pub(crate) struct Outcomes {
    storage: Arc<dyn Storage>,
    marker: Marker,
    journal: u128,
    opening: u64,
    limits: OutcomeLimits,
    /// Memory has all that came after this batch. What came before and is in no run is a gap.
    remembered: AtomicU64,
    /// The journal ends: a merge under way is given up.
    ending: AtomicBool,
    /// Locked only to take or to replace the set.
    set: Mutex<Arc<RunSet>>,
    /// Held by whoever changes the set, while files are written for it.
    changes: Mutex<()>,
    /// Held during a merge, which may take long. Always locked before `changes`.
    merging: Mutex<()>,
}

impl Outcomes {
    /// Opens the outcome files beside a journal, and removes what does not count: unfinished,
    /// damaged and replaced ones, and those of a tail that was lost. Then fills the memory with
    /// filters. The caller must hold the journal's lock, and gives the journal's number and the
    /// opening's.
    ///
    /// # Errors
    /// [`JournalError::Storage`]. Damage is no error: see [`missing`](Self::missing).
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        layout: &Layout,
        (journal, opening): (u128, u64),
        limits: OutcomeLimits,
    ) -> Result<Self, JournalError> {
        let names = storage.list().map_err(|error| failed("list", "", &error))?;
        let mut found = Vec::new();
        for name in names.iter().filter(|name| is_run(name)) {
            match OutcomeRun::open(&*storage, name) {
                Ok(run) if run.index.foot.journal == journal => found.push(run),
                Ok(_) => {}
                Err(JournalError::Damaged { what, .. }) => {
                    trace::warn(format_args!("{name} is made anew: {what}"));
                }
                Err(error) => return Err(error),
            }
        }
        let bases = || layout.path.iter().map(|it| it.header.base);
        let mut set = RunSet::choose(found, |end| {
            // Of segments that are gone nothing is left to compare with.
            bases().next().is_some_and(|first| end.batch < first.batch)
                || bases().any(|base| is_same_place(&base, end))
        });
        // Without any run, the history begins with the oldest segment that is left. The first run
        // may be of a later one: what is missing before it is a gap.
        set.since.get_or_insert(bases().next().unwrap_or(Point::START));
        for name in names.iter().filter(|name| is_run(name) || is_unfinished(name)) {
            if set.runs.iter().all(|run| run.index.name != *name) {
                remove_file(&*storage, name)?;
            }
        }
        let marker = Marker::new(journal);
        let set = Mutex::new(Arc::new(set));
        let (changes, merging) = (Mutex::new(()), Mutex::new(()));
        let outcomes = Self {
            storage,
            marker,
            journal,
            opening,
            limits,
            remembered: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            set,
            changes,
            merging,
        };
        outcomes.fill_memory();
        Ok(outcomes)
    }

    /// Memory has all that came after batch `batch`. Until runs cover what came before, a look-up
    /// says that nobody knows.
    pub(crate) fn remember_from(&self, batch: u64) {
        // Release pairs with the Acquire in `look_up`, though no look-up comes before the opening
        // is over.
        self.remembered.store(batch, Ordering::Release);
    }

    /// The journal ends: a merge under way is given up, and leaves all as it was.
    pub(crate) fn end(&self) {
        // Relaxed: a merge that sees it late ends late, and nothing else hangs on it.
        self.ending.store(true, Ordering::Relaxed);
    }

    /// The end of the newest run; `None` if there is none.
    pub(crate) fn covered_to(&self) -> Option<Point> {
        let set = self.set();
        set.end().filter(|_| !set.runs.is_empty())
    }

    /// Whether look-ups get answers: no run is missing or damaged.
    pub(crate) fn is_complete(&self) -> bool {
        let set = self.set();
        set.gaps().is_empty() && self.reaches_memory(&set)
    }

    fn reaches_memory(&self, set: &RunSet) -> bool {
        let end = set.end().map_or(0, |end| end.batch);
        end >= self.remembered.load(Ordering::Acquire)
    }

    /// Whether there is no file yet, and nothing that one should have had: then no answer and no
    /// outcome is in any.
    pub(crate) fn has_nothing(&self) -> bool {
        let set = lock(&self.set);
        set.runs.is_empty() && self.reaches_memory(&set)
    }

    /// Whether a record of this time has had its time at the journal time `now`.
    pub(crate) fn is_over(&self, time: JournalTime, now: JournalTime) -> bool {
        time < self.cut(now)
    }

    /// The marks of this journal.
    pub(crate) fn marker(&self) -> &Marker {
        &self.marker
    }

    /// The journal's number.
    pub(crate) fn journal(&self) -> u128 {
        self.journal
    }

    /// The finished segments of the journal that no usable run covers, the oldest first: new ones,
    /// and those whose run was lost. Build and [`install`](Self::install) a run for each.
    pub(crate) fn missing(&self, layout: &Layout) -> Vec<SegmentRange> {
        let set = self.set();
        let pairs = layout.path.iter().zip(layout.path.iter().skip(1));
        let ranges = pairs.map(|(it, next)| SegmentRange {
            first: it.header.number,
            base: it.header.base,
            end: next.header.base,
        });
        let is_wanted = |range: &SegmentRange| {
            let is_over = set.since.is_some_and(|since| range.end.batch <= since.batch);
            !is_over && !set.covers(range)
        };
        ranges.filter(is_wanted).collect()
    }

    /// What is gathered here, [`install`](Self::install) takes.
    pub(crate) fn builder(&self) -> OutcomesBuilder {
        OutcomesBuilder::new(self.journal)
    }

    /// Writes the run of finished, durable segments. Once this returns, the run is durable and
    /// look-ups use it: only then may memory let go of what is in it. Then removes the oldest runs
    /// if all that they hold is over at the journal time `now`, and no merge is under way.
    ///
    /// Does nothing if the segments are covered. An empty builder for segments that can't be read
    /// any more gives up what they held.
    ///
    /// # Errors
    /// [`JournalError::Storage`], and all is as before; [`JournalError::Damaged`] if another run
    /// covers some of the segments but not all. That run counts as a gap from then on.
    pub(crate) fn install(
        &self,
        range: SegmentRange,
        builder: &OutcomesBuilder,
        now: JournalTime,
    ) -> Result<(), JournalError> {
        // A merge must not lose its sources meanwhile. So it comes before `changes`.
        let may_remove = self.merging.try_lock();
        let _alone = lock(&self.changes);
        let set = self.set();
        if set.covers(&range) {
            return Ok(());
        }
        let overlaps = set.runs.iter().filter(|run| run.is_usable()).find(|run| {
            let own = &run.index.foot.range;
            own.base.batch < range.end.batch && range.base.batch < own.end.batch
        });
        if let Some(run) = overlaps {
            let (own, other) = (range, run.index.foot.range);
            let what = format!(
                "an outcome file of batches {} to {} beside one of {} to {}",
                own.base.batch, own.end.batch, other.base.batch, other.end.batch
            );
            // The writer has given up a part of what the other run covers. Both are made anew.
            let error = damaged(&range.name(), 0, what);
            run.blame(&error);
            return Err(error);
        }
        let over = may_remove.as_ref().map_or(0, |_| set.over(self.cut(now)));
        let since = match set.runs.get(over) {
            Some(run) if over > 0 => run.index.foot.range.base,
            _ => match set.since {
                // The rest of a lost history is not younger for being filled in.
                Some(since) if since.batch <= range.base.batch => since,
                Some(_) => range.base,
                // Whatever comes first: others may have been lost before it. Who finds no segment
                // for them gives them up.
                None => Point::START,
            },
        };
        let foot = self.foot(&set, range, since, 0);
        write_run(&*self.storage, foot, |writer| {
            builder.sorted().try_for_each(|(mark, bytes)| writer.push(mark, bytes))
        })?;
        let run = OutcomeRun::open(&*self.storage, &range.name())?;
        let mut next = set.with(run);
        next.runs.retain(|run| run.index.foot.range.end.batch > since.batch);
        next.since = Some(since);
        next.next_serial = foot.serial + 1;
        self.replace(&set, next);
        Ok(())
    }

    /// Merges the runs that are due, if any are. Returns whether there were. Takes as long as
    /// reading and writing these runs takes; meanwhile look-ups and [`install`](Self::install) go
    /// on. Records that are over at the journal time `now` are left out.
    ///
    /// # Errors
    /// [`JournalError::Storage`]; [`JournalError::Damaged`], and the damaged run counts as a gap.
    /// All else is as before.
    pub(crate) fn merge_due(&self, now: JournalTime) -> Result<bool, JournalError> {
        let _merging = lock(&self.merging);
        let (runs, foot) = {
            let _alone = lock(&self.changes);
            let mut set = RunSet::clone(&self.set());
            let Some(runs) = set.due(whole_millis(self.limits.keep) / 2) else { return Ok(false) };
            let runs = runs.to_vec();
            let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(false) };
            let (first, last) = (first.index.foot, last.index.foot);
            let range = SegmentRange { end: last.range.end, ..first.range };
            let since = set.since.unwrap_or(range.base);
            let foot = self.foot(&set, range, since, first.level.saturating_add(1));
            set.next_serial = foot.serial + 1;
            *lock(&self.set) = Arc::new(set);
            (runs, foot)
        };
        let cut = self.cut(now);
        write_run(&*self.storage, foot, |writer| {
            feed_merged(&*self.storage, &runs, cut, &self.ending, writer)
        })?;
        let run = OutcomeRun::open(&*self.storage, &foot.range.name())?;
        let _alone = lock(&self.changes);
        let set = self.set();
        self.replace(&set, set.with(run));
        Ok(true)
    }

    /// The mark under which the answer of a key is looked up, given the key's bytes.
    pub(crate) fn mark_of(&self, key: &[u8]) -> OutcomeMark {
        self.marker.answer(key)
    }

    /// The newest answer under this mark, in the runs that end after batch `after`.
    ///
    /// # Errors
    /// [`JournalError::Storage`], which may pass.
    pub(crate) fn answer_of(
        &self,
        key: OutcomeMark,
        after: u64,
        disk: DiskUse,
    ) -> Result<OutcomeLookup<KeptAnswer>, JournalError> {
        self.look_up(key, after, disk)
    }

    /// How the reservation of this id ended.
    ///
    /// # Errors
    /// [`JournalError::Storage`], which may pass.
    pub(crate) fn outcome_of(
        &self,
        id: ReservationId,
        disk: DiskUse,
    ) -> Result<OutcomeLookup<ReservationOutcome>, JournalError> {
        self.look_up(self.marker.reservation(id), 0, disk)
    }

    /// Which reservation took the lines of this ended one again, as the runs that end after batch
    /// `after` know.
    ///
    /// # Errors
    /// [`JournalError::Storage`], which may pass.
    pub(crate) fn retake_of(
        &self,
        id: ReservationId,
        after: u64,
        disk: DiskUse,
    ) -> Result<OutcomeLookup<RetakenAs>, JournalError> {
        self.look_up(self.marker.retake(id), after, disk)
    }

    fn look_up<T: OutcomeRecord>(
        &self,
        mark: OutcomeMark,
        after: u64,
        disk: DiskUse,
    ) -> Result<OutcomeLookup<T>, JournalError> {
        loop {
            let set = self.set();
            if !self.reaches_memory(&set) {
                return Ok(OutcomeLookup::Incomplete);
            }
            let (run, error) = match set.search_after(after, &*self.storage, mark, disk) {
                Ok(SetSearch::Absent) => return Ok(OutcomeLookup::Absent),
                Ok(SetSearch::NeedsDisk) => return Ok(OutcomeLookup::NeedsDisk),
                Ok(SetSearch::Incomplete) => return Ok(OutcomeLookup::Incomplete),
                Ok(SetSearch::Found(run, bytes)) => match read_record(&bytes) {
                    Some(kept) => return Ok(OutcomeLookup::Found(kept)),
                    None => {
                        let what = "a record that can't be read".to_owned();
                        let error = damaged(&run.index.name, 0, what);
                        (run, error)
                    }
                },
                Err(failed) => failed,
            };
            // A run that was replaced meanwhile may well be gone: look again. Else it is damaged,
            // and the next round answers `Incomplete`.
            if self.set().has(&run) {
                run.blame(&error);
                if run.is_usable() {
                    return Err(error);
                }
                trace::error(format_args!("an outcome file must be made anew: {error}"));
            }
        }
    }

    /// What the files hold, and what they cost.
    pub(crate) fn stats(&self) -> OutcomeStats {
        let set = self.set();
        let feet = || set.runs.iter().map(|run| run.index.foot);
        OutcomeStats {
            runs: set.runs.len(),
            records: feet().map(|foot| foot.entries).sum(),
            oldest: feet().filter(|foot| foot.entries > 0).map(|foot| foot.oldest).min(),
            disk_bytes: set.runs.iter().map(|run| run.index.disk_bytes()).sum(),
            filter_memory: set.runs.iter().map(|run| run.filter_memory()).sum(),
            index_memory: set.runs.iter().map(|run| run.index.memory()).sum(),
            unfiltered_parts: set.runs.iter().map(|run| run.unfiltered()).sum(),
            gaps: set.gaps(),
            end: set.end(),
        }
    }

    fn set(&self) -> Arc<RunSet> {
        Arc::clone(&lock(&self.set))
    }

    /// The moment before which records are over.
    fn cut(&self, now: JournalTime) -> JournalTime {
        let keep = whole_millis(self.limits.keep);
        JournalTime::from_millis(now.as_millis().saturating_sub(keep))
    }

    fn foot(&self, set: &RunSet, range: SegmentRange, since: Point, level: u8) -> RunFoot {
        let (journal, opening, serial) = (self.journal, self.opening, set.next_serial.max(1));
        RunFoot { journal, opening, serial, level, range, since, ..RunFoot::default() }
    }

    /// Makes `next` the set that counts, and removes the files that only `old` has. The caller
    /// holds `changes`, and what is new is durable.
    fn replace(&self, old: &RunSet, next: RunSet) {
        let names: Vec<_> = old.runs.iter().map(|run| run.index.name.clone()).collect();
        let next = Arc::new(next);
        *lock(&self.set) = Arc::clone(&next);
        for name in names {
            if next.runs.iter().all(|run| run.index.name != name)
                && let Err(error) = remove_file(&*self.storage, &name)
            {
                // The next opening removes it.
                trace::warn(format_args!("an old outcome file stays: {error}"));
            }
        }
        self.fill_memory();
    }

    /// Gives the filters of the newest records as much memory as they may take, and drops the
    /// others. What can't be read stays on the disk; look-ups then find out why.
    fn fill_memory(&self) {
        let set = self.set();
        let indexes: usize = set.runs.iter().map(|run| run.index.memory()).sum();
        let mut budget = self.limits.memory.saturating_sub(indexes);
        let mut next = RunSet::clone(&set);
        for run in next.runs.iter_mut().rev() {
            match run.with_filters(&*self.storage, &mut budget) {
                Ok(Some(changed)) => *run = Arc::new(changed),
                Ok(None) => {}
                Err(error) => {
                    run.blame(&error);
                    trace::warn(format_args!("a filter can't be read: {error}"));
                }
            }
        }
        *lock(&self.set) = Arc::new(next);
    }
}

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcomes").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

//! Queries of the audit log.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::entry::{AdjustmentType, AuditEntry, EntryType};
use crate::audit::memory::{MemoryLog, Noted};
use crate::audit::view::{Names, View};
use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// How many entries a query returns by default.
const DEFAULT_LIMIT: usize = 1_000;

/// The audit log: the append-only record of what happened. Reading it touches no live stock.
///
/// A handle that is cheap to clone. It shows what the audit writer has *written*: the record of an
/// operation that has just returned may still be in the queue. A flush waits until it is written.
/// The log keeps the newest entries, a million by default. [`evicted`](AuditLog::evicted) says how
/// many older ones it does not show.
#[derive(Clone)]
pub struct AuditLog {
    memory: Arc<MemoryLog>,
    names: Arc<dyn Names>,
}

/// What a redaction erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redacted {
    /// Records whose notes this call erased.
    pub records: u64,
    /// Journal segments that were rewritten for it.
    pub segments: usize,
}

/// Which entries a query returns: those that meet all conditions.
///
/// ```
/// use stockade::{AdjustmentType, AuditFilter};
/// let sales = AuditFilter::new().product("LAPTOP").entry_type(AdjustmentType::Sold).limit(50);
/// let stock_only = AuditFilter::new().warehouse("SF").without(AdjustmentType::Reserved);
/// # let _ = (sales, stock_only);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AuditFilter {
    product: Option<String>,
    warehouse: Option<String>,
    reservation: Option<ReservationId>,
    owner: Option<Owner>,
    /// Wanted types, one bit for each code. Zero means all types.
    types: u64,
    without: u64,
    since: Timestamp,
    until: Timestamp,
    after: u64,
    limit: usize,
}

impl AuditFilter {
    /// Every entry, but at most 1,000 of them.
    pub fn new() -> Self {
        Self {
            product: None,
            warehouse: None,
            reservation: None,
            owner: None,
            types: 0,
            without: 0,
            since: Timestamp::default(),
            until: Timestamp::MAX,
            after: 0,
            limit: DEFAULT_LIMIT,
        }
    }

    /// Only entries about this product. An unknown name matches nothing.
    pub fn product(mut self, name: impl Into<String>) -> Self {
        self.product = Some(name.into());
        self
    }

    /// Only entries of this warehouse. A transfer has one entry at each end. An unknown name
    /// matches nothing.
    pub fn warehouse(mut self, name: impl Into<String>) -> Self {
        self.warehouse = Some(name.into());
        self
    }

    /// Only entries of this reservation. A retake has an id of its own.
    pub fn reservation(mut self, id: ReservationId) -> Self {
        self.reservation = Some(id);
        self
    }

    /// Only entries that name this owner.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Only entries of this type. If called several times, entries of any of these types.
    pub fn entry_type(mut self, entry_type: impl Into<EntryType>) -> Self {
        self.types |= 1 << entry_type.into().code();
        self
    }

    /// No entries of this type. May be called several times.
    pub fn without(mut self, entry_type: impl Into<EntryType>) -> Self {
        self.without |= 1 << entry_type.into().code();
        self
    }

    /// Only entries at or after this moment.
    pub fn since(mut self, moment: Timestamp) -> Self {
        self.since = moment;
        self
    }

    /// Only entries at or before this moment.
    pub fn until(mut self, moment: Timestamp) -> Self {
        self.until = moment;
        self
    }

    /// Only entries with a greater sequence number than this: for the next page.
    pub fn after(mut self, sequence: u64) -> Self {
        self.after = sequence;
        self
    }

    /// At most this many entries, the oldest first.
    pub fn limit(mut self, entries: usize) -> Self {
        self.limit = entries;
        self
    }

    /// Whether the filter names this product or warehouse.
    pub(crate) fn asks_for(&self, name: &str) -> bool {
        [&self.product, &self.warehouse].into_iter().flatten().any(|asked| asked == name)
    }

    /// Only entries with a greater sequence number are wanted.
    pub(crate) fn get_after(&self) -> u64 {
        self.after
    }

    /// How many entries are wanted at most.
    pub(crate) fn get_limit(&self) -> usize {
        self.limit
    }

    /// Whether an entry meets all conditions except that on its sequence number.
    pub(crate) fn matches(&self, view: View<'_>, place: &Place, names: &dyn Names) -> bool {
        let bit = 1_u64 << view.code();
        (self.types == 0 || self.types & bit != 0)
            && self.without & bit == 0
            && (self.since..=self.until).contains(&view.at())
            && self.reservation.is_none_or(|id| view.reservation() == Some(id))
            && self.owner.is_none_or(|owner| view.owner() == Some(owner))
            && place.matches(view, names)
    }
}

impl Default for AuditFilter {
    fn default() -> Self {
        Self::new()
    }
}

/// The filter's names, resolved to indexes once for each query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    warehouse: Option<WarehouseIndex>,
    product: Option<ProductIndex>,
}

impl Place {
    /// `None` if a name is unknown: then no entry can match.
    pub(crate) fn of(filter: &AuditFilter, names: &dyn Names) -> Option<Self> {
        let warehouse = match &filter.warehouse {
            Some(name) => Some(names.warehouse_index(name)?),
            None => None,
        };
        let product = match &filter.product {
            Some(name) => Some(names.product_index(name)?),
            None => None,
        };
        Some(Self { warehouse, product })
    }

    fn matches(&self, view: View<'_>, names: &dyn Names) -> bool {
        if self.warehouse.is_none() && self.product.is_none() {
            return true;
        }
        let (warehouse, product) = view.place(names);
        self.warehouse.is_none_or(|wanted| warehouse == Some(wanted))
            && self.product.is_none_or(|wanted| product == Some(wanted))
    }
}

/// One page of a query's results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The entries, the oldest first.
    pub entries: Vec<AuditEntry>,
    /// Set if the limit was reached and more entries match. Pass it to [`AuditFilter::after`] for
    /// the next page.
    pub next: Option<u64>,
    /// The sequence number of the oldest entry that the log shows. `None` if it shows none.
    pub oldest_sequence: Option<u64>,
    /// How many entries are older than those that the log shows.
    pub left: u64,
}

/// What the log holds about one reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// Entries of the reservation and of its retakes, the oldest first.
    pub(crate) entries: Vec<AuditEntry>,
    /// The lines of the newest record that gave back what the reservation held. In one that is over
    /// and sold nothing, that is its end.
    pub(crate) given_back_last: Vec<(LevelIndex, u32)>,
    /// Whether the log reaches back to the creation of the hold, so that no written entry is
    /// missing.
    pub(crate) complete: bool,
}

impl AuditLog {
    pub(crate) fn new(memory: Arc<MemoryLog>, names: Arc<dyn Names>) -> Self {
        Self { memory, names }
    }

    /// The entries that match `filter`, the oldest first. A scan of a million entries takes 10 to
    /// 20 ms. It delays the writer only for the microseconds of copying the list of chunks. A
    /// filter by time or by [`after`](AuditFilter::after) skips chunks.
    pub fn query(&self, filter: &AuditFilter) -> AuditPage {
        let snapshot = self.memory.snapshot(filter.after.saturating_add(1));
        let first = snapshot.oldest.max(filter.after.saturating_add(1));
        let mut page = AuditPage {
            entries: Vec::new(),
            next: None,
            oldest_sequence: (snapshot.oldest < snapshot.next).then_some(snapshot.oldest),
            left: snapshot.oldest - 1,
        };
        let names = &*self.names;
        let Some(place) = Place::of(filter, names) else {
            return page;
        };
        let in_time = |chunk: &&Arc<_>| -> bool {
            let chunk: &crate::audit::memory::Chunk = chunk;
            chunk.overlaps(filter.since, filter.until)
        };
        for chunk in snapshot.chunks.iter().filter(in_time) {
            let flow = chunk.scan(|sequence, view, metadata| {
                if sequence < first || !filter.matches(view, &place, names) {
                    return ControlFlow::Continue(());
                }
                if page.entries.len() == filter.limit {
                    // One more entry matches, so there is a next page.
                    page.next = Some(page.entries.last().map_or(filter.after, |it| it.sequence));
                    return ControlFlow::Break(());
                }
                page.entries.push(view.to_entry(sequence, names, &metadata()));
                ControlFlow::Continue(())
            });
            if flow.is_break() {
                break;
            }
        }
        page
    }

    /// How many entries the log shows at present. Never waits.
    pub fn len(&self) -> u64 {
        self.memory.len()
    }

    /// Whether the log shows no entries at present. Never waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries are older than those that the log shows: dropped to make room, or written
    /// by an earlier run. Never waits.
    pub fn evicted(&self) -> u64 {
        self.memory.left()
    }

    /// The sequence number of the newest written entry; 0 if there is none. Never waits.
    pub fn newest_sequence(&self) -> u64 {
        self.memory.written()
    }

    /// Erases the notes of records. `of` has the sequence numbers of their first entries.
    pub(crate) fn erase_notes(&self, of: &BTreeSet<u64>) {
        self.memory.erase_notes(of);
    }

    /// Picks records with notes; see [`MemoryLog::pick`].
    pub(crate) fn pick(&self, wanted: &mut dyn FnMut(&AuditEntry) -> bool) -> Noted {
        self.memory.pick(&*self.names, wanted)
    }

    /// What was written about a hold that was created at `born`. A caller that decides by it must
    /// flush first.
    pub(crate) fn history_of(&self, id: ReservationId, born: Timestamp) -> History {
        let snapshot = self.memory.snapshot(0);
        // No entry about the hold is older than the hold. So if the newest dropped entry is older,
        // no dropped entry is about it.
        let complete = self.memory.opened_at() <= born
            && snapshot.latest_evicted.is_none_or(|latest| latest < born);
        let returned = EntryType::Movement(AdjustmentType::Returned).code();
        let (mut entries, mut given_back_last, mut of_record) = (Vec::new(), Vec::new(), None);
        for chunk in snapshot.chunks.iter().filter(|it| it.overlaps(born, Timestamp::MAX)) {
            let _ = chunk.scan(|sequence, view, metadata| {
                let is_own = view.reservation() == Some(id);
                if is_own || view.retaken_from() == Some(id) {
                    entries.push(view.to_entry(sequence, &*self.names, &metadata()));
                }
                if is_own && view.code() == returned {
                    let record = view.record(sequence);
                    if of_record != Some(record) {
                        given_back_last.clear();
                    }
                    of_record = Some(record);
                    given_back_last.extend(view.level().map(|level| (level, view.quantity())));
                }
                ControlFlow::Continue(())
            });
        }
        History { entries, given_back_last, complete }
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog")
            .field("len", &self.len())
            .field("left", &self.evicted())
            .finish_non_exhaustive()
    }
}

//! Asking the log what happened.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::entry::{AuditEntry, EntryType};
use crate::audit::memory::{MemoryLog, Noted};
use crate::audit::view::{Names, View};
use crate::base::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{ProductIndex, WarehouseIndex};

/// How many entries a query gives unless it says otherwise.
const DEFAULT_LIMIT: usize = 1_000;

/// The record of what happened: append-only, and apart from live stock.
///
/// A cheap handle. It shows what has been *written*; an operation that has just returned may still
/// be on its way, and a flush waits for it. The newest entries are kept, as many as the engine was
/// told (a million by default); [`evicted`](AuditLog::evicted) says how many have gone.
#[derive(Clone)]
pub struct AuditLog {
    memory: Arc<MemoryLog>,
    names: Arc<dyn Names>,
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redacted {
    /// Records whose notes were erased by this call.
    pub records: u64,
    /// Segments of the journal that were written anew for it.
    pub segments: usize,
}

/// Which entries a query is for: all conditions must hold.
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
    /// A bit for each type's code. None asked for means all.
    types: u64,
    without: u64,
    since: Timestamp,
    until: Timestamp,
    after: u64,
    limit: usize,
}

impl AuditFilter {
    /// Every entry, at most 1,000 of them.
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

    /// Only entries about this product.
    pub fn product(mut self, name: impl Into<String>) -> Self {
        self.product = Some(name.into());
        self
    }

    /// Only entries of this warehouse. A transfer has one at either end.
    pub fn warehouse(mut self, name: impl Into<String>) -> Self {
        self.warehouse = Some(name.into());
        self
    }

    /// Only entries of this hold.
    pub fn reservation(mut self, id: ReservationId) -> Self {
        self.reservation = Some(id);
        self
    }

    /// Only entries of holds of this owner.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Only entries of this type; called again, of either type.
    pub fn entry_type(mut self, entry_type: impl Into<EntryType>) -> Self {
        self.types |= 1 << entry_type.into().code();
        self
    }

    /// No entries of this type.
    pub fn without(mut self, entry_type: impl Into<EntryType>) -> Self {
        self.without |= 1 << entry_type.into().code();
        self
    }

    /// Only entries of this moment or later.
    pub fn since(mut self, moment: Timestamp) -> Self {
        self.since = moment;
        self
    }

    /// Only entries of this moment or earlier.
    pub fn until(mut self, moment: Timestamp) -> Self {
        self.until = moment;
        self
    }

    /// Only entries with a greater sequence number: the next page.
    pub fn after(mut self, sequence: u64) -> Self {
        self.after = sequence;
        self
    }

    /// At most so many entries, the oldest first.
    pub fn limit(mut self, entries: usize) -> Self {
        self.limit = entries;
        self
    }

    /// Whether it asks for something of this name.
    pub(crate) fn asks_for(&self, name: &str) -> bool {
        [&self.product, &self.warehouse].into_iter().flatten().any(|asked| asked == name)
    }

    /// The number of the newest entry that is too old.
    pub(crate) fn get_after(&self) -> u64 {
        self.after
    }

    /// How many entries are wanted.
    pub(crate) fn get_limit(&self) -> usize {
        self.limit
    }

    /// Whether an entry is wanted, but for its number.
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

/// The filter's names, looked up once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    warehouse: Option<WarehouseIndex>,
    product: Option<ProductIndex>,
}

impl Place {
    /// `None` if a name is unknown, so that nothing can match.
    pub(crate) fn of(filter: &AuditFilter, names: &dyn Names) -> Option<Self> {
        let warehouse = match &filter.warehouse {
            Some(name) => Some(names.warehouse_id(name)?),
            None => None,
        };
        let product = match &filter.product {
            Some(name) => Some(names.product_id(name)?),
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

/// What a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The entries, the oldest first.
    pub entries: Vec<AuditEntry>,
    /// If the limit cut the answer short: pass it to [`AuditFilter::after`] for the next page.
    pub next: Option<u64>,
    /// The oldest entry that the log still keeps, `None` while it is empty.
    pub oldest_sequence: Option<u64>,
    /// How many entries have left the log; they are older than that.
    pub left: u64,
}

/// What the log knows of one hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// Entries of the hold itself and of holds that took its lines anew, the oldest first.
    pub(crate) entries: Vec<AuditEntry>,
    /// Whether the log reaches back to the hold's birth, so that nothing written is missing.
    pub(crate) complete: bool,
}

impl AuditLog {
    pub(crate) fn new(memory: Arc<MemoryLog>, names: Arc<dyn Names>) -> Self {
        Self { memory, names }
    }

    /// The entries that match `filter`. Holds the writer up for microseconds, not for the scan, which
    /// takes 10 to 20 ms for a million entries; a filter by time or [`after`](AuditFilter::after)
    /// skips what it can.
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
                    // More is there than was asked for.
                    page.next = Some(page.entries.last().map_or(filter.after, |it| it.sequence));
                    return ControlFlow::Break(());
                }
                page.entries.push(view.to_entry(sequence, names, metadata));
                ControlFlow::Continue(())
            });
            if flow.is_break() {
                break;
            }
        }
        page
    }

    /// How many entries the log keeps at present. Never waits.
    pub fn len(&self) -> u64 {
        self.memory.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries have left the log to make room. Never waits.
    pub fn evicted(&self) -> u64 {
        self.memory.left()
    }

    /// The sequence number of the newest entry; 0 if there is none. Never waits.
    pub fn newest_sequence(&self) -> u64 {
        self.memory.written()
    }

    /// Erases the notes of records, which it is told by their first entries.
    pub(crate) fn erase_notes(&self, of: &BTreeSet<u64>) {
        self.memory.erase_notes(of);
    }

    /// The records with notes; see [`MemoryLog::pick`].
    pub(crate) fn pick(&self, wanted: &mut dyn FnMut(&AuditEntry) -> bool) -> Noted {
        self.memory.pick(&*self.names, wanted)
    }

    /// What was written about a hold born at `born`. Whoever decides by it flushes first.
    pub(crate) fn history_of(&self, id: ReservationId, born: Timestamp) -> History {
        let snapshot = self.memory.snapshot(0);
        // Whatever is about the hold bears its birth's time or a later one, so that entries that are
        // gone can concern it only if one of them is as young.
        let complete = self.memory.opened_at() <= born
            && snapshot.complete_after.is_none_or(|latest| latest < born);
        let mut entries = Vec::new();
        for chunk in snapshot.chunks.iter().filter(|it| it.overlaps(born, Timestamp::MAX)) {
            let _ = chunk.scan(|sequence, view, metadata| {
                if view.reservation() == Some(id) || view.retaken_from() == Some(id) {
                    entries.push(view.to_entry(sequence, &*self.names, metadata));
                }
                ControlFlow::Continue(())
            });
        }
        History { entries, complete }
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

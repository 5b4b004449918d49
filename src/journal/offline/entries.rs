//! Hands out the entries of a journal, one by one.

use std::ops::ControlFlow;

use crate::audit::entry::AuditEntry;
use crate::audit::log::{AuditFilter, AuditPage, Place};
use crate::audit::view::{Metadata, View};
use crate::base::error::JournalError;
use crate::journal::format::decode::Decoded;
use crate::journal::ledger::Ledger;
use crate::journal::offline::JournalReader;
use crate::journal::recovery::replay::Visitor;

impl JournalReader {
    /// Passes every entry that matches `filter` to `each`, in order, up to the filter's limit.
    /// Reads the journal from its beginning, segment by segment, until the limit is reached.
    ///
    /// # Errors
    /// The errors of [`verify`](Self::verify), for what is read. Entries that were passed on before
    /// the error are sound.
    pub fn entries(
        &mut self,
        filter: &AuditFilter,
        mut each: impl FnMut(AuditEntry),
    ) -> Result<(), JournalError> {
        self.entries_while(filter, |entry| {
            each(entry);
            ControlFlow::Continue(())
        })
    }

    /// Like [`entries`](Self::entries), but stops as soon as `each` breaks.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-end-{}", std::process::id()));
    /// use std::ops::ControlFlow;
    /// use stockade::{AuditFilter, InventoryManager, JournalReader};
    /// # let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// # manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// # manager.flush().wait()?;
    /// let mut first = None;
    /// let filter = AuditFilter::new().product("LAPTOP").limit(usize::MAX);
    /// JournalReader::new(&directory).entries_while(&filter, |entry| {
    ///     first = entry.is_movement().then_some(entry.quantity);
    ///     if first.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    /// })?;
    /// assert_eq!(first, Some(10));
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub fn entries_while(
        &mut self,
        filter: &AuditFilter,
        mut each: impl FnMut(AuditEntry) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        let (mut last, mut given, mut enough) = (0, 0, false);
        self.retry_if_changed(|reader| {
            if enough {
                return Ok(());
            }
            let mut source = reader.take_snapshot(0)?;
            let oldest = source.layout.oldest();
            if last > 0 && last + 1 < oldest {
                // The next entries were trimmed while the ones before them were passed on.
                return Err(JournalError::Trimmed { oldest });
            }
            // If the reading begins again, it skips the entries that were passed on already.
            let after = filter.get_after().max(last);
            let filter = &filter.clone().after(after).limit(filter.get_limit() - given);
            let each = |entry: AuditEntry| {
                (last, given) = (entry.sequence, given + 1);
                let flow = each(entry);
                enough = flow.is_break();
                flow
            };
            let (place, names) = (None, (usize::MAX, 0));
            let mut visitor = FilterVisitor { filter, place, names, given: 0, each };
            reader.replay(&mut source, 0, &mut visitor).map(drop)
        })
    }

    /// The entries that match `filter`, a page as [`AuditLog::query`](crate::AuditLog::query)
    /// returns it, but of the whole journal. Each call reads the journal from its beginning, so
    /// later pages cost more; [`entries`](Self::entries) reads it once.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub fn query(&mut self, filter: &AuditFilter) -> Result<AuditPage, JournalError> {
        let limit = filter.get_limit();
        let one_more = filter.clone().limit(limit.saturating_add(1));
        let mut entries = Vec::new();
        self.entries(&one_more, |entry| entries.push(entry))?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().map_or(filter.get_after(), |it| it.sequence);
        // Every journal has a first entry: that of its first opening.
        let oldest_sequence = Some(self.oldest_entry()?);
        Ok(AuditPage { entries, next: more.then_some(last), oldest_sequence, left: 0 })
    }
}

/// Passes on the entries that match a filter.
struct FilterVisitor<'a, F> {
    filter: &'a AuditFilter,
    /// The filter's names as indexes, once the journal has defined them.
    place: Option<Place>,
    /// How many warehouses and products there were at the last look-up.
    names: (usize, usize),
    given: usize,
    each: F,
}

impl<F> FilterVisitor<'_, F> {
    /// Looks the filter's names up, but only if the result may have changed. A look-up scans all
    /// names, so with millions of products it must not run for every record.
    fn look_up(&mut self, ledger: &Ledger) {
        let names = (ledger.warehouses.len(), ledger.products.len());
        if self.place.is_some() || self.names == names {
            return;
        }
        let is_first = self.names.0 == usize::MAX;
        let newest = ledger.products.last().into_iter();
        let mut newest = newest.chain(ledger.warehouses.last().map(|it| &it.name));
        if is_first || newest.any(|name| self.filter.asks_for(name)) {
            self.place = Place::of(self.filter, ledger);
        }
        self.names = names;
    }
}

impl<F: FnMut(AuditEntry) -> ControlFlow<()>> Visitor for FilterVisitor<'_, F> {
    fn looks_back(&self) -> bool {
        true
    }

    fn record(&mut self, ledger: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        self.look_up(ledger);
        let Some(place) = self.place else { return ControlFlow::Continue(()) };
        let mut metadata: Option<Metadata> = None;
        for (view, sequence) in decoded.views().zip(first..) {
            if sequence <= self.filter.get_after() || !self.filter.matches(view, &place, ledger) {
                continue;
            }
            if self.given == self.filter.get_limit() {
                return ControlFlow::Break(());
            }
            self.given += 1;
            let metadata = metadata.get_or_insert_with(|| decoded.metadata());
            (self.each)(view.to_entry(sequence, ledger, metadata))?;
        }
        ControlFlow::Continue(())
    }
}

impl Decoded<'_> {
    /// Views of the record's entries, without a copy.
    pub(crate) fn views(&self) -> impl Iterator<Item = View<'_>> {
        let (plain, buffer) = match self {
            Self::Plain(plain) => (Some(plain), None),
            Self::Record(record) => (None, Some(&record.steps)),
        };
        let lines = buffer.into_iter().flat_map(|buffer| buffer.views());
        plain.into_iter().map(View::Plain).chain(lines)
    }

    /// The record's pairs of facts and notes.
    pub(crate) fn metadata(&self) -> Metadata {
        match self {
            Self::Plain(_) => Metadata::default(),
            Self::Record(record) => record.steps.metadata.to_metadata(),
        }
    }
}

//! The entries of a journal, one by one.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::entry::AuditEntry;
use crate::audit::inspect::JournalReader;
use crate::audit::journal::decode::Decoded;
use crate::audit::ledger::Ledger;
use crate::audit::log::{AuditFilter, AuditPage, Place};
use crate::audit::scan;
use crate::audit::view::{Metadata, View};
use crate::error::JournalError;

impl JournalReader {
    /// Hands every entry that matches `filter` to `each`, the oldest first, until that says to stop.
    /// The filter's limit does not count here.
    ///
    /// Reads the journal from its beginning, which tells what the names are, and checks every law on
    /// the way: about as fast as [`verify`](Self::verify).
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-each-{}", std::process::id()));
    /// use std::ops::ControlFlow;
    /// use stockade::{AuditFilter, InventoryManager, JournalReader};
    /// # let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// # manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// # manager.flush().wait()?;
    /// let mut units = 0;
    /// JournalReader::new(&directory).for_each(&AuditFilter::new().product("LAPTOP"), |entry| {
    ///     units += entry.quantity;
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(units, 10);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`JournalError`]. Entries before the damage, or before the broken law, and that one too, have
    /// been handed out by then; after a stop nothing further is looked at.
    pub fn for_each(
        &self,
        filter: &AuditFilter,
        mut each: impl FnMut(AuditEntry) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        let mut listing = Listing { ledger: Ledger::new(0), filter, place: None };
        listing.look_up();
        let read = self.read(&self.freeze()?, |segment| {
            for found in &segment.batches {
                let flow =
                    scan::decode_batch(segment, found, |decoded| listing.take(&decoded, &mut each));
                if flow?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(listing.ledger.next_sequence - 1))
        });
        read.map(drop)
    }

    /// The entries that match `filter`, as [`AuditLog::query`](crate::AuditLog::query) gives them, but of
    /// the whole journal. For a page further on, all that comes before is read again.
    ///
    /// # Errors
    /// [`JournalError`], if it is met before the page is full.
    pub fn query(&self, filter: &AuditFilter) -> Result<AuditPage, JournalError> {
        let mut page =
            AuditPage { entries: Vec::new(), next: None, oldest_sequence: None, left: 0 };
        self.for_each(filter, |entry| {
            if page.entries.len() == filter.at_most() {
                // More is there than was asked for.
                let last = page.entries.last().map_or(filter.begins_after(), |it| it.sequence);
                page.next = Some(last);
                return ControlFlow::Break(());
            }
            page.entries.push(entry);
            ControlFlow::Continue(())
        })?;
        // Its first entry is that of its opening.
        page.oldest_sequence = Some(1);
        Ok(page)
    }
}

/// Goes through records in their order.
struct Listing<'a> {
    ledger: Ledger,
    filter: &'a AuditFilter,
    /// `None` as long as the filter asks for a name that was not defined yet.
    place: Option<Place>,
}

impl Listing<'_> {
    fn look_up(&mut self) {
        self.place = Place::of(self.filter, &self.ledger);
    }

    fn take(
        &mut self,
        decoded: &Decoded<'_>,
        each: &mut impl FnMut(AuditEntry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, JournalError> {
        let first = self.ledger.next_sequence;
        // The entry that defines a name bears it.
        let applied = self.ledger.apply(decoded).map_err(scan::broken);
        if self.place.is_none() {
            let newest = self.ledger.products.last();
            let newest = newest.into_iter().chain(self.ledger.warehouses.last().map(|it| &it.name));
            // Nothing else can have changed the answer, and looking up is slow.
            if newest.into_iter().any(|name| self.filter.asks_for(name)) {
                self.look_up();
            }
        }
        let flow = self.show(first, decoded, each);
        applied.map(|()| flow)
    }

    /// Hands out those of a record's entries that are asked for.
    fn show(
        &self,
        first: u64,
        decoded: &Decoded<'_>,
        each: &mut impl FnMut(AuditEntry) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(place) = &self.place else { return ControlFlow::Continue(()) };
        let asked_for = |sequence: u64, view: View<'_>| {
            sequence > self.filter.begins_after() && self.filter.matches(view, place, &self.ledger)
        };
        match decoded {
            Decoded::Step(step) => {
                let view = View::Step(step);
                if asked_for(first, view) {
                    each(view.to_entry(first, &self.ledger, &Metadata::default()))?;
                }
            }
            Decoded::Long(long) => {
                let mut metadata = None;
                for (sequence, line) in (first..).zip(&long.steps.lines) {
                    let view = View::Line(&long.steps.header, line);
                    if asked_for(sequence, view) {
                        let metadata: &Metadata =
                            metadata.get_or_insert_with(|| Arc::from(&*long.steps.metadata));
                        each(view.to_entry(sequence, &self.ledger, metadata))?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

//! Reading a journal without an engine: its entries, its stock, and whether it is sound. Nothing here
//! writes or takes a lock, so that all of it works beside a running engine.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::entry::AuditEntry;
use crate::audit::head::{HeadHash, JournalHead};
use crate::audit::journal::decode::Decoded;
use crate::audit::journal::files::FileStorage;
use crate::audit::journal::layout::Layout;
use crate::audit::journal::reader::{FoundBatch, Outcome, Segment};
use crate::audit::journal::storage::Storage;
use crate::audit::ledger::Ledger;
use crate::audit::log::{AuditFilter, Place};
use crate::audit::recovery::TornTail;
use crate::audit::replay::{Listener, RecoveryProgress, Visitor, replay};
use crate::audit::view::{Metadata, View};
use crate::clock::Timestamp;
use crate::error::JournalError;

/// A journal to be read: what happened, what it adds up to, and whether it was altered.
///
/// Every law is checked on every entry that is read. Reading never writes, and needs no lock: a
/// journal that an engine is writing at this moment is read up to some point of its newest entries.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-reader-{}", std::process::id()));
/// use stockade::{AuditFilter, InventoryManager, JournalReader};
/// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// manager.sell(("SF", "LAPTOP"), 3)?;
/// drop(manager);
///
/// let mut reader = JournalReader::new(&directory);
/// let verified = reader.verify(None)?;
/// assert!(verified.closed && verified.torn.is_none());
///
/// let stock = reader.stock(None)?;
/// assert_eq!((stock.rows[0].available, stock.rows[0].sold), (7, 3));
///
/// let mut units = Vec::new();
/// reader.entries(&AuditFilter::new().product("LAPTOP"), |entry| units.push(entry.quantity))?;
/// assert_eq!(units, [0, 0, 10, 3, 3]); // defined, opened, received, reserved, sold
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JournalReader {
    storage: Arc<dyn Storage>,
    progress: Option<Box<dyn FnMut(RecoveryProgress) + Send>>,
}

/// What a verification found: nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Where the journal ends.
    pub head: JournalHead,
    /// Entries, and so the sequence number of the newest.
    pub entries: u64,
    /// Batches that they were written in.
    pub batches: u64,
    /// Segments that make it up.
    pub segments: usize,
    /// Bytes of them that count.
    pub bytes: u64,
    /// How often it was opened.
    pub openings: u64,
    /// Whether it ended in good order.
    pub closed: bool,
    /// What a crash left at its end.
    pub torn: Option<TornTail>,
    /// Records whose notes were erased.
    pub erased: u64,
}

/// Stock as a journal alone adds it up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStock {
    /// The newest entry that counts.
    pub sequence: u64,
    /// Every stock level, in the order in which they were opened.
    pub rows: Vec<StockRow>,
}

/// One stock level.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StockRow {
    /// The warehouse.
    pub warehouse: Arc<str>,
    /// The product.
    pub product: Arc<str>,
    /// Units that anyone may reserve.
    pub available: u32,
    /// Units that are spoken for: held, or sold and still in the building.
    pub reserved: u32,
    /// Units that are sold and still in the building.
    pub sold: u32,
}

impl JournalReader {
    /// The journal in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::on(FileStorage::new(directory))
    }

    /// A journal on another storage than a directory.
    pub fn on(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), progress: None }
    }

    /// Calls `listener` after each segment that was read.
    #[must_use]
    pub fn on_progress(mut self, listener: impl FnMut(RecoveryProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(listener));
        self
    }

    /// Checks everything: checksums, the chain of hashes, sequence numbers, and every law on every
    /// entry. A tail that a crash has torn is no error, but told.
    ///
    /// With `expected`, a hash that [`head`](crate::InventoryManager::head) gave earlier, also that the
    /// journal still is the one that had it. Without, nobody can see from the journal alone that its
    /// newest batches were removed with all that knew of them, or that all of it was rewritten.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] names file and byte, [`JournalError::BrokenLaw`] the entry,
    /// [`JournalError::OtherHead`] that the expected hash is not in the chain. See [`JournalError`] for
    /// the rest.
    pub fn verify(&mut self, expected: Option<HeadHash>) -> Result<Verified, JournalError> {
        let layout = self.find()?;
        let mut seen = Seen { expected, ..Seen::default() };
        let outcome = self.replay(&layout, &mut Ledger::new(0), &mut seen)?;
        let Outcome { end, closed, torn, .. } = outcome;
        if let Some(expected) = expected.filter(|_| !seen.found_expected) {
            let expected = expected.to_string();
            return Err(JournalError::OtherHead { expected, entries: end.sequence });
        }
        Ok(Verified {
            head: JournalHead { sequence: end.sequence, hash: end.hash },
            entries: end.sequence,
            batches: end.batch,
            segments: layout.path.len(),
            bytes: seen.bytes,
            openings: layout.head().map_or(0, |head| head.header.opening),
            closed,
            torn: torn.as_ref().map(TornTail::of),
            erased: seen.erased,
        })
    }

    /// What the journal adds up to: all of it, or the longest prefix without an entry later than
    /// `until`. Entries of calls that raced may be a moment older than those before them.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), for what is read.
    pub fn stock(&mut self, until: Option<Timestamp>) -> Result<JournalStock, JournalError> {
        let mut ledger = Ledger::new(0);
        let layout = self.find()?;
        self.replay(&layout, &mut ledger, &mut Until(until.unwrap_or(Timestamp::MAX)))?;
        Ok(stock_of(&ledger))
    }

    /// Hands every entry that matches `filter` to `each`, in order, up to the filter's limit. Reads all
    /// of the journal up to there, a segment at a time.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), for what is read. What was handed out before was sound.
    pub fn entries(
        &mut self,
        filter: &AuditFilter,
        each: impl FnMut(AuditEntry),
    ) -> Result<(), JournalError> {
        let layout = self.find()?;
        let mut matching = Matching { filter, place: None, names: (usize::MAX, 0), given: 0, each };
        self.replay(&layout, &mut Ledger::new(0), &mut matching).map(drop)
    }

    /// # Errors
    /// There is nothing that could be a journal: a mistyped name must not pass for a sound one.
    fn find(&self) -> Result<Layout, JournalError> {
        let layout = Layout::find(&*self.storage)?;
        match layout.newest {
            0 => Err(JournalError::NoJournal),
            _ => Ok(layout),
        }
    }

    fn replay(
        &mut self,
        layout: &Layout,
        ledger: &mut Ledger,
        visitor: &mut dyn Visitor,
    ) -> Result<Outcome, JournalError> {
        let tell: Listener<'_> = self.progress.as_mut().map(|tell| &mut **tell as _);
        replay(&*self.storage, layout, ledger, visitor, tell)
    }
}

impl std::fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalReader").finish_non_exhaustive()
    }
}

fn stock_of(ledger: &Ledger) -> JournalStock {
    let row = |level: &crate::audit::ledger::levels::LevelState| {
        let warehouse = Arc::clone(&ledger.warehouses.get(level.warehouse.index())?.name);
        let product = Arc::clone(ledger.products.get(level.product.index())?);
        let (available, reserved, sold) = (level.available, level.reserved, level.sold);
        Some(StockRow { warehouse, product, available, reserved, sold })
    };
    let rows = ledger.levels.iter().filter_map(row).collect();
    JournalStock { sequence: ledger.next_sequence - 1, rows }
}

/// What a verification counts.
#[derive(Default)]
struct Seen {
    expected: Option<HeadHash>,
    found_expected: bool,
    bytes: u64,
    erased: u64,
}

impl Visitor for Seen {
    fn record(&mut self, _: &Ledger, _: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        if let Decoded::Long(long) = decoded {
            self.erased += u64::from(long.erased);
        }
        ControlFlow::Continue(())
    }

    fn batch(&mut self, _: &Segment, found: &FoundBatch, _: u64) {
        self.bytes += (found.end() - found.offset) as u64;
        self.found_expected |= self.expected.is_some_and(|hash| hash.0 == found.header.hash);
    }
}

/// Ends before the first entry that is later.
struct Until(Timestamp);

impl Visitor for Until {
    fn ends_before(&mut self, decoded: &Decoded<'_>) -> bool {
        decoded.at() > self.0
    }

    fn record(&mut self, _: &Ledger, _: u64, _: &Decoded<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Hands out what a filter wants.
struct Matching<'a, F> {
    filter: &'a AuditFilter,
    /// The filter's names, once the journal has defined them.
    place: Option<Place>,
    /// How many names there were when they were last looked for.
    names: (usize, usize),
    given: usize,
    each: F,
}

impl<F: FnMut(AuditEntry)> Visitor for Matching<'_, F> {
    fn record(&mut self, ledger: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        let names = (ledger.warehouses.len(), ledger.products.len());
        if self.place.is_none() && self.names != names {
            self.names = names;
            self.place = Place::of(self.filter, ledger);
        }
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
            (self.each)(view.to_entry(sequence, ledger, metadata));
        }
        ControlFlow::Continue(())
    }
}

impl Decoded<'_> {
    /// The record's entries, where they lie.
    pub(crate) fn views(&self) -> impl Iterator<Item = View<'_>> {
        let (step, steps) = match self {
            Self::Step(step) => (Some(step), None),
            Self::Long(long) => (None, Some(&long.steps)),
        };
        let lines = steps.into_iter();
        let lines =
            lines.flat_map(|steps| steps.lines.iter().map(|line| View::Line(&steps.header, line)));
        step.into_iter().map(View::Step).chain(lines)
    }

    /// The record's pairs.
    pub(crate) fn metadata(&self) -> Metadata {
        match self {
            Self::Step(_) => Metadata::default(),
            Self::Long(long) => long.steps.metadata.as_slice().into(),
        }
    }
}

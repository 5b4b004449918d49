//! The journal of a run: `--journal` resumes the one in its directory.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use stockade::{
    AuditFilter, Builder, Durability, InventoryManager, JournalError, JournalOptions,
    RecoveryReport, StockRow,
};

use crate::Failure;
use crate::audit;
use crate::books::Books;
use crate::proof::Broken;
use crate::report::{Output, Summary, counted, path, printable};

/// How long the shutdown may take to write the queued records.
const CLOSING: Duration = Duration::from_secs(60);

/// Where a run keeps its journal, if it keeps one.
#[derive(Debug, clap::Args)]
pub(crate) struct JournalArgs {
    /// Keep a journal in this directory, which is created if it does not exist. An existing journal
    /// is resumed: stock is added on top, and every unit of the whole journal is accounted for
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// What has happened to a call's record when the call returns. `buffered`: it is queued, and on
    /// the disk within 100 ms; `synced`: it is on the disk
    #[arg(long, value_enum, value_name = "HOW", requires = "journal", default_value_t = Waits::Buffered)]
    durability: Waits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Waits {
    #[value(help = "written soon")]
    Buffered,
    #[value(help = "on the disk")]
    Synced,
}

/// What a run found in its journal. Its field names are part of the program's interface.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Found {
    entries: u64,
    openings: u64,
    closed: bool,
    /// The torn tail that a crash left. It was cut.
    torn: Option<String>,
    available: u64,
    reserved: u64,
    sold: u64,
    /// Pending reservations. They expire when they would have, except those that were overdue
    /// already.
    pending: usize,
}

/// The journal of a run, in its result. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
pub(crate) struct JournalReport {
    directory: String,
    durability: Waits,
    found: Found,
    /// Entries at the end of the run, including the earlier ones.
    entries: u64,
    /// The hash of everything up to the last entry, for `audit verify --expect-head`.
    head: String,
}

impl JournalArgs {
    /// The books of the existing journal; empty if there is none.
    pub(crate) fn history(&self, output: Output) -> Result<Books, Failure> {
        let mut books = Books::default();
        let Some(directory) = &self.journal else { return Ok(books) };
        let bar = output.progress(0, "segments of the journal that is there");
        let all = AuditFilter::new().limit(usize::MAX);
        let read = audit::reader(directory, &bar).entries(&all, |entry| books.take(&entry));
        bar.finish_and_clear();
        match read {
            Ok(()) | Err(JournalError::NoJournal) => {}
            Err(error) => return Err(audit::failure(directory, error)),
        }
        if books.total().foreign > 0 {
            return Err(Failure::Call(format!(
                "{}: the journal holds movements that no run of this program makes",
                path(directory)
            )));
        }
        Ok(books)
    }

    /// Builds the engine, with a journal if the run keeps one.
    pub(crate) fn build(&self, builder: Builder) -> Result<InventoryManager, Failure> {
        // Customers of the program are made up, so it makes no secret of its secret.
        let builder = builder.subject_secret(*b"made-up customer");
        let Some(directory) = &self.journal else {
            return builder
                .build()
                .map_err(|error| Failure::run("the engine can't be built", error));
        };
        let durability = match self.durability {
            Waits::Buffered => Durability::Buffered,
            Waits::Synced => Durability::Synced,
        };
        // Grant no grace period: the owners of overdue holds ended with the earlier run.
        let journal = JournalOptions::directory(directory).recovery_grace(Duration::ZERO);
        builder.journal(journal).durability(durability).build().map_err(|error| match error {
            stockade::BuildError::Journal(error) => audit::failure(directory, error),
            error => Failure::run("the engine can't be built", error),
        })
    }

    /// Reads the journal from the disk again, compares it with the engine's live counts, and closes
    /// it. Call it after a flush, when nothing moves any more.
    pub(crate) fn finish(
        &self,
        manager: &InventoryManager,
        (history, output): (&Books, Output),
        broken: &mut Broken,
    ) -> Result<Option<JournalReport>, Failure> {
        let Some(directory) = &self.journal else { return Ok(None) };
        let bar = output.progress(0, "segments of the journal, read once more");
        let stock = audit::reader(directory, &bar).stock(None);
        bar.finish_and_clear();
        let stock = stock.map_err(|error| audit::failure(directory, error))?;
        for StockRow { warehouse, product, available, reserved, sold, .. } in &stock.rows {
            let live = manager.counts((&**warehouse, &**product)).expect("known");
            let mut check = |what: &str, found: u32, live: u32| {
                let what = format_args!("{product}, {what} units in the journal on the disk");
                broken.unless_equal(what, found, live);
            };
            check("available", *available, live.available);
            check("reserved", *reserved, live.reserved);
            check("sold", *sold, live.sold);
        }
        if !manager.shutdown(CLOSING).is_clean() {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Err(Failure::run("the journal could not be closed", late));
        }
        let head = manager.journal_head();
        Ok(Some(JournalReport {
            directory: directory.display().to_string(),
            durability: self.durability,
            found: Found::of(manager.recovery_report(), history),
            entries: head.map_or(0, |head| head.sequence),
            head: head.map_or_else(String::new, |head| head.to_string()),
        }))
    }
}

impl Found {
    fn of(recovered: Option<&RecoveryReport>, history: &Books) -> Self {
        let Some(recovered) = recovered else { return Self::default() };
        let all = history.total();
        let units = |units: i128| u64::try_from(units).unwrap_or(0);
        Self {
            entries: recovered.entries,
            openings: recovered.openings,
            closed: recovered.closed,
            torn: recovered.torn.as_ref().map(|torn| torn.what.clone()),
            available: units(all.on_hand() - all.spoken_for()),
            reserved: units(all.spoken_for()),
            sold: all.sold,
            pending: recovered.pending,
        }
    }
}

impl JournalReport {
    /// Adds the journal's lines to the summary.
    pub(crate) fn add_to(&self, summary: &mut Summary) {
        let Found { entries, openings, closed, torn, available, reserved, sold, pending } =
            &self.found;
        let place = printable(&self.directory);
        summary.line("journal entries", self.entries, format_args!("in {place}"));
        if *entries == 0 {
            summary.line("  found", 0, "a new journal");
        } else {
            let opened = counted(*openings, "opening");
            let end = match (torn, closed) {
                (Some(torn), _) => format!("a crash left {torn}"),
                (None, true) => "closed".to_owned(),
                (None, false) => "not closed".to_owned(),
            };
            summary.line("  found", *entries, format_args!("of {opened}, {end}"));
            summary.line("    available", *available, "units");
            summary.line("    reserved", *reserved, format_args!("units, {sold} of them sold"));
            summary.line("    pending", *pending as u64, "reservations");
        }
        summary.text("  head", &self.head);
    }
}

//! A journal under a run: `--journal` continues what its directory holds.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use stockade::{
    AuditFilter, Builder, Durability, InventoryManager, JournalError, JournalOptions,
    JournalReader, RecoveryReport, StockRow,
};

use crate::Failure;
use crate::audit;
use crate::books::Books;
use crate::proof::Broken;
use crate::report::{Output, Summary, counted};

/// How long what is queued may take to reach the disk at the end of a run.
const CLOSING: Duration = Duration::from_secs(60);

/// Where a run keeps its journal, if it keeps one.
#[derive(Debug, clap::Args)]
pub(crate) struct JournalArgs {
    /// Keep a journal in this directory, which is made if it does not exist. One that holds a journal
    /// is continued from: stock is added on top, and every unit of the whole journal is accounted for
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// What a call has done about its entry when it returns: `buffered`, it is written soon, and on the
    /// disk within 100 ms; `synced`, it is on the disk
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
    /// What a crash had left at its end, and was cut.
    torn: Option<String>,
    available: u64,
    reserved: u64,
    sold: u64,
    /// Pending reservations; they end as they would have, unless they fell due meanwhile.
    pending: usize,
}

/// A run's journal in its result. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
pub(crate) struct JournalReport {
    directory: String,
    durability: Waits,
    found: Found,
    /// Entries at the end, those that were found among them.
    entries: u64,
    /// The hash of everything up to the last of them: `audit verify --expect-head`.
    head: String,
}

impl JournalArgs {
    /// What the journal that is there says of every product; empty books if there is none.
    pub(crate) fn history(&self, output: Output) -> Result<Books, Failure> {
        let mut books = Books::default();
        let Some(directory) = &self.journal else { return Ok(books) };
        let bar = output.progress(0, "segments of the journal that is there");
        let shown = bar.clone();
        let mut journal = JournalReader::new(directory).on_progress(move |progress| {
            shown.set_length(progress.of_segments as u64);
            shown.set_position(progress.segments as u64);
        });
        let all = AuditFilter::new().limit(usize::MAX);
        let read = journal.entries(&all, |entry| books.take(&entry));
        bar.finish_and_clear();
        match read {
            Ok(()) | Err(JournalError::NoJournal) => {}
            Err(error) => return Err(audit::failure(directory, error)),
        }
        if books.total().foreign > 0 {
            return Err(Failure::Call(format!(
                "{}: the journal holds movements that no run of this program makes",
                directory.display()
            )));
        }
        Ok(books)
    }

    /// The engine, on the journal if there is one.
    pub(crate) fn build(&self, builder: Builder) -> Result<InventoryManager, Failure> {
        let Some(directory) = &self.journal else {
            return builder
                .build()
                .map_err(|error| Failure::run("the engine can't be built", error));
        };
        let durability = match self.durability {
            Waits::Buffered => Durability::Buffered,
            Waits::Synced => Durability::Synced,
        };
        // Whoever held what is overdue has gone with the run that died.
        let journal = JournalOptions::directory(directory).recovery_grace(Duration::ZERO);
        builder.journal(journal).durability(durability).build().map_err(|error| match error {
            stockade::BuildError::Journal(error) => audit::failure(directory, error),
            error => Failure::run("the engine can't be built", error),
        })
    }

    /// Compares the journal, read anew from the disk, with the engine's live counts, and ends it in
    /// good order. After a flush, when nothing moves any more.
    pub(crate) fn finish(
        &self,
        manager: &InventoryManager,
        history: &Books,
        broken: &mut Broken,
    ) -> Result<Option<JournalReport>, Failure> {
        let Some(directory) = &self.journal else { return Ok(None) };
        let stock = JournalReader::new(directory).stock(None);
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
    /// Its lines in the summary of the run.
    pub(crate) fn add_to(&self, summary: &mut Summary) {
        let Found { entries, openings, closed, torn, available, reserved, sold, pending } =
            &self.found;
        summary.line("journal entries", self.entries, format_args!("in {}", self.directory));
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

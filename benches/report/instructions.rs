//! What calls cost in instructions, counted under valgrind.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::common::Scale;
use crate::common::counts::{Cost, Counter, Counts, Work, prove};
use crate::numbers::digits;
use crate::page::part;
use crate::plot::escape;
use crate::progress::Progress;

/// Units of the shorter run in a run that only shows that it works.
const FEW: u64 = 200;

/// The counts, or why there are none.
pub(crate) type Counted = Result<Vec<Counts>, String>;

const TEXT: &str = "Counted under <code>valgrind</code>, one thread, 50,000 live holds. Other processes change \
    these numbers hardly at all, so they say what a noisy clock can't. A locked instruction holds a cache \
    line alone, and a fence waits for earlier stores: each costs as much as dozens of others, and far more \
    if another core has the line. The loop that measures is part of each row. The <b>real pair</b> \
    is what a shop calls: a reserve with an idempotency key, an owner and a note, and a confirm with a key.";

/// Counts what this scale has time for.
pub(crate) fn counted(scale: Scale, progress: &mut Progress) -> Counted {
    let works: &[Work] = scale.pick(&[Work::Refused], &[Work::Pair, Work::RealPair], &Work::ALL);
    let counted = Counter::new().and_then(|counter| {
        prove(counter.folder())?;
        if let Some(reason) = counter.blind_to_locks() {
            progress.note(&format!("locked instructions were not counted: {reason}"));
        }
        let count = |work: &Work| {
            progress.say(&format!("instructions: {}", work.name()));
            counter.count(*work, scale.pick(FEW, work.units(), work.units()))
        };
        works.iter().map(count).collect()
    });
    if let Err(reason) = &counted {
        progress.note(&format!("instructions were not counted: {reason}"));
    }
    counted
}

/// The part of the page.
pub(crate) fn instructions(page: &mut String, counted: &Counted) {
    part(page, "Instructions", TEXT, "");
    let counted = match counted {
        Ok(counted) => counted,
        Err(reason) => {
            let _ = writeln!(page, "<p>Not measured: {}.</p>", escape(reason));
            return;
        }
    };
    page.push_str(
        "<div class=wide><table>\n<tr><th>work<th>caller's<th>locked<th>fences<th>writer's<th>locked\
         <th>fences\n",
    );
    let count = |value: Option<f64>| value.map_or("not measured".to_owned(), digits);
    for Counts { work, caller, writer, .. } in counted {
        let _ = write!(page, "<tr><td>{}", escape(work.name()));
        for Cost { instructions, locked, fences } in [caller, writer] {
            for value in [Some(*instructions), *locked, *fences] {
                let _ = write!(page, "<td class=number>{}", count(value));
            }
        }
        page.push('\n');
    }
    page.push_str("</table></div>\n");
}

/// The counts as other programs read them; null if there are none.
pub(crate) fn json(counted: &Counted) -> Value {
    let cost = |cost: &Cost| {
        json!({
            "instructions": cost.instructions,
            "locked": cost.locked,
            "fences": cost.fences,
        })
    };
    let row = |counts: &Counts| {
        json!({
            "work": counts.work.name(),
            "caller": cost(&counts.caller),
            "writer": cost(&counts.writer),
        })
    };
    json!(counted.as_ref().ok().map(|counted| counted.iter().map(row).collect::<Vec<_>>()))
}

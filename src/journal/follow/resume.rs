//! Where a subscription goes on: checks that its position belongs to this history, and finds the
//! batch behind it.

use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::follow::follower::Follower;
use crate::journal::follow::headers::{EntryPlace, HeaderWalk, place_of};
use crate::journal::format::position::{JournalPosition, lineage_of};
use crate::journal::format::segment::{Point, SegmentHeader};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged};
use crate::journal::storage::Storage;

/// How far a running journal has come, and in which opening.
#[derive(Clone, Copy)]
pub(crate) struct JournalReach {
    pub(crate) opening: u64,
    pub(crate) durable: Point,
    /// The end of what is written, on the disk or not.
    pub(crate) written: Point,
}

/// Checks that the entry at `after` is one of this journal's, and that the entries behind it are
/// there. Returns a follower that begins at most one batch before them, and the position in full:
/// with its lineage.
///
/// # Errors
/// [`JournalError::Rewound`] if it belongs to another history; [`JournalError::Trimmed`] if the
/// entries behind it, or what would tell, were archived or removed; otherwise the storage's error.
pub(crate) fn resume(
    storage: &Arc<dyn Storage>,
    reach: JournalReach,
    after: JournalPosition,
) -> Result<(Follower, JournalPosition), JournalError> {
    let opening = reach.opening;
    if after.sequence == 0 {
        return Ok((follower_after(storage, 0, 0)?, JournalPosition::new(0, opening)));
    }
    let place = match after.lineage {
        Some(lineage) => check_lineage(&**storage, reach, after, lineage)?,
        None => check_numbers(&**storage, reach, after)?,
    };
    let position = |hash| JournalPosition::new(after.sequence, opening).with_lineage(hash);
    Ok(match place {
        Some(place) => {
            let lineage = lineage_of(&place.end.hash);
            (follower_at(storage, place, after.sequence), position(lineage))
        }
        None => {
            let full =
                after.lineage.map_or(JournalPosition::new(after.sequence, opening), position);
            (follower_after(storage, after.sequence, reach.written.batch)?, full)
        }
    })
}

/// A follower of the entries behind `sequence`, which is not checked; up to batch `last`.
///
/// # Errors
/// [`JournalError::Trimmed`]; otherwise the storage's error.
pub(crate) fn follower_after(
    storage: &Arc<dyn Storage>,
    sequence: u64,
    last: u64,
) -> Result<Follower, JournalError> {
    let layout = Layout::find_back_to(&**storage, |it| it.base.sequence < sequence)?;
    if let Some(place) = place_of(&**storage, &layout, sequence, last)? {
        return Ok(follower_at(storage, place, sequence));
    }
    // The segments before this point are gone, or there are none.
    match layout.path.iter().rev().find(|it| it.header.base.sequence <= sequence) {
        Some(start) => Ok(Follower::new(Arc::clone(storage), start.header.base)),
        None => Err(JournalError::Trimmed { oldest: layout.oldest() }),
    }
}

fn follower_at(storage: &Arc<dyn Storage>, place: EntryPlace, sequence: u64) -> Follower {
    let EntryPlace { segment, before, end, .. } = place;
    // In the middle of a batch: that batch is read again, and what was handled is passed over.
    let at = if end.sequence == sequence { end } else { before };
    Follower::within(Arc::clone(storage), at, segment)
}

/// Checks a position that names its lineage. Its numbers need no check: a batch of this hash is in
/// one history only. Returns `None` for the entry right before a trimmed journal's first one.
fn check_lineage(
    storage: &dyn Storage,
    reach: JournalReach,
    after: JournalPosition,
    lineage: u64,
) -> Result<Option<EntryPlace>, JournalError> {
    let layout = Layout::find_back_to(storage, |it| it.base.sequence < after.sequence)?;
    let place = place_of(storage, &layout, after.sequence, reach.written.batch)?;
    if place.as_ref().is_some_and(|place| lineage_of(&place.end.hash) == lineage) {
        return Ok(place);
    }
    if place.is_none() && layout.oldest() > after.sequence {
        // Its batch is gone. Only the hash of the last batch before the first segment is left, and
        // that need not be the batch that held the entry. Then nobody can tell.
        let base = layout.path.first().map(|it| it.header.base).unwrap_or_default();
        if base.sequence == after.sequence && lineage_of(&base.hash) == lineage {
            return Ok(None);
        }
        return Err(JournalError::Trimmed { oldest: layout.oldest() });
    }
    Err(parted(storage, after)?)
}

/// Checks a position without a lineage, as far as its numbers tell.
fn check_numbers(
    storage: &dyn Storage,
    reach: JournalReach,
    after: JournalPosition,
) -> Result<Option<EntryPlace>, JournalError> {
    // The way back must reach the opening of the position, because later openings tell how much of
    // it they found.
    let enough = |it: &SegmentHeader| {
        it.base.sequence < after.sequence && (after.opening == 0 || it.opening <= after.opening)
    };
    let dir = JournalDir::find_back_to(storage, enough)?;
    let layout = &dir.layout;
    let begins_at = layout.path.first().map_or(0, |it| it.header.opening);
    if layout.trimmed.is_some() && begins_at > after.opening && after.opening > 0 {
        // How much of the earlier openings a later opening found stood in segments that are gone
        // now. So it is unknown whether the position is still valid.
        return Err(JournalError::Trimmed { oldest: layout.oldest() });
    }
    let known = if after.opening == reach.opening { reach.written } else { reach.durable };
    let is_ahead = after.sequence > known.sequence || after.opening > reach.opening;
    if is_ahead || lost_after(&dir, after)?.is_some() {
        return Err(parted(storage, after)?);
    }
    if layout.oldest() > after.sequence + 1 {
        return Err(JournalError::Trimmed { oldest: layout.oldest() });
    }
    let place = place_of(storage, layout, after.sequence, reach.written.batch)?;
    if place.is_none() && layout.oldest() <= after.sequence {
        let name = layout.head().map_or("", |head| &head.name);
        let what = format!("entry {} was on the disk, and is missing", after.sequence);
        return Err(damaged(name, 0, what));
    }
    Ok(place)
}

/// The error for a position of another history: where the two part, as far as the openings tell.
///
/// Histories part where a journal was opened on less than another one had: after a crash, or on a
/// restored copy. If a later opening than that of the position found less, it is that one.
/// Otherwise the position's own opening is another one here, and this journal's began earlier.
fn parted(storage: &dyn Storage, after: JournalPosition) -> Result<JournalError, JournalError> {
    let dir = JournalDir::find(storage)?;
    if let Some(to) = lost_after(&dir, after)? {
        return Ok(JournalError::Rewound { to });
    }
    for (opening, on_path) in first_segments(&dir.layout).into_iter().rev() {
        if opening <= after.opening || after.opening == 0 {
            let to = found_at_opening(storage, on_path)?.sequence;
            if to < after.sequence {
                return Ok(JournalError::Rewound { to });
            }
        }
    }
    // The opening that would tell is trimmed.
    Ok(JournalError::Trimmed { oldest: dir.layout.oldest() })
}

/// The last entry that openings after that of the position found, if they did not find its entry.
fn lost_after(dir: &JournalDir<'_>, after: JournalPosition) -> Result<Option<u64>, JournalError> {
    let mut to = None;
    for (opening, on_path) in first_segments(&dir.layout) {
        if after.opening > 0 && opening > after.opening {
            let found = found_at_opening(dir.storage, on_path)?.sequence;
            to = Some(to.map_or(found, |to: u64| to.min(found)));
        }
    }
    Ok(to.filter(|to| *to < after.sequence))
}

/// The first segment of each opening whose beginning is on the path.
fn first_segments(layout: &Layout) -> Vec<(u64, &PathSegment)> {
    let mut firsts: Vec<(u64, &PathSegment)> = Vec::new();
    // Of the first segment of a path that does not begin at the journal's start, it is unknown
    // whether its opening began with it.
    let mut seen = match layout.path.first() {
        Some(first) if first.header.base.segment > 0 => first.header.opening,
        _ => 0,
    };
    for on_path in &layout.path {
        if on_path.header.opening > seen {
            seen = on_path.header.opening;
            firsts.push((seen, on_path));
        }
    }
    firsts
}

/// The end of what an opening found on the disk. `first` is the first segment of that opening.
fn found_at_opening(storage: &dyn Storage, first: &PathSegment) -> Result<Point, JournalError> {
    let mut walk = HeaderWalk::new(storage, first);
    // The opening wrote again what was not known to be durable.
    while walk.at().batch < first.header.durable && walk.next()?.is_some() {}
    Ok(walk.at())
}

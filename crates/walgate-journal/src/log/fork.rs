//! Where a log can be cut when the server's history has parted from it.
//!
//! A standby that was promoted without the last of its primary's log begins a timeline of its own:
//! what the log has from behind the fork never happened there. As long as nobody has received it,
//! it can be cut off.

use std::sync::Arc;

use walgate_core::{Failure, Lsn, Position};

use super::catalogue::Segment;
use super::found;
use super::records::{Records, Walk, first_of};
use super::view::LogView;
use crate::segment::{DefinitionCache, Record};

impl LogView {
    /// The end of the last whole transaction up to which a [cut](super::Opened::discard) leaves the log, so
    /// that nothing in it reaches behind `fork`: a record is kept or cut as a whole, so this may
    /// lie some transactions before the fork. None when nothing would be left, or when what lies
    /// before it can't all be read. Blocks.
    ///
    /// # Errors
    ///
    /// When a file can't be read.
    pub fn whole_before(&self, fork: Lsn) -> Result<Option<Lsn>, Failure> {
        // Cutting at a position also cuts a transaction that began above it, was cut off, and came
        // again later: the place moves back until there is none.
        let mut keep = fork;
        loop {
            let whole = walk(self, fork, keep)?;
            match whole {
                Some(whole) if whole < keep => keep = whole,
                whole => return Ok(whole),
            }
        }
    }
}

/// The end of the last whole transaction before the first record that reaches behind `fork`, or
/// begins behind `keep`.
fn walk(view: &LogView, fork: Lsn, keep: Lsn) -> Result<Option<Lsn>, Failure> {
    let mut whole = None;
    let epoch = view.catalogue().newest().epoch();
    for segment in view.catalogue().segments() {
        if segment.highest.epoch() < epoch {
            // LSNs of another log.
            continue;
        }
        if let Some(index) = view.index(&segment)? {
            // `keep` is at most the fork.
            let below = index.last.lsn() < fork && index.last.lsn() <= keep;
            if below && index.whole.is_none_or(|whole| whole <= keep) {
                whole = whole.max(index.whole);
                continue;
            }
        }
        match in_segment(view, &segment, (fork, keep), &mut whole)? {
            Found::Nothing => {}
            Found::End => return Ok(whole),
            Found::Unreadable => return Ok(None),
        }
    }
    Ok(whole)
}

enum Found {
    /// All of it can stay.
    Nothing,
    /// What can't stay.
    End,
    Unreadable,
}

fn in_segment(
    view: &LogView,
    segment: &Segment,
    (fork, keep): (Lsn, Lsn),
    whole: &mut Option<Lsn>,
) -> Result<Found, Failure> {
    let storage = view.storage().as_ref();
    let Some(found) = found::find(storage, segment.number)? else {
        return Ok(Found::Unreadable);
    };
    let file = found.open(storage)?;
    let Ok((header, reader)) = found.header else {
        return Ok(Found::Unreadable);
    };
    let epoch = header.facts.epoch;
    let mut records = Records::new(Arc::clone(&file), reader);
    let mut cache = DefinitionCache::new();
    // A block is kept or cut as a whole.
    let mut before_block = *whole;
    loop {
        if !records.is_in_block() {
            before_block = *whole;
        }
        match records.next(storage, segment.data_end, &mut cache)? {
            Walk::Record(_, _, record) => {
                let (first, last, ends) = reach(&record);
                let last = last.max(ends);
                let keep = Position::new(epoch, keep, 0);
                if last.is_some_and(|last| last > fork) || first.is_some_and(|first| first > keep) {
                    *whole = before_block;
                    return Ok(Found::End);
                }
                *whole = (*whole).max(ends);
            }
            Walk::End => return Ok(Found::Nothing),
            Walk::Bad(_) => return Ok(Found::Unreadable),
        }
    }
}

/// The commit that the first change of a record belongs to, behind the begin of the last one, and
/// the end of the last transaction that is whole.
fn reach(record: &Record) -> (Option<Position>, Option<Lsn>, Option<Lsn>) {
    // A commit record begins at its LSN: one that begins at the fork lies behind it.
    let behind = |position: Position| position.lsn().checked_add(1);
    match record {
        Record::Run(run) => (first_of(&run.frames), behind(run.last), run.whole),
        Record::Gap { epoch, gap, .. } => {
            let to = Position::new(*epoch, gap.to, 0);
            (Some(to), Some(gap.to), Some(gap.to))
        }
        Record::Reference(reference) => {
            let adoption = &reference.adoption;
            let last = behind(adoption.last());
            (Some(adoption.first()), last, Some(adoption.end_lsn))
        }
        Record::Progress { epoch, lsn } => {
            let first = Position::new(*epoch, *lsn, 0);
            (Some(first), None, Some(*lsn))
        }
        Record::Definition { .. } | Record::Index(_) | Record::Locked { .. } => (None, None, None),
    }
}

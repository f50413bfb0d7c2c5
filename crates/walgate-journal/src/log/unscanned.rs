//! What is known of a segment that was not read as a whole.

use walgate_core::{PgMicros, Position};

use super::catalogue::{Segment, SegmentState};
use super::found::Found;
use super::view::times;
use crate::segment::{SegmentHeader, SegmentIndex};

/// Where the segments before end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) highest: Position,
    pub(super) whole: Position,
    pub(super) end_entry: u64,
    pub(super) created: PgMicros,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            highest: Position::ZERO,
            whole: Position::ZERO,
            end_entry: 0,
            created: PgMicros(0),
        }
    }
}

/// A segment of which the index is known, sound or made by a scan, and ends at `data_end`.
pub(super) fn of_index(
    found: &Found,
    index: &SegmentIndex,
    before: &Before,
    next: Option<&SegmentHeader>,
    data_end: u64,
) -> Segment {
    let header = found.header();
    let epoch = header.map_or_else(|| index.last.epoch(), |header| header.facts.epoch);
    let whole = index.whole.map(|lsn| Position::new(epoch, lsn, 0));
    Segment {
        number: found.number,
        first_entry: index.first_entry,
        end_entry: index.next_entry(),
        before: index.before,
        highest: index.last,
        whole: whole.unwrap_or_default().max(before.whole),
        created: header.map_or(before.created, |header| header.created),
        closed: next.map(|next| next.created),
        commit_times: times(index),
        bytes: found.len,
        spool_bytes: 0,
        packed_from: found.packed_from(),
        written: found.len,
        synced: found.len,
        data_end,
        state: SegmentState::Sealed,
    }
}

/// A segment of which nothing can be read.
pub(super) fn unreadable(found: &Found, before: &Before, next: Option<&SegmentHeader>) -> Segment {
    Segment {
        number: found.number,
        first_entry: before.end_entry,
        end_entry: next.map_or(before.end_entry, |next| {
            next.first_entry.max(before.end_entry)
        }),
        before: before.highest,
        highest: next.map_or(before.highest, |next| next.before.max(before.highest)),
        whole: before.whole,
        created: before.created,
        closed: next.map(|next| next.created),
        commit_times: None,
        bytes: found.len,
        spool_bytes: 0,
        packed_from: found.packed_from(),
        written: found.len,
        synced: found.len,
        data_end: found.len,
        state: SegmentState::Open,
    }
}

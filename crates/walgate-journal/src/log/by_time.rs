//! Finding the first transaction of a time.

use walgate_core::{Failure, FrameKind, Frames, PgMicros, Position};

use super::catalogue::{Segment, SegmentState};
use super::chunk::{Item, Then};
use super::view::LogView;

impl LogView {
    /// The position before the first transaction, in the order of the log, that was committed at
    /// `time` or later: a [reader behind it](Self::reader_behind) begins with that transaction.
    /// Commit times do not rise with the log: what follows may be older. None when what is written
    /// holds no such transaction. Blocks.
    ///
    /// # Errors
    ///
    /// When the disk fails to read. What is damaged is passed over.
    pub fn position_at(&self, time: PgMicros) -> Result<Option<Position>, Failure> {
        for segment in self.catalogue().segments() {
            if segment.state != SegmentState::Active
                && segment
                    .commit_times
                    .is_some_and(|(_, newest)| newest < time)
            {
                continue;
            }
            if let Some(position) = self.position_in(&segment, time)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn position_in(&self, segment: &Segment, time: PgMicros) -> Result<Option<Position>, Failure> {
        let first = match self.index(segment)? {
            Some(index) if index.times.newest < time && segment.closed.is_some() => {
                return Ok(None);
            }
            Some(index) => index.point_of_time(time).map(|point| point.entry),
            None => None,
        };
        let mut reader = self.reader_at(first.unwrap_or(segment.first_entry));
        loop {
            let chunk = reader.read()?;
            for entry in chunk.entries {
                if entry.number >= segment.end_entry {
                    return Ok(None);
                }
                if let Item::Frames(frames) = entry.item
                    && let Some(position) = first_at(&frames, time)
                {
                    return Ok(Some(position));
                }
            }
            match chunk.then {
                Then::More => {}
                Then::Tail => return Ok(None),
                Then::Gone { .. } | Then::Damaged(_) => reader.go_on(),
            }
            if reader
                .next_entry()
                .is_some_and(|next| next >= segment.end_entry)
            {
                return Ok(None);
            }
        }
    }
}

/// Before the first transaction of the run that was committed at `time` or later.
fn first_at(frames: &Frames, time: PgMicros) -> Option<Position> {
    let begins = frames
        .frames
        .iter()
        .filter(|frame| frame.kind == FrameKind::Begin);
    let mut begun = begins.filter_map(|frame| frames.begun(frame));
    let first = begun.find(|transaction| transaction.commit_time >= time)?;
    Some(Position::new(frames.epoch, first.commit_lsn, 0))
}

//! Reads what the journal retains for somebody who comes back, beside the chains.

use std::sync::Arc;

use walgate_core::{Body, Change, Failure, Gap, GapReason, Position};
use walgate_journal::{Cursor, Demand, Journal, Read};

use crate::again::in_front_of;
use crate::assembler::{Assembler, Extras};
use crate::selection::Selection;

/// A way through the journal from a position on: the same changes, with the same positions, as a
/// chain is given. It holds nothing back and is no part of what is confirmed.
#[derive(Debug)]
pub struct Backlog {
    journal: Journal,
    cursor: Cursor,
    assembler: Assembler,
}

/// How far a [`Backlog`] has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BacklogRead {
    /// Everything up to here was given.
    More(Position),
    /// Everything that the journal has was given, up to here.
    End(Position),
    /// What comes next is not retained any more, or damaged.
    Gone(Gap),
}

impl Backlog {
    /// Reads what is behind `after`, which must not lie before what the journal retains.
    pub fn new(
        journal: &Journal,
        reader: &str,
        selection: Arc<Selection>,
        extras: Extras,
        after: Position,
    ) -> Self {
        let oldest = match journal.view() {
            Some(log) => log.catalogue().oldest(),
            None => journal.stats().oldest,
        };
        // Whole transactions, so that their changes are counted; what is before is skipped.
        let begin = Position::new(after.epoch(), after.lsn(), 0);
        let place = in_front_of(begin, oldest);
        Self {
            journal: journal.clone(),
            cursor: journal.reader(reader, Demand::Optional, place.seen),
            assembler: Assembler::new(selection, extras, place, after),
        }
    }

    /// Gives the next changes to `take`, in order. Cancel-safe: it waits before it gives the first,
    /// and not behind that.
    ///
    /// # Errors
    ///
    /// When the journal can't be read.
    pub async fn next(
        &mut self,
        take: &mut (dyn for<'c> FnMut(&Change<'c>) + Send),
    ) -> Result<BacklogRead, Failure> {
        if self.assembler.place().seen >= self.journal.newest() {
            return Ok(BacklogRead::End(self.assembler.place().seen));
        }
        match self.cursor.next().await? {
            Read::Frames(frames) => {
                self.assembler.start(&frames)?;
                while let Some((change, _)) = self.assembler.next(&frames)? {
                    take(&change);
                }
            }
            Read::Progress(position) => self.assembler.progress(position),
            Read::Gap(gap) if is_ours(gap.reason) => return Ok(BacklogRead::Gone(gap)),
            Read::Gap(gap) => {
                if let Some(position) = self.assembler.gap(&gap) {
                    take(&Change {
                        position,
                        transaction: None,
                        body: Body::Gap(&gap),
                    });
                }
            }
            Read::End => return Ok(BacklogRead::End(self.assembler.place().seen)),
        }
        let seen = self.assembler.place().seen;
        self.cursor.release(seen);
        Ok(BacklogRead::More(seen))
    }
}

/// Whether a gap is one of this way through the journal, and not of the log.
const fn is_ours(reason: GapReason) -> bool {
    matches!(
        reason,
        GapReason::SinkFellBehind | GapReason::JournalDamaged
    )
}

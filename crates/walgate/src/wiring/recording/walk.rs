//! Reading a part of a recording, in the order of the log, each frame once.

use std::path::PathBuf;

use walgate_core::{Failure, Frames, Gap, GapReason, Lsn, Position, StopReason};
use walgate_journal::log::{DamagedPlace, Item, LogEntry, LogReader, LogView, Then};

use super::cut::{Cut, cut};
use super::{Range, Recording};
use crate::args::OnDamage;

/// What comes next in a recording.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// Frames, with the number of their entry.
    Frames(u64, Frames),
    /// A gap that was recorded, or that damage has made, with the epoch that it lies in.
    Gap(u8, Gap),
    /// Everything that commits below this has come.
    Progress(Position),
}

/// A way through a recording. It blocks; what a transaction that was cut repeats is left out.
#[derive(Debug)]
pub(crate) struct Walk {
    folder: PathBuf,
    view: LogView,
    reader: LogReader,
    range: Range,
    on_damage: OnDamage,
    /// Everything up to here has come.
    seen: Position,
    over: bool,
    /// What could not be read.
    damaged: usize,
}

impl Walk {
    pub(super) fn new(recording: &Recording, range: Range, on_damage: OnDamage) -> Self {
        let view = recording.view().clone();
        let from = range.begin().max(view.catalogue().oldest());
        Self {
            folder: recording.folder().to_owned(),
            reader: view.reader_behind(from),
            view,
            range,
            on_damage,
            seen: from,
            over: false,
            damaged: 0,
        }
    }

    /// How many places could not be read so far.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged
    }

    /// The next pieces, about a mebibyte; none at the end. Blocks.
    ///
    /// # Errors
    ///
    /// When it can't be read, and damage when that is to stop it: after all that comes before.
    pub(crate) fn read(&mut self) -> Result<Option<Vec<Piece>>, Failure> {
        let mut pieces = Vec::new();
        while pieces.is_empty() {
            if self.over {
                return Ok(None);
            }
            let chunk = self.reader.read()?;
            for entry in chunk.entries {
                self.take(entry, &mut pieces);
            }
            let progress = chunk.progress.filter(|progress| *progress <= self.range.to);
            pieces.extend(progress.map(Piece::Progress).filter(|_| !self.over));
            match chunk.then {
                Then::More => {}
                Then::Tail => self.over = true,
                _ if self.over => {}
                Then::Damaged(place) => {
                    if self.on_damage == OnDamage::Stop {
                        if pieces.is_empty() {
                            return Err(self.stopped(&place));
                        }
                    } else {
                        pieces.extend(self.pass(&place));
                    }
                }
                Then::Gone { from, oldest } => {
                    self.reader.go_on();
                    pieces.extend(self.lost(from, oldest, GapReason::SinkFellBehind));
                }
            }
        }
        Ok(Some(pieces))
    }

    fn take(&mut self, entry: LogEntry, pieces: &mut Vec<Piece>) {
        if self.over {
            return;
        }
        match entry.item {
            Item::Frames(frames) => {
                let Cut { frames, last, over } = cut(frames, self.seen, self.range.to);
                self.over = over;
                self.seen = last;
                if !frames.frames.is_empty() {
                    pieces.push(Piece::Frames(entry.number, frames));
                }
            }
            Item::Gap(gap) => {
                let position = entry.last;
                self.over = position > self.range.to;
                if !self.over && position > self.seen {
                    self.seen = position;
                    pieces.push(Piece::Gap(position.epoch(), gap));
                }
            }
        }
    }

    /// Goes on behind what is damaged.
    fn pass(&mut self, place: &DamagedPlace) -> Option<Piece> {
        self.damaged += 1;
        let file = self.folder.join(place.file());
        tracing::warn!(file = %file.display(), "damaged: {place}");
        self.reader.go_on();
        let to = match place.whole_from() {
            Some(lsn) => Position::new(self.epoch_of(place), lsn, 0),
            // Nothing follows.
            None => self.view.catalogue().newest(),
        };
        self.lost(place.from, to, GapReason::JournalDamaged)
    }

    fn epoch_of(&self, place: &DamagedPlace) -> u8 {
        place.to.unwrap_or(self.seen).epoch()
    }

    fn lost(&mut self, from: Position, to: Position, reason: GapReason) -> Option<Piece> {
        let from = match from.max(self.seen) {
            from if from.epoch() == to.epoch() => from.lsn(),
            _ => Lsn::ZERO,
        };
        // It is told when it reaches into the part that is asked for.
        if to <= self.seen || self.seen >= self.range.to {
            return None;
        }
        self.seen = to;
        let gap = Gap {
            from,
            to: to.lsn(),
            reason,
        };
        Some(Piece::Gap(to.epoch(), gap))
    }

    fn stopped(&self, place: &DamagedPlace) -> Failure {
        let file = self.folder.join(place.file());
        let message = format!("{} is damaged: {place}", file.display());
        Failure::new(StopReason::Data, message).hint(format!(
            "restore the file, or go on behind it with a gap: --on-damage gap; all damage: walgate journal verify {}",
            self.folder.display()
        ))
    }
}

//! Opening a folder: whether it is ours, what of it counts, and the begin of a new segment.

use std::sync::Arc;

use walgate_core::{Checkpoint, Failure, Lsn, PgMicros, Position, StopReason};

use super::append::Appender;
use super::catalogue::Catalogue;
use super::damaged::DamagedPlace;
use super::files::LogFiles;
use super::found::{self, Found};
use super::marker;
use super::options::LogOptions;
use super::pending::Reached;
use super::records;
use super::recover::{self, Recovered};
use super::view::LogView;
use crate::segment::{SegmentFacts, SegmentHeader};
use crate::storage::{Storage, unusable};

/// A log that was recovered and is not yet appended to.
#[derive(Debug)]
pub struct Opened {
    view: LogView,
    options: LogOptions,
    whole: Position,
    confirmed: Position,
    next_segment: u64,
    next_entry: u64,
    next_definition: u32,
    damaged: Vec<DamagedPlace>,
    header: Option<SegmentHeader>,
}

impl Opened {
    /// Recovers the log in `storage`. `checkpoint`: what is known of the stream apart from it;
    /// everything up to its `confirmed` is gone from the slot. Blocks: headers and trailers are
    /// read, and what is not sealed or reaches above `confirmed`.
    ///
    /// # Errors
    ///
    /// When the folder can't be used, or is not this stream's: another slot or system, a later
    /// version, a journal without checkpoint; or the key is missing that its newest segment is
    /// encrypted with. Nothing is changed then.
    pub fn open(
        storage: Arc<dyn Storage>,
        options: LogOptions,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Self, Failure> {
        let found = found::segments(storage.as_ref())?;
        let confirmed = match checkpoint {
            Some(checkpoint) => {
                check_owner(storage.as_ref(), &found, checkpoint)?;
                Position::new(checkpoint.source.epoch, checkpoint.confirmed, 0)
            }
            None if found.is_empty() => Position::ZERO,
            None => return Err(without_checkpoint(storage.as_ref())),
        };
        check_key(storage.as_ref(), &found)?;
        let recovered = recover::recover(storage.as_ref(), found, confirmed)?;
        let Recovered {
            segments,
            whole,
            next_segment,
            next_entry,
            next_definition,
            damaged,
            header,
        } = recovered;
        let catalogue = Catalogue::default();
        {
            let mut known = catalogue.lock();
            segments.into_iter().for_each(|segment| known.push(segment));
        }
        Ok(Self {
            view: LogView::new(storage, catalogue),
            options,
            whole,
            confirmed,
            next_segment,
            next_entry,
            next_definition,
            damaged,
            header,
        })
    }

    /// The end of the last whole transaction, or the last keepalive's position, that is in the log
    /// and durable. None when the log is empty.
    pub fn tail(&self) -> Option<Lsn> {
        // LSNs of the epoch before say nothing about the one that the log ends in.
        let newest = self.newest()?;
        let known = self.whole != Position::ZERO && self.whole.epoch() == newest.epoch();
        known.then(|| self.whole.lsn())
    }

    /// Everything up to here is not kept. None when the log is empty.
    pub fn oldest(&self) -> Option<Position> {
        let catalogue = self.view.catalogue();
        (!catalogue.is_empty()).then(|| catalogue.oldest())
    }

    /// No entry of the log lies behind this position; it may be inside a transaction, which the
    /// source sends again. None when the log is empty.
    pub fn newest(&self) -> Option<Position> {
        let catalogue = self.view.catalogue();
        (!catalogue.is_empty()).then(|| catalogue.newest())
    }

    /// Has everything behind what the checkpoint of the next [`open`](Self::open) says is confirmed
    /// discarded there, also what is sound. The checkpoint that says so is written after this: in
    /// between, what was confirmed stays confirmed.
    ///
    /// # Errors
    ///
    /// When the folder can't be written.
    pub fn discard(&self) -> Result<(), Failure> {
        let storage = self.view.storage().as_ref();
        marker::set(storage).map_err(|error| unusable(storage.path(), "can't be synced", &error))
    }

    /// The number that the next entry gets.
    pub const fn next_entry(&self) -> u64 {
        self.next_entry
    }

    /// What is damaged at or below what was confirmed, as far as it was met: sealed segments are
    /// not read for it.
    pub fn damaged(&self) -> &[DamagedPlace] {
        &self.damaged
    }

    /// For readers; it stays the same log when the log is [started](Self::start).
    pub const fn view(&self) -> &LogView {
        &self.view
    }

    /// Begins a new segment for what the source sends from `start` on: the later of what was
    /// confirmed and the [tail](Self::tail). What lies between the end of the log and `start` is
    /// not in the log; a reader that crosses it is told of damage. No I/O: the segment is made when
    /// the pending work is done.
    ///
    /// # Errors
    ///
    /// When the log is of another slot or system, or of a later epoch.
    pub fn start(
        self,
        facts: SegmentFacts,
        start: Position,
        now: PgMicros,
    ) -> Result<(Appender, LogFiles), Failure> {
        let storage = Arc::clone(self.view.storage());
        if let Some(header) = &self.header {
            check_facts(storage.as_ref(), header, &facts)?;
        }
        let catalogue = self.view.catalogue().clone();
        // What is whole up to `start` has no hole before it, though its last position lies below.
        let newest = catalogue.newest();
        let goes_on = start.epoch() == self.whole.epoch() && start.lsn() <= self.whole.lsn();
        let before = if goes_on { newest } else { newest.max(start) };
        let space = storage.space().ok();
        let mut options = self.options;
        options.segment_bytes = options.segment_size(options.budget(space));
        let header = SegmentHeader {
            number: self.next_segment,
            first_entry: self.next_entry,
            before,
            created: now,
            next_definition: self.next_definition,
            facts,
        };
        // What is durable is confirmed, so that it must not be an LSN of an earlier epoch.
        let whole = self.whole.max(self.confirmed);
        let is_same = whole.epoch() == start.epoch();
        let durable = Reached {
            whole: if is_same {
                whole
            } else {
                Position::new(start.epoch(), Lsn::ZERO, 0)
            },
            end_entry: self.next_entry,
        };
        let files = LogFiles::new(storage, catalogue, options.clone(), durable);
        let appender = Appender::begin(self.view, options.segment_bytes, header, durable.whole)?;
        Ok((appender, files))
    }
}

fn folder(storage: &dyn Storage) -> String {
    storage.path().display().to_string()
}

fn move_away(storage: &dyn Storage) -> String {
    let folder = folder(storage);
    format!(
        "give this stream a folder of its own, or move the old journal away: mv {folder} {folder}.old"
    )
}

fn without_checkpoint(storage: &dyn Storage) -> Failure {
    let folder = folder(storage);
    let message = format!(
        "{folder} holds a journal, but its checkpoint is missing: nobody knows what was confirmed"
    );
    let hint = format!(
        "restore the checkpoint file; or give the journal up, which loses what no sink has: mv {folder} {folder}.old"
    );
    Failure::new(StopReason::State, message).hint(hint)
}

/// Whether the segments are those of the checkpoint's stream. A segment of a later epoch than the
/// checkpoint's is one of a start that ended before its first checkpoint; one of an earlier epoch
/// is of the system that was replaced.
fn check_owner(
    storage: &dyn Storage,
    found: &[Found],
    checkpoint: &Checkpoint,
) -> Result<(), Failure> {
    let source = &checkpoint.source;
    for header in found.iter().filter_map(Found::header) {
        check_slot(storage, header, &source.slot)?;
        if header.facts.epoch == source.epoch {
            check_system(storage, header, source.system_id)?;
        }
    }
    Ok(())
}

/// Whether the key is there that was used last. Recovery needs it only where the newest segment was
/// not sealed, and whoever has lost a key should not learn it from chance.
fn check_key(storage: &dyn Storage, found: &[Found]) -> Result<(), Failure> {
    let newest = found.iter().rev().find_map(|one| {
        let (_, reader) = one.header.as_ref().ok()?;
        Some((one.number, reader.lock().why_shut()))
    });
    match newest {
        Some((number, Some(why))) => Err(records::locked(storage, number, &why)),
        Some((_, None)) | None => Ok(()),
    }
}

fn check_slot(storage: &dyn Storage, header: &SegmentHeader, slot: &str) -> Result<(), Failure> {
    if header.facts.slot == slot {
        return Ok(());
    }
    let message = format!(
        "the journal in {} is that of slot \"{}\", not of \"{slot}\"",
        folder(storage),
        header.facts.slot
    );
    Err(Failure::new(StopReason::State, message).hint(move_away(storage)))
}

fn check_system(storage: &dyn Storage, header: &SegmentHeader, ours: u64) -> Result<(), Failure> {
    let theirs = header.facts.system_id;
    if theirs == ours {
        return Ok(());
    }
    let message = format!(
        "the journal in {} is that of system {theirs}, not of {ours}",
        folder(storage)
    );
    let hint = format!(
        "if this system replaces that one, raise [source] epoch; else {}",
        move_away(storage)
    );
    Err(Failure::new(StopReason::State, message).hint(hint))
}

fn check_facts(
    storage: &dyn Storage,
    header: &SegmentHeader,
    facts: &SegmentFacts,
) -> Result<(), Failure> {
    check_slot(storage, header, &facts.slot)?;
    let theirs = header.facts.epoch;
    if theirs == facts.epoch {
        return check_system(storage, header, facts.system_id);
    }
    if theirs < facts.epoch {
        return Ok(());
    }
    let message = format!(
        "the journal in {} is of epoch {theirs}, the configuration of epoch {}",
        folder(storage),
        facts.epoch
    );
    let hint = format!("set [source] epoch = {theirs}; else {}", move_away(storage));
    Err(Failure::new(StopReason::State, message).hint(hint))
}

//! A folder of segments as a recording: a journal, also of a process that runs, or a copy.

mod cut;
mod source;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use walgate_core::{Failure, PgMicros, Position, SourceIdentity, StopReason};
use walgate_journal::log::LogView;
use walgate_journal::segment::{Keyring, SegmentFacts};
use walgate_journal::storage::{Folder, Keyed};

use crate::args::{Bound, OnDamage, RangeArgs};

pub(crate) use cut::{Cut, cut};
pub(crate) use source::RecordingSource;
pub(crate) use walk::{Piece, Walk};

/// A folder of segments that is only read.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    folder: PathBuf,
    view: LogView,
}

/// A part of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// Everything up to here is left out.
    pub(crate) from: Position,
    /// Everything behind here is left out.
    pub(crate) to: Position,
}

impl Range {
    /// Where reading begins: behind a whole transaction. Whoever reads leaves out what lies between
    /// there and `from`, or takes the transaction as a whole.
    pub(crate) fn begin(&self) -> Position {
        match self.from.index() {
            Position::COMMIT => self.from,
            _ => Position::new(self.from.epoch(), self.from.lsn(), 0),
        }
    }
}

impl Recording {
    /// Looks at what is in the folder now; it is not changed, and nobody is kept from it. What is
    /// encrypted is read with `keys`. Blocks.
    ///
    /// # Errors
    ///
    /// When it can't be read, or holds no segment.
    pub(crate) fn open(folder: &Path, keys: Keyring) -> Result<Self, Failure> {
        let storage = Keyed::new(Arc::new(Folder::read_only(folder)?), keys);
        let storage = Arc::new(storage);
        let view = LogView::offline(storage)?;
        if view.catalogue().is_empty() {
            let message = format!("{} holds no segment of a journal", folder.display());
            return Err(Failure::new(StopReason::State, message).hint(
                "name the folder of [journal] path, or of a recording: walgate record, walgate journal export",
            ));
        }
        Ok(Self {
            folder: folder.to_owned(),
            view,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn view(&self) -> &LogView {
        &self.view
    }

    /// Whose log it is: of the newest segment whose header can be read. Blocks.
    ///
    /// # Errors
    ///
    /// When none can be read.
    pub(crate) fn identity(&self) -> Result<SourceIdentity, Failure> {
        for segment in self.view.catalogue().segments().iter().rev() {
            if let Some(header) = self.view.header(segment.number)? {
                return Ok(identity(header.facts));
            }
        }
        let message = format!("no segment of {} has a header", self.folder.display());
        Err(Failure::new(StopReason::Data, message).hint(self.verify_hint()))
    }

    /// Everything up to here is whole transactions; what lies behind is a part of one.
    pub(crate) fn whole(&self) -> Position {
        let segments = self.view.catalogue().segments();
        let last = segments.last().map(|last| last.whole);
        last.unwrap_or_default().max(self.view.catalogue().oldest())
    }

    /// Whether it ends with a part of a transaction.
    pub(crate) fn ends_inside(&self) -> bool {
        self.view.catalogue().newest() > self.whole()
    }

    /// The part that is asked for, in whole transactions of the log. Says so when it begins earlier
    /// than the recording does. Blocks: a time has to be looked for.
    ///
    /// # Errors
    ///
    /// When nothing lies there, or it can't be read.
    pub(crate) fn range(&self, asked: &RangeArgs) -> Result<Range, Failure> {
        let (oldest, whole) = (self.view.catalogue().oldest(), self.whole());
        let from = match asked.from {
            None => oldest,
            Some(Bound::Time(time)) => self.at(time)?.ok_or_else(|| self.too_late(time))?,
            Some(Bound::Lsn(lsn)) => Position::committed(whole.epoch(), lsn),
            Some(Bound::Position(position)) => position,
        };
        if from < oldest {
            let (asked, begins) = (from.lsn(), oldest.lsn());
            tracing::warn!(%asked, %begins, "the recording begins later than what is asked for");
        }
        if from > whole && asked.from.is_some() {
            let message = format!(
                "--from {from} lies behind the end of {}, {}",
                self.folder.display(),
                whole.lsn()
            );
            return Err(Failure::new(StopReason::Config, message).hint(self.ls_hint()));
        }
        let to = match asked.to {
            None => None,
            Some(Bound::Time(time)) => self.at(time)?,
            Some(Bound::Lsn(lsn)) => Some(Position::committed(whole.epoch(), lsn)),
            Some(Bound::Position(position)) => Some(position),
        };
        let (from, to) = (from.max(oldest), to.unwrap_or(whole).min(whole));
        if to < from {
            let message = format!("nothing lies behind {from} and up to {to}");
            return Err(Failure::new(StopReason::Config, message).hint(self.ls_hint()));
        }
        Ok(Range { from, to })
    }

    /// Reads a part, piece by piece.
    pub(crate) fn walk(&self, range: Range, on_damage: OnDamage) -> Walk {
        Walk::new(self, range, on_damage)
    }

    /// Says that the part of a transaction at its end is left out.
    pub(crate) fn warn_of_its_end(&self) {
        if self.ends_inside() {
            let whole = self.whole().lsn();
            tracing::warn!(%whole, "it ends inside of a transaction, of which nothing is taken");
        }
    }

    fn at(&self, time: PgMicros) -> Result<Option<Position>, Failure> {
        self.view.position_at(time)
    }

    fn too_late(&self, time: PgMicros) -> Failure {
        let message = format!(
            "{} holds no transaction that was committed at {} or later",
            self.folder.display(),
            clock(time)
        );
        Failure::new(StopReason::Config, message).hint(self.ls_hint())
    }

    fn ls_hint(&self) -> String {
        format!(
            "see what it holds: walgate journal ls {}",
            self.folder.display()
        )
    }

    fn verify_hint(&self) -> String {
        format!(
            "see all damage: walgate journal verify {}",
            self.folder.display()
        )
    }
}

fn identity(facts: SegmentFacts) -> SourceIdentity {
    SourceIdentity {
        system_id: facts.system_id,
        timeline: facts.timeline,
        epoch: facts.epoch,
        slot: facts.slot,
        consistent_point: walgate_core::Lsn::ZERO,
        created_by_us: false,
    }
}

/// A time of the server's as people and machines read it, in UTC.
pub(crate) fn clock(time: PgMicros) -> String {
    let micros = u64::try_from(time.unix_micros()).unwrap_or_default();
    // What is no time of this era (infinity) is shown as the latest that can be written.
    let micros = micros.min(LAST_MICROS);
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(micros);
    humantime::format_rfc3339_micros(time).to_string()
}

/// 9999-12-31T23:59:59.999999Z: years have four digits.
const LAST_MICROS: u64 = 253_402_300_799_999_999;

//! A place of the log that can't be read.

use std::fmt;
use std::path::Path;

use walgate_core::{Failure, Lsn, Position, StopReason};

use super::files::{segment_name, spool_name};

/// The least that lies between two WAL records: `MAXALIGN`, 8 on every platform that is in use.
const WAL_ALIGNMENT_BYTES: u64 = 8;

/// What can't be read, and which changes are lost with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPlace {
    /// The number of the segment.
    pub segment: u64,
    /// Whether it is in the segment's spool, not in the segment itself.
    pub spool: bool,
    /// Where in the [file](Self::file), in bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// Everything up to here lies before it.
    pub from: Position,
    /// Nothing that is lost lies behind this position; the next record that can be read begins
    /// behind it. None when nothing follows that can be read.
    pub to: Option<Position>,
}

impl DamagedPlace {
    /// The name of the damaged file.
    pub fn file(&self) -> String {
        match self.spool {
            true => spool_name(self.segment),
            false => segment_name(self.segment),
        }
    }

    /// The LSN behind which transactions are whole again. A transaction of which a part is lost is
    /// lost as a whole.
    pub fn whole_from(&self) -> Option<Lsn> {
        let to = self.to?;
        let lsn = to.lsn();
        if to.index() == 0 {
            return Some(lsn);
        }
        Some(lsn.checked_add(WAL_ALIGNMENT_BYTES).unwrap_or(lsn))
    }

    /// The failure that stops a reader here. `folder`: the journal's.
    pub fn failure(&self, folder: &Path) -> Failure {
        let path = folder.join(self.file());
        let message = format!("{} is damaged: {self}", path.display());
        Failure::new(StopReason::Data, message).hint(
            "restore the file, or let readers go on behind it with a gap: on_damage = \"gap\"; \
             walgate journal verify lists all damage",
        )
    }
}

impl fmt::Display for DamagedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset, what, from, ..
        } = self;
        write!(f, "{what} at offset {offset}; changes behind {from}")?;
        match self.to {
            Some(to) => write!(f, " up to {to} can't be read"),
            None => write!(f, " can't be read"),
        }
    }
}

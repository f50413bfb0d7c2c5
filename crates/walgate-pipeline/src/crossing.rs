//! Where a later epoch begins in a log.

use walgate_core::{FrameKind, Frames, Lsn};
use walgate_pgoutput::{Dialect, Message, decode};

/// An LSN behind everything that commits before a run, and whose position with index 0 lies before
/// all that the run holds.
pub(crate) fn before(frames: &Frames) -> Lsn {
    let progress = frames.progress.unwrap_or_default();
    let Some(first) = frames.frames.first() else {
        return progress;
    };
    let transaction = match first.kind {
        FrameKind::Begin => frames.begun(first),
        FrameKind::Standalone => None,
        _ => frames.open,
    };
    if let Some(transaction) = transaction {
        return transaction.commit_lsn;
    }
    match decode(frames.message(first), Dialect::default(), false) {
        Ok(Message::Message { lsn, .. }) => lsn.checked_sub(1).unwrap_or(lsn),
        _ => progress,
    }
}

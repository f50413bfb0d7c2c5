//! Parts of runs.

use walgate_core::{Frame, FrameKind, Frames, PgMicros, Position, Transaction};
use walgate_pgoutput::{Dialect, Message, decode};

/// What is left of a run.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The frames behind `after` and up to `to`.
    pub(crate) frames: Frames,
    /// The position of the last of them; `after` when there is none.
    pub(crate) last: Position,
    /// Something lies behind `to`: it was cut off.
    pub(crate) over: bool,
}

/// The frames of a run that lie behind `after` and up to `to`. A run may begin with what an earlier
/// one had, and never falls back inside.
pub(crate) fn cut(frames: Frames, after: Position, to: Position) -> Cut {
    let (mut start, mut end) = (0, frames.frames.len());
    let (mut open, mut open_at_start) = (frames.open, frames.open);
    let (mut last, mut over) = (after, false);
    for (place, frame) in frames.frames.iter().enumerate() {
        let (first_of_it, last_of_it) = positions(&frames, frame, &mut open);
        if first_of_it > to {
            (end, over) = (place, true);
            break;
        }
        if last_of_it <= after {
            (start, open_at_start) = (place + 1, open);
        } else {
            last = last_of_it;
        }
    }
    if start == 0 && !over {
        return Cut { frames, last, over };
    }
    let frames = Frames {
        frames: frames.frames.get(start..end).unwrap_or_default().to_vec(),
        open: open_at_start,
        progress: frames.progress.filter(|_| !over),
        ..frames
    };
    Cut { frames, last, over }
}

/// First and last position of a frame; `open` is the transaction before it, and then the one behind.
fn positions(
    frames: &Frames,
    frame: &Frame,
    open: &mut Option<Transaction>,
) -> (Position, Position) {
    if frame.kind == FrameKind::Begin {
        *open = frames.begun(frame);
    }
    if frame.kind == FrameKind::Standalone {
        let lsn = match decode(frames.message(frame), Dialect::default(), false) {
            Ok(Message::Message { lsn, .. }) => lsn,
            _ => walgate_core::Lsn::ZERO,
        };
        let position = Position::new(frames.epoch, lsn, 0);
        return (position, position);
    }
    let Some(transaction) = *open else {
        return (Position::ZERO, Position::ZERO);
    };
    let more = match frame.kind {
        FrameKind::Truncate => frames.tables_of(frame).saturating_sub(1),
        _ => 0,
    };
    if frame.kind == FrameKind::Commit {
        *open = None;
    }
    let first = frames.position(&transaction, frame.index);
    let last = frames.position(&transaction, frame.index.saturating_add(more));
    (first, last)
}

/// Takes what comes before the first transaction for which `is_due` does not hold off a run: the
/// part before it, and what is left with that transaction's commit time.
pub(super) fn before_pause(
    frames: Frames,
    is_due: impl Fn(PgMicros) -> bool,
) -> (Option<Frames>, Option<(Frames, PgMicros)>) {
    let pause = frames.frames.iter().enumerate().find_map(|(place, frame)| {
        (frame.kind == FrameKind::Begin).then_some(())?;
        let time = frames.begun(frame)?.commit_time;
        (!is_due(time)).then_some((place, time))
    });
    let Some((place, time)) = pause else {
        return (Some(frames), None);
    };
    let (now, later) = frames.frames.split_at(place);
    let first = (!now.is_empty()).then(|| Frames {
        frames: now.to_vec(),
        progress: None,
        ..frames.clone()
    });
    let rest = Frames {
        frames: later.to_vec(),
        // A transaction begins there.
        open: None,
        ..frames
    };
    (first, Some((rest, time)))
}

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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use walgate_core::Lsn;

    use super::*;

    const END: Position = Position::committed(u8::MAX, Lsn(u64::MAX));

    fn at(lsn: u64, index: u32) -> Position {
        Position::new(0, Lsn(lsn), index)
    }

    /// Messages: a transaction at 100 with two, one outside at 150, a transaction at 200 with one.
    fn frames() -> Frames {
        let begin = |lsn: u64| Message::Begin {
            final_lsn: Lsn(lsn),
            commit_time: PgMicros(i64::try_from(lsn).expect("small")),
            xid: 7,
        };
        let commit = |lsn: u64| Message::Commit {
            flags: 0,
            commit_lsn: Lsn(lsn),
            end_lsn: Lsn(lsn + 8),
            commit_time: PgMicros(0),
        };
        let said = |transactional, lsn| Message::Message {
            xid: None,
            transactional,
            lsn: Lsn(lsn),
            prefix: "p",
            content: b"c",
        };
        let all = [
            (FrameKind::Begin, 1, begin(100)),
            (FrameKind::Message, 2, said(true, 90)),
            (FrameKind::Message, 3, said(true, 95)),
            (FrameKind::Commit, Position::COMMIT, commit(100)),
            (FrameKind::Standalone, 0, said(false, 150)),
            (FrameKind::Begin, 1, begin(200)),
            (FrameKind::Message, 2, said(true, 190)),
            (FrameKind::Commit, Position::COMMIT, commit(200)),
        ];
        let (mut bytes, mut frames) = (BytesMut::new(), Vec::new());
        for (kind, index, message) in all {
            let start = bytes.len();
            let encoded = message.encode(Dialect::default(), &mut bytes);
            encoded.expect("sound");
            frames.push(Frame {
                kind,
                relation: 0,
                index,
                start: u32::try_from(start).expect("small"),
                len: u32::try_from(bytes.len() - start).expect("small"),
            });
        }
        Frames {
            bytes: bytes.freeze(),
            frames,
            progress: Some(Lsn(300)),
            ..Frames::progress(0, Lsn(300))
        }
    }

    fn indices(frames: &Frames) -> Vec<u32> {
        frames.frames.iter().map(|frame| frame.index).collect()
    }

    #[test]
    fn all_of_a_run_stays_as_it_is() {
        let Cut { frames, last, over } = cut(frames(), Position::ZERO, END);
        assert_eq!(
            (frames.frames.len(), last, over),
            (8, at(200, Position::COMMIT), false)
        );
        assert_eq!(frames.progress, Some(Lsn(300)));
    }

    #[test]
    fn a_run_that_begins_inside_of_a_transaction_knows_it() {
        let cut = cut(frames(), at(100, 2), END);
        let open = cut.frames.open.map(|open| open.commit_lsn);
        assert_eq!(open, Some(Lsn(100)));
        assert_eq!(indices(&cut.frames)[..2], [3, Position::COMMIT]);
        assert_eq!(cut.frames.last(), Some(at(200, Position::COMMIT)));
    }

    #[test]
    fn a_run_ends_where_it_is_to() {
        for (to, count, last) in [
            (at(99, 0), 0, Position::ZERO),
            (at(100, 2), 2, at(100, 2)),
            (at(100, Position::COMMIT), 4, at(100, Position::COMMIT)),
            (at(150, 0), 5, at(150, 0)),
            (at(200, 0), 5, at(150, 0)),
        ] {
            let cut = cut(frames(), Position::ZERO, to);
            assert_eq!(
                (cut.frames.frames.len(), cut.last, cut.over),
                (count, last, true),
                "{to}"
            );
            assert_eq!(cut.frames.progress, None, "{to}");
        }
    }

    #[test]
    fn nothing_is_left_of_what_has_come() {
        let cut = cut(frames(), at(200, Position::COMMIT), END);
        assert!(cut.frames.frames.is_empty() && !cut.over);
        assert_eq!(cut.last, at(200, Position::COMMIT));
    }

    #[test]
    fn a_pause_is_before_a_transaction() {
        let (first, rest) = before_pause(frames(), |time| time < PgMicros(200));
        let (rest, time) = rest.expect("a pause");
        assert_eq!(first.map(|first| first.frames.len()), Some(5));
        assert_eq!(
            (rest.frames.len(), rest.open, time),
            (3, None, PgMicros(200))
        );
        let (first, rest) = before_pause(rest, |_| false);
        assert!(first.is_none() && rest.is_some_and(|(rest, _)| rest.frames.len() == 3));
        let (first, rest) = before_pause(frames(), |_| true);
        assert!(first.is_some_and(|first| first.frames.len() == 8) && rest.is_none());
    }
}

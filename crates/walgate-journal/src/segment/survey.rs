//! What a run of frames says about itself, and whether it is sound: asked by the writer before it
//! writes, and by the reader before it believes.

use walgate_core::{Frame, FrameKind, Frames, Lsn, PgMicros, Position};
use walgate_pgoutput::{Dialect, Message, decode};

/// Commit times of the transactions that begin in a stretch of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitTimes {
    /// The earliest; infinity (`i64::MAX`) when no transaction begins here.
    pub oldest: PgMicros,
    /// The latest; minus infinity (`i64::MIN`) when no transaction begins here.
    pub newest: PgMicros,
}

impl CommitTimes {
    /// No transaction begins here.
    pub const NONE: Self = Self {
        oldest: PgMicros(i64::MAX),
        newest: PgMicros(i64::MIN),
    };

    /// Both stretches together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            oldest: self.oldest.min(other.oldest),
            newest: self.newest.max(other.newest),
        }
    }

    fn add(&mut self, time: PgMicros) {
        self.oldest = self.oldest.min(time);
        self.newest = self.newest.max(time);
    }
}

/// What a sound run says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Survey {
    /// Position of the last frame.
    pub(super) last: Position,
    /// Everything that commits below it lies in the log up to the end of this run: the end of the
    /// last transaction that ends in it, a standalone message's LSN, or progress.
    pub(super) whole: Option<Lsn>,
    pub(super) times: CommitTimes,
    /// Bytes of all messages.
    pub(super) message_bytes: u64,
}

impl Survey {
    /// Checks the invariants of [`Frames`] as far as readers rely on them without decoding: places
    /// within their lists, messages within the bytes, transactions in order.
    pub(super) fn of(frames: &Frames) -> Result<Self, &'static str> {
        let relations = frames.relations.len();
        if frames
            .truncated
            .iter()
            .any(|place| usize::from(*place) >= relations)
        {
            return Err("a truncated table is not in the list of relations");
        }
        let bytes = frames.bytes.len() as u64;
        let mut message_bytes = 0;
        let mut times = CommitTimes::NONE;
        let mut open = frames.open;
        let mut boundary = None;
        for frame in &frames.frames {
            if u64::from(frame.start) + u64::from(frame.len) > bytes {
                return Err("a message reaches beyond the bytes");
            }
            message_bytes += u64::from(frame.len);
            let inside = open.is_some();
            match frame.kind {
                FrameKind::Insert | FrameKind::Update | FrameKind::Delete => {
                    if usize::from(frame.relation) >= relations {
                        return Err("a row's relation is not in the list");
                    }
                    in_order(inside)?;
                }
                FrameKind::Begin => {
                    in_order(!inside)?;
                    let begun = frames.begun(frame).ok_or("a begin that is none")?;
                    times.add(begun.commit_time);
                    open = Some(begun);
                }
                FrameKind::Commit => {
                    in_order(inside)?;
                    open = None;
                    boundary = Some(frame);
                }
                FrameKind::Truncate => {
                    in_order(inside)?;
                    let end = u32::from(frame.relation).saturating_add(frames.tables_of(frame));
                    if end as usize > frames.truncated.len() {
                        return Err("a truncate's tables are not in the list");
                    }
                }
                FrameKind::Message => in_order(inside)?,
                FrameKind::Standalone => {
                    in_order(!inside)?;
                    boundary = Some(frame);
                }
            }
        }
        let whole = match boundary {
            Some(frame) => Some(end_of(frames, frame).ok_or("a boundary that is none")?),
            None => None,
        };
        Ok(Self {
            last: frames.last().ok_or("the last frame has no position")?,
            whole: known(whole.max(frames.progress)),
            times,
            message_bytes,
        })
    }
}

/// Zero is written where nothing is known, and nothing commits below it.
pub(super) fn known(lsn: Option<Lsn>) -> Option<Lsn> {
    lsn.filter(|lsn| *lsn != Lsn(0))
}

#[inline]
const fn in_order(legal: bool) -> Result<(), &'static str> {
    if legal {
        Ok(())
    } else {
        Err("frames that are in no legal order")
    }
}

/// Everything that commits below it lies in the log up to the end of `frame`.
fn end_of(frames: &Frames, frame: &Frame) -> Option<Lsn> {
    match decode(frames.message(frame), Dialect::default(), false) {
        Ok(Message::Commit { end_lsn, .. }) if frame.kind == FrameKind::Commit => Some(end_lsn),
        Ok(Message::Message {
            transactional: false,
            lsn,
            ..
        }) if frame.kind == FrameKind::Standalone => Some(lsn),
        _ => None,
    }
}

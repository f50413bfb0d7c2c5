//! Messages of the log, one behind the other, until they go on as a run.

use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{Frame, FrameKind, Frames, Relation, Transaction};
use walgate_pgoutput::{Dialect, Message};

use crate::DecodeError;

/// A run goes on when it has this many bytes: what a read of a socket brings.
const RUN_BYTES: usize = 256 << 10;

/// Or this many frames.
const RUN_FRAMES: usize = 8192;

/// The run that is being built.
#[derive(Debug, Default)]
pub(crate) struct Run {
    bytes: BytesMut,
    frames: Vec<Frame>,
    relations: Vec<Arc<Relation>>,
    truncated: Vec<u16>,
    /// The transaction that was open before the first frame.
    open: Option<Transaction>,
}

impl Run {
    /// Whether it should go on before more comes.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= RUN_BYTES || self.frames.len() >= RUN_FRAMES
    }

    /// Appends a message; `open` is the transaction before it.
    pub(crate) fn push(
        &mut self,
        kind: FrameKind,
        (relation, index): (u16, u32),
        message: &Message<'_>,
        open: Option<Transaction>,
    ) -> Result<(), DecodeError> {
        if self.frames.is_empty() {
            self.open = open;
        }
        let start = self.bytes.len();
        let encoded = message.encode(Dialect::default(), &mut self.bytes);
        let len = self.bytes.len() - start;
        let (Ok(()), Ok(start), Ok(len)) = (encoded, u32::try_from(start), u32::try_from(len))
        else {
            self.bytes.truncate(start);
            return Err(DecodeError::TooLarge);
        };
        self.frames.push(Frame {
            kind,
            relation,
            index,
            start,
            len,
        });
        Ok(())
    }

    /// The place of a definition among those of the run.
    pub(crate) fn place_of(&mut self, relation: &Arc<Relation>) -> Result<u16, DecodeError> {
        let known = self.relations.iter();
        let place = known.rev().position(|known| Arc::ptr_eq(known, relation));
        let place = match place {
            Some(from_the_end) => self.relations.len() - 1 - from_the_end,
            None => {
                self.relations.push(Arc::clone(relation));
                self.relations.len() - 1
            }
        };
        u16::try_from(place).map_err(|_| DecodeError::TooLarge)
    }

    /// The place of a truncate's table.
    pub(crate) fn truncates(&mut self, relation: u16) -> Result<u16, DecodeError> {
        let place = u16::try_from(self.truncated.len()).map_err(|_| DecodeError::TooLarge)?;
        self.truncated.push(relation);
        Ok(place)
    }

    /// What was built; none when that is nothing.
    pub(crate) fn take(&mut self, epoch: u8) -> Option<Frames> {
        let run = std::mem::take(self);
        if run.frames.is_empty() {
            return None;
        }
        let bytes = run.bytes.freeze();
        Some(Frames {
            pinned: bytes.len(),
            bytes,
            frames: run.frames,
            relations: run.relations,
            truncated: run.truncated,
            open: run.open,
            epoch,
            progress: None,
        })
    }
}

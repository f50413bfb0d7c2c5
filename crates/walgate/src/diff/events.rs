//! What a sink would be given.

use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{Change, Encoder, Failure, Frames, Gap, Op, Position, Span};
use walgate_pipeline::{Assembler, Place};

use crate::config;
use crate::wiring::{Piece, Range, encoder, options};

/// A sink of one configuration, without its destination.
pub(super) struct Side {
    assembler: Assembler,
    encoder: Box<dyn Encoder>,
    epoch: u8,
    buffer: BytesMut,
}

/// An event that a sink would be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) position: Position,
    pub(super) op: Op,
    /// `schema.table`; empty for what has none.
    pub(super) table: String,
    /// Its bytes, or why there are none.
    pub(super) value: Result<Vec<u8>, String>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) old_key: Option<Vec<u8>>,
}

impl Event {
    /// Where it stands among the events of both: a `schema` comes before the row of its position.
    pub(super) fn order(&self) -> (Position, bool) {
        (self.position, self.op != Op::Schema)
    }
}

impl Side {
    pub(super) fn new(name: &str, sink: &config::Sink, range: Range) -> Result<Self, Failure> {
        let options = options(name, sink)?;
        let place = Place::start(range.from.epoch(), range.from.lsn());
        Ok(Self {
            assembler: Assembler::new(
                Arc::clone(&options.selection),
                options.extras,
                place,
                range.from,
            ),
            encoder: encoder(name, sink)?,
            epoch: range.from.epoch(),
            buffer: BytesMut::new(),
        })
    }

    /// What it makes of a piece. Gaps are the same for all, and left out.
    pub(super) fn events(&mut self, piece: &Piece) -> Result<Vec<Event>, Failure> {
        match piece {
            Piece::Frames(_, frames) => {
                self.cross(frames.epoch, frames);
                self.run(frames)
            }
            Piece::Gap(_, gap) => {
                self.assembler.gap(gap);
                Ok(Vec::new())
            }
            Piece::Progress(_) => Ok(Vec::new()),
        }
    }

    /// The source was replaced: the log goes on in another epoch.
    fn cross(&mut self, epoch: u8, frames: &Frames) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        let to = frames.last().map(Position::lsn).unwrap_or_default();
        let gap: Gap = self.assembler.cross(epoch, to);
        // It ends before the run: nothing of that is passed over.
        let to = walgate_core::Lsn::ZERO;
        self.assembler.gap(&Gap { to, ..gap });
    }

    fn run(&mut self, frames: &Frames) -> Result<Vec<Event>, Failure> {
        self.assembler.start(frames)?;
        let mut events = Vec::new();
        while let Some((change, _)) = self.assembler.next(frames)? {
            self.buffer.clear();
            let encoded = self.encoder.encode(&change, &mut self.buffer);
            let slice = |span: Span| {
                let span = span.start as usize..span.end as usize;
                self.buffer.get(span).unwrap_or_default().to_vec()
            };
            let (value, key, old_key) = match encoded {
                Ok(encoded) => (
                    Ok(slice(encoded.value)),
                    encoded.key.map(slice),
                    encoded.old_key.map(slice),
                ),
                Err(error) => (Err(error.message), None, None),
            };
            events.push(Event {
                position: change.position,
                op: change.body.op(),
                table: table(&change),
                value,
                key,
                old_key,
            });
        }
        Ok(events)
    }
}

fn table(change: &Change<'_>) -> String {
    change.body.table().map_or_else(String::new, |table| {
        format!("{}.{}", table.relation.schema, table.relation.name)
    })
}

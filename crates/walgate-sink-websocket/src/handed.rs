//! What a connection was handed last, for when its rights become fewer before that is written.

use walgate_core::Position;

use crate::queue::Queued;

/// The events that a connection was handed last, by where their frames end. Kept until it asks for more.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// Everything up to here was handed out before them.
    before: Position,
    chunks: Vec<Queued>,
    /// Of those that come in no chunk: each event's position, and where its frame ends.
    ends: Vec<(Position, usize)>,
}

impl Handed {
    /// Chunks, of which each is handed out behind what is to be skipped.
    pub(crate) const fn chunks(before: Position, chunks: Vec<Queued>) -> Self {
        Self {
            before,
            chunks,
            ends: Vec::new(),
        }
    }

    /// Events of a replay.
    pub(crate) const fn replayed(before: Position, ends: Vec<(Position, usize)>) -> Self {
        Self {
            before,
            chunks: Vec::new(),
            ends,
        }
    }

    /// Nothing is kept any more.
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.ends.clear();
    }

    fn ends(&self) -> impl Iterator<Item = (Position, usize)> {
        let mut base = 0;
        let of_chunks = self.chunks.iter().flat_map(move |queued| {
            let (from, skip) = (base, queued.skip);
            base += queued.chunk.bytes() - skip;
            let ends = queued
                .chunk
                .ends()
                .iter()
                .filter(move |(_, end)| *end > skip);
            ends.map(move |(position, end)| (*position, from + end - skip))
        });
        of_chunks.chain(self.ends.iter().copied())
    }

    /// Where it is cut when its last `left` bytes are not written yet: how many of those belong to an
    /// event that was begun, and up to where the client has everything then.
    pub(crate) fn cut(&self, left: usize) -> (usize, Position) {
        let total = self.ends().last().map_or(0, |(_, end)| end);
        let written = total.saturating_sub(left);
        if written == 0 {
            return (0, self.before);
        }
        let begun = self.ends().find(|(_, end)| *end >= written);
        begun.map_or((0, self.before), |(position, end)| {
            (end - written, position)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use walgate_core::Lsn;

    use super::*;
    use crate::chunk::Chunk;
    use crate::queue::{Queue, QueueLimits};

    fn at(lsn: u64) -> Position {
        Position::new(0, Lsn(lsn), 2)
    }

    fn check(handed: &Handed) {
        // Frames of 3, 2 and 4 bytes, at 1, 2 and 3.
        for (left, bytes, position) in [
            (9, 0, 0),
            (8, 2, 1),
            (7, 1, 1),
            (6, 0, 1),
            (5, 1, 2),
            (4, 0, 2),
            (3, 3, 3),
            (1, 1, 3),
            (0, 0, 3),
        ] {
            assert_eq!(handed.cut(left), (bytes, at(position)), "{left}");
        }
    }

    #[test]
    fn what_was_begun_is_ended_and_the_rest_taken_back() {
        let ends = vec![(at(1), 3), (at(2), 5), (at(3), 9)];
        check(&Handed::replayed(at(0), ends));
        let chunk = |text: &'static str, ends: Vec<(Position, usize)>| {
            Arc::new(Chunk::new(vec![Bytes::from(text)], ends, text.len()))
        };
        let queue = Queue::new(QueueLimits::default(), at(0));
        queue.push(
            &chunk("xxaaabb", vec![(at(0), 2), (at(1), 5), (at(2), 7)]),
            at(0),
        );
        queue.push(&chunk("cccc", vec![(at(3), 4)]), at(0));
        check(&Handed::chunks(at(0), queue.take(usize::MAX).chunks));
        assert_eq!(Handed::default().cut(0), (0, Position::ZERO));
    }
}

//! Events as they go to the sockets: encoded and framed once, shared by all their readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use walgate_core::Position;

/// Framed events for all clients of one interest, in the order of the log.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The frames, one behind the other; a slice may hold many.
    slices: Vec<Bytes>,
    /// Each event's position, and where its frame ends, counted from the chunk's first byte.
    ends: Vec<(Position, usize)>,
    /// Bytes of the memory behind the slices, which other chunks share.
    pins: usize,
}

impl Chunk {
    /// `slices`, of a memory of `pins` bytes, hold frames that end at `ends`, which is not empty.
    pub(crate) fn new(slices: Vec<Bytes>, ends: Vec<(Position, usize)>, pins: usize) -> Self {
        Self { slices, ends, pins }
    }

    /// Bytes that it keeps in memory, be it ever so small itself.
    pub(crate) fn pins(&self) -> usize {
        self.pins
    }

    /// Position of the first event.
    pub(crate) fn first(&self) -> Position {
        self.ends
            .first()
            .map_or(Position::ZERO, |(position, _)| *position)
    }

    /// Position of the last event.
    pub(crate) fn last(&self) -> Position {
        self.ends
            .last()
            .map_or(Position::ZERO, |(position, _)| *position)
    }

    /// Bytes of all frames.
    pub(crate) fn bytes(&self) -> usize {
        self.ends.last().map_or(0, |(_, end)| *end)
    }

    /// Each event's position, and where its frame ends, counted from the first byte.
    pub(crate) fn ends(&self) -> &[(Position, usize)] {
        &self.ends
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.ends.len()
    }

    /// Events up to `position`, and the bytes of their frames.
    pub(crate) fn up_to(&self, position: Position) -> (usize, usize) {
        let events = self.ends.partition_point(|(at, _)| *at <= position);
        let before = events.checked_sub(1).and_then(|last| self.ends.get(last));
        (events, before.map_or(0, |(_, end)| *end))
    }

    /// What of it lies at or before `position`.
    pub(crate) fn cut(&self, position: Position) -> Arc<Self> {
        let (events, mut left) = self.up_to(position);
        let mut slices = Vec::new();
        for slice in &self.slices {
            let len = left.min(slice.len());
            if len > 0 {
                slices.push(slice.slice(..len));
            }
            left -= len;
        }
        Arc::new(Self {
            slices,
            ends: self.ends.iter().take(events).copied().collect(),
            pins: self.pins,
        })
    }

    /// The frames behind the first `skip` bytes.
    pub(crate) fn slices(&self, skip: usize) -> impl Iterator<Item = Bytes> {
        let mut skip = skip;
        self.slices.iter().filter_map(move |slice| {
            let passed = skip.min(slice.len());
            skip -= passed;
            (passed < slice.len()).then(|| slice.slice(passed..))
        })
    }
}

/// Memory of framed events, counted in a total until the last slice of it has gone: also one that
/// waits in a connection and is a small part of it.
pub(crate) fn weighed(bytes: BytesMut, total: &Arc<AtomicUsize>) -> Bytes {
    total.fetch_add(bytes.len(), Ordering::Relaxed);
    Bytes::from_owner(Weighed {
        bytes,
        total: Arc::clone(total),
    })
}

#[derive(Debug)]
struct Weighed {
    bytes: BytesMut,
    total: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::Lsn;

    use super::*;

    fn at(lsn: u64) -> Position {
        Position::new(0, Lsn(lsn), 2)
    }

    #[test]
    fn what_a_client_has_is_skipped() {
        let slices = vec![Bytes::from_static(b"aaabb"), Bytes::from_static(b"cccc")];
        let ends = vec![(at(1), 3), (at(2), 5), (at(5), 9)];
        let chunk = Chunk::new(slices, ends, 9);
        assert_eq!((chunk.first(), chunk.last()), (at(1), at(5)));
        assert_eq!((chunk.bytes(), chunk.events()), (9, 3));
        let rest = |position| {
            let (events, skip) = chunk.up_to(position);
            let bytes: Vec<u8> = chunk.slices(skip).flatten().collect();
            (events, String::from_utf8(bytes).expect("text"))
        };
        assert_eq!(rest(Position::ZERO), (0, "aaabbcccc".to_owned()));
        assert_eq!(rest(at(1)), (1, "bbcccc".to_owned()));
        assert_eq!(rest(at(4)), (2, "cccc".to_owned()));
        assert_eq!(rest(at(5)), (3, String::new()));
        let cut = chunk.cut(at(4));
        let bytes: Vec<u8> = cut.slices(0).flatten().collect();
        assert_eq!((&bytes[..], cut.last()), (&b"aaabb"[..], at(2)));
        assert_eq!(chunk.cut(Position::ZERO).events(), 0);
    }

    #[test]
    fn memory_counts_as_long_as_a_part_of_it_is_held() {
        let total = Arc::new(AtomicUsize::new(0));
        let bytes = weighed(BytesMut::from(&b"aaabbcccc"[..]), &total);
        let chunk = Chunk::new(vec![bytes.slice(3..5)], vec![(at(1), 2)], bytes.len());
        drop(bytes);
        let taken: Vec<Bytes> = chunk.slices(1).collect();
        drop(chunk);
        assert_eq!(taken, ["b"]);
        assert_eq!(total.load(Ordering::Relaxed), 9, "a byte pins all of it");
        drop(taken);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}

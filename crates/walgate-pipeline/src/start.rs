//! Where each chain starts: what its sink holds, and what the journal still has.

use walgate_core::{Checkpoint, Gap, GapReason, Position};
use walgate_journal::Journal;

use crate::Place;
use crate::tracker::whole;

/// The log that a pipeline goes on with: a journal, and what it has from before.
#[derive(Debug)]
pub struct Log {
    /// Where changes wait.
    pub journal: Journal,
    /// Everything up to here it does not have.
    pub oldest: Position,
    /// Up to here it has everything behind [`oldest`](Self::oldest).
    pub tail: Position,
    /// Where the source goes on. What lies between [`tail`](Self::tail) and here, if anything, is
    /// confirmed and not in the journal.
    pub head: Position,
}

impl Log {
    /// A log in memory, of at most `bytes`, that begins at `start`.
    pub fn in_memory(bytes: usize, start: Position) -> Self {
        Self {
            journal: Journal::in_memory(bytes, start),
            oldest: start,
            tail: start,
            head: start,
        }
    }

    /// Where the chain of a sink that holds everything up to `known` reads from: whole
    /// transactions, so that it counts their changes. A sink may be ahead of the journal, when a
    /// power cut took what it had delivered already: it starts at the end, and skips.
    pub(crate) fn from(&self, known: Position) -> Position {
        whole(known.min(self.head))
    }

    /// The place of a chain that reads from there. What lies before the journal's oldest is not
    /// accounted for until the chain's first read tells it of the gap.
    pub(crate) fn place(&self, from: Position) -> Place {
        if from >= self.oldest {
            return Place::start(from.epoch(), from.lsn());
        }
        Place::start(self.oldest.epoch(), self.oldest.lsn()).behind(from)
    }

    /// What a sink that holds everything up to `known` lacks and the journal does not have. A raised
    /// epoch is a gap that a human has declared.
    pub(crate) fn lost(&self, known: Position) -> Option<Gap> {
        let from = self.from(known);
        let (from, to) = if from < self.oldest {
            // What the source sends again from the head on is not lost.
            (from, self.oldest.min(self.head))
        } else {
            (from.max(self.tail), self.head)
        };
        (from < to && from.epoch() == to.epoch()).then(|| Gap {
            from: from.lsn(),
            to: to.lsn(),
            reason: GapReason::SinkFellBehind,
        })
    }
}

/// What a sink lacks and nobody has any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The sink's name.
    pub sink: String,
    /// What is missing.
    pub gap: Gap,
    /// It was given up on purpose: the sink was [released](crate::Releases).
    pub released: bool,
}

/// What a sink holds. A sink that is not in the checkpoint is new: it starts where everything
/// before is confirmed.
pub(crate) fn known(checkpoint: &Checkpoint, sink: &str) -> Position {
    let confirmed = Position::new(checkpoint.source.epoch, checkpoint.confirmed, 0);
    let known = checkpoint.sinks.get(sink);
    known.copied().unwrap_or(confirmed)
}

#[cfg(test)]
mod tests {
    use walgate_core::Lsn;

    use super::*;

    fn at(lsn: u64) -> Position {
        Position::new(0, Lsn(lsn), 0)
    }

    fn log(oldest: u64, tail: u64, head: u64) -> Log {
        Log {
            oldest: at(oldest),
            tail: at(tail),
            ..Log::in_memory(1000, at(head))
        }
    }

    fn lost(log: &Log, known: Position) -> Option<(u64, u64)> {
        log.lost(known).map(|gap| (gap.from.0, gap.to.0))
    }

    #[test]
    fn what_nobody_has_is_before_the_oldest_or_behind_the_tail() {
        let whole = log(0x100, 0x900, 0x900);
        assert_eq!(lost(&whole, at(0x80)), Some((0x80, 0x100)));
        for known in [0x100, 0x500, 0x900, 0xA00] {
            assert_eq!(lost(&whole, at(known)), None, "{known:x}");
        }
        let cut = log(0x100, 0x700, 0x900);
        assert_eq!(lost(&cut, at(0x300)), Some((0x700, 0x900)));
        assert_eq!(lost(&cut, at(0x800)), Some((0x800, 0x900)));
        assert_eq!(lost(&cut, at(0x900)), None);
        assert_eq!(
            lost(&log(0x900, 0x900, 0x900), at(0x300)),
            Some((0x300, 0x900))
        );
    }

    #[test]
    fn what_comes_again_from_the_head_on_is_not_lost() {
        // The journal has no more than a part of a transaction behind what was confirmed last.
        let log = log(0x900, 0x700, 0x700);
        for known in [0x700, 0x800, 0x900, 0xA00] {
            assert_eq!(lost(&log, at(known)), None, "{known:x}");
        }
        assert_eq!(lost(&log, at(0x300)), Some((0x300, 0x700)));
    }

    #[test]
    fn another_epoch_is_no_loss() {
        let mut log = log(0x100, 0x700, 0x700);
        log.head = Position::new(1, Lsn(0x10), 0);
        assert_eq!(lost(&log, at(0x300)), None);
        assert_eq!(lost(&log, at(0x80)), Some((0x80, 0x100)));
    }

    #[test]
    fn a_chain_starts_at_whole_transactions_and_never_ahead_of_the_log() {
        let log = log(0x100, 0x900, 0x900);
        assert_eq!(log.from(Position::new(0, Lsn(0x300), 7)), at(0x300));
        assert_eq!(log.from(at(0xF00)), at(0x900));
        assert_eq!(log.place(at(0x300)), Place::start(0, Lsn(0x300)));
        assert_eq!(log.place(at(0x80)).seen, at(0x80));
    }
}

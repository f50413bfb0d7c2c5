//! From what a sink has delivered to what may be confirmed. Pure state.

use std::collections::VecDeque;

use walgate_core::{Lsn, Position};

use crate::Place;

/// Boundaries that are kept. Beyond it every second one is given up, which makes confirmation and
/// retries coarser and nothing else.
const MAX_BOUNDARIES: usize = 1024;

/// The end of what was handed to the sink at once.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    /// The last event at or before it.
    event: Position,
    place: Place,
}

/// What was handed to a sink, what of it is delivered, and where to begin again.
///
/// Invariant: `base` lies at or before what is delivered, the boundaries behind it and in order.
#[derive(Debug)]
pub struct Tracker {
    /// The last boundary that is wholly delivered.
    base: Boundary,
    /// Boundaries that are not.
    boundaries: VecDeque<Boundary>,
    /// The last event that the sink holds durably.
    delivered: Position,
}

impl Tracker {
    /// A tracker of a chain that starts at `place`, for a sink that holds everything up to
    /// `delivered`.
    pub fn new(place: Place, delivered: Position) -> Self {
        Self {
            base: Boundary {
                event: Position::ZERO,
                place,
            },
            boundaries: VecDeque::new(),
            delivered,
        }
    }

    /// The sink is about to be handed events, the last of them at `event`; `place` lies behind it.
    pub fn hand(&mut self, event: Position, place: Place) {
        if self.boundaries.len() >= MAX_BOUNDARIES {
            let mut keep = false;
            self.boundaries.retain(|_| {
                keep = !keep;
                keep
            });
        }
        debug_assert!(event >= self.handed(), "events are handed over in order");
        self.boundaries.push_back(Boundary { event, place });
    }

    /// The chain has read on to `place` without an event to hand over. Returns whether that moves
    /// what is delivered.
    pub fn pass(&mut self, place: Place) -> bool {
        match self.boundaries.back_mut() {
            Some(last) => {
                last.place = place;
                false
            }
            None => {
                self.base.place = place;
                true
            }
        }
    }

    /// The sink holds everything up to `position` durably. Returns whether a boundary was reached.
    pub fn deliver(&mut self, position: Position) -> bool {
        self.delivered = self.delivered.max(position);
        let mut reached = false;
        while let Some(first) = self.boundaries.front()
            && first.event <= self.delivered
        {
            self.base = *first;
            self.boundaries.pop_front();
            reached = true;
        }
        reached
    }

    /// Everything that commits below this LSN is delivered, or was not for this sink.
    pub fn confirmable(&self) -> Lsn {
        self.base.place.whole
    }

    /// The epoch of [`confirmable`](Self::confirmable).
    pub fn epoch(&self) -> u8 {
        self.base.place.epoch()
    }

    /// Everything up to here is accounted for and delivered; nothing before it is read again.
    pub fn released(&self) -> Position {
        self.base.place.seen
    }

    /// The last event that the sink holds durably.
    pub fn delivered(&self) -> Position {
        self.delivered
    }

    /// Where the sink is, exactly: in the middle of a transaction where it stopped there.
    pub fn exact(&self) -> Position {
        self.delivered.max(self.whole())
    }

    /// Where the sink is, in whole transactions: what a crash lets repeat begins there.
    pub fn whole(&self) -> Position {
        whole(self.delivered).max(self.base.place.whole_position())
    }

    /// The last event that was handed over.
    pub fn handed(&self) -> Position {
        self.boundaries
            .back()
            .map_or(self.base.event, |last| last.event)
    }

    /// Whether everything that was handed over is delivered.
    pub fn is_drained(&self) -> bool {
        self.boundaries.is_empty()
    }

    /// Forgets what is not delivered. Returns where to begin again.
    pub fn rewind(&mut self) -> Place {
        self.boundaries.clear();
        self.base.place
    }
}

/// Before the transaction that a position lies in.
pub(crate) fn whole(position: Position) -> Position {
    Position::new(position.epoch(), position.lsn(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lsn: u64, index: u32) -> Position {
        Position::new(0, Lsn(lsn), index)
    }

    fn place(seen: Position, whole: u64) -> Place {
        Place::start(0, Lsn(whole)).seen_up_to(seen)
    }

    fn started() -> Tracker {
        Tracker::new(Place::start(0, Lsn(10)), row(10, 0))
    }

    #[test]
    fn a_boundary_counts_when_its_last_event_is_delivered() {
        let mut tracker = started();
        tracker.hand(row(20, 5), place(row(20, 5), 10));
        tracker.hand(row(20, 9), place(row(20, u32::MAX), 28));
        assert!(!tracker.deliver(row(20, 4)));
        assert_eq!(
            (tracker.confirmable(), tracker.released()),
            (Lsn(10), row(10, 0))
        );
        assert!(tracker.deliver(row(20, 5)));
        assert_eq!(
            (tracker.confirmable(), tracker.released()),
            (Lsn(10), row(20, 5))
        );
        assert!(tracker.deliver(row(20, 9)));
        assert_eq!(tracker.confirmable(), Lsn(28));
        assert!(tracker.is_drained());
        assert_eq!(tracker.exact(), row(28, 0));
    }

    #[test]
    fn what_has_no_events_moves_at_once_or_behind_what_is_in_flight() {
        let mut tracker = started();
        assert!(tracker.pass(place(row(30, 0), 30)));
        assert_eq!(tracker.confirmable(), Lsn(30));
        tracker.hand(row(40, 2), place(row(40, u32::MAX), 48));
        assert!(!tracker.pass(place(row(60, 0), 60)));
        assert_eq!(tracker.confirmable(), Lsn(30));
        tracker.deliver(row(40, 2));
        assert_eq!(tracker.confirmable(), Lsn(60));
    }

    #[test]
    fn exact_may_lie_inside_a_transaction_and_whole_does_not() {
        let mut tracker = started();
        tracker.hand(row(20, 5), place(row(20, 5), 10));
        tracker.deliver(row(20, 3));
        assert_eq!(tracker.exact(), row(20, 3));
        assert_eq!(tracker.whole(), row(20, 0));
        assert_eq!(tracker.rewind(), Place::start(0, Lsn(10)));
        assert_eq!(tracker.delivered(), row(20, 3));
    }

    #[test]
    fn boundaries_are_bounded_and_only_get_coarser() {
        let mut tracker = started();
        for n in 0..100_000u64 {
            let lsn = 100 + n * 10;
            tracker.hand(row(lsn, 2), place(row(lsn, u32::MAX), lsn + 8));
            assert!(tracker.boundaries.len() <= MAX_BOUNDARIES);
        }
        tracker.deliver(row(100 + 50_000 * 10, 2));
        assert!(tracker.confirmable() <= Lsn(100 + 50_000 * 10 + 8));
        tracker.deliver(row(100 + 99_999 * 10, 2));
        assert_eq!(tracker.confirmable(), Lsn(100 + 99_999 * 10 + 8));
    }
}

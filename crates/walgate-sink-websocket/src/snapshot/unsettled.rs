//! Transactions that were streamed and may not be visible yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use walgate_core::{Lsn, Position, Xid};

use super::Moment;

/// Transactions that are remembered between two snapshots; about 5 MiB.
const MAX_RECENT: usize = 1 << 17;

/// A commit becomes visible within moments when it waits for no synchronous standby: what has run for
/// so long runs, and has not committed.
pub(super) const MOMENTS: Duration = Duration::from_secs(2);

/// Transactions that were streamed and that no snapshot was seen to contain.
///
/// Those that pass while the process runs are remembered one by one. Of what was streamed before, to an earlier process,
/// or has been forgotten because it was too many, one thing is known: whoever of them is not visible yet was running when the
/// first snapshot after that was taken. When all of those have ended, nothing of that time is left. Until
/// then the journal is searched for them once.
///
/// Several snapshots are taken at once, and the later one may be done first: what it contains may be missing in the earlier
/// one. So each takes a number before it sees anything ([`Taking`]), and what one contains is forgotten only when all that are being
/// taken have begun after that was known.
#[derive(Debug, Default)]
pub(crate) struct Unsettled(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Transactions that have passed, by their begin.
    recent: BTreeMap<Position, Recent>,
    /// What commits below this is not remembered.
    unknown: Option<Unknown>,
    /// The number of the next snapshot.
    next: u64,
    /// Those that are being taken.
    taking: BTreeSet<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    xid: Xid,
    /// Snapshots with this number, and later ones, contain it.
    visible_from: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Unknown {
    below: Position,
    /// Those that were running have ids below this, and since when that is known.
    next: Option<(u64, Instant)>,
    /// Of no snapshot with this number, or a later one, anything is unknown.
    over_from: Option<u64>,
}

/// A snapshot that is being taken, from before it sees anything.
#[derive(Debug)]
pub(crate) struct Taking<'a> {
    of: &'a Unsettled,
    number: u64,
    /// The log was searched below this.
    searched: Option<Position>,
}

impl Unknown {
    fn is_over_for(&self, taking: &Taking<'_>) -> bool {
        self.over_from.is_some_and(|from| taking.number >= from)
            || taking.searched.is_some_and(|below| self.below <= below)
    }
}

/// What a snapshot does not contain of what has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settling {
    /// The first that it does not contain begins here, if there is one.
    Known(Option<Position>),
    /// There may be more that commit below this position. Whether they have had time to become visible.
    Unknown(Position, bool),
}

impl Unsettled {
    /// A transaction has passed.
    pub(crate) fn begun(&self, begin: Position, xid: Xid) {
        let mut state = self.state();
        state.remember(begin, xid);
        if state.recent.len() > MAX_RECENT
            && let Some((first, _)) = state.recent.pop_first()
        {
            let below = Position::new(first.epoch(), Lsn(first.lsn().0 + 1), 0);
            state.forget(below);
        }
    }

    /// What commits below this passed before the process began.
    pub(crate) fn start(&self, below: Position) {
        self.state().forget(below);
    }

    /// A snapshot is going to be taken.
    pub(crate) fn take(&self) -> Taking<'_> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.taking.insert(number);
        Taking {
            of: self,
            number,
            searched: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taking<'_> {
    /// Finds out what the snapshot does not contain. What it contains every one does that begins from now on.
    pub(crate) fn settle(&self, moment: &Moment, now: Instant) -> Settling {
        let mut state = self.of.state();
        let next = state.next;
        let mut first = None;
        for (begin, own) in &mut state.recent {
            if moment.contains(own.xid) {
                own.visible_from.get_or_insert(next);
            } else {
                first = first.or(Some(*begin));
            }
        }
        let unknown = state.unknown.as_mut();
        if let Some(unknown) = unknown.filter(|unknown| !unknown.is_over_for(self)) {
            let (running, since) = *unknown.next.get_or_insert((moment.next, now));
            if !moment.contains_all_below(running) {
                let patient = now.duration_since(since) >= MOMENTS;
                return Settling::Unknown(unknown.below, patient);
            }
            unknown.over_from.get_or_insert(next);
        }
        Settling::Known(first)
    }

    /// The log below `below` was searched, and these were not contained: nothing else is missing.
    pub(crate) fn searched(&mut self, below: Position, found: Vec<(Position, Xid)>) {
        self.searched = Some(below);
        let mut state = self.of.state();
        let next = state.next;
        for (begin, xid) in found {
            state.remember(begin, xid);
        }
        if let Some(unknown) = &mut state.unknown
            && unknown.below <= below
        {
            unknown.over_from.get_or_insert(next);
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.taking.remove(&self.number);
        let first = state.taking.first().copied().unwrap_or(state.next);
        let is_needed = |from: Option<u64>| from.is_none_or(|from| first < from);
        state.recent.retain(|_, own| is_needed(own.visible_from));
        state.unknown = state.unknown.filter(|unknown| is_needed(unknown.over_from));
    }
}

impl State {
    fn remember(&mut self, begin: Position, xid: Xid) {
        let own = Recent {
            xid,
            visible_from: None,
        };
        self.recent.insert(begin, own);
    }

    fn forget(&mut self, below: Position) {
        let before = self.unknown.map_or(Position::ZERO, |unknown| unknown.below);
        self.unknown = Some(Unknown {
            below: before.max(below),
            next: None,
            over_from: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64) -> Position {
        Position::new(0, Lsn(lsn), 1)
    }

    fn moment(text: &str) -> Moment {
        Moment::parse(text, 0, Lsn(0x1000), false).expect("a snapshot")
    }

    #[test]
    fn the_first_that_is_not_visible_is_known_until_it_is() {
        let (unsettled, now) = (Unsettled::default(), Instant::now());
        for (lsn, xid) in [(100, 9), (110, 7), (120, 8), (130, 12)] {
            unsettled.begun(at(lsn), xid);
        }
        let first = |text| unsettled.take().settle(&moment(text), now);
        assert_eq!(first("7:12:7,8"), Settling::Known(Some(at(110))));
        assert_eq!(first("8:12:8"), Settling::Known(Some(at(120))));
        assert_eq!(first("12:12:"), Settling::Known(Some(at(130))));
        assert_eq!(first("13:13:"), Settling::Known(None));
    }

    #[test]
    fn what_passed_before_is_unknown_until_all_that_ran_have_ended() {
        let (unsettled, now) = (Unsettled::default(), Instant::now());
        unsettled.start(at(90));
        unsettled.begun(at(100), 9);
        let settle = |text, now| unsettled.take().settle(&moment(text), now);
        assert_eq!(settle("5:10:5,8", now), Settling::Unknown(at(90), false));
        assert_eq!(settle("8:14:8,12", now), Settling::Unknown(at(90), false));
        let later = now + MOMENTS;
        assert_eq!(settle("8:14:8,12", later), Settling::Unknown(at(90), true));
        // 12 began after that.
        assert_eq!(settle("12:14:12", later), Settling::Known(None));
        unsettled.start(at(200));
        assert_eq!(settle("12:14:12", later), Settling::Unknown(at(200), false));
        let mut taking = unsettled.take();
        taking.searched(at(200), vec![(at(150), 12)]);
        let found = taking.settle(&moment("12:14:12"), later);
        assert_eq!(found, Settling::Known(Some(at(150))));
        drop(taking);
        assert_eq!(settle("12:14:12", later), Settling::Known(Some(at(150))));
    }

    #[test]
    fn what_a_later_snapshot_contains_is_not_forgotten_for_an_earlier_one_that_is_slower() {
        let (unsettled, now) = (Unsettled::default(), Instant::now());
        let slow = unsettled.take();
        unsettled.begun(at(100), 9);
        let quick = unsettled.take();
        assert_eq!(quick.settle(&moment("12:12:"), now), Settling::Known(None));
        drop(quick);
        // It was taken before 9 was visible.
        let found = slow.settle(&moment("9:12:9"), now);
        assert_eq!(found, Settling::Known(Some(at(100))));
        drop(slow);
        assert!(unsettled.state().recent.is_empty(), "nobody needs it");

        // The same of what passed before the process began.
        unsettled.start(at(90));
        let mut slow = unsettled.take();
        let quick = unsettled.take();
        assert_eq!(quick.settle(&moment("12:12:"), now), Settling::Known(None));
        drop(quick);
        let found = slow.settle(&moment("9:12:9"), now);
        assert_eq!(found, Settling::Unknown(at(90), false));
        slow.searched(at(90), vec![(at(80), 9)]);
        let found = slow.settle(&moment("9:12:9"), now);
        assert_eq!(found, Settling::Known(Some(at(80))));
        drop(slow);
        assert!(unsettled.state().unknown.is_none(), "nobody needs it");
    }

    #[test]
    fn what_is_too_much_is_unknown_and_not_taken_for_visible() {
        let (unsettled, now) = (Unsettled::default(), Instant::now());
        for number in 0..=MAX_RECENT as u32 {
            unsettled.begun(at(100 + u64::from(number)), 10 + number);
        }
        let found = unsettled.take().settle(&moment("10:12:10"), now);
        let below = Position::new(0, Lsn(101), 0);
        assert_eq!(found, Settling::Unknown(below, false));
    }
}

//! Where a client is in the log: what the next connection begins with, and what it has already.

use std::time::{Duration, Instant};

use walgate_core::{Lsn, Position};

use super::address::Start;
use crate::args::{FollowArgs, Since};

/// Where a client is in the log.
#[derive(Debug)]
pub(super) struct Place {
    begin: Begin,
    started: Instant,
    /// What the next connection resumes behind.
    after: Option<Position>,
    /// What comes up to here was had already.
    had: Option<Position>,
}

#[derive(Debug)]
enum Begin {
    Now,
    Behind(Lsn),
    Ago(Duration),
    Time(String),
    Snapshot,
}

impl Place {
    /// As the arguments say; `kept` is where an earlier run was, and counts more.
    pub(super) fn new(args: &FollowArgs, kept: Option<Position>, now: Instant) -> Self {
        let (begin, given) = match &args.since {
            _ if args.snapshot => (Begin::Snapshot, None),
            None => (Begin::Now, None),
            Some(Since::Position(position)) => (Begin::Now, Some(*position)),
            Some(Since::Lsn(lsn)) => (Begin::Behind(*lsn), None),
            Some(Since::Ago(ago)) => (Begin::Ago(*ago), None),
            Some(Since::Time(time)) => (Begin::Time(time.clone()), None),
        };
        let after = kept.or(given);
        Self {
            begin,
            started: now,
            after,
            had: after,
        }
    }

    /// A connection is made: what it is asked for.
    pub(super) fn connect(&mut self, now: Instant) -> Start {
        self.had = self.after;
        if let Some(after) = self.after {
            return Start::After(after);
        }
        match &self.begin {
            Begin::Now => Start::Now,
            Begin::Behind(lsn) => Start::Behind(*lsn),
            // The server counts back from when it is asked.
            Begin::Ago(ago) => {
                let ago = *ago + now.duration_since(self.started);
                // A little too early leaves nothing out.
                Start::Since(format!("{}s", ago.as_millis().div_ceil(1_000)))
            }
            Begin::Time(time) => Start::Since(time.clone()),
            Begin::Snapshot => Start::Snapshot,
        }
    }

    /// Where it would resume, if it knows.
    pub(super) const fn after(&self) -> Option<Position> {
        self.after
    }

    /// Whether an event has not come before.
    pub(super) fn take(&mut self, id: Option<Position>, is_read: bool) -> bool {
        let Some(id) = id.filter(|_| !is_read) else {
            return true;
        };
        if self.had.is_some_and(|had| id <= had) {
            return false;
        }
        self.had = Some(id);
        self.after = self.after.max(Some(id));
        true
    }

    /// Everything up to there was sent.
    pub(super) fn reached(&mut self, position: Position) {
        self.had = self.had.max(Some(position));
        self.after = self.after.max(Some(position));
    }

    /// All rows of a snapshot were sent, and their changes are behind `position`. What committed before it
    /// and is not in the snapshot still comes, so that nothing counts as had.
    pub(super) fn has_rows(&mut self, position: Option<Position>) {
        self.after = self.after.max(position);
    }

    /// What was missed is given up: it goes on with what comes.
    pub(super) fn give_up(&mut self) {
        self.begin = Begin::Now;
        (self.after, self.had) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u32) -> Position {
        Position::new(0, Lsn(16), index)
    }

    fn place(begin: Begin, after: Option<Position>) -> (Place, Instant) {
        let now = Instant::now();
        let place = Place {
            begin,
            started: now,
            after,
            had: after,
        };
        (place, now)
    }

    #[test]
    fn what_came_before_does_not_come_again() {
        let (mut place, now) = place(Begin::Now, None);
        assert_eq!(place.connect(now), Start::Now);
        assert!(place.take(Some(at(2)), false) && place.take(Some(at(3)), false));
        assert!(!place.take(Some(at(3)), false));
        assert_eq!(place.connect(now), Start::After(at(3)));
        assert!(!place.take(Some(at(2)), false) && place.take(Some(at(4)), false));
        place.reached(at(9));
        assert!(!place.take(Some(at(9)), false));
        assert!(
            place.take(None, false),
            "what has no id can't be told apart"
        );
        assert_eq!(place.connect(now), Start::After(at(9)));
        place.give_up();
        assert_eq!(place.connect(now), Start::Now);
        assert!(place.take(Some(at(1)), false));
    }

    #[test]
    fn an_lsn_is_sent_as_one_until_there_is_an_id() {
        let (mut place, now) = place(Begin::Behind(Lsn(16)), None);
        assert_eq!(place.connect(now), Start::Behind(Lsn(16)));
        let raised = Position::new(3, Lsn(17), 2);
        assert!(place.take(Some(raised), false));
        assert_eq!(place.connect(now), Start::After(raised));
    }

    #[test]
    fn a_time_ago_stays_where_it_was() {
        let (mut place, now) = place(Begin::Ago(Duration::from_secs(60)), None);
        assert_eq!(place.connect(now), Start::Since("60s".to_owned()));
        let later = now + Duration::from_millis(5_900);
        assert_eq!(place.connect(later), Start::Since("66s".to_owned()));
    }

    #[test]
    fn a_row_of_a_snapshot_is_no_place_to_resume_from() {
        let (mut place, now) = place(Begin::Snapshot, None);
        assert_eq!(place.connect(now), Start::Snapshot);
        assert!(place.take(Some(at(5)), true) && place.take(Some(at(5)), true));
        assert_eq!(place.connect(now), Start::Snapshot, "it begins anew");
        assert!(place.take(Some(at(5)), true));
        place.has_rows(Some(at(5)));
        assert!(
            place.take(Some(at(4)), false),
            "the snapshot did not have it"
        );
        assert_eq!(place.connect(now), Start::After(at(5)));
    }
}

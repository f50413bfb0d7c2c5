//! Who was given which part of a transaction: its `begin` comes with the first of its changes that a
//! client gets, and its `commit` says how many there were.
//!
//! A chain may go back to what it has delivered, in the middle of a transaction too. What comes again
//! then must not count twice, so that what is not delivered yet is remembered by its position.

use std::collections::{BTreeMap, VecDeque};

use walgate_core::{Position, Transaction};

use crate::parcel::InterestId;

/// Transactions of which something is not delivered yet; the last one may be open.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    transactions: VecDeque<Bounded>,
    /// What was encoded last.
    last: Position,
}

#[derive(Debug)]
struct Bounded {
    begin: Position,
    transaction: Transaction,
    /// How many of its changes each was given; who has none yet was not given the begin.
    changes: BTreeMap<InterestId, u64>,
    /// Those of them that are not delivered yet, in the order of the log.
    given: VecDeque<(Position, InterestId)>,
    /// Where its end is, once that was met.
    commit: Option<Position>,
}

impl Bounds {
    /// The next change is at `position`; the chain never goes back behind `delivered`, which is asked for
    /// only where something waits for it.
    pub(crate) fn meet(&mut self, position: Position, delivered: impl FnOnce() -> Position) {
        if position <= self.last {
            self.go_back(position);
        }
        self.last = position;
        let waits = |own: &Bounded| own.commit.is_some() || !own.given.is_empty();
        if !self.transactions.front().is_some_and(waits) {
            return;
        }
        let delivered = delivered();
        let is_done = |own: &mut Bounded| own.commit.is_some_and(|commit| commit <= delivered);
        while self.transactions.front_mut().is_some_and(is_done) {
            self.transactions.pop_front();
        }
        if let Some(own) = self.transactions.front_mut() {
            let until = own.given.partition_point(|(at, _)| *at <= delivered);
            own.given.drain(..until);
        }
    }

    /// A transaction begins.
    pub(crate) fn begin(&mut self, begin: Position, transaction: Transaction) {
        // Only the last one may be open.
        self.transactions.retain(|own| own.commit.is_some());
        self.transactions.push_back(Bounded {
            begin,
            transaction,
            changes: BTreeMap::new(),
            given: VecDeque::new(),
            commit: None,
        });
    }

    /// Counts a change of a transaction for those who are given it. Returns who has to be given the
    /// begin before it, with the begin.
    pub(crate) fn count(
        &mut self,
        (position, transaction): (Position, &Transaction),
        ids: impl Iterator<Item = InterestId>,
    ) -> Option<(Vec<InterestId>, Position)> {
        // Of one whose begin lies before where the chain began nobody is told.
        let own = self.open(transaction)?;
        let mut begun = Vec::new();
        for id in ids {
            let changes = own.changes.entry(id).or_insert(0);
            if *changes == 0 {
                begun.push(id);
            }
            *changes += 1;
            own.given.push_back((position, id));
        }
        (!begun.is_empty()).then_some((begun, own.begin))
    }

    /// The change at this position is given to nobody after all.
    pub(crate) fn take_back(&mut self, position: Position) {
        if let Some(own) = self.transactions.back_mut() {
            own.go_back(position);
        }
    }

    /// A transaction ends: who was given how many of its changes.
    pub(crate) fn commit(
        &mut self,
        position: Position,
        transaction: &Transaction,
    ) -> BTreeMap<u64, Vec<InterestId>> {
        let mut by_changes: BTreeMap<u64, Vec<InterestId>> = BTreeMap::new();
        if let Some(own) = self.open(transaction) {
            own.commit = Some(position);
            for (id, changes) in &own.changes {
                by_changes.entry(*changes).or_default().push(*id);
            }
        }
        // Nothing of it has to be known again.
        if by_changes.is_empty() {
            self.transactions.retain(|own| own.commit != Some(position));
        }
        by_changes
    }

    fn open(&mut self, transaction: &Transaction) -> Option<&mut Bounded> {
        let last = self.transactions.back_mut()?;
        let is_it = last.transaction.commit_lsn == transaction.commit_lsn && last.commit.is_none();
        is_it.then_some(last)
    }

    /// What is at `position` and behind it comes again.
    fn go_back(&mut self, position: Position) {
        while self
            .transactions
            .back()
            .is_some_and(|own| own.begin >= position)
        {
            self.transactions.pop_back();
        }
        if let Some(own) = self.transactions.back_mut() {
            own.go_back(position);
            own.commit.take_if(|commit| *commit >= position);
        }
    }
}

impl Bounded {
    fn go_back(&mut self, position: Position) {
        let from = self.given.partition_point(|(at, _)| *at < position);
        for (_, id) in self.given.drain(from..) {
            if let Some(changes) = self.changes.get_mut(&id) {
                *changes -= 1;
                if *changes == 0 {
                    self.changes.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::{Lsn, PgMicros};

    use super::*;

    const TRANSACTION: Transaction = Transaction {
        xid: 7,
        commit_lsn: Lsn(0x70),
        commit_time: PgMicros(0),
    };

    fn at(index: u32) -> Position {
        Position::new(0, TRANSACTION.commit_lsn, index)
    }

    fn give(
        bounds: &mut Bounds,
        index: u32,
        delivered: u32,
        ids: &[InterestId],
    ) -> Vec<InterestId> {
        bounds.meet(at(index), || at(delivered));
        let begun = bounds.count((at(index), &TRANSACTION), ids.iter().copied());
        begun.map(|(begun, _)| begun).unwrap_or_default()
    }

    #[test]
    fn what_comes_again_counts_once() {
        let mut bounds = Bounds::default();
        bounds.meet(at(1), || Position::ZERO);
        bounds.begin(at(1), TRANSACTION);
        assert_eq!(give(&mut bounds, 2, 0, &[1, 2]), [1, 2]);
        assert_eq!(give(&mut bounds, 3, 0, &[1, 3]), [3]);
        bounds.meet(at(9), || at(2));
        assert_eq!(bounds.commit(at(9), &TRANSACTION).len(), 2);
        // From behind the second on, and the third is for others now.
        assert_eq!(give(&mut bounds, 3, 2, &[1, 4]), [4]);
        assert!(give(&mut bounds, 4, 2, &[4]).is_empty());
        bounds.meet(at(9), || at(4));
        let expected = BTreeMap::from([(1, vec![2]), (2, vec![1, 4])]);
        assert_eq!(bounds.commit(at(9), &TRANSACTION), expected);
    }

    #[test]
    fn what_is_not_given_after_all_is_not_counted() {
        let mut bounds = Bounds::default();
        bounds.begin(at(1), TRANSACTION);
        assert_eq!(give(&mut bounds, 2, 0, &[1]), [1]);
        bounds.take_back(at(2));
        assert_eq!(
            give(&mut bounds, 3, 0, &[1]),
            [1],
            "its begin was taken back too"
        );
        assert_eq!(
            bounds.commit(at(9), &TRANSACTION),
            BTreeMap::from([(1, vec![1])])
        );
        bounds.meet(at(10), || at(9));
        assert!(bounds.transactions.is_empty());
    }
}

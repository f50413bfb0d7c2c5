//! The definitions that a chain has met, as its selection sees them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{Failure, Oid, Position, Relation};

use crate::Selection;
use crate::selection::Selected;

/// Definitions that are kept. A source with more tables than that, or one that creates and drops
/// them all day, makes the chain forget all and meet them again; nothing else happens.
const MAX_KNOWN: usize = 1 << 16;

/// A definition.
#[derive(Debug)]
pub(crate) struct Known {
    relation: Arc<Relation>,
    /// What the chain is given of it.
    pub(crate) selected: Option<Selected>,
    /// The row before which the output was told of this definition.
    pub(crate) told: Option<Position>,
    /// When that was.
    pub(crate) told_at: Option<Instant>,
}

impl Known {
    /// Whether the output is to be told of the definition before the row at `position`.
    pub(crate) fn is_to_be_told(
        &self,
        position: Position,
        now: Option<Instant>,
        again: Option<Duration>,
    ) -> bool {
        let Some(told) = self.told else {
            return true;
        };
        // It is asked again for the row that it was just told before.
        let (Some(now), Some(at), Some(again)) = (now, self.told_at, again) else {
            return false;
        };
        told < position && now.saturating_duration_since(at) >= again
    }
}

/// All definitions that a chain has met, and those of the run that it reads.
#[derive(Debug, Default)]
pub(crate) struct KnownTables {
    known: Vec<Known>,
    /// Places in `known` of the definitions of a relation, oldest first.
    by_oid: HashMap<Oid, Vec<usize>>,
    /// Places in `known` of the run's relations.
    run: Vec<usize>,
    /// Ids are never given twice, also not after everything was forgotten.
    next_id: u32,
}

impl KnownTables {
    /// Looks up the definitions of a run.
    pub(crate) fn start_run(
        &mut self,
        relations: &[Arc<Relation>],
        selection: &Selection,
    ) -> Result<(), Failure> {
        if self.known.len() + relations.len() > MAX_KNOWN {
            self.known.clear();
            self.by_oid.clear();
        }
        self.run.clear();
        for relation in relations {
            let place = match self.place_of(relation) {
                Some(place) => place,
                None => self.meet(relation, selection)?,
            };
            self.run.push(place);
        }
        Ok(())
    }

    /// The definition at a place of the run's relations.
    #[inline]
    pub(crate) fn get(&self, place: u16) -> Option<&Known> {
        self.known.get(*self.run.get(usize::from(place))?)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: u16) -> Option<&mut Known> {
        self.known.get_mut(*self.run.get(usize::from(place))?)
    }

    /// Forgets that the output was told of definitions whose first row lies behind `position`.
    pub(crate) fn untell(&mut self, position: Position) {
        for known in &mut self.known {
            known.told = known.told.filter(|told| *told <= position);
        }
    }

    fn place_of(&self, relation: &Arc<Relation>) -> Option<usize> {
        let places = self.by_oid.get(&relation.oid)?;
        let same = |place: &&usize| {
            self.known
                .get(**place)
                .is_some_and(|known| Arc::ptr_eq(&known.relation, relation))
        };
        let equal = |place: &&usize| {
            self.known
                .get(**place)
                .is_some_and(|known| known.relation == *relation)
        };
        // From the end: rows are mostly of the newest definition.
        let found = places.iter().rev().find(same);
        found.or_else(|| places.iter().rev().find(equal)).copied()
    }

    fn meet(&mut self, relation: &Arc<Relation>, selection: &Selection) -> Result<usize, Failure> {
        let selected = selection.select(relation, self.next_id)?;
        self.next_id += 1;
        self.known.push(Known {
            relation: Arc::clone(relation),
            selected,
            told: None,
            told_at: None,
        });
        let place = self.known.len() - 1;
        self.by_oid.entry(relation.oid).or_default().push(place);
        Ok(place)
    }
}

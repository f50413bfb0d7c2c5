//! Definitions and their numbers: given out by the writer, resolved by the reader.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use walgate_core::{Oid, Relation};

use super::error::EncodeError;

/// Definitions of one relation that are remembered: a relation that is announced in turns (two
/// connections, a rename forth and back) keeps its numbers.
const REMEMBERED_OF_ONE: usize = 8;

/// Definitions that are remembered in all, so that a source which creates tables all day long
/// does not fill the memory. What is forgotten gets a new number when it comes again.
const REMEMBERED: usize = 1 << 16;

/// The numbers of definitions for the writer: journal-wide, in the order of arrival, never used
/// twice.
///
/// The same `Arc` has the same number, and so has an equal relation that arrived in another `Arc`.
#[derive(Debug, Default)]
pub struct Definitions {
    next: u32,
    known: HashMap<Oid, Vec<(u32, Arc<Relation>)>>,
    remembered: usize,
}

impl Definitions {
    /// Gives out numbers from `next` on: one above all that the journal has, see
    /// [`SegmentIndex::next_definition`](super::SegmentIndex::next_definition).
    pub fn starting_at(next: u32) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// The number that the next new definition gets.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// The number of a definition; a new one if it has none yet.
    ///
    /// # Errors
    /// When all numbers are used up.
    pub fn number(&mut self, relation: &Arc<Relation>) -> Result<u32, EncodeError> {
        if let Some(known) = self.known.get_mut(&relation.oid) {
            if let Some((number, _)) = known.iter().find(|(_, arc)| Arc::ptr_eq(arc, relation)) {
                return Ok(*number);
            }
            if let Some((number, arc)) = known.iter_mut().find(|(_, arc)| arc == relation) {
                // The one that came last is the one that comes next.
                *arc = Arc::clone(relation);
                return Ok(*number);
            }
        }
        let number = self.next;
        // The last number is never given out: `next` always has a value.
        self.next = number
            .checked_add(1)
            .ok_or(EncodeError::UsedUp("definition"))?;
        self.remember(number, relation);
        Ok(number)
    }

    fn remember(&mut self, number: u32, relation: &Arc<Relation>) {
        if self.remembered >= REMEMBERED {
            self.known.clear();
            self.remembered = 0;
        }
        let known = self.known.entry(relation.oid).or_default();
        if known.len() >= REMEMBERED_OF_ONE {
            known.remove(0);
        } else {
            self.remembered += 1;
        }
        known.push((number, Arc::clone(relation)));
    }
}

/// The definitions that a reader has met, by number. An unchanged definition is one `Arc` for as
/// long as the cache lives, in whatever segment it is met.
///
/// What counts is what the segment at hand says: a number whose definition was damaged can have
/// been given again, so that what another segment has under it may be another table.
#[derive(Debug, Default)]
pub struct DefinitionCache(HashMap<u32, Defined>);

#[derive(Debug)]
struct Defined {
    /// The last segment that said so.
    segment: u64,
    relation: Arc<Relation>,
}

impl DefinitionCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The definition of a number in a segment, if it was met there.
    pub fn get(&self, segment: u64, number: u32) -> Option<&Arc<Relation>> {
        let defined = self.0.get(&number)?;
        (defined.segment == segment).then_some(&defined.relation)
    }

    /// How many definitions were met.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was met.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a definition that was read in a segment. `None` when the number has another
    /// definition there already.
    pub(super) fn define(
        &mut self,
        segment: u64,
        number: u32,
        relation: Relation,
    ) -> Option<Arc<Relation>> {
        let defined = match self.0.entry(number) {
            Entry::Vacant(place) => place.insert(Defined {
                segment,
                relation: Arc::new(relation),
            }),
            Entry::Occupied(known) => {
                let known = known.into_mut();
                if *known.relation != relation {
                    if known.segment == segment {
                        return None;
                    }
                    known.relation = Arc::new(relation);
                }
                known.segment = segment;
                known
            }
        };
        Some(Arc::clone(&defined.relation))
    }
}

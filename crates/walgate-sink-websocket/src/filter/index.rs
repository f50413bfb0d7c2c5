//! The few of many filters that a change can concern.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use walgate_core::{Body, OldTuple, Tuple, Value};

use super::bound::{Bound, Cell, Condition, Node, new_cell, old_cell};
use super::column_kind::ColumnKind;
use super::constant::Constant;

/// The most values under which one filter is found. A filter with more of them is asked for every
/// change, which costs it one search in its own list.
pub(super) const MAX_KEYS: usize = 64;

/// Many filters on one definition of a table, and for a change those that it can concern.
///
/// A filter that needs a column to have one of a few values is found by the value that a row has
/// there; all others are asked for every change. What is found has still to be judged. Filters
/// come and go while it lives.
///
/// Values are found by their hashes, under a key of this index: whoever chooses values can't choose
/// their hashes, and two values of one hash cost an evaluation and nothing else.
#[derive(Debug)]
pub struct Index<Id> {
    entries: HashMap<Id, Entry>,
    /// By place.
    columns: Vec<Option<KeyColumn<Id>>>,
    /// The filters without a key.
    rest: Vec<Id>,
    hasher: RandomState,
}

/// How a filter is found.
#[derive(Debug)]
enum Entry {
    Rest,
    Keyed {
        place: u16,
        /// In order, each once.
        hashes: Box<[u64]>,
    },
}

/// A column by whose values filters are found.
#[derive(Debug)]
struct KeyColumn<Id> {
    kind: ColumnKind,
    in_key: bool,
    filters: HashMap<u64, Ids<Id>, BuildHasherDefault<Hashed>>,
}

/// A need of a filter: its column is equal to one of these values.
pub(super) struct Need<'a> {
    pub(super) place: u16,
    kind: ColumnKind,
    in_key: bool,
    pub(super) values: Vec<&'a Constant>,
}

impl<Id: Copy + Eq + Hash> Index<Id> {
    /// Without filters.
    #[expect(
        clippy::new_without_default,
        reason = "each one has a random key of its own"
    )]
    pub fn new() -> Self {
        Self {
            entries: HashMap::new(),
            columns: Vec::new(),
            rest: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of them are asked for every change.
    pub fn unkeyed(&self) -> usize {
        self.rest.len()
    }

    /// Adds a filter, in place of one of the same id. All are bound to the same definition.
    pub fn insert(&mut self, id: Id, filter: &Bound) {
        self.remove(&id);
        let needs = needs(filter.node());
        let hashed = needs.into_iter().map(|need| {
            let hash = |value: &&Constant| self.hasher.hash_one(value.scalar());
            let mut hashes: Vec<u64> = need.values.iter().map(hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            (need, hashes)
        });
        // Found by what fewest others are found by: a level is shared by all, an experiment is not.
        let rarest = hashed.min_by_key(|(need, hashes)| self.found_by(need.place, hashes));
        let Some((need, hashes)) = rarest else {
            self.rest.push(id);
            self.entries.insert(id, Entry::Rest);
            return;
        };
        let place = usize::from(need.place);
        if self.columns.len() <= place {
            self.columns.resize_with(place + 1, || None);
        }
        if let Some(column) = self.columns.get_mut(place) {
            let column = column.get_or_insert_with(|| KeyColumn {
                kind: need.kind,
                in_key: need.in_key,
                filters: HashMap::default(),
            });
            for hash in &hashes {
                let filters = column.filters.entry(*hash);
                filters
                    .and_modify(|ids| ids.push(id))
                    .or_insert(Ids::One(id));
            }
        }
        let entry = Entry::Keyed {
            place: need.place,
            hashes: hashes.into_boxed_slice(),
        };
        self.entries.insert(id, entry);
    }

    /// Takes a filter out; whether there was one.
    pub fn remove(&mut self, id: &Id) -> bool {
        match self.entries.remove(id) {
            None => return false,
            Some(Entry::Rest) => forget(&mut self.rest, id),
            Some(Entry::Keyed { place, hashes }) => {
                let Some(slot) = self.columns.get_mut(usize::from(place)) else {
                    return true;
                };
                let Some(column) = slot else { return true };
                for hash in &hashes {
                    let has_gone = |ids: &mut Ids<Id>| ids.forget(id);
                    if column.filters.get_mut(hash).is_some_and(has_gone) {
                        column.filters.remove(hash);
                    }
                }
                if column.filters.is_empty() {
                    *slot = None;
                }
            }
        }
        true
    }

    /// Visits every filter that a change can concern, each once: all those for which
    /// [`Bound::judge`] says something else than nothing, and few others.
    pub fn candidates(&self, body: &Body<'_>, mut visit: impl FnMut(Id)) {
        match body {
            Body::Insert { new, .. } | Body::Read { new, .. } => {
                self.find(Some(new), None, &mut visit);
            }
            Body::Update { old, new, .. } => self.find(Some(new), old.as_ref(), &mut visit),
            Body::Delete { old, .. } => self.find(None, Some(old), &mut visit),
            Body::Leave { .. } | Body::Truncate { .. } | Body::Schema { .. } | Body::Gap(_) => {
                self.entries.keys().copied().for_each(visit);
            }
            Body::Message { .. } | Body::Begin | Body::Commit { .. } => {}
        }
    }

    fn find(
        &self,
        new: Option<&Tuple<'_>>,
        old: Option<&OldTuple<'_>>,
        visit: &mut impl FnMut(Id),
    ) {
        self.rest.iter().copied().for_each(&mut *visit);
        let mut new_values = new.map(Tuple::iter);
        let mut old_values = old.map(|old| old.tuple().iter());
        for column in &self.columns {
            // One way through both rows, whichever columns are wanted.
            let new = new_values.as_mut().and_then(Iterator::next);
            let old = old
                .copied()
                .zip(old_values.as_mut().and_then(Iterator::next));
            if let Some(column) = column {
                self.find_by(column, new, old, visit);
            }
        }
    }

    fn find_by<'v>(
        &self,
        column: &KeyColumn<Id>,
        new: Option<Value<'v>>,
        old: Option<(OldTuple<'v>, Value<'v>)>,
        visit: &mut impl FnMut(Id),
    ) {
        let new_cell = new_cell(new, || old.map(|(old, value)| (value, old)), column.in_key);
        let new_hash = self.hash(column.kind, new_cell);
        if let Some(hash) = new_hash {
            column.with(hash).iter().copied().for_each(&mut *visit);
        }
        let old_cell = old.map(|(old, value)| old_cell(&old, Some(value), column.in_key));
        let old_hash = old_cell.and_then(|cell| self.hash(column.kind, cell));
        if let Some(hash) = old_hash
            && old_hash != new_hash
        {
            for id in column.with(hash) {
                let is_visited = new_hash.is_some_and(|new_hash| self.is_found_by(id, new_hash));
                if !is_visited {
                    visit(*id);
                }
            }
        }
    }

    /// The hash of a value; what is null or not known is equal to nothing.
    fn hash(&self, kind: ColumnKind, cell: Cell<'_>) -> Option<u64> {
        let Cell::Text(text) = cell else { return None };
        Some(self.hasher.hash_one(kind.read(text)?))
    }

    fn is_found_by(&self, id: &Id, hash: u64) -> bool {
        match self.entries.get(id) {
            Some(Entry::Keyed { hashes, .. }) => hashes.binary_search(&hash).is_ok(),
            Some(Entry::Rest) | None => false,
        }
    }

    /// How many filters are found by these already.
    fn found_by(&self, place: u16, hashes: &[u64]) -> usize {
        match self.columns.get(usize::from(place)) {
            Some(Some(column)) => hashes.iter().map(|hash| column.with(*hash).len()).sum(),
            _ => 0,
        }
    }
}

impl<Id> KeyColumn<Id> {
    fn with(&self, hash: u64) -> &[Id] {
        self.filters.get(&hash).map_or(&[], Ids::as_slice)
    }
}

/// Filters that want the same value.
#[derive(Debug)]
enum Ids<Id> {
    /// Without a pointer to it: among many filters each is mostly the only one, and far from what
    /// the processor has seen last.
    One(Id),
    /// Boxed, so that all the others are small.
    #[expect(
        clippy::box_collection,
        reason = "half the size of a Vec, where one is rare"
    )]
    Many(Box<Vec<Id>>),
}

impl<Id: Copy + Eq> Ids<Id> {
    fn push(&mut self, id: Id) {
        match self {
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, id])),
            Self::Many(ids) => ids.push(id),
        }
    }

    /// Takes one out; whether none is left.
    fn forget(&mut self, id: &Id) -> bool {
        match self {
            Self::One(only) => only == id,
            Self::Many(ids) => {
                forget(ids, id);
                ids.is_empty()
            }
        }
    }
}

impl<Id> Ids<Id> {
    fn as_slice(&self) -> &[Id] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(ids) => ids,
        }
    }
}

/// A hash that is taken as it is: it was made under the index's own key.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn forget<Id: Eq>(ids: &mut Vec<Id>, id: &Id) {
    if let Some(at) = ids.iter().position(|known| known == id) {
        ids.swap_remove(at);
    }
}

/// What each of which must be true for a row to match; only where few values are wanted.
pub(super) fn needs(node: &Node) -> Vec<Need<'_>> {
    match node {
        Node::Test(test) => match &test.condition {
            Condition::In(values) | Condition::Same(values)
                if values.as_slice().len() <= MAX_KEYS =>
            {
                vec![Need {
                    place: test.place,
                    kind: test.kind,
                    in_key: test.in_key,
                    values: values.as_slice().iter().collect(),
                }]
            }
            _ => Vec::new(),
        },
        Node::And(parts) => parts.iter().flat_map(needs).collect(),
        Node::Or(parts) => needs_of_any(parts),
        Node::Not(_) => Vec::new(),
    }
}

/// The needs of an `or`: the columns that each part needs, with the values of all parts.
fn needs_of_any(parts: &[Node]) -> Vec<Need<'_>> {
    let mut parts = parts.iter().map(needs);
    let mut common = parts.next().unwrap_or_default();
    for part in parts {
        common.retain_mut(
            |need| match part.iter().find(|other| other.place == need.place) {
                Some(other) => {
                    need.values.extend(&other.values);
                    need.values.len() <= MAX_KEYS
                }
                None => false,
            },
        );
    }
    common
}

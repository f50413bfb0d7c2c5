//! The definitions of relations as of the committed transactions.

use std::collections::HashMap;
use std::sync::Arc;

use walgate_core::{Column, Oid, Relation};

/// What the definitions may take of memory, in bytes: those of fifty thousand tables with twenty
/// columns. The stream does not tell which tables were dropped, and the server repeats no
/// definition that it believes to be known, so nothing may be forgotten while the connection
/// lasts; beyond this a new connection begins with nothing.
const MAX_BYTES: usize = 128 << 20;

/// The definitions of relations as of the committed transactions, and the number that each
/// announcement on this connection has.
#[derive(Debug)]
pub(crate) struct KnownRelations {
    entries: HashMap<Oid, Entry>,
    /// What the entries take, estimated.
    bytes: usize,
    max_bytes: usize,
    announcements: u64,
}

#[derive(Debug)]
struct Entry {
    relation: Arc<Relation>,
    /// The number of its announcement; 0 for one of the connection before.
    announced: u64,
}

impl Default for KnownRelations {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            bytes: 0,
            max_bytes: MAX_BYTES,
            announcements: 0,
        }
    }
}

impl KnownRelations {
    /// The number of the next announcement, here or in a streamed transaction.
    pub(crate) const fn announce(&mut self) -> u64 {
        self.announcements += 1;
        self.announcements
    }

    /// The definition that counts now.
    #[inline]
    pub(crate) fn get(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.entries.get(&oid).map(|entry| &entry.relation)
    }

    /// The definition that is known already, if it says the same.
    pub(crate) fn same_or_new(&self, relation: Relation) -> Arc<Relation> {
        match self.get(relation.oid) {
            Some(known) if **known == relation => Arc::clone(known),
            _ => Arc::new(relation),
        }
    }

    /// A definition counts from its announcement on, unless a newer one was announced since.
    pub(crate) fn insert(&mut self, relation: Arc<Relation>, announced: u64) {
        let oid = relation.oid;
        let before = self.entries.get(&oid);
        if before.is_some_and(|before| before.announced > announced) {
            return;
        }
        if let Some(before) = before {
            self.bytes -= size_of_definition(&before.relation);
        }
        self.bytes += size_of_definition(&relation);
        let entry = Entry {
            relation,
            announced,
        };
        self.entries.insert(oid, entry);
    }

    /// Whether there are more than may be kept. What only the connection before has announced is
    /// forgotten first: nothing can refer to it.
    pub(crate) fn too_many(&mut self) -> bool {
        if self.bytes > self.max_bytes {
            let Self { entries, bytes, .. } = self;
            entries.retain(|_, entry| {
                let stays = entry.announced > 0;
                if !stays {
                    *bytes -= size_of_definition(&entry.relation);
                }
                stays
            });
        }
        self.bytes > self.max_bytes
    }

    /// The same for the next connection, which announces everything anew: a definition that comes
    /// again unchanged stays the same `Arc`. Nothing, when there were too many.
    pub(crate) fn for_the_next(&mut self) -> Self {
        if self.too_many() {
            return Self::default();
        }
        let mut next = std::mem::take(self);
        next.announcements = 0;
        for entry in next.entries.values_mut() {
            entry.announced = 0;
        }
        next
    }

    /// With another bound.
    #[cfg(test)]
    pub(crate) const fn bounded_by(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

/// The memory of a definition, estimated: bytes.
pub(crate) fn size_of_definition(relation: &Relation) -> usize {
    let column = |column: &Column| size_of::<Column>() + column.name.len() + column.type_name.len();
    let columns: usize = relation.columns.iter().map(column).sum();
    size_of::<Relation>() + relation.schema.len() + relation.name.len() + columns
}

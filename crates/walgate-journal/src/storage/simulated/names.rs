//! The folder's entries: which names there are, and which are durable.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::FileId;

#[derive(Debug)]
enum Change {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    /// What leads from `durable` to `now`.
    changes: Vec<Change>,
}

fn apply(names: &mut BTreeMap<String, FileId>, change: &Change) -> bool {
    match change {
        Change::Create(name, id) => {
            names.insert(name.clone(), *id);
            true
        }
        Change::Rename(from, to) => match names.remove(from) {
            Some(id) => {
                names.insert(to.clone(), id);
                true
            }
            None => false,
        },
        Change::Remove(name) => names.remove(name).is_some(),
    }
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<FileId> {
        self.now.get(name).copied()
    }

    pub(super) fn has(&self, id: FileId) -> bool {
        self.now.values().any(|named| *named == id)
    }

    /// Whether a file has a name, or has one again after a crash.
    pub(super) fn may_come_back(&self, id: FileId) -> bool {
        let created = |change: &Change| matches!(change, Change::Create(_, of) if *of == id);
        self.has(id)
            || self.durable.values().any(|named| *named == id)
            || self.changes.iter().any(created)
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.now.keys().cloned().collect()
    }

    /// Files with a name, each once.
    pub(super) fn all(&self) -> impl Iterator<Item = FileId> {
        let ids: BTreeSet<_> = self.now.values().copied().collect();
        ids.into_iter()
    }

    pub(super) fn create(&mut self, name: &str, id: FileId) {
        self.change(Change::Create(name.to_owned(), id));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        self.now.contains_key(from) && self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.now.contains_key(name) && self.change(Change::Remove(name.to_owned()))
    }

    fn change(&mut self, change: Change) -> bool {
        let changed = apply(&mut self.now, &change);
        self.changes.push(change);
        changed
    }

    pub(super) fn lose(&mut self, name: &str) -> bool {
        let there = self.now.contains_key(name);
        self.sync();
        self.now.remove(name);
        self.durable.remove(name);
        there
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            apply(&mut self.durable, &change);
        }
    }

    pub(super) fn crash(&mut self, random: &mut Rng) {
        let fate = random.u8(0..4);
        for change in std::mem::take(&mut self.changes) {
            let happens = match fate {
                0 => false,
                1 => true,
                _ => random.bool(),
            };
            if happens {
                apply(&mut self.durable, &change);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

//! What is kept of one transaction that is sent while it runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use walgate_core::{Oid, Relation, Xid};

use crate::definition::Definition;
use crate::sequencer::known::size_of_definition;

/// What is kept of one top-level transaction that is sent while it runs: enough to tell what a
/// rolled back sub-transaction takes with it, and its own definitions.
///
/// Sub-transactions nest, and the stream is in the order of the log: from the first frame of one
/// on everything is its own or its children's, until it ends. So a roll-back cuts the transaction
/// there. What the stream does not say is who wrote a logical message: it bears the top-level id.
/// One that lies directly in front of a sub-transaction's first frame may be the sub-transaction's
/// own, and so may the last frame of all when a sub-transaction without a frame is rolled back. No
/// other can: a frame in between is one of a child, which is rolled back first and cuts there.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) xid: Xid,
    /// Frames that are left.
    pub(crate) frames: u64,
    /// Bytes of their messages.
    pub(crate) bytes: u64,
    /// Something of it has been handed on.
    pub(crate) handed: bool,
    /// The last frame that is left is a logical message.
    ends_with_message: bool,
    /// In the order of their first frames.
    subs: Vec<Sub>,
    places: HashMap<Xid, usize>,
    /// Who wrote the last frame.
    last_writer: Xid,
    definitions: Vec<Numbered>,
    definition_bytes: usize,
    relations: HashMap<Oid, Versions>,
    last_relation: Option<(Oid, u32)>,
}

/// A sub-transaction, as it was when its first frame, or the definition in front of it, came.
#[derive(Debug, Clone, Copy)]
struct Sub {
    xid: Xid,
    frames: u64,
    bytes: u64,
    behind_message: bool,
}

/// A definition by its number.
#[derive(Debug)]
struct Numbered {
    form: Form,
    /// A frame of this number or an earlier one uses it; `u64::MAX` when none does.
    used: u64,
}

#[derive(Debug)]
enum Form {
    /// It came in this transaction.
    Own(Box<Definition>),
    /// It was known before.
    Known(Arc<Relation>),
}

/// The definitions of one relation.
#[derive(Debug, Default)]
struct Versions {
    current: Option<Current>,
    numbers: Vec<u32>,
}

/// The definition that the next row has.
#[derive(Debug, Clone, Copy)]
struct Current {
    number: u32,
    /// The number of its announcement on the connection.
    announced: u64,
}

/// The stream does not tell what was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WhoseMessage;

/// A definition of a transaction that has committed.
pub(crate) enum Committed {
    /// The catalog has to be asked about it.
    Ask(Box<Definition>),
    /// Nothing is missing, or nobody needs it.
    Whole(Box<Relation>),
    /// It was known before the transaction.
    Known(Arc<Relation>),
}

impl Stream {
    pub(crate) fn new(xid: Xid) -> Self {
        Self {
            xid,
            frames: 0,
            bytes: 0,
            handed: false,
            ends_with_message: false,
            subs: Vec::new(),
            places: HashMap::new(),
            last_writer: xid,
            definitions: Vec::new(),
            definition_bytes: 0,
            relations: HashMap::new(),
            last_relation: None,
        }
    }

    /// How many things of a few bytes are kept of it.
    #[inline]
    pub(crate) const fn parts(&self) -> usize {
        self.subs.len() + self.definitions.len()
    }

    /// The memory of its definitions, estimated: bytes.
    #[inline]
    pub(crate) const fn definition_bytes(&self) -> usize {
        self.definition_bytes
    }

    /// Its tables, by name.
    pub(crate) fn tables(&self) -> Vec<String> {
        let name = |numbered: &Numbered| {
            let relation = match &numbered.form {
                Form::Own(definition) => definition.relation(),
                Form::Known(relation) => relation,
            };
            format!("{}.{}", relation.schema, relation.name)
        };
        let names: BTreeSet<String> = self.definitions.iter().map(name).collect();
        names.into_iter().collect()
    }

    /// A message with the prefix `writer` has come: a sub-transaction is noted when its first
    /// does. It must be called before anything is done with that message.
    #[inline]
    pub(crate) fn written_by(&mut self, writer: Xid) {
        if writer != self.last_writer {
            self.other_writer(writer);
        }
    }

    #[inline(never)]
    fn other_writer(&mut self, writer: Xid) {
        self.last_writer = writer;
        if writer == self.xid || self.places.contains_key(&writer) {
            return;
        }
        self.places.insert(writer, self.subs.len());
        self.subs.push(Sub {
            xid: writer,
            frames: self.frames,
            bytes: self.bytes,
            behind_message: self.ends_with_message,
        });
    }

    /// A frame of `len` bytes is added.
    #[inline]
    pub(crate) const fn add(&mut self, len: usize, is_message: bool) {
        self.frames += 1;
        self.bytes += len as u64;
        self.ends_with_message = is_message;
    }

    /// The number of the definition that the next frame, a row of `oid`, has. `known` is where a
    /// relation that this transaction has not announced is looked up.
    #[inline]
    pub(crate) fn number_of<'a>(
        &mut self,
        oid: Oid,
        known: impl FnOnce() -> Option<&'a Arc<Relation>>,
    ) -> Option<u32> {
        if let Some((last, number)) = self.last_relation
            && last == oid
        {
            return Some(number);
        }
        let current = self
            .relations
            .get(&oid)
            .and_then(|versions| versions.current);
        let number = match current {
            Some(current) => current.number,
            None => self.adopt(oid, known()?)?,
        };
        let numbered = self.definitions.get_mut(number as usize)?;
        numbered.used = numbered.used.min(self.frames);
        self.last_relation = Some((oid, number));
        Some(number)
    }

    fn adopt(&mut self, oid: Oid, known: &Arc<Relation>) -> Option<u32> {
        let number = u32::try_from(self.definitions.len()).ok()?;
        self.definitions.push(Numbered {
            form: Form::Known(Arc::clone(known)),
            used: u64::MAX,
        });
        // Announcement 0: at the commit nothing is newer than what is known already.
        let announced = 0;
        self.relations.entry(oid).or_default().current = Some(Current { number, announced });
        Some(number)
    }

    /// A definition has come.
    pub(crate) fn announce(&mut self, definition: Definition, announced: u64) {
        let oid = definition.relation().oid;
        self.last_relation = None;
        let versions = self.relations.entry(oid).or_default();
        let definitions = &self.definitions;
        let same = versions.numbers.iter().copied().find(|number| {
            let known = definitions.get(*number as usize);
            known.is_some_and(|known| matches!(&known.form, Form::Own(own) if **own == definition))
        });
        let number = same.unwrap_or_else(|| {
            let number = u32::try_from(self.definitions.len()).unwrap_or(u32::MAX);
            versions.numbers.push(number);
            self.definition_bytes += size_of_definition(definition.relation());
            self.definitions.push(Numbered {
                form: Form::Own(Box::new(definition)),
                used: u64::MAX,
            });
            number
        });
        versions.current = Some(Current { number, announced });
    }

    /// A sub-transaction was rolled back. Returns how many frames stay, or none when it takes
    /// nothing with it. Its definitions need not be taken back: behind a roll-back the server
    /// announces anew whatever comes (`pgoutput_stream_abort`).
    pub(crate) fn abort_sub(&mut self, sub: Xid) -> Result<Option<u64>, WhoseMessage> {
        let Some(place) = self.places.get(&sub).copied() else {
            return if self.ends_with_message {
                Err(WhoseMessage)
            } else {
                Ok(None)
            };
        };
        let Some(cut) = self.subs.get(place).copied() else {
            return Ok(None);
        };
        if cut.behind_message {
            return Err(WhoseMessage);
        }
        for gone in self.subs.drain(place..) {
            self.places.remove(&gone.xid);
        }
        self.last_relation = None;
        self.last_writer = self.xid;
        let anything = self.frames > cut.frames;
        if anything {
            // Otherwise the message in front would make it one that nobody can tell.
            self.ends_with_message = false;
        }
        self.frames = cut.frames;
        self.bytes = cut.bytes;
        Ok(anything.then_some(cut.frames))
    }

    /// The definition with this number at the commit; none behind the last.
    pub(crate) fn committed(&self, number: usize) -> Option<Committed> {
        let numbered = self.definitions.get(number)?;
        Some(match &numbered.form {
            Form::Known(relation) => Committed::Known(Arc::clone(relation)),
            Form::Own(definition) => {
                let oid = definition.relation().oid;
                let current = self
                    .relations
                    .get(&oid)
                    .and_then(|versions| versions.current);
                let is_current = current.is_some_and(|current| current.number as usize == number);
                let wanted = numbered.used < self.frames || is_current;
                if wanted && definition.needs_facts() {
                    Committed::Ask(definition.clone())
                } else {
                    Committed::Whole(Box::new(definition.clone().without_facts()))
                }
            }
        })
    }

    /// The definitions that count at its end: number, and number of the announcement.
    pub(crate) fn current(&self) -> impl Iterator<Item = (usize, u64)> {
        let current = |versions: &Versions| versions.current;
        self.relations
            .values()
            .filter_map(current)
            .filter(|current| current.announced > 0)
            .map(|current| (current.number as usize, current.announced))
    }
}

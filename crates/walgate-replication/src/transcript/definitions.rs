//! The forms of a relation's columns, as of the row that comes next.

use std::collections::HashMap;
use std::sync::Arc;

use walgate_binary::{Form, TypeCatalog};
use walgate_core::{Oid, Xid};
use walgate_pgoutput::{Message, RelationBody};

use crate::transcript::Untold;

/// The forms of the relations' columns. A streamed transaction has definitions of its own until it
/// commits: meanwhile others go on with theirs, which the server does not repeat.
#[derive(Default)]
pub(super) struct Definitions {
    committed: HashMap<Oid, Entry>,
    streams: HashMap<Xid, HashMap<Oid, Entry>>,
    /// The transaction of the open stream block.
    block: Option<Xid>,
    announcements: u64,
    last: Option<(Oid, Arc<[Form]>)>,
}

#[derive(Clone)]
struct Entry {
    forms: Arc<[Form]>,
    /// The number of its announcement: the newest counts.
    announced: u64,
}

impl Definitions {
    /// Whether a stream block is open.
    pub(super) const fn in_stream(&self) -> bool {
        self.block.is_some()
    }

    /// The forms of a row that comes now.
    #[inline]
    pub(super) fn forms(&mut self, oid: Oid) -> Option<Arc<[Form]>> {
        if let Some((last, forms)) = &self.last
            && *last == oid
        {
            return Some(Arc::clone(forms));
        }
        let own = self.block.and_then(|xid| self.streams.get(&xid)?.get(&oid));
        let entry = own.or_else(|| self.committed.get(&oid))?;
        self.last = Some((oid, Arc::clone(&entry.forms)));
        Some(Arc::clone(&entry.forms))
    }

    /// What a message that is not a row says of rows.
    pub(super) fn learn(
        &mut self,
        message: &Message<'_>,
        types: &TypeCatalog,
    ) -> Result<(), Untold> {
        self.last = None;
        match *message {
            Message::Relation(body) => self.announce(&body, types)?,
            Message::StreamStart { xid, .. } => self.block = Some(xid),
            Message::StreamStop => self.block = None,
            // Behind a roll-back of a sub-transaction the server announces anew what comes.
            Message::StreamAbort { xid, subxid, .. } if xid == subxid => {
                self.streams.remove(&xid);
            }
            Message::StreamCommit { xid, .. } => {
                for (oid, entry) in self.streams.remove(&xid).unwrap_or_default() {
                    let before = self.committed.get(&oid);
                    if before.is_none_or(|before| before.announced < entry.announced) {
                        self.committed.insert(oid, entry);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn announce(&mut self, body: &RelationBody<'_>, types: &TypeCatalog) -> Result<(), Untold> {
        let form = |column: walgate_pgoutput::Column<'_>| {
            types.form(column.type_oid).ok_or_else(|| Untold::Type {
                table: format!("{}.{}", body.namespace, body.name),
                column: column.name.to_owned(),
                type_oid: column.type_oid,
            })
        };
        let forms: Arc<[Form]> = body.columns.iter().map(form).collect::<Result<_, _>>()?;
        self.announcements += 1;
        let announced = self.announcements;
        let definitions = match self.block {
            Some(xid) => self.streams.entry(xid).or_default(),
            None => &mut self.committed,
        };
        definitions.insert(body.oid, Entry { forms, announced });
        Ok(())
    }
}

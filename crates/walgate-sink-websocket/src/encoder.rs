//! Changes to parcels: who gets which form of a change, each form encoded once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{Body, Change, EncodeError, Encoded, Encoder, RowKey, Span, Table};

use crate::bounds::Bounds;
use crate::counters::Counters;
use crate::hub::{Hub, News};
use crate::interest::Interest;
use crate::matcher::{Given, Matcher, Misfit};
use crate::parcel::{InterestId, put_part};

/// Decides for each change whom it concerns, on the frame's bytes, and has `E` encode it once for each
/// choice of columns. What concerns nobody is not encoded.
pub struct PushEncoder<E> {
    inner: E,
    audience: Audience,
    matcher: Matcher,
    bounds: Bounds,
    scratch: BTreeMap<Given, Vec<InterestId>>,
    misfits: Vec<Misfit>,
    /// Why what the one asks for can't be right, when that has come up.
    misfit: Option<String>,
    /// The last table that was met.
    known: Option<u32>,
}

/// For whom is encoded.
enum Audience {
    /// For everybody who is there.
    Hub(Arc<Hub>),
    /// For one client that gets what was before.
    One,
}

/// The number of the one interest of an encoder for one client.
pub(crate) const THE_ONE: InterestId = 1;

impl<E: Encoder> PushEncoder<E> {
    pub(crate) fn for_all(inner: E, hub: Arc<Hub>) -> Self {
        Self::new(inner, Audience::Hub(hub))
    }

    pub(crate) fn for_one(inner: E, interest: &Arc<Interest>) -> Self {
        let mut own = Self::new(inner, Audience::One);
        own.matcher.add(THE_ONE, interest);
        own
    }

    fn new(inner: E, audience: Audience) -> Self {
        Self {
            inner,
            audience,
            matcher: Matcher::default(),
            bounds: Bounds::default(),
            scratch: BTreeMap::new(),
            misfits: Vec::new(),
            misfit: None,
            known: None,
        }
    }

    fn hear(&mut self, change: &Change<'_>) {
        let Audience::Hub(hub) = &self.audience else {
            return;
        };
        if let Some(table) = change.body.table()
            && self.known != Some(table.id)
        {
            self.known = Some(table.id);
            hub.know(table);
        }
        let begun = match change.body {
            Body::Begin => change.transaction,
            _ => None,
        };
        for news in hub.encoding(change.position, begun) {
            match news {
                News::Added(id, interest) => self.matcher.add(id, &interest),
                News::Removed(id) => self.matcher.remove(id),
            }
        }
    }

    fn refuse(&mut self) {
        for misfit in self.misfits.drain(..) {
            match &self.audience {
                Audience::Hub(hub) => hub.refuse(misfit.interest, &misfit.message),
                // In what was before, a column that is not there yet matches nothing.
                Audience::One => self.misfit = Some(misfit.message),
            }
        }
    }

    /// Which rows of a table are of use to anybody, as [`Matcher::row_keys`] has it.
    pub(crate) fn row_keys(&mut self, table: &Arc<Table>) -> Option<Vec<Vec<RowKey>>> {
        let keys = self.matcher.row_keys(table, &mut self.misfits);
        self.refuse();
        keys
    }

    /// Why what the one asks for can't be right for a table that was met, once.
    pub(crate) fn take_misfit(&mut self) -> Option<String> {
        self.misfit.take()
    }

    fn put(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        let audience = &self.audience;
        self.bounds.meet(change.position, || match audience {
            Audience::Hub(hub) => hub.dispatched(),
            // What comes next is all that may be taken back.
            Audience::One => change.position,
        });
        match change.body {
            Body::Begin => {
                if let Some(transaction) = change.transaction {
                    self.bounds.begin(change.position, *transaction);
                }
                Ok(())
            }
            Body::Commit { .. } => self.put_commits(change, out),
            _ => self.put_change(change, out),
        }
    }

    fn put_change(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        let found = self.matcher.judge(&change.body, &mut self.misfits);
        for ids in self.scratch.values_mut() {
            ids.clear();
        }
        for (id, given) in found {
            self.scratch.entry(*given).or_default().push(*id);
        }
        if let Audience::Hub(hub) = &self.audience
            && self.matcher.was_undecided()
        {
            Counters::count(&hub.counters.undecided);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let put = self.put_forms(change, &scratch, out);
        // Choices of columns come and go with their clients.
        if scratch.len() > MAX_FORMS {
            scratch.clear();
        }
        self.scratch = scratch;
        put
    }

    fn put_forms(
        &mut self,
        change: &Change<'_>,
        forms: &BTreeMap<Given, Vec<InterestId>>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let forms = forms.iter().filter(|(_, ids)| !ids.is_empty());
        for (given, ids) in forms {
            self.put_begins(change, ids, out)?;
            let body = match *given {
                Given::Event(view) | Given::Bare(view) | Given::Leave(view) => {
                    match change.body.table() {
                        None => change.body,
                        Some(table) => match self.matcher.table(table, view) {
                            Some(shown) => with_table(change.body, shown),
                            None => continue,
                        },
                    }
                }
            };
            let body = match *given {
                Given::Bare(_) => without_old(body),
                Given::Leave(_) => leaving(body),
                Given::Event(_) => body,
            };
            let shown = Change { body, ..*change };
            let inner = &mut self.inner;
            put_part(change.position, ids, out, |out| {
                inner.encode(&shown, out).map(|_| ())
            })?;
        }
        Ok(())
    }

    /// The begin of the transaction, for those who want it and get its first change now.
    fn put_begins(
        &mut self,
        change: &Change<'_>,
        ids: &[InterestId],
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let Some(transaction) = change.transaction else {
            return Ok(());
        };
        let matcher = &self.matcher;
        let ids = ids.iter().copied();
        let wanted = ids.filter(|id| matcher.wants_transactions(*id));
        let at = (change.position, transaction);
        let Some((begun, begin)) = self.bounds.count(at, wanted) else {
            return Ok(());
        };
        let begin = Change {
            position: begin,
            transaction: Some(transaction),
            body: Body::Begin,
        };
        let inner = &mut self.inner;
        put_part(begin.position, &begun, out, |out| {
            inner.encode(&begin, out).map(|_| ())
        })
    }

    fn put_commits(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        let Some(transaction) = change.transaction else {
            return Ok(());
        };
        let by_changes = self.bounds.commit(change.position, transaction);
        for (changes, ids) in by_changes {
            let commit = Change {
                body: Body::Commit { changes },
                ..*change
            };
            let inner = &mut self.inner;
            put_part(change.position, &ids, out, |out| {
                inner.encode(&commit, out).map(|_| ())
            })?;
        }
        Ok(())
    }
}

/// Forms of one change that are kept for the next one.
const MAX_FORMS: usize = 1024;

impl<E: Encoder> Encoder for PushEncoder<E> {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        let start = out.len();
        self.hear(change);
        let put = self.put(change, out);
        self.refuse();
        if let Err(error) = put {
            out.truncate(start);
            self.bounds.take_back(change.position);
            return Err(error);
        }
        let too_large = || EncodeError {
            message: "the batch is larger than 4 GiB".to_owned(),
            hint: None,
        };
        let place = |at: usize| u32::try_from(at).map_err(|_| too_large());
        let value = Span {
            start: place(start)?,
            end: place(out.len())?,
        };
        Ok(Encoded {
            value,
            key: None,
            old_key: None,
        })
    }
}

/// The same change, of a table with other columns.
fn with_table<'a>(body: Body<'a>, shown: &'a Arc<Table>) -> Body<'a> {
    match body {
        Body::Insert { new, .. } => Body::Insert { table: shown, new },
        Body::Read { new, .. } => Body::Read { table: shown, new },
        Body::Update { old, new, .. } => Body::Update {
            table: shown,
            old,
            new,
        },
        Body::Delete { old, .. } => Body::Delete { table: shown, old },
        Body::Truncate {
            cascade,
            restart_identity,
            ..
        } => Body::Truncate {
            table: shown,
            cascade,
            restart_identity,
        },
        Body::Schema { .. } => Body::Schema { table: shown },
        Body::Leave { old, new, .. } => Body::Leave {
            table: shown,
            old,
            new,
        },
        Body::Message { .. } | Body::Begin | Body::Commit { .. } | Body::Gap(_) => body,
    }
}

/// An update without what the row was.
const fn without_old(body: Body<'_>) -> Body<'_> {
    match body {
        Body::Update { table, new, .. } => Body::Update {
            table,
            old: None,
            new,
        },
        other => other,
    }
}

/// An update as the end of a row for who had it.
fn leaving(body: Body<'_>) -> Body<'_> {
    match body {
        Body::Update {
            table,
            old: Some(old),
            new,
        } => Body::Leave { table, old, new },
        other => other,
    }
}

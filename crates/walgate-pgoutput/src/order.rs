//! Which message a server may send after which.

use crate::lsn::Lsn;
use crate::message::Message;
use crate::order_error::OrderError;
use crate::tag::Tag;
use crate::tuple::{OldTuple, Tuple};
use crate::{Oid, Xid};
use alloc::collections::BTreeMap;

/// The most transactions that can be in progress on a server: `MAX_BACKENDS`, 2^18 - 1, see
/// `postmaster/postmaster.h`. It bounds what a server can make the checker remember.
const MAX_OPEN_STREAMS: usize = 262_143;

/// What was announced of each relation last.
type Relations = BTreeMap<Oid, Announced>;

/// An announcement of a relation.
#[derive(Clone, Copy, Debug)]
struct Announced {
    /// How many columns it has.
    columns: u16,
    /// The announcement's number on this connection.
    at: u64,
}

/// Follows the messages of one connection and refuses what no server sends at that place.
///
/// What it deliberately lets pass, because servers send it:
/// - Commit Prepared and Rollback Prepared of a gid that was never seen: it was prepared in an
///   earlier connection.
/// - Begin Prepare with an LSN below that of earlier commits: a transaction that was prepared
///   before two-phase decoding was possible is sent when it commits.
/// - Stream Abort of a sub-transaction that sent nothing, and with LSN 0.
/// - A key tuple although the relation said FULL, or a whole one although it did not: the replica
///   identity of a partitioned table can change without a new Relation for rows that are
///   published through it.
/// - Relation and Type outside a transaction: no server sends them there, and a recording that
///   starts with the relations it needs does.
/// - `u` in an insert: an update that a row filter turns into an insert keeps it.
///
/// Memory: a few bytes for each table that was announced, and for each of a streamed transaction.
#[derive(Clone, Debug, Default)]
pub struct OrderChecker {
    place: Place,
    /// As of the committed transactions.
    relations: Relations,
    /// What each streamed transaction in progress has announced: the server keeps book of it for
    /// each of them apart.
    streams: BTreeMap<Xid, Relations>,
    /// The relation of the last row in this place, which is nearly always that of the next.
    last_relation: Option<(Oid, u16)>,
    announcements: u64,
    last_commit_lsn: Lsn,
    last_message_lsn: Lsn,
}

/// Where in the order of messages the connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Transaction {
        final_lsn: Lsn,
    },
    Prepare {
        prepare_lsn: Lsn,
        end_lsn: Lsn,
        xid: Xid,
    },
    Stream {
        xid: Xid,
    },
}

impl OrderChecker {
    /// A checker for a connection that has just started to replicate.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            place: Place::Outside,
            relations: Relations::new(),
            streams: BTreeMap::new(),
            last_relation: None,
            announcements: 0,
            last_commit_lsn: Lsn::ZERO,
            last_message_lsn: Lsn::ZERO,
        }
    }

    /// Forgets everything: a new connection starts.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Whether a Stream Start is open: what [`crate::decode`] wants to know about the next message.
    #[inline]
    #[must_use]
    pub const fn in_stream(&self) -> bool {
        matches!(self.place, Place::Stream { .. })
    }

    /// Whether a Begin or Begin Prepare is open.
    #[inline]
    #[must_use]
    pub const fn in_transaction(&self) -> bool {
        matches!(
            self.place,
            Place::Transaction { .. } | Place::Prepare { .. }
        )
    }

    /// Takes the next message. After an error the checker stays as it was.
    ///
    /// # Errors
    /// When no server sends this message at this place.
    #[inline]
    pub fn check(&mut self, message: &Message<'_>) -> Result<(), OrderError> {
        match message {
            Message::Insert { xid, relation, new } => {
                self.row(Tag::Insert, *xid, *relation, new, None)
            }
            Message::Update {
                xid,
                relation,
                old,
                new,
            } => self.row(Tag::Update, *xid, *relation, new, old.as_ref()),
            Message::Delete { xid, relation, old } => {
                self.row(Tag::Delete, *xid, *relation, &old.tuple(), None)
            }
            _ => self.other(message),
        }
    }

    #[inline]
    fn row(
        &mut self,
        tag: Tag,
        xid: Option<Xid>,
        relation: Oid,
        tuple: &Tuple<'_>,
        old: Option<&OldTuple<'_>>,
    ) -> Result<(), OrderError> {
        self.change(tag, xid)?;
        let expected = match self.last_relation {
            Some((last, count)) if last == relation => count,
            _ => self.look_up(tag, relation)?,
        };
        let found = tuple.len();
        if found != usize::from(expected) {
            return Err(OrderError::ColumnCount {
                tag,
                relation,
                expected,
                found,
            });
        }
        match old.map(|old| old.tuple().len()) {
            Some(found) if found != usize::from(expected) => Err(OrderError::ColumnCount {
                tag,
                relation,
                expected,
                found,
            }),
            _ => Ok(()),
        }
    }

    /// A change is in some transaction, and prefixed exactly when that one is streamed.
    #[inline]
    fn change(&self, tag: Tag, xid: Option<Xid>) -> Result<(), OrderError> {
        if self.place == Place::Outside {
            return Err(OrderError::OutsideTransaction { tag });
        }
        self.prefix(tag, xid)
    }

    #[inline]
    fn prefix(&self, tag: Tag, xid: Option<Xid>) -> Result<(), OrderError> {
        if xid.is_some() == self.in_stream() {
            Ok(())
        } else {
            Err(OrderError::TransactionPrefix { tag })
        }
    }

    /// The column count of a relation, which becomes the last one.
    #[inline(never)]
    fn look_up(&mut self, tag: Tag, relation: Oid) -> Result<u16, OrderError> {
        let streamed = match self.place {
            Place::Stream { xid } => self
                .streams
                .get(&xid)
                .and_then(|known| known.get(&relation)),
            Place::Outside | Place::Transaction { .. } | Place::Prepare { .. } => None,
        };
        let count = streamed
            .or_else(|| self.relations.get(&relation))
            .map(|announced| announced.columns)
            .ok_or(OrderError::UnknownRelation { tag, relation })?;
        self.last_relation = Some((relation, count));
        Ok(count)
    }

    #[inline(never)]
    fn other(&mut self, message: &Message<'_>) -> Result<(), OrderError> {
        let tag = message.tag();
        match *message {
            Message::Begin { final_lsn, .. } => {
                self.outside(tag)?;
                self.forward(tag, final_lsn)?;
                self.place = Place::Transaction { final_lsn };
                Ok(())
            }
            Message::Commit {
                commit_lsn,
                end_lsn,
                ..
            } => self.commit(commit_lsn, end_lsn),
            Message::Origin { .. } => self.inside(tag),
            Message::Relation(ref relation) => {
                self.prefix(tag, relation.xid)?;
                self.announce(relation.oid, relation.columns.column_count());
                Ok(())
            }
            Message::Type { xid, .. } => self.prefix(tag, xid),
            Message::Truncate {
                xid, mut relations, ..
            } => {
                self.change(tag, xid)?;
                relations.try_for_each(|relation| self.look_up(tag, relation).map(|_| ()))
            }
            Message::Message {
                xid,
                transactional: true,
                ..
            } => self.change(tag, xid),
            Message::Message {
                xid,
                transactional: false,
                lsn,
                ..
            } => {
                self.outside(tag)?;
                self.prefix(tag, xid)?;
                self.message(tag, lsn)
            }
            _ if tag.is_stream() => self.stream(message),
            _ => self.two_phase(message),
        }
    }

    fn stream(&mut self, message: &Message<'_>) -> Result<(), OrderError> {
        match *message {
            Message::StreamStart { xid, first_segment } => self.stream_start(xid, first_segment),
            Message::StreamStop => self.stream_stop(),
            Message::StreamCommit {
                xid,
                commit_lsn,
                end_lsn,
                ..
            } => self.stream_commit(xid, commit_lsn, end_lsn),
            Message::StreamAbort { xid, subxid, .. } => self.stream_abort(xid, subxid),
            Message::StreamPrepare {
                prepare_lsn,
                end_lsn,
                xid,
                ..
            } => {
                let tag = message.tag();
                self.streamed(tag, xid)?;
                ends_behind(tag, prepare_lsn, end_lsn)?;
                // Its relations are announced again to whoever comes next.
                self.streams.remove(&xid);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn two_phase(&mut self, message: &Message<'_>) -> Result<(), OrderError> {
        let tag = message.tag();
        match *message {
            Message::BeginPrepare {
                prepare_lsn,
                end_lsn,
                xid,
                ..
            } => {
                self.outside(tag)?;
                ends_behind(tag, prepare_lsn, end_lsn)?;
                self.place = Place::Prepare {
                    prepare_lsn,
                    end_lsn,
                    xid,
                };
                Ok(())
            }
            Message::Prepare {
                prepare_lsn,
                end_lsn,
                xid,
                ..
            } => self.prepare(prepare_lsn, end_lsn, xid),
            Message::CommitPrepared {
                commit_lsn,
                end_lsn,
                ..
            } => {
                self.outside(tag)?;
                self.forward(tag, commit_lsn)?;
                ends_behind(tag, commit_lsn, end_lsn)?;
                self.last_commit_lsn = commit_lsn;
                Ok(())
            }
            Message::RollbackPrepared { .. } => self.outside(tag),
            _ => Ok(()),
        }
    }

    fn outside(&self, tag: Tag) -> Result<(), OrderError> {
        match self.place {
            Place::Outside => Ok(()),
            _ => Err(OrderError::InsideTransaction { tag }),
        }
    }

    fn inside(&self, tag: Tag) -> Result<(), OrderError> {
        match self.place {
            Place::Outside => Err(OrderError::OutsideTransaction { tag }),
            _ => Ok(()),
        }
    }

    /// Commits come in the order of their records, and a message that stands by itself may lie
    /// at the very position of the commit behind it.
    fn forward(&self, tag: Tag, found: Lsn) -> Result<(), OrderError> {
        let last = self.last_commit_lsn.max(self.last_message_lsn);
        if found > self.last_commit_lsn && found >= self.last_message_lsn {
            Ok(())
        } else {
            Err(OrderError::LsnGoesBack { tag, last, found })
        }
    }

    fn message(&mut self, tag: Tag, found: Lsn) -> Result<(), OrderError> {
        let last = self.last_commit_lsn.max(self.last_message_lsn);
        if found < last || found == Lsn::ZERO {
            return Err(OrderError::LsnGoesBack { tag, last, found });
        }
        self.last_message_lsn = found;
        Ok(())
    }

    fn commit(&mut self, commit_lsn: Lsn, end_lsn: Lsn) -> Result<(), OrderError> {
        let tag = Tag::Commit;
        match self.place {
            Place::Outside => Err(OrderError::OutsideTransaction { tag }),
            Place::Prepare { .. } | Place::Stream { .. } => Err(OrderError::WrongEnd { tag }),
            Place::Transaction { final_lsn } => {
                same(tag, final_lsn, commit_lsn)?;
                ends_behind(tag, commit_lsn, end_lsn)?;
                self.place = Place::Outside;
                self.last_commit_lsn = commit_lsn;
                Ok(())
            }
        }
    }

    fn prepare(&mut self, lsn: Lsn, end: Lsn, found_xid: Xid) -> Result<(), OrderError> {
        let tag = Tag::Prepare;
        match self.place {
            Place::Outside => Err(OrderError::OutsideTransaction { tag }),
            Place::Transaction { .. } | Place::Stream { .. } => Err(OrderError::WrongEnd { tag }),
            Place::Prepare {
                prepare_lsn,
                end_lsn,
                xid,
            } => {
                same(tag, prepare_lsn, lsn)?;
                same(tag, end_lsn, end)?;
                if xid != found_xid {
                    return Err(OrderError::WrongEnd { tag });
                }
                self.place = Place::Outside;
                Ok(())
            }
        }
    }

    fn announce(&mut self, relation: Oid, columns: u16) {
        self.announcements = self.announcements.wrapping_add(1);
        let at = self.announcements;
        let known = match self.place {
            Place::Stream { xid } => self.streams.entry(xid).or_default(),
            Place::Outside | Place::Transaction { .. } | Place::Prepare { .. } => {
                &mut self.relations
            }
        };
        known.insert(relation, Announced { columns, at });
        self.last_relation = Some((relation, columns));
    }

    fn stream_start(&mut self, xid: Xid, first_segment: bool) -> Result<(), OrderError> {
        self.outside(Tag::StreamStart)?;
        match (self.streams.contains_key(&xid), first_segment) {
            (true, true) => return Err(OrderError::StreamStartedTwice { xid }),
            (false, false) => {
                return Err(OrderError::UnknownStream {
                    tag: Tag::StreamStart,
                    xid,
                });
            }
            (true, false) => {}
            (false, true) => {
                if self.streams.len() >= MAX_OPEN_STREAMS {
                    return Err(OrderError::TooManyStreams);
                }
                self.streams.insert(xid, Relations::new());
            }
        }
        self.enter(Place::Stream { xid });
        Ok(())
    }

    fn stream_stop(&mut self) -> Result<(), OrderError> {
        if !self.in_stream() {
            return Err(OrderError::NoStream);
        }
        self.enter(Place::Outside);
        Ok(())
    }

    fn enter(&mut self, place: Place) {
        self.place = place;
        // The other side of a stream's border may know another form of the same relation.
        self.last_relation = None;
    }

    fn stream_commit(&mut self, xid: Xid, lsn: Lsn, end_lsn: Lsn) -> Result<(), OrderError> {
        let tag = Tag::StreamCommit;
        self.streamed(tag, xid)?;
        self.forward(tag, lsn)?;
        ends_behind(tag, lsn, end_lsn)?;
        // What others have announced since is newer: the server has sent it to them after this
        // transaction's, and repeats it to nobody.
        for (relation, announced) in self.streams.remove(&xid).unwrap_or_default() {
            let known = self.relations.entry(relation).or_insert(announced);
            if known.at < announced.at {
                *known = announced;
            }
        }
        self.last_relation = None;
        self.last_commit_lsn = lsn;
        Ok(())
    }

    fn stream_abort(&mut self, xid: Xid, subxid: Xid) -> Result<(), OrderError> {
        self.streamed(Tag::StreamAbort, xid)?;
        if subxid == xid {
            self.streams.remove(&xid);
        }
        Ok(())
    }

    /// A message about a whole streamed transaction stands outside, and knows the transaction.
    fn streamed(&self, tag: Tag, xid: Xid) -> Result<(), OrderError> {
        self.outside(tag)?;
        if self.streams.contains_key(&xid) {
            Ok(())
        } else {
            Err(OrderError::UnknownStream { tag, xid })
        }
    }
}

fn same(tag: Tag, expected: Lsn, found: Lsn) -> Result<(), OrderError> {
    if expected == found {
        Ok(())
    } else {
        Err(OrderError::EndDiffers {
            tag,
            expected,
            found,
        })
    }
}

fn ends_behind(tag: Tag, commit_lsn: Lsn, end_lsn: Lsn) -> Result<(), OrderError> {
    if end_lsn > commit_lsn {
        Ok(())
    } else {
        Err(OrderError::EndBeforeCommit {
            tag,
            commit_lsn,
            end_lsn,
        })
    }
}

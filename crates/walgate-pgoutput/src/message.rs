//! Every message of pgoutput, and the way from and to bytes.

use bytes::{BufMut, BytesMut};

use crate::dialect::Dialect;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError, MessageKind};
use crate::lsn::Lsn;
use crate::reader::Reader;
use crate::relation::{self, RelationBody};
use crate::tag::Tag;
use crate::time::PgMicros;
use crate::truncate::{self, RelationOids};
use crate::tuple::{OldTuple, Tuple};
use crate::writer::put_xid;
use crate::{Oid, Xid, logical_message, row, stream, transaction, two_phase};

/// A message of pgoutput, borrowed from its frame.
///
/// `xid: Option<Xid>` is the transaction (or sub-transaction) that a change inside a stream block
/// belongs to, and `None` outside. `flags` are reserved and always 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "fields that recur in every message are described above and below"
)]
pub enum Message<'a> {
    /// A committed transaction begins. Its changes follow, then its Commit.
    ///
    /// `final_lsn` is the position of the commit record: the `commit_lsn` of the Commit to come.
    Begin {
        final_lsn: Lsn,
        commit_time: PgMicros,
        xid: Xid,
    },
    /// A committed transaction ends. `end_lsn` is the first byte behind the commit record, which
    /// is the position to confirm when the transaction is safe.
    Commit {
        flags: u8,
        commit_lsn: Lsn,
        end_lsn: Lsn,
        commit_time: PgMicros,
    },
    /// The transaction came from this replication origin; `lsn` is its commit there.
    Origin { lsn: Lsn, name: &'a str },
    /// What a table looks like from here on.
    Relation(RelationBody<'a>),
    /// The name of a user-defined type that a relation to follow uses. For a domain the oid is
    /// the domain's and the name is its base type's.
    Type {
        xid: Option<Xid>,
        oid: Oid,
        namespace: &'a str,
        name: &'a str,
    },
    /// A row was inserted.
    Insert {
        xid: Option<Xid>,
        relation: Oid,
        new: Tuple<'a>,
    },
    /// A row was updated. `old` is there when the replica identity is FULL or a column of it
    /// changed or is stored externally.
    Update {
        xid: Option<Xid>,
        relation: Oid,
        old: Option<OldTuple<'a>>,
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        xid: Option<Xid>,
        relation: Oid,
        old: OldTuple<'a>,
    },
    /// Tables were emptied, all by one statement.
    Truncate {
        xid: Option<Xid>,
        cascade: bool,
        restart_identity: bool,
        relations: RelationOids<'a>,
    },
    /// What `pg_logical_emit_message` wrote; `lsn` is the position of the message itself. Without
    /// `transactional` it stands outside every transaction.
    Message {
        xid: Option<Xid>,
        transactional: bool,
        lsn: Lsn,
        prefix: &'a str,
        content: &'a [u8],
    },
    /// A block of changes of a transaction in progress begins. `first_segment` for its first one.
    StreamStart { xid: Xid, first_segment: bool },
    /// The block ends; more may follow, of this or other transactions.
    StreamStop,
    /// A streamed transaction has committed.
    StreamCommit {
        xid: Xid,
        flags: u8,
        commit_lsn: Lsn,
        end_lsn: Lsn,
        commit_time: PgMicros,
    },
    /// A streamed transaction (`subxid == xid`) or a sub-transaction of it was rolled back.
    /// `abort` is position and time, only with streaming 'parallel'; both are 0 when the server
    /// concluded the abort from a crash.
    StreamAbort {
        xid: Xid,
        subxid: Xid,
        abort: Option<(Lsn, PgMicros)>,
    },
    /// A prepared transaction begins. Its changes follow, then its Prepare.
    BeginPrepare {
        prepare_lsn: Lsn,
        end_lsn: Lsn,
        prepare_time: PgMicros,
        xid: Xid,
        gid: &'a str,
    },
    /// A prepared transaction ends. Whether it commits is said later.
    Prepare {
        flags: u8,
        prepare_lsn: Lsn,
        end_lsn: Lsn,
        prepare_time: PgMicros,
        xid: Xid,
        gid: &'a str,
    },
    /// A prepared transaction was committed. It may have been sent in an earlier connection.
    CommitPrepared {
        flags: u8,
        commit_lsn: Lsn,
        end_lsn: Lsn,
        commit_time: PgMicros,
        xid: Xid,
        gid: &'a str,
    },
    /// A prepared transaction was rolled back. It may have been sent in an earlier connection.
    RollbackPrepared {
        flags: u8,
        prepare_end_lsn: Lsn,
        rollback_end_lsn: Lsn,
        prepare_time: PgMicros,
        rollback_time: PgMicros,
        xid: Xid,
        gid: &'a str,
    },
    /// A streamed transaction was prepared.
    StreamPrepare {
        flags: u8,
        prepare_lsn: Lsn,
        end_lsn: Lsn,
        prepare_time: PgMicros,
        xid: Xid,
        gid: &'a str,
    },
}

/// Decodes one message: the payload of an XLogData, all of it.
///
/// `in_stream` says whether a Stream Start is open ([`crate::OrderChecker::in_stream`] knows):
/// inside, changes carry the xid that they belong to, and nothing in their bytes tells.
///
/// # Errors
/// When the bytes are not exactly one message of this dialect.
#[inline]
pub fn decode(bytes: &[u8], dialect: Dialect, in_stream: bool) -> Result<Message<'_>, DecodeError> {
    let mut reader = Reader::new(bytes, MessageKind::Unknown);
    if bytes.is_empty() {
        return Err(reader.error("tag", DecodeErrorKind::Empty));
    }
    let byte = reader.u8("tag")?;
    let Some(tag) = Tag::from_byte(byte) else {
        return Err(reader.error_at(0, "tag", DecodeErrorKind::UnknownTag { tag: byte }));
    };
    reader.set_message(MessageKind::Message(tag));
    let message = match tag {
        Tag::Insert | Tag::Update | Tag::Delete => {
            let xid = if in_stream {
                Some(reader.u32("xid")?)
            } else {
                None
            };
            match tag {
                Tag::Insert => row::read_insert(&mut reader, xid),
                Tag::Update => row::read_update(&mut reader, xid),
                _ => row::read_delete(&mut reader, xid),
            }
        }
        _ => read_other(&mut reader, tag, dialect, in_stream),
    }?;
    reader.end()?;
    Ok(message)
}

/// Everything that is not a row, kept out of line so that the way of a row stays short.
#[inline(never)]
fn read_other<'a>(
    reader: &mut Reader<'a>,
    tag: Tag,
    dialect: Dialect,
    in_stream: bool,
) -> Result<Message<'a>, DecodeError> {
    if tag.is_stream() && !dialect.has_streams() {
        return Err(reader.error_at(0, "tag", DecodeErrorKind::NotInDialect));
    }
    let has_xid = matches!(
        tag,
        Tag::Relation | Tag::Type | Tag::Truncate | Tag::Message
    );
    let xid = if in_stream && has_xid {
        Some(reader.u32("xid")?)
    } else {
        None
    };
    match tag {
        Tag::Begin => transaction::read_begin(reader),
        Tag::Commit => transaction::read_commit(reader),
        Tag::Origin => transaction::read_origin(reader),
        Tag::Relation => relation::read_relation(reader, xid),
        Tag::Type => relation::read_type(reader, xid),
        Tag::Insert => row::read_insert(reader, xid),
        Tag::Update => row::read_update(reader, xid),
        Tag::Delete => row::read_delete(reader, xid),
        Tag::Truncate => truncate::read_truncate(reader, xid),
        Tag::Message => logical_message::read_message(reader, xid),
        Tag::StreamStart => stream::read_start(reader),
        Tag::StreamStop => Ok(Message::StreamStop),
        Tag::StreamCommit => stream::read_commit(reader),
        Tag::StreamAbort => stream::read_abort(reader, dialect),
        Tag::BeginPrepare => two_phase::read_begin_prepare(reader),
        Tag::Prepare => two_phase::read_prepare(reader),
        Tag::CommitPrepared => two_phase::read_commit_prepared(reader),
        Tag::RollbackPrepared => two_phase::read_rollback_prepared(reader),
        Tag::StreamPrepare => two_phase::read_stream_prepare(reader),
    }
}

impl Message<'_> {
    /// Which message it is.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Begin { .. } => Tag::Begin,
            Self::Commit { .. } => Tag::Commit,
            Self::Origin { .. } => Tag::Origin,
            Self::Relation(_) => Tag::Relation,
            Self::Type { .. } => Tag::Type,
            Self::Insert { .. } => Tag::Insert,
            Self::Update { .. } => Tag::Update,
            Self::Delete { .. } => Tag::Delete,
            Self::Truncate { .. } => Tag::Truncate,
            Self::Message { .. } => Tag::Message,
            Self::StreamStart { .. } => Tag::StreamStart,
            Self::StreamStop => Tag::StreamStop,
            Self::StreamCommit { .. } => Tag::StreamCommit,
            Self::StreamAbort { .. } => Tag::StreamAbort,
            Self::BeginPrepare { .. } => Tag::BeginPrepare,
            Self::Prepare { .. } => Tag::Prepare,
            Self::CommitPrepared { .. } => Tag::CommitPrepared,
            Self::RollbackPrepared { .. } => Tag::RollbackPrepared,
            Self::StreamPrepare { .. } => Tag::StreamPrepare,
        }
    }

    /// The transaction prefix of a change inside a stream block.
    #[inline]
    #[must_use]
    pub const fn stream_xid(&self) -> Option<Xid> {
        match self {
            Self::Relation(relation) => relation.xid,
            Self::Type { xid, .. }
            | Self::Insert { xid, .. }
            | Self::Update { xid, .. }
            | Self::Delete { xid, .. }
            | Self::Truncate { xid, .. }
            | Self::Message { xid, .. } => *xid,
            _ => None,
        }
    }

    /// Appends the message as the server would send it. On an error `buf` is as it was.
    ///
    /// # Errors
    /// When a string or length has no form on the wire, or the dialect lacks the message.
    pub fn encode(&self, dialect: Dialect, buf: &mut BytesMut) -> Result<(), EncodeError> {
        let tag = self.tag();
        if tag.is_stream() && !dialect.has_streams() {
            return Err(EncodeError::NotInDialect { tag });
        }
        let start = buf.len();
        buf.put_u8(tag.byte());
        put_xid(buf, self.stream_xid());
        self.write_body(dialect, buf)
            .inspect_err(|_| buf.truncate(start))
    }

    /// Everything behind the tag and the xid of a stream block.
    fn write_body(&self, dialect: Dialect, buf: &mut BytesMut) -> Result<(), EncodeError> {
        match *self {
            Self::Begin {
                final_lsn,
                commit_time,
                xid,
            } => {
                transaction::write_begin(buf, final_lsn, commit_time, xid);
            }
            Self::Commit {
                flags,
                commit_lsn,
                end_lsn,
                commit_time,
            } => {
                transaction::write_commit(buf, flags, commit_lsn, end_lsn, commit_time);
            }
            Self::Origin { lsn, name } => transaction::write_origin(buf, lsn, name)?,
            Self::Relation(ref relation) => relation::write_relation(buf, relation)?,
            Self::Type {
                oid,
                namespace,
                name,
                ..
            } => {
                relation::write_type(buf, oid, namespace, name)?;
            }
            Self::Insert {
                relation, ref new, ..
            } => row::write_insert(buf, relation, new),
            Self::Update {
                relation,
                ref old,
                ref new,
                ..
            } => {
                row::write_update(buf, relation, old.as_ref(), new);
            }
            Self::Delete {
                relation, ref old, ..
            } => row::write_delete(buf, relation, old),
            Self::Truncate {
                cascade,
                restart_identity,
                ref relations,
                ..
            } => {
                truncate::write_truncate(buf, cascade, restart_identity, relations)?;
            }
            Self::Message {
                transactional,
                lsn,
                prefix,
                content,
                ..
            } => {
                logical_message::write_message(buf, transactional, lsn, prefix, content)?;
            }
            Self::StreamStart { .. }
            | Self::StreamStop
            | Self::StreamCommit { .. }
            | Self::StreamAbort { .. } => stream::write(buf, dialect, self)?,
            Self::BeginPrepare { .. }
            | Self::Prepare { .. }
            | Self::CommitPrepared { .. }
            | Self::RollbackPrepared { .. }
            | Self::StreamPrepare { .. } => two_phase::write(buf, self)?,
        }
        Ok(())
    }
}

//! Bytes as a server sends them.

use bytes::{BufMut, Bytes, BytesMut};
use walgate_core::{Lsn, Oid, PgMicros, ReplicaIdentity, Xid};
use walgate_pgoutput::{
    ColumnsBuf, CopyFrame, Dialect, Message, ProtocolVersion, RelationBody, Streaming, TupleBuf,
    Value,
};

use crate::buffer::Run;

/// Messages that exist without streaming have the same form in it.
pub(super) const STREAMING: Dialect = Dialect {
    version: ProtocolVersion::V2,
    streaming: Streaming::On,
};

/// Bytes as a server sends them.
#[derive(Default)]
pub(super) struct Wire {
    bytes: BytesMut,
    /// The prefix of what follows.
    pub(super) xid: Option<Xid>,
}

impl Wire {
    pub(super) fn copy(&mut self, frame: CopyFrame<'_>) -> &mut Self {
        let mut body = BytesMut::new();
        frame.encode(&mut body);
        self.bytes.put_u8(b'd');
        self.bytes
            .put_u32(u32::try_from(body.len()).expect("short") + 4);
        self.bytes.extend_from_slice(&body);
        self
    }

    pub(super) fn message(&mut self, message: &Message<'_>) -> &mut Self {
        let mut payload = BytesMut::new();
        message.encode(STREAMING, &mut payload).expect("encodes");
        let lsn = Lsn(7);
        self.copy(CopyFrame::XLogData {
            wal_start: lsn,
            wal_end: lsn,
            server_time: PgMicros(0),
            payload: &payload,
        })
    }

    pub(super) fn begin(&mut self, lsn: u64) -> &mut Self {
        self.begin_of(700, lsn)
    }

    pub(super) fn begin_of(&mut self, xid: Xid, lsn: u64) -> &mut Self {
        self.message(&Message::Begin {
            final_lsn: Lsn(lsn),
            commit_time: PgMicros(1),
            xid,
        })
    }

    pub(super) fn commit(&mut self, lsn: u64) -> &mut Self {
        let (commit_lsn, end_lsn) = (Lsn(lsn), Lsn(lsn + 5));
        self.message(&Message::Commit {
            flags: 0,
            commit_lsn,
            end_lsn,
            commit_time: PgMicros(1),
        })
    }

    pub(super) fn relation(
        &mut self,
        oid: Oid,
        identity: ReplicaIdentity,
        columns: &[(&str, Oid)],
    ) -> &mut Self {
        let mut list = ColumnsBuf::new();
        for (name, type_oid) in columns {
            let column = walgate_pgoutput::Column {
                key: false,
                name,
                type_oid: *type_oid,
                typmod: -1,
            };
            list.push(column).expect("few");
        }
        let columns = list.as_columns();
        self.message(&Message::Relation(RelationBody {
            xid: self.xid,
            oid,
            namespace: "s",
            name: "t",
            identity,
            columns,
        }))
    }

    pub(super) fn insert(&mut self, oid: Oid) -> &mut Self {
        self.row(oid, "1", 1)
    }

    /// A row of `columns` equal values.
    pub(super) fn row(&mut self, oid: Oid, value: &str, columns: usize) -> &mut Self {
        let mut tuple = TupleBuf::new();
        for _ in 0..columns {
            tuple.push(Value::Text(value.as_bytes())).expect("fits");
        }
        self.message(&Message::Insert {
            xid: self.xid,
            relation: oid,
            new: tuple.as_tuple(),
        })
    }

    pub(super) fn logical(&mut self, transactional: bool, lsn: u64, content: &str) -> &mut Self {
        self.message(&Message::Message {
            xid: self.xid,
            transactional,
            lsn: Lsn(lsn),
            prefix: "p",
            content: content.as_bytes(),
        })
    }

    /// A block of transaction `xid` begins; what follows is its own.
    pub(super) fn start(&mut self, xid: Xid, first_segment: bool) -> &mut Self {
        self.message(&Message::StreamStart { xid, first_segment });
        self.by(xid)
    }

    /// What follows is of sub-transaction `xid`.
    pub(super) fn by(&mut self, xid: Xid) -> &mut Self {
        self.xid = Some(xid);
        self
    }

    pub(super) fn stop(&mut self) -> &mut Self {
        self.xid = None;
        self.message(&Message::StreamStop)
    }

    pub(super) fn abort(&mut self, xid: Xid, subxid: Xid) -> &mut Self {
        self.message(&Message::StreamAbort {
            xid,
            subxid,
            abort: None,
        })
    }

    pub(super) fn stream_commit(&mut self, xid: Xid, lsn: u64) -> &mut Self {
        self.message(&Message::StreamCommit {
            xid,
            flags: 0,
            commit_lsn: Lsn(lsn),
            end_lsn: Lsn(lsn + 5),
            commit_time: PgMicros(1),
        })
    }

    pub(super) fn keepalive(&mut self, lsn: u64, reply_requested: bool) -> &mut Self {
        self.copy(CopyFrame::Keepalive {
            wal_end: Lsn(lsn),
            server_time: PgMicros(0),
            reply_requested,
        })
    }

    pub(super) fn run(&mut self) -> Run {
        let bytes: Bytes = self.bytes.split().freeze();
        Run {
            pinned: bytes.len(),
            bytes,
        }
    }
}

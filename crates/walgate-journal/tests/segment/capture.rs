//! Runs of frames as a session hands them over: real messages, with their copy-both headers
//! between them.

use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, ReplicaIdentity, Scalar,
    Shape, Transaction,
};
use walgate_journal::segment::{SegmentFacts, SegmentHeader};
use walgate_pgoutput::{Dialect, ProtocolVersion, Streaming};

/// What stands before a message on the wire: CopyData's tag and length, and XLogData's header.
const COPY_HEADER: [u8; 30] = [0xC0; 30];

/// Builds runs as the sequencer does.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    relations: Vec<Arc<Relation>>,
    truncated: Vec<u16>,
    open_before: Option<Transaction>,
    open: Option<Transaction>,
    index: u32,
    progress: Option<Lsn>,
    pub(crate) epoch: u8,
}

impl Capture {
    fn push(&mut self, kind: FrameKind, relation: u16, index: u32, message: &[u8]) {
        self.bytes.extend_from_slice(&COPY_HEADER);
        self.frames.push(Frame {
            kind,
            relation,
            index,
            start: self.bytes.len() as u32,
            len: message.len() as u32,
        });
        self.bytes.extend_from_slice(message);
    }

    fn next_index(&mut self, count: u32) -> u32 {
        let index = self.index;
        self.index += count;
        index
    }

    fn place(&mut self, relation: &Arc<Relation>) -> u16 {
        let known = self
            .relations
            .iter()
            .position(|arc| Arc::ptr_eq(arc, relation));
        let place = known.unwrap_or_else(|| {
            self.relations.push(Arc::clone(relation));
            self.relations.len() - 1
        });
        place as u16
    }

    pub(crate) fn begin(&mut self, xid: u32, commit_lsn: u64, commit_time: i64) {
        let mut message = vec![b'B'];
        message.extend_from_slice(&commit_lsn.to_be_bytes());
        message.extend_from_slice(&commit_time.to_be_bytes());
        message.extend_from_slice(&xid.to_be_bytes());
        self.progress = None;
        self.push(FrameKind::Begin, 0, Position::BEGIN, &message);
        self.index = Position::BEGIN + 1;
        self.open = Some(Transaction {
            xid,
            commit_lsn: Lsn(commit_lsn),
            commit_time: PgMicros(commit_time),
        });
    }

    /// Ends the transaction; its commit record takes 8 bytes.
    pub(crate) fn commit(&mut self) {
        let open = self.open.take().expect("a transaction is open");
        let mut message = vec![b'C', 0];
        message.extend_from_slice(&open.commit_lsn.0.to_be_bytes());
        message.extend_from_slice(&(open.commit_lsn.0 + 8).to_be_bytes());
        message.extend_from_slice(&open.commit_time.0.to_be_bytes());
        self.push(FrameKind::Commit, 0, Position::COMMIT, &message);
    }

    pub(crate) fn row(&mut self, kind: FrameKind, relation: &Arc<Relation>, values: &[&[u8]]) {
        let (tag, tuple) = match kind {
            FrameKind::Insert => (b'I', b'N'),
            FrameKind::Update => (b'U', b'N'),
            FrameKind::Delete => (b'D', b'K'),
            other => panic!("{other:?} is no row"),
        };
        let mut message = vec![tag];
        message.extend_from_slice(&relation.oid.to_be_bytes());
        message.push(tuple);
        message.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            message.push(b't');
            message.extend_from_slice(&(value.len() as u32).to_be_bytes());
            message.extend_from_slice(value);
        }
        let place = self.place(relation);
        let index = self.next_index(1);
        self.push(kind, place, index, &message);
    }

    pub(crate) fn truncate(&mut self, relations: &[&Arc<Relation>]) {
        let mut message = vec![b'T'];
        message.extend_from_slice(&(relations.len() as u32).to_be_bytes());
        message.push(0);
        let first = self.truncated.len() as u16;
        for relation in relations {
            message.extend_from_slice(&relation.oid.to_be_bytes());
            let place = self.place(relation);
            self.truncated.push(place);
        }
        let index = self.next_index(relations.len() as u32);
        self.push(FrameKind::Truncate, first, index, &message);
    }

    pub(crate) fn message(&mut self, content: &[u8]) {
        let lsn = self.open.expect("a transaction is open").commit_lsn.0 - 1;
        let message = logical_message(1, lsn, content);
        let index = self.next_index(1);
        self.push(FrameKind::Message, 0, index, &message);
    }

    pub(crate) fn standalone(&mut self, lsn: u64, content: &[u8]) {
        self.progress = None;
        let message = logical_message(0, lsn, content);
        self.push(FrameKind::Standalone, 0, 0, &message);
    }

    pub(crate) fn progress(&mut self, lsn: u64) {
        self.progress = Some(Lsn(lsn));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The connection ends: what is open comes again from its begin.
    pub(crate) fn disconnect(&mut self) {
        self.open = None;
        self.open_before = None;
    }

    /// The run so far; the next one goes on behind it.
    pub(crate) fn take(&mut self) -> Frames {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let pinned = bytes.len();
        let open = self.open_before;
        self.open_before = self.open;
        Frames {
            bytes,
            frames: std::mem::take(&mut self.frames),
            relations: std::mem::take(&mut self.relations),
            truncated: std::mem::take(&mut self.truncated),
            open,
            epoch: self.epoch,
            progress: self.progress.take(),
            pinned,
        }
    }
}

fn logical_message(flags: u8, lsn: u64, content: &[u8]) -> Vec<u8> {
    let mut message = vec![b'M', flags];
    message.extend_from_slice(&lsn.to_be_bytes());
    message.extend_from_slice(b"audit\0");
    message.extend_from_slice(&(content.len() as u32).to_be_bytes());
    message.extend_from_slice(content);
    message
}

pub(crate) fn column(name: &str, type_oid: u32, shape: Shape) -> Column {
    Column {
        name: name.to_owned(),
        type_oid,
        type_name: String::new(),
        typmod: -1,
        key: name == "id",
        shape,
    }
}

/// A small table.
pub(crate) fn table(oid: u32, name: &str) -> Arc<Relation> {
    Arc::new(Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        identity: ReplicaIdentity::Default,
        columns: vec![
            column("id", 20, Shape::Scalar(Scalar::BigInt)),
            column("note", 25, Shape::TEXT),
        ],
        primary_key: Vec::new(),
    })
}

pub(crate) fn facts() -> SegmentFacts {
    SegmentFacts {
        system_id: 7_300_000_000_000_000_001,
        timeline: 1,
        epoch: 0,
        slot: "walgate".to_owned(),
        dialect: Dialect {
            version: ProtocolVersion::V2,
            streaming: Streaming::Off,
        },
        server_version: "18.1".to_owned(),
        settings: vec![("TimeZone".to_owned(), "UTC".to_owned())],
    }
}

pub(crate) fn header(number: u64) -> SegmentHeader {
    SegmentHeader {
        number,
        first_entry: 100,
        before: Position::committed(0, Lsn(0x900)),
        created: PgMicros(848_000_000_000_000),
        next_definition: 40,
        facts: facts(),
    }
}

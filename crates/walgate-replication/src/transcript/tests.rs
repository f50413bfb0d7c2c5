use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use walgate_binary::{CatalogType, Nature, TypeCatalog};
use walgate_core::{Lsn, Oid, PgMicros, ReplicaIdentity, Xid};
use walgate_pgoutput::{
    ColumnsBuf, CopyFrame, Dialect, Message, OldTuple, ProtocolVersion, RelationBody, Streaming,
    TupleBuf, Value,
};

use super::*;

const DIALECT: Dialect = Dialect {
    version: ProtocolVersion::V2,
    streaming: Streaming::On,
};

const INT4: Oid = 23;
const TEXT: Oid = 25;
const BOOL: Oid = 16;
const XML: Oid = 142;

/// Messages as a server sends them.
#[derive(Default)]
struct Wire {
    bytes: BytesMut,
    xid: Option<Xid>,
}

impl Wire {
    fn message(&mut self, message: &Message<'_>) -> &mut Self {
        let mut payload = BytesMut::new();
        message.encode(DIALECT, &mut payload).expect("encodes");
        let mut body = BytesMut::new();
        let copy = CopyFrame::XLogData {
            wal_start: Lsn(7),
            wal_end: Lsn(7),
            server_time: PgMicros(0),
            payload: &payload,
        };
        copy.encode(&mut body);
        self.bytes.put_u8(b'd');
        let len = u32::try_from(body.len()).expect("short") + 4;
        self.bytes.put_u32(len);
        self.bytes.extend_from_slice(&body);
        self
    }

    fn relation(&mut self, oid: Oid, types: &[Oid]) -> &mut Self {
        let mut columns = ColumnsBuf::new();
        for type_oid in types {
            let column = walgate_pgoutput::Column {
                key: false,
                name: "c",
                type_oid: *type_oid,
                typmod: -1,
            };
            columns.push(column).expect("few");
        }
        self.message(&Message::Relation(RelationBody {
            xid: self.xid,
            oid,
            namespace: "s",
            name: "t",
            identity: ReplicaIdentity::Default,
            columns: columns.as_columns(),
        }))
    }

    fn insert(&mut self, relation: Oid, values: &[Value<'_>]) -> &mut Self {
        let new = tuple(values);
        self.message(&Message::Insert {
            xid: self.xid,
            relation,
            new: new.as_tuple(),
        })
    }

    fn start(&mut self, xid: Xid, first_segment: bool) -> &mut Self {
        self.message(&Message::StreamStart { xid, first_segment });
        self.xid = Some(xid);
        self
    }

    fn stop(&mut self) -> &mut Self {
        self.xid = None;
        self.message(&Message::StreamStop)
    }

    fn stream_commit(&mut self, xid: Xid) -> &mut Self {
        self.message(&Message::StreamCommit {
            xid,
            flags: 0,
            commit_lsn: Lsn(90),
            end_lsn: Lsn(95),
            commit_time: PgMicros(1),
        })
    }

    fn run(&mut self) -> Run {
        let bytes = self.bytes.split().freeze();
        Run {
            pinned: bytes.len(),
            bytes,
        }
    }
}

fn tuple(values: &[Value<'_>]) -> TupleBuf {
    let mut tuple = TupleBuf::new();
    for value in values {
        tuple.push(*value).expect("fits");
    }
    tuple
}

fn transcript() -> Transcript {
    Transcript::new(DIALECT, TypeCatalog::default(), 4096, 1 << 20)
}

const SEVEN: Value<'static> = Value::Binary(&[0, 0, 0, 7]);

#[test]
fn rows_become_the_bytes_that_they_would_be_as_text() {
    let (mut binary, mut text) = (Wire::default(), Wire::default());
    for (wire, seven, yes, word) in [
        (&mut binary, SEVEN, Value::Binary(&[1]), Value::Binary(b"w")),
        (
            &mut text,
            Value::Text(b"7"),
            Value::Text(b"t"),
            Value::Text(b"w"),
        ),
    ] {
        wire.message(&Message::Begin {
            final_lsn: Lsn(90),
            commit_time: PgMicros(1),
            xid: 700,
        });
        wire.relation(1, &[INT4, BOOL, TEXT]);
        wire.insert(1, &[seven, yes, word]);
        let (old, new) = (
            tuple(&[seven, Value::Null, Value::Null]),
            tuple(&[seven, Value::Null, Value::Unchanged]),
        );
        for old in [
            None,
            Some(OldTuple::Key(old.as_tuple())),
            Some(OldTuple::Full(old.as_tuple())),
        ] {
            wire.message(&Message::Update {
                xid: None,
                relation: 1,
                old,
                new: new.as_tuple(),
            });
        }
        wire.message(&Message::Delete {
            xid: None,
            relation: 1,
            old: OldTuple::Key(old.as_tuple()),
        });
        // A type without a send function is sent as text in between.
        wire.insert(1, &[seven, Value::Null, Value::Text(b"as it is")]);
    }
    let expected = text.run();
    for pieces in 1..4 {
        // The first run teaches what the others need; the sizes go through both ways of handing over.
        let mut transcript =
            Transcript::new(DIALECT, TypeCatalog::default(), 64 << pieces, 1 << 20);
        let whole = binary_copy(&mut binary);
        let (run, untold) = transcript.take(&whole);
        assert_eq!(untold, None);
        assert_eq!(run.bytes, expected.bytes);
        assert!(run.pinned >= run.bytes.len());
    }
}

fn binary_copy(wire: &mut Wire) -> Run {
    let bytes = Bytes::copy_from_slice(&wire.bytes);
    Run {
        pinned: bytes.len(),
        bytes,
    }
}

#[test]
fn what_is_in_front_of_an_unknown_type_goes_on() {
    let mut wire = Wire::default();
    wire.relation(1, &[INT4]).insert(1, &[SEVEN]);
    let front = wire.bytes.len();
    wire.relation(2, &[INT4, XML]);
    wire.insert(2, &[SEVEN, Value::Binary(b"<a/>")]);
    let (run, untold) = transcript().take(&wire.run());
    let mut text = Wire::default();
    text.relation(1, &[INT4]).insert(1, &[Value::Text(b"7")]);
    assert_eq!(run.bytes, text.run().bytes);
    assert!(run.bytes.len() < front);
    let expected = Untold::Type {
        table: "s.t".into(),
        column: "c".into(),
        type_oid: XML,
    };
    assert_eq!(untold, Some(expected));
}

#[test]
fn a_value_that_is_not_certain_ends_it_and_so_does_one_that_is_too_long() {
    let mut wire = Wire::default();
    wire.relation(1, &[INT4])
        .insert(1, &[Value::Binary(b"odd")]);
    let (run, untold) = transcript().take(&wire.run());
    let mut text = Wire::default();
    assert_eq!(run.bytes, text.relation(1, &[INT4]).run().bytes);
    assert_eq!(untold, Some(Untold::Value(1)));

    const BYTEA: Oid = 17;
    wire.relation(1, &[BYTEA]);
    wire.insert(1, &[Value::Binary(&[0; 600])]);
    let mut narrow = Transcript::new(DIALECT, TypeCatalog::default(), 64, 1000);
    let (_, untold) = narrow.take(&wire.run());
    assert_eq!(untold, Some(Untold::Value(1)), "1200 digits");
}

#[test]
fn a_streamed_transaction_has_definitions_of_its_own_until_it_commits() {
    let types = [CatalogType {
        oid: 1007,
        nature: Nature::Array {
            element: INT4,
            delimiter: b',',
        },
    }];
    let (mut binary, mut text) = (Wire::default(), Wire::default());
    let yes = Value::Binary(&[1]);
    for (wire, seven, yes) in [
        (&mut binary, SEVEN, yes),
        (&mut text, Value::Text(b"7"), Value::Text(b"t")),
    ] {
        wire.relation(1, &[INT4]).insert(1, &[seven]);
        wire.start(700, true).relation(1, &[INT4, BOOL]);
        wire.insert(1, &[seven, yes]).stop();
        // Another one knows nothing of it.
        wire.insert(1, &[seven]);
        wire.start(701, true).insert(1, &[seven]).stop();
        wire.start(700, false).insert(1, &[seven, yes]).stop();
        wire.stream_commit(700);
        wire.insert(1, &[seven, yes]);
        // What was announced before the last one does not come back with a later commit.
        wire.start(702, true).relation(1, &[BOOL]);
        wire.insert(1, &[yes]).stop();
        wire.relation(1, &[INT4]).stream_commit(702);
        wire.insert(1, &[seven]);
        wire.start(703, true).relation(1, &[BOOL]).stop();
        wire.message(&Message::StreamAbort {
            xid: 703,
            subxid: 703,
            abort: None,
        });
        wire.insert(1, &[seven]);
    }
    let mut transcript = Transcript::new(DIALECT, TypeCatalog::new(&types), 4096, 1 << 20);
    let (run, untold) = transcript.take(&binary.run());
    assert_eq!(untold, None);
    assert_eq!(run.bytes, text.run().bytes);
    assert!(Arc::strong_count(&transcript.definitions.forms(1).expect("known")) > 1);
}

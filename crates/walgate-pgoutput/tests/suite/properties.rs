//! Arbitrary messages survive the wire, arbitrary bytes never panic, and what decodes encodes
//! back to the same bytes.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use walgate_pgoutput::{
    Column, ColumnsBuf, CopyFrame, Dialect, Lsn, Message, OldTuple, OrderChecker, PgMicros,
    ProtocolVersion, RelationBody, RelationOidsBuf, ReplicaIdentity, StandbyStatus, Streaming, Tag,
    Tuple, TupleBuf, Value, decode, peek_relation, tag,
};

use crate::hex::{V4_ON, V4_PARALLEL};
use crate::samples::samples;

/// A value without the borrow.
#[derive(Clone, Debug)]
enum Owned {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

/// The raw material of any message.
#[derive(Clone, Debug)]
struct Parts {
    tag: Tag,
    in_stream: bool,
    flag: bool,
    other_flag: bool,
    numbers: (u32, u32, u32),
    lsns: (u64, u64),
    times: (i64, i64),
    names: (String, String),
    bytes: Vec<u8>,
    old: Option<(bool, Vec<Owned>)>,
    new: Vec<Owned>,
    columns: Vec<(bool, String, u32, i32)>,
    relations: Vec<u32>,
}

fn value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Null),
        Just(Owned::Unchanged),
        vec(any::<u8>(), 0..20).prop_map(Owned::Text),
        vec(any::<u8>(), 0..20).prop_map(Owned::Binary),
    ]
}

prop_compose! {
    fn parts()(
        tag in proptest::sample::select(Tag::ALL),
        (in_stream, flag, other_flag) in any::<(bool, bool, bool)>(),
        numbers in (1..=u32::MAX, any::<u32>(), any::<u32>()),
        (lsns, times) in any::<((u64, u64), (i64, i64))>(),
        names in ("[^\0]{0,70}", "[^\0]{0,70}"),
        bytes in vec(any::<u8>(), 0..50),
        old in option::of((any::<bool>(), vec(value(), 0..12))),
        new in vec(value(), 0..12),
        columns in vec((any::<bool>(), "[^\0]{0,20}", any::<u32>(), any::<i32>()), 0..12),
        relations in vec(any::<u32>(), 1..6),
    ) -> Parts {
        Parts {
            tag, in_stream, flag, other_flag, numbers, lsns, times, names, bytes, old, new, columns,
            relations,
        }
    }
}

fn tuple(values: &[Owned]) -> TupleBuf {
    let mut tuple = TupleBuf::new();
    for value in values {
        let value = match value {
            Owned::Null => Value::Null,
            Owned::Unchanged => Value::Unchanged,
            Owned::Text(bytes) => Value::Text(bytes),
            Owned::Binary(bytes) => Value::Binary(bytes),
        };
        tuple.push(value).expect("a short tuple");
    }
    tuple
}

/// The lists that a message borrows.
struct Lists {
    old: Option<(bool, TupleBuf)>,
    new: TupleBuf,
    columns: ColumnsBuf,
    relations: RelationOidsBuf,
}

impl Lists {
    fn of(parts: &Parts) -> Self {
        let mut columns = ColumnsBuf::new();
        for (key, name, type_oid, typmod) in &parts.columns {
            let (key, type_oid, typmod) = (*key, *type_oid, *typmod);
            columns
                .push(Column {
                    key,
                    name,
                    type_oid,
                    typmod,
                })
                .expect("few columns");
        }
        Self {
            old: parts
                .old
                .as_ref()
                .map(|(key, values)| (*key, tuple(values))),
            new: tuple(&parts.new),
            columns,
            relations: parts.relations.iter().copied().collect(),
        }
    }

    fn old(&self) -> Option<OldTuple<'_>> {
        self.old.as_ref().map(|(key, tuple)| match key {
            true => OldTuple::Key(tuple.as_tuple()),
            false => OldTuple::Full(tuple.as_tuple()),
        })
    }
}

fn any_dialect(parts: &Parts) -> Dialect {
    if parts.flag { V4_PARALLEL } else { V4_ON }
}

/// The message of the parts.
fn message<'a>(parts: &'a Parts, lists: &'a Lists) -> Message<'a> {
    let (relation, number, _) = parts.numbers;
    let xid = parts.in_stream.then_some(number);
    let new = lists.new.as_tuple();
    let (name, namespace) = (&*parts.names.0, &*parts.names.1);
    match parts.tag {
        Tag::Origin => Message::Origin {
            lsn: Lsn(parts.lsns.0),
            name,
        },
        Tag::Relation => Message::Relation(RelationBody {
            xid,
            oid: relation,
            namespace,
            name,
            identity: match number % 4 {
                0 => ReplicaIdentity::Default,
                1 => ReplicaIdentity::Nothing,
                2 => ReplicaIdentity::Full,
                _ => ReplicaIdentity::Index,
            },
            columns: lists.columns.as_columns(),
        }),
        Tag::Type => Message::Type {
            xid,
            oid: relation,
            namespace,
            name,
        },
        Tag::Insert => Message::Insert { xid, relation, new },
        Tag::Update => Message::Update {
            xid,
            relation,
            old: lists.old(),
            new,
        },
        Tag::Delete => {
            let old = lists.old().unwrap_or(OldTuple::Key(new));
            Message::Delete { xid, relation, old }
        }
        Tag::Truncate => Message::Truncate {
            xid,
            cascade: parts.flag,
            restart_identity: parts.other_flag,
            relations: lists.relations.as_relations(),
        },
        Tag::Message => Message::Message {
            xid,
            transactional: parts.flag,
            lsn: Lsn(parts.lsns.0),
            prefix: name,
            content: &parts.bytes,
        },
        _ => end_of_transaction(parts),
    }
}

/// Begins, ends and everything else that is about a whole transaction.
fn end_of_transaction(parts: &Parts) -> Message<'_> {
    let (_, xid, subxid) = parts.numbers;
    let (commit_lsn, end_lsn) = (Lsn(parts.lsns.0), Lsn(parts.lsns.1));
    let commit_time = PgMicros(parts.times.0);
    let flags = 0;
    match parts.tag {
        Tag::Begin => Message::Begin {
            final_lsn: commit_lsn,
            commit_time,
            xid,
        },
        Tag::Commit => Message::Commit {
            flags,
            commit_lsn,
            end_lsn,
            commit_time,
        },
        Tag::StreamStart => Message::StreamStart {
            xid,
            first_segment: parts.other_flag,
        },
        Tag::StreamStop => Message::StreamStop,
        Tag::StreamCommit => Message::StreamCommit {
            xid,
            flags,
            commit_lsn,
            end_lsn,
            commit_time,
        },
        Tag::StreamAbort => {
            let abort = parts.flag.then_some((commit_lsn, commit_time));
            Message::StreamAbort { xid, subxid, abort }
        }
        _ => two_phase(parts),
    }
}

fn two_phase(parts: &Parts) -> Message<'_> {
    let (_, xid, _) = parts.numbers;
    let (flags, gid) = (0, &*parts.names.0);
    let (prepare_lsn, end_lsn) = (Lsn(parts.lsns.0), Lsn(parts.lsns.1));
    let (prepare_time, rollback_time) = (PgMicros(parts.times.0), PgMicros(parts.times.1));
    let (commit_lsn, commit_time) = (prepare_lsn, prepare_time);
    match parts.tag {
        Tag::BeginPrepare => Message::BeginPrepare {
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        },
        Tag::Prepare => Message::Prepare {
            flags,
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        },
        Tag::CommitPrepared => Message::CommitPrepared {
            flags,
            commit_lsn,
            end_lsn,
            commit_time,
            xid,
            gid,
        },
        Tag::RollbackPrepared => Message::RollbackPrepared {
            flags,
            prepare_end_lsn: prepare_lsn,
            rollback_end_lsn: end_lsn,
            prepare_time,
            rollback_time,
            xid,
            gid,
        },
        Tag::StreamPrepare => Message::StreamPrepare {
            flags,
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        },
        change => panic!("{change} is about a change, not about a transaction"),
    }
}

fn dialect() -> impl Strategy<Value = Dialect> {
    use ProtocolVersion::{V1, V2, V3, V4};
    let version = proptest::sample::select(vec![V1, V2, V3, V4]);
    let streaming =
        proptest::sample::select(vec![Streaming::Off, Streaming::On, Streaming::Parallel]);
    (version, streaming).prop_map(|(version, streaming)| Dialect { version, streaming })
}

/// What holds of any bytes at all.
fn never_panics_and_is_exact(bytes: &[u8], dialect: Dialect, in_stream: bool) {
    let peeked = peek_relation(bytes, in_stream);
    match decode(bytes, dialect, in_stream) {
        Ok(message) => {
            let mut buf = BytesMut::new();
            message
                .encode(dialect, &mut buf)
                .expect("what was decoded has a form");
            assert_eq!(buf, bytes);
            assert_eq!(tag(bytes), Some(message.tag()));
            assert_eq!(peeked.is_ok(), message.tag().is_row());
            let mut order = OrderChecker::new();
            let accepted = order.check(&message).is_ok();
            assert!(accepted || !(order.in_stream() || order.in_transaction()));
            // Walks every lazy list.
            assert!(!format!("{message:?}").is_empty());
        }
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_messages_survive_the_wire(parts in parts()) {
        let (lists, dialect, in_stream) =
            (Lists::of(&parts), any_dialect(&parts), parts.in_stream);
        let message = message(&parts, &lists);
        let mut buf = BytesMut::new();
        message.encode(dialect, &mut buf).expect("a message with a form");
        assert_eq!(decode(&buf, dialect, in_stream), Ok(message));
        for len in 0..buf.len() {
            assert!(decode(&buf[..len], dialect, in_stream).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in vec(any::<u8>(), 0..200),
        dialect in dialect(),
        in_stream in any::<bool>(),
    ) {
        never_panics_and_is_exact(&bytes, dialect, in_stream);
        if let Ok(frame) = CopyFrame::decode(&bytes) {
            let mut buf = BytesMut::new();
            frame.encode(&mut buf);
            assert_eq!(buf, bytes);
        }
        if let Ok(status) = StandbyStatus::decode(&bytes) {
            let mut buf = BytesMut::new();
            status.encode(&mut buf);
            assert_eq!(buf, bytes);
        }
        if let Ok(tuple) = Tuple::parse(&bytes) {
            assert_eq!(tuple.iter().count(), tuple.len());
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        which in any::<proptest::sample::Index>(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        in_stream in any::<bool>(),
    ) {
        let samples = samples();
        let sample = &samples[which.index(samples.len())];
        let mut bytes = sample.bytes.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        never_panics_and_is_exact(&bytes, sample.dialect, in_stream);
    }

    #[test]
    fn tuples_give_back_what_was_put_in(values in vec(value(), 0..30)) {
        let buf = tuple(&values);
        let tuple = buf.as_tuple();
        assert_eq!(tuple.len(), values.len());
        assert_eq!(tuple.iter().count(), values.len());
        for (value, owned) in tuple.iter().zip(&values) {
            let same = match (value, owned) {
                (Value::Null, Owned::Null) | (Value::Unchanged, Owned::Unchanged) => true,
                (Value::Text(a), Owned::Text(b)) | (Value::Binary(a), Owned::Binary(b)) => a == b,
                _ => false,
            };
            assert!(same, "{value:?} of {owned:?}");
        }
    }

    #[test]
    fn copy_frames_survive_the_wire(
        (lsns, time, flag) in any::<((u64, u64), i64, bool)>(),
        payload in vec(any::<u8>(), 0..100),
    ) {
        let (wal_start, wal_end) = (Lsn(lsns.0), Lsn(lsns.1));
        let server_time = PgMicros(time);
        for frame in [
            CopyFrame::XLogData { wal_start, wal_end, server_time, payload: &payload },
            CopyFrame::Keepalive { wal_end, server_time, reply_requested: flag },
        ] {
            let mut buf = BytesMut::new();
            frame.encode(&mut buf);
            assert_eq!(CopyFrame::decode(&buf), Ok(frame));
        }
    }
}

#[test]
fn what_has_no_form_on_the_wire_is_not_encoded() {
    let mut buf = BytesMut::from(&b"kept"[..]);
    let origin = Message::Origin {
        lsn: Lsn(1),
        name: "zero \0 byte",
    };
    let error = origin
        .encode(V4_ON, &mut buf)
        .expect_err("a zero byte in a string");
    assert_eq!(error.to_string(), "name holds a zero byte");
    assert_eq!(buf, "kept");
    let mut columns = ColumnsBuf::new();
    let column = Column {
        key: false,
        name: "a\0",
        type_oid: 1,
        typmod: 0,
    };
    assert!(columns.push(column).is_err());
    let mut tuple = TupleBuf::new();
    for _ in 0..1600 {
        tuple.push(Value::Null).expect("up to the limit");
        columns
            .push(Column {
                name: "a",
                ..column
            })
            .expect("up to the limit");
    }
    assert!(tuple.push(Value::Null).is_err());
    assert!(
        columns
            .push(Column {
                name: "a",
                ..column
            })
            .is_err()
    );
    assert_eq!(
        (tuple.as_tuple().len(), columns.as_columns().len()),
        (1600, 1600)
    );
}

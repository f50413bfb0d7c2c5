//! Everything that is not a row.

use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{
    Batch, Body, Change, ColumnUse, Encoder, Gap, GapReason, Lsn, Position, ReplicaIdentity,
    Scalar, Shape,
};
use walgate_format::{NativeJson, NativeJsonOptions};

use crate::fixture::{
    INT4, NULL, TEXT, TRANSACTION, encode, in_transaction, orders, t, table, try_encode, tuple,
};

fn native(body: Body<'_>) -> String {
    let event = encode(&mut NativeJson::new(NativeJsonOptions::default()), body);
    assert_eq!((event.key(), event.old_key()), (None, None));
    assert_eq!(event.bytes.last(), Some(&b'\n'));
    assert_eq!(event.bytes.len(), event.value().len() + 1);
    event.value().to_owned()
}

fn outside(position: Position, body: Body<'_>) -> String {
    let mut encoder = NativeJson::new(NativeJsonOptions::default());
    let change = Change {
        position,
        transaction: None,
        body,
    };
    try_encode(&mut encoder, &change)
        .expect("it can be encoded")
        .value()
        .to_owned()
}

const HEAD: &str = r#"{"id":"00000000014a2f60-00000003","op":""#;
const STAMP: &str = r#","lsn":"0/14A2F60","xid":771,"time":"2026-11-21T09:30:00.123456Z""#;

#[test]
fn truncate_names_its_table_and_its_options() {
    let table = Arc::new(orders(ReplicaIdentity::Default));
    for (cascade, restart_identity) in [(false, false), (true, false), (false, true)] {
        let event = native(Body::Truncate {
            table: &table,
            cascade,
            restart_identity,
        });
        let expected = format!(
            r#"{HEAD}truncate","schema":"public","table":"orders"{STAMP},"cascade":{cascade},"restart_identity":{restart_identity}}}"#
        );
        assert_eq!(event, expected);
    }
}

#[test]
fn a_transactional_message_has_its_transaction() {
    let body = Body::Message {
        lsn: Lsn(0x14A_2000),
        transactional: true,
        prefix: "a \"b\"",
        content: "grüße\n".as_bytes(),
    };
    let expected = format!(
        r#"{HEAD}message"{STAMP},"prefix":"a \"b\"","content":"grüße\n","transactional":true}}"#
    );
    assert_eq!(native(body), expected);
}

#[test]
fn a_standalone_message_has_only_its_own_lsn() {
    let lsn = Lsn(0x1_0000_00FF);
    let body = Body::Message {
        lsn,
        transactional: false,
        prefix: "",
        content: b"",
    };
    let expected = concat!(
        r#"{"id":"00000001000000ff-00000000","op":"message","lsn":"1/FF","prefix":"","#,
        r#""content":"","transactional":false}"#,
    );
    assert_eq!(outside(Position::new(0, lsn, 0), body), expected);
}

#[test]
fn content_that_is_no_text_is_base64() {
    let body = Body::Message {
        lsn: Lsn(1),
        transactional: true,
        prefix: "p",
        content: b"\xFF\x00ab",
    };
    let expected = format!(
        r#"{HEAD}message"{STAMP},"prefix":"p","content_base64":"/wBhYg==","transactional":true}}"#
    );
    assert_eq!(native(body), expected);
}

#[test]
fn a_schema_has_no_id() {
    let columns = [
        ("id", INT4, true),
        ("gone", TEXT, false),
        ("list", 1007, false),
        ("mood", 16_400, false),
        ("lost", 16_500, false),
    ];
    let mut table = table(ReplicaIdentity::Default, &columns);
    table.columns[1] = ColumnUse::Drop;
    let relation = Arc::make_mut(&mut table.relation);
    relation.columns[2].typmod = 7;
    relation.columns[3].type_name = "mood \"x\"".to_owned();
    relation.columns[4].shape = Shape::Array {
        element: Scalar::Integer,
        delimiter: b',',
    };
    let table = Arc::new(table);
    let expected = format!(
        concat!(
            r#"{{"op":"schema","schema":"public","table":"orders"{},"columns":["#,
            r#"{{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true}},"#,
            r#"{{"name":"list","type":"_int4","type_oid":1007,"typmod":7,"key":false}},"#,
            r#"{{"name":"mood","type":"mood \"x\"","type_oid":16400,"typmod":-1,"key":false}},"#,
            r#"{{"name":"lost","type_oid":16500,"typmod":-1,"key":false,"shape":"integer[]"}}],"#,
            r#""oid":16384,"replica_identity":"default"}}"#,
        ),
        STAMP
    );
    assert_eq!(native(Body::Schema { table: &table }), expected);
}

#[test]
fn begin_and_commit() {
    assert_eq!(native(Body::Begin), format!(r#"{HEAD}begin"{STAMP}}}"#));
    let commit = native(Body::Commit { changes: 12 });
    assert_eq!(commit, format!(r#"{HEAD}commit"{STAMP},"changes":12}}"#));
}

#[test]
fn a_gap_has_the_position_that_it_is_given() {
    let gap = Gap {
        from: Lsn(0x10),
        to: Lsn(0x2_0000_0000),
        reason: GapReason::SlotAhead,
    };
    let expected = concat!(
        r#"{"id":"0100000200000000-ffffffff","op":"gap","from":"0/10","to":"2/0","#,
        r#""reason":"slot_ahead"}"#,
    );
    assert_eq!(
        outside(Position::committed(1, gap.to), Body::Gap(&gap)),
        expected
    );
}

/// The bytes of a batch are lines of JSON as they stand.
#[test]
fn a_batch_is_a_run_of_lines() {
    let table = Arc::new(orders(ReplicaIdentity::Default));
    let new = tuple(&[t("42"), t("line\nbreak"), NULL, t("{\n\"a\":\r\n1}"), NULL]);
    let bodies = [
        Body::Begin,
        Body::Schema { table: &table },
        Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
        Body::Truncate {
            table: &table,
            cascade: false,
            restart_identity: false,
        },
        Body::Commit { changes: 2 },
    ];
    let mut encoder = NativeJson::new(NativeJsonOptions::default());
    let mut batch = Batch {
        bytes: BytesMut::new(),
        ..Batch::default()
    };
    for body in bodies {
        let change = in_transaction(body);
        let encoded = encoder
            .encode(&change, &mut batch.bytes)
            .expect("it can be encoded");
        batch.push(change.position, body.op(), body.table(), encoded);
    }
    let text = str::from_utf8(&batch.bytes).expect("events are UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), bodies.len());
    for (record, line) in batch.records.iter().zip(lines) {
        assert_eq!(batch.slice(record.value), line.as_bytes());
        let event: serde_json::Value = serde_json::from_str(line).expect("a line is an object");
        assert_eq!(event["op"], record.op.name());
        assert_eq!(event["xid"], TRANSACTION.xid);
    }
    assert_eq!(
        batch.slice(batch.records[2].key.expect("a row has a key")),
        br#"{"id":42}"#
    );
}

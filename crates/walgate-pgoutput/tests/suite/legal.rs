//! What looks odd and is sent by real servers: all of it must decode.

use walgate_pgoutput::{
    Column, Dialect, Message, OldTuple, PgMicros, ReplicaIdentity, Value, decode,
};

use crate::hex::{V1, hex, identity};

#[test]
fn a_table_without_columns() {
    let bytes = hex("'R' 00004005 'public' 00 'no_columns' 00 'd' 0000");
    let Message::Relation(relation) = identity(&bytes, V1, false) else {
        panic!("no relation")
    };
    assert_eq!(relation.columns.len(), 0);
    assert!(relation.columns.is_empty());
    let bytes = hex("'I' 00004005 'N' 0000");
    let Message::Insert { new, .. } = identity(&bytes, V1, false) else {
        panic!("no insert")
    };
    assert!(new.is_empty());
    assert_eq!(new.iter().next(), None);
}

#[test]
fn oids_from_2_to_the_31() {
    let bytes = hex("'R' 80000000 00 't' 00 'n' 0001 00 'c' 00 fffffffe 7fffffff");
    let Message::Relation(relation) = identity(&bytes, V1, false) else {
        panic!("no relation")
    };
    assert_eq!(relation.oid, 1 << 31);
    let column = Column {
        key: false,
        name: "c",
        type_oid: u32::MAX - 1,
        typmod: i32::MAX,
    };
    assert_eq!(relation.columns.iter().next(), Some(column));
    let bytes = hex("'D' ffffffff 'K' 0000");
    assert_eq!(walgate_pgoutput::peek_relation(&bytes, false), Ok(u32::MAX));
    identity(&bytes, V1, false);
}

#[test]
fn commit_times_before_2000_and_infinite_ones() {
    for (time, micros, unix) in [
        ("fffffffffff0bdc0", -1_000_000, 946_684_799_000_000),
        ("7fffffffffffffff", i64::MAX, i64::MAX),
        ("8000000000000000", i64::MIN, i64::MIN),
        ("0000000000000000", 0, 946_684_800_000_000),
    ] {
        let bytes = hex(&format!("'B' 0000000000000001 {time} 00000303"));
        let Message::Begin { commit_time, .. } = identity(&bytes, V1, false) else {
            panic!("no begin")
        };
        assert_eq!(commit_time, PgMicros(micros));
        assert_eq!(commit_time.unix_micros(), unix);
        assert_eq!(PgMicros::from_unix_micros(unix), commit_time);
    }
}

#[test]
fn an_empty_name_space_is_pg_catalog() {
    let bytes = hex("'Y' 00004010 00 'mood' 00");
    let expected = Message::Type {
        xid: None,
        oid: 0x4010,
        namespace: "",
        name: "mood",
    };
    assert_eq!(identity(&bytes, V1, false), expected);
}

#[test]
fn names_of_63_bytes_and_with_any_character() {
    for name in [
        "n".repeat(63),
        "é".repeat(31),
        "qu\"ote \\ back\nline".into(),
    ] {
        let mut bytes = hex("'R' 00004005");
        bytes.extend(name.bytes().chain([0]));
        bytes.extend(name.bytes().chain([0]));
        bytes.extend(hex("'i' 0001 01"));
        bytes.extend(name.bytes().chain([0]));
        bytes.extend(hex("00000017 ffffffff"));
        let Message::Relation(relation) = identity(&bytes, V1, false) else {
            panic!("no relation")
        };
        assert_eq!((relation.namespace, relation.name), (&*name, &*name));
        assert_eq!(relation.identity, ReplicaIdentity::Index);
        let column = relation.columns.iter().next().expect("one column");
        assert!(column.key && column.name == name);
    }
}

#[test]
fn sixteen_hundred_columns() {
    let mut relation = hex("'R' 00004005 00 't' 00 'f' 0640");
    let mut insert = hex("'I' 00004005 'N' 0640");
    for index in 0..1600 {
        relation.extend(hex("01"));
        relation.extend(format!("c{index}\0").bytes());
        relation.extend(hex("00000017 ffffffff"));
        insert.extend(hex("'t' 00000001 '1'"));
    }
    let Message::Relation(body) = identity(&relation, V1, false) else {
        panic!("no relation")
    };
    assert_eq!(body.columns.len(), 1600);
    assert_eq!(body.columns.last().map(|column| column.name), Some("c1599"));
    let Message::Insert { new, .. } = identity(&insert, V1, false) else {
        panic!("no insert")
    };
    assert_eq!(new.len(), 1600);
    assert!(new.iter().all(|value| value == Value::Text(b"1")));
}

#[test]
fn duplicate_column_names_are_left_to_those_who_use_names() {
    let bytes = hex(
        "'R' 00004005 00 't' 00 'd' 0002 00 'a' 00 00000017 ffffffff 00 'a' 00 00000019 ffffffff",
    );
    let Message::Relation(relation) = identity(&bytes, V1, false) else {
        panic!("no relation")
    };
    let types: Vec<u32> = relation.columns.map(|column| column.type_oid).collect();
    assert_eq!(types, [23, 25]);
}

#[test]
fn values_are_the_bytes_that_were_sent() {
    // Empty, invalid UTF-8, a cut character, a zero byte: for the formatter to judge.
    let bytes = hex(
        "'I' 00004005 'N' 0006 't' 00000000 't' 00000001 ff 't' 00000001 c3 't' 00000001 00 \
         'b' 00000000 'n'",
    );
    let Message::Insert { new, .. } = identity(&bytes, V1, false) else {
        panic!("no insert")
    };
    let values: Vec<Value<'_>> = new.into_iter().collect();
    let expected = [
        Value::Text(b""),
        Value::Text(b"\xff"),
        Value::Text(b"\xc3"),
        Value::Text(b"\0"),
        Value::Binary(b""),
        Value::Null,
    ];
    assert_eq!(values, expected);
    assert_eq!(new.iter().len(), 6);
}

#[test]
fn an_insert_with_an_unchanged_value() {
    // A row filter turned an update into an insert: the value was TOASTed, and is not in the log.
    let bytes = hex("'I' 00004040 'N' 0002 't' 00000003 '100' 'u'");
    let Message::Insert { new, .. } = identity(&bytes, V1, false) else {
        panic!("no insert")
    };
    assert_eq!(new.iter().nth(1), Some(Value::Unchanged));
}

#[test]
fn old_rows_and_old_keys_are_told_apart() {
    let key = hex("'U' 00004005 'K' 0001 'n' 'N' 0001 'u'");
    let full = hex("'U' 00004005 'O' 0001 'n' 'N' 0001 'u'");
    let plain = hex("'U' 00004005 'N' 0001 'u'");
    let old = |bytes| match identity(bytes, V1, false) {
        Message::Update { old, new, .. } => {
            assert_eq!(new.iter().next(), Some(Value::Unchanged));
            old
        }
        other => panic!("no update: {other:?}"),
    };
    assert!(matches!(old(&key), Some(OldTuple::Key(_))));
    assert!(matches!(old(&full), Some(OldTuple::Full(_))));
    assert_eq!(old(&plain), None);
}

#[test]
fn truncate_options_and_relations() {
    for (flags, expected) in [(0, (false, false)), (1, (true, false)), (2, (false, true))] {
        let bytes = hex(&format!(
            "'T' 00000003 {flags:02x} 00000001 80000000 00000003"
        ));
        let Message::Truncate {
            cascade,
            restart_identity,
            relations,
            ..
        } = identity(&bytes, V1, false)
        else {
            panic!("no truncate")
        };
        assert_eq!((cascade, restart_identity), expected);
        assert_eq!(relations.len(), 3);
        assert_eq!(relations.collect::<Vec<_>>(), [1, 1 << 31, 3]);
    }
}

#[test]
fn two_phase_messages_under_every_version() {
    // A slot created for two-phase decoding sends them even when proto_version is 1.
    let bytes = hex("'b' 0000000000000001 0000000000000002 0000000000000003 00000303 'g' 00");
    identity(&bytes, Dialect::default(), false);
}

#[test]
fn gids_that_are_empty_quoted_or_long() {
    // 199 bytes is the server's limit in its own encoding; conversion to UTF-8 can double it.
    for gid in [
        String::new(),
        "it's \"quoted\"".into(),
        "g".repeat(200),
        "é".repeat(199),
    ] {
        for (head, times) in [("'P' 00", 1), ("'K' 00", 1), ("'r' 00", 2), ("'b'", 1)] {
            let mut bytes = hex(head);
            bytes.extend(hex("0000000000000001 0000000000000002"));
            bytes.extend(hex("0000000000000000").repeat(times));
            bytes.extend(hex("00000303"));
            bytes.extend(gid.bytes().chain([0]));
            let text = format!("{:?}", identity(&bytes, V1, false));
            assert!(text.contains(&format!("gid: {gid:?}")), "{text}");
        }
    }
}

#[test]
fn messages_with_empty_prefix_and_content() {
    let bytes = hex("'M' 00 0000000000000001 00 00000000");
    let Message::Message {
        transactional,
        prefix,
        content,
        ..
    } = identity(&bytes, V1, false)
    else {
        panic!("no message")
    };
    assert!(!transactional && prefix.is_empty() && content.is_empty());
}

#[test]
fn a_gigabyte_of_content_is_not_copied() {
    let mut bytes = hex("'M' 01 0000000000000001 'p' 00 04000000");
    bytes.resize(bytes.len() + (64 << 20), b'x');
    let Ok(Message::Message { content, .. }) = decode(&bytes, V1, false) else {
        panic!("no message")
    };
    assert_eq!(content.as_ptr(), bytes[bytes.len() - (64 << 20)..].as_ptr());
}

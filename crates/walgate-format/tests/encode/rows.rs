//! insert, update and delete under each replica identity.

use std::sync::Arc;

use walgate_core::{
    Body, Change, ColumnUse, Lsn, OldTuple, PgMicros, Position, ReplicaIdentity, Table,
    Transaction, Value,
};
use walgate_format::{MaskKey, NativeJson, NativeJsonOptions};

use crate::fixture::{
    INT4, NULL, TEXT, TRANSACTION, UNCHANGED, encode, orders, t, table, try_encode, tuple,
};

const ROW: [Value<'_>; 5] = [
    t("42"),
    t("paid"),
    t("19.90"),
    t(r#"{"sku": "A-7"}"#),
    t("leave it\nhere"),
];

fn native() -> NativeJson {
    NativeJson::new(NativeJsonOptions::default())
}

fn insert(table: Table, new: &[Value<'_>]) -> String {
    let (table, new) = (Arc::new(table), tuple(new));
    let event = encode(
        &mut native(),
        Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
    );
    assert_eq!(event.bytes.last(), Some(&b'\n'));
    assert_eq!(event.bytes.len(), event.value().len() + 1);
    event.value().to_owned()
}

enum Old<'a> {
    Nothing,
    Key(&'a [Value<'a>]),
    Full(&'a [Value<'a>]),
}

fn update(table: Table, old: &Old<'_>, new: &[Value<'_>]) -> String {
    let (table, new) = (Arc::new(table), tuple(new));
    let old_row = match old {
        Old::Nothing => tuple(&[]),
        Old::Key(values) | Old::Full(values) => tuple(values),
    };
    let old = match old {
        Old::Nothing => None,
        Old::Key(_) => Some(OldTuple::Key(old_row.as_tuple())),
        Old::Full(_) => Some(OldTuple::Full(old_row.as_tuple())),
    };
    let body = Body::Update {
        table: &table,
        old,
        new: new.as_tuple(),
    };
    encode(&mut native(), body).value().to_owned()
}

fn delete(table: Table, old: &Old<'_>) -> String {
    let table = Arc::new(table);
    let (Old::Key(values) | Old::Full(values)) = old else {
        unreachable!("a delete has a row")
    };
    let row = tuple(values);
    let old = match old {
        Old::Full(_) => OldTuple::Full(row.as_tuple()),
        _ => OldTuple::Key(row.as_tuple()),
    };
    encode(&mut native(), Body::Delete { table: &table, old })
        .value()
        .to_owned()
}

/// What comes before the row's own parts.
fn head(op: &str) -> String {
    format!(r#"{{"id":"00000000014a2f60-00000003","op":"{op}","schema":"public","table":"orders","#)
}

const TAIL: &str = r#","lsn":"0/14A2F60","xid":771,"time":"2026-11-21T09:30:00.123456Z"}"#;

#[test]
fn insert_is_written_as_a_whole() {
    let expected = concat!(
        r#""key":{"id":42},"after":{"id":42,"status":"paid","amount":"19.90","#,
        r#""payload":{"sku": "A-7"},"note":"leave it\nhere"}"#,
    );
    let event = insert(orders(ReplicaIdentity::Default), &ROW);
    assert_eq!(event, head("insert") + expected + TAIL);
}

#[test]
fn null_is_told_and_a_table_without_identity_has_no_key() {
    let columns = [("a", INT4, false), ("b", TEXT, false)];
    let event = insert(table(ReplicaIdentity::Nothing, &columns), &[NULL, NULL]);
    assert_eq!(
        event,
        head("insert") + r#""after":{"a":null,"b":null}"# + TAIL
    );
}

#[test]
fn a_table_may_have_no_columns() {
    let event = insert(table(ReplicaIdentity::Default, &[]), &[]);
    assert_eq!(event, head("insert") + r#""after":{}"# + TAIL);
}

#[test]
fn names_are_escaped_and_never_folded() {
    let columns = [("Order \"Nr\"", INT4, true), ("größe\\\n", TEXT, false)];
    let event = insert(table(ReplicaIdentity::Index, &columns), &[t("1"), t("x")]);
    let expected = r#""key":{"Order \"Nr\"":1},"after":{"Order \"Nr\"":1,"größe\\\n":"x"}"#;
    assert_eq!(event, head("insert") + expected + TAIL);
}

#[test]
fn update_without_an_old_row() {
    let new = [t("42"), t("paid"), t("19.90"), NULL, UNCHANGED];
    let expected = concat!(
        r#""key":{"id":42},"after":{"id":42,"status":"paid","amount":"19.90","payload":null},"#,
        r#""unchanged":["note"]"#,
    );
    let event = update(orders(ReplicaIdentity::Default), &Old::Nothing, &new);
    assert_eq!(event, head("update") + expected + TAIL);
}

/// The example of the format, on its one line.
#[test]
fn update_of_a_key_is_the_example_of_the_format() {
    let old = [t("41"), NULL, NULL, NULL, NULL];
    let new = [
        t("42"),
        t("paid"),
        t("19.90"),
        t(r#"{"sku":"A-7"}"#),
        UNCHANGED,
    ];
    let expected = concat!(
        r#"{"id":"00000000014a2f60-00000003","op":"update","schema":"public","table":"orders","#,
        r#""key":{"id":42},"before":{"id":41},"after":{"id":42,"status":"paid","#,
        r#""amount":"19.90","payload":{"sku":"A-7"}},"unchanged":["note"],"lsn":"0/14A2F60","#,
        r#""xid":771,"time":"2026-11-21T09:30:00.123456Z"}"#,
    );
    assert_eq!(
        update(orders(ReplicaIdentity::Default), &Old::Key(&old), &new),
        expected
    );
}

/// PostgreSQL sends the old key also when an unchanged key column is stored externally.
#[test]
fn an_old_key_with_the_same_values_fills_and_is_not_told() {
    let columns = [("k", TEXT, true), ("l", INT4, true), ("v", TEXT, false)];
    let expected = r#""key":{"k":"long","l":1},"after":{"k":"long","l":1},"unchanged":["v"]"#;
    let old = Old::Key(&[t("long"), t("1"), NULL]);
    let event = update(
        table(ReplicaIdentity::Default, &columns),
        &old,
        &[UNCHANGED, t("1"), UNCHANGED],
    );
    assert_eq!(event, head("update") + expected + TAIL);
}

#[test]
fn one_changed_column_of_a_key_tells_all_of_the_old_key() {
    let columns = [("k", TEXT, true), ("l", INT4, true), ("v", TEXT, false)];
    let expected = concat!(
        r#""key":{"k":"long","l":2},"before":{"k":"long","l":1},"#,
        r#""after":{"k":"long","l":2,"v":"x"}"#
    );
    let old = Old::Key(&[t("long"), t("1"), NULL]);
    let event = update(
        table(ReplicaIdentity::Default, &columns),
        &old,
        &[UNCHANGED, t("2"), t("x")],
    );
    assert_eq!(event, head("update") + expected + TAIL);
}

#[test]
fn full_tells_the_whole_old_row_and_fills_from_it() {
    let old = [t("42"), t("open"), t("19.90"), NULL, t("long")];
    let new = [t("42"), t("paid"), t("19.90"), NULL, UNCHANGED];
    let expected = concat!(
        r#""key":{"id":42},"#,
        r#""before":{"id":42,"status":"open","amount":"19.90","payload":null,"note":"long"},"#,
        r#""after":{"id":42,"status":"paid","amount":"19.90","payload":null,"note":"long"}"#,
    );
    let event = update(orders(ReplicaIdentity::Full), &Old::Full(&old), &new);
    assert_eq!(event, head("update") + expected + TAIL);
}

#[test]
fn what_even_the_old_row_lacks_stays_unchanged() {
    let columns = [("a", INT4, false), ("b", TEXT, false), ("c", TEXT, false)];
    let expected = r#""before":{"a":1},"after":{"a":1},"unchanged":["b","c"]"#;
    let row = [t("1"), UNCHANGED, UNCHANGED];
    let event = update(
        table(ReplicaIdentity::Full, &columns),
        &Old::Full(&row),
        &row,
    );
    assert_eq!(event, head("update") + expected + TAIL);
}

#[test]
fn delete_tells_what_the_log_holds() {
    let key = [t("42"), NULL, NULL, NULL, NULL];
    let event = delete(orders(ReplicaIdentity::Default), &Old::Key(&key));
    assert_eq!(
        event,
        head("delete") + r#""key":{"id":42},"before":{"id":42}"# + TAIL
    );

    let row = [t("42"), t("paid"), NULL, NULL, t("x")];
    let before = r#""before":{"id":42,"status":"paid","amount":null,"payload":null,"note":"x"}"#;
    let event = delete(orders(ReplicaIdentity::Full), &Old::Full(&row));
    assert_eq!(
        event,
        head("delete") + r#""key":{"id":42},"# + before + TAIL
    );

    let without_primary_key = table(ReplicaIdentity::Full, &[("a", INT4, false)]);
    let event = delete(without_primary_key, &Old::Full(&[t("1")]));
    assert_eq!(event, head("delete") + r#""before":{"a":1}"# + TAIL);
}

#[test]
fn dropped_columns_are_nowhere() {
    let drop = |places: &[usize]| {
        let mut table = orders(ReplicaIdentity::Default);
        for place in places {
            table.columns[*place] = ColumnUse::Drop;
        }
        table
    };
    let old = [t("41"), NULL, NULL, NULL, NULL];
    let new = [t("42"), t("paid"), UNCHANGED, NULL, UNCHANGED];
    let event = update(drop(&[0, 3, 4]), &Old::Key(&old), &new);
    assert_eq!(
        event,
        head("update") + r#""after":{"status":"paid"},"unchanged":["amount"]"# + TAIL
    );
    let event = delete(drop(&[0]), &Old::Key(&old));
    assert_eq!(
        event,
        head("delete").trim_end_matches(',').to_owned() + TAIL
    );
    let event = insert(drop(&[0, 1, 2, 3, 4]), &ROW);
    assert_eq!(event, head("insert") + r#""after":{}"# + TAIL);
}

#[test]
fn a_row_without_a_use_for_its_columns_shows_none() {
    let mut table = orders(ReplicaIdentity::Default);
    table.columns.truncate(2);
    let event = insert(table, &ROW);
    let expected = r#""key":{"id":42},"after":{"id":42,"status":"paid"}"#;
    assert_eq!(event, head("insert") + expected + TAIL);
}

/// HMAC-SHA256 with the key `secret`, as `openssl dgst -sha256 -hmac secret` prints it.
#[test]
fn masked_columns_are_hashed_everywhere() {
    const OF_41: &str = "hmac:5754439085344eea192766ae31115be110c8548b74de3e34dcb76ad7544e7d7e";
    const OF_42: &str = "hmac:93c121e7aa437a1e01e3c512c6f0ce3c821a839025dca4408f85616de4aaee70";
    let mut table = orders(ReplicaIdentity::Default);
    table.columns[0] = ColumnUse::Mask;
    table.columns[3] = ColumnUse::Mask;
    table.columns[4] = ColumnUse::Mask;
    let table = Arc::new(table);
    let mask_key = MaskKey::new(b"secret");
    let mut encoder = NativeJson::new(NativeJsonOptions {
        mask_key,
        ..Default::default()
    });
    let old = tuple(&[t("41"), NULL, NULL, NULL, NULL]);
    let new = tuple(&[t("42"), t("paid"), t("1"), NULL, UNCHANGED]);
    let old = Some(OldTuple::Key(old.as_tuple()));
    let body = Body::Update {
        table: &table,
        old,
        new: new.as_tuple(),
    };
    let event = encode(&mut encoder, body);
    let expected = format!(
        concat!(
            r#""key":{{"id":"{of_42}"}},"before":{{"id":"{of_41}"}},"#,
            r#""after":{{"id":"{of_42}","status":"paid","amount":"1","payload":null}},"#,
            r#""unchanged":["note"]"#
        ),
        of_41 = OF_41,
        of_42 = OF_42
    );
    assert_eq!(event.value(), head("update") + &expected + TAIL);
}

/// What is formatted once for a transaction is not taken into the next.
#[test]
fn transactions_follow_each_other() {
    let table = Arc::new(table(ReplicaIdentity::Nothing, &[("a", INT4, false)]));
    let new = tuple(&[t("1")]);
    let body = Body::Insert {
        table: &table,
        new: new.as_tuple(),
    };
    let later = Transaction {
        xid: u32::MAX,
        commit_lsn: Lsn(0xAB_1234_5678),
        commit_time: PgMicros(0),
    };
    let same_lsn = Transaction { xid: 7, ..later };
    let mut encoder = native();
    let mut event = |epoch, transaction: &Transaction, index| {
        let position = Position::new(epoch, transaction.commit_lsn, index);
        let change = Change {
            position,
            transaction: Some(transaction),
            body,
        };
        try_encode(&mut encoder, &change)
            .expect("it can be encoded")
            .value()
            .to_owned()
    };
    assert!(event(0, &TRANSACTION, 2).ends_with(TAIL));
    let tail = r#","lsn":"AB/12345678","xid":4294967295,"time":"2000-01-01T00:00:00.000000Z"}"#;
    let second = event(0, &later, u32::MAX);
    assert!(
        second.starts_with(r#"{"id":"000000ab12345678-ffffffff","op""#),
        "{second}"
    );
    assert!(second.ends_with(tail), "{second}");
    let third = event(0x7F, &same_lsn, 0x0123_ABCD);
    assert!(
        third.starts_with(r#"{"id":"7f0000ab12345678-0123abcd","op""#),
        "{third}"
    );
    assert!(third.contains(r#""xid":7,"#), "{third}");
    assert!(event(0, &TRANSACTION, 2).ends_with(TAIL));
}

/// Tables are told apart by their id, also when they come in turns.
#[test]
fn tables_come_in_turns() {
    let mut encoder = native();
    let new = tuple(&[t("1")]);
    for round in 0..3 {
        for (id, name) in [(1, "a"), (2, "b"), (70_000, "c")] {
            let mut table = table(ReplicaIdentity::Nothing, &[(name, INT4, false)]);
            table.id = id;
            let table = Arc::new(table);
            let event = encode(
                &mut encoder,
                Body::Insert {
                    table: &table,
                    new: new.as_tuple(),
                },
            );
            let expected = format!(r#""after":{{"{name}":1}},"#);
            assert!(
                event.value().contains(&expected),
                "round {round}: {}",
                event.value()
            );
        }
    }
}

#[test]
fn a_row_that_leaves_a_filter_is_told_by_the_key_that_it_had() {
    let leave = |table: Table, old: &Old<'_>, new: &[Value<'_>]| {
        let (table, new) = (Arc::new(table), tuple(new));
        let (Old::Key(values) | Old::Full(values)) = old else {
            unreachable!("what leaves was there")
        };
        let row = tuple(values);
        let old = match old {
            Old::Full(_) => OldTuple::Full(row.as_tuple()),
            _ => OldTuple::Key(row.as_tuple()),
        };
        let new = new.as_tuple();
        let body = Body::Leave {
            table: &table,
            old,
            new,
        };
        encode(&mut native(), body).value().to_owned()
    };
    let old = [t("41"), t("open"), NULL, NULL, NULL];
    let expected = concat!(
        r#"{"id":"00000000014a2f60-00000003","op":"leave","schema":"public","table":"orders","#,
        r#""key":{"id":41},"lsn":"0/14A2F60","xid":771,"time":"2026-11-21T09:30:00.123456Z"}"#
    );
    let full = orders(ReplicaIdentity::Full);
    assert_eq!(leave(full, &Old::Full(&old), &ROW), expected);
    let by_key = [t("41"), NULL, NULL, NULL, NULL];
    let default = orders(ReplicaIdentity::Default);
    assert_eq!(leave(default, &Old::Key(&by_key), &ROW), expected);
    // A key of the configuration that the log does not hold of the old row.
    let mut table = orders(ReplicaIdentity::Default);
    table.key = vec![1, 0];
    let event = leave(table, &Old::Key(&by_key), &ROW);
    assert!(
        event.contains(r#""key":{"status":"paid","id":41}"#),
        "{event}"
    );
}

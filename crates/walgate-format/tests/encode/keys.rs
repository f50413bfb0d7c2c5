//! Keys, old keys and where their bytes lie.

use std::sync::Arc;

use walgate_core::{Body, Encoded, OldTuple, ReplicaIdentity, Table, Value};
use walgate_format::{Int8, NativeJson, NativeJsonOptions};

use crate::fixture::{
    Event, INT4, INT8, NULL, TEXT, UNCHANGED, encode, in_transaction, orders, t, table, try_encode,
    tuple,
};

fn with_old_keys() -> NativeJson {
    NativeJson::new(NativeJsonOptions {
        old_keys: true,
        ..Default::default()
    })
}

fn update(
    encoder: &mut NativeJson,
    table: &Arc<Table>,
    old: (bool, &[Value<'_>]),
    new: &[Value<'_>],
) -> Event {
    let (old_row, new) = (tuple(old.1), tuple(new));
    let old = if old.0 {
        OldTuple::Full(old_row.as_tuple())
    } else {
        OldTuple::Key(old_row.as_tuple())
    };
    encode(
        encoder,
        Body::Update {
            table,
            old: Some(old),
            new: new.as_tuple(),
        },
    )
}

#[test]
fn the_key_lies_inside_the_event() {
    let table = Arc::new(orders(ReplicaIdentity::Default));
    let new = tuple(&[t("42"), NULL, NULL, NULL, NULL]);
    let event = encode(
        &mut with_old_keys(),
        Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
    );
    assert_eq!(event.key(), Some(r#"{"id":42}"#));
    assert_eq!(event.old_key(), None);
    let Encoded {
        value,
        key: Some(key),
        ..
    } = event.encoded
    else {
        panic!("it has a key")
    };
    assert!(value.start < key.start && key.end < value.end);
}

#[test]
fn the_old_key_is_before_where_they_are_the_same() {
    let table = Arc::new(orders(ReplicaIdentity::Default));
    let old = [t("41"), NULL, NULL, NULL, NULL];
    let new = [t("42"), t("paid"), NULL, NULL, UNCHANGED];
    let event = update(&mut with_old_keys(), &table, (false, &old), &new);
    assert_eq!(
        (event.key(), event.old_key()),
        (Some(r#"{"id":42}"#), Some(r#"{"id":41}"#))
    );
    assert_eq!(event.bytes.len(), event.value().len() + 1);

    let mut without = NativeJson::new(NativeJsonOptions::default());
    let event = update(&mut without, &table, (false, &old), &new);
    assert_eq!((event.key(), event.old_key()), (Some(r#"{"id":42}"#), None));
}

#[test]
fn the_old_key_stands_behind_the_event_where_they_are_not() {
    let table = Arc::new(orders(ReplicaIdentity::Full));
    let old = [t("41"), t("paid"), NULL, NULL, NULL];
    let new = [t("42"), t("paid"), NULL, NULL, NULL];
    let event = update(&mut with_old_keys(), &table, (true, &old), &new);
    assert_eq!(
        (event.key(), event.old_key()),
        (Some(r#"{"id":42}"#), Some(r#"{"id":41}"#))
    );
    assert!(event.bytes.ends_with(b"}\n{\"id\":41}"));

    let mut without = NativeJson::new(NativeJsonOptions::default());
    let event = update(&mut without, &table, (true, &old), &new);
    assert_eq!(event.old_key(), None);
    assert_eq!(event.bytes.len(), event.value().len() + 1);
}

#[test]
fn an_old_row_with_the_same_key_is_no_change_of_the_key() {
    let full = Arc::new(orders(ReplicaIdentity::Full));
    let old = [t("42"), t("open"), NULL, NULL, NULL];
    let new = [t("42"), t("paid"), NULL, NULL, NULL];
    let event = update(&mut with_old_keys(), &full, (true, &old), &new);
    assert_eq!((event.key(), event.old_key()), (Some(r#"{"id":42}"#), None));

    // The key is stored externally and was not touched.
    let columns = [("k", TEXT, true), ("v", INT4, false)];
    let default = Arc::new(table(ReplicaIdentity::Default, &columns));
    let event = update(
        &mut with_old_keys(),
        &default,
        (false, &[t("long"), NULL]),
        &[UNCHANGED, t("1")],
    );
    assert_eq!(
        (event.key(), event.old_key()),
        (Some(r#"{"k":"long"}"#), None)
    );
    let event = update(
        &mut with_old_keys(),
        &full,
        (true, &old),
        &[UNCHANGED, t("x"), NULL, NULL, NULL],
    );
    assert_eq!((event.key(), event.old_key()), (Some(r#"{"id":42}"#), None));
}

/// What was not sent is not known to differ.
#[test]
fn an_old_key_that_was_not_sent_is_none() {
    let full = Arc::new(orders(ReplicaIdentity::Full));
    let old = [UNCHANGED, t("open"), NULL, NULL, NULL];
    let new = [t("42"), t("paid"), NULL, NULL, NULL];
    let event = update(&mut with_old_keys(), &full, (true, &old), &new);
    assert_eq!((event.key(), event.old_key()), (Some(r#"{"id":42}"#), None));
}

#[test]
fn a_configured_key_has_its_own_order() {
    let mut table = orders(ReplicaIdentity::Full);
    table.key = vec![1, 0];
    let table = Arc::new(table);
    let old = [t("41"), t("open"), NULL, NULL, NULL];
    let new = [t("41"), NULL, NULL, NULL, NULL];
    let event = update(&mut with_old_keys(), &table, (true, &old), &new);
    assert_eq!(event.key(), Some(r#"{"status":null,"id":41}"#));
    assert_eq!(event.old_key(), Some(r#"{"status":"open","id":41}"#));

    let row = tuple(&old);
    let body = Body::Delete {
        table: &table,
        old: OldTuple::Full(row.as_tuple()),
    };
    let event = encode(&mut with_old_keys(), body);
    assert_eq!(event.key(), Some(r#"{"status":"open","id":41}"#));
}

/// The same columns in another order are other bytes than `before`.
#[test]
fn a_reordered_identity_has_an_old_key_of_its_own() {
    let columns = [("a", INT4, true), ("b", INT4, true), ("c", INT4, false)];
    let mut table = table(ReplicaIdentity::Default, &columns);
    table.key = vec![1, 0];
    let table = Arc::new(table);
    let event = update(
        &mut with_old_keys(),
        &table,
        (false, &[t("1"), t("2"), NULL]),
        &[t("1"), t("3"), NULL],
    );
    assert!(event.value().contains(r#""before":{"a":1,"b":2},"#));
    assert_eq!(event.key(), Some(r#"{"b":3,"a":1}"#));
    assert_eq!(event.old_key(), Some(r#"{"b":2,"a":1}"#));
}

/// Nobody can tell the key of a delete when the log does not hold it: leaving it out would send
/// the delete to another partition than the row.
#[test]
fn a_configured_key_outside_the_identity_is_refused_where_it_is_not_logged() {
    let mut table = orders(ReplicaIdentity::Default);
    table.key = vec![0, 1];
    let table = Arc::new(table);
    let row = tuple(&[t("41"), NULL, NULL, NULL, NULL]);
    let body = Body::Delete {
        table: &table,
        old: OldTuple::Key(row.as_tuple()),
    };
    let error = try_encode(&mut with_old_keys(), &in_transaction(body)).expect_err("no key");
    assert!(error.message.contains("\"status\""), "{error:?}");
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("REPLICA IDENTITY FULL"))
    );

    // An update has the new key; whether it has changed is not known.
    let event = update(
        &mut with_old_keys(),
        &table,
        (false, &[t("41"), NULL, NULL, NULL, NULL]),
        &[t("42"), t("paid"), NULL, NULL, NULL],
    );
    assert_eq!(event.key(), Some(r#"{"id":42,"status":"paid"}"#));
    assert_eq!(event.old_key(), None);
}

#[test]
fn int8_as_a_string_holds_in_keys_and_arrays() {
    const INT8_ARRAY: u32 = 1016;
    let columns = [
        ("id", INT8, true),
        ("n", INT4, false),
        ("list", INT8_ARRAY, false),
    ];
    let table = Arc::new(table(ReplicaIdentity::Default, &columns));
    let new = tuple(&[t("9007199254740993"), t("1"), t("{1,NULL}")]);
    let body = Body::Insert {
        table: &table,
        new: new.as_tuple(),
    };
    let mut strings = NativeJson::new(NativeJsonOptions {
        int8: Int8::String,
        ..Default::default()
    });
    let event = encode(&mut strings, body);
    assert_eq!(event.key(), Some(r#"{"id":"9007199254740993"}"#));
    let after = r#""after":{"id":"9007199254740993","n":1,"list":["1",null]},"#;
    assert!(event.value().contains(after), "{}", event.value());
}

//! Changes that can never be encoded.

use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{
    Body, Change, ColumnUse, EncodeError, Encoder, OldTuple, ReplicaIdentity, Table, Value,
};
use walgate_format::{NativeJson, NativeJsonOptions};

use crate::fixture::{INT4, NULL, TEXT, UNCHANGED, in_transaction, t, table, tuple};

fn two_columns() -> Table {
    table(
        ReplicaIdentity::Default,
        &[("id", INT4, true), ("höhe", TEXT, false)],
    )
}

/// Refuses the change, and leaves what was there before as it was.
fn refused(change: &Change<'_>) -> EncodeError {
    let mut encoder = NativeJson::new(NativeJsonOptions::default());
    let mut out = BytesMut::from(&b"before"[..]);
    let error = encoder
        .encode(change, &mut out)
        .expect_err("it can't be encoded");
    assert_eq!(&out[..], b"before");
    assert!(
        error.hint.as_ref().is_some_and(|hint| !hint.is_empty()),
        "{error:?}"
    );
    error
}

fn insert(table: Table, values: &[Value<'_>]) -> String {
    let (table, new) = (Arc::new(table), tuple(values));
    refused(&in_transaction(Body::Insert {
        table: &table,
        new: new.as_tuple(),
    }))
    .message
}

#[test]
fn text_that_is_not_utf8_names_column_and_byte() {
    let message = insert(two_columns(), &[t("1"), Value::Text(b"ab\xFFcd")]);
    assert_eq!(
        message,
        "column \"höhe\": text is not valid UTF-8 at byte 2"
    );
    // The value itself may be a secret.
    let message = insert(two_columns(), &[t("secret"), NULL]);
    assert_eq!(
        message,
        "column \"id\": the text of an integer is not digits"
    );
}

#[test]
fn binary_values_were_not_asked_for() {
    let message = insert(two_columns(), &[Value::Binary(&[0, 0, 0, 1]), NULL]);
    assert_eq!(message, "column \"id\": the value is in binary form");
}

#[test]
fn a_mask_needs_a_key() {
    let mut table = two_columns();
    table.columns[1] = ColumnUse::Mask;
    let message = insert(table, &[t("1"), t("x")]);
    assert_eq!(
        message,
        "column \"höhe\": it is masked, but there is no key"
    );
}

#[test]
fn a_row_has_as_many_columns_as_its_relation() {
    assert_eq!(
        insert(two_columns(), &[t("1")]),
        "a row has 1 columns, its relation 2"
    );
    assert_eq!(
        insert(two_columns(), &[t("1"), NULL, NULL]),
        "a row has 3 columns, its relation 2"
    );
    let table = Arc::new(two_columns());
    let (old, new) = (tuple(&[]), tuple(&[t("1"), NULL]));
    let old = Some(OldTuple::Key(old.as_tuple()));
    let body = Body::Update {
        table: &table,
        old,
        new: new.as_tuple(),
    };
    assert_eq!(
        refused(&in_transaction(body)).message,
        "a row has 0 columns, its relation 2"
    );
}

#[test]
fn a_key_that_was_not_sent_is_no_key() {
    let message = insert(two_columns(), &[UNCHANGED, NULL]);
    assert!(
        message.starts_with("column \"id\": it is part of the key"),
        "{message}"
    );
}

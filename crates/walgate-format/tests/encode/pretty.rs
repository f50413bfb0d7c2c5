//! The form for people.

use std::sync::Arc;

use proptest::prelude::*;
use walgate_core::{
    Body, Change, ColumnUse, Encoder, Gap, GapReason, Lsn, OldTuple, Position, ReplicaIdentity,
    Value,
};
use walgate_format::{MaskKey, Pretty, PrettyOptions};

use crate::fixture::{
    INT4, NULL, TEXT, UNCHANGED, encode, in_transaction, orders, t, table, try_encode, tuple,
};

fn plain() -> Pretty {
    Pretty::new(PrettyOptions::default())
}

fn show(encoder: &mut Pretty, body: Body<'_>) -> String {
    let event = encode(encoder, body);
    assert_eq!(event.bytes.last(), Some(&b'\n'));
    assert_eq!(event.bytes.len(), event.value().len() + 1);
    assert_eq!((event.key(), event.old_key()), (None, None));
    event.value().to_owned()
}

#[test]
fn a_line_for_each_kind_of_row() {
    let default = Arc::new(orders(ReplicaIdentity::Default));
    let full = Arc::new(orders(ReplicaIdentity::Full));
    let open = tuple(&[t("42"), t("open"), t("19.90"), t(r#"{"sku": "A-7"}"#), NULL]);
    let paid = tuple(&[
        t("42"),
        t("paid"),
        t("19.90"),
        t(r#"{"sku": "A-7"}"#),
        UNCHANGED,
    ]);
    let key = tuple(&[t("42"), NULL, NULL, NULL, NULL]);
    let moved = tuple(&[t("43"), t("paid"), t("1"), NULL, UNCHANGED]);
    let mut encoder = plain();
    let mut line = |body| show(&mut encoder, body);
    assert_eq!(
        line(Body::Insert {
            table: &default,
            new: open.as_tuple()
        }),
        r#"09:30:00.123  insert    public.orders  id=42   status=open amount=19.90 payload={"sku": "A-7"} note=null"#
    );
    assert_eq!(
        line(Body::Update {
            table: &full,
            old: Some(OldTuple::Full(open.as_tuple())),
            new: paid.as_tuple(),
        }),
        "09:30:00.123  update    public.orders  id=42   status: open → paid"
    );
    assert_eq!(
        line(Body::Update {
            table: &default,
            old: None,
            new: paid.as_tuple()
        }),
        r#"09:30:00.123  update    public.orders  id=42   status=paid amount=19.90 payload={"sku": "A-7"} note=(unchanged)"#
    );
    assert_eq!(
        line(Body::Update {
            table: &default,
            old: Some(OldTuple::Key(key.as_tuple())),
            new: moved.as_tuple(),
        }),
        "09:30:00.123  update    public.orders  id=43   id: 42 → 43 status=paid amount=1 payload=null note=(unchanged)"
    );
    assert_eq!(
        line(Body::Update {
            table: &full,
            old: Some(OldTuple::Full(open.as_tuple())),
            new: open.as_tuple(),
        }),
        "09:30:00.123  update    public.orders  id=42   (no change)"
    );
    assert_eq!(
        line(Body::Delete {
            table: &default,
            old: OldTuple::Key(key.as_tuple())
        }),
        "09:30:00.123  delete    public.orders  id=42"
    );
    assert_eq!(
        line(Body::Delete {
            table: &full,
            old: OldTuple::Full(open.as_tuple())
        }),
        r#"09:30:00.123  delete    public.orders  id=42   status=open amount=19.90 payload={"sku": "A-7"} note=null"#
    );
}

#[test]
fn a_line_for_everything_else() {
    let orders = Arc::new(orders(ReplicaIdentity::Default));
    let mut encoder = plain();
    let mut line = |body| show(&mut encoder, body);
    assert_eq!(line(Body::Begin), "09:30:00.123  begin     xid 771");
    assert_eq!(
        line(Body::Commit { changes: 1 }),
        "09:30:00.123  commit    xid 771       1 change"
    );
    assert_eq!(
        line(Body::Commit { changes: 3 }),
        "09:30:00.123  commit    xid 771       3 changes"
    );
    let truncate = Body::Truncate {
        table: &orders,
        cascade: true,
        restart_identity: true,
    };
    assert_eq!(
        line(truncate),
        "09:30:00.123  truncate  public.orders  cascade, restart identity"
    );
    let schema = "id int4 key, status text, amount numeric, payload jsonb, note text";
    assert_eq!(
        line(Body::Schema { table: &orders }),
        format!("09:30:00.123  schema    public.orders  {schema}")
    );
    let message = Body::Message {
        lsn: Lsn(1),
        transactional: true,
        prefix: "app",
        content: b"\xFFhi\n",
    };
    assert_eq!(
        line(message),
        r"09:30:00.123  message   app            \xffhi\n"
    );
}

#[test]
fn what_has_no_transaction_has_no_time() {
    let gap = Gap {
        from: Lsn(0x10),
        to: Lsn(0x20),
        reason: GapReason::SlotLost,
    };
    let change = Change {
        position: Position::committed(0, gap.to),
        transaction: None,
        body: Body::Gap(&gap),
    };
    let event = try_encode(&mut plain(), &change).expect("a gap can be shown");
    let expected = "              gap       0/10 → 0/20   changes are lost: slot_lost";
    assert_eq!(event.value(), expected);
}

/// Tables and keys push what follows to the right, and it stays there.
#[test]
fn lines_align() {
    let mut wide = table(
        ReplicaIdentity::Default,
        &[("identifier", INT4, true), ("a", INT4, false)],
    );
    wide.id = 2;
    let (wide, narrow) = (
        Arc::new(wide),
        Arc::new(table(
            ReplicaIdentity::Default,
            &[("i", INT4, true), ("a", INT4, false)],
        )),
    );
    let row = tuple(&[t("12345"), t("7")]);
    let mut encoder = plain();
    let mut column_of_a = |table| {
        let line = show(
            &mut encoder,
            Body::Insert {
                table,
                new: row.as_tuple(),
            },
        );
        line.find(" a=7").expect("it is shown")
    };
    let alone = column_of_a(&narrow);
    let widened = column_of_a(&wide);
    assert!(widened > alone);
    assert_eq!(column_of_a(&narrow), widened);
}

#[test]
fn data_has_no_power_over_the_terminal() {
    let columns = [("id", INT4, true), ("\u{1b}[31mred", TEXT, false)];
    let mut table = table(ReplicaIdentity::Default, &columns);
    Arc::make_mut(&mut table.relation).name = "a\nb".to_owned();
    let table = Arc::new(table);
    let new = tuple(&[t("1"), t("\u{1b}]0;x\u{7} \u{9b}")]);
    let line = show(
        &mut plain(),
        Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
    );
    assert!(
        line.ends_with(r"public.a\nb   id=1    \u{1b}[31mred='\u{1b}]0;x\u{7} \u{9b}'"),
        "{line}"
    );
}

#[test]
fn long_values_and_many_columns_are_cut() {
    let names: Vec<String> = (0..100).map(|place| format!("c{place}")).collect();
    let columns: Vec<(&str, u32, bool)> = names
        .iter()
        .map(|name| (name.as_str(), TEXT, false))
        .collect();
    let table = Arc::new(table(ReplicaIdentity::Nothing, &columns));
    let long = "x".repeat(1000);
    let new = tuple(&vec![t(&long); 100]);
    let line = show(
        &mut plain(),
        Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
    );
    assert!(
        line.contains(&format!(" c0={}… c1=", "x".repeat(40))),
        "{line}"
    );
    assert!(line.ends_with("… 76 more columns"), "{line}");
}

#[test]
fn what_could_be_taken_for_something_else_is_quoted() {
    let columns = [
        ("a", TEXT, false),
        ("b", TEXT, false),
        ("c", TEXT, false),
        ("d", TEXT, false),
    ];
    let table = Arc::new(table(ReplicaIdentity::Nothing, &columns));
    let new = tuple(&[t(""), t("null"), t("x y"), t("c=d")]);
    let line = show(
        &mut plain(),
        Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
    );
    assert!(line.ends_with("a='' b='null' c='x y' d='c=d'"), "{line}");
}

#[test]
fn colours_and_dates_when_asked_for() {
    let table = Arc::new(table(ReplicaIdentity::Default, &[("id", INT4, true)]));
    let new = tuple(&[t("1")]);
    let options = PrettyOptions {
        colour: true,
        date: true,
        ..PrettyOptions::default()
    };
    let body = Body::Insert {
        table: &table,
        new: new.as_tuple(),
    };
    let line = show(&mut Pretty::new(options), body);
    let expected = concat!(
        "\x1b[2m2026-11-21 09:30:00.123\x1b[0m  \x1b[32minsert\x1b[0m    public.orders  ",
        "\x1b[2mid=\x1b[0m1",
    );
    assert_eq!(line, expected);
}

#[test]
fn dropped_columns_are_not_shown_and_masked_ones_are_hashed() {
    let mut table = orders(ReplicaIdentity::Default);
    table.columns = vec![
        ColumnUse::Mask,
        ColumnUse::Mask,
        ColumnUse::Drop,
        ColumnUse::Drop,
        ColumnUse::Keep,
    ];
    let table = Arc::new(table);
    let new = tuple(&[t("42"), t("secret"), t("1"), t("{}"), UNCHANGED]);
    let body = Body::Insert {
        table: &table,
        new: new.as_tuple(),
    };
    let options = PrettyOptions {
        mask_key: MaskKey::new(b"secret"),
        max_value: 13,
        ..PrettyOptions::default()
    };
    let line = show(&mut Pretty::new(options), body);
    assert!(line.contains(" id=hmac:93c121e7…  status=hmac:"), "{line}");
    assert!(line.ends_with("… note=(unchanged)"), "{line}");
    let error = try_encode(&mut plain(), &in_transaction(body)).expect_err("there is no key");
    assert_eq!(
        error.message,
        "column \"id\": it is masked, but there is no key"
    );
}

proptest! {
    #[test]
    fn any_row_is_one_line(
        cells in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)), 2..=2),
        full in any::<bool>(),
        count in 0..4usize,
    ) {
        let columns = [("id", INT4, true), ("t", TEXT, false)];
        let identity = if full { ReplicaIdentity::Full } else { ReplicaIdentity::Default };
        let table = Arc::new(table(identity, &columns));
        let values: Vec<Value<'_>> =
            cells.iter().map(|cell| cell.as_deref().map_or(NULL, Value::Text)).collect();
        let new = tuple(&values);
        // Also a row that does not fit its relation.
        let old = tuple(&vec![UNCHANGED; count]);
        let old = if full {
            OldTuple::Full(old.as_tuple())
        } else {
            OldTuple::Key(old.as_tuple())
        };
        let body = Body::Update { table: &table, old: Some(old), new: new.as_tuple() };
        let mut out = bytes::BytesMut::new();
        plain().encode(&in_transaction(body), &mut out).expect("any row can be shown");
        let text = str::from_utf8(&out).expect("a line is UTF-8");
        prop_assert_eq!(text.matches(char::is_control).collect::<Vec<_>>(), ["\n"]);
    }
}

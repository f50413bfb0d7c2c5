//! What goes out behind a topic is what went out in front of it: encoded, decoded and encoded again.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use walgate_core::{
    Body, Column, FrameKind, OldTuple, Relation, ReplicaIdentity, Scalar, Shape, Table, Value,
};
use walgate_format::Int8;
use walgate_pgoutput::{Dialect, Message, TupleBuf, decode};
use walgate_source_kafka::{EventDecoder, Taken};

use crate::log::{decoder, event, of, transaction};

const INDEX: u32 = 7;

/// Types as columns have them: built-in ones, and domains, arrays and enums of a user.
fn types() -> Vec<(u32, &'static str, Shape)> {
    let builtin = [
        16, 17, 20, 21, 23, 25, 26, 114, 600, 603, 700, 701, 1042, 1082, 1083, 1114, 1184, 1186,
        1266, 1700, 2950, 3802, 3904, 199, 1000, 1001, 1007, 1009, 1016, 1020, 1115, 1185, 1270,
        1231, 3807,
    ];
    let builtin = builtin.map(|oid| (oid, "", Shape::of_builtin(oid).unwrap_or(Shape::TEXT)));
    let domain = (16_400, "int8", Shape::Scalar(Scalar::BigInt));
    let moods = Shape::Array {
        element: Scalar::Text,
        delimiter: b',',
    };
    let own = [
        domain,
        (16_401, "_mood", moods),
        (16_402, "mood", Shape::TEXT),
    ];
    builtin.into_iter().chain(own).collect()
}

/// Text that PostgreSQL prints for a scalar.
fn scalar(scalar: Scalar) -> BoxedStrategy<String> {
    match scalar {
        Scalar::Bool => "[tf]".boxed(),
        Scalar::Integer => any::<i32>().prop_map(|n| n.to_string()).boxed(),
        Scalar::BigInt => any::<i64>().prop_map(|n| n.to_string()).boxed(),
        Scalar::Float => prop_oneof![
            any::<f64>()
                .prop_filter("a number", |n| n.is_finite())
                .prop_map(|n| format!("{n:e}")),
            prop_oneof!["NaN", "Infinity", "-Infinity", "-0", "1e\\+20", "1e-07"],
        ]
        .boxed(),
        // JSON's own null aside, which an event does not tell from NULL.
        Scalar::Json => prop_oneof![
            Just("{\"a\" : [1, \"}\\\"]\", {}]}".to_owned()),
            Just(" [[1],null , \"é\"] ".to_owned()),
            Just("[1,\n2]".to_owned()),
            Just("\"x\"".to_owned()),
            Just("[]".to_owned()),
        ]
        .boxed(),
        Scalar::Bytea => "(\\\\x)([0-9a-f]{2}){0,9}".boxed(),
        Scalar::Timestamp => prop_oneof![
            "20[0-9]{2}-1[0-2]-[0-2][0-9] [01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?",
            "infinity|-infinity|0044-03-15 00:00:00 BC|20000-01-01 00:00:00",
        ]
        .boxed(),
        Scalar::TimestampTz => prop_oneof![
            "20[0-9]{2}-1[0-2]-[0-2][0-9] [01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?\\+00",
            "infinity|-infinity|0044-03-15 00:00:00\\+00 BC|20000-01-01 00:00:00\\+00",
        ]
        .boxed(),
        Scalar::TimeTz => "[01][0-9]:[0-5][0-9]:00[+-]1[0-5](:[0-5][0-9](:[0-5][1-9])?)?".boxed(),
        Scalar::Plain => "[-0-9.a-fPTDHM:]{1,12}".boxed(),
        Scalar::Text => prop_oneof![
            any::<String>().prop_map(|text| text.replace('\0', "")),
            "[NULnul]{0,4}",
            "[a{},;\"\\\\ \n\t\u{1}é😀\\[\\]]{0,8}",
        ]
        .boxed(),
    }
}

/// An element as `array_out` prints it.
fn printed(element: Option<&str>, delimiter: u8) -> String {
    let Some(text) = element else {
        return "NULL".into();
    };
    let delimiter = char::from(delimiter);
    let special =
        |c: char| "\"\\{}".contains(c) || c == delimiter || c.is_ascii_whitespace() || c == '\u{b}';
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        return text.into();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn text(shape: Shape) -> BoxedStrategy<String> {
    match shape {
        Shape::Scalar(kind) => scalar(kind),
        Shape::Array { element, delimiter } => {
            let row = vec(proptest::option::weighted(0.8, scalar(element)), 0..4);
            let rows = vec(row, 1..3);
            rows.prop_map(move |rows| {
                let row = |row: &Vec<Option<String>>| {
                    let items = row.iter().map(|item| printed(item.as_deref(), delimiter));
                    let items: Vec<_> = items.collect();
                    format!("{{{}}}", items.join(&char::from(delimiter).to_string()))
                };
                let rows: Vec<_> = rows.iter().map(row).collect();
                match &rows[..] {
                    [one] => one.clone(),
                    several => {
                        let several = several.join(&char::from(delimiter).to_string());
                        format!("[0:1][1:1]={{{several}}}")
                    }
                }
            })
            .boxed()
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Unchanged,
    Text(String),
}

fn cell(shape: Shape) -> impl Strategy<Value = Cell> {
    prop_oneof![
        1 => Just(Cell::Null),
        1 => Just(Cell::Unchanged),
        6 => text(shape).prop_map(Cell::Text),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    relation: Relation,
    old: Vec<Cell>,
    new: Vec<Cell>,
    has_old: bool,
    op: u8,
    int8: Int8,
}

fn identity() -> impl Strategy<Value = ReplicaIdentity> {
    prop_oneof![
        Just(ReplicaIdentity::Default),
        Just(ReplicaIdentity::Index),
        Just(ReplicaIdentity::Full),
        Just(ReplicaIdentity::Nothing),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let column = (
        proptest::sample::select(types()),
        any::<bool>(),
        any::<bool>(),
    );
    let cells = vec(column, 1..6).prop_flat_map(|columns| {
        let each = |columns: &Vec<((u32, &'static str, Shape), bool, bool)>| {
            columns
                .iter()
                .map(|((_, _, shape), _, _)| cell(*shape).boxed())
                .collect::<Vec<_>>()
        };
        (Just(columns.clone()), each(&columns), each(&columns))
    });
    (cells, identity(), any::<bool>(), 0u8..3, any::<bool>()).prop_map(
        |((columns, old, new), identity, has_old, op, quoted)| {
            let is_full = identity == ReplicaIdentity::Full;
            let named = |(place, ((oid, name, shape), key, _)): (usize, _)| Column {
                name: format!("c{place} \"é"),
                type_oid: oid,
                type_name: String::from(name),
                typmod: -1,
                key: is_full || (key && identity != ReplicaIdentity::Nothing),
                shape,
            };
            let primary = (0u16..)
                .zip(&columns)
                .filter(|(_, column)| is_full && column.2);
            let relation = Relation {
                oid: 16_384,
                schema: "pub\"lic".to_owned(),
                name: "täble".to_owned(),
                identity,
                primary_key: primary.map(|(place, _)| place).collect(),
                columns: columns.into_iter().enumerate().map(named).collect(),
            };
            Case {
                relation,
                old,
                new,
                has_old,
                op,
                int8: if quoted { Int8::String } else { Int8::Number },
            }
        },
    )
}

impl Case {
    /// The new row; an insert has all of it.
    fn new_row(&self) -> TupleBuf {
        row(self.new.iter().map(|cell| match (cell, self.op) {
            (Cell::Unchanged, 0) => &Cell::Null,
            (cell, _) => cell,
        }))
    }

    /// What the log has of the old row: all of it, or its key. A key is never NULL, and logged whole.
    fn old_row(&self) -> TupleBuf {
        let is_full = self.relation.identity == ReplicaIdentity::Full;
        let cells = self.old.iter().zip(&self.relation.columns);
        row(cells.map(|(cell, column)| match cell {
            Cell::Unchanged => &Cell::Null,
            _ if !is_full && !column.key => &Cell::Null,
            cell => cell,
        }))
    }
}

fn row<'a>(cells: impl Iterator<Item = &'a Cell>) -> TupleBuf {
    let mut row = TupleBuf::new();
    for cell in cells {
        let value = match cell {
            Cell::Null => Value::Null,
            Cell::Unchanged => Value::Unchanged,
            Cell::Text(text) => Value::Text(text.as_bytes()),
        };
        row.push(value).expect("a value that fits");
    }
    row
}

fn body<'a>(
    op: u8,
    table: &'a Arc<Table>,
    old: Option<OldTuple<'a>>,
    new: &'a TupleBuf,
) -> Option<Body<'a>> {
    let new = new.as_tuple();
    Some(match op {
        0 => Body::Insert { table, new },
        1 => Body::Update { table, old, new },
        _ => Body::Delete { table, old: old? },
    })
}

/// Encodes the one row of a run again.
fn again(decoder: &mut EventDecoder) -> Vec<u8> {
    let frames = decoder.frames().expect("a run");
    let frame = frames.frames.iter().find(|frame| {
        matches!(
            frame.kind,
            FrameKind::Insert | FrameKind::Update | FrameKind::Delete
        )
    });
    let frame = frame.expect("a row");
    assert_eq!(frame.index, INDEX);
    let relation = frames.relation(frame).expect("its definition");
    let table = of(Relation::clone(relation));
    let message = decode(frames.message(frame), Dialect::default(), false).expect("legal");
    let body = match message {
        Message::Insert { new, .. } => Body::Insert { table: &table, new },
        Message::Update { old, new, .. } => Body::Update {
            table: &table,
            old,
            new,
        },
        Message::Delete { old, .. } => Body::Delete { table: &table, old },
        other => panic!("{other:?}"),
    };
    let transaction = frames.begun(&frames.frames[0]).expect("a begin");
    event(Int8::Number, INDEX, Some(&transaction), body).to_vec()
}

proptest! {
    #[test]
    fn encoding_what_was_decoded_is_the_identity(case in case()) {
        let table = of(case.relation.clone());
        let (old_row, new_row) = (case.old_row(), case.new_row());
        let old = match case.relation.identity {
            ReplicaIdentity::Full => Some(OldTuple::Full(old_row.as_tuple())),
            ReplicaIdentity::Nothing => None,
            _ => Some(OldTuple::Key(old_row.as_tuple())),
        };
        let old = old.filter(|_| case.has_old || case.op == 2);
        let Some(body) = body(case.op, &table, old, &new_row) else {
            return Ok(());
        };
        // A key that is nowhere can't be encoded in front either.
        let is_known = |place: &u16| {
            let cell = &case.new[usize::from(*place)];
            !matches!(cell, Cell::Unchanged) || case.op != 1 || old.is_some()
        };
        prop_assume!(table.key.iter().all(is_known));
        let transaction = transaction(0x14A_2F60);
        let in_front = event(Int8::Number, INDEX, Some(&transaction), body);
        let in_topic = event(case.int8, INDEX, Some(&transaction), body);
        let schema = event(case.int8, INDEX, Some(&transaction), Body::Schema { table: &table });
        let mut decoder = decoder();
        prop_assert_eq!(decoder.take(&schema), Ok(Taken::Passed));
        prop_assert_eq!(decoder.take(&in_topic), Ok(Taken::Yes), "{}", String::from_utf8_lossy(&in_topic));
        let behind = again(&mut decoder);
        prop_assert_eq!(
            String::from_utf8_lossy(&behind),
            String::from_utf8_lossy(&in_front)
        );
    }

    #[test]
    fn a_definition_is_what_it_was(case in case()) {
        let table = of(case.relation.clone());
        let transaction = transaction(0x100);
        let schema = event(Int8::Number, 1, Some(&transaction), Body::Schema { table: &table });
        let truncate = Body::Truncate { table: &table, cascade: true, restart_identity: false };
        let truncate = event(Int8::Number, 2, Some(&transaction), truncate);
        let mut decoder = decoder();
        prop_assert_eq!(decoder.take(&schema), Ok(Taken::Passed));
        prop_assert_eq!(decoder.take(&truncate), Ok(Taken::Yes));
        let frames = decoder.frames().expect("a run");
        prop_assert_eq!(&*frames.relations[0], &case.relation);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..64), text in "[{}\\[\\]\",:a-z0-9 ]{0,64}") {
        let mut decoder = decoder();
        drop(decoder.take(&bytes));
        drop(decoder.take(text.as_bytes()));
        prop_assert!(decoder.frames().is_none());
    }
}

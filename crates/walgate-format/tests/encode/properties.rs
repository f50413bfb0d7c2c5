//! What holds for every change.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;
use walgate_core::{Body, ColumnUse, OldTuple, Op, ReplicaIdentity, Scalar, Shape, Table, Value};
use walgate_format::{Int8, MaskKey, NativeJson, NativeJsonOptions};

use crate::fixture::{Event, INT4, in_transaction, table, try_encode, tuple};

/// The keys of the format, in their order.
const ORDER: [&str; 19] = [
    "id",
    "op",
    "schema",
    "table",
    "key",
    "before",
    "after",
    "unchanged",
    "lsn",
    "xid",
    "time",
    "cascade",
    "restart_identity",
    "prefix",
    "content",
    "content_base64",
    "transactional",
    "columns",
    "changes",
];

/// A value as it may lie in a tuple.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

impl Cell {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Unchanged => Value::Unchanged,
            Self::Text(text) => Value::Text(text),
            Self::Binary(bytes) => Value::Binary(bytes),
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    table: Table,
    op: Op,
    old: Option<(bool, Vec<Cell>)>,
    new: Vec<Cell>,
    int8: Int8,
}

impl Case {
    fn encode(&self) -> Result<Event, walgate_core::EncodeError> {
        let options = NativeJsonOptions {
            int8: self.int8,
            mask_key: MaskKey::new(b"key"),
            old_keys: true,
        };
        let mut encoder = NativeJson::new(options);
        let table = Arc::new(self.table.clone());
        let row = |cells: &[Cell]| tuple(&cells.iter().map(Cell::value).collect::<Vec<_>>());
        let new = row(&self.new);
        let old_row = row(self.old.as_ref().map_or(&self.new, |(_, cells)| cells));
        let old = match &self.old {
            Some((true, _)) => Some(OldTuple::Full(old_row.as_tuple())),
            Some((false, _)) => Some(OldTuple::Key(old_row.as_tuple())),
            None => None,
        };
        let body = match (self.op, old) {
            (Op::Delete, old) => Body::Delete {
                table: &table,
                old: old.unwrap_or(OldTuple::Full(old_row.as_tuple())),
            },
            (Op::Update, old) => Body::Update {
                table: &table,
                old,
                new: new.as_tuple(),
            },
            _ => Body::Insert {
                table: &table,
                new: new.as_tuple(),
            },
        };
        try_encode(&mut encoder, &in_transaction(body))
    }
}

/// Text that PostgreSQL could print for a type.
fn legal(oid: u32) -> BoxedStrategy<Vec<u8>> {
    match oid {
        16 => "[tf]".prop_map(String::into_bytes).boxed(),
        17 => "(\\\\x)([0-9a-f]{2}){0,9}"
            .prop_map(String::into_bytes)
            .boxed(),
        20 => any::<i64>()
            .prop_map(|n| n.to_string().into_bytes())
            .boxed(),
        23 => any::<i32>()
            .prop_map(|n| n.to_string().into_bytes())
            .boxed(),
        701 => any::<f64>()
            .prop_map(|n| {
                if n.is_finite() {
                    format!("{n:e}")
                } else {
                    "NaN".into()
                }
            })
            .prop_map(String::into_bytes)
            .boxed(),
        1184 => {
            "[0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?\\+00"
                .prop_map(String::into_bytes)
                .boxed()
        }
        1007 => vec(any::<i32>(), 0..5)
            .prop_map(|list| {
                let list: Vec<String> = list.iter().map(i32::to_string).collect();
                format!("{{{}}}", list.join(",")).into_bytes()
            })
            .boxed(),
        3802 => any::<String>()
            .prop_map(|text| format!("{{\n\"a\": {}}}", Json::String(text)).into_bytes())
            .boxed(),
        _ => any::<String>().prop_map(String::into_bytes).boxed(),
    }
}

const OIDS: [u32; 10] = [16, 17, 20, 23, 701, 1184, 1007, 3802, 25, 1700];

fn legal_cell(oid: u32, may_be_unchanged: bool) -> impl Strategy<Value = Cell> {
    let unchanged = if may_be_unchanged {
        Cell::Unchanged
    } else {
        Cell::Null
    };
    prop_oneof![
        1 => Just(Cell::Null),
        1 => Just(unchanged),
        4 => legal(oid).prop_map(Cell::Text),
    ]
}

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        Just(Cell::Unchanged),
        vec(any::<u8>(), 0..24).prop_map(Cell::Text),
        "[{}\"\\\\,:=0-9a-zA-Z +.\\[\\]\n-]{0,24}".prop_map(|text| Cell::Text(text.into_bytes())),
        vec(any::<u8>(), 0..4).prop_map(Cell::Binary),
    ]
}

fn any_table() -> impl Strategy<Value = (Table, Vec<u32>)> {
    let column = (
        "\\PC{0,8}",
        proptest::sample::select(&OIDS[..]),
        any::<bool>(),
        0..6u8,
    );
    let identity = prop_oneof![
        Just(ReplicaIdentity::Default),
        Just(ReplicaIdentity::Full),
        Just(ReplicaIdentity::Nothing),
    ];
    (vec(column, 0..7), identity).prop_map(|(columns, identity)| {
        let named: Vec<(String, u32, bool, u8)> = (0..)
            .zip(columns)
            // Names of columns are unique.
            .map(|(place, (name, oid, key, usage))| (format!("{name}{place}"), oid, key, usage))
            .collect();
        let list: Vec<(&str, u32, bool)> = named
            .iter()
            .map(|(name, oid, key, _)| (name.as_str(), *oid, *key))
            .collect();
        let mut table = table(identity, &list);
        for (place, (_, _, _, usage)) in named.iter().enumerate() {
            table.columns[place] = match usage {
                0 => ColumnUse::Drop,
                1 => ColumnUse::Mask,
                _ => ColumnUse::Keep,
            };
        }
        (table, list.iter().map(|(_, oid, _)| *oid).collect())
    })
}

fn ops() -> impl Strategy<Value = Op> {
    proptest::sample::select(vec![Op::Insert, Op::Update, Op::Delete])
}

fn case(
    cells: impl Fn(&[u32], bool) -> BoxedStrategy<Vec<Cell>> + Clone,
) -> impl Strategy<Value = Case> {
    (any_table(), ops(), any::<bool>()).prop_flat_map(move |((table, oids), op, string)| {
        let full = table.relation.identity == ReplicaIdentity::Full;
        let old = proptest::option::of(cells(&oids, false));
        (Just(table), Just(op), old, cells(&oids, op == Op::Update)).prop_map(
            move |(table, op, old, new)| Case {
                table,
                op,
                old: old.map(|cells| (full, cells)),
                new,
                int8: if string { Int8::String } else { Int8::Number },
            },
        )
    })
}

fn legal_case() -> impl Strategy<Value = Case> {
    case(|oids, may_be_unchanged| {
        oids.iter()
            .map(|oid| legal_cell(*oid, may_be_unchanged))
            .collect::<Vec<_>>()
            .boxed()
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    case(|oids, _| vec(any_cell(), oids.len()..=oids.len()).boxed())
}

fn check(case: &Case, event: &Event) -> Result<(), TestCaseError> {
    let value = event.value();
    prop_assert!(!value.contains(['\n', '\r']), "{}", value);
    prop_assert_eq!(event.bytes.get(value.len()), Some(&b'\n'));
    let json: Json = serde_json::from_str(value)
        .map_err(|error| TestCaseError::fail(format!("{error}: {value}")))?;
    let object = json.as_object().expect("an event is an object");
    let places: Vec<usize> = object
        .keys()
        .map(|key| {
            ORDER
                .iter()
                .position(|known| known == key)
                .expect("a key of the format")
        })
        .collect();
    prop_assert!(places.is_sorted(), "{}", value);
    prop_assert_eq!(event.key(), value_of_key(value, &json));
    if let Some(old_key) = event.old_key() {
        let old_key: Json = serde_json::from_str(old_key).expect("JSON");
        prop_assert_ne!(Some(&old_key), object.get("key"));
    }
    for part in ["key", "before", "after"] {
        for (name, value) in object
            .get(part)
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            check_column(&case.table, name, value)?;
        }
    }
    let after = object.get("after").and_then(Json::as_object);
    for name in object
        .get("unchanged")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        let name = name.as_str().expect("a name");
        prop_assert!(after.is_some_and(|after| !after.contains_key(name)));
    }
    Ok(())
}

/// The key object as it is written in the event.
fn value_of_key<'a>(value: &'a str, json: &Json) -> Option<&'a str> {
    #[derive(serde::Deserialize)]
    struct Keyed<'a> {
        #[serde(borrow)]
        key: Option<&'a serde_json::value::RawValue>,
    }
    json.get("key")?;
    serde_json::from_str::<Keyed<'_>>(value)
        .expect("JSON")
        .key
        .map(|key| key.get())
}

fn check_column(table: &Table, name: &str, value: &Json) -> Result<(), TestCaseError> {
    let place = table
        .relation
        .columns
        .iter()
        .position(|column| column.name == name);
    let place = place.expect("a column of the table");
    match table.columns[place] {
        ColumnUse::Drop => return Err(TestCaseError::fail("a dropped column")),
        ColumnUse::Mask => {
            let masked = value.as_str().is_some_and(|text| text.starts_with("hmac:"));
            prop_assert!(masked || value.is_null());
        }
        ColumnUse::Keep => {}
    }
    Ok(())
}

/// Shapes whose values are checked: everything but json, which is taken verbatim.
fn is_checked(table: &Table) -> bool {
    let json = |shape: Shape| match shape {
        Shape::Scalar(scalar) => scalar == Scalar::Json,
        Shape::Array { element, .. } => element == Scalar::Json,
    };
    !table
        .relation
        .columns
        .iter()
        .any(|column| json(column.shape))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What a server legally sends comes out, unless the log lacks a part of the key.
    #[test]
    fn legal_changes_are_events(case in legal_case()) {
        match case.encode() {
            Ok(event) => check(&case, &event)?,
            Err(error) => prop_assert!(error.message.contains("part of the key"), "{:?}", error),
        }
    }

    /// Whatever the bytes are: an event or an error, never a panic, never a broken line.
    #[test]
    fn any_bytes_are_events_or_errors(case in any_case()) {
        if let Ok(event) = case.encode() {
            if is_checked(&case.table) {
                check(&case, &event)?;
            } else {
                prop_assert!(!event.value().contains(['\n', '\r']));
            }
        }
    }

    #[test]
    fn any_message_is_an_event(prefix in any::<String>(), content in vec(any::<u8>(), 0..2000)) {
        let body = Body::Message {
            lsn: walgate_core::Lsn(1),
            transactional: true,
            prefix: &prefix,
            content: &content,
        };
        let mut encoder = NativeJson::new(NativeJsonOptions::default());
        let event = try_encode(&mut encoder, &in_transaction(body)).expect("any message");
        let case = Case {
            table: table(ReplicaIdentity::Nothing, &[("a", INT4, false)]),
            op: Op::Message,
            old: None,
            new: Vec::new(),
            int8: Int8::Number,
        };
        check(&case, &event)?;
        let json: Json = serde_json::from_str(event.value()).expect("JSON");
        prop_assert_eq!(json["prefix"].as_str(), Some(prefix.as_str()));
        prop_assert_eq!(json["content"].as_str(), str::from_utf8(&content).ok());
    }
}

//! Tables and rows as a test wants them.

use std::sync::Arc;

use walgate_core::{
    Body, Column, ColumnUse, Oid, OldTuple, Relation, ReplicaIdentity, Shape, Table, Tuple, Value,
};
use walgate_pgoutput::TupleBuf;
use walgate_sink_websocket::filter::{BindError, Bound, Filter, Truth};

pub(crate) const BOOL: Oid = 16;
pub(crate) const INT4: Oid = 23;
pub(crate) const INT8: Oid = 20;
pub(crate) const TEXT: Oid = 25;

/// A value that an update has not sent.
pub(crate) const UNCHANGED: Option<&str> = Some("\0unchanged");

/// A column of a built-in type.
pub(crate) fn column(name: &str, type_oid: Oid) -> Column {
    Column {
        name: name.to_owned(),
        type_oid,
        type_name: String::new(),
        typmod: -1,
        key: false,
        shape: Shape::of_builtin(type_oid).expect("a built-in type"),
    }
}

/// A column of a type that somebody has made.
pub(crate) fn column_of(name: &str, type_name: &str, shape: Shape) -> Column {
    Column {
        name: name.to_owned(),
        type_oid: 16_500,
        type_name: type_name.to_owned(),
        typmod: -1,
        key: false,
        shape,
    }
}

pub(crate) fn key(column: Column) -> Column {
    Column {
        key: true,
        ..column
    }
}

/// `public.moves` with these columns.
pub(crate) fn relation(identity: ReplicaIdentity, columns: Vec<Column>) -> Relation {
    Relation {
        oid: 16_400,
        schema: "public".to_owned(),
        name: "moves".to_owned(),
        identity,
        columns,
        primary_key: Vec::new(),
    }
}

pub(crate) fn table(relation: Relation) -> Arc<Table> {
    Arc::new(Table {
        id: 1,
        columns: vec![ColumnUse::Keep; relation.columns.len()],
        key: relation.key(),
        relation: Arc::new(relation),
    })
}

/// The values of a row; `None` is null.
pub(crate) fn row(values: &[Option<&str>]) -> TupleBuf {
    let mut tuple = TupleBuf::new();
    for value in values {
        let value = match value {
            None => Value::Null,
            value if *value == UNCHANGED => Value::Unchanged,
            Some(text) => Value::Text(text.as_bytes()),
        };
        tuple.push(value).expect("a value that fits");
    }
    tuple
}

pub(crate) fn bind(text: &str, relation: &Relation) -> Result<Bound, BindError> {
    Filter::parse(text).expect(text).bind(relation, |_| true)
}

pub(crate) fn bound(text: &str, relation: &Relation) -> Bound {
    bind(text, relation).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether `value` of a column of a built-in type matches a filter on `c`.
pub(crate) fn holds(type_oid: Oid, value: Option<&str>, text: &str) -> Truth {
    let relation = relation(ReplicaIdentity::Default, vec![column("c", type_oid)]);
    bound(text, &relation).truth(&row(&[value]).as_tuple())
}

pub(crate) fn insert<'a>(table: &'a Arc<Table>, new: Tuple<'a>) -> Body<'a> {
    Body::Insert { table, new }
}

pub(crate) fn update<'a>(
    table: &'a Arc<Table>,
    old: Option<OldTuple<'a>>,
    new: Tuple<'a>,
) -> Body<'a> {
    Body::Update { table, old, new }
}

pub(crate) fn delete<'a>(table: &'a Arc<Table>, old: OldTuple<'a>) -> Body<'a> {
    Body::Delete { table, old }
}

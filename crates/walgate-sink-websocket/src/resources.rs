//! What a client can ask for besides the streams: what tables there are, and the description of all this.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use walgate_core::{ColumnUse, Table};

use crate::access::Access;
use crate::filter::known_type_name;

/// The streams and all messages, as AsyncAPI 3.0 has it; tests compare it with the code.
pub(crate) const ASYNCAPI: &str = include_str!("../asyncapi.json");

/// The tables that somebody may see.
#[derive(Serialize)]
struct Tables<'a> {
    tables: Vec<TableView<'a>>,
}

/// A table, as far as a client is given it.
#[derive(Serialize)]
struct TableView<'a> {
    schema: &'a str,
    table: &'a str,
    columns: Vec<ColumnView<'a>>,
}

/// A column.
#[derive(Serialize)]
struct ColumnView<'a> {
    name: &'a str,
    /// `pg_type.typname`, where it is known.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    type_name: Option<&'a str>,
    /// Whether it is a part of an event's `key`.
    key: bool,
}

/// The description of the protocol.
pub(crate) async fn asyncapi() -> Response {
    // What is the same for everybody until the next version may be kept for a while.
    json(ASYNCAPI.to_owned(), "max-age=300")
}

/// The tables of these definitions that may be seen, in the order of their names.
pub(crate) fn tables<'a>(known: impl Iterator<Item = &'a Table>, access: &Access) -> Response {
    let mut tables: Vec<_> = known.filter_map(|table| view(table, access)).collect();
    tables.sort_by_key(|table| (table.schema, table.table));
    // Strings and lists of them always are JSON.
    let text = serde_json::to_string(&Tables { tables }).unwrap_or_default();
    json(text, "no-store")
}

fn view<'a>(table: &'a Table, access: &Access) -> Option<TableView<'a>> {
    let relation = &table.relation;
    // What is hidden does not exist for who may not see it.
    let sight = access.rights.of(&relation.schema, &relation.name)?;
    let columns = (0u16..).zip(&relation.columns).zip(&table.columns);
    let columns = columns
        .filter(|((_, column), usage)| **usage != ColumnUse::Drop && sight.shows(&column.name));
    let columns = columns.map(|((place, column), _)| ColumnView {
        name: &column.name,
        type_name: known_type_name(column),
        key: table.key.contains(&place),
    });
    Some(TableView {
        schema: &relation.schema,
        table: &relation.name,
        columns: columns.collect(),
    })
}

/// JSON that may be kept as `cache` says.
pub(crate) fn json(text: String, cache: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, cache)];
    (headers, text).into_response()
}

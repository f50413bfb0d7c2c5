//! How large rows are, by a sample.

use walgate_connection::{ConnectionConfig, SqlClient};
use walgate_slot::check::PublishedTable;
use walgate_slot::words::identifier;

/// Settings of the connection that reads rows: nothing is waited for. It becomes read-only when it is
/// there: with `target_session_attrs=read-write` a session that begins so is refused.
const SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "3s"),
    ("lock_timeout", "500ms"),
    ("default_transaction_read_only", "off"),
    ("search_path", ""),
    ("client_encoding", "UTF8"),
];

/// So many tables are sampled, the largest ones: each takes a query, and up to 3 s.
const MOST_TABLES: usize = 50;

/// So many pages are read of a table, about, and so many rows.
const PAGES: u64 = 200;

const PAGE_BYTES: u64 = 8192;

/// A table, and the largest row that a sample of it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sampled {
    pub(super) schema: String,
    pub(super) table: String,
    /// Bytes, what is stored apart included; none when it may not be read, is empty or was not read.
    pub(super) largest: Option<u64>,
}

/// Samples the tables. What can't be read is not known: that alone is no trouble.
pub(super) async fn largest(
    connection: &ConnectionConfig,
    tables: &[PublishedTable],
) -> Vec<Sampled> {
    let mut all: Vec<_> = tables.iter().collect();
    all.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let sql = connect(connection).await;
    let mut sampled = Vec::with_capacity(all.len());
    for (place, table) in all.into_iter().enumerate() {
        let largest = match &sql {
            Some(sql) if table.readable && place < MOST_TABLES => sample(sql, table).await,
            _ => None,
        };
        sampled.push(Sampled {
            schema: table.schema.clone(),
            table: table.name.clone(),
            largest,
        });
    }
    sampled
}

async fn connect(connection: &ConnectionConfig) -> Option<SqlClient> {
    let sql = Box::pin(connection.connect_sql(SETTINGS)).await.ok()?;
    let write_nothing = "SET default_transaction_read_only = on";
    sql.batch_execute(write_nothing).await.ok()?;
    Some(sql)
}

async fn sample(sql: &SqlClient, table: &PublishedTable) -> Option<u64> {
    let query = query(table);
    let row = sql.query_one(query.as_str(), &[]).await;
    let row = row
        .inspect_err(|error| tracing::debug!(%error, table = table.name, "not sampled"))
        .ok()?;
    let largest: Option<i64> = row.try_get(0).ok()?;
    largest.and_then(|largest| u64::try_from(largest).ok())
}

fn query(table: &PublishedTable) -> String {
    let pages = table.bytes.div_ceil(PAGE_BYTES).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a share, about")]
    let percent = (100.0 * PAGES as f64 / pages as f64).min(100.0);
    format!(
        "SELECT pg_catalog.max(pg_catalog.pg_column_size(s.*))::pg_catalog.int8 \
         FROM (SELECT t.* FROM {}.{} AS t TABLESAMPLE SYSTEM ({percent}) LIMIT 1000) AS s",
        identifier(&table.schema),
        identifier(&table.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_is_not_read_whole() {
        let mut table = PublishedTable::default();
        table.schema = "public".into();
        table.name = "Order".into();
        assert!(query(&table).contains("public.\"Order\" AS t TABLESAMPLE SYSTEM (100)"));
        table.bytes = 100 * PAGES * PAGE_BYTES;
        assert!(query(&table).contains("SYSTEM (1)"), "{}", query(&table));
    }
}

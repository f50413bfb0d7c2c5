//! Which tables there are to publish, and which of them can say what row was changed.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::config::TableName;

/// A table that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableIdentity {
    /// Its name.
    pub table: TableName,
    /// It has a replica identity, and so have all its partitions: its updates and deletes can be
    /// published without breaking the application's own statements.
    pub identity: bool,
    /// We may add it to a publication.
    pub owned: bool,
}

/// Ordinary and partitioned tables that are logged, without those of the system and without
/// partitions, which come under their root. A table is identified by FULL, by the index that was
/// chosen, or by a primary key that is not deferrable (`RelationGetIndexList` in `relcache.c`).
const QUERY: &str = "\
    SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
           (SELECT coalesce(bool_and(CASE leaf.relreplident \
                WHEN 'f' THEN true \
                WHEN 'i' THEN EXISTS (SELECT FROM pg_catalog.pg_index i \
                                       WHERE i.indrelid = leaf.oid AND i.indisreplident AND i.indisvalid) \
                WHEN 'd' THEN EXISTS (SELECT FROM pg_catalog.pg_index i \
                                       WHERE i.indrelid = leaf.oid AND i.indisprimary \
                                         AND i.indisvalid AND i.indimmediate) \
                ELSE false END), false) \
              FROM pg_catalog.pg_class leaf \
             WHERE leaf.oid = c.oid OR leaf.oid IN ( \
                   SELECT relid FROM pg_catalog.pg_partition_tree(c.oid) WHERE isleaf)), \
           pg_catalog.pg_has_role(c.relowner, 'USAGE') \
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition \
       AND c.oid >= 16384 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
     ORDER BY 1, 2";

/// All tables that can be published.
///
/// # Errors
/// When the catalog can't be read.
pub async fn all(sql: &Client) -> Result<Vec<TableIdentity>, tokio_postgres::Error> {
    let rows = sql.query(QUERY, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(TableIdentity {
                table: TableName {
                    schema: row.try_get(0)?,
                    name: row.try_get(1)?,
                },
                identity: row.try_get(2)?,
                owned: row.try_get(3)?,
            })
        })
        .collect()
}

/// Those of `wanted` that there are, in the order of their names. A name that is no table of this
/// list (a partition, a foreign table) is given back as if it had an identity: the server says
/// what is wrong with it.
pub(crate) async fn of(
    sql: &Client,
    wanted: &BTreeSet<TableName>,
) -> Result<Vec<TableIdentity>, tokio_postgres::Error> {
    let all = all(sql).await?;
    let found = |table: &TableName| {
        let known = all.iter().find(|known| known.table == *table).cloned();
        known.unwrap_or_else(|| TableIdentity {
            table: table.clone(),
            identity: true,
            owned: true,
        })
    };
    Ok(wanted.iter().map(found).collect())
}

//! Which tables are published, and what of them.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use walgate_core::{Oid, Relation, ReplicaIdentity};

use super::trouble::{SnapshotTrouble, failed};
use crate::config::{SourceConfig, TableName, quote_identifier};
use crate::publication;

/// A published table.
#[derive(Debug, Clone)]
pub(super) struct PublishedTable {
    pub(super) oid: Oid,
    pub(super) name: TableName,
    pub(super) identity: ReplicaIdentity,
    /// It has partitions, whose rows are published as its own.
    is_partitioned: bool,
    /// The columns that are published; none where that is all but generated ones.
    pub(super) columns: Option<Vec<String>>,
    /// Conditions of which one has to hold; none where every row is published.
    filters: Option<Vec<String>>,
}

/// A table that comes under a published root is not listed twice. `{columns}`: 14 has neither column lists nor row filters.
const TABLES: &str = "\
    WITH published AS ( \
        SELECT c.oid, c.relkind, c.relreplident, p.schemaname, p.tablename, {columns} \
          FROM pg_catalog.pg_publication_tables p \
          JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname \
          JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
         WHERE p.pubname = ANY ($1::pg_catalog.text[]) \
    ) \
    SELECT p.schemaname::pg_catalog.text, p.tablename::pg_catalog.text, p.oid, p.relkind::pg_catalog.text, \
           p.relreplident::pg_catalog.text, pg_catalog.has_table_privilege(p.oid, 'SELECT') \
             AND pg_catalog.has_schema_privilege(p.schemaname, 'USAGE'), \
           p.columns, p.filter, current_user::pg_catalog.text \
      FROM published p \
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(p.oid) AS a(relid) \
                         JOIN published root ON root.oid = a.relid WHERE a.relid <> p.oid)";

/// The published tables that are wanted, in the order of their names.
pub(super) async fn tables(
    sql: &Client,
    config: &SourceConfig,
    major: i32,
    wants: &(dyn Fn(&str, &str) -> bool + Send + Sync),
) -> Result<Vec<PublishedTable>, SnapshotTrouble> {
    let publications = publication::look(sql, config).await;
    let publications = publications.map_err(|error| failed(&error))?.names;
    let columns = match major {
        ..=14 => "NULL::pg_catalog.text[] AS columns, NULL::pg_catalog.text AS filter",
        _ => "p.attnames::pg_catalog.text[] AS columns, p.rowfilter AS filter",
    };
    let query = TABLES.replace("{columns}", columns);
    let rows = sql.query(&query, &[&publications]).await;
    let mut found: BTreeMap<TableName, PublishedTable> = BTreeMap::new();
    for row in rows.map_err(|error| failed(&error))? {
        let (table, is_readable, role) = published(&row).map_err(|error| failed(&error))?;
        if !wants(&table.name.schema, &table.name.name) {
            continue;
        }
        if !is_readable {
            return Err(may_not_read(&table.name, &role));
        }
        match found.get_mut(&table.name) {
            // A row is published when one of the publications has it.
            Some(known) => {
                known.filters = known
                    .filters
                    .take()
                    .zip(table.filters)
                    .map(|(mut all, more)| {
                        all.extend(more);
                        all
                    });
            }
            None => {
                found.insert(table.name.clone(), table);
            }
        }
    }
    Ok(found.into_values().collect())
}

fn published(
    row: &tokio_postgres::Row,
) -> Result<(PublishedTable, bool, String), tokio_postgres::Error> {
    let kind: String = row.try_get(3)?;
    let identity: String = row.try_get(4)?;
    let filter: Option<String> = row.try_get(7)?;
    let table = PublishedTable {
        oid: row.try_get(2)?,
        name: TableName {
            schema: row.try_get(0)?,
            name: row.try_get(1)?,
        },
        identity: match identity.as_str() {
            "f" => ReplicaIdentity::Full,
            "n" => ReplicaIdentity::Nothing,
            "i" => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        },
        is_partitioned: kind == "p",
        columns: row.try_get(6)?,
        filters: filter.map(|filter| vec![filter]),
    };
    Ok((table, row.try_get(5)?, row.try_get(8)?))
}

fn may_not_read(table: &TableName, role: &str) -> SnapshotTrouble {
    let role = quote_identifier(role);
    SnapshotTrouble::refused(format!(
        "the role of the source may not read {table}: GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {} TO {role};",
        quote_identifier(&table.schema),
        table.quoted()
    ))
}

impl PublishedTable {
    /// The statement that reads its rows, with the columns of `relation`; where there is one, those for which a condition holds.
    pub(super) fn select(&self, relation: &Relation, condition: Option<&str>) -> String {
        let columns: Vec<String> = relation
            .columns
            .iter()
            .map(|column| quote_identifier(&column.name))
            .collect();
        // The children of a table by inheritance are tables of their own.
        let only = if self.is_partitioned { "" } else { "ONLY " };
        let mut select = format!(
            "SELECT {} FROM {only}{}",
            columns.join(", "),
            self.name.quoted()
        );
        let published = self.filters.as_ref().map(|filters| {
            let filters: Vec<String> = filters.iter().map(|text| format!("({text})")).collect();
            format!("({})", filters.join(" OR "))
        });
        let conditions = published.into_iter().chain(condition.map(str::to_owned));
        let conditions: Vec<String> = conditions.collect();
        if !conditions.is_empty() {
            select.push_str(" WHERE ");
            select.push_str(&conditions.join(" AND "));
        }
        select
    }
}

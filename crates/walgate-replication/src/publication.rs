//! The publications that the configuration names: looked at, or kept as configured.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use walgate_core::{Failure, StopReason};

use crate::config::{PublicationMode, SourceConfig, TableName, quote_identifier};
use crate::table_identity::{self, TableIdentity};
use crate::trouble::Trouble;

/// What is published now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The publications to ask for.
    pub(crate) names: Vec<String>,
    /// Configured tables that none of them has.
    pub(crate) missing: Vec<TableName>,
}

/// Behind a publication's name: the one for tables without a replica identity.
const INSERTS_ONLY: &str = "_inserts";

/// Looks at the publications, and in [`PublicationMode::Manage`] makes what is missing.
pub(crate) async fn prepare(sql: &Client, config: &SourceConfig) -> Result<Published, Trouble> {
    if config.publications.is_empty() {
        let failure = Failure::new(StopReason::Config, "no publication is configured");
        return Err(Trouble::Stop(
            failure.hint("name at least one in [source] publications"),
        ));
    }
    if config.publication_mode == PublicationMode::Manage {
        manage(sql, config).await?;
    }
    let published = look(sql, config)
        .await
        .map_err(|error| Trouble::sql(&error, "read the publications"))?;
    let absent: Vec<&String> = config
        .publications
        .iter()
        .filter(|name| !published.names.contains(name))
        .collect();
    if !absent.is_empty() {
        return Err(Trouble::Stop(
            absent_publications(sql, &absent, config).await,
        ));
    }
    if !published.missing.is_empty() {
        return Err(Trouble::Stop(missing_tables(
            &published.missing,
            &config.publications,
        )));
    }
    let empty = is_empty(sql, &published.names)
        .await
        .map_err(|error| Trouble::sql(&error, "read the publications"))?;
    if empty {
        tracing::warn!(publications = ?published.names, "the publications hold no table: nothing will come");
    }
    Ok(published)
}

/// Reads what is published. Names that don't exist are left out of [`Published::names`].
pub(crate) async fn look(
    sql: &Client,
    config: &SourceConfig,
) -> Result<Published, tokio_postgres::Error> {
    let mut wanted = config.publications.clone();
    if config.publication_mode == PublicationMode::Manage {
        wanted.extend(
            config
                .publications
                .first()
                .map(|name| format!("{name}{INSERTS_ONLY}")),
        );
    }
    let existing = names(sql, &wanted).await?;
    let names: Vec<String> = wanted
        .into_iter()
        .filter(|name| existing.contains(name))
        .collect();
    if config.tables.is_empty() {
        // There may be very many of them, and nobody asks for any by name.
        return Ok(Published {
            names,
            missing: Vec::new(),
        });
    }
    let rows = sql.query(TABLES, &[&names]).await?;
    let tables: BTreeSet<TableName> = rows
        .iter()
        .map(|row| {
            Ok(TableName {
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let missing = config
        .tables
        .iter()
        .filter(|table| !tables.contains(table))
        .cloned()
        .collect();
    Ok(Published { names, missing })
}

async fn is_empty(sql: &Client, names: &[String]) -> Result<bool, tokio_postgres::Error> {
    let query = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables \
                 WHERE pubname = ANY ($1::pg_catalog.text[]))";
    sql.query_one(query, &[&names]).await?.try_get(0)
}

/// The published tables, and the partitioned tables above published partitions: without
/// `publish_via_partition_root` only the partitions are listed.
const TABLES: &str = "\
    WITH published AS ( \
        SELECT DISTINCT c.oid, p.schemaname, p.tablename FROM pg_catalog.pg_publication_tables p \
          JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname \
          JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
         WHERE p.pubname = ANY ($1::pg_catalog.text[]) \
    ) \
    SELECT schemaname::pg_catalog.text, tablename::pg_catalog.text FROM published \
    UNION \
    SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text FROM published p \
     CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(p.oid) AS a(relid) \
      JOIN pg_catalog.pg_class c ON c.oid = a.relid \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

async fn names(sql: &Client, wanted: &[String]) -> Result<BTreeSet<String>, tokio_postgres::Error> {
    let query = "SELECT pubname::pg_catalog.text FROM pg_catalog.pg_publication \
                 WHERE pubname = ANY ($1::pg_catalog.text[])";
    let rows = sql.query(query, &[&wanted]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Creates what is missing, and adds configured tables one at a time in the order of their names,
/// each under the connection's `lock_timeout`. Nothing is ever taken out, and never FOR ALL TABLES.
async fn manage(sql: &Client, config: &SourceConfig) -> Result<(), Trouble> {
    let Some(first) = config.publications.first() else {
        return Ok(());
    };
    let failed = |error: &tokio_postgres::Error| Trouble::sql(error, "manage the publications");
    let existing = names(sql, &config.publications)
        .await
        .map_err(|error| failed(&error))?;
    for name in config
        .publications
        .iter()
        .filter(|name| !existing.contains(*name))
    {
        create(sql, name, "insert, update, delete, truncate")
            .await
            .map_err(|error| failed(&error))?;
        tracing::info!(publication = %name, "created the publication");
    }
    let published = look(sql, config).await.map_err(|error| failed(&error))?;
    let missing: BTreeSet<TableName> = published.missing.into_iter().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let tables = table_identity::of(sql, &missing)
        .await
        .map_err(|error| failed(&error))?;
    let inserts = format!("{first}{INSERTS_ONLY}");
    if tables.iter().any(|table| !table.identity) && !published.names.contains(&inserts) {
        create(sql, &inserts, "insert, truncate")
            .await
            .map_err(|error| failed(&error))?;
        tracing::warn!(publication = %inserts, "created a publication without updates and deletes: publishing them of a table without replica identity makes the application's own statements fail");
    }
    for TableIdentity {
        table, identity, ..
    } in &tables
    {
        let publication = if *identity { first } else { &inserts };
        let add = format!(
            "ALTER PUBLICATION {} ADD TABLE {}",
            quote_identifier(publication),
            table.quoted()
        );
        sql.batch_execute(&add)
            .await
            .map_err(|error| failed(&error))?;
        tracing::warn!(%table, publication = %publication, "added the table: rows of transactions that began before now are not streamed");
    }
    Ok(())
}

async fn create(sql: &Client, name: &str, publish: &str) -> Result<(), tokio_postgres::Error> {
    let name = quote_identifier(name);
    sql.batch_execute(&format!(
        "CREATE PUBLICATION {name} WITH (publish = '{publish}', publish_via_partition_root = true)"
    ))
    .await
}

async fn absent_publications(sql: &Client, absent: &[&String], config: &SourceConfig) -> Failure {
    let named: Vec<&str> = absent.iter().map(|name| name.as_str()).collect();
    let there = sql
        .query(
            "SELECT pubname::pg_catalog.text FROM pg_catalog.pg_publication ORDER BY 1",
            &[],
        )
        .await;
    let there: Vec<String> = there
        .unwrap_or_default()
        .iter()
        .filter_map(|row| row.try_get(0).ok())
        .collect();
    let there = if there.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are: {}", there.join(", "))
    };
    let tables: Vec<String> = config.tables.iter().map(TableName::quoted).collect();
    let list = if tables.is_empty() {
        "schema.table, …".to_owned()
    } else {
        tables.join(", ")
    };
    let commands: Vec<String> = absent
        .iter()
        .map(|name| {
            format!(
                "CREATE PUBLICATION {} FOR TABLE {list};",
                quote_identifier(name)
            )
        })
        .collect();
    let noun = if named.len() == 1 {
        "publication"
    } else {
        "publications"
    };
    Failure::new(
        StopReason::Config,
        format!(
            "{noun} {} does not exist in this database ({there})",
            named.join(", ")
        ),
    )
    .hint(format!(
        "{} A slot that is older than its publication never sees it: create the publication first",
        commands.join(" ")
    ))
}

/// What to say when configured tables are not published.
pub(crate) fn missing_tables(missing: &[TableName], publications: &[String]) -> Failure {
    let named: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let publication = publications
        .first()
        .map(|name| quote_identifier(name))
        .unwrap_or_default();
    let commands: Vec<String> = missing
        .iter()
        .map(|table| {
            format!(
                "ALTER PUBLICATION {publication} ADD TABLE {};",
                table.quoted()
            )
        })
        .collect();
    Failure::new(
        StopReason::Config,
        format!("not in publication {}: {}", publications.join(", "), named.join(", ")),
    )
    .hint(format!(
        "{} (DROP TABLE takes a table out of its publication, and CREATE TABLE does not put it back)",
        commands.join(" ")
    ))
}

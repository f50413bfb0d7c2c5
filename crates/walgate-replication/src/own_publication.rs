//! Publications that a run makes for itself and drops at its end.
//!
//! Two of them: one with all operations for the tables that have a replica identity, one with
//! inserts and truncates for the rest, because publishing updates of a table without identity
//! breaks the application's own statements. Never FOR ALL TABLES.
//!
//! A run that is killed can't drop anything. Each publication's comment therefore names its owner:
//! the `application_name` that all connections of the run have. Where no such connection is left,
//! [`sweep`] drops the publication.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use walgate_core::{Failure, StopReason};

use crate::config::{TableName, quote_identifier, quote_literal};
use crate::table_identity::{self, TableIdentity};

/// A publication must not wait behind a migration, and whoever waits behind us must not wait long.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";
/// All our publications begin with it.
const PREFIX: &str = "walgate_tail_";
/// Our comments begin with it; the owner's `application_name` follows.
const COMMENT: &str = "made by walgate tail for the connections named ";

/// The publications of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnPublications {
    /// Their names.
    pub names: Vec<String>,
    /// Tables with all operations.
    pub with_identity: Vec<TableName>,
    /// Tables with inserts and truncates only.
    pub inserts_only: Vec<TableName>,
    /// Tables that belong to other roles, and are therefore left out.
    pub not_owned: Vec<TableName>,
}

/// The `application_name` of all connections of the run that `token` stands for: give it to
/// [`ConnectionConfig::with_application_name`](walgate_connection::ConnectionConfig::with_application_name).
/// It is what tells that the run lives.
pub fn application_name(token: &str) -> String {
    format!("walgate tail {token}")
}

/// Makes the publications of the run `token` (letters, digits, `_`; unique) for the tables that
/// `wanted` takes. The connection must have the [`application_name`] of the run.
///
/// # Errors
/// When rights are missing, it lists the publications that there are and what to grant; when there
/// is no table to publish, it says so.
pub async fn create(
    sql: &Client,
    token: &str,
    wanted: impl Fn(&TableName) -> bool,
) -> Result<OwnPublications, Failure> {
    let tables = table_identity::all(sql)
        .await
        .map_err(|error| failed(&error, "list the tables"))?;
    let wanted: Vec<TableIdentity> = tables
        .into_iter()
        .filter(|table| wanted(&table.table))
        .collect();
    let (owned, foreign): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|table| table.owned);
    let names = |tables: Vec<TableIdentity>| {
        tables
            .into_iter()
            .map(|table| table.table)
            .collect::<Vec<_>>()
    };
    let not_owned = names(foreign);
    let (with, without): (Vec<_>, Vec<_>) = owned.into_iter().partition(|table| table.identity);
    let (with_identity, inserts_only) = (names(with), names(without));
    if with_identity.is_empty() && inserts_only.is_empty() {
        return Err(nothing_to_publish(sql, &not_owned).await);
    }
    let mut made = OwnPublications {
        with_identity,
        inserts_only,
        not_owned,
        ..OwnPublications::default()
    };
    sql.batch_execute(LOCK_TIMEOUT)
        .await
        .map_err(|error| failed(&error, "set lock_timeout"))?;
    let all = [
        (
            "",
            "insert, update, delete, truncate",
            made.with_identity.clone(),
        ),
        ("_inserts", "insert, truncate", made.inserts_only.clone()),
    ];
    for (suffix, publish, tables) in all {
        if tables.is_empty() {
            continue;
        }
        let name = format!("{PREFIX}{token}{suffix}");
        if let Err(error) = create_one(sql, &name, token, publish, &tables).await {
            end_failed_transaction(sql).await;
            drop_own(sql, &made).await;
            return Err(refused(sql, &error, &tables).await);
        }
        made.names.push(name);
    }
    Ok(made)
}

/// Nothing else can be asked before that.
async fn end_failed_transaction(sql: &Client) {
    if let Err(error) = sql.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "could not roll back");
    }
}

/// Publication and comment in one transaction, so that there is never one without an owner.
async fn create_one(
    sql: &Client,
    name: &str,
    token: &str,
    publish: &str,
    tables: &[TableName],
) -> Result<(), tokio_postgres::Error> {
    let list: Vec<String> = tables.iter().map(TableName::quoted).collect();
    let publication = quote_identifier(name);
    let comment = quote_literal(&format!("{COMMENT}{}", application_name(token)));
    sql.batch_execute(&format!(
        "BEGIN; CREATE PUBLICATION {publication} FOR TABLE {} \
         WITH (publish = '{publish}', publish_via_partition_root = true); \
         COMMENT ON PUBLICATION {publication} IS {comment}; COMMIT",
        list.join(", ")
    ))
    .await
    .inspect_err(
        |error| tracing::debug!(%error, publication = name, "could not create the publication"),
    )
}

/// Drops the publications of a run. What can't be dropped is logged, and left to the next
/// [`sweep`].
pub async fn drop_own(sql: &Client, own: &OwnPublications) {
    for name in &own.names {
        drop_one(sql, name).await;
    }
}

async fn drop_one(sql: &Client, name: &str) -> bool {
    let command = format!(
        "{LOCK_TIMEOUT}; DROP PUBLICATION IF EXISTS {}",
        quote_identifier(name)
    );
    match sql.batch_execute(&command).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(publication = name, %error, "could not drop the publication: the next tail will");
            false
        }
    }
}

/// Drops the publications of runs that were killed: those whose owner had no connection at two
/// looks, `grace` apart (a run that is just reconnecting has none for a moment). Returns the names
/// of those that it dropped.
///
/// # Errors
/// When the catalog can't be read.
pub async fn sweep(sql: &Client, grace: Duration) -> Result<Vec<String>, Failure> {
    let first = abandoned(sql)
        .await
        .map_err(|error| failed(&error, "look for leftovers"))?;
    if first.is_empty() {
        return Ok(Vec::new());
    }
    tokio::time::sleep(grace).await;
    let second = abandoned(sql)
        .await
        .map_err(|error| failed(&error, "look for leftovers"))?;
    let mut dropped = Vec::new();
    for name in second.into_iter().filter(|name| first.contains(name)) {
        if drop_one(sql, &name).await {
            tracing::info!(publication = %name, "dropped a publication that a killed tail had left behind");
            dropped.push(name);
        }
    }
    Ok(dropped)
}

/// Our publications without a connection of their owner, as far as we may drop them.
/// `pg_stat_activity` shows everyone's `application_name` to everyone.
async fn abandoned(sql: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = "\
        SELECT p.pubname::pg_catalog.text FROM pg_catalog.pg_publication p \
          JOIN LATERAL pg_catalog.obj_description(p.oid, 'pg_publication') AS d(comment) \
            ON pg_catalog.starts_with(d.comment, $1::pg_catalog.text) \
         WHERE pg_catalog.starts_with(p.pubname::pg_catalog.text, $2::pg_catalog.text) \
           AND pg_catalog.pg_has_role(p.pubowner, 'USAGE') \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.application_name = \
                           pg_catalog.substr(d.comment, pg_catalog.length($1::pg_catalog.text) + 1)) \
         ORDER BY 1";
    let rows = sql.query(query, &[&COMMENT, &PREFIX]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

async fn nothing_to_publish(sql: &Client, not_owned: &[TableName]) -> Failure {
    if not_owned.is_empty() {
        return Failure::new(StopReason::Config, "there is no table to publish");
    }
    let tables: Vec<String> = not_owned.iter().map(TableName::quoted).collect();
    let message = format!(
        "none of the {} tables may be published by this user",
        not_owned.len()
    );
    Failure::new(StopReason::Permission, message).hint(remedy(sql, &tables).await)
}

async fn refused(sql: &Client, error: &tokio_postgres::Error, tables: &[TableName]) -> Failure {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        let failure = failed(error, "create a publication");
        return match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                failure.hint("another session holds a lock on one of the tables: try again, or name a publication with --publication")
            }
            _ => failure,
        };
    }
    let tables: Vec<String> = tables.iter().map(TableName::quoted).collect();
    failed(error, "create a publication").hint(remedy(sql, &tables).await)
}

/// What to grant, and what could be used instead.
async fn remedy(sql: &Client, tables: &[String]) -> String {
    let row = sql
        .query_one(
            "SELECT pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I;', \
                    pg_catalog.current_database(), current_user), \
                    (SELECT pg_catalog.string_agg(pubname::pg_catalog.text, ', ' ORDER BY pubname) \
                       FROM pg_catalog.pg_publication)",
            &[],
        )
        .await;
    let (grant, there): (Option<String>, Option<String>) = match &row {
        Ok(row) => (
            row.try_get(0).unwrap_or_default(),
            row.try_get(1).unwrap_or_default(),
        ),
        Err(_) => (None, None),
    };
    let there = there.map_or_else(
        || "there is none yet".to_owned(),
        |names| format!("there are: {names}"),
    );
    format!(
        "use an existing publication with --publication ({there}); or have the owner of the tables run: \
         CREATE PUBLICATION tail FOR TABLE {}; or let this user make its own: {} and membership in the \
         role that owns the tables",
        tables.join(", "),
        grant.unwrap_or_default()
    )
}

fn failed(error: &tokio_postgres::Error, doing: &str) -> Failure {
    let reason = match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => StopReason::Permission,
        _ => StopReason::Config,
    };
    let text = walgate_connection::ServerError::from_sql(error)
        .map_or_else(|| error.to_string(), |error| error.to_string());
    Failure::new(reason, format!("{doing}: {text}"))
}

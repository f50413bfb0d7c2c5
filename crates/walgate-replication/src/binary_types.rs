//! Whether everything that is published can be read in binary form, and how.

use tokio_postgres::{Client, Row};
use walgate_binary::{CatalogType, Nature, TypeCatalog};
use walgate_core::Oid;

use crate::catalog::Server;

/// Whether values are wanted in binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// As text.
    No,
    /// In binary form.
    Yes,
    /// In binary form, if this type can be read by now: the log has it.
    With(Oid),
}

/// Types that are made of others, and those of extensions that are sent as they are printed: by the
/// internal functions of text (12 is `INTERNALlanguageId`). The built-in ones that are not are known.
const TYPES: &str = "\
    SELECT t.oid, CASE WHEN t.typtype = 'd' THEN 'domain' \
                       WHEN e.oid IS NOT NULL THEN 'array' \
                       WHEN t.typtype = 'r' THEN 'range' \
                       WHEN t.typtype = 'm' THEN 'multirange' \
                       ELSE 'text' END, \
           coalesce(nullif(t.typbasetype, 0), e.oid, r.rngsubtype, 0), e.typdelim \
      FROM pg_catalog.pg_type t \
      LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid AND e.typtype <> 'c' \
      LEFT JOIN pg_catalog.pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid) \
      LEFT JOIN pg_catalog.pg_proc s ON s.oid = t.typsend AND s.prosrc = 'textsend' AND s.prolang = 12 \
      LEFT JOIN pg_catalog.pg_proc o ON o.oid = t.typoutput AND o.prosrc = 'textout' AND o.prolang = 12 \
     WHERE t.typisdefined \
       AND (t.typtype IN ('d', 'e') OR e.oid IS NOT NULL OR r.rngtypid IS NOT NULL \
            OR (t.oid >= 10000 AND s.oid IS NOT NULL AND o.oid IS NOT NULL))";

/// The types of all columns that are published now, with a table that has it. Before 15 whole tables
/// are published, and generated columns are not sent.
fn published_columns(server: &Server) -> String {
    let listed = match server.major() {
        ..=14 => "a.attgenerated = ''",
        _ => "a.attname = ANY (p.attnames)",
    };
    format!(
        "SELECT a.atttypid, pg_catalog.min(pg_catalog.format('%s.%s.%s', p.schemaname, p.tablename, a.attname)) \
           FROM pg_catalog.pg_publication_tables p \
           JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname \
           JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
                AND NOT a.attisdropped AND {listed} \
          WHERE p.pubname = ANY ($1::pg_catalog.text[]) GROUP BY a.atttypid"
    )
}

/// The types of the database, when that is `wanted` and each published column has one that can be read in
/// binary form. An error is a reason to ask for text, and none to fail.
pub(crate) async fn readable(
    wanted: Wanted,
    sql: &Client,
    server: &Server,
    publications: &[String],
) -> Option<TypeCatalog> {
    // The text of another encoding is converted, and what counts as a space may depend on it.
    if wanted == Wanted::No || server.encoding != "UTF8" {
        return None;
    }
    match read(sql, server, publications).await {
        Ok(types) => types.filter(|types| match wanted {
            Wanted::With(oid) => types.form(oid).is_some(),
            Wanted::No | Wanted::Yes => true,
        }),
        Err(error) => {
            tracing::debug!(%error, "could not read the types of the published columns: values come as text");
            None
        }
    }
}

async fn read(
    sql: &Client,
    server: &Server,
    publications: &[String],
) -> Result<Option<TypeCatalog>, tokio_postgres::Error> {
    let rows = sql.query(TYPES, &[]).await?;
    let types = rows
        .iter()
        .map(catalog_type)
        .collect::<Result<Vec<_>, _>>()?;
    let types = TypeCatalog::new(&types);
    let columns = sql
        .query(&published_columns(server), &[&publications])
        .await?;
    for row in columns {
        let (oid, column): (Oid, String) = (row.try_get(0)?, row.try_get(1)?);
        if types.form(oid).is_none() {
            tracing::info!(
                column,
                type_oid = oid,
                "values come as text: the binary form of a column's type is not known"
            );
            return Ok(None);
        }
    }
    Ok(Some(types))
}

fn catalog_type(row: &Row) -> Result<CatalogType, tokio_postgres::Error> {
    let part: Oid = row.try_get(2)?;
    let delimiter: Option<i8> = row.try_get(3)?;
    let nature = match row.try_get(1)? {
        "domain" => Nature::Domain { base: part },
        "array" => Nature::Array {
            element: part,
            delimiter: delimiter.map_or(b',', i8::cast_unsigned),
        },
        "range" => Nature::Range { bound: part },
        "multirange" => Nature::Multirange { bound: part },
        _ => Nature::Text,
    };
    let oid = row.try_get(0)?;
    Ok(CatalogType { oid, nature })
}

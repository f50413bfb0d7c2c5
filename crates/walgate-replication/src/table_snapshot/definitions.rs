//! A table's definition as the stream would announce it, from the catalog.

use tokio_postgres::Client;
use walgate_core::{Column, Oid, Relation, Shape};

use super::published::PublishedTable;
use crate::definition::Definition;
use crate::facts;

/// Columns as pgoutput sends them: generated ones only where a publication lists them. The key is that of the
/// replica identity (`RelationGetIdentityKeyBitmap` in `relcache.c`), with FULL every column.
const COLUMNS: &str = "\
    SELECT a.attname::pg_catalog.text, a.atttypid, a.atttypmod, \
           CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false \
                ELSE coalesce(a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]), false) END \
      FROM pg_catalog.pg_class c \
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
      LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisvalid \
           AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate \
                                   WHEN 'i' THEN i.indisreplident ELSE false END \
     WHERE c.oid = $1::pg_catalog.oid \
       AND CASE WHEN $2::pg_catalog.text[] IS NULL THEN a.attgenerated = '' \
                ELSE a.attname::pg_catalog.text = ANY ($2::pg_catalog.text[]) END \
     ORDER BY a.attnum";

/// The names of types, of domains their base types', as the stream's Type messages have them.
const NAMES: &str = "\
    WITH RECURSIVE base(root, typtype, typbasetype, typname) AS ( \
        SELECT t.oid, t.typtype, t.typbasetype, t.typname FROM pg_catalog.pg_type t \
         WHERE t.oid = ANY ($1::pg_catalog.oid[]) \
        UNION ALL \
        SELECT b.root, t.typtype, t.typbasetype, t.typname FROM base b \
          JOIN pg_catalog.pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype \
    ) \
    SELECT root, typname::pg_catalog.text FROM base WHERE typtype <> 'd'";

/// The definition of a table.
pub(super) async fn relation(
    sql: &Client,
    table: &PublishedTable,
) -> Result<Relation, tokio_postgres::Error> {
    let rows = sql.query(COLUMNS, &[&table.oid, &table.columns]).await?;
    let mut unknown: Vec<Oid> = Vec::new();
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        let type_oid: Oid = row.try_get(1)?;
        let shape = Shape::of_builtin(type_oid);
        if shape.is_none() && !unknown.contains(&type_oid) {
            unknown.push(type_oid);
        }
        columns.push(Column {
            name: row.try_get(0)?,
            type_oid,
            type_name: String::new(),
            typmod: row.try_get(2)?,
            key: row.try_get(3)?,
            shape: shape.unwrap_or(Shape::TEXT),
        });
    }
    for row in &sql.query(NAMES, &[&unknown]).await? {
        let (oid, name): (Oid, String) = (row.try_get(0)?, row.try_get(1)?);
        for column in columns.iter_mut().filter(|column| column.type_oid == oid) {
            column.type_name.clone_from(&name);
        }
    }
    let relation = Relation {
        oid: table.oid,
        schema: table.name.schema.clone(),
        name: table.name.name.clone(),
        identity: table.identity,
        columns,
        primary_key: Vec::new(),
    };
    let definition = Definition::of_catalog(relation, unknown);
    let facts = facts::read(sql, &definition).await?;
    Ok(definition.with_facts(&facts))
}

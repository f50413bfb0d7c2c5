//! What the stream lacks and the catalog has: the form of user-defined types, and the primary key
//! of a table with REPLICA IDENTITY FULL.
//!
//! It is asked in a snapshot in which the transaction that brought the definition is visible: a
//! commit can be streamed before other sessions see it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use walgate_core::{Oid, Scalar, Shape, Xid};

use crate::definition::{Definition, Facts};

/// Between two looks for the transaction: it becomes visible within the time of a few system calls,
/// or when a synchronous standby has answered.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The wait doubles up to this.
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_millis(200);

/// Domains are followed to their base; then an array to its element, and that to its base.
/// Everything is read from the tables, in one snapshot: functions such as `format_type` look at
/// the catalog of now.
const TYPES: &str = "\
    WITH RECURSIVE base(root, oid, typtype, typbasetype) AS ( \
        SELECT t.oid, t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t \
         WHERE t.oid = ANY ($1::pg_catalog.oid[]) \
        UNION ALL \
        SELECT b.root, t.oid, t.typtype, t.typbasetype FROM base b \
          JOIN pg_catalog.pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype \
    ), element(root, element, typdelim, oid, typtype, typbasetype) AS ( \
        SELECT b.root, e.oid, e.typdelim, e.oid, e.typtype, e.typbasetype FROM base b \
          JOIN pg_catalog.pg_type a ON a.oid = b.oid AND b.typtype <> 'd' \
          JOIN pg_catalog.pg_type e ON e.oid = a.typelem AND e.typarray = a.oid \
        UNION ALL \
        SELECT b.root, b.element, b.typdelim, t.oid, t.typtype, t.typbasetype FROM element b \
          JOIN pg_catalog.pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype \
    ) \
    SELECT b.root, b.oid, e.oid, e.typdelim FROM base b \
      LEFT JOIN element e ON e.root = b.root AND e.typtype <> 'd' \
     WHERE b.typtype <> 'd'";

const PRIMARY_KEY: &str = "\
    SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_index i \
     CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place) \
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
     WHERE i.indrelid = $1::pg_catalog.oid AND i.indisprimary AND k.place <= i.indnkeyatts \
     ORDER BY a.attnum";

/// Asks for the facts that a definition lacks. A type or table that is gone is left out. None when
/// the transaction that brought it does not become visible within `patience`.
pub(crate) async fn ask(
    sql: &Client,
    definition: &Definition,
    patience: Duration,
) -> Result<Option<Facts>, tokio_postgres::Error> {
    let (mut wait, began) = (LOOK_AGAIN, Instant::now());
    loop {
        sql.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let facts = match definition.xid() {
            Some(xid) if !is_visible(sql, xid).await? => None,
            _ => Some(read(sql, definition).await?),
        };
        sql.batch_execute("COMMIT").await?;
        if facts.is_some() || began.elapsed() >= patience {
            return Ok(facts);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LOOK_AGAIN_AT_MOST);
    }
}

/// Asks without regard for what is visible.
pub(crate) async fn ask_now(
    sql: &Client,
    definition: &Definition,
) -> Result<Facts, tokio_postgres::Error> {
    sql.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let facts = read(sql, definition).await?;
    sql.batch_execute("COMMIT").await?;
    Ok(facts)
}

/// Whether the current snapshot sees `xid` as ended, a transaction of the log's near past of which
/// we have 32 of 64 bits.
pub(crate) async fn is_visible(sql: &Client, xid: Xid) -> Result<bool, tokio_postgres::Error> {
    let next: String = sql
        .query_one(
            "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text",
            &[],
        )
        .await?
        .try_get(0)?;
    let Ok(next) = next.parse::<u64>() else {
        return Ok(false);
    };
    let wide = widen(next, xid).to_string();
    let row = sql
        .query_one(
            "SELECT pg_catalog.pg_visible_in_snapshot($1::pg_catalog.text::pg_catalog.xid8, \
                    pg_catalog.pg_current_snapshot())",
            &[&wide],
        )
        .await?;
    row.try_get(0)
}

/// The 64 bits of `xid` that are nearest to `next`.
fn widen(next: u64, xid: Xid) -> u64 {
    let ahead = xid.wrapping_sub(next as u32).cast_signed();
    next.checked_add_signed(i64::from(ahead))
        .unwrap_or_else(|| u64::from(xid))
}

/// Asks in the transaction that there is.
pub(crate) async fn read(
    sql: &Client,
    definition: &Definition,
) -> Result<Facts, tokio_postgres::Error> {
    let mut facts = Facts::default();
    if !definition.unknown_types().is_empty() {
        let types = definition.unknown_types();
        let rows = sql.query(TYPES, &[&types]).await?;
        let shapes = rows.iter().map(|row| {
            let (root, base): (Oid, Oid) = (row.try_get(0)?, row.try_get(1)?);
            let element: Option<Oid> = row.try_get(2)?;
            let delimiter: Option<i8> = row.try_get(3)?;
            Ok((root, shape(base, element, delimiter)))
        });
        facts.shapes = shapes.collect::<Result<HashMap<Oid, Shape>, tokio_postgres::Error>>()?;
    }
    if definition.wants_primary_key() {
        let rows = sql
            .query(PRIMARY_KEY, &[&definition.relation().oid])
            .await?;
        facts.primary_key = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
    }
    Ok(facts)
}

/// The form of a type whose base is known: `element` is the base type of an array's elements.
fn shape(base: Oid, element: Option<Oid>, delimiter: Option<i8>) -> Shape {
    let Some(element) = element else {
        return Shape::of_builtin(base).unwrap_or(Shape::TEXT);
    };
    let element = match Shape::of_builtin(element) {
        Some(Shape::Scalar(scalar)) => scalar,
        // An array as an element (through a domain) is quoted text, as is what nobody knows.
        Some(Shape::Array { .. }) | None => Scalar::Text,
    };
    let delimiter = delimiter.map_or(b',', i8::cast_unsigned);
    Shape::Array { element, delimiter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_to_the_nearest_transaction() {
        assert_eq!(widen(771, 770), 770);
        // Streamed before it is complete: not yet below the snapshot's xmax.
        assert_eq!(widen(770, 772), 772);
        let epoch = 1_u64 << 32;
        assert_eq!(widen(epoch + 5, 3), epoch + 3);
        assert_eq!(widen(epoch + 5, u32::MAX - 2), epoch - 3);
        assert_eq!(widen(epoch - 2, 4), epoch + 4);
    }

    #[test]
    fn forms_of_base_and_element() {
        assert_eq!(shape(23, None, None), Shape::Scalar(Scalar::Integer));
        assert_eq!(shape(99_999, None, None), Shape::TEXT);
        let ints = Shape::Array {
            element: Scalar::Integer,
            delimiter: b',',
        };
        assert_eq!(shape(99_999, Some(23), Some(b','.cast_signed())), ints);
        let nested = Shape::Array {
            element: Scalar::Text,
            delimiter: b';',
        };
        assert_eq!(shape(99_999, Some(1007), Some(b';'.cast_signed())), nested);
    }
}

//! The rows of published tables as of one moment, as the stream would have them.
//!
//! One transaction, REPEATABLE READ and READ ONLY, with the settings that the stream's values are pinned by. The tables are
//! locked (ACCESS SHARE) before anything is seen: neither a TRUNCATE nor a rewriting ALTER TABLE, which an
//! older snapshot would see as an empty table, can come in between. Column lists and row filters of the
//! publications apply; policies of row security do not, as they don't to the stream: where they would, it is refused.

mod definitions;
mod keyed;
mod published;
mod trouble;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures_util::StreamExt as _;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};
use walgate_connection::SqlClient;
use walgate_core::{Lsn, Relation, RowKey};

use crate::catalog;
use crate::config::SourceConfig;
use crate::sql::PINNED_SETTINGS;
use published::PublishedTable;
pub use trouble::{SnapshotTrouble, SnapshotTroubleKind};
use trouble::{connect_failed, failed};

/// What rows are read from that meet keys.
const CURSOR: &str = "walgate_rows";
const FETCH: &str = "FETCH FORWARD 1000 FROM walgate_rows";
const CLOSE: &str = "CLOSE walgate_rows";

/// What is handed on at once.
const BATCH_BYTES: usize = 64 << 10;

/// A lock on a table must not wait behind a migration while the application waits behind us.
const LOCK_TIMEOUT: &str = "3s";

/// A page of the log begins with a header of 24 or, first in its segment, of 40 bytes (`XLogPageHeaderData`): where the next record
/// will be inserted may lie behind one, and the end of what there is in front of it.
const LONG_PAGE_HEADER_BYTES: u64 = 40;

/// When a snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMoment {
    /// `pg_current_snapshot()` as text.
    pub snapshot: String,
    /// How many transaction ids were given from its `xmax` on, a moment later.
    pub age: u64,
    /// The end of the log a moment later: what the snapshot contains commits below it.
    pub end: Lsn,
    /// Whether `synchronous_standby_names` is set: commits may wait, and be streamed meanwhile.
    pub has_standbys: bool,
}

/// A snapshot that is being read. Dropping it closes its connection.
pub struct TableSnapshot {
    sql: SqlClient,
    moment: SnapshotMoment,
    /// Those that were not begun.
    tables: VecDeque<(Arc<Relation>, PublishedTable)>,
    reading: Option<Reading>,
}

/// A table that is being read.
struct Reading {
    relation: Arc<Relation>,
    rows: Pin<Box<SimpleQueryStream>>,
    /// Whether there may be more behind them, in [`CURSOR`].
    is_cursor: bool,
    /// Rows of this fetch.
    fetched: u64,
}

impl std::fmt::Debug for TableSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableSnapshot")
            .field("moment", &self.moment)
            .field("tables", &self.tables.len())
            .finish_non_exhaustive()
    }
}

/// Rows of one table.
#[derive(Debug, Clone)]
pub struct RowBatch {
    /// Their table.
    pub relation: Arc<Relation>,
    /// The rows, each as the TupleData of the stream.
    pub bytes: BytesMut,
    /// Where each of them ends in `bytes`.
    pub ends: Vec<usize>,
}

impl TableSnapshot {
    /// Takes a snapshot of the published tables that `wants` takes, by schema and name. The server gives up what takes
    /// longer than `within`.
    ///
    /// # Errors
    ///
    /// On a standby, without the right to read a table, and when the server can't be reached.
    pub async fn take(
        config: &SourceConfig,
        wants: &(dyn Fn(&str, &str) -> bool + Send + Sync),
        within: Duration,
    ) -> Result<Self, SnapshotTrouble> {
        let timeout = format!("{}ms", within.as_millis().max(1));
        let mut settings = PINNED_SETTINGS.to_vec();
        settings.extend([
            ("statement_timeout", timeout.as_str()),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", timeout.as_str()),
            // Refuse what would be filtered: the stream has all rows.
            ("row_security", "off"),
            // Whatever is begun is read to its end.
            ("cursor_tuple_fraction", "1"),
        ]);
        let sql = config.connection.connect_sql(&settings).await;
        let sql = sql.map_err(|error| connect_failed(&error))?;
        let server = catalog::server(&sql)
            .await
            .map_err(|error| failed(&error))?;
        if server.in_recovery {
            return Err(SnapshotTrouble::refused(
                "the source is a standby: a snapshot there does not say what of the log it contains; ask a \
                 server that follows the primary",
            ));
        }
        let found = published::tables(&sql, config, server.major(), wants).await?;
        sql.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(|error| failed(&error))?;
        if !found.is_empty() {
            let names: Vec<String> = found.iter().map(|table| table.name.quoted()).collect();
            let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
            sql.batch_execute(&lock)
                .await
                .map_err(|error| failed(&error))?;
        }
        let moment = moment(&sql).await.map_err(|error| failed(&error))?;
        let tables = published::tables(&sql, config, server.major(), wants).await?;
        let name = |table: &PublishedTable| (table.oid, table.name.clone());
        if !tables.iter().map(name).eq(found.iter().map(name)) {
            return Err(SnapshotTrouble::unavailable(
                "the published tables were changed meanwhile: come back",
            ));
        }
        let mut defined = VecDeque::with_capacity(tables.len());
        for table in tables {
            let relation = definitions::relation(&sql, &table)
                .await
                .map_err(|error| failed(&error))?;
            defined.push_back((Arc::new(relation), table));
        }
        Ok(Self {
            sql,
            moment,
            tables: defined,
            reading: None,
        })
    }

    /// When it was taken.
    pub const fn moment(&self) -> &SnapshotMoment {
        &self.moment
    }

    /// The table that is read next; none when all were.
    pub fn table(&self) -> Option<&Arc<Relation>> {
        self.tables.front().map(|(relation, _)| relation)
    }

    /// Goes past the next table without reading it.
    pub fn skip(&mut self) {
        self.tables.pop_front();
    }

    /// Begins to read the next table: rows that meet all keys of one of `keys`, or all rows.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the time is over.
    pub async fn read(&mut self, keys: Option<&[Vec<RowKey>]>) -> Result<(), SnapshotTrouble> {
        let Some((relation, table)) = self.tables.pop_front() else {
            return Ok(());
        };
        let (rows, is_cursor) = match keys {
            None => {
                let select = table.select(&relation, None);
                (self.sql.simple_query_raw(&select).await, false)
            }
            // Only a cursor has both: values as parameters, and rows as text.
            Some(keys) => {
                let (condition, parameters) = keyed::condition(keys);
                let select = table.select(&relation, Some(&condition));
                let declare = format!("DECLARE {CURSOR} NO SCROLL CURSOR FOR {select}");
                let declared = self.sql.execute(&declare, &parameters).await;
                declared.map_err(|error| failed(&error))?;
                (self.sql.simple_query_raw(FETCH).await, true)
            }
        };
        let rows = Box::pin(rows.map_err(|error| failed(&error))?);
        self.reading = Some(Reading {
            relation,
            rows,
            is_cursor,
            fetched: 0,
        });
        Ok(())
    }

    /// Some rows of the table that is read; none at its end.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the time is over.
    pub async fn next(&mut self) -> Result<Option<RowBatch>, SnapshotTrouble> {
        let Some(reading) = &mut self.reading else {
            return Ok(None);
        };
        let mut batch = RowBatch {
            relation: Arc::clone(&reading.relation),
            bytes: BytesMut::new(),
            ends: Vec::new(),
        };
        while batch.bytes.len() < BATCH_BYTES {
            match reading.rows.next().await {
                Some(Err(error)) => return Err(failed(&error)),
                Some(Ok(SimpleQueryMessage::Row(row))) => {
                    put_row(&row, &batch.relation, &mut batch.bytes)?;
                    batch.ends.push(batch.bytes.len());
                    reading.fetched += 1;
                }
                Some(Ok(_)) => {}
                None if reading.is_cursor && reading.fetched > 0 => {
                    let rows = self.sql.simple_query_raw(FETCH).await;
                    reading.rows = Box::pin(rows.map_err(|error| failed(&error))?);
                    reading.fetched = 0;
                }
                None => {
                    if reading.is_cursor {
                        let closed = self.sql.batch_execute(CLOSE).await;
                        closed.map_err(|error| failed(&error))?;
                    }
                    self.reading = None;
                    break;
                }
            }
        }
        Ok(Some(batch).filter(|batch| !batch.ends.is_empty()))
    }
}

/// The first statement that sees anything: with it the snapshot is taken. What stands behind `pg_current_snapshot()` is
/// evaluated after that.
const MOMENT: &str = "\
    SELECT s::pg_catalog.text, \
           pg_catalog.age(pg_catalog.pg_snapshot_xmax(s)::pg_catalog.xid)::pg_catalog.int8, \
           pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text, \
           pg_catalog.current_setting('synchronous_standby_names') <> '', \
           pg_catalog.current_setting('wal_block_size')::pg_catalog.int8 \
      FROM pg_catalog.pg_current_snapshot() AS s";

async fn moment(sql: &SqlClient) -> Result<SnapshotMoment, tokio_postgres::Error> {
    let row = sql.query_one(MOMENT, &[]).await?;
    let end = catalog::lsn(row.try_get(2)?).unwrap_or(Lsn(u64::MAX));
    let page = u64::try_from(row.try_get::<_, i64>(4)?).unwrap_or_default();
    Ok(SnapshotMoment {
        snapshot: row.try_get(0)?,
        age: u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default(),
        end: in_front_of_header(end, page),
        has_standbys: row.try_get(3)?,
    })
}

/// The end of the log in front of a page that holds nothing but its header: what the server says to have sent does not go
/// beyond that. No record that begins on the page ends so early.
fn in_front_of_header(end: Lsn, page: u64) -> Lsn {
    match end.0.checked_rem(page) {
        Some(behind) if behind <= LONG_PAGE_HEADER_BYTES => Lsn(end.0 - behind),
        _ => end,
    }
}

/// A row as the stream's TupleData: a number of columns, then each as `n`, or `t` with its length.
fn put_row(
    row: &SimpleQueryRow,
    relation: &Relation,
    out: &mut BytesMut,
) -> Result<(), SnapshotTrouble> {
    out.put_u16(u16::try_from(row.len()).unwrap_or(u16::MAX));
    for place in 0..row.len() {
        let value = row.try_get(place).map_err(|_| {
            let column = relation
                .columns
                .get(place)
                .map_or("", |column| &column.name);
            SnapshotTrouble::refused(format!(
                "column {column:?} of {}.{} holds text that is not UTF-8",
                relation.schema, relation.name
            ))
        })?;
        match value {
            None => out.put_u8(b'n'),
            Some(text) => {
                out.put_u8(b't');
                // A value has less than 1 GiB.
                out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
                out.put_slice(text.as_bytes());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_holds_its_header_alone_ends_in_front_of_it() {
        let at = |lsn| in_front_of_header(Lsn(lsn), 8192).0;
        assert_eq!(at(0x2000 + 24), 0x2000);
        assert_eq!(at(0x100_0000 + 40), 0x100_0000);
        assert_eq!(at(0x2000), 0x2000);
        assert_eq!(at(0x2000 + 48), 0x2000 + 48);
        assert_eq!(in_front_of_header(Lsn(24), 0).0, 24);
    }
}

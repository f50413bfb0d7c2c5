//! The rows that are given to everybody.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use postgres::{Client, NoTls, Statement};
use tempfile::TempDir;
use walgate_throwaway::Postgres;

use super::contender::Contender;
use crate::live::TELL;

/// A row has the time at which it was made, in microseconds since 1970. Both tables are alike, but for
/// who is told of them.
const SCHEMA: &str = "
create table moves (
    id bigserial primary key, experiment_id int not null, agent_id int not null,
    x int not null, y int not null, heading text not null, sent bigint not null);
create table notified (like moves including all);
create publication bench for table moves;
create trigger tell after insert on notified for each row execute function tell();";

/// In a transaction of its own: it has to be before anything is written.
const SLOT: &str = "select pg_create_logical_replication_slot('bench', 'pgoutput')";

/// The server with its tables, and what Walgate knows of it.
pub(crate) struct Rows<'a> {
    server: &'a Postgres,
    state: TempDir,
}

/// A connection that makes rows.
pub(crate) struct Writer {
    client: Client,
    one: Statement,
    table: &'static str,
}

impl<'a> Rows<'a> {
    /// Makes the tables.
    pub(crate) fn prepare(server: &'a Postgres) -> Result<Self> {
        server.sql(TELL)?;
        server.sql(SCHEMA)?;
        server.sql(SLOT)?;
        let state = tempfile::tempdir()?;
        Ok(Self { server, state })
    }

    /// Where the rows are.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Where a Walgate keeps what the next one has to know.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// A connection that makes rows for this contender.
    pub(crate) fn connect(&self, contender: Contender) -> Result<Writer> {
        let table = contender.table();
        let mut client = Client::connect(&self.server.url(), NoTls)?;
        let one = client.prepare(&insert(table, "select $1::int i"))?;
        Ok(Writer { client, one, table })
    }
}

fn insert(table: &str, rows: &str) -> String {
    format!(
        "insert into {table} (experiment_id, agent_id, x, y, heading, sent)
         select i % 10, i % 7, i % 100, i % 90, 'north', (extract(epoch from clock_timestamp()) * 1e6)::bigint
         from ({rows}) rows"
    )
}

impl Writer {
    /// So many rows in one transaction.
    pub(crate) fn burst(&mut self, rows: usize) -> Result<()> {
        let series = format!("select generate_series(0, {rows} - 1) i");
        Ok(self.client.batch_execute(&insert(self.table, &series))?)
    }

    /// So many transactions of one row, one each `pause` microseconds; what is late is made up for.
    pub(crate) fn steady(&mut self, rows: usize, pause: u64) -> Result<()> {
        let start = Instant::now();
        for row in 0..i32::try_from(rows)? {
            let due = start + Duration::from_micros(pause) * u32::try_from(row)?;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.client.execute(&self.one, &[&row])?;
        }
        Ok(())
    }
}

//! What is to be drained: backlogs of different shapes, each on a server of its own.

use anyhow::{Context, Result};
use clap::ValueEnum;
use postgres::{Client, NoTls};

/// A shape of a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// 9 columns with numeric, jsonb and timestamptz; 1,000 changes a transaction, inserts, updates, deletes
    Orders,
    /// Two integers, 1,000 rows a transaction
    Narrow,
    /// 100 columns, 100 rows a transaction
    Wide,
    /// One value of 100 KB, 10 rows a transaction
    Toast,
    /// 9 columns, 1 row a transaction
    Tiny,
    /// 9 columns, all rows in one transaction
    Huge,
    /// 9 columns, one after the other into 500 tables, 1,000 rows a transaction
    Tables,
}

/// What is to be drained.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    /// Changes in it.
    pub(crate) changes: u64,
    /// Everything is committed below this LSN.
    pub(crate) end: String,
    /// Bytes of WAL.
    pub(crate) wal_bytes: i64,
}

/// Tables of [`Work::Tables`].
const TABLES: u32 = 500;

const COLUMNS: &str = "id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2),
    payload jsonb, note text, created_at timestamptz not null, updated_at timestamptz, active boolean not null";

const VALUES: &str = "i, i % 10007, (array['new','paid','shipped','returned'])[1 + i % 4], (i % 100000) / 100.0,
    jsonb_build_object('sku', 'A-' || i % 997, 'qty', i % 7, 'tags', jsonb_build_array('x', 'y')),
    'order number ' || i, timestamptz '2026-01-01 00:00:00+00' + i * interval '1.5 second', null, i % 3 = 0";

/// Updates a fifth, and deletes a tenth.
const CHANGE: &str = "
create procedure change(last int) language plpgsql as $$
begin
    for block in 0 .. last / 5 / 1000 - 1 loop
        update work set status = 'closed', updated_at = created_at + interval '1 day'
        where id > block * 5000 and id <= block * 5000 + 5000 and id % 5 = 0;
        commit;
    end loop;
    for block in 0 .. last / 10 / 1000 - 1 loop
        delete from work where id > block * 10000 and id <= block * 10000 + 10000 and id % 10 = 0;
        commit;
    end loop;
end $$;";

/// The slot of a drain.
pub(crate) fn slot_name(number: usize) -> String {
    format!("bench_{number}")
}

impl Work {
    /// As it is named on the command line and in the results.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Rows that fill some seconds of one core, of `rows` of nine columns.
    pub(crate) const fn rows(self, rows: u32) -> u32 {
        match self {
            Self::Orders | Self::Huge | Self::Narrow => rows,
            Self::Tables | Self::Tiny => rows / 5,
            Self::Wide => rows / 10,
            Self::Toast => rows / 200,
        }
    }

    const fn rows_a_transaction(self, rows: u32) -> u32 {
        match self {
            Self::Orders | Self::Narrow | Self::Tables => 1000,
            Self::Wide => 100,
            Self::Toast => 10,
            Self::Tiny => 1,
            Self::Huge => rows,
        }
    }

    /// Makes the slots and then the log that each of them has to deliver.
    pub(crate) fn write(self, url: &str, rows: u32, slots: usize) -> Result<Backlog> {
        let mut client = Client::connect(url, NoTls).context("connect to the bench's server")?;
        client.batch_execute(&self.schema(rows))?;
        for slot in 0..slots {
            let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
            client.execute(create, &[&slot_name(slot)])?;
        }
        let start: String = client
            .query_one("select pg_current_wal_lsn()::text", &[])?
            .get(0);
        client.batch_execute("set synchronous_commit = off")?;
        client.batch_execute(&format!("call fill(1, {rows})"))?;
        let mut changes = u64::from(rows);
        if self == Self::Orders {
            client.batch_execute(&format!("call change({rows})"))?;
            changes += u64::from(rows / 5000 * 1000) + u64::from(rows / 10_000 * 1000);
        }
        client.batch_execute("checkpoint")?;
        let row = client.query_one(
            "select pg_current_wal_lsn()::text, (pg_current_wal_lsn() - $1::text::pg_lsn)::bigint",
            &[&start],
        )?;
        Ok(Backlog {
            changes,
            end: row.get(0),
            wal_bytes: row.get(1),
        })
    }

    fn schema(self, rows: u32) -> String {
        let numbers = || (1..100).map(|number| number.to_string());
        let join = |items: Vec<String>| items.join(", ");
        let (columns, values) = match self {
            Self::Narrow => (
                "id int primary key, v int".to_owned(),
                "i, i * 7".to_owned(),
            ),
            Self::Wide => {
                let columns = numbers().map(|n| match n.len() {
                    1 => format!("c{n} int"),
                    _ => format!("c{n} text"),
                });
                let values = numbers().map(|n| match n.len() {
                    1 => format!("i + {n}"),
                    _ => format!("'value ' || (i + {n})"),
                });
                (
                    format!("id int primary key, {}", join(columns.collect())),
                    format!("i, {}", join(values.collect())),
                )
            }
            Self::Toast => (
                "id int primary key, document text storage external".to_owned(),
                "i, repeat(md5(i::text), 3200)".to_owned(),
            ),
            _ => (COLUMNS.to_owned(), VALUES.to_owned()),
        };
        let block = self.rows_a_transaction(rows);
        let (tables, table) = match self {
            Self::Tables => (
                (0..TABLES)
                    .map(|n| format!("create table work{n} ({columns});\n"))
                    .collect(),
                "'work' || block % 500",
            ),
            _ => (format!("create table work ({columns});\n"), "'work'"),
        };
        let change = if self == Self::Orders { CHANGE } else { "" };
        format!(
            "{tables}
create publication bench for all tables;
create procedure fill(first int, last int) language plpgsql as $$
begin
    for block in 0 .. (last - first) / {block} loop
        execute format('insert into %I select {values} from generate_series(' || (first + block * {block}) || ', '
            || least(first + block * {block} + {block} - 1, last) || ') i', {table});
        commit;
    end loop;
end $$;{change}",
            values = values.replace('\'', "''").replace('%', "%%"),
        )
    }
}

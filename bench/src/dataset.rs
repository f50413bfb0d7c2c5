//! The backlog: 9 columns with numeric, jsonb and timestamptz, 1,000 changes a transaction.

use anyhow::{Context, Result};
use postgres::{Client, NoTls};

/// What is to be drained.
pub(crate) struct Backlog {
    /// Changes in it.
    pub(crate) changes: u64,
    /// Everything is committed below this LSN.
    pub(crate) end: String,
    /// Bytes of WAL.
    pub(crate) wal_bytes: i64,
}

const SCHEMA: &str = "
create table orders (
    id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2),
    payload jsonb, note text, created_at timestamptz not null, updated_at timestamptz,
    active boolean not null);
create publication bench for table orders;
create procedure fill(first int, last int) language plpgsql as $$
begin
    for block in 0 .. (last - first) / 1000 loop
        insert into orders
        select i, i % 10007, (array['new','paid','shipped','returned'])[1 + i % 4], (i % 100000) / 100.0,
            jsonb_build_object('sku', 'A-' || i % 997, 'qty', i % 7, 'tags', jsonb_build_array('x', 'y')),
            'order number ' || i, timestamptz '2026-01-01 00:00:00+00' + i * interval '1.5 second',
            null, i % 3 = 0
        from generate_series(first + block * 1000, least(first + block * 1000 + 999, last)) i;
        commit;
    end loop;
end $$;
create procedure change(last int) language plpgsql as $$
begin
    for block in 0 .. last / 5 / 1000 - 1 loop
        update orders set status = 'closed', updated_at = created_at + interval '1 day'
        where id > block * 5000 and id <= block * 5000 + 5000 and id % 5 = 0;
        commit;
    end loop;
    for block in 0 .. last / 10 / 1000 - 1 loop
        delete from orders where id > block * 10000 and id <= block * 10000 + 10000 and id % 10 = 0;
        commit;
    end loop;
end $$;";

/// The slot of a drain.
pub(crate) fn slot_name(number: usize) -> String {
    format!("bench_{number}")
}

/// Makes the slots and then the log that each of them has to deliver.
pub(crate) fn write(url: &str, rows: u32, slots: usize) -> Result<Backlog> {
    let mut client = Client::connect(url, NoTls).context("connect to the bench's server")?;
    client.batch_execute(SCHEMA)?;
    for slot in 0..slots {
        let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
        client.execute(create, &[&slot_name(slot)])?;
    }
    let start: String = client
        .query_one("select pg_current_wal_lsn()::text", &[])?
        .get(0);
    client.batch_execute("set synchronous_commit = off")?;
    client.batch_execute(&format!("call fill(1, {rows})"))?;
    client.batch_execute(&format!("call change({rows})"))?;
    client.batch_execute("checkpoint")?;
    let row = client.query_one(
        "select pg_current_wal_lsn()::text, (pg_current_wal_lsn() - $1::text::pg_lsn)::bigint",
        &[&start],
    )?;
    let changes = u64::from(rows) + u64::from(rows / 5000 * 1000) + u64::from(rows / 10_000 * 1000);
    Ok(Backlog {
        changes,
        end: row.get(0),
        wal_bytes: row.get(1),
    })
}

//! What most people begin with: a query for what is new, every two seconds.
//!
//! It is the sound way to do that: what is asked for are rows of transactions that were over at the last look,
//! by `xid8` and `pg_snapshot_xmin`. A query for `id > last` or `updated_at > last` loses the rows of
//! transactions that commit behind later ones. Even so it sees only the last state of a row, and no deletion.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use postgres::{Client, NoTls};

/// Time between two looks.
pub(crate) const EVERY: Duration = Duration::from_secs(2);

/// Polls tables with an indexed column `xid`, and prints each row that is new as JSON.
#[derive(Args)]
pub(crate) struct PollArgs {
    /// The server
    #[arg(long)]
    url: String,
    /// A table; may be repeated
    #[arg(long, required = true)]
    table: Vec<String>,
}

/// Polls until it is ended.
pub(crate) fn run(args: &PollArgs) -> Result<()> {
    let mut client = Client::connect(&args.url, NoTls)?;
    let horizon = client.prepare("select pg_snapshot_xmin(pg_current_snapshot())::text")?;
    let mut queries = Vec::new();
    for table in &args.table {
        queries.push(client.prepare(&format!(
            "select row_to_json(t)::text from {table} t
             where xid >= $1::text::xid8 and xid < $2::text::xid8 order by xid"
        ))?);
    }
    let mut from: String = client.query_one(&horizon, &[])?.get(0);
    let start = Instant::now();
    let mut output = std::io::stdout().lock();
    for look in 1.. {
        thread::sleep((EVERY * look).saturating_sub(start.elapsed()));
        let until: String = client.query_one(&horizon, &[])?.get(0);
        for query in &queries {
            for row in client.query(query, &[&from, &until])? {
                writeln!(output, "{}", row.get::<_, &str>(0))?;
            }
        }
        output.flush()?;
        from = until;
    }
    Ok(())
}

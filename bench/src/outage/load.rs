//! A load at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postgres::{Client, NoTls};

/// The table and its publication.
pub(crate) const SCHEMA: &str = "
create table load (
    id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2),
    payload jsonb, note text, created_at timestamptz not null, active boolean not null);
create publication load for table load;";

/// Rows of one transaction.
const ROWS: &str = "
insert into load
select i, i % 10007, (array['new','paid','shipped','returned'])[1 + i % 4], (i % 100000) / 100.0,
    jsonb_build_object('sku', 'A-' || i % 997, 'qty', i % 7), 'order number ' || i, now(), i % 3 = 0
from generate_series($1::bigint, $2::bigint) i";

/// Transactions a second.
const TRANSACTIONS: u32 = 100;

/// Inserts rows with the ids from 1 on, until it is stopped.
pub(crate) struct Load {
    committed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Load {
    /// So many rows a second, by schedule: what is late is made up for.
    pub(crate) fn start(url: &str, rate: u32) -> Self {
        let committed = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (url, rows) = (url.to_owned(), u64::from((rate / TRANSACTIONS).max(1)));
        let thread = thread::spawn({
            let (committed, stop) = (Arc::clone(&committed), Arc::clone(&stop));
            move || {
                let mut client = Client::connect(&url, NoTls).context("connect the load")?;
                let insert = client.prepare(ROWS)?;
                let start = Instant::now();
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    let due = start + Duration::from_secs(1) / TRANSACTIONS * turn;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let from = committed.load(Ordering::Relaxed);
                    let (first, last) = ((from + 1) as i64, (from + rows) as i64);
                    client.execute(&insert, &[&first, &last])?;
                    committed.store(from + rows, Ordering::Release);
                    turn += 1;
                }
                Ok(())
            }
        });
        Self {
            committed,
            stop,
            thread,
        }
    }

    /// Rows that are committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Ends it; returns the rows that are committed.
    pub(crate) fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the load panicked"))??;
        Ok(self.committed.load(Ordering::Acquire))
    }
}

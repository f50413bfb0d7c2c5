//! A load at a steady rate, by schedule.
//!
//! Each row tells when its transaction was due. What is late is made up for and keeps its time, so that a server
//! or a follower that stops for a moment is charged for all that would have come meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use postgres::{Client, NoTls};

use super::now_us;

/// Transactions a second; a lower rate has as many as rows.
const TRANSACTIONS: u32 = 1_000;

/// Connections that take turns.
const CONNECTIONS: u32 = 4;

/// Who is so late can't keep up: the load is given up.
pub(crate) const LATE_AT_MOST: Duration = Duration::from_secs(5);

/// So many rows a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Rows a second.
    pub(crate) rate: u32,
    /// How long, in seconds.
    pub(crate) seconds: u32,
    /// It is given up when it is so late.
    pub(crate) late_at_most: Duration,
}

impl Load {
    const fn transactions_a_second(self) -> u32 {
        if self.rate < TRANSACTIONS {
            self.rate
        } else {
            TRANSACTIONS
        }
    }

    /// Rows of each transaction.
    pub(crate) fn rows_a_transaction(self) -> u64 {
        u64::from(self.rate / self.transactions_a_second())
    }

    /// All its transactions.
    const fn transactions(self) -> u32 {
        self.transactions_a_second() * self.seconds
    }

    /// All its rows.
    pub(crate) fn rows(self) -> u64 {
        u64::from(self.transactions()) * self.rows_a_transaction()
    }

    /// When a transaction is due, in microseconds from the start.
    fn due_us(self, transaction: u32) -> u64 {
        u64::from(transaction) * 1_000_000 / u64::from(self.transactions_a_second())
    }

    /// When the last one is due, in microseconds from the start.
    pub(crate) fn last_due_us(self) -> u64 {
        self.due_us(self.transactions() - 1)
    }

    /// Rows that are due so many microseconds after the start.
    pub(crate) fn rows_due(self, us: u64) -> u64 {
        let transactions = us * u64::from(self.transactions_a_second()) / 1_000_000;
        (transactions * self.rows_a_transaction()).min(self.rows())
    }

    /// Does something for each transaction that `lane` of `lanes` has to do, when it is due: with the number of
    /// its first row, and when it was due. Whether all were done: who is too late ends.
    pub(crate) fn pace(
        self,
        start_us: u64,
        (lane, lanes): (u32, u32),
        given_up: &AtomicBool,
        mut commit: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<bool> {
        let mut transaction = lane;
        while transaction < self.transactions() {
            let due_us = start_us + self.due_us(transaction);
            let now_us = now_us();
            thread::sleep(Duration::from_micros(due_us.saturating_sub(now_us)));
            if u128::from(now_us.saturating_sub(due_us)) > self.late_at_most.as_micros() {
                given_up.store(true, Ordering::Relaxed);
            }
            if given_up.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let first = u64::from(transaction) * self.rows_a_transaction() + 1;
            commit(first, due_us)?;
            transaction += lanes;
        }
        Ok(true)
    }

    /// Inserts the rows into a table. Whether the server took all of them in time.
    pub(crate) fn insert(self, url: &str, table: &str, start_us: u64) -> Result<bool> {
        let given_up = Arc::new(AtomicBool::new(false));
        let lanes: Vec<_> = (0..CONNECTIONS)
            .map(|lane| {
                let (given_up, url, insert) =
                    (Arc::clone(&given_up), url.to_owned(), insert(table));
                thread::spawn(move || {
                    let mut client = Client::connect(&url, NoTls).context("connect the load")?;
                    let insert = client.prepare(&insert)?;
                    let last = self.rows_a_transaction().cast_signed() - 1;
                    self.pace(start_us, (lane, CONNECTIONS), &given_up, |first, due_us| {
                        let (first, due) = (first.cast_signed(), due_us.cast_signed());
                        client.execute(&insert, &[&first, &due, &last])?;
                        Ok(())
                    })
                })
            })
            .collect();
        let mut held = true;
        for lane in lanes {
            let ended = lane.join();
            held &= ended.map_err(|_| anyhow::anyhow!("the load panicked"))??;
        }
        Ok(held)
    }
}

/// A statement for some rows of one transaction: the number of the first one, when they were due, and how many
/// more there are.
pub(crate) fn insert(table: &str) -> String {
    format!(
        "insert into {table} (seq, due, agent_id, x, y, heading)
         select $1::bigint + i, $2::bigint, i % 7, i % 100, i % 90, 'north' from generate_series(0, $3::bigint) i"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_written_once_and_its_transaction_is_due_by_the_schedule() {
        for (rate, rows) in [(10, 20), (1_000, 2_000), (50_000, 100_000)] {
            let load = Load {
                rate,
                seconds: 2,
                late_at_most: LATE_AT_MOST * 100,
            };
            assert_eq!(load.rows(), rows);
            let start_us = now_us() - 3_000_000;
            let mut firsts = Vec::new();
            for lane in 0..3 {
                let given_up = AtomicBool::new(false);
                let all = load.pace(start_us, (lane, 3), &given_up, |first, due_us| {
                    firsts.push((first, due_us - start_us));
                    Ok(())
                });
                assert!(all.expect("paced"), "three seconds late is made up for");
            }
            firsts.sort_unstable();
            let each = load.rows_a_transaction();
            let expected: Vec<_> = (0..load.transactions())
                .map(|n| (u64::from(n) * each + 1, load.due_us(n)))
                .collect();
            assert_eq!(firsts, expected);
            assert!(load.last_due_us() < 2_000_000);
        }
    }

    #[test]
    fn who_is_too_late_gives_up_and_takes_the_others_along() {
        let load = Load {
            rate: 10,
            seconds: 1,
            late_at_most: LATE_AT_MOST,
        };
        let given_up = AtomicBool::new(false);
        let late = now_us() - 7_000_000;
        let held = load.pace(late, (0, 2), &given_up, |_, _| Ok(()));
        assert!(!held.expect("paced"));
        let held = load.pace(now_us(), (1, 2), &given_up, |_, _| Ok(()));
        assert!(!held.expect("paced"));
    }
}

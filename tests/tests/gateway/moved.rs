//! Clients that are moved from one gateway to another, while those and what is in front are killed.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use walgate_tests::{AFTER_A_KILL, Bed, Program, session, stop};
use walgate_throwaway::{PgVersion, shared_kafka};

use super::bench::Front;
use crate::push::address;
use crate::push::client::Client;

const SETUP: &str = "create table t (id bigserial primary key, v text); \
                     create publication walgate for table t;";

/// Rows are inserted until this is dropped.
struct Load<'a>(&'a AtomicBool);

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Inserts rows in transactions of 1 to 40 until it is told to end; how many there are.
fn insert(bed: &Bed, over: &AtomicBool) -> Result<i64> {
    let mut sql = session(&bed.direct)?;
    let mut size = 0;
    while !over.load(Ordering::Relaxed) {
        size = size % 40 + 7;
        let rows = format!("insert into t (v) select 'x' from generate_series(1, {size})");
        sql.batch_execute(&rows)?;
    }
    Ok(sql.query_one("select count(*) from t", &[])?.get(0))
}

/// What one client has been given, wherever it was connected.
#[derive(Default)]
struct Seen {
    last: Option<String>,
    ids: Vec<i64>,
}

impl Seen {
    /// Takes so many events of a gateway; fewer when that goes.
    fn take(&mut self, at: &str, count: usize) -> Result<()> {
        let query = match &self.last {
            Some(last) => format!("?table=public.t&after={last}"),
            None => "?table=public.t".to_owned(),
        };
        let mut client = Client::connect(at, &query)?;
        for _ in 0..count {
            let Ok(text) = client.text() else { break };
            let event: serde_json::Value = serde_json::from_str(&text)?;
            ensure!(
                event["id"].as_str() > self.last.as_deref(),
                "{event} behind {:?}",
                self.last
            );
            self.ids.push(event["key"]["id"].as_i64().context("an id")?);
            self.last = event["id"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// Every row once, in order, from the first that it was given to the last that there is.
    fn check(&self, rows: i64) -> Result<()> {
        let first = *self.ids.first().context("a row")?;
        let expected: Vec<i64> = (first..=rows).collect();
        let wrong = self.ids.iter().zip(&expected).find(|(a, b)| a != b);
        ensure!(
            wrong.is_none() && self.ids.len() == expected.len(),
            "{} of {} rows, wrong at {wrong:?}",
            self.ids.len(),
            expected.len()
        );
        Ok(())
    }
}

fn kill(program: Program) -> Result<()> {
    program.signal("KILL")?;
    program.wait().map(drop)
}

/// Starts what is in front again, after it was killed.
fn again(bed: &Bed, killed: Program) -> Result<Program> {
    kill(killed)?;
    bed.start()
}

#[test]
fn a_client_is_moved_between_gateways_while_everything_is_killed() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let front = Front::new(PgVersion::V16, "gateway_moved", SETUP, bootstrap)?;
    let mut run = front.bed.serve()?;
    front.bed.sql("insert into t (v) values ('first')")?;
    let mut one = front.gateway("one")?;
    let mut two = front.gateway("two")?;
    let (at_one, at_two) = (address(&mut one)?, address(&mut two)?);
    let over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| -> Result<Program> {
        let load = Load(&over);
        let inserting = scope.spawn(|| insert(&front.bed, &over));
        let mut seen = Seen::default();
        for turn in 0..6 {
            seen.take(&at_one, 100 + turn)?;
            seen.take(&at_two, 300)?;
            // What it had sent and not yet confirmed comes to the topic again.
            if turn % 3 == 1 {
                run = again(&front.bed, run)?;
            }
        }
        // One that was killed goes on with what its folder has, and reads on from there.
        kill(one)?;
        seen.take(&at_two, 200)?;
        let mut one = front.gateway("one")?;
        let at_one = address(&mut one)?;
        let begin = seen.ids.len();
        let mut other = Seen {
            last: seen.last.clone(),
            ids: Vec::new(),
        };
        seen.take(&at_one, 300)?;
        other.take(&at_two, 300)?;
        ensure!(
            Some(&other.ids[..]) == seen.ids.get(begin..),
            "the same from both"
        );
        drop(load);
        let rows = inserting.join().ok().context("the load")??;
        let rest = usize::try_from(rows - seen.ids.last().context("a row")?)?;
        seen.take(&at_two, rest)?;
        seen.check(rows)?;
        stop(one, &[])?;
        Ok(run)
    })?;
    stop(two, &[])?;
    stop(run, AFTER_A_KILL)?;
    Ok(())
}

//! Keeps the maze moving.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use walgate_connection::SqlClient;
use walgate_pipeline::Stop;

use crate::config::Secret;
use crate::ending::Ending;
use crate::wiring::connection;

/// Between two steps of every agent: some forty changes a second, as many as an eye can follow.
const STEP: Duration = Duration::from_millis(150);

/// Between two looks whether Walgate streams already.
const LOOK: Duration = Duration::from_millis(20);

/// So small that some experiments end, and the oldest is deleted, within seconds.
const FIRST_EXPERIMENTS: &str = "SELECT maze.start_experiment('first steps ' || n, 4, 3, 2) \
                                 FROM generate_series(1, 3) n";

/// Two experiments at a time; one that has ended is kept.
const TICK: &str = "SELECT maze.tick(2, 1)";

/// Moves the agents from the moment on at which Walgate streams; after `time` it asks for the end.
pub(super) async fn run(url: Secret, time: Option<Duration>, stop: Stop) -> Result<(), Ending> {
    let ended = walk(&url, time).await;
    stop.drain();
    ended
}

async fn walk(url: &Secret, time: Option<Duration>) -> Result<(), Ending> {
    let connection = connection(Some(url), None)?;
    let sql = connection
        .connect_sql(&[])
        .await
        .map_err(|error| Ending::other(format!("the maze: {error}")))?;
    while !streams(&sql).await? {
        sleep(LOOK).await;
    }
    let begun = Instant::now();
    execute(&sql, FIRST_EXPERIMENTS).await?;
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while time.is_none_or(|time| begun.elapsed() < time) {
        steps.tick().await;
        execute(&sql, TICK).await?;
    }
    Ok(())
}

/// Whether a walsender has caught up: what happens from then on is seen at once.
async fn streams(sql: &SqlClient) -> Result<bool, Ending> {
    let query = "SELECT 1 FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'";
    let rows = sql.query(query, &[]).await;
    rows.map(|rows| !rows.is_empty())
        .map_err(|error| failed(&error))
}

async fn execute(sql: &SqlClient, statement: &str) -> Result<(), Ending> {
    let done = sql.batch_execute(statement).await;
    done.map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> Ending {
    let cause = error.source().map(|cause| format!(": {cause}"));
    Ending::other(format!("the maze: {error}{}", cause.unwrap_or_default()))
}

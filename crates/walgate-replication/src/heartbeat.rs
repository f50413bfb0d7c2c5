//! A heartbeat: a small transactional message is written, and must come back through the slot.
//!
//! No slot needs it to advance: keepalives are confirmed without it. It proves the whole way from a
//! commit to us, also while nobody changes anything.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use walgate_connection::{ConnectionConfig, SqlClient};
use walgate_core::{HEARTBEAT_CONTENT, HEARTBEAT_PREFIX, Lsn};

use crate::{SourceMonitor, SourceState};

/// Between two looks at what has come: the latency is told to this.
const LOOK: Duration = Duration::from_millis(50);

/// A heartbeat that has not come back after this time is late, however often one is written.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

const SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "10s"),
    ("default_transaction_read_only", "off"),
    // It is of no use to anybody that it survives a crash.
    ("synchronous_commit", "off"),
    ("search_path", ""),
    ("client_encoding", "UTF8"),
];

/// How the heartbeat does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatState {
    /// How many were written.
    pub written: u64,
    /// When one came back last.
    pub last_back: Option<Instant>,
    /// How long that took.
    pub latency: Option<Duration>,
    /// Since when one should be on its way and has not come back, also when it can't be written; none
    /// between two, and while nothing could come back.
    pub due: Option<Instant>,
    /// What keeps it from being written.
    pub kept_by: Option<String>,
}

impl HeartbeatState {
    fn is_due(&mut self, now: Instant) {
        self.due.get_or_insert(now);
    }

    fn was_written(&mut self) {
        self.written += 1;
        self.kept_by = None;
    }

    fn came_back(&mut self, now: Instant, latency: Duration) {
        self.last_back = Some(now);
        self.latency = Some(latency);
        self.due = None;
    }

    fn rests(&mut self) {
        self.due = None;
        self.kept_by = None;
    }
}

/// Writes a heartbeat at each interval, over an ordinary connection, and tells the monitor when it has
/// come back. Never ends by itself; what keeps it from being written is said once.
pub async fn heartbeat(connection: ConnectionConfig, every: Duration, monitor: SourceMonitor) {
    let mut beating = Beating::default();
    let mut sql = None;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What can't come back is not waited for.
        if !matches!(monitor.state(), SourceState::Streaming { .. }) {
            monitor.beats().rests();
            continue;
        }
        monitor.beats().is_due(Instant::now());
        let client = match sql.take() {
            Some(client) => client,
            None => match Box::pin(connection.connect_sql(SETTINGS)).await {
                Ok(client) => client,
                Err(error) => {
                    beating.kept(&monitor, &error.to_string());
                    continue;
                }
            },
        };
        match beat(&client).await {
            Ok(Some(lsn)) => {
                beating.written(&monitor);
                beating.wait(&monitor, lsn, every.max(LEAST_PATIENCE)).await;
                sql = Some(client);
            }
            Ok(None) => {
                beating.kept(&monitor, "the server is a standby, and writes no log");
                monitor.beats().rests();
            }
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => beating.kept(
                &monitor,
                "the role may not call pg_logical_emit_message: walgate check tells what grants it",
            ),
            Err(error) => beating.kept(&monitor, &error.to_string()),
        }
    }
}

/// Writes one; none on a standby.
async fn beat(sql: &SqlClient) -> Result<Option<Lsn>, tokio_postgres::Error> {
    let query = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE \
                 pg_catalog.pg_logical_emit_message(true, $1::pg_catalog.text, $2::pg_catalog.text) END\
                 ::pg_catalog.text";
    let row = sql.query_one(query, &[&HEARTBEAT_PREFIX, &HEARTBEAT_CONTENT]);
    let lsn: Option<String> = row.await?.try_get(0)?;
    Ok(lsn.and_then(|lsn| lsn.parse().ok()))
}

/// What was said.
#[derive(Debug, Default)]
struct Beating {
    kept_by: Option<String>,
    is_late: bool,
}

impl Beating {
    fn kept(&mut self, monitor: &SourceMonitor, why: &str) {
        monitor.beats().kept_by = Some(why.to_owned());
        if self.kept_by.as_deref() != Some(why) {
            tracing::warn!("no heartbeat is written: {why}");
            self.kept_by = Some(why.to_owned());
        }
    }

    fn written(&mut self, monitor: &SourceMonitor) {
        monitor.beats().was_written();
        if self.kept_by.take().is_some() {
            tracing::info!("the heartbeat is written again");
        }
    }

    /// Waits until it has come back, or the connection that it would come over is gone.
    async fn wait(&mut self, monitor: &SourceMonitor, lsn: Lsn, patience: Duration) {
        let written = Instant::now();
        while monitor.counters().received_lsn < lsn {
            if !matches!(monitor.state(), SourceState::Streaming { .. }) {
                monitor.beats().rests();
                return;
            }
            if written.elapsed() >= patience && !self.is_late {
                self.is_late = true;
                tracing::warn!(%lsn, seconds = patience.as_secs(), "the heartbeat has not come back: what is committed does not arrive");
            }
            tokio::time::sleep(LOOK).await;
        }
        let latency = written.elapsed();
        monitor.beats().came_back(Instant::now(), latency);
        if std::mem::take(&mut self.is_late) {
            tracing::info!(%lsn, "the heartbeat has come back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_from_the_first_attempt_until_one_comes_back() {
        let (mut state, begin) = (HeartbeatState::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        state.is_due(at(1));
        state.kept_by = Some("no right".to_owned());
        state.is_due(at(2));
        assert_eq!(
            state.due,
            Some(at(1)),
            "the second attempt is no fresh start"
        );
        state.was_written();
        assert_eq!((state.written, &state.kept_by), (1, &None));
        assert_eq!(state.due, Some(at(1)), "written is not come back");
        state.came_back(at(3), Duration::from_secs(1));
        assert_eq!((state.due, state.last_back), (None, Some(at(3))));
        state.is_due(at(4));
        state.rests();
        assert_eq!((state.due, state.last_back), (None, Some(at(3))));
    }
}

//! What a gateway reads, and what it has of it.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use walgate_core::PgMicros;
use walgate_source_kafka::{GatewayState, GatewayStats};

use super::report::date;
use crate::watch::Moment;

/// A gateway at one moment.
#[derive(Debug, Serialize)]
pub(super) struct GatewayReport {
    topic: String,
    state: &'static str,
    /// What it needs to know before it can begin to read.
    waits_for: Option<String>,
    /// Why the brokers can't be reached, while they can't.
    error: Option<String>,
    /// Everything up to this id was read.
    position: Option<String>,
    next_offset: Option<i64>,
    /// To the end that the topic had at the last look.
    behind_records: Option<u64>,
    last_commit_at: Option<String>,
    last_commit_seconds: Option<f64>,
    records: u64,
    passed: u64,
    reconnects: u64,
    /// Null before the journal has begun.
    window: Option<WindowReport>,
}

/// What clients can resume from.
#[derive(Debug, Serialize)]
struct WindowReport {
    /// Who has everything up to this id, or a later one, is given the rest.
    oldest: String,
    newest: String,
    /// When the oldest part of it was read; null in memory.
    begun_at: Option<String>,
    begun_seconds: Option<f64>,
}

/// What is known of a gateway.
pub(super) fn gateway(moment: &Moment, stats: &GatewayStats) -> GatewayReport {
    let (state, waits_for) = match &stats.state {
        GatewayState::Beginning { why } => ("beginning", Some(why.clone())),
        GatewayState::Filling => ("filling", None),
        GatewayState::Live => ("live", None),
    };
    let (last_commit_at, last_commit_seconds) = when(moment, stats.last_commit);
    GatewayReport {
        topic: stats.topic.clone(),
        state,
        waits_for,
        error: stats.down.as_ref().map(|(_, why)| why.clone()),
        position: stats.position.map(|position| position.to_string()),
        next_offset: stats.next_offset,
        behind_records: stats.behind,
        last_commit_at,
        last_commit_seconds,
        records: stats.records,
        passed: stats.repeated,
        reconnects: stats.reconnects,
        window: window(moment),
    }
}

fn window(moment: &Moment) -> Option<WindowReport> {
    let journal = moment.journal.as_ref()?;
    let disk = journal.disk.as_ref();
    let oldest = disk.map_or(journal.oldest, |disk| disk.oldest);
    let (begun_at, begun_seconds) = when(moment, disk.and_then(|disk| disk.oldest_time));
    Some(WindowReport {
        oldest: oldest.to_string(),
        newest: journal.newest.to_string(),
        begun_at,
        begun_seconds,
    })
}

/// A time as a date, and how long ago it is. The database's clock may be ahead of ours.
fn when(moment: &Moment, time: Option<PgMicros>) -> (Option<String>, Option<f64>) {
    let micros = time.and_then(|time| u64::try_from(time.unix_micros()).ok());
    let time = micros.map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
    let ago = time.map(|time| moment.time.duration_since(time).unwrap_or_default());
    (time.map(date), ago.map(|ago| ago.as_secs_f64()))
}
